"""Places: PyTorch's modules by name, and the module of `dualgraph` that each one is.

An import of one gives the very module that stands for it, never a second copy; what is below a package
(``optim.optimizer``) is found there, too.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ... import backends
from .names import version
from .parts import attach_parts, register_parts

ROOT = __package__
SAME = """amp autograd backends cuda distributed distributions fft func linalg masked nn optim profiler quantization
    signal special testing""".split()  # fmt: skip
ELSEWHERE = {
    "ao": "",
    "ao.quantization": "quantization",
    "autograd.profiler": "profiler",
    "cuda.amp": "amp",
    "nn.modules": "nn",
    "nn.modules.batchnorm": "nn.normalisation",
    "nn.modules.instancenorm": "nn.normalisation",
    "nn.modules.normalization": "nn.normalisation",
    "nn.modules.sparse": "nn.embedding",
    "random": "eager.random",
    "utils.checkpoint": "compat.torch.checkpoint",
    "utils.data": "data",
    "utils.data.dataloader": "data",
    "utils.data.distributed": "data",
    "utils.tensorboard": "summaries",
    "utils.tensorboard.writer": "summaries",
    "_dynamo": "compat.torch.compiler",
}
BELOW_FILES = (
    "cuda.amp",
    "utils.tensorboard.writer",
)  # no finder is asked for what is not below a package
PLACES = {name: name for name in SAME} | ELSEWHERE


def home_of(name: str) -> str | None:
    """The module that stands for ``name`` below this package; None where it is one of its own, or there is none.

    >>> from dualgraph.compat.torch.places import home_of
    >>> home_of("nn.modules.loss"), home_of("utils.data"), home_of("names")
    ('dualgraph.nn.loss', 'dualgraph.data', None)
    """
    start, below = name, ""
    while start not in PLACES:
        start, _, last = start.rpartition(".")
        if not start:
            return None
        below = f".{last}{below}"
    package = ROOT.split(".")[0]
    return f"{package}.{PLACES[start]}{below}".rstrip(".")


class Places(MetaPathFinder, Loader):
    """The finder of such modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for what stands elsewhere."""
        home = home_of(fullname[len(ROOT) + 1 :]) if fullname.startswith(f"{ROOT}.") else None
        if home is None or importlib.util.find_spec(home) is None:
            return None
        return ModuleSpec(fullname, self, origin=home)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, whose own spec is kept."""
        module = importlib.import_module(str(spec.origin))
        attach_parts(module, spec.name[len(ROOT) + 1 :])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: Any) -> None:
        """Nothing is run a second time."""
        module.__spec__ = module.__spec__.loader_state


def register() -> None:
    """Puts the finder before those that would load files a second time, which a second call does not."""
    if not any(isinstance(finder, Places) for finder in sys.meta_path):
        sys.meta_path.insert(0, Places())
    register_parts()
    attach_parts(importlib.import_module(f"{ROOT}.utils"), "utils")
    for name in BELOW_FILES:
        sys.modules[f"{ROOT}.{name}"] = importlib.import_module(str(home_of(name)))
    for name in PLACES:
        # ``torch.nn.modules.batchnorm`` is there without an import of its own
        if name.startswith("nn.modules"):
            importlib.import_module(f"{ROOT}.{name}")
    for name, flags in {
        "backends.cudnn": backends.cudnn,
        "backends.mps": backends.mps,
        "version": version,
    }.items():
        sys.modules[f"{ROOT}.{name}"] = flags  # type: ignore[assignment]

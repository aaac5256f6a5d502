"""Parts: modules that PyTorch cuts a larger one into, by name; what is in them is found in the larger one here.

Each is in ``sys.modules`` from the start and looks nothing up before it is asked, so it costs nothing. It becomes an
attribute of the larger module when that is imported, unless a function has its name there (``nn.utils.weight_norm``).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

ROOT = __package__
PARTS = {  # the larger module, and those below this package that it stands for
    "amp": "amp.autocast_mode amp.grad_scaler",
    "autograd": "autograd.variable",
    "compat.torch": "_tensor functional utils.dlpack",
    "compat.torch.pytree": "utils._pytree",
    "compat.torch.tuples": "nn.modules.utils",
    "data": "utils.data._utils utils.data._utils.collate",
    "distributions": """distributions.bernoulli distributions.beta distributions.binomial distributions.categorical
        distributions.cauchy distributions.chi2 distributions.dirichlet distributions.distribution
        distributions.exponential distributions.gamma distributions.geometric distributions.gumbel
        distributions.half_normal distributions.independent distributions.laplace distributions.log_normal
        distributions.lowrank_multivariate_normal distributions.mixture_same_family distributions.multinomial
        distributions.multivariate_normal distributions.negative_binomial distributions.normal
        distributions.one_hot_categorical distributions.pareto distributions.poisson distributions.relaxed_bernoulli
        distributions.relaxed_categorical distributions.studentT distributions.transformed_distribution
        distributions.uniform distributions.von_mises distributions.weibull distributions.wishart""",
    "func": "nn.utils.stateless",
    "nn": """nn.modules.channelshuffle nn.modules.distance nn.modules.flatten nn.modules.fold nn.modules.padding
        nn.modules.pixelshuffle nn.modules.upsampling""",
    "nn.forward_hooks": "utils.hooks",
    "nn.parallel": "nn.parallel.data_parallel nn.parallel.distributed",
    "nn.utils": "nn.utils.convert_parameters nn.utils.spectral_norm nn.utils.weight_norm",
    "optim": "optim.adamw",
}


class Part(ModuleType):
    """A module whose names are those of the one that it is called after."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))


def register_parts() -> None:
    """Puts the parts among the modules that are imported, which a second call does not."""
    package = ROOT.split(".")[0]
    for home, names in PARTS.items():
        for name in names.split():
            sys.modules.setdefault(f"{ROOT}.{name}", Part(f"{package}.{home}"))


def attach_parts(module: ModuleType, name: str) -> None:
    """Makes the parts of ``name``, which `module` stands for, attributes of it: ``distributions.normal.Normal``."""
    for part in " ".join(PARTS.values()).split():
        whole, _, last = part.rpartition(".")
        if whole == name and not hasattr(module, last):
            setattr(module, last, sys.modules[f"{ROOT}.{part}"])

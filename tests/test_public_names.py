"""Public names: each has a docstring, and most an example; the number of those without may only fall."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from dualgraph.core.prim import Prim

MODULES = """dualgraph dualgraph.amp dualgraph.autograd dualgraph.autograd.forward_ad dualgraph.autograd.function
dualgraph.autograd.functional dualgraph.autograd.graph dualgraph.compat.torch dualgraph.cuda dualgraph.data
dualgraph.debugging dualgraph.distributed dualgraph.distributions dualgraph.distributions.constraints
dualgraph.fft dualgraph.func dualgraph.linalg dualgraph.masked dualgraph.nn dualgraph.nn.functional
dualgraph.nn.init dualgraph.nn.utils dualgraph.nn.utils.parametrizations dualgraph.nn.utils.parametrize
dualgraph.nn.utils.prune dualgraph.nn.utils.rnn dualgraph.optim dualgraph.optim.lr_scheduler dualgraph.optim.swa_utils
dualgraph.profiler dualgraph.quantization dualgraph.signal dualgraph.special dualgraph.summaries
dualgraph.testing""".split()
WITHOUT_EXAMPLE = 24  # make it less, never more


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module offers: what ``__all__`` lists, or what it and its files define."""
    for name in getattr(module, "__all__", None) or sorted(vars(module)):
        value = getattr(module, name)
        if name[0] != "_" and callable(value) and not isinstance(value, ModuleType):
            if str(getattr(value, "__module__", "")).startswith("dualgraph"):
                yield f"{module.__name__}.{name}", value


def documented(value: Any) -> str:
    own = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return inspect.cleandoc(own or "")


def wants_example(value: Any) -> bool:
    """Whether a formula or a sentence does not say it all, as it does of ``sin`` and of an error."""
    error = inspect.isclass(value) and issubclass(value, BaseException)
    return not (error or (isinstance(value, Prim) and value.kind.name == "elementwise"))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_says_what_it_is(module: str) -> None:
    names = dict(public(importlib.import_module(module)))
    silent = [name for name, value in names.items() if not documented(value)]
    assert names and not silent, silent


def test_more_public_names_show_an_example() -> None:
    found = {id(v): (n, v) for m in MODULES for n, v in public(importlib.import_module(m))}
    without = sorted(
        name for name, v in found.values() if wants_example(v) and ">>>" not in documented(v)
    )
    assert len(without) <= WITHOUT_EXAMPLE, without

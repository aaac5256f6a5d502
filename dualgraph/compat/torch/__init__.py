"""PyTorch's namespace: ``import dualgraph.compat.torch as torch``, and a script for PyTorch runs.

What is one thing in both is the very function, class or module of `dualgraph`. Where the Array API standard gives a
name at the top level another meaning (``max``, ``sort``, ``std``, ``sum``, ...), it has PyTorch's here: that of the
method. Modules are where PyTorch has them (``import dualgraph.compat.torch.nn as nn``, ``torch.utils.data``); the
package has these of its own:

    names       functions that PyTorch alone has       files (save and load)
    places      which module stands for which of PyTorch's       parts (those that PyTorch cuts a larger one into)
    utils, jit, checkpoint, accelerator, compiler, multiprocessing, pytree, tuples, types
                what it keeps in such modules

    >>> import dualgraph.compat.torch as torch
    >>> torch.max(torch.tensor([[1.0, 5.0], [3.0, 4.0]]), 1).indices
    tensor([1, 1])
"""

import importlib
from typing import Any

import dualgraph

from ...eager.methods.elementwise import equal
from ...eager.methods.ordering import argsort, diff, sort
from ...eager.methods.parts import tril, triu
from ...eager.methods.reduction import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    log_softmax,
    max,
    mean,
    min,
    prod,
    softmax,
    std,
    sum,
    var,
)
from ...eager.methods.selection import nonzero, take
from ...eager.methods.shape import broadcast_to, flip, reshape, roll, squeeze, tile
from . import checkpoint, jit, names, utils
from .files import load, save
from .places import PLACES, SAME, register

MODULES = ("accelerator", "compiler", "multiprocessing")  # imported when first asked for
__version__ = names.VERSION

register()


def __getattr__(name: str) -> Any:
    """Whatever is the same in both: a name of `dualgraph`, or a method that writes in place as a function."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name in SAME or name in MODULES:
        return importlib.import_module(f".{name}", __name__)
    writes = name.endswith("_") and hasattr(dualgraph.Tensor, name)
    homes = (
        (names, name in names.__all__),
        (dualgraph, hasattr(dualgraph, name)),
        (dualgraph.Tensor, writes),
    )
    for home, has in homes:
        if has:
            found = globals()[name] = getattr(home, name)  # the next time it is found without this
            return found
    if name in PLACES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; PyTorch's is not here")


def __dir__() -> list[str]:
    """The names of all that is here."""
    return sorted(set(__all__))


__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "broadcast_to", "checkpoint", "count_nonzero", "diff", "equal", "flip",
    "jit", "load", "log_softmax", "max", "mean", "min", "nonzero", "prod", "reshape", "roll", "save", "softmax", "sort",
    "squeeze", "std", "sum", "take", "tile", "tril", "triu", "utils", "var",
]  # fmt: skip
__all__ += names.__all__
__all__ += [name for name in dualgraph.__all__ if name[0] != "_" and name not in set(__all__)]

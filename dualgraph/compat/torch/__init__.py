"""PyTorch's namespace: ``import dualgraph.compat.torch as torch``, and a script for PyTorch runs.

What is one thing in both is the very function, class or module of `dualgraph`. Where the Array API standard gives a
name at the top level another meaning (``max``, ``sort``, ``std``, ``sum``, ...), it has PyTorch's here: that of the
method. Modules are where PyTorch has them (``import dualgraph.compat.torch.nn as nn``, ``torch.utils.data``); the
package has these of its own:

    names       functions that PyTorch alone has       files (save and load)
    utils, jit, checkpoint    what it keeps in such modules

    >>> import dualgraph.compat.torch as torch
    >>> torch.max(torch.tensor([[1.0, 5.0], [3.0, 4.0]]), 1).indices
    tensor([1, 1])
"""

import importlib
import sys
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

__version__ = "2.13.0+dualgraph"  # the version that it follows

# PyTorch's modules, for imports of them: where those are that stand for them.
_PLACES = dict.fromkeys("""amp autograd autograd.forward_ad autograd.functional autograd.function autograd.graph
    backends cuda distributed distributions distributions.constraints fft func linalg masked nn nn.functional nn.init
    nn.parallel nn.parameter nn.utils nn.utils.parametrizations nn.utils.parametrize nn.utils.prune nn.utils.rnn optim
    optim.lr_scheduler optim.swa_utils profiler quantization signal special testing""".split(), "")  # fmt: skip
_PLACES |= {
    "ao.quantization": "quantization",
    "autograd.profiler": "profiler",
    "cuda.amp": "amp",
    "utils.data": "data",
}
_PLACES |= {"utils.checkpoint": "compat.torch.checkpoint", "utils.data.distributed": "data"}
_PLACES |= {"multiprocessing": "distributed", "utils.tensorboard": "summaries"}
for _place, _home in _PLACES.items():
    sys.modules[f"{__name__}.{_place}"] = importlib.import_module(f"dualgraph.{_home or _place}")


def __getattr__(name: str) -> Any:
    """Whatever is the same in both: a name of `dualgraph`, or a method that writes in place as a function."""
    if name.startswith("__"):
        raise AttributeError(name)
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

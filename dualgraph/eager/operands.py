"""Operands: whatever a function is given as a tensor, and the dtypes operands meet in."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from inspect import CO_VARARGS
from types import CodeType
from typing import Any, TypeVar

from ..core import dtypes as dt
from ..core.errors import DTypeError, describe
from ..ops import arithmetic as ar
from ..ops import movement as mv
from .creation import asarray
from .inplace import into
from .tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])
PYTORCH_NAMES = {
    "dim": "axis", "dims": "axis", "keepdim": "keepdims", "shifts": "shift", "diagonal": "k"
}  # fmt: skip
FIRST = ("input", "tensors")  # and for the operand that has no name in the standard


def also_dim(fn: F) -> F:
    """Decorator: PyTorch's parameter names, as ``input``, ``dim`` and ``keepdim``, are taken for the standard's.

    So is its ``out=``.

    More operands than the standard has are an error that names both ways to say it.
    """

    code: CodeType = fn.__code__  # type: ignore[attr-defined]
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    names = PYTORCH_NAMES | ({"dim": "axes", "dims": "axes"} if "axes" in own else {})
    most, label = code.co_argcount if not code.co_flags & CO_VARARGS else sys.maxsize, code.co_name

    @functools.wraps(fn)
    def call(*args: Any, **params: Any) -> Any:
        if params:
            if (out := params.pop("out", None)) is not None:
                return into(out, call, *args, **params)
            if not args:
                args = tuple(params.pop(name) for name in FIRST if name in params)
            for name, standard in names.items():
                if name in params:
                    params[standard] = params.pop(name)
        if len(args) > most:
            problem = f"takes {most} operand{'s' * (most != 1)}, {len(args)} were given"
            remedy = (
                f"name the others: dg.{label}(x, axis=...), or call the method, which is PyTorch's"
            )
            raise DTypeError(describe(label, "", problem, remedy))
        return fn(*args, **params)

    return call


def also_out(fn: F) -> F:
    """Decorator: ``out=`` names a tensor that takes the result."""

    @functools.wraps(fn)
    def call(*args: Any, out: Any = None, **params: Any) -> Any:
        return fn(*args, **params) if out is None else into(out, fn, *args, **params)

    return call  # type: ignore[return-value]


def as_operand(x: Any) -> Tensor:
    """A tensor of whatever has asarray semantics."""
    return x if isinstance(x, Tensor) else asarray(x)


def as_in(x: Tensor, dtype: Any, device: Any) -> dict[str, Any]:
    """Keywords for a new tensor: a dtype and a device, those of x for what is None."""
    return {
        "dtype": x.dtype if dtype is None else dtype,
        "device": x.device if device is None else device,
    }


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x in another dtype; a copy unless `copy` is False and nothing changes.

    >>> dg.astype(dg.asarray([1.7, -1.7]), dg.int32)
    tensor([ 1, -1], dtype=dualgraph.int32)
    """
    x = as_operand(x)
    target = dt.as_dtype(dtype)
    if device is not None:
        x = x.to(device)
    if target is x.dtype:
        return mv.copy(x) if copy else x
    return ar.cast(x, dtype=target.name)


def result_type(*operands: Any) -> dt.DType:
    """The dtype that operands (tensors, dtypes, numbers) promote to.

    >>> dg.result_type(dg.int32, dg.float32)
    dualgraph.float32
    """
    strong = [
        o.dtype if isinstance(o, Tensor) else dt.as_dtype(o)
        for o in operands
        if not isinstance(o, (bool, int, float, complex))
    ]
    if not strong:
        return dt.promote(*(dt.of_scalar(o) for o in operands))
    out = dt.promote(*strong)
    for o in operands:
        if isinstance(o, (bool, int, float, complex)):
            out = dt.promote_scalar(out, o)
    return out


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion can turn `from_` (a dtype or tensor) into `to`.

    >>> dg.can_cast(dg.float64, dg.float32)
    False
    """
    source = from_.dtype if isinstance(from_, Tensor) else dt.as_dtype(from_)
    return dt.promote(source, dt.as_dtype(to)) is dt.as_dtype(to)

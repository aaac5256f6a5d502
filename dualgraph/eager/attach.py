"""Attaching: functions whose first operand is a tensor, made methods of `Tensor`.

The class itself (tensor.py) knows only memory and tape, which everything below ops needs; what is built
of ops is defined above them and attached here, so that no import goes up.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.errors import DTypeError, describe
from .creation import asarray
from .inplace import into
from .tensor import Tensor

_NOTHING: Any = object()
OTHER_NAMES = {"axis": "dim", "keepdims": "keepdim"}
F = TypeVar("F", bound=Callable[..., Any])


def method(fn: F) -> F:
    """Decorator: the function is also a method of `Tensor`; called as a function it takes arrays, too.

    As a function it takes the standard's ``axis`` and ``keepdims`` for ``dim`` and ``keepdim``, and PyTorch's ``out=``.
    """
    setattr(Tensor, fn.__name__, fn)
    code = inspect.unwrap(fn).__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    spelled = {k: v for k, v in OTHER_NAMES.items() if v in own and k not in own}

    @functools.wraps(fn)
    def call(x: Any = _NOTHING, /, *args: Any, **params: Any) -> Any:
        if x is _NOTHING:
            first = next((n for n in ("input", "x") if n in params), None)
            if first is None:
                raise DTypeError(describe(fn.__name__, "", "needs a tensor"))
            x = params.pop(first)
        if params:
            if (out := params.pop("out", None)) is not None:
                return into(out, call, x, *args, **params)
            for name, taken in spelled.items():
                if name in params:
                    params[taken] = params.pop(name)
        return fn(x if isinstance(x, Tensor) else asarray(x), *args, **params)

    return call


def methods(**named: Any) -> None:
    """Attaches functions or properties under the given names."""
    for name, value in named.items():
        setattr(Tensor, name, value)


def as_method(op: Any, name: str = "") -> Callable[..., Any]:
    """A plain function around an op, since only functions bind to the object they are found on."""

    def call(self: Tensor, *args: Any, **params: Any) -> Any:
        return op(self, *args, **params)

    call.__name__ = call.__qualname__ = name or op.__name__
    call.__doc__ = op.__doc__
    call.op = op  # type: ignore[attr-defined]
    return call


def later(home: Callable[[], Any], names: str) -> None:
    """Attaches functions of a module that is imported when one of them is first called."""

    def borrowed(name: str) -> Callable[..., Any]:
        def call(self: Tensor, *args: Any, **params: Any) -> Any:
            return getattr(home(), name)(self, *args, **params)

        call.__name__ = call.__qualname__ = name
        call.__doc__ = f"``dg.{name}`` of x."
        return call

    methods(**{name: borrowed(name) for name in names.split()})

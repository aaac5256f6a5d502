"""Reach: whether a function that is not going to run could give a result that wants gradients."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ..core.trees import flatten
from ..eager.batch import tracked
from ..eager.tensor import Tensor

MOST = 10_000  # objects that are looked at


def reaches_gradients(fn: Any) -> bool:
    """Whether `fn`, or what it names and calls, holds a tensor that wants gradients.

    Closure variables, globals, defaults, bound objects, their attributes and what containers hold are looked at.

    >>> import dualgraph as dg
    >>> w = dg.ones(2, requires_grad=True)
    >>> reaches_gradients(lambda x: x * w), reaches_gradients(lambda x: x * 2)
    (True, False)
    """
    stack, seen = [fn], {}
    while stack and len(seen) < MOST:
        x = stack.pop()
        if id(x) in seen:
            continue
        seen[id(x)] = x
        if isinstance(x, Tensor):
            if tracked(x):
                return True
        else:
            stack.extend(_held(x))
    return False


def _held(x: Any) -> Iterator[Any]:
    if isinstance(x, FunctionType):
        yield from (c.cell_contents for c in x.__closure__ or () if _filled(c))
        yield from (x.__globals__[n] for n in _names(x.__code__) if n in x.__globals__)
        yield from (*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values())
    elif isinstance(x, MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, partial):
        yield from (x.func, *x.args, *x.keywords.values())
    elif isinstance(x, (list, tuple, dict)):
        yield from flatten(x)[0]
    elif not isinstance(x, (type, ModuleType)):
        yield from getattr(x, "__dict__", {}).values()
        call = getattr(type(x), "__call__", None)
        if isinstance(call, FunctionType):
            yield call


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a variable that is not bound yet
        return False
    return True


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for c in code.co_consts:
        if isinstance(c, CodeType):
            yield from _names(c)

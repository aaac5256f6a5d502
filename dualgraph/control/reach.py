"""Reach: where gradients could flow, of functions that are not going to run, and of graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ..core.node import Var
from ..core.trees import flatten
from ..eager.batch import tracked
from ..eager.tensor import Tensor
from ..ops.movement import stop_gradient
from ..static.graph import Graph
from ..static.region import is_region

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
    """What a callable or container refers to: closures, globals, defaults, items, attributes."""
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
        if callable(x) and not isinstance(x, BuiltinFunctionType):
            yield type(x).__call__


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


def untied(operands: Sequence[Tensor], graphs: Sequence[Graph]) -> list[Tensor]:
    """Operands of bodies, off the tape where no gradient comes from any result: the op is on it for the others only."""
    flows = [any(some) for some in zip(*map(_flows, graphs), strict=True)]
    return [
        x if f or not tracked(x) else stop_gradient(x) for x, f in zip(operands, flows, strict=True)
    ]


def _flows(graph: Graph) -> list[bool]:
    """To which inputs gradients of the outputs flow."""
    live = {v for v in graph.outputs if isinstance(v, Var) and v.type.dtype.is_inexact}
    for node in reversed(graph.nodes):
        if live.isdisjoint(node.outputs):
            continue
        if is_region(node):
            taken = _flows(node.params["body"])
        else:
            taken = [node.prim.vjp_rule is not None] * len(node.inputs)
        read = (v for v, t in zip(node.inputs, taken, strict=True) if t and isinstance(v, Var))
        live.update(v for v in read if v.type.dtype.is_inexact)
    return [v in live for v in graph.inputs]

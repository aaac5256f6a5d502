"""Refilling: a step that Python sees to, at other sizes, where its numbers are worked ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.node import Node, Var
from ..core.numbers.worked import Unfollowed, Worked
from ..static.graph import Graph


def numbers_of(node: Node) -> tuple[Any, ...]:
    """The worked numbers of a step, in order. Unfollowed where it has a body."""
    return tuple(_found(_parts(node)))


def at_numbers(node: Node, numbers: Iterable[int]) -> Node:
    """The step with plain numbers in the places of its worked ones."""
    inputs, outputs, params = _put(_parts(node), iter(numbers))
    return Node(node.prim, inputs, params, outputs, node.where)


def _parts(node: Node) -> tuple[Any, ...]:
    return node.inputs, node.outputs, node.params


def _found(value: Any) -> Iterator[Any]:
    """The worked numbers in a value, in order."""
    if type(value) is Worked:
        yield value
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from _found(v)
    elif isinstance(value, Mapping):
        yield from _found(tuple(value.values()))
    elif type(value) is Var:
        yield from _found(value.type.shape)
    elif type(value) is Graph:
        raise Unfollowed("a step with a body that Python sees to")


def _put(value: Any, numbers: Iterator[int]) -> Any:
    """The value with the next numbers in the place of its worked ones."""
    if type(value) is Worked:
        return next(numbers)
    if isinstance(value, (tuple, list)):
        own = [_put(v, numbers) for v in value]
        if all(x is y for x, y in zip(own, value, strict=True)):
            return value
        return type(value)(*own) if hasattr(value, "_fields") else type(value)(own)
    if isinstance(value, Mapping):
        return {k: _put(v, numbers) for k, v in value.items()}
    if type(value) is Var:
        return Var(value.id, value.type._replace(shape=_put(value.type.shape, numbers)))
    return value

"""Loops over whole numbers and choices by them, made of `scan`, `while_loop` and `cond`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.errors import ArgumentError, DTypeError, describe
from ..eager.filling import arange
from ..eager.tensor import Tensor
from .body import tensors_of
from .cond import cond
from .loop import while_loop
from .scan import scan


def fori_loop(lower: Any, upper: Any, body_fn: Callable[[Any, Any], Any], init: Any) -> Any:
    """``for i in range(lower, upper): value = body_fn(i, value)``, from `init`: the last value.

    The value is a tree of tensors that keeps its structure and types; `i` is an int64 tensor. With two Python numbers
    this is a `scan`, which has gradients; with a tensor among them a `while_loop`, of as many steps as it says then.

    >>> import dualgraph as dg
    >>> dg.fori_loop(1, 5, lambda i, x: x * i, dg.asarray(1)).item()
    24
    """
    if not isinstance(lower, Tensor) and not isinstance(upper, Tensor):
        numbers = arange(lower, max(lower, upper), dtype="int64")
        return scan(lambda value, i: (body_fn(i, value), None), init, numbers)[0]
    (start, stop), _ = tensors_of("fori_loop", (lower, upper))
    for t in (start, stop):
        if not t.dtype.is_integer or t.shape:
            problem = "loops are counted from one whole number to another"
            raise DTypeError(
                describe("fori_loop", f"{start.tensor_type}, {stop.tensor_type}", problem)
            )
    start = start.to(dtype="int64")  # type: ignore[attr-defined]

    def step(carry: Any) -> Any:
        i, value = carry
        return i + 1, body_fn(i, value)

    return while_loop(lambda carry: carry[0] < stop, step, (start, init))[1]


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; an index out of range takes the first or the last of them.

    `index` is a Python int or an integer tensor of no dimensions; the branches give the same structure and types. What
    holds for `cond` holds here: it is one, or several of them.

    >>> import dualgraph as dg
    >>> dg.switch(dg.asarray(1), [lambda x: x, lambda x: x * 2, lambda x: x * 3], dg.asarray(5.0)).item()
    10.0
    """
    if not branches:
        raise ArgumentError(describe("switch", "", "there is no branch to choose"))
    last = len(branches) - 1
    if isinstance(index, int):
        return branches[min(max(index, 0), last)](*operands)
    (place,), _ = tensors_of("switch", [index])
    if not place.dtype.is_integer or place.shape:
        problem = "a branch is chosen by one whole number"
        raise DTypeError(describe("switch", str(place.tensor_type), problem))

    def among(first: int, last: int) -> Callable[..., Any]:
        if first == last:
            return branches[first]
        middle = (first + last) // 2
        below, above = among(first, middle), among(middle + 1, last)
        return lambda *given: cond(place <= middle, below, above, *given)  # type: ignore[operator]

    return among(0, last)(*operands)

"""Claims: the one place to ask for a native kernel that takes the place of an op's own, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ...core.node import Node
from . import api, attention, contract, movers

Kernel = Callable[..., Any]
CLAIMED: dict[str, Callable[..., Kernel | None]] = {
    **dict.fromkeys(attention.CLAIMED, attention.claimed),
    **dict.fromkeys(contract.CLAIMED, contract.claimed),
    **dict.fromkeys(movers.CLAIMED, movers.claimed),
}


@cache
def claimed(name: str, *dtypes: Any) -> Kernel | None:
    """The kernel ``kernel(*arrays, out=None, **params)`` for an op on arrays of these NumPy dtypes, or None.

    It gives the result, in `out` if that is given (a tuple for ops with several results). Where it gives
    None it leaves these arrays to the op's own kernel, and `out` is untouched. Its bits are those of the
    op's own kernel, or both modes always use it.
    """
    source = CLAIMED.get(name)
    return source(name, *dtypes) if source is not None and api.available() else None


def keeps_bits(name: str) -> bool:
    """Whether an op's own kernel gives the bits of the one that is claimed for it."""
    return name in movers.CLAIMED


def may_overwrite(node: Node, operand: int) -> bool:
    """Whether an op's kernel here allows its result in the memory of an operand."""
    alone = node.inputs.count(node.inputs[operand]) == 1
    return operand == 0 and alone and node.prim.name in movers.IN_PLACE and api.available()

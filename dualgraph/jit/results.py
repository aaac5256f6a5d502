"""Results: how each part of what a captured function gave is made on each call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.backend import backend_for
from ..eager.tensor import Tensor


class Result(NamedTuple):
    """How one leaf of the result is made on each call, by its `kind`:

    "value"                         the Python value `key`
    "computed"                      number `key` of those that the formulas give
    "leaf"                          argument leaf `key`
    "input"                         the tensor of input `key` itself
    "view"                          the view ops `chain` applied to input `key`
    "output"                        output `key`; with a `base`, the view ops `chain` on the memory of that result
    "same"                          result `key`, once more
    "item", "float", "int", "bool"  the Python number in output `key`, as this takes it out
    """

    kind: str
    key: Any
    chain: tuple[tuple[Any, dict[str, Any]], ...] = ()
    requires_grad: bool = False
    released: bool = False
    base: int | None = None
    # Of a "view" that gradients flow through: the output that stands for it on the tape.
    output: int | None = None
    held: Any = None  # of a "view" that code outside holds: that very tensor
    array: bool = False  # whether it is the NumPy array of that tensor
    op: str = "compiled"  # of an "output" with a history: what made it, as the tape names it

    @property
    def flows(self) -> bool:
        """Whether gradients flow through it."""
        return self.requires_grad and not self.released


def view(t: Tensor, chain: tuple[tuple[Any, dict[str, Any]], ...]) -> Tensor:
    """The view that these ops make."""
    for prim, params in chain:
        t = prim(t, **params)
    return t


def tensor_of(array: Any) -> Tensor:
    """An array as a tensor."""
    return array if isinstance(array, Tensor) else Tensor(array)


def store_back(target: Any, value: Any) -> None:
    """Puts a stored value into the tensor, or the array, that the call writes."""
    if not isinstance(target, Tensor):
        if value is not target:
            np.copyto(target, value)
        return
    if value is not target._data:  # else the program has written it there
        backend_for(target.device).xp.copyto(target._data, value)
    target._version_cell()[0] += 1
    target._stamp = target._version

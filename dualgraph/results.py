"""Results: how each part of what a captured function gave is made on each call."""

from __future__ import annotations

from typing import Any, NamedTuple


class Result(NamedTuple):
    """How one leaf of the result is made on each call.

    ``kind``: "value" (the Python value `key`), "leaf" (argument leaf `key`), "input" (the tensor of input `key`
    itself), "view" (the view ops `chain` applied to input `key`), "output" (output number `key`; with a
    `base`, the view ops `chain` applied to the memory of that result), "same" (result `key`); "item", "float",
    "int", "bool" (the Python number in output `key`, as this takes it out).
    """

    kind: str
    key: Any
    chain: tuple[tuple[Any, dict[str, Any]], ...] = ()
    requires_grad: bool = False
    released: bool = False
    base: int | None = None
    output: int | None = (
        None  # of a "view" that gradients flow through: the output that stands for it on the tape
    )

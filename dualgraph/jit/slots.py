"""Slots: where the inputs of a captured program come from, looked up for each call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.backend import backend_for
from ..core.dtypes import as_scalar
from ..core.errors import StateError
from ..core.process.silence import quietly
from ..eager.tensor import Tensor
from ..static.capture import Tracer, swept
from ..static.footprint import Footprint
from ..static.trace import Slot, Trace


def fetch(slot: Slot, leaves: list[Any], memo: dict[int, Any] | None = None) -> Any:
    """What a slot holds now; `memo` has what NumPy has worked out for other slots."""
    if slot.kind == "leaf":
        return leaves[slot.key[0]]
    if slot.kind == "place":
        return slot.key.read()
    if slot.kind == "grad":
        return slot.key._grad
    if slot.kind == "leaf grad":
        return leaves[slot.key[0]]._grad
    if slot.kind == "worked":
        return slot.key.value(leaves, {} if memo is None else memo)
    if slot.kind == "number":
        holder, key = slot.key
        value = holder.get(key)
        return (
            quietly(np.asarray, value, slot.type.dtype.numpy) if isinstance(value, float) else None
        )
    if slot.kind == "computed":
        numbers = slot.key.formulas.of_call(leaves)
        return _known(slot, numbers) if type(numbers) is tuple else None
    return slot.key


def fetch_all(slots: tuple[Slot, ...], leaves: list[Any], numbers: Sequence[Any]) -> list[Any]:
    """What slots hold now; `numbers` are those that the program's formulas give."""
    memo: dict[int, Any] = {}
    return [_known(s, numbers) if s.kind == "computed" else fetch(s, leaves, memo) for s in slots]


def _known(slot: Slot, numbers: Sequence[Any]) -> Any:
    """A number that formulas give; None where it follows from one that the call has not taken out of a tensor yet."""
    return numbers[slot.key.place] if slot.key.place < len(numbers) else None


def as_array(slot: Slot, held: Any) -> Any:
    """The array that a program is run on for a slot which holds `held`."""
    if isinstance(held, Tensor):
        return held._data
    number = slot.kind == "computed" and held is not None
    return np.asarray(as_scalar(held, slot.type.dtype)) if number else held


def arrays_of(slots: tuple[Slot, ...], leaves: list[Any]) -> list[Any]:
    """Copies of what slots hold now, row-major; StateError where a gradient is gone."""
    out = []
    for slot in slots:
        held = fetch(slot, leaves)
        if held is None:
            problem = "a .grad that the program reads is gone (by zero_grad(), say)"
            if slot.kind == "computed":
                problem = "with this number the code does something else, or it is found out in the call itself"
                problem = f"{problem}: {slot.key.text}"
            raise StateError(problem)
        data = as_array(slot, held)
        out.append(backend_for(slot.type.device).xp.array(data, order="C"))
    return out


def held_at_capture(slot: Slot) -> Any:
    """The tensor or array of a slot that a captured call writes (None: a gradient that is gone)."""
    if slot.kind == "place":
        return slot.key.tensor
    owner = slot.key[1] if slot.kind.startswith("leaf") else slot.key
    return owner._grad if slot.kind.endswith("grad") else owner


def fits(slot: Slot, now: Any) -> bool:
    """Whether what a slot holds now is what the program takes."""
    if now is None:
        return False
    if slot.kind == "computed":
        return True
    if not isinstance(now, Tensor):
        return bool(now.shape == slot.type.shape)
    if now._data.shape != slot.type.shape or now.dtype is not slot.type.dtype:
        return False
    if slot.kind in ("grad", "leaf grad"):
        return not now.requires_grad or swept(now)
    return now._requires_grad is slot.requires_grad


def leaf_tensors(slots: tuple[Slot, ...]) -> list[Any]:
    """For each argument leaf the tensor it was at capture (None where the leaf is none)."""
    size = 1 + max((s.key[0] for s in slots if s.kind == "leaf"), default=-1)
    out: list[Any] = [None] * size
    for s in slots:
        if s.kind == "leaf":
            out[s.key[0]] = s.key[1]
    return out


def places_of(slots: Sequence[Slot]) -> tuple[int | Tensor, ...] | None:
    """Which argument leaf each slot is, -2, -3 ... for promoted numbers, or the tensor that it always is; None where
    some are none of these."""
    numbers = count(-2, -1)
    out: list[int | Tensor] = []
    for s in slots:
        if s.kind == "computed":
            out.append(next(numbers))
        elif s.kind == "leaf" and isinstance(s.key[1], Tensor):
            out.append(s.key[0])
        elif s.kind == "tensor" and isinstance(s.key, Tensor):
            out.append(s.key)
        else:
            return None
    return tuple(out)


def one_tensor(a: Slot, b: Slot) -> bool:
    """Whether one tensor was passed as both arguments (the key of the call says that it is again)."""
    return a.kind == b.kind == "leaf" and a.key[1] is b.key[1]


def lies_in_order(held: Any) -> bool:
    """Whether a tensor or array is row-major."""
    data = held._data if isinstance(held, Tensor) else held
    return data is not None and bool(data.flags.c_contiguous)


def one_place(a: Slot, b: Slot) -> bool:
    """Whether two slots lead to the same place on each call."""
    if a.kind != b.kind or a.type != b.type or a.requires_grad is not b.requires_grad:
        return False
    if a.kind in ("leaf", "leaf grad"):
        return bool(a.key[0] == b.key[0])
    if a.kind == "number":
        return a.key[0] is b.key[0] and a.key[1] == b.key[1]
    if a.kind in ("computed", "place", "worked"):
        return bool(a.key.same(b.key))
    return a.key is b.key


def introduce(tracer: Tracer, leaves: list[Any], footprint: Footprint, known: Trace | None) -> None:
    """Tells a tracer where tensors and arrays of each call come from; one that goes on with a trace `known` has the
    places of that, too."""
    if known is not None:
        tracer.places = {id(s.key.read()): s for s in known.slots if s.kind == "place"}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            tracer.add_root(leaf, Slot("leaf", (i, leaf), leaf.tensor_type, leaf._requires_grad))
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, np.ndarray):
            _learn_of(tracer, leaf, "leaf", (i, leaf))
    for array, _ in footprint.arrays.values():
        _learn_of(tracer, array, "array", array)


def _learn_of(tracer: Tracer, array: Any, kind: str, key: Any) -> None:
    """Lets the tracer find an array again that can be an input."""
    if array.dtype.isnative and array.dtype.name in dt.BY_NAME:
        tracer.know_array(
            array, Slot(kind, key, Tensor(array, dt.from_numpy(array.dtype)).tensor_type)
        )

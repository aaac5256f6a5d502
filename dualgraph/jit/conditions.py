"""Conditions: what a program assumes of the calls that it serves (guards), and why it cannot serve one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.backend import backend_for
from ..core.errors import NOWHERE, DualgraphError, problem_of
from ..core.hooks import hooked
from ..eager.tensor import Tensor
from ..static.checks import Assumption, same_bytes
from ..static.footprint import Footprint
from ..static.trace import Trace
from .outcome import Outcome
from .promoted import Leaf, Promoted, Source
from .rebound import FormCheck, meeting
from .slots import (
    as_array,
    fetch,
    fetch_all,
    fits,
    held_at_capture,
    leaf_tensors,
    lies_in_order,
    one_tensor,
)

CONTENTS = "the values in argument"  # begins what is said where those of an array differ


class Conditions(Outcome):
    """Of one captured path: Python state and arguments are what they were, and memory lies as the program needs it."""

    places: Sequence[FormCheck] = ()  # places whose tensors are inputs
    promoted: Promoted | None = None  # Python numbers that are not a part of the key of its calls
    as_sizes: tuple[tuple[Source, int], ...] = ()  # those that are sizes, and what they are

    def __init__(
        self, trace: Trace, footprint: Footprint, arguments: tuple[Assumption, ...],
        contents: tuple[tuple[int, Any], ...], swept: bool,
    ) -> None:  # fmt: skip
        self.trace = trace
        self.footprint = footprint
        self.mismatch = ""  # why the last call that took another path did
        self._arguments = arguments
        self._contents = contents  # argument leaves that are arrays whose values were looked at
        self._same = {
            s.key[0]: s.key[1]
            for s in trace.slots
            if s.kind == "leaf" and id(s.key[1]) in footprint.tensors
        }
        self._unhooked = tuple(s for s in trace.slots if swept and s.requires_grad)
        self._direct: tuple[int, ...] = ()  # inputs that the program itself writes
        slots = trace.slots
        leaf_of = {id(t): i for i, t in enumerate(leaf_tensors(slots))}
        self._entry = tuple((leaf_of.get(id(t), t), had) for t, had in trace.entry_grads)
        stored = self._stored = frozenset(s.input for s in trace.stores)
        self._row_major = frozenset(i for i in stored if lies_in_order(held_at_capture(slots[i])))
        self._overlaps = tuple(
            (i, j, backend_for(slots[i].type.device).xp) for i in sorted(stored) for j in range(len(slots))
            if i != j and slots[j].kind != "computed" and (slots[i].kind != "tensor" or slots[j].kind != "tensor")
            and slots[i].type.device is slots[j].type.device and not one_tensor(slots[i], slots[j])
        )  # fmt: skip

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """Everything the capture relied on, each with its source line."""
        state_of = tuple(c.assumption() for c in self.footprint.checks)
        checked = self.footprint.tensors
        tensors = tuple(
            Assumption(s.kind, self._name_of(i), str(s.type), NOWHERE)
            for i, s in enumerate(self.trace.slots)
            if s.kind not in ("leaf", "computed", "worked") and id(s.key) not in checked
        )
        grads = tuple(
            Assumption("gradient", "a tensor's .grad", "present" if had else None, NOWHERE)
            for _, had in self._entry
        )
        free = self.any_taken
        taken = tuple(
            Assumption("value", f"taken[{i}]", f"any {type(c.value).__name__}", c.where)
            if i in free else Assumption("value", c.name, "any array" if c.outcome is None else c.value, c.where)
            for i, c in enumerate(self.trace.concrete)
        )  # fmt: skip
        given = self._arguments if self.promoted is None else self.promoted.assumed(self._arguments)
        return (*given, *state_of, *tensors, *grads, *taken)

    def _name_of(self, i: int) -> str:
        """What the code calls the place of input `i`, where one is known."""
        kind, key = self.trace.slots[i][:2]
        owner = key[1] if kind.startswith("leaf") else key
        if kind == "number":
            return f"the entry {key[1]!r}"
        name = self.footprint.tensors.get(id(owner), f"input {i}")
        return f"{name}.grad" if kind.endswith("grad") else name

    def broken(self, leaves: list[Any]) -> str | None:
        """The first assumption about state that does not hold now, or None."""
        for source, was in self.as_sizes:
            now = source.read(leaves)
            if type(now) is not int or now != was:
                return f"{source.name} changed"
        if self.promoted is not None:
            numbers = self.promoted.numbers(leaves)
            if type(numbers) is str:
                return numbers
        check = self.footprint.failing()
        if check is not None:
            at = f" (read at {check.where})" if check.where.line else ""
            return f"{check.name} changed{at}"
        if grad := self.other_grad(leaves):
            return grad
        for i, values in self._contents:
            if not same_bytes(leaves[i], values):
                return f"{CONTENTS} {self._arguments[i].name}, an array that the code looks into, changed"
        for i, leaf in enumerate(leaves):
            known = id(leaf) in self.footprint.tensors or i in self._same
            if known and self._same.get(i) is not leaf:
                return (
                    f"argument {self._arguments[i].name} and a tensor that the code reads elsewhere "
                    "were one, and are not now, or are now"
                )
        if self.places and (one := meeting(self.places, leaves, self.footprint.tensors)):
            return one
        for slot in self._unhooked:
            if hooked(fetch(slot, leaves)._node):
                return "a hook is set on an input"
        for slot in self.trace.slots:
            known = slot.kind in ("leaf", "computed", "place", "worked")
            if not known and not fits(slot, fetch(slot, leaves)):
                return f"a tensor read from outside is no longer {slot.type}"
        return None

    def size_of(self, leaf: int) -> tuple[int, ...]:
        """What an argument leaf that is a size was, as a tuple of one (of none: it is no size)."""
        return tuple(n for s, n in self.as_sizes if isinstance(s, Leaf) and s.index == leaf)

    @property
    def any_taken(self) -> frozenset[int]:
        """Which numbers that a call takes out of tensors may be any."""
        return frozenset() if self.promoted is None else self.promoted.any_taken

    def is_free(self, leaf: int) -> bool:
        """Whether an argument leaf may be any number of its type."""
        return self.promoted is not None and self.promoted.is_free(leaf)

    def other_grad(self, leaves: Sequence[Any]) -> str:
        """Which tensor has a gradient now, and had none in the capture, or the other way about ("": none)."""
        for owner, had in self._entry:
            tensor = leaves[owner] if isinstance(owner, int) else owner
            if (tensor._grad is not None) is not had:
                before = (
                    "was there before and is not now" if had else "is there that was not before"
                )
                return f"a .grad {before}"
        return ""

    def _fetch(self, leaves: list[Any]) -> Any:
        """What its inputs hold, and the arrays that it is run on; else why it is not for this call."""
        slots = self.trace.slots
        if self.promoted is None:
            tensors = fetch_all(slots, leaves, ())
            return self._lying(tensors, [t._data if isinstance(t, Tensor) else t for t in tensors])
        numbers = self.promoted.numbers(leaves)
        if type(numbers) is str:
            return numbers
        tensors = fetch_all(slots, leaves, numbers)
        try:
            return self._lying(tensors, list(map(as_array, slots, tensors)))
        except DualgraphError as problem:  # a number that its dtype cannot hold
            return problem_of(problem)

    def _lying(self, tensors: list[Any], arrays: list[Any]) -> Any:
        """Both, where the arrays are what the program is made for: another thread may exchange a tensor's memory at any
        time, after it was looked at."""
        for slot, array in zip(self.trace.slots, arrays, strict=True):
            if array is not None and not slot.type.of_array(array):
                return "a tensor was given other memory"
        return tensors, arrays

    def unfit(self, leaves: list[Any]) -> str:
        """Why the memory of the tensors does not allow the program to run ("": it does)."""
        held = self._fetch(leaves)
        return held if type(held) is str else self._unfit(held[1])

    def _unfit(self, arrays: list[Any]) -> str:
        """Why the memory of the inputs does not allow what the program writes ("": it does)."""
        for i, j, xp in self._overlaps:
            if arrays[j] is not None and xp.may_share_memory(arrays[i], arrays[j]):
                return "an input that is written shares memory with another"
        for i in self._stored:  # a store that fails halfway would have been half done
            flags = arrays[i].flags
            if not getattr(flags, "writeable", True) or (
                i in self._direct and not flags.c_contiguous
            ):
                return "an input that is written is read-only or not row-major"
        return ""

"""Outright: programs whose calls native code makes from beginning to end - what they take, and what they leave behind.

As `outcome` has it, for the most usual: one native segment, on tensors that are arguments, always the same, or at
places in Python state. What cannot be told in such a table takes the way through Python.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends.executor import Direct
from ..core.context import state
from ..core.dtypes import bfloat16
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..effects import Pending
from ..static.checks import TensorCheck
from ..static.code.calls import TAKERS
from ..static.trace import Slot
from .outcome import Outcome
from .program import Program
from .promoted import place_key
from .results import Result
from .slots import fetch


def run_of(program: Program, args: Sequence[Any], table: Any) -> Any:
    """How calls like this one are made, for `guard.table`; None where Python has to see to something.

    It holds for calls with the present grad mode.
    """
    executable = program._executable
    taped = program._tracked and state.grad
    released = program._required or any(g.released for g in program.trace.grads)
    if executable is None or program.extra or program.path or program._checked or taped or released:
        return None
    call = _Call(program, args)
    numbers = call.numbers()
    known = numbers is not None and call.told()
    direct = executable.direct(checked=True, several=True, anywhere=True) if known else None
    if direct is None:
        return None
    words = importlib.import_module("..backends.native.guard.outcome_words", __package__)
    outcome = call.outcome(direct, executable.donated, words)
    if outcome is None:
        return None
    places = [c.place for c in program.places]
    how = (
        call.operands(direct),
        call.states,
        places,
        len(call.found),
        program.tally,
        numbers or None,
    )
    run = table.Run(direct, *how, outcome, program.turned is not None)
    return run if table.room_for(run, len(args)) else None


class _Number:
    """A number in Python state that a program reads on each call."""

    __slots__ = ("_last", "_slot")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._last: tuple[Any, Any] = (None, None)  # the object that was there, and its array

    def now(self) -> Any:
        """Its array, made anew where another object is there now; None where that is for Python to see to."""
        holder, key = self._slot.key
        value, array = self._last
        found = holder.get(key)
        if found is not value or array is None:
            array = fetch(self._slot, [])
            self._last = found, array
        return array


class _Call:
    """What a call of a program takes: tensors, by number - arguments, then those that it always takes, then those at
    places - and promoted numbers."""

    def __init__(self, program: Program, args: Sequence[Any]) -> None:
        self.program, self.args = program, args
        self.slots = program.trace.slots
        held = [s.key for s in self.slots if s.kind == "tensor" and isinstance(s.key, Tensor)]
        held += [t for t in program._owners if isinstance(t, Tensor)]
        self.states = list({id(t): t for t in held}.values())
        first: dict[int, Any] = {}  # where each tensor at places is met first
        for check in program.places:
            for i, v in enumerate(flatten(check.expected)[0]):
                if isinstance(v, Tensor):
                    first.setdefault(id(v), (place_key(check), i))
        self.found = list(first.values())
        results = [r for r in program.results if r.kind == "computed"]
        kept = [
            [i for i, s in enumerate(self.slots) if s.kind == k] for k in ("computed", "number")
        ]
        self.taken = [*kept[0], *(-1 for _ in results), *kept[1]]  # where each number goes

    def numbers(self) -> Any:
        """What gives the numbers for a call's arguments, in a tuple ((): there are none); None where Python has to."""
        promoted, made = self.program.promoted, None
        if promoted is not None and promoted.formulas is not None:
            made = promoted.arrays_of(len(self.args), self.slots, self.program.results)
            if made is None:
                return None
        slots = [_Number(s) for s in self.slots if s.kind == "number"]
        turned = self.program.turned

        def numbers(*args: Any) -> Any:
            first = () if made is None else made(*args)
            more = [s.now() for s in slots]
            if first is None or None in more or not (turned is None or turned(*args)):
                return None
            return (*first, *more)

        return numbers if slots or turned else made or ()

    def told(self) -> bool:
        """Whether all that it takes can be told, and is compared by each call."""
        return all(
            i in self.taken or (self.number(s) is not None and self._compared(s))
            for i, s in enumerate(self.slots)
        ) and all(isinstance(t, Tensor) for t in self.program._owners)

    def number(self, slot: Slot) -> int | None:
        """The number of the tensor in a slot; None where that holds something else."""
        if slot.kind == "leaf":
            return slot.key[0] if isinstance(self.args[slot.key[0]], Tensor) else None
        if slot.kind == "tensor" and isinstance(slot.key, Tensor):
            return self._state(slot.key)
        if slot.kind == "place" and (slot.key.place.key, slot.key.index) in self.found:
            at = self.found.index((slot.key.place.key, slot.key.index))
            return len(self.args) + len(self.states) + at
        return None

    def _state(self, t: Tensor) -> int:
        return len(self.args) + next(i for i, s in enumerate(self.states) if s is t)

    def _compared(self, slot: Slot) -> bool:
        """Whether each call compares the memory that a tensor has now, row by row, with what it has then."""
        if slot.kind != "tensor":
            return True
        data, checks = slot.key._data, self.program.footprint.checks
        rows = type(data) is np.ndarray and data.flags.c_contiguous and data.flags.aligned
        return rows and any(type(c) is TensorCheck and c.holder is slot.key for c in checks)

    def operands(self, direct: Direct) -> tuple[int, ...]:
        """For each operand its tensor; results below 0, then the promoted numbers."""

        def number(operand: int) -> Any:
            if operand < 0:
                return operand
            if operand in self.taken:
                return -1 - len(direct.types) - self.taken.index(operand)
            return self.number(self.slots[operand])

        return tuple(map(number, direct.operands))

    def outcome(self, direct: Direct, donated: Sequence[tuple[int, int]], words: Any) -> Any:
        """What the call leaves behind: the dtype of the one new tensor that it gives, or all; None if untold."""
        program, trace = self.program, self.program.trace
        leaves = [self._leaf(i, direct, words) for i in range(len(program.results))]
        grads = []
        for owner, effect in zip(program._owners, trace.grads, strict=True):
            k, which = effect.output, effect.result
            if which is None and k is not None:
                which = len(leaves)
                leaves.append(self._made(k, direct, words))
            grads.append((self._state(owner), which))
        stores = [
            (self.number(self.slots[i]), None if (i, k) in donated else direct.outputs[k])
            for i, k in trace.stores
        ]
        copied = [
            x for (i, k), (_, x) in zip(trace.stores, stores, strict=True) if (i, k) not in donated
        ]
        if None in leaves or not all(isinstance(x, np.ndarray) for x in copied):
            return None
        apart = self._apart()
        moves = [(m.place.check, m.tree, m.first) for m in program.moves if not m.at]
        alone = len(leaves) == 1 and program._single and leaves[0].kind == "MADE"
        if alone and not (leaves[0].then or stores or moves or program.effects):
            return leaves[0].more
        effects, puts = program.effects, [m for m in program.moves if m.at]
        finish = None
        if effects:
            finish = lambda out, *values: Pending(out, effects, values, puts).finish()  # noqa: E731
        told = sum(tree.num_leaves for e in effects for tree in e.trees)
        told += sum(m.tree.num_leaves for m in puts)
        return words.Outcome(
            leaves, program.tree, stores, apart, grads, moves, finish, (program._size, told)
        )

    def _apart(self) -> list[tuple[Any, ...]]:
        """The pairs of tensors that may not share memory, each with their sizes in bytes."""
        pairs = [(i, j) for i, j, _ in self.program._overlaps if j not in self.taken]
        return [
            (
                *(self.number(self.slots[n]) for n in pair),
                *(self.slots[n].type.nbytes for n in pair),
            )
            for pair in pairs
        ]

    def _leaf(self, i: int, direct: Direct, words: Any) -> Any:
        """How a result is made; None where Python has to."""
        results = self.program.results
        r: Result = results[i]
        if r.kind == "value" or r.held is not None:
            return words.Leaf("CONSTANT", r.key if r.held is None else r.held)
        if r.kind == "computed":
            before = sum(other.kind == "computed" for other in results[:i])
            return words.Leaf("COMPUTED", self.taken.index(-1) + before)
        if r.kind in ("item", *TAKERS):
            known = direct.outputs[r.key]
            plain = self.program.captured.outputs[r.key].type.dtype is not bfloat16
            told = plain and isinstance(known, np.ndarray)
            return words.Leaf("TAKEN", known, TAKERS.get(r.kind)) if told else None
        if r.kind == "leaf":
            return words.Leaf("GIVEN", r.key)
        if r.kind == "same" and not (r.array or results[r.key].array):
            return words.Leaf("SAME", r.key)
        if r.kind == "input" and not r.array:
            number = self.number(self.slots[r.key])
            return None if number is None else words.Leaf("GIVEN", number)
        if r.kind != "output" or r.base is not None:
            return None
        made = self._made(r.key, direct, words)
        if made is None or not r.requires_grad:
            return made if made is None or not r.array else words.Leaf("BARE", made.what)
        if r.array:
            return None
        return made._replace(then=lambda out: Outcome._on_tape(r, out, None))

    def _made(self, k: int, direct: Direct, words: Any) -> Any:
        """Output `k` as a new tensor."""
        which = direct.outputs[k]
        return (
            words.Leaf("MADE", which, self.program._out_types[k].dtype)
            if type(which) is int
            else None
        )

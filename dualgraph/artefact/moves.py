"""Moves: places in Python state that calls give other tensors or numbers (``self.h = new``, ``self.n += 1``).

In a file each tensor at such a place is an entry of the state, and a number one of the numbers; a program's ``moves``
say which result is there after a call. To a loaded program the places are entries of `Artefact.state` and
`Artefact.numbers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..core.constant import exact
from ..core.errors import NOWHERE, CaptureError, describe
from ..core.numbers.symbolic import SYMBOLIC
from ..core.trees import LEAF, flatten
from ..eager.tensor import Tensor
from ..jit.program import Program
from ..jit.promoted import Place, place_key
from ..jit.rebound import FormCheck, Move, Spot
from ..static.checks import Check, EntryCheck, NumberCheck
from ..static.naming import plain
from ..static.trace import Slot
from .numbers import KINDS


class Left(NamedTuple):
    """Leaf number `index` of what a call leaves at a place: result number `result`. `held` is what is there now."""

    place: Place
    index: int
    result: int
    held: Any


def key_of(place: Place, index: int = 0) -> Any:
    """What tells a leaf of a place from others: the holder, where in it, and number `index` of what is there."""
    return (*place.key[1:], index)


def name_of(place: Place, index: int) -> str:
    """As a user would write it: ``net.h``, or ``net.pair[1]``."""
    alone = flatten(place.read(()))[1].kind is None
    return plain(place.name) if alone else f"{plain(place.name)}[{index}]"


# --- to a file -----------------------------------------------------------------------------------


def lasting(programs: Sequence[Program]) -> list[Program]:
    """The programs that may serve again after calls of each other; CaptureError where there are none.

    One that relies on the very tensor, or the number or flag, that a place held is done with once that was exchanged.
    """
    keys = {m.place.key for p in programs for m in p.moves}
    found = [
        p for p in programs
        if _relied_on(p).keys().isdisjoint(m.place.key for m in p.moves)
        and all(c.holds() for key, c in _relied_on(p).items() if key in keys)
    ]  # fmt: skip
    keys = {m.place.key for p in found for m in p.moves}
    found = [p for p in found if _relied_on(p).keys().isdisjoint(keys)]
    if programs and not found:
        name = programs[0].moves[0].place.name
        problem = f"it puts a result at {name} on each call, and relies on what was there before"
        raise CaptureError(
            describe("save", programs[0].name, problem, "give that as a result, and pass it on")
        )
    return found


def _relied_on(program: Program) -> dict[Any, Check]:
    """The places where a program wants more than any number of a type, or tensors of some types."""
    promoted = program.promoted
    free = () if promoted is None else [promoted.sources[i].key for i in promoted.free]
    checks = {place_key(c): c for c in program.footprint.checks}
    return {
        key: c for key, c in checks.items()
        if not (type(c) is FormCheck or (type(c) is NumberCheck and key in free))
    }  # fmt: skip


def left_by(given: Program, program: Program) -> Iterator[Left]:
    """What calls leave at places, tensor by tensor and number by number; CaptureError for what no file can say.

    `program` is `given` as it goes into the file.
    """
    read = {key_of(s.key.place, s.key.index) for s in program.trace.slots if s.kind == "place"}
    for move in given.moves:
        name = move.place.name
        leaves, tree = flatten(move.place.read(()))
        if tree != move.tree:
            raise CaptureError(f"{name} holds something else than calls leave there")
        for i, held in enumerate(leaves):
            found = Left(move.place, i, move.first + i, held)
            result = program.results[found.result]
            if isinstance(held, Tensor):
                if result.flows and key_of(move.place, i) in read:
                    raise CaptureError(f"what it leaves at {name} has a history; detach() it")
            elif type(held) in KINDS.values() and tree.kind is None:
                was = given.results[found.result]
                if was.kind == "computed" != result.kind or type(was.key) in SYMBOLIC:
                    raise CaptureError(f"the number that it leaves at {name} follows from others "
                                       "in a way that no file can say; keep it in a tensor")  # fmt: skip
            elif result.kind == "value" and exact(result.key) == exact(held):
                continue
            else:
                raise CaptureError(f"it leaves a {type(held).__name__} at {name}")
            yield found


# --- from a file ---------------------------------------------------------------------------------


def entry(held: dict[str, Any], name: str) -> Place:
    """An entry of a dict as a place: of the state, or of the numbers."""
    return Place(EntryCheck(held, name, held[name], str(name), NOWHERE))


def read_at(state: dict[str, Any], name: str) -> Slot:
    """An input that is whatever tensor the state has under a name."""
    held = state[name]
    return Slot("place", Spot(entry(state, name), 0, held), held.tensor_type, held._requires_grad)


def forms_of(slots: Sequence[Slot]) -> list[FormCheck]:
    """What has to be at the places that are inputs: tensors of the same types."""
    return [FormCheck(s.key.place.check) for s in slots if s.kind == "place"]


def moved_to(held: dict[str, Any], name: str, result: int) -> Move:
    """A call leaves a result under a name."""
    return Move(entry(held, name), LEAF, result)

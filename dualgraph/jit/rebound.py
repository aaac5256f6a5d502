"""Rebound: places in Python state that a call gives other tensors or numbers, as in ``self.h = cell(x, self.h)``.

What such a place holds is an input, read afresh on each call; what the call leaves there is a result, put there when
the call ends. The tensor that was there stays whole for whoever holds it.
"""

from __future__ import annotations

import functools
import re
import types
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ..core.constant import exact
from ..core.numbers.formulas import Formulas, Use
from ..core.numbers.live import LIVE, LIVE_OF, given
from ..core.numbers.symbolic import SYMBOLIC, plain
from ..core.trees import TreeDef, containers, flatten, unflatten
from ..eager.tensor import Tensor
from ..effects import Happening
from ..static.capture import CHANGES, Tracer
from ..static.checks import (
    ATOMS,
    EXCHANGED,
    Assumption,
    CellCheck,
    Check,
    EntryCheck,
    ItemCheck,
    PlacedCheck,
    TensorCheck,
)
from ..static.code.bytecode import REFLECTION
from ..static.code.statements import statements
from ..static.footprint import Footprint
from ..static.trace import Slot
from .along import Along
from .arguments import attributes_of
from .promoted import Place, may_be_promoted, place_key

KINDS = (tuple, list, dict)
BOUND = (types.MethodType, types.BuiltinFunctionType)


class Numbers(Protocol):
    """The numbers of a compiled function that are promoted."""

    places: dict[Any, Place]

    def written(self, check: Check, footprint: Footprint) -> None:
        """A call changes the number at a place."""

    def may_move(self, key: Any) -> bool:
        """Whether the number at a place is an input, or a size."""


class Spot:
    """One tensor of what a place holds: number `index` of its leaves. `tensor` was there in the captured call."""

    __slots__ = ("index", "place", "tensor")

    def __init__(self, place: Place, index: int, tensor: Tensor) -> None:
        self.place, self.index, self.tensor = place, index, tensor

    def read(self) -> Any:
        """The tensor that is there now."""
        held = self.place.check.read()
        if type(held) is Tensor:
            return held
        leaves = flatten(held)[0]
        return leaves[self.index] if self.index < len(leaves) else None

    def same(self, other: Spot) -> bool:
        """Whether it is the same tensor of the same place."""
        return self.place.key == other.place.key and self.index == other.index


class Move(NamedTuple):
    """What a call leaves at a place: its results from number `first` on, put together as `tree`; there when `at`
    statements set apart, which read what was there before, have run."""

    place: Place
    tree: TreeDef
    first: int = 0
    at: int = 0

    def put(self, leaves: Sequence[Any]) -> None:
        """Puts it there."""
        self.place.put(unflatten(self.tree, leaves), [])


class FormCheck(PlacedCheck):
    """A place where any tensors of these types may be."""

    __slots__ = ("_forms", "_tree")

    def __init__(self, place: Check) -> None:
        super().__init__(place)
        self._forms, self._tree = _forms(place.expected)

    def holds(self) -> bool:
        return bool(_forms(self.read()) == (self._forms, self._tree))

    def assumption(self) -> Assumption:
        types = [str(v.tensor_type) for v in flatten(self.expected)[0] if isinstance(v, Tensor)]
        return super().assumption()._replace(value=f"any {', '.join(types)}")


class Rebound:
    """The places that calls of one compiled function give other tensors, as far as was seen.

    Those that it gives other numbers are among the `numbers` that are promoted.
    """

    def __init__(self, numbers: Numbers) -> None:
        self.places: dict[Any, Place] = {}
        self.numbers = numbers
        self.along = Along()
        self.flags: set[Any] = set()  # places where a call has left another flag
        self.active = False  # whether there are some
        self.at_any_size = True  # whether programs of symbolic sizes may exchange what is there

    def at(self) -> dict[Any, int]:
        """What is now at all of them, by identity."""
        every = {**self.places, **self.numbers.places}
        return {key: id(place.read(())) for key, place in every.items()}

    def take(
        self, tracer: Tracer, footprint: Footprint, result: Any, arguments: Any, happened: Sequence[Happening],
        written: Collection[Any], entry: Mapping[Any, int],
    ) -> list[Move]:  # fmt: skip
        """What a captured call left at such places; what it found there is read afresh on each call.

        `result` is what it gave, `written` are places where numbers were exchanged, and `entry` has what was at such
        places before, by identity. Empty
        where what it changed is not of this kind: it cannot be repeated then.
        """
        if not (self.places or written) and footprint.failing() is None:
            footprint.steady = True
            return []
        failing = [
            c for c in footprint.checks
            if not (_followed(c) or c.holds()) or place_key(c) in written
        ]  # fmt: skip
        for c in failing:
            if _other_number(c) and (type(c.read()) in LIVE or _settled(footprint)):
                self.numbers.written(c, footprint)
        if self.along.notice(failing, self.places):
            self.places.update(self.along.places)
            tracer.refusals += [f"{CHANGES} {c.name}, which it also reads" for c in failing]
            return []
        flags = [c for c in failing if self._turns(c)] if _settled(footprint) else []
        found = [c for c in failing if c in flags or self._moves(c)]
        held = [c for check in found for c in containers(check.read()) if not isinstance(c, tuple)]
        outside = (*footprint.found(), *containers(result), *containers(arguments))
        shared = len({id(c) for c in (*held, *outside)}) < len(held) + len({*map(id, outside)})
        lasting = (c for c in found if c not in flags and not _other_number(c))
        self.places.update((place_key(c), Place(c)) for c in lasting)
        self.active = self.active or bool(found)
        cuts = [_put_after(happened, c, footprint, entry) for c in found]
        read = (held and happened) or None in cuts
        own = flatten(arguments)[0]
        if shared or read or not self._read_afresh(tracer, footprint, own, failing):
            tracer.refusals += [f"{CHANGES} {c.name}, which it also reads" for c in failing]
            return []
        pairs = zip(found, cuts, strict=True)
        return [Move(Place(c), flatten(c.read())[1], at=at) for c, at in pairs if at is not None]

    def noticed(self, programs: Sequence[Any]) -> Sequence[Any]:
        """The programs, of which it was noted where nothing but tensors and numbers was exchanged since."""
        for program in programs:
            failing = [c for c in program.footprint.checks if not c.holds()]
            moved = [c for c in failing if self._moves(c)]
            if moved and all(c in moved or may_be_promoted(c) for c in failing):
                self.active = True
                self.places.update((place_key(c), Place(c)) for c in moved if not _other_number(c))
        return programs

    def _turns(self, check: Check) -> bool:
        """Whether a place holds another flag than before the call, and not for the first time: which one a program
        leaves there follows from what it assumes, and another program goes on from it."""
        if not (
            isinstance(check, EXCHANGED) and type(check.expected) is type(check.read()) is bool
        ):
            return False
        again = place_key(check) in self.flags
        self.flags.add(place_key(check))
        return again

    def _moves(self, check: Check) -> bool:
        """Whether a place holds other tensors, or another number, now than before the call."""
        if not isinstance(check, EXCHANGED):
            return False
        if _other_number(check):
            return self.numbers.may_move(place_key(check))
        now, was = (_forms(v) for v in (check.read(), check.expected))
        tensors = [form[0] is Tensor for form in now[0]]
        return _plain(check.read()) and (
            (now == was and any(tensors)) or (place_key(check) in self.places and all(tensors))
        )

    def _read_afresh(
        self, tracer: Tracer, footprint: Footprint, own: Sequence[Any], failing: Sequence[Check]
    ) -> bool:
        """Makes inputs of what is at the places, where nothing else leads to it; whether all there was rebound."""
        mine = {c: k for c in footprint.checks if (k := place_key(c)) in self.places}
        along = [c for c, k in mine.items() if k in self.along.places]
        alone = _alone([*mine], tracer, footprint, own, along)
        checks = {c: self.places[mine[c]] for c in alone}
        along = [c for c in along if c in checks]
        met: set[int] = set()  # a tensor at several places is read at the first
        for check, place in checks.items():
            leaves = flatten(check.expected)[0]
            spots = {
                id(t): Spot(place, i, t)
                for i, t in enumerate(leaves)
                if isinstance(t, Tensor) and check not in along and id(t) not in met
            }
            met |= spots.keys()
            for key, s in spots.items():
                t = s.tensor
                tracer.places[key] = Slot("place", s, t.tensor_type, t._requires_grad)
            for root in tracer.roots:
                if id(root.tensor) in spots:
                    root.slot = root.slot._replace(kind="place", key=spots[id(root.tensor)])
            tensors = [t for t in leaves if isinstance(t, Tensor)]
            inside = {id(v) for v in (*containers(check.expected), *tensors, *map(vars, tensors))}
            if any(id(c.holder) in inside for c in failing):
                return False
            for t in tensors:
                footprint.tensors.pop(id(t), None)
            footprint.checks = [c for c in footprint.checks if id(c.holder) not in inside]
        footprint.checks = [
            FormCheck(c) if c in checks else c for c in footprint.checks if c not in along
        ]
        return True


def results_of(
    moves: Sequence[Move], leaves: list[Any], uses: dict[int, Use], formulas: Formulas | None
) -> list[Move]:
    """The moves, those first that come after statements, with what they leave added to the results of the call; live
    numbers at the places get plain."""
    out = []
    for move in sorted(moves, key=lambda m: not m.at):
        out.append(move._replace(first=len(leaves)))
        for v in flatten(move.place.read(()))[0]:
            if type(v) in LIVE:
                assert formulas is not None
                uses[len(leaves)] = formulas.use(v)
                move.place.put(given(v), [])
            elif type(v) in SYMBOLIC:
                move.place.put(plain(v), [])
            leaves.append(given(v))
    return out


def _followed(check: Check) -> bool:
    """Whether a check is of a tensor whose sizes the capture follows: they go along with the arguments."""
    return type(check) is TensorCheck and check.holder._dims is not None


def _settled(footprint: Footprint) -> bool:
    """Whether statements that can be set apart are."""
    active = footprint._apart is not None and footprint._apart.active
    return active or not any(map(statements, footprint.functions))


def _other_number(check: Check) -> bool:
    """Whether there is another number of the same type at a place."""
    kind = type(check.expected)
    of_number = kind in LIVE_OF and isinstance(check, EXCHANGED)
    return of_number and type(plain(given(check.read()))) is kind


def _put_after(
    happened: Sequence[Happening], check: Check, footprint: Footprint, entry: Mapping[Any, int]
) -> int | None:
    """After how many of the statements set apart a place has to get what the call leaves there: after those that may
    read what was there before. None where one may read something else."""
    key, names = place_key(check), REFLECTION | _names(check, footprint)
    count = 0
    for i, h in enumerate(happened):
        if h.names.isdisjoint(names) or h.at.get(key) == id(check.read()):
            continue
        if h.at.get(key) != entry.get(key, 0) or any(
            h.at.get(key) != entry.get(key, 0) for h in happened[count:i]
        ):
            return None
        count = i + 1
    while 0 < count < len(happened) and happened[count].at.get(key) == entry[key]:
        count += 1  # it was changed later
    return count


def _forms(value: Any) -> tuple[list[Any], TreeDef]:
    """What tells values of other kinds than this from it."""
    leaves, tree = flatten(value)
    return [
        (type(v), v.tensor_type, v._requires_grad, v.requires_grad, *vars(v))
        if isinstance(v, Tensor)
        else (type(v), exact(v) if isinstance(v, ATOMS) else id(v))
        for v in leaves
    ], tree


def _plain(value: Any) -> bool:
    """Whether the containers of a value are nothing but that."""
    return all(type(c) in KINDS or hasattr(c, "_fields") for c in containers(value))


def _alone(
    checks: Sequence[Check], tracer: Tracer, footprint: Footprint, own: Sequence[Any],
    along: Collection[Check],
) -> list[Check]:  # fmt: skip
    """The places of these to whose tensors nothing else leads, as far as code can go; those `along` are leaves. Of
    places inside of another it is that one: what is there may have other containers in the next call."""
    found = [c for c in checks if _readable(c, tracer, own, c in along)]
    inside = {id(v) for c in found for v in containers(c.expected)}
    found = [c for c in found if id(c.holder) not in inside]
    count = Counter(id(t) for c in found for t in _tensors(c))
    found = [
        c
        for c in found
        if all(isinstance(v, tuple) for v in containers(c.expected))
        or all(count[id(t)] == 1 for t in _tensors(c))  # of two lists with it, which could be one
    ]
    before: list[Check] = []
    while len(found) != len(before):
        before, parts = found, {id(v) for c in found for v in containers(c.expected)}
        found = [c for c in before if not _led_elsewhere(c, before, parts, footprint)]
    return found


def _readable(check: Check, tracer: Tracer, own: Sequence[Any], along: bool) -> bool:
    """Whether each call may take the tensors that are at a place then; `along`: they are leaves."""
    tensors, parts = _tensors(check), containers(check.expected)
    if not (tensors and isinstance(check, EXCHANGED) and _plain(check.expected)):
        return False
    if not {id(v) for v in (*parts, *tensors)}.isdisjoint(map(id, own)):
        return False
    for t in tensors:
        slots = [r.slot for r in tracer.roots if r.tensor is t]
        viewed = not slots and tracer.knows(t)
        if type(t) is not Tensor or attributes_of(t) or viewed or id(t) in tracer.grads:
            return False
        if any(s.kind not in ("tensor", "place", *["leaf"] * along) for s in slots):
            return False
    return True


def _led_elsewhere(
    check: Check, checks: Collection[Check], parts: Collection[int], footprint: Footprint
) -> bool:
    """Whether something leads to the tensors at a place besides the `checks` and their containers, the `parts`."""
    targets = {id(v) for v in (*containers(check.expected), *_tensors(check))}
    return any(
        id(c.expected) in targets and c not in checks and id(c.holder) not in parts
        for c in footprint.checks
    ) or any(
        id(v) not in parts and not targets.isdisjoint(map(id, _led_to(v)))
        for v in footprint.found()
    )


def _tensors(check: Check) -> list[Tensor]:
    return [v for v in flatten(check.expected)[0] if isinstance(v, Tensor)]


def _names(check: Check, footprint: Footprint) -> set[str]:
    """The names by which code may come to a place."""
    if isinstance(check, (EntryCheck, ItemCheck)):
        ways = [c for c in footprint.checks if c.expected is check.holder]
        return {n for c in (check, *ways) for n in re.findall(r"\w+", f"{c.name} {c.key}")}
    return {check.name if isinstance(check, CellCheck) else str(check.key)}


def _led_to(value: Any) -> Iterable[Any]:
    """What an object leads to that no check tells of; a view to what it is a view of."""
    if isinstance(value, Tensor):
        return () if value._parent is None else (value._parent[0], *_led_to(value._parent[0]))
    if isinstance(value, (tuple, set, frozenset, dict)):
        return value
    if isinstance(value, functools.partial):
        return (*value.args, *value.keywords.values())
    return (value.__self__,) if isinstance(value, BOUND) else ()


def meeting(places: Sequence[FormCheck], leaves: Sequence[Any], known: Iterable[int]) -> str:
    """Which place holds a tensor that something else is, too, and was not in the capture, or the other way about ("":
    none)."""
    others = {id(v) for v in leaves if isinstance(v, Tensor)}.union(known)
    met: dict[int, int] = {}
    were: dict[int, int] = {}
    for check in places:
        pairs = zip(flatten(check.read())[0], flatten(check.expected)[0], strict=True)
        for now, was in [(id(v), id(w)) for v, w in pairs if isinstance(v, Tensor)]:
            if now in others or met.setdefault(now, len(met)) != were.setdefault(was, len(were)):
                return f"{check.name} and another tensor that the code reads are one now, or were"
    return ""

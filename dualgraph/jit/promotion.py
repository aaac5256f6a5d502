"""Promotion: which Python numbers of a compiled function are inputs of its programs.

A number is promoted when it has changed once, or when a user asks for it. Then it is no part of the key of a call,
or no assumption about state, any more; programs that have it as a constant say so themselves (`Promoted`). Where
the code looks at the number itself (``range(n)``, ``str(lr)``), or does something else than the live numbers tell,
it is given up for good, with the reason.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.errors import ArgumentError, Location, describe
from ..core.numbers.live import LIVE_OF
from ..static.checks import Check, GlobalCheck
from ..static.footprint import Footprint
from .alike import comparable, compared
from .entries import Entry
from .keys import FIRST, leaf_key, without_sizes
from .program import Program
from .promoted import (
    KEPT,
    Leaf,
    Place,
    Promoted,
    Source,
    Taken,
    follows_types,
    may_be_promoted,
    place_key,
    sources_of,
)

# What tells a number from a live one, or adds numbers in another way than ``+``.
TELLING = frozenset(("type", "statistics", "singledispatch"))
# What does, and what takes Python's own numbers and no others, in statements set apart and what these call.
ANYWHERE = TELLING | frozenset(
    """json dumps orjson ujson sqlite3 marshal msgpack timedelta fromtimestamp sleep Decimal deque timedelta64
    datetime64""".split()
)
ADDING = "sum"  # the builtin, from Python 3.12 on; methods of this name are another matter


class Promotion:
    """The promoted numbers of one compiled function."""

    def __init__(self, function: Any) -> None:
        self._function = function
        # By the structure of the arguments. Calls of other threads go through the inner ones, so these never change.
        self.leaves: dict[Any, Mapping[int, Leaf]] = {}
        self.places: dict[Any, Place] = {}
        self.never: dict[Any, str] = {}  # numbers that are not promoted, and why
        self.told: list[str] = []  # what happened to numbers
        self.changed = False  # whether calls have other keys than programs were put under
        self._confirmed: set[Any] = set()
        self._sizes: dict[Any, Source] = {}  # numbers that are symbolic sizes instead
        self.cautious = False  # whether sizes may be symbolic only once the numbers are trusted

    def sources(self, tree: Any, leaves: Sequence[Any]) -> tuple[Source, ...]:
        """The promoted numbers of a call whose arguments have this structure."""
        of_leaves = list(self.leaves.get(tree, {}).values())
        known = [s for s in of_leaves if _key(s, tree) not in self._sizes]
        return tuple(
            s for s in (*known, *list(self.places.values())) if type(s.read(leaves)) in LIVE_OF
        )

    def sizes(self, tree: Any) -> tuple[Source, ...]:
        """The numbers of such a call that are taken as sizes are: what the code does is decided by their value."""
        return tuple(s for k, s in list(self._sizes.items()) if _key(s, tree) == k)

    # --- numbers that changed ---

    def like(self, key: Any, known: Iterable[Any], leaves: Sequence[Any]) -> Any:
        """A known key that differs from this one in sizes and numbers alone, which may be promoted; or None."""
        tree = key[0]
        for other in known:
            if len(other) != len(key) or other[0] != tree:
                continue
            differ = _differing(key, other)
            if all(
                i >= FIRST
                and _is_number(other[i], leaves[i - FIRST])
                and (tree, i - FIRST) not in self.never
                for i in differ
            ):
                return other
        return None

    def notice(self, entry: Entry, key: Any, leaves: Sequence[Any]) -> bool:
        """Promotes the numbers that have changed, where they are all that has; whether calls have other keys now."""
        with self._function._lock:
            self._notice(entry.programs, key, leaves)
            return self.regroup(key[0])

    def _notice(self, programs: Sequence[Program], key: Any, leaves: Sequence[Any]) -> None:
        """Promotes what differs from calls that a program served: numbers in Python state, or among the arguments."""
        entries = self._function._entries
        if programs:
            self.promote_changed(programs)
            return
        known = {k: e.programs for k, e in entries.items() if e.programs and k[0] == key[0]}
        other = self.like(key, known, leaves)
        if other is None:
            return
        model = known[other][0]
        differ = [i - FIRST for i in _differing(key, other)]
        if not differ:
            self.promote_changed(known[other])
            return
        why = told_apart(model.footprint)
        names = [a.name for a in model._arguments]
        if why is not None:
            for i in differ:
                self.give_up(Leaf(i, names[i]), key[0], why)
            self.changed = False
            return
        self.promote_leaves(key[0], differ, names)

    def promote(self, program: Program, name: str) -> None:
        """Promotes the number that this name means, as a user has asked for; see `Program.promote`."""
        function = self._function
        with function._lock:
            entries = list(function._entries.items())
            for tree in {
                k[0] for k, e in entries if any(program in (p, p.template) for p in e.programs)
            }:
                self._promote(program, tree, name)
                self.regroup(tree)
            function._forget()

    def _promote(self, program: Program, tree: Any, name: str) -> None:
        """The same for the arguments of one structure."""
        why = told_apart(program.footprint)
        if why is not None:
            raise ArgumentError(describe("promote", repr(name), why))
        leaves, places = self.named(program, tree, name)
        if leaves:
            self.promote_leaves(tree, leaves, [a.name for a in program._arguments])
        for check in places:
            self._add(check)

    def promote_leaves(self, tree: Any, indices: Iterable[int], names: Sequence[str]) -> None:
        """Promotes numbers in the arguments."""
        self.changed = True
        held = dict(self.leaves.get(tree, {}))
        for i in indices:
            name = names[i] if names.count(names[i]) == 1 else f"{names[i]} (leaf {i})"
            held[i] = Leaf(i, name)
        self.leaves[tree] = held

    def promote_changed(self, programs: Sequence[Program]) -> None:
        """Promotes the numbers in Python state which are all that keeps one of the programs from being used."""
        for program in programs:
            failing = [c for c in program.footprint.checks if not c.holds()]
            why = told_apart(program.footprint)
            if why is not None:
                for c in failing:
                    self.never.setdefault(place_key(c), why)
            if failing and all(
                may_be_promoted(c) and place_key(c) not in self.never for c in failing
            ):
                for check in failing:
                    self._add(check)
                return

    def written(self, check: Check, footprint: Footprint) -> None:
        """Promotes a number that a call itself changes, such as a counter."""
        if place_key(check) not in self.never and told_apart(footprint) is None:
            self._add(check)

    def may_move(self, key: Any) -> bool:
        """Whether the number at a place is an input of programs, or a size."""
        return key in self.places or key in self._sizes

    def _add(self, check: Check) -> None:
        place = Place(check)
        taken = {p.name for p in list(self.places.values())}
        while place.name in taken:
            place.name += "'"
        self.places.setdefault(place.key, place)

    # --- numbers that are asked for, or given up ---

    def named(self, program: Program, tree: Any, name: str) -> tuple[list[int], list[Check]]:
        """The argument leaves and the places that a name means. ArgumentError if it means no number."""
        assert program.given is not None
        leaves = program.given[1]
        numbers = [
            i for i, (a, v) in enumerate(zip(program._arguments, leaves, strict=True))
            if type(v) in LIVE_OF and _means(name, a.name)
        ]  # fmt: skip
        every = [c for c in program.footprint.checks if may_be_promoted(c)]
        places = [c for c in every if _means(name, c.name)]
        if not numbers and not places:
            known = [
                a.name
                for a, v in zip(program._arguments, leaves, strict=True)
                if type(v) in LIVE_OF
            ]
            known += [c.name for c in every]
            raise ArgumentError(
                describe(
                    "promote", repr(name), "the program assumes no int or float of this name",
                    f"there are {', '.join(dict.fromkeys(known)) or 'none'}",
                )
            )  # fmt: skip
        for key in [*((tree, i) for i in numbers), *map(place_key, places)]:
            if key in self.never:
                raise ArgumentError(describe("promote", repr(name), self.never[key]))
        return numbers, places

    # --- what a capture does, and what it shows ---

    def plan(
        self, programs: Sequence[Program], tree: Any, leaves: Sequence[Any], left: Program | None
    ) -> tuple[tuple[Source, ...], Program | None]:
        """Which numbers a capture takes as inputs, or the program that a plain one shall confirm."""
        if left is not None:
            return sources_of(left), None
        for program in programs:
            mine = program.promoted
            if (
                mine is None
                or mine.missed
                or not mine.would_serve(leaves)
                or self._function._taking.may_do_better(program)
            ):
                continue
            if self._else_as_before(program, leaves):
                if not any(_key(s, tree) in self.never for s in mine.sources):
                    return (), program
        for program in programs:
            if program.promoted is not None:
                program.promoted.missed = False
        return self.sources(tree, leaves), None

    @staticmethod
    def _else_as_before(program: Program, leaves: Sequence[Any]) -> bool:
        """Whether a call differs from the captured one in the numbers alone that the program takes."""
        places = [x.key for x in sources_of(program) if isinstance(x, Place)]
        return comparable(program, places) and not program.other_grad(leaves)

    def trusted(self, sources: Iterable[Source], tree: Any, leaves: Sequence[Any]) -> bool:
        """Whether numbers of these types were seen to do in some program what the live numbers tell."""
        return all((_key(s, tree), type(s.read(leaves))) in self._confirmed for s in sources)

    def confirmed_at(self, where: Location, kind: type) -> bool:
        """Whether numbers of this type that are taken out of tensors there were seen to do what live ones tell."""
        return (("taken", where), kind) in self._confirmed

    @property
    def confirmed_places(self) -> int:
        """How many places it is, of all sorts, whose numbers were seen to do what live ones tell."""
        return len(self._confirmed)

    def taken(
        self, program: Program, tree: Any, leaves: Sequence[Any], left: Program | None
    ) -> None:
        """Says of a program that was captured now for which numbers it is."""
        known = list(self.leaves.get(tree, {}).values())
        free = {s.key for s in (*sources_of(program), *(s for s, _ in program.as_sizes))}
        fixed = tuple(
            (s, s.read(leaves)) for s in known
            if s.key not in free and type(s.read(leaves)) in LIVE_OF
        )  # fmt: skip
        if program.promoted is None:
            if fixed:
                program.promoted = Promoted(fixed=fixed)
            return
        program.promoted.fixed = fixed
        if left is not None:
            assert left.promoted is not None
            program.promoted.free = left.promoted.free
        else:
            known, sources = program.known_at_capture(leaves), program.promoted.sources
            program.promoted.free = frozenset(
                i for i, s in enumerate(sources) if self.trusted((s,), tree, known)
            )

    def learn(
        self, entry_programs: list[Program], program: Program, tree: Any,
        elsewhere: Iterable[tuple[Program, Program]] = (),
    ) -> None:  # fmt: skip
        """Compares a new program with those known.

        `elsewhere` are programs for other sizes, each after what the new one is at these.
        """
        mine = program.promoted
        if mine is None or mine.formulas is None:
            return
        for i in sorted(mine.formulas.pinned()):
            if (_key(mine.sources[i], tree), type(mine.values[i])) not in self._confirmed:
                c = next(c for c in mine.formulas.conditions if c.exactly and i in c.sources)
                why = f"the code looks at its value at {c.where}"
                as_size = type(mine.values[i]) is int and not isinstance(mine.sources[i], Taken)
                self.give_up(mine.sources[i], tree, why, as_size)
        places = {s.key for s in mine.sources if isinstance(s, Place)}
        for other in list(entry_programs):
            if other is program or not comparable(other, places):
                continue
            same, differ = compared(program, other)
            if same is None:
                self._function._taking.notice(program, other)
                continue
            self.judge(program, same, differ, tree)
            if same:  # this program serves its calls, too
                theirs = other.promoted
                known = {theirs.sources[i].key for i in theirs.free} if theirs else set()
                mine.free |= {i for i, s in enumerate(mine.sources) if s.key in known}
                program._calls += other.calls
                entry_programs.remove(other)
        for there, other in elsewhere:
            if len(mine.free) < len(mine.sources) and comparable(other, places):
                same, differ = compared(there, other)
                self.cautious = self.cautious or same is False
                if same:
                    self.judge(program, same, differ, tree)
                    program.template.confirmed = True

    def confirm(self, live: Program, plain: Program, tree: Any, others: Iterable[Program]) -> bool:
        """Whether a plain capture at other numbers did what a program with live numbers does; it is free if so.

        It was made to confirm `live`, but may have taken the path of one of the `others`.
        """
        alike = [p for p in others if p is not live and p.promoted and p.promoted.formulas]
        for program in (live, *alike):
            same, differ = compared(program, plain)
            if same is not None:
                self.judge(program, same, differ, tree)
                return same
        assert live.promoted is not None
        live.promoted.missed = True
        self._function._taking.notice(live, plain)
        return False

    def blame(self, sources: Sequence[Source], tree: Any, refusals: Sequence[str]) -> bool:
        """Whether a capture was refused because its numbers were live; they will not be."""
        found = [r for r in refusals if r.startswith(KEPT)]
        for source in sources if found else ():
            self.give_up(source, tree, found[0])
        return bool(found)

    def judge(self, program: Program, same: bool, differ: frozenset[int], tree: Any) -> None:
        """Takes in that a capture at other numbers, which differ in these sources, did the same or did not."""
        mine = program.promoted
        assert mine is not None
        names = ", ".join(mine.sources[i].name for i in sorted(differ))
        if same:
            mine.free |= differ
            self._confirmed |= {(_key(mine.sources[i], tree), type(mine.values[i])) for i in differ}
            if names:
                self.told.append(f"{names}: any number serves, as captures at two did the same")
            return
        why = "with another value the code did something else than arithmetic on it tells"
        for i in differ:
            self.give_up(mine.sources[i], tree, why)

    def give_up(self, source: Source, tree: Any, why: str, as_size: bool = False) -> None:
        """Never promotes this number again; with `as_size` it is one of the sizes from now on."""
        key = _key(source, tree)
        self.changed = True
        self.never[key] = why
        if isinstance(source, Place):
            self.places.pop(source.key, None)
        if as_size:
            self._sizes[key] = source
            self.told.append(f"{source.name} is taken as a size: {why}")
            return
        self._sizes.pop(key, None)
        if isinstance(source, Taken):
            self.told.append(f"the number taken out at {source.where} is no input: {why}")
            return
        self.told.append(f"{source.name} is not promoted: {why}")
        if isinstance(source, Place):
            return
        held = {i: leaf for i, leaf in self.leaves.get(tree, {}).items() if i != source.index}
        self.leaves[tree] = held
        if not held:
            del self.leaves[tree]

    def regroup(self, tree: Any) -> bool:
        """Puts programs where calls look for them now; whether that is elsewhere."""
        moved, self.changed = self.changed, False
        if moved:
            self._function._entries = self._regrouped(self._function._entries, tree)
            self._function._forget()
        return moved

    def _regrouped(self, entries: Mapping[Any, Entry], tree: Any) -> dict[Any, Entry]:
        """The entries of a function under the keys that its calls have now."""
        out: dict[Any, Entry] = {}
        for key, entry in entries.items():
            if key[0] != tree:
                out[key] = entry
                continue
            staying = []
            for program in entry.programs:
                moved, fixed = self._moved(key, program)
                if program.promoted is None and fixed:
                    program.promoted = Promoted()
                if program.promoted is not None:
                    program.promoted.fixed = fixed
                if moved == key:
                    staying.append(program)
                elif moved is not None:
                    there = out.setdefault(moved, Entry(kept=entry.kept))
                    there.programs.append(program)
                    there.tree += [s for s in entry.tree if s not in there.tree]
                    program.meter = there.meter
            if staying or not entry.programs:
                there = out.setdefault(key, entry)
                if there is not entry:
                    there.programs += staying
                else:
                    entry.programs[:] = staying
        return out

    def _moved(self, key: Any, program: Program) -> tuple[Any, tuple[Any, ...]]:
        """The key under which a program is looked up now, and the numbers that the key does not tell."""
        held = self.leaves.get(key[0], {})
        parts, fixed = list(key), []
        mine = program.promoted
        live = {s.index for s in sources_of(program) if isinstance(s, Leaf)}
        for i, part in enumerate(key[FIRST:]):
            value = program.size_of(i) or (() if mine is None else mine.value_of(i))
            of_numpy = type(part) is tuple and part[0] in LIVE_OF
            if not value and (type(part) is int or type(part) is bytes or of_numpy):
                value = (number_in(part),)
            if not value:
                continue
            parts[FIRST + i] = type(value[0]) if i in held else leaf_key(value[0], {}, i)
            if i in held and i not in live:
                fixed.append((held[i], value[0]))
            elif i in live and i not in held and mine is not None and mine.is_free(i):
                return None, ()
        return tuple(parts), tuple(fixed)


def _key(source: Source, tree: Any) -> Any:
    if isinstance(source, Taken):
        return "taken", source.where
    return (tree, source.index) if isinstance(source, Leaf) else source.key


def note_telling(footprint: Footprint, everything: Footprint) -> None:
    """Notes in the footprint of a call what in all its code, statements set apart included, takes no stand-ins."""
    of_numbers = (*everything.unbound(float), *everything.unbound(int))
    footprint.telling = ANYWHERE & everything.all_names | {*of_numbers}
    footprint.types_followed = follows_types(everything)
    if everything.reads_memory or everything.unbound(np.ndarray):
        footprint.takes_memory = True


def told_apart(footprint: Footprint) -> str | None:
    """Why the code could tell a live number, or a size, from a plain one (None: it cannot)."""
    found = sorted(footprint.telling - footprint.followed)
    if sys.version_info >= (3, 12) and ADDING in footprint.all_names:
        as_variable = any(isinstance(c, GlobalCheck) and c.key == ADDING for c in footprint.checks)
        if as_variable or "builtins" in footprint.all_names:
            found.append(ADDING)
    return (
        f"the code uses {found[0]}(), which looks at numbers in a way that is not followed"
        if found
        else None
    )


def _differing(key: Any, other: Any) -> list[int]:
    """The places in which two keys differ in more than sizes."""
    pairs = enumerate(zip(key, other, strict=True))
    return [i for i, (a, b) in pairs if a != b and without_sizes(a) != without_sizes(b)]


def _means(name: str, full: str) -> bool:
    return full == name or full.endswith((f".{name}", f"['{name}']"))


def _is_number(part: Any, leaf: Any) -> bool:
    """Whether this part of another key stands for a number of the type of `leaf`."""
    kind = type(leaf)
    if type(part) is tuple:
        return kind in LIVE_OF and part[0] is kind
    return (kind is int and type(part) is int) or (kind is float and type(part) is bytes)


def number_in(part: Any) -> Any:
    """The number that a part of a key stands for."""
    if type(part) is tuple:
        return part[0](number_in(part[1]))
    return struct.unpack("<d", part)[0] if type(part) is bytes else part

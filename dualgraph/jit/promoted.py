"""Promoted numbers: Python numbers that one program takes as inputs, where they come from, and what it relies on.

A program is captured while live numbers (`core.numbers.live`) stand in the places of its sources. It may be used for
other numbers than those of its capture once a plain capture at another number was seen to do the same, to the bit.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..core.constant import exact
from ..core.context import as_before, unrepeatable
from ..core.errors import Location
from ..core.numbers.draws import is_source, stood_for
from ..core.numbers.formulas import LATER, Formulas, Use
from ..core.numbers.live import LIVE, LIVE_OF, settled
from ..core.numbers.live_calls import CONVERSIONS, followed
from ..core.numbers.symbolic import SymInt
from ..core.trees import Undo, exchange, flatten, with_leaves
from ..static.checks import (
    EXCHANGED,
    MISSING,
    Assumption,
    CellCheck,
    Check,
    ClassCheck,
    GlobalCheck,
    NumberCheck,
    PlacedCheck,
    built_of,
    class_attribute,
)
from ..static.code.bytecode import only_called
from ..static.footprint import Footprint
from ..static.members import filled_slots, held_by
from ..static.trace import Slot
from .drawing import MOVED, standing_in, still_held, without_stand_ins
from .results import Result
from .working import Working

KEPT = "it keeps"
DEEPEST = 5  # tuples in tuples that a number is looked for in
HERE_ALONE = 3  # references to a tuple that nobody else holds: Python 3.13 tells of the one of its own arguments
LEADS = "numbers of the result may lead the way"


@dataclass(frozen=True, slots=True)
class Leaf:
    """An argument leaf."""

    index: int
    name: str

    @property
    def key(self) -> Any:
        """What tells it from other sources."""
        return self.index

    def read(self, leaves: Sequence[Any]) -> Any:
        """The number in a call."""
        return leaves[self.index]


@dataclass(frozen=True, slots=True)
class Taken:
    """A number that Python takes out of a tensor while the call runs: number `index` of these. Calls have them, as they
    are found out, behind their `first` leaves."""

    index: int
    first: int
    where: Location

    @property
    def key(self) -> Any:
        """What tells it from other sources."""
        return "taken", self.index

    @property
    def name(self) -> str:
        """What formulas call it."""
        return f"taken[{self.index}]"

    def read(self, leaves: Sequence[Any]) -> Any:
        """The number, if it is known by now."""
        at = self.first + self.index
        return leaves[at] if at < len(leaves) else LATER


class Place:
    """A place in Python state: a global, a closure variable, an attribute, an entry."""

    __slots__ = ("check", "key", "name")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.name = check.name
        self.key = place_key(check)

    def read(self, leaves: Sequence[Any]) -> Any:
        """The number there now."""
        return self.check.read()

    def with_number(self, value: Any) -> Check:
        """The check that this very number is there."""
        c = self.check
        return type(c)(c.holder, c.key, value, c.name, c.where)

    def put(self, value: Any, undo: list[Undo]) -> None:
        """Puts something else there until `undo` is called."""
        check = self.check
        holder, name = check.holder, check.key
        if isinstance(check, CellCheck):
            name = "cell_contents"
        elif isinstance(check, ClassCheck):
            holder = next(c for c in holder.__mro__ if name in vars(c))
        elif check.expected is MISSING:
            holder[name] = value
            undo.append(lambda: holder.pop(name) if holder.get(name) is value else None)
            return
        exchange(holder, name, value, undo)


Source = Leaf | Place | Taken


def place_key(check: Check) -> Any:
    """What tells a place from others."""
    check = check.place if isinstance(check, PlacedCheck) else check
    return type(check).__name__, id(check.holder), check.key


def with_any_number(checks: list[Check], sources: Iterable[Source]) -> list[Check]:
    """The checks, of which those of the sources let any number of their type be there."""
    keys = {s.key for s in sources if isinstance(s, Place)}
    return [NumberCheck(c) if place_key(c) in keys else c for c in checks] if keys else checks


def may_be_promoted(check: Check) -> bool:
    """Whether a place holds a number that a program could take as an input, and still does."""
    if type(check.expected) not in LIVE_OF or type(check.read()) is not type(check.expected):
        return False
    if isinstance(check, ClassCheck):
        return class_attribute(check.holder, check.key) is not None
    return isinstance(check, EXCHANGED)


@contextmanager
def in_place(
    numbers: Iterable[tuple[Source, Any]], args: Any, kwargs: Any,
    functions: Iterable[tuple[Place, Any]], undo: list[Undo],
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """The arguments of a call with `numbers` for what the sources hold; state has them, too, until the end.

    At the places in `functions` are those that take live numbers. `undo` has what is still to be put back.
    """
    try:
        for place, function in functions:
            with contextlib.suppress(AttributeError, LookupError, StopIteration, TypeError):
                place.put(function, undo)
        new = {}
        for source, number in numbers:
            if isinstance(source, Leaf):
                new[source.index] = number
            else:
                try:
                    source.put(number, undo)
                except (AttributeError, LookupError, StopIteration, TypeError):
                    number.pin() if type(number) is SymInt else settled(number)  # it stays there
        yield with_leaves((args, kwargs), new, undo) if new else (args, kwargs)
    finally:
        put_back(undo)


def put_back(undo: list[Undo]) -> None:
    """Does all that is still to be done, the last first."""
    while undo:
        undo[-1]()
        undo.pop()


def functions_of_numbers(footprint: Footprint, sizes: bool = False) -> list[tuple[Place, Any]]:
    """The places where code reads functions of numbers, and what has to be there for live ones; for `sizes` alone it
    is `type` that needs it."""
    out: list[tuple[Place, Any]] = []
    for c in footprint.checks:
        if isinstance(c, EXCHANGED):
            found = followed(c.expected)
            if c.expected is MISSING and isinstance(c, GlobalCheck) and _converts(footprint, c):
                found = CONVERSIONS[c.key]
            if found is not None and (not sizes or c.key == "type"):
                out.append((Place(c), found))
    return out


def _converts(footprint: Footprint, check: Check) -> bool:
    """Whether a name that is no global means the builtin that makes a float or int, and all code only calls it."""
    users = (f.__code__ for f in footprint.functions.values() if f.__globals__ is check.holder)
    return check.key in CONVERSIONS and all(only_called(code, check.key) for code in users)


def follows_types(footprint: Footprint) -> bool:
    """Whether all that code does with `type` is to call it."""
    users = footprint.functions
    return "builtins" not in footprint.all_names and all(only_called(c, "type") for c in users)


def called(
    fn: Any, args: Any, kwargs: Any, sources: Sequence[Source], formulas: Formulas | None,
    footprint: Footprint, symbolic: bool = False, sizes: Iterable[tuple[Source, Any]] = (),
    watched: dict[int, Any] | None = None, working: Working | None = None,
    caching: Callable[[list[Undo]], list[Any]] | None = None,
) -> tuple[Any, dict[int, Use], set[Any]]:  # fmt: skip
    """Calls `fn` with live numbers for what the sources hold: its result, made plain, which leaves were live,
    and the keys of the places that hold something else than a number that was put there.

    Where sizes are `symbolic`, what is among the `sizes` is one in the call. There are stand-ins for generators of
    random numbers, and those in `watched` for array leaves, which it empties; where that is None, for neither.
    `caching` puts stand-ins for functions whose results Python keeps, and gives them."""
    inputs = () if formulas is None else formulas.inputs
    plain = formulas is None and not symbolic
    functions = [] if plain else functions_of_numbers(footprint, sizes=formulas is None)
    numbers = (*zip(sources, inputs, strict=True), *sizes)
    undo: list[Undo] = []
    drawing = list(map(Place, footprint.drawing))
    stands: list[Any] = []
    try:
        if working is not None:
            functions += [(Place(c), v) for c, v in working.holding(footprint.holding)]
        with as_before(lambda: put_back(undo)):
            if watched is not None:
                args, kwargs, stands = standing_in(drawing, args, kwargs, undo, watched)
            if caching is not None:
                stands += caching(undo)
            with in_place(numbers, args, kwargs, functions, undo) as (args, kwargs):
                result = fn(*args, **kwargs)
                result = without_stand_ins(result)
                written = {
                    s.key for s, x in numbers if isinstance(s, Place) and s.read(()) is not x
                }
    except BaseException:
        kept_numbers(formulas)  # what the code has left in its state gets plain numbers
        raise
    finally:
        del args, kwargs
        if working is not None:
            stands += working.end()
        _let_go(stands)
    if formulas is None:
        return result, {}, written
    live = {i: v for i, v in enumerate(flatten(result)[0]) if type(v) in LIVE}
    uses = {i: formulas.use(v) for i, v in live.items()}
    return with_leaves(result, {i: v._live_value for i, v in live.items()}, []), uses, written


def _let_go(stands: list[Any]) -> None:
    """What still holds stand-ins gets what these stand for. No program could give a generator to Python state."""
    held = still_held(stands)
    if any(map(is_source, held)):
        unrepeatable(MOVED)
    if held:
        _exchange(held, [*map(stood_for, held)], stands)


def kept_numbers(formulas: Formulas | None, apart: Sequence[Any] = ()) -> list[str]:
    """Why a capture cannot be repeated: live numbers that something will still hold when it has ended.

    What holds them gets the plain numbers. Statements in `apart` may have put them there: these run on each call.
    """
    if formulas is None:
        return []
    kept = formulas.kept()
    if not kept:
        return []
    kept.reverse()
    stay = _exchange(kept, [x._live_value for x in kept], formulas.uses)
    return [
        f"{KEPT} {x._live_text}, a number that may change, where that is not followed"
        for i, x in enumerate(kept)
        if not apart or i in stay
    ]


def _exchange(old: list[Any], new: list[Any], but: Any) -> set[int]:
    """Puts each of `new` in the place of its `old` wherever that is held, in tuples by exchanging these; the numbers
    of those for which that could not be done.

    To ask for holders is to look at all objects that there are: it is done once for all, and once for their tuples.
    """
    whose = [{i} for i in range(len(old))]  # which of the given ones each stands for
    for _ in range(DEEPEST):
        if not old:
            break
        at = {id(v): i for i, v in enumerate(old)}
        tuples: list[Any] = []
        made: list[Any] = []
        both: list[set[int]] = []
        for holder in gc.get_referrers(*old):
            if holder is but or holder is old or isinstance(holder, types.FrameType):
                continue
            if type(holder) is tuple and sys.getrefcount(holder) <= HERE_ALONE:
                continue
            mine = dict.fromkeys(at[id(v)] for v in gc.get_referents(holder) if id(v) in at)
            if type(holder) is tuple:
                tuples.append(holder)
                made.append(tuple(new[at[id(v)]] if id(v) in at else v for v in holder))
                both.append(set[int]().union(*(whose[i] for i in mine)))
                continue
            for i in mine:
                _exchange_in(holder, old[i], new[i])
        old, new, whose = tuples, made, both
    return set[int]().union(*whose)


def _exchange_in(holder: Any, x: Any, new: Any) -> None:
    """Puts `new` in the place of `x` in an object that is no tuple."""
    if isinstance(holder, dict):
        _exchange_entries(holder, x, new)
    elif isinstance(holder, (list, deque)):
        kind: Any = built_of(holder)
        for i, v in enumerate(list(kind.__iter__(holder))):
            if v is x:
                kind.__setitem__(holder, i, new)
    elif isinstance(holder, set):
        set.discard(holder, x)
        set.add(holder, new)
    elif isinstance(holder, types.CellType):
        holder.cell_contents = new
    else:
        _exchange_attributes(holder, x, new)


def _exchange_entries(holder: Any, x: Any, new: Any) -> None:
    """Puts `new` in the place of `x` among the values and the keys of a dict, which keep their order."""
    kind: Any = built_of(holder)
    before = list(kind.items(holder))
    keyed = any(k is x for k, _ in before)
    if keyed:
        kind.clear(holder)
    for k, v in before:
        if keyed or v is x:
            kind.__setitem__(holder, new if k is x else k, new if v is x else v)


def _exchange_attributes(holder: Any, x: Any, new: Any) -> None:
    """Puts `new` in the place of `x` among the attributes of an object."""
    for k, v in list((held_by(holder) or {}).items()):
        if v is x:
            held_by(holder)[k] = new
    for slot, v in filled_slots(holder):
        if v is x:
            slot.__set__(holder, new)


def sources_of(program: Any) -> tuple[Leaf | Place, ...]:
    """The sources of the numbers that a program takes as inputs and that are there when a call begins."""
    promoted = program.promoted
    sources = () if promoted is None or promoted.formulas is None else promoted.sources
    return tuple(s for s in sources if not isinstance(s, Taken))


class Promoted:
    """The numbers of one program that are no part of the key of its calls.

    ``formulas`` are of those that it takes as inputs: ``sources``, which held ``values`` in the capture. ``free``
    are those that may be any number. The others must be what they were, as must the ``fixed`` ones, which the
    program has as constants.
    """

    def __init__(
        self, sources: Sequence[Source] = (), values: Sequence[Any] = (),
        formulas: Formulas | None = None, fixed: Sequence[tuple[Source, Any]] = (),
    ) -> None:  # fmt: skip
        self.sources = tuple(sources)
        self.values = tuple(values)
        self.formulas = formulas
        self.free: frozenset[int] = frozenset()
        self.fixed = tuple(fixed)
        self.missed = False  # the last capture that was to confirm it took another path
        self.takes = frozenset(s.index for s in self.sources if isinstance(s, Taken))

    def numbers(self, leaves: Sequence[Any]) -> Any:
        """The numbers that the program takes in a call, as a tuple; else why it is not for this call."""
        source = self.other(leaves)
        if source is not None:
            return f"{source.name} changed"
        values = [s.read(leaves) for s in self.sources]
        if len(self.free) < len(values):
            for i, (value, was) in enumerate(zip(values, self.values, strict=True)):
                if i not in self.free and value is not LATER and not _same(value, was):
                    return f"{self.sources[i].name} changed"
        return () if self.formulas is None else self.formulas.at(values)

    def arrays_of(
        self, count: int, slots: Sequence[Slot], results: Sequence[Result]
    ) -> Callable[..., Any] | None:
        """What gives the numbers in `slots` for a call's `count` arguments, as 0-d arrays in a tuple, then those that
        are `results`; None for a call that is not for the program. It relies on their types, and on arguments that are
        not free.

        None where it would have to look at more.
        """
        if self.takes or any(
            isinstance(s, Place) and i not in self.free for i, s in enumerate(self.sources)
        ):
            return None
        taken: list[tuple[int, Any]] = [
            *((s.key.place, s.type.dtype) for s in slots if s.kind == "computed"),
            *((r.key, None) for r in results if r.kind == "computed"),
        ]
        held = [s.index if isinstance(s, Leaf) else s.check.read for s in self.sources]
        return None if self.formulas is None else self.formulas.arrays_of(count, held, taken)

    def other(self, leaves: Sequence[Any]) -> Source | None:
        """The first number in a call that is another than the one which the program has as a constant."""
        return next((s for s, was in self.fixed if not _same(s.read(leaves), was)), None)

    def differing(self, leaves: Sequence[Any]) -> frozenset[int]:
        """The sources that hold other numbers in a call than in the capture."""
        now = [s.read(leaves) for s in self.sources]
        pairs = enumerate(zip(now, self.values, strict=True))
        return frozenset(i for i, (a, b) in pairs if a is not LATER and not _same(a, b))

    def value_of(self, leaf: int) -> Any:
        """What an argument leaf held in the capture, as a tuple of one (of none: it is a part of the key)."""
        known = (*zip(self.sources, self.values, strict=True), *self.fixed)
        return tuple(v for s, v in known if isinstance(s, Leaf) and s.index == leaf)[:1]

    def would_serve(self, leaves: Sequence[Any]) -> bool:
        """Whether the code would do the same in a call, as far as the capture tells, though nothing confirmed it."""
        if self.formulas is None or len(self.free) == len(self.sources) or self.other(leaves):
            return False
        return type(self.formulas.of_call(leaves)) is tuple and bool(self.differing(leaves))

    @property
    def any_taken(self) -> frozenset[int]:
        """Which numbers that the call takes out of tensors may be any."""
        return frozenset(
            s.index for i, s in enumerate(self.sources) if isinstance(s, Taken) and i in self.free
        )

    def is_free(self, leaf: int) -> bool:
        """Whether an argument leaf may be any number."""
        return any(
            isinstance(s, Leaf) and s.index == leaf and i in self.free
            for i, s in enumerate(self.sources)
        )

    def assumed(self, arguments: tuple[Assumption, ...]) -> tuple[Assumption, ...]:
        """What is assumed of the arguments, with promoted ones among them, and the conditions on numbers."""
        out = list(arguments)
        for i in self.free:
            source = self.sources[i]
            if isinstance(source, Leaf):
                kind = type(self.values[i]).__name__
                out[source.index] = out[source.index]._replace(value=f"any {kind}")
        conditions = () if self.formulas is None else self.formulas.conditions
        return (*out, *(Assumption("condition", c.text, c.value, c.where) for c in conditions))


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and bool(exact(a) == exact(b)))

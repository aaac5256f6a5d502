"""Formulas: what a capture did with live numbers, as a function of their values.

The steps are written down in the order in which they were done, as Python source: each piece of arithmetic, and
each condition that must hold for the code to take the same path. Python itself works them out for other values,
so the bits are those of the code that did it first.
"""

from __future__ import annotations

import gc
import itertools
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..constant import exact
from ..dtypes import DType, scalar_of
from ..errors import Location, user_location
from ..process import forks
from .live import LIVE, LIVE_OF, Live, mode, settled

MAX_TEXT = 120  # characters of a formula that users read
_long: dict[str, str] = {}  # what stands for formulas that are longer, the same in all captures
_numbers = itertools.count()
LATER: Any = object()  # what a source holds that is only found out while the call runs
MAX_STEPS = 2000  # steps of one capture, beyond which numbers are looked at as they are


class Condition(NamedTuple):
    """Something that Python learned of live numbers, and where."""

    text: str
    value: Any
    where: Location
    sources: frozenset[int]
    exactly: bool  # no other value of the number does


class Source(Protocol):
    """Where an input comes from on each call: ``key`` tells it from others."""

    name: str
    key: Any

    def read(self, leaves: Sequence[Any]) -> Any:
        """What is there now."""


class Use(NamedTuple):
    """A number that a program takes: the formulas that give it, its place among what they give, what it is, and what
    tells the inputs that it depends on."""

    formulas: Formulas
    place: int
    text: str
    inputs: frozenset[Any]

    def same(self, other: Use) -> bool:
        """Whether another capture has this number from the same inputs."""
        return self.text == other.text and self.inputs == other.inputs


def _any_int(operands: tuple[Any, ...]) -> bool:
    return any(isinstance(v, int) for v in operands)


def _named(x: Any) -> str:
    if type(x) in LIVE:
        return str(x._live_text)
    if not callable(x):
        return repr(x)
    return f"{getattr(x, '__module__', None) or 'numpy'}.{x.__name__}"


class Formulas:
    """The live numbers of one capture: `inputs` stand for what `sources` hold in the call with `leaves`.

    Context manager: what is done with them inside is written down; at the end it is made a function.
    """

    def __init__(self, sources: Sequence[Source], leaves: Sequence[Any]) -> None:
        self.sources = tuple(sources)
        self.values = tuple([s.read(leaves) for s in sources])
        self.conditions: list[Condition] = []
        self.uses: list[Live] = []
        self.tensors: dict[tuple[str, DType], Any] = {}  # 0-d tensors that stand for numbers
        self.on_tape: list[weakref.ref[Any]] = []  # tape entries that hold live numbers
        self._places: dict[str, int] = {}
        self._tensor_of: dict[int, Use] = {}
        self._lines: list[str] = []
        # What the lines do: a step's name (None: a condition), its source, and what a condition's has to be.
        self.steps: list[tuple[str | None, str, Any]] = []
        self.constants: dict[str, Any] = {"exact": exact, "later": LATER}
        self._known: dict[str, Any] = {}  # live numbers, by text
        self._learned: set[tuple[str, bool]] = set()
        self._made: list[weakref.ref[Live]] = []
        self._fill: Callable[..., Any] | None = None
        self._lock = forks.lock()
        self.inputs = [
            self._new(v, f"a{i}", s.name, frozenset((i,)))
            for i, (s, v) in enumerate(zip(self.sources, self.values, strict=True))
        ]

    def _new(self, value: Any, code: str, text: str, sources: frozenset[int]) -> Live:
        out = LIVE_OF[type(value)](self, value, code, text, sources)
        self._made.append(weakref.ref(out))
        return out

    # --- while the capture goes on ---

    def __enter__(self) -> None:
        self._before, mode.formulas = mode.formulas, self

    def __exit__(self, *exc: object) -> None:
        mode.formulas = self._before
        self._finish()

    def _code(self, x: Any) -> str:
        if type(x) in LIVE:
            return str(x._live_code)
        name = f"c{len(self.constants)}"
        self.constants[name] = x
        return name

    def _text(self, form: str, operands: tuple[Any, ...]) -> str:
        parts = [_named(v) for v in operands]
        parts = [f"({p})" if " " in p else p for p in parts]
        text = form.format(*parts)
        if len(text) <= MAX_TEXT:
            return text
        return _long.setdefault(text, f"#{next(_numbers)}")

    def made(self, form: str, value: Any, operands: tuple[Any, ...]) -> Any:
        """The live number that `form`, Python source, makes of operands."""
        text = self._text(form, operands)
        found = self._known.get(text)
        if found is not None:
            return found
        if len(self._lines) >= MAX_STEPS:
            settled(operands)
            return value
        code = f"t{len(self._lines)}"
        sources = frozenset().union(*(v._live_sources for v in operands if type(v) in LIVE))
        written = form.format(*map(self._code, operands))
        self._lines.append(f"{code} = {written}")
        self.steps.append((code, written, None))
        out = self._known[text] = self._new(value, code, text, sources)
        if "**" in form or (isinstance(operands[0], np.ufunc) and _any_int(operands)):
            # an int or a float or a complex number; or, of a large int, an object
            kind = type(value)
            self.steps.append((None, f"type({code})", kind))
            self._require(f"type({code}) is {self._code(kind)}", text, kind, sources)
        return out

    def told(self, form: str, value: Any, operands: tuple[Any, ...], exactly: bool) -> None:
        """Takes down that `form` of operands is `value`."""
        text = self._text(form, operands)
        if (text, exactly) in self._learned:
            return
        self._learned.add((text, exactly))
        sources = frozenset().union(*(v._live_sources for v in operands if type(v) in LIVE))
        code = form.format(*map(self._code, operands))
        test = (
            f"({code}) is {value}"
            if type(value) is bool
            else f"bool({code}) is {value}"
            if type(value) is np.bool_
            else f"exact({code}) == {self._code(exact(value))}"
        )
        self.steps.append((None, code, value))
        self._require(test, text, value, sources, exactly)

    def _require(
        self, test: str, text: str, value: Any, sources: frozenset[int], exactly: bool = False
    ) -> None:
        self._lines.append(f"if not ({test}): return {len(self.conditions)}")
        self.conditions.append(Condition(text, value, user_location(), sources, exactly))

    def take(self, source: Source, value: Any) -> Live:
        """A further input, which is found out only here: before, a call has the numbers that were used by now."""
        i = len(self.sources)
        self.sources += (source,)
        self.values += (value,)
        gives = "".join(f"{x._live_code}, " for x in self.uses)
        self._lines.append(f"if a{i} is later: return ({gives})")
        return self._new(value, f"a{i}", source.name, frozenset((i,)))

    def use(self, x: Live) -> Use:
        """Makes a live number one of those that the formulas give."""
        place = self._places.get(x._live_code)
        if place is None:
            place = self._places[x._live_code] = len(self.uses)
            self.uses.append(x)
        inputs = frozenset(self.sources[i].key for i in x._live_sources)
        return Use(self, place, x._live_text, inputs)

    def tensor(self, x: Live, dtype: DType, make: Callable[[], Any]) -> Any:
        """The 0-d tensor that stands for a live number where it meets tensors."""
        found = self.tensors.get((x._live_code, dtype))
        if found is None:
            found = self.tensors[x._live_code, dtype] = make()
            self._tensor_of[id(found)] = self.use(x)
        return found

    def use_of(self, tensor: Any) -> Use | None:
        """The number that a tensor stands for, if it does."""
        return self._tensor_of.get(id(tensor))

    # --- afterwards ---

    def _finish(self) -> None:
        self.gives = [x._live_code for x in self.uses]
        self._kinds = tuple(type(v) for v in self.values)
        self._off_the_tape()
        self._known.clear()
        self._learned.clear()
        self.tensors.clear()
        self.uses.clear()
        self.inputs.clear()

    def same(self, other: Formulas) -> bool:
        """Whether another capture did the same with such numbers, and learned the same."""
        pairs = zip(self.constants.values(), other.constants.values(), strict=False)
        return (self._lines, self.gives) == (other._lines, other.gives) and all(
            a is b or (type(a) is type(b) and exact(a) == exact(b)) for a, b in pairs
        )

    def kept(self) -> list[Live]:
        """The live numbers that something else holds when the code has run."""
        self._off_the_tape()
        self._known.clear()
        self.inputs.clear()
        mine = Counter(map(id, self.uses))
        for attempt in range(2):
            found = [ref() for ref in self._made]
            # held by `found`, by `x` and by the call itself
            out = [x for x in found if x is not None and sys.getrefcount(x) > 3 + mine[id(x)]]
            if not out or attempt:
                return out
            del found, out
            gc.collect(1)  # cycles that the code has made are young; to look at all would take long
        return []

    def _off_the_tape(self) -> None:
        """Tape entries, which may live on, get plain numbers."""
        for ref in self.on_tape:
            node = ref()
            if node is not None and node.saved is not None:
                kept, results = node.saved
                node.saved = tuple(v._live_value if type(v) in LIVE else v for v in kept), results
        self.on_tape.clear()

    def pinned(self) -> frozenset[int]:
        """The inputs of which some condition admits the present value alone."""
        return frozenset().union(*(c.sources for c in self.conditions if c.exactly))

    def _compiled(self) -> Callable[..., Any]:
        with self._lock:
            if self._fill is None:
                arguments = ", ".join(f"a{i}" for i in range(len(self.values)))
                gives = "".join(f"{c}, " for c in self.gives)
                lines = [f"def fill({arguments}):", *(f"    {n}" for n in self._lines)]
                names = dict(self.constants)
                exec("\n".join([*lines, f"    return ({gives})"]), names)
                self._fill = names["fill"]
            return self._fill

    def arrays_of(
        self,
        count: int,
        held: Sequence[int | Callable[[], Any]],
        taken: Sequence[tuple[int, DType | None]],
    ) -> Callable[..., Any]:
        """A function of a call's `count` arguments: the numbers `taken` (place, dtype) in a tuple, as 0-d arrays; as
        they are where there is no dtype.

        It gives None for calls that take another path. ``held``: which argument each source is, or what reads it.
        """
        names: dict[str, Any] = {"fill": self._fill or self._compiled(), "array": np.asarray}
        names |= {f"read{i}": h for i, h in enumerate(held) if callable(h)}
        names |= {f"kind{k}": scalar_of(d) for k, (_, d) in enumerate(taken) if d}
        given = ", ".join(f"read{i}()" if callable(h) else f"x{h}" for i, h in enumerate(held))
        gives = "".join(
            f"array(kind{k}(found[{p}])), " if d else f"found[{p}], "
            for k, (p, d) in enumerate(taken)
        )
        lines = (
            f"def arrays({', '.join(f'x{i}' for i in range(count))}):",
            "    try:",
            f"        found = fill({given})",
            f"        return ({gives}) if type(found) is tuple else None",
            "    except Exception:",  # the code itself will raise it
            "        return None",
        )
        exec("\n".join(lines), names)
        made: Callable[..., Any] = names["arrays"]
        return made

    def of_call(self, leaves: Sequence[Any]) -> Any:
        """As `at`, for what the sources hold in a call."""
        return self.at([s.read(leaves) for s in self.sources])

    def at(self, values: Sequence[Any]) -> Any:
        """The numbers that the program takes for these inputs, as a tuple; else why it is not for them.

        Those that follow from inputs that are found out `LATER` are not among them yet.
        """
        for kind, value, source in zip(self._kinds, values, self.sources, strict=True):
            if type(value) is not kind and value is not LATER:
                return f"{source.name} is no {kind.__name__} any more"
        fill = self._fill or self._compiled()
        try:
            found = fill(*values)
        except Exception as problem:  # the code itself will raise it
            return f"{type(problem).__name__}: {problem}"
        if type(found) is tuple:
            return found
        c = self.conditions[found]
        return f"{c.text} is not {c.value!r} any more (at {c.where})"

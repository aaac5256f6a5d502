"""Sizes: which sizes of a compiled function's arguments are symbolic, and which template serves a call.

Calls that differ in sizes alone are one family. Sizes that differed between its calls are symbolic, those that
went together (the batch of x and of y) under one symbol; so are sizes declared with ``dynamic=``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..core.numbers.guards import guarded
from ..core.numbers.symbolic import SymInt, hint
from ..core.numbers.symbols import symbol
from ..core.types import Shape
from ..eager.tensor import Tensor
from .alike import same_program
from .declared import Axis, Declared, Dim
from .dynamic import Sized, Template
from .keys import any_number
from .program import Program
from .promoted import Place, Source

MAX_EXAMPLES = 8  # calls of a family that are remembered
# Templates that no other size confirmed, after which each size is a program of its own.
MAX_DOUBTFUL = 3
MAX_EMPTY = 32  # calls that run eagerly at a size of 0 that a symbolic program excludes, until it is captured, too
LARGE = 1 << 40  # a number from which on it is no size
NO_AXIS = -1  # in a place: this is one of the numbers that are sizes, not a leaf

Pattern = tuple[int | str, ...]  # for each place its size, or the name of its symbol


@dataclass(frozen=True, slots=True)
class Spec:
    """What a capture takes as symbolic: the shapes of leaves, the symbols, the pattern of all places, and numbers."""

    shapes: dict[int, Shape]
    symbols: tuple[SymInt, ...]
    pattern: Pattern
    limits: tuple[Dim | None, ...] = ()  # of the symbols, as far as users gave some
    numbers: tuple[tuple[Source, SymInt], ...] = ()

    @property
    def how(self) -> tuple[dict[int, Shape], Any, tuple[tuple[Source, SymInt], ...]]:
        """The shapes, what makes the program of such a capture, and the numbers."""
        make = partial(Template, symbols=self.symbols, limits=self.limits, numbers=self.numbers)
        return self.shapes, make, self.numbers


@dataclass(slots=True)
class Family:
    """What is known of calls that differ in sizes alone."""

    examples: list[tuple[int, ...]] = field(default_factory=list)
    templates: list[tuple[Pattern, Template]] = field(default_factory=list)
    plain: list[tuple[tuple[int, ...], Program]] = field(default_factory=list)
    single: int = 0  # captures at numbers that were paths of a tree of these numbers alone
    trees: bool = False  # whether there are so many paths that each size has a tree of them
    empty: Counter[tuple[int, ...]] = field(default_factory=Counter)  # calls that ran eagerly so

    def doubtful(self) -> bool:
        """Whether too many symbolic captures were of use for no other size than their own."""
        return self.single + sum(not t.confirmed for _, t in self.templates) >= MAX_DOUBTFUL


class Call:
    """A call's key, split into its sizes and the rest.

    ``loose`` is that with the types of numbers for the numbers. The sizes end with what the `numbers` are, without
    their signs, which belong to the rest.
    """

    def __init__(self, key: Any, leaves: Sequence[Any], numbers: Sequence[Source] = ()) -> None:
        head, parts = key[: -len(leaves)] if leaves else key, key[len(key) - len(leaves) :]
        self.places: list[Axis] = []
        sizes: list[int] = []
        rest: list[Any] = [head]
        loose: list[Any] = [head]
        for i, (part, leaf) in enumerate(zip(parts, leaves, strict=True)):
            dense = isinstance(leaf, Tensor) and part[4] is None
            if dense:
                shape, own = part[1], (*part[:1], *part[2:])
            elif type(part) is tuple and part[:1] == ("array",) and leaf.flags.c_contiguous:
                shape, own = part[2], (*part[:2], *part[4:])
            else:
                rest.append(part)
                loose.append(any_number(leaf, part))
                continue
            rest.append((len(shape), own))
            loose.append(rest[-1])
            self.places += [(i, axis) for axis in range(len(shape))]
            sizes += shape
        self.numbers = [s for s in numbers if _may_be_size(s.read(leaves))]
        values = [s.read(leaves) for s in self.numbers]
        rest.append(tuple((s.key, v < 0) for s, v in zip(self.numbers, values, strict=True)))
        loose.append(rest[-1])
        self.places += [(k, NO_AXIS) for k in range(len(values))]
        self.signs = [-1 if v < 0 else 1 for v in values]
        sizes += map(abs, values)
        self.tree, self.sizes = key[0], tuple(sizes)
        self.kind, self.loose = tuple(rest), tuple(loose)
        self.leaves = leaves


class Sizes:
    """The families of one compiled function, and what was declared of its sizes."""

    def __init__(self, fn: Any, dynamic: Any, numbers: Callable[[Any], Sequence[Source]]) -> None:
        self._numbers = numbers  # by the structure of the arguments, those that are sizes
        self.declared = None if dynamic is True or dynamic is None else Declared(fn, dynamic)
        self.all = dynamic is True
        self.families: dict[Any, Family] = {}
        self.seen: dict[Any, list[tuple[int, ...]]] = {}  # sizes of calls, whatever their numbers

    def call(self, key: Any, leaves: Sequence[Any]) -> Call:
        """A call by its sizes and the rest, as it is now."""
        return Call(key, leaves, self._numbers(key[0]))

    def ready_for(self, key: Any, leaves: Sequence[Any], known: Sequence[Program]) -> Sized | None:
        """A symbolic program at the sizes of a call, where it is sure to be what a capture would give."""
        found = self.matching(key, leaves, known)
        return None if found is None else found[0].at(found[1])

    def matching(
        self, key: Any, leaves: Sequence[Any], known: Sequence[Program]
    ) -> tuple[Template, tuple[int, ...]] | None:
        """The same, as the template and the sizes."""
        if not self.families:
            return None
        call = self.call(key, leaves)
        family = self.families.get(call.kind)
        for pattern, template in () if family is None else family.templates:
            values = matched(pattern, call.sizes)
            if values is None or template.failure:
                continue
            if any(p.template is template and p.values == values for p in known):  # type: ignore[attr-defined]
                continue
            if template.read_at or not template.same_capture(values):
                continue
            if not template.ready or template.compiled_for(values):
                template.confirmed = True
                return template, values
        return None

    def empty(self, key: Any, leaves: Sequence[Any]) -> bool:
        """Whether a call is for a symbolic program but for a size of 0, and better runs eagerly: it computes next to
        nothing, and such calls are few."""
        call = self.call(key, leaves) if self.families else None
        family = None if call is None else self.families.get(call.kind)
        if call is None or family is None or 0 not in call.sizes:
            return False
        found = (matched(pattern, call.sizes) for pattern, _ in family.templates)
        if not any(values is not None and 0 in values for values in found):
            return False
        family.empty[call.sizes] += 1
        return family.empty[call.sizes] <= MAX_EMPTY

    def spec(self, call: Call, args: Any, kwargs: Any, any_numbers: bool = False) -> Spec | None:
        """What a capture of this call takes as symbolic; None: nothing.

        With `any_numbers` calls that differ in numbers, too, tell which sizes change.
        """
        family = self.families.setdefault(call.kind, Family())
        if family.doubtful():
            return None
        examples = self.seen.get(call.loose, []) if any_numbers else family.examples
        columns = list(zip(*examples, call.sizes, strict=True))
        names = self._names(call, args, kwargs, columns)
        if not names:
            return None
        pattern = tuple(names.get(p, size) for p, size in enumerate(call.sizes))
        if _narrow(call.sizes, pattern) and all(known != pattern for known, _ in family.templates):
            return None
        symbols = {n: symbol(call.sizes[p], n) for p, n in names.items()}
        if any(hint(symbols[n]) != call.sizes[p] for p, n in names.items()):
            return None  # declared to be the same, and not so here
        shapes: dict[int, list[int]] = {}
        numbers = []
        for p, (leaf, axis) in enumerate(call.places):
            size = symbols[names[p]] if p in names else call.sizes[p]
            if axis == NO_AXIS:
                numbers.append((call.numbers[leaf], call.signs[leaf] * size))
            else:
                shapes.setdefault(leaf, []).append(size)
        symbolic = {leaf for leaf, axis in map(call.places.__getitem__, names) if axis != NO_AXIS}
        limits = self.declared.limits if self.declared is not None else {}
        return Spec(
            {i: tuple(s) for i, s in shapes.items() if i in symbolic},
            tuple(symbols.values()),
            pattern,
            tuple(map(limits.get, symbols)),
            tuple(numbers),
        )

    def hopeless(self, call: Call) -> Sequence[Source]:
        """The numbers of a call that are of no use as sizes."""
        family = self.families.get(call.kind)
        useless = family is not None and not any(t.confirmed for _, t in family.templates)
        return call.numbers if useless and family.doubtful() else ()  # type: ignore[union-attr]

    def branch(self, key: Any, leaves: Sequence[Any], programs: list[Program]) -> bool:
        """Leaves paths to trees, one for each size, as there are too many to try one after the other; whether that
        is new."""
        found = [p for p in programs if p.template is not None and p.trace.concrete]
        if found:
            family = self.families.setdefault(self.call(key, leaves).kind, Family())
            family.trees = True
            family.templates = [t for t in family.templates if not t[1].trace.concrete]
            programs[:] = [p for p in programs if p not in found]
        return bool(found)

    def elsewhere(
        self, call: Call, made: Program, spec: Spec | None, programs: Iterable[tuple[Any, Program]]
    ) -> Iterator[tuple[Program, Program]]:
        """Programs that were captured at other sizes, each after what a symbolic one is at these."""
        template = made.template
        places = spec is not None and any(isinstance(s, Place) for s, _ in spec.numbers)
        if spec is None or not isinstance(template, Template) or places:
            return
        for key, other in programs:
            if other.template or other.path or other.given is None or key[0] != call.tree:
                continue
            there = Call(key, other.given[1], call.numbers)
            values = matched(spec.pattern, there.sizes) if there.kind == call.kind else None
            if values is not None and template.same_capture(values):
                yield template.fixed_at(values), other

    def _names(
        self, call: Call, args: Any, kwargs: Any, columns: list[tuple[int, ...]]
    ) -> dict[int, str]:
        """The name of each place's symbol, for those that have one."""
        names: dict[int, str] = {}
        if self.declared is not None:
            at = {place: p for p, place in enumerate(call.places)}
            for place, dim, _ in self.declared.places(args, kwargs):
                if place in at:
                    names[at[place]] = dim.name
        groups: dict[Any, str] = {}
        for p, column in enumerate(columns):
            number = call.places[p][1] == NO_AXIS
            differs = number or len(set(column)) > 1 or (self.all and column[-1] > 1)
            if differs and p not in names:
                own = (column, p) if number and len(column) == 1 else column  # else it tells little
                names[p] = groups.setdefault(own, f"s{len(groups)}")
        return dict(sorted(names.items()))

    def settle(self, call: Call, spec: Spec | None, made: Program) -> Program:
        """Takes in a capture; gives the program for calls of these sizes."""
        family = self.families.setdefault(call.kind, Family())
        for examples in (family.examples, self.seen.setdefault(call.loose, [])):
            if call.sizes not in examples:
                examples.append(call.sizes)
                del examples[:-MAX_EXAMPLES]
        if spec is None or not isinstance(made, Template):
            family.plain = [*family.plain, (call.sizes, made)][-2:]
            return made
        taken = made.trace.concrete
        if taken and (family.trees or not all(type(c.value) is bool for c in taken)):
            family.single += bool(spec.numbers)
            return made.fixed()  # a path of a tree, which is for its own sizes
        values = matched(spec.pattern, call.sizes)
        assert values is not None
        for pattern, template in family.templates:
            if pattern != spec.pattern or template.footprint.failing() or template.failure:
                continue
            with guarded(proving=True):
                same = same_program(template, made, template.captured, made.captured)
            same = same and _same_formulas(template, made)
            if same and (not template.ready or template.compiled_for(values)):
                template.confirmed = True
                return template.at(values)
        if _narrow(call.sizes, spec.pattern):
            return made.fixed()
        for sizes, program in family.plain:
            at = matched(spec.pattern, sizes)
            if at is not None and not made.confirmed and made.same_capture(at):
                there = made.captured_at(at)
                made.confirmed = same_program(program, made, program.captured, there)
        family.templates.append((spec.pattern, made))
        return made.at(values)


def _same_formulas(a: Program, b: Program) -> bool:
    """Whether two captures have done the same with promoted numbers; sizes that these met are constants there."""
    mine, theirs = (p.promoted and p.promoted.formulas for p in (a, b))
    return mine is theirs or bool(mine and theirs and mine.same(theirs))


def _may_be_size(value: Any) -> bool:
    """Whether a number is an integer that sizes could be."""
    return type(value) is int and -LARGE < value < LARGE


def _narrow(sizes: Sequence[int], pattern: Pattern) -> bool:
    """Whether a symbol is 0 or 1, which says too little of other sizes to compile for."""
    return any(isinstance(p, str) and size < 2 for p, size in zip(pattern, sizes, strict=True))


def matched(pattern: Pattern, sizes: Sequence[int]) -> tuple[int, ...] | None:
    """What the symbols of a pattern stand for, in order of appearance; None where sizes do not fit it."""
    found: dict[str, int] = {}
    for want, size in zip(pattern, sizes, strict=True):
        if isinstance(want, str):
            if found.setdefault(want, size) != size:
                return None
        elif want != size:
            return None
    return tuple(found.values())

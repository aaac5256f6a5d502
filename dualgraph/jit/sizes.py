"""Sizes: which sizes of a compiled function's arguments are symbolic, and which template serves a call.

Calls that differ in sizes alone are one family. Sizes that differed between its calls are symbolic, those that
went together (the batch of x and of y) under one symbol; so are sizes declared with ``dynamic=``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..core.numbers.guards import guarded
from ..core.numbers.symbolic import SymInt, hint
from ..core.numbers.symbols import symbol
from ..core.types import Shape
from ..eager.tensor import Tensor
from .alike import same_program
from .declared import Declared, Dim, Place
from .dynamic import Sized, Template
from .keys import any_number, without_sizes
from .program import Program

MAX_EXAMPLES = 8  # calls of a family that are remembered
MAX_DOUBTFUL = (
    3  # templates that no other size confirmed, after which each size is a program of its own
)

Pattern = tuple[int | str, ...]  # for each place its size, or the name of its symbol


@dataclass(frozen=True, slots=True)
class Spec:
    """What a capture takes as symbolic: the shapes of leaves, the symbols, and the pattern of all places."""

    shapes: dict[int, Shape]
    symbols: tuple[SymInt, ...]
    pattern: Pattern
    limits: tuple[Dim | None, ...] = ()  # of the symbols, as far as users gave some

    @property
    def make(self) -> Any:
        """What makes the program of such a capture."""
        return partial(Template, symbols=self.symbols, limits=self.limits)


@dataclass(slots=True)
class Family:
    """What is known of calls that differ in sizes alone."""

    examples: list[tuple[int, ...]] = field(default_factory=list)
    templates: list[tuple[Pattern, Template]] = field(default_factory=list)
    plain: list[tuple[tuple[int, ...], Program]] = field(default_factory=list)
    trees: bool = False  # whether there are so many paths that each size has a tree of them


class Call:
    """A call's key, split into its sizes and the rest.

    ``loose`` is that with the types of numbers for the numbers.
    """

    def __init__(self, key: Any, leaves: Sequence[Any]) -> None:
        head, parts = key[: -len(leaves)] if leaves else key, key[len(key) - len(leaves) :]
        self.places: list[Place] = []
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
        self.sizes = tuple(sizes)
        self.kind, self.loose = tuple(rest), tuple(loose)
        self.leaves = leaves


class Sizes:
    """The families of one compiled function, and what was declared of its sizes."""

    def __init__(self, fn: Any, dynamic: Any) -> None:
        self.declared = None if dynamic is True or dynamic is None else Declared(fn, dynamic)
        self.all = dynamic is True
        self.families: dict[Any, Family] = {}
        self.seen: dict[Any, list[tuple[int, ...]]] = {}  # sizes of calls, whatever their numbers

    def ready_for(self, key: Any, leaves: Sequence[Any], known: Sequence[Program]) -> Sized | None:
        """A symbolic program at the sizes of a call, where it is sure to be what a capture would give."""
        if not self.families:
            return None
        call = Call(key, leaves)
        family = self.families.get(call.kind)
        for pattern, template in () if family is None else family.templates:
            values = matched(pattern, call.sizes)
            if values is None or any(p.template is template for p in known) or template.failure:
                continue
            if template.read_at or not template.same_capture(values):
                continue
            if not template.ready or template.compiled_for(values):
                template.confirmed = True
                return template.at(values)
        return None

    def spec(
        self, key: Any, leaves: Sequence[Any], args: Any, kwargs: Any, any_numbers: bool = False
    ) -> Spec | None:
        """What a capture of this call takes as symbolic; None: nothing.

        With `any_numbers` calls that differ in numbers, too, tell which sizes change.
        """
        call = Call(key, leaves)
        family = self.families.setdefault(call.kind, Family())
        if sum(not t.confirmed for _, t in family.templates) >= MAX_DOUBTFUL:
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
        for p, (leaf, _) in enumerate(call.places):
            shapes.setdefault(leaf, []).append(symbols[names[p]] if p in names else call.sizes[p])
        symbolic = {call.places[p][0] for p in names}
        limits = self.declared.limits if self.declared is not None else {}
        return Spec(
            {i: tuple(s) for i, s in shapes.items() if i in symbolic},
            tuple(symbols.values()),
            pattern,
            tuple(map(limits.get, symbols)),
        )

    def branch(self, key: Any, leaves: Sequence[Any], programs: list[Program]) -> bool:
        """Leaves paths to trees, one for each size, as there are too many to try one after the other; whether that
        is new."""
        found = [p for p in programs if p.template is not None and p.trace.concrete]
        if found:
            family = self.families.setdefault(Call(key, leaves).kind, Family())
            family.trees = True
            family.templates = [t for t in family.templates if not t[1].trace.concrete]
            programs[:] = [p for p in programs if p not in found]
        return bool(found)

    def elsewhere(
        self, key: Any, made: Program, spec: Spec | None, programs: Iterable[tuple[Any, Program]]
    ) -> Iterator[tuple[Program, Program]]:
        """Programs that were captured at other sizes, each after what a symbolic one is at these."""
        template = made.template
        if spec is None or not isinstance(template, Template):
            return
        kind = list(map(without_sizes, key))
        for other_key, other in programs:
            if other.template or other.path or len(other_key) != len(key):
                continue
            if other.given is not None and list(map(without_sizes, other_key)) == kind:
                values = matched(spec.pattern, Call(other_key, other.given[1]).sizes)
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
            differs = len(set(column)) > 1 or (self.all and column[-1] > 1)
            if differs and p not in names:
                names[p] = groups.setdefault(column, f"s{len(groups)}")
        return dict(sorted(names.items()))

    def settle(self, key: Any, leaves: Sequence[Any], spec: Spec | None, made: Program) -> Program:
        """Takes in a capture; gives the program for calls of these sizes."""
        call = Call(key, leaves)
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
            return made.fixed()  # a path of a tree, which is for its own sizes
        values = matched(spec.pattern, call.sizes)
        assert values is not None
        for pattern, template in family.templates:
            if pattern != spec.pattern or template.footprint.failing() or template.failure:
                continue
            with guarded(proving=True):
                same = same_program(template, made, template.captured, made.captured)
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

"""Alike: whether two captures did the same, so that one program serves for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.constant import exact
from ..static.checks import ATOMS
from ..static.graph import Graph, renumbered
from ..static.trace import Concrete
from .program import Program
from .promoted import Leaf, Taken, place_key
from .results import Result


def same_program(a: Program, b: Program, graph_a: Graph, graph_b: Graph) -> bool:
    """Whether two captures did the same: `graph_a` and `graph_b` are what they did."""
    if graph_a != graph_b or a.tree != b.tree or a.trace.stores != b.trace.stores:
        return False
    if [e.form for e in a.effects] != [e.form for e in b.effects]:
        return False
    effects = [[(e.output,) for e in p.trace.grads] for p in (a, b)]
    entry = [[(owner, had) for owner, had in p._entry] for p in (a, b)]
    owners = [[(owner,) for owner in p._owners] for p in (a, b)]
    return (
        all(_identical(*pair) for pair in (effects, entry, owners, (a._checked, b._checked)))
        and _all(_same_slot, a.trace.slots, b.trace.slots)
        and _all(_same_result, *(_given(p, a) for p in (a, b)))
    )


def _given(program: Program, entry: Program) -> list[Result]:
    """The results, and what it leaves at places, where that is another number than `entry` found there."""
    found = {place_key(c): c.expected for c in entry.footprint.checks}
    out, ends = list(program.results), []
    for move in reversed(program.moves):
        end = move.first + move.tree.num_leaves
        left, out[move.first : end] = out[move.first : end], []
        number = move.tree.kind is None and left[0].kind == "value"
        if not (number and _same_number(left[0].key, found.get(move.place.key))):
            ends += [Result("left at", (move.place.key, move.tree, move.at)), *left]
    return out + ends


def _same_number(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, ATOMS) and bool(exact(a) == exact(b))


def _identical(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether rows of objects are the same ones; numbers need only be equal."""
    return _all(lambda x, y: _all(_is, x, y), a, b)


def _is(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, (int, tuple, bytes, str)) and a == b)


def _all(same: Callable[[Any, Any], bool], a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def _same_slot(a: Any, b: Any) -> bool:
    """Whether two inputs come from the same place, and are wanted in the same way."""
    wants = [(s.kind, s.requires_grad, s.required, s.type.dtype) for s in (a, b)]
    if wants[0] != wants[1]:
        return False
    if a.kind == "leaf":
        return bool(a.key[0] == b.key[0])
    if a.kind in ("computed", "place", "worked"):
        return bool(a.key.same(b.key))
    return _all(_is, a.key, b.key) if a.kind == "number" else _is(a.key, b.key)


def _same_result(a: Result, b: Result) -> bool:
    if a._replace(key=None, held=None) != b._replace(key=None, held=None) or a.held is not b.held:
        return False
    if a.kind != "value":
        return bool(a.key == b.key)
    return a.key is b.key or (isinstance(a.key, ATOMS) and bool(exact(a.key) == exact(b.key)))


# --- at other numbers ------------------------------------------------------------------------------


def compared(live: Program, other: Program) -> tuple[bool | None, frozenset[int]]:
    """Whether a program with live numbers does what another capture did (None: that took another path), and the
    sources in which the two differ."""
    mine, theirs = live.promoted, other.promoted
    assert mine is not None and mine.formulas is not None and other.given is not None
    if [had for _, had in live._entry] != [had for _, had in other._entry]:
        return None, frozenset()
    if mine.other(other.given[1]) is not None:
        return None, frozenset()
    held = {place_key(c): c.expected for c in other.footprint.checks}
    values, taken = [], [c.value for c in other.trace.concrete]
    if other_number(live, other) is not None or not mine.takes <= {*range(len(taken))}:
        return None, frozenset()
    for source in mine.sources:
        if isinstance(source, Leaf):
            values.append(other.given[1][source.index])
        elif isinstance(source, Taken):
            values.append(taken[source.index])
        elif source.key in held:
            values.append(held[source.key])
        else:
            return None, frozenset()
    pairs = enumerate(zip(values, mine.values, strict=True))
    differ = frozenset(i for i, (a, b) in pairs if exact(a) != exact(b))
    numbers = mine.formulas.at(values)
    if type(numbers) is not tuple:
        return None, differ
    if theirs is not None and theirs.formulas is not None:
        other = other.at_its_numbers(theirs.formulas.at(theirs.values))
    other, there = other.fixed(), live.at_its_numbers(numbers, taken)
    return same_program(
        other, there, renumbered(other.captured), renumbered(there.captured)
    ), differ


def other_number(live: Program, other: Program) -> Concrete | None:
    """The first number that both took out of tensors, where it leads one of them on as no other number does."""
    taken = () if live.promoted is None else live.promoted.takes
    pairs = enumerate(zip(live.trace.concrete, other.trace.concrete, strict=False))
    differ = (a for i, (a, b) in pairs if i not in taken and a.outcome != b.outcome)
    return next(differ, None)


def comparable(program: Program, places: Iterable[Any]) -> bool:
    """Whether a program was captured in a state that differs from that of now in these places at most."""
    known = set(places)
    return all(c.holds() or place_key(c) in known for c in program.footprint.checks)

"""Canonical nests: equal code is equal text, whatever its values are called and however often it runs.

Values, axes and buffers are numbered in order of appearance; symbolic numbers become `Size`s. The extent
of the outermost parallel axis is the caller's affair (it gives the range), so a stand-in takes its place:
one code serves all batch sizes.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from operator import itemgetter
from typing import Any

from ...core.numbers.symbolic import SymInt, source
from .emit.parts import LANES, accesses
from .loop_ir import (
    Affine,
    Apply,
    Axis,
    Buffer,
    Extent,
    Load,
    Loop,
    Nest,
    Reduce,
    Size,
    Statement,
    Store,
    Tile,
    Tree,
    walk,
)


def canonical(
    nest: Nest, buffers: tuple[Buffer, ...]
) -> tuple[Nest, tuple[int, ...], tuple[SymInt, ...]]:
    """The nest renumbered, which buffers of the kernel its buffers are (scratch is last), and what its
    symbolic sizes are."""
    numbers = _Numbers()
    used = dict.fromkeys(buffer for buffer, _ in accesses(nest.body))
    for buffer in sorted(used, key=lambda i: buffers[i].role == "scratch"):
        numbers.buffer(buffer)
    body = tuple(numbers.statement(s) for s in nest.body)
    parallel = next(s for s in walk(body) if isinstance(s, Loop) and s.parallel)
    whole = _replaced(body, parallel, _without_extent(parallel))
    return Nest(whole), tuple(numbers.buffers), tuple(s.value for s in numbers.sizes.values())


def _without_extent(loop: Loop) -> Loop:
    """The loop with a stand-in for its outermost extent: what matters of it is whether vectors fill it, and whether
    one is more than it has."""
    folds = any(isinstance(s, Reduce) for s in walk(loop.body))
    if (
        not loop.axes
        or any(isinstance(a.extent, Size) for a in loop.axes)
        or (loop.vector and folds)
    ):
        return loop
    stand_in = LANES
    total = prod(a.extent for a in loop.axes)  # type: ignore[misc]
    if loop.vector and total % LANES:
        inner = total // loop.axes[0].extent  # type: ignore[operator]
        stand_in = LANES + 1 if total > LANES else (LANES - 1) // inner
    return replace(loop, axes=(replace(loop.axes[0], extent=stand_in), *loop.axes[1:]))


def _replaced(body: tuple[Statement, ...], old: Loop, new: Loop) -> tuple[Statement, ...]:
    """The statements with one loop, wherever it is, exchanged for another."""
    out: list[Statement] = []
    for s in body:
        if s is old:
            out.append(new)
        else:
            out.append(replace(s, body=_replaced(s.body, old, new)) if isinstance(s, Loop) else s)
    return tuple(out)


class _Numbers:
    """New numbers, given in order of appearance."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.axes: dict[int, int] = {}
        self.buffers: dict[int, int] = {}
        self.sizes: dict[str, Size] = {}

    def size(self, n: Extent) -> Extent:
        if type(n) is not SymInt:
            return n
        return self.sizes.setdefault(source(n), Size(len(self.sizes), value=n))

    def value(self, old: int) -> int:
        return self.values.setdefault(old, len(self.values))

    def axis(self, old: int) -> int:
        return self.axes.setdefault(old, len(self.axes))

    def buffer(self, old: int) -> int:
        return self.buffers.setdefault(old, len(self.buffers))

    def index(self, index: Affine) -> Affine:
        terms = sorted(((self.axis(a), c) for a, c in index.terms), key=itemgetter(0))
        return Affine(self.size(index.const), tuple((a, self.size(c)) for a, c in terms))

    def counters(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(replace(a, id=self.axis(a.id), extent=self.size(a.extent)) for a in axes)

    def statement(self, s: Statement) -> Statement:
        """The statement with everything in it renumbered."""
        changes: dict[str, Any] = {}
        if isinstance(s, Loop | Reduce):
            changes["axes"] = self.counters(s.axes)
            changes["body"] = tuple(self.statement(x) for x in s.body)
        if isinstance(s, Reduce):
            folds = (
                replace(f, value=self.value(f.value), dest=self.value(f.dest)) for f in s.folds
            )
            changes["folds"] = tuple(folds)
            if s.block is not None:
                changes["block"] = self.axis(s.block)
        if isinstance(s, Tree):
            changes["buffer"] = self.buffer(s.buffer)
        if isinstance(s, Load | Store | Tile):
            changes |= {"buffer": self.buffer(s.buffer), "index": self.index(s.index)}
        if isinstance(s, Store):
            changes["value"] = self.value(s.value)
        elif isinstance(s, Tile):
            changes |= {"dest": self.buffer(s.dest), "stride": self.size(s.stride)}
        elif not isinstance(s, Loop | Reduce):
            changes["dest"] = self.value(s.dest)
        if isinstance(s, Apply):
            changes["args"] = tuple(self.value(a) for a in s.args)
        return replace(s, **changes)

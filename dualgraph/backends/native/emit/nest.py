"""Nests as LLVM functions: loops over threads' ranges, over counters and over vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from .. import ir
from ..loop_ir import (
    Apply,
    Axis,
    Constant,
    Fold,
    Kernel,
    Load,
    Loop,
    Nest,
    Reduce,
    Size,
    Statement,
    Store,
    Tile,
    Tree,
    Unsupported,
    walk,
)
from ..weights import REFUSALS
from .fold import Folding
from .memory import MemoryWriter
from .parts import LANES, WIDE, Turn, extent_of
from .scalar import Lanes


def width(nest: Nest) -> int:
    """Lanes of a nest's vectors: more than the usual for light folds across, which then read memory in longer runs."""
    loops = [s for s in walk(nest.body) if isinstance(s, Loop) and s.vector]
    across = any(isinstance(s, Reduce) and not s.vector for loop in loops for s in loop.body)
    if not across:
        return LANES
    extent = loops[0].axes[-1].extent
    inner = list(walk(nest.body))
    work = 1 + sum(isinstance(s, Apply) for s in inner)
    work += 2 * sum(
        f.monoid in ("max", "min") for s in inner if isinstance(s, Reduce) for f in s.folds
    )
    lanes = LANES
    least = extent.least if isinstance(extent, Size) else extent
    while lanes < WIDE and lanes * work <= WIDE and 2 * lanes <= least:
        lanes *= 2
    return lanes


class NestEmitter(MemoryWriter):
    """Writes a kernel of one nest as the function `name`."""

    def __init__(self, module: ir.Module, kernel: Kernel, name: str, has_fma: bool) -> None:
        (nest,) = kernel.nests
        super().__init__(module, name, kernel, width(nest), has_fma)
        self.start(nest.body)
        self.block(nest.body)
        self.b.ret_void()

    def block(self, statements: Iterable[Statement]) -> None:
        """Writes statements in order."""
        for s in statements:
            if isinstance(s, Load):
                self.values[s.dest] = self.load(s)
            elif isinstance(s, Constant):
                self.values[s.dest] = self.s.const(
                    s.value, self.s.wrap(self.zero(s.dtype), s.dtype.name)
                )
            elif isinstance(s, Apply):
                self.values[s.dest] = self.apply(s)
            elif isinstance(s, Store):
                self.store(s)
            elif isinstance(s, Tile):
                self.tile(s)
            elif isinstance(s, Tree):
                Folding(self, Reduce((), (), (Fold(s.dest, s.dtype, s.monoid, 0),))).join(s)
            elif isinstance(s, Reduce):
                Folding(self, s).emit()
            else:
                self.loop(s)

    def loop(self, s: Loop) -> None:
        """Writes a loop: over this thread's range if it is parallel, over all its counters else."""
        if not s.axes:
            stop = self.end if s.parallel else self.i64(1)
            start = self.begin if s.parallel else self.i64(0)
            with self.turns(start, stop, 1), self.scope():
                self.block(s.body)
        elif s.parallel and s.vector:
            self.vectors(s.axes, self.begin, self.end, s.body)
        elif s.parallel:
            with self.turns(self.begin, self.end, 1) as turn, self.scope():
                self.bind_all(s.axes, turn.i, s.body)
                self.block(s.body)
        else:
            self.nested(s.axes, s)

    def nested(self, axes: tuple[Axis, ...], s: Loop) -> None:
        """Writes a loop over each axis in turn, the last in vectors if the loop says so."""
        if s.vector and len(axes) == 1:
            self.vectors(axes, self.i64(0), self.i64(axes[0].extent), s.body)
            return
        with self.turns(self.i64(0), self.i64(axes[0].extent), 1) as turn, self.scope():
            self.bind(axes[0], turn.i, s.body)
            if len(axes) > 1:
                self.nested(axes[1:], s)
            else:
                self.block(s.body)

    def vectors(
        self, axes: tuple[Axis, ...], start: ir.Value, stop: ir.Value, body: Iterable[Statement]
    ) -> None:
        """Runs `body` for all counters from `start` to `stop`, a vector of them at a time.

        Threads cut loops at multiples of the vector, so an extent that is one leaves no rest.
        """

        def turn(counter: Turn) -> None:
            self.bind_lanes(axes, counter.i, body)
            self.block(body)

        self.whole_and_rest(start, stop, extent_of(axes), (), turn)

    def whole_and_rest(
        self,
        start: ir.Value,
        stop: ir.Value,
        total: int | None,
        carried: Sequence[ir.Value],
        write: Callable[[Turn], None],
    ) -> Sequence[ir.Value]:
        """Loops over whole vectors without a mask, then over the rest with one; `total` turns in all, if that is known.

        Masked access to memory is slow on some machines, so code is rather written twice; but not where `total` says
        that there is no whole vector, or no rest.
        """
        b, middle = self.b, start
        even = total is not None and total % self.lanes == 0
        if even:
            middle = stop
        elif total is None or total > self.lanes:
            middle = b.add(start, b.and_(b.sub(stop, start), self.i64(-self.lanes)))
        if middle is not start:
            with self.turns(start, middle, self.lanes, carried) as turn, self.scope():
                write(turn)
            carried = turn.carried
        if not even:
            with self.turns(middle, stop, self.lanes, carried) as turn, self.scope():
                self.mask = self.lanes_below(b.sub(stop, turn.i))
                write(turn)
            carried = turn.carried
        return carried

    def apply(self, s: Apply) -> Lanes:
        """The result of an elementwise op: its body, run with values of the emitter."""
        try:
            out = s.prim.kernel(self.s, *(self.values[a] for a in s.args), **dict(s.params))
        except REFUSALS as error:
            raise Unsupported(f"{s.prim.name} has no native code: {error}") from error
        if not isinstance(out, Lanes):
            out = self.s.const(out, self.s.wrap(self.zero(s.dtype), s.dtype.name))
        if out.dtype != s.dtype.name:
            raise Unsupported(f"{s.prim.name} gives {out.dtype}, not {s.dtype.name}")
        return out

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is bound inside is forgotten after."""
        kept = dict(self.values), dict(self.pointers), self.vector_axis, self.digits, self.mask
        yield
        self.values, self.pointers, self.vector_axis, self.digits, self.mask = kept

"""Chains: steps of a schedule that go through memory together, and how they are put into a native program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from ....core.node import Node
from ....core.numbers.worked import plainly
from ....static.constants import is_constant
from ..glue import Library, possible
from ..kernel import NativeKernel
from ..team.spots import Kernel, NotNative, Ref, Span, Spot, Word
from ..threads import pool
from .rows import OnRows, Turns, copies, on_rows, turns_of

LARGE = 1 << 20  # bytes of a result from which a step is looked at
CACHES = (
    (3 << 18, 4),
    (1 << 22, 2),
)  # bytes of rows in work for one thread, and the least steps for that
BLOCK = 1 << 16  # bytes of rows that a step does in one go
MOST = 32  # steps of a wave
HEADER, ENTRY = 8, 6  # words


class Stage(NamedTuple):
    """A step that may be part of a wave. ``code`` is equal for steps that do the same."""

    place: int
    node: Node
    kernels: tuple[Kernel, ...]
    spots: tuple[Spot, ...]
    turns: tuple[Turns | None, ...]
    nests: tuple[Any, ...]
    row: int
    code: Any

    @property
    def written(self) -> tuple[Spot, ...]:
        return self.spots[len(self.node.inputs) :]


class Placed(NamedTuple):
    """A stage whose nests are over rows, but for those (None) at the edge, which may be done before all others."""

    stage: Stage
    nests: tuple[OnRows | None, ...]


class Chains:
    """The waves of a schedule whose values lie as `frame` says."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.waves: dict[int, list[Placed]] = {}  # by the first step
        self.inside: set[int] = set()
        # By the first step: where the edge is written already
        self._edges: dict[int, set[Ref]] = {}
        for run in self._runs():
            self._cut(run)

    # --- finding them ---

    def _runs(self) -> Iterator[list[Placed]]:
        """Steps that follow each other over the same rows."""
        run: list[Stage] = []
        large = [
            not s.view and any(plainly(v.type.nbytes) >= LARGE for v in s.node.outputs)
            for s in self.frame.plan.steps
        ]
        if sum(large) < 3 or not possible():
            return
        for i, step in enumerate(self.frame.plan.steps):
            if step.view or is_constant(step.node):
                continue
            stage = self._stage(i, step) if large[i] else None
            if run and (stage is None or stage.row != run[0].row):
                yield from _placed(run)
                run = []
            if stage is not None:
                run.append(stage)
        yield from _placed(run)

    def _stage(self, i: int, step: Any) -> Stage | None:
        """A step of the schedule as one that may be part of a wave; None where it may not."""
        kernel = self.frame.program.kernels.get(i)
        if type(kernel) is not NativeKernel or kernel.shared or kernel.code.name is None:
            return None
        try:
            kernels = self.frame.room(i, step).kernels
        except NotNative:
            return None
        nests = kernel.kernel.nests
        if len(kernels) != len(nests) or any(n.sizes is not None for n in kernel.nests):
            return None
        node = step.node
        spots = tuple(self.frame.spot(v) for v in (*node.inputs, *node.outputs))
        turns = tuple(turns_of(n) for n in nests)
        heaviest = turns[max(range(len(nests)), key=lambda j: nests[j].work)]
        if heaviest is None:
            return None
        stored = [a for a in heaviest.accesses if a.written and a.buffer < len(spots)]
        rows = {a.along * spots[a.buffer].itemsize for a in stored}
        if len(rows) != 1 or min(rows) <= 0:
            return None
        what = kernel.code.name, tuple(n.extent for n in kernel.nests)
        return Stage(i, node, tuple(kernels), spots, turns, nests, rows.pop(), what)

    def _cut(self, run: list[Placed]) -> None:
        """Divides a run into waves that the caches can hold."""
        shape = _shape(run)
        if shape is None:
            return
        steps, edges = shape.steps, set[Ref]()
        waves = -(-len(run) // steps)
        for w in range(waves):
            part = run[w * len(run) // waves : (w + 1) * len(run) // waves]
            if len(part) > 1:
                first = part[0].stage.place
                self.waves[first] = part
                self._edges[first] = set(edges)
                self.inside.update(p.stage.place for p in part)
            edges.update(s.at for p in part for s in p.stage.written if None in p.nests)

    # --- writing them ---

    def write(self, place: int) -> None:
        """Writes the wave that begins at a step."""
        wave, w = self.waves[place], self.frame.w
        shape = _shape(wave)
        assert shape is not None
        done = self._edges[place]
        for p in wave:
            for k, nest in zip(p.stage.kernels, p.nests, strict=True):
                if nest is None and not done.issuperset(s.at for s in p.stage.written):
                    w.kernel(k)
            done.update(s.at for s in p.stage.written)
        kernels = [k for p in wave for k, n in zip(p.stage.kernels, p.nests, strict=True) if n]
        count = shape.parts(len(wave))
        words = _block(wave, shape, count)
        reads = tuple(dict.fromkeys(s for k in kernels for s in k.reads))
        writes = tuple(dict.fromkeys(s for k in kernels for s in k.writes))
        scratch, work = max(k.scratch for k in kernels), sum(k.work for k in kernels)
        keep = [k.keep for k in kernels]
        parts, between = _functions()
        w.kernel(Kernel(parts, words, count, reads, writes, 1, scratch, work, keep))
        if count > 1:
            w.kernel(Kernel(between, words, count - 1, reads, writes, 1, scratch, work // count))


class Shape(NamedTuple):
    """How a wave goes: see `code`. ``steps``: as many as the caches hold."""

    shift: int
    first: int
    rows: int
    height: int
    quantum: int
    steps: int

    def parts(self, steps: int) -> int:
        """Into how many parts rows are cut for so many steps: each more than twice what it loses on its way."""
        return max(1, min((self.rows - self.first) // (3 * self.shift * steps), 4 * pool.size))


def _placed(run: Sequence[Stage]) -> Iterator[list[Placed]]:
    """The parts of a run whose stages touch each other's arrays by rows alone."""
    spots: dict[Ref, Span] = {}
    for s in run:
        for spot in s.written:
            old = spots.get(spot.at, spot.span)
            spots[spot.at] = Span(
                old.base, min(old.low, spot.span.low), max(old.high, spot.span.high)
            )
    changing = set(spots)
    mixed = {r for r in spots for q in spots if r != q and spots[r].meets(spots[q])}
    # For each value what step made it, and which of its results it is
    made: dict[Any, tuple[Any, int]] = {}
    good: list[Placed] = []
    for s in run:
        nests = None if mixed else _nests(s, changing, spots, made)
        edges = nests is not None and None in (*nests, *(good[-1].nests if good else ()))
        if nests is None or (good and edges and good[-1].stage.code != s.code):
            yield good
            good = []
        if nests is not None:
            good.append(Placed(s, nests))
        made.update((v, (s.code, i)) for i, v in enumerate(s.node.outputs))
    yield good


def _nests(
    s: Stage, changing: set[Ref], spots: dict[Ref, Span], made: dict[Any, tuple[Any, int]]
) -> tuple[OnRows | None, ...] | None:
    """The nests of a stage on rows; None where it cannot be part of a wave."""
    if any(x.at not in changing and any(x.span.meets(c) for c in spots.values()) for x in s.spots):
        return None
    found: list[OnRows | None] = []
    for nest, turns in zip(s.nests, s.turns, strict=True):
        pairs = copies(nest)
        rows = None
        if pairs is not None:
            if not _at_edge(s, pairs, changing, made):
                return None  # as the first of its kind: those after it rely on the edge being there
        else:
            rows = None if turns is None else on_rows(turns, s.spots, s.row, changing)
            if rows is None:
                return None
        found.append(rows)
    return tuple(found) if any(found) else None


def _at_edge(
    s: Stage,
    pairs: list[tuple[int, int | None]],
    changing: set[Ref],
    made: dict[Any, tuple[Any, int]],
) -> bool:
    """Whether a nest of copies writes what a step that does the same has written there before: so it can go first.

    All that the stage reads of arrays that change has to have that edge, too.
    """
    inputs = [v for v, spot in zip(s.node.inputs, s.spots, strict=False) if spot.at in changing]
    if not all(made.get(v, (None, 0))[0] == s.code for v in inputs):
        return False
    count = len(s.node.inputs)
    sources = [(target - count, source) for target, source in pairs if source is not None]
    return all(
        source < count and made.get(s.node.inputs[source]) == (s.code, target)
        for target, source in sources
    )


def _shape(run: Sequence[Placed]) -> Shape | None:
    """How a run goes in waves; None where it gains nothing."""
    nests = [(n, t) for p in run for n, t in zip(p.nests, p.stage.turns, strict=True) if n and t]
    if len(run) < 2 or not nests:
        return None
    further = max(n.further for n, _ in nests)
    reach = max(further, *(max(n.behind, further - n.before) for n, _ in nests))
    quantum = max(t.quantum for _, t in nests)
    first = min(n.first for n, _ in nests)
    rows = max(n.first + t.count for n, t in nests)
    if reach <= 0 or any((n.first - first) % t.quantum for n, t in nests):
        return None
    shift, row = -(-reach // quantum) * quantum, run[0].stage.row
    height = max(quantum, BLOCK // row // quantum * quantum)
    arrays = len({s.at for p in run for s in p.stage.written})
    threads = pool.size
    for cache_bytes, least in CACHES:
        held = cache_bytes // (row * arrays)
        steps = min(
            (held - height) // shift - 1, MOST, len(run), (rows - first) // (3 * shift * threads)
        )
        if steps >= min(least, len(run)) and steps > 1:
            return Shape(shift, first, rows, height, quantum, steps)
    return None


def _block(wave: Sequence[Placed], shape: Shape, parts: int) -> tuple[Word, ...]:
    """The words that `code` reads."""
    entries: list[Word] = []
    arguments: list[Word] = []
    nests = [
        (k, p.stage.kernels[j], n, p.stage.turns[j])
        for k, p in enumerate(wave) for j, n in enumerate(p.nests) if n is not None
    ]  # fmt: skip
    start = HEADER + ENTRY * len(nests)
    for step, kernel, nest, turns in nests:
        assert turns is not None
        at = 8 * (start + len(arguments))
        entries += [step, kernel.address, nest.first, turns.count, turns.each, at]
        arguments += kernel.words
    return (
        len(nests), shape.shift, shape.rows, shape.height, parts, len(wave), shape.first,
        shape.quantum, *entries, *arguments,
    )  # fmt: skip


@cache
def _functions() -> tuple[int, int]:
    """The addresses of the functions that run waves."""
    entries = "wave_parts", "wave_between"
    library = Library([f"{__package__}.code"], entries=entries)
    return library.address(entries[0]), library.address(entries[1])

"""Memory planning: one arena for all temporaries, with offsets from their lifetimes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..core.errors import MemoryBudgetError
from ..core.numbers.worked import working
from .schedule import Buffer, Schedule
from .sizes import budget_text, human
from .timeline import timeline

ALIGNMENT = 64
GOOD_ENOUGH = 1.02  # times the lower bound: no further way of packing is tried
WASTE = 1.05  # times the lower bound, above which the plan of other sizes does not suit


class MemoryPlan(NamedTuple):
    """Offsets of buffers in one arena. Buffers never overlap while both are live.

    ``lower_bound_bytes``: the most bytes live at one step, which no plan can go below;
    ``unplanned_bytes``: the sum of all temporaries, which is what it takes without a plan. ``bodies_bytes``: what
    the bodies of loops and branches have beside it: an arena each, and the carry twice. Each buffer counts as a
    multiple of 64 bytes, which it is aligned to.
    ``steps``: for each step the op, and the user's line.
    """

    arena_bytes: int
    lower_bound_bytes: int
    unplanned_bytes: int
    offsets: dict[int, int]
    buffers: tuple[Buffer, ...]
    bodies_bytes: int = 0
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def total_bytes(self) -> int:
        """What a call takes for temporaries, bodies included."""
        return self.arena_bytes + self.bodies_bytes

    def timeline(self, rows: int = 24) -> str:
        """How many bytes are live at each step, as bars (at most `rows` of them), and what is live at the peak."""
        return timeline(self.buffers, self.steps, rows)

    def __str__(self) -> str:
        over = self.arena_bytes / self.lower_bound_bytes - 1 if self.lower_bound_bytes else 0.0
        saved = 1 - self.arena_bytes / self.unplanned_bytes if self.unplanned_bytes else 0.0
        head = (
            f"arena {human(self.arena_bytes)} for {len(self.offsets)} buffers of {human(self.unplanned_bytes)} "
            f"({saved:.0%} saved, {over:.1%} over the lower bound {human(self.lower_bound_bytes)})"
        )
        if self.bodies_bytes:
            head += f", and {human(self.bodies_bytes)} for the bodies of loops and branches"
        return "\n".join([head, *([self.timeline()] if self.buffers else [])])


def plan_memory(plan: Schedule) -> MemoryPlan:
    """Given: a schedule. Result: an offset, 64-byte aligned, for each temporary buffer.

    Several greedy packings are tried until one is close to the lower bound; the smallest is taken.
    """
    buffers = plan.temporaries
    bound = lower_bound(buffers)
    best: dict[int, int] = {}
    size = -1
    for rank in RANKS:
        offsets, total = pack(sorted(buffers, key=rank))
        if size < 0 or total < size:
            best, size = offsets, total
        if size <= bound * GOOD_ENOUGH:
            break
    steps = tuple((s.node.prim.name, str(s.node.where)) for s in plan.steps)
    unplanned = sum(aligned(b.nbytes) for b in buffers)
    return MemoryPlan(max(size, 0), bound, unplanned, best, buffers, steps=steps)


class Stacks:
    """How the buffers of one plan lie on each other: what places those of the same steps at other sizes.

    A buffer lies on all those under it in the plan that are live beside it; only the topmost of these are asked.
    """

    def __init__(self, plan: MemoryPlan) -> None:
        self.plan = plan
        self.most = plan.arena_bytes
        ordered = sorted(range(len(plan.buffers)), key=lambda i: plan.offsets[plan.buffers[i].id])
        under: dict[int, set[int]] = {}  # all that a buffer lies on, in the end
        self.order: list[tuple[int, tuple[int, ...]]] = []
        for at, i in enumerate(ordered):
            b = plan.buffers[i]
            beside = [j for j in ordered[:at] if plan.buffers[j].meets(b)]
            top: list[int] = []
            under[i] = set()
            for j in reversed(beside):
                if j not in under[i]:
                    top.append(j)
                    under[i] |= under[j] | {j}
            self.order.append((i, tuple(top)))

    def plan_memory(self, plan: Schedule) -> MemoryPlan:
        """`plan_memory` of the same steps at other sizes, in less time; anew where that takes too much memory."""
        buffers = plan.temporaries
        sizes = tuple(aligned(b.nbytes) for b in buffers)
        work = working(sizes)
        total, *places = self._places(*sizes) if work is None else work.call(self._frugal, *sizes)
        offsets = {b.id: at for b, at in zip(buffers, places, strict=True)}
        if work is not None:
            for i, b in enumerate(buffers):
                beside = (at for at, o in zip(places, buffers[:i], strict=False) if o.meets(b))
                work.keep_apart(places[i], *beside)
            return MemoryPlan(total, 0, 0, offsets, buffers)
        bound = lower_bound(buffers)
        if total > bound * WASTE:
            return plan_memory(plan)
        unplanned = sum(aligned(b.nbytes) for b in buffers)
        return MemoryPlan(total, bound, unplanned, offsets, buffers, steps=self.plan.steps)

    def _places(self, *sizes: int) -> list[int]:
        """For buffers of these sizes the bytes of the arena, then their places in it."""
        ends, places, total = [0] * len(sizes), [0] * len(sizes), 0
        for i, under in self.order:
            at = 0
            for j in under:
                if ends[j] > at:
                    at = ends[j]
            places[i] = at
            ends[i] = at = at + sizes[i]
            if at > total:
                total = at
        return [total, *places]

    def _frugal(self, *sizes: int) -> list[int] | None:
        """The same; None where another way to pack them would take less memory than there was before."""
        found = self._places(*sizes)
        if found[0] > self.most:
            live = zip(self.plan.buffers, sizes, strict=True)
            if found[0] > WASTE * most_live((b.first, b.last, n) for b, n in live):
                return None
            self.most = found[0]
        return found


RANKS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda b: (-b.nbytes, b.first),
    lambda b: (b.first, -b.nbytes),
    lambda b: (-b.nbytes * (b.last - b.first + 1), b.first),
    lambda b: (-(b.last - b.first), -b.nbytes),
)


def lower_bound(buffers: Iterable[Buffer]) -> int:
    """The most bytes live at one step (each buffer rounded up to the alignment)."""
    return most_live((b.first, b.last, aligned(b.nbytes)) for b in buffers)


def most_live(spans: Iterable[tuple[int, int, int]]) -> int:
    """The most bytes live at one step, of (first step, last step, bytes)."""
    change: dict[int, int] = {}
    for first, last, nbytes in spans:
        change[first] = change.get(first, 0) + nbytes
        change[last + 1] = change.get(last + 1, 0) - nbytes
    live = most = 0
    for step in sorted(change):
        live += change[step]
        most = max(most, live)
    return most


def pack(buffers: list[Buffer]) -> tuple[dict[int, int], int]:
    """Places buffers in the order given, each in the tightest gap between those live beside it."""
    offsets: dict[int, int] = {}
    placed: list[tuple[int, int, Buffer]] = []  # start, end, buffer
    total = 0
    for b in buffers:
        size = aligned(b.nbytes)
        first, last = b.first, b.last
        beside = sorted((s, e) for s, e, o in placed if o.first <= last and first <= o.last)
        at, free, tightest = -1, 0, None
        for start, end in beside:
            gap = start - free
            if gap >= size and (tightest is None or gap < tightest):
                at, tightest = free, gap
            free = max(free, end)
        if at < 0:
            at = free
        offsets[b.id] = at
        placed.append((at, at + size, b))
        total = max(total, at + size)
    return offsets, total


def aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def within_budget(name: str, needed: int, budget: int | None) -> None:
    """Raises MemoryBudgetError where a program takes more bytes than it may, and says what it needs."""
    if budget is not None and needed > budget:
        raise MemoryBudgetError(
            f"{name}: temporaries need at least {human(needed)}, more than the budget of {human(budget)}\n"
            f"  remedy: allow memory='{budget_text(needed)}', or use smaller inputs"
        )

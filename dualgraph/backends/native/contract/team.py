"""Team: threads that work through the stages of a recipe together, each taking the next units that are left.

A stage is a function ``f(record, pointers, scratch, begin, end)`` of units that may run in any order, at the
same time. ``perform(stages, state, pointers, scratch, yield)`` takes units of the first stage until none is left,
waits until those that others took are done, and goes on to the next stage; after the last one it returns, and the
team's call waits for those who are still at work. So any number of threads may call it
for one job, whenever they come: one that comes late finds nothing left, and nobody waits for it.

``state`` has two counters for each stage, in cache lines of their own: units taken, and units done.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import I64, PTR, VOID
from .code import Writer, i64

STAGE = ("function", "record", "units", "grain")  # int64 each
POINTERS = 24  # of a recipe
LINE = 64  # bytes between counters
SPINS = 2000  # looks at a counter (some 20 us) before the processor is offered to others, who may keep it for long
BLOCKS = ("look", "work", "empty", "wait", "spin", "polite", "after")
FUNCTION = (PTR, PTR, PTR, I64, I64)
# record of `each`, then for each slot MOVED, for each stage PART
SAMPLE = ("count", "slots", "room")
MOVED = ("slot", "bytes", "offset")  # pointers[slot] of sample i is scratch + offset - i * bytes
PART = ("function", "record", "units")  # units of one sample


class Callee(ir.Callee):
    """A function known by its address that gives nothing."""

    def __init__(self, address: ir.Value, arguments: tuple[ir.Type, ...]) -> None:
        super().__init__(address, ir.FunctionType(VOID, list(arguments)))


def _perform(module: ir.Module) -> None:
    """Writes ``perform``."""
    w = Writer(module, "perform", (PTR, I64, PTR, PTR, PTR, PTR))
    b = w.b
    stages, count, state, pointers, scratch, rest = w.fn.args
    with w.loop(count) as stage:
        entry = w.at(stages, w.scaled(stage.i, 8 * len(STAGE)))
        function, record, units, grain = (w.word(entry, i64(j)) for j in range(len(STAGE)))
        taken = w.at(state, w.scaled(stage.i, 2 * LINE))
        done = w.at(taken, i64(LINE))
        look, work, empty, wait, spin, polite, after = map(w.fn.append_basic_block, BLOCKS)
        b.branch(look)
        b.position_at_end(look)
        begin = b.atomic_rmw("add", taken, grain, "monotonic")
        b.cbranch(b.icmp_signed("<", begin, units), work, empty)
        b.position_at_end(work)
        end = w.least(b.add(begin, grain), units)
        callee = Callee(b.inttoptr(function, PTR), FUNCTION)
        b.call(callee, [b.inttoptr(record, PTR), pointers, scratch, begin, end])
        b.atomic_rmw("add", done, b.sub(end, begin), "release")
        b.branch(look)
        b.position_at_end(empty)
        last = b.icmp_signed("==", b.add(stage.i, i64(1)), count)
        b.cbranch(last, after, wait)
        b.position_at_end(wait)
        looks = b.phi(I64)
        looks.add_incoming(i64(0), empty)
        finished = b.load_atomic(done, "acquire", 8, typ=I64)
        b.cbranch(b.icmp_signed(">=", finished, units), after, spin)
        b.position_at_end(spin)
        looks.add_incoming(b.add(looks, i64(1)), spin)
        b.cbranch(b.icmp_signed(">=", looks, i64(SPINS)), polite, wait)
        b.position_at_end(polite)
        b.call(_Yield(rest), [])
        b.branch(wait)
        looks.add_incoming(looks, polite)
        b.position_at_end(after)
    b.ret_void()


class _Yield(Callee):
    """The function that offers the processor to others, at an address."""

    def __init__(self, address: ir.Value) -> None:
        super().__init__(address, ())


def _each(module: ir.Module) -> None:
    """``each(record, pointers, scratch, begin, end)``: all stages for one sample after the other, so that what
    they hand on stays in the cache: in memory of the thread's own."""
    w = Writer(module, "each", FUNCTION)
    b = w.b
    record, pointers, scratch, begin, end = w.fn.args
    count, slots, room = (w.word(record, i64(j)) for j in range(len(SAMPLE)))
    with b.goto_entry_block():
        own = b.alloca(I64, size=POINTERS, align=64)
    with w.loop(i64(POINTERS)) as turn:
        b.store(w.word(pointers, turn.i), b.gep(own, [turn.i], source_etype=I64), align=8)
    free = w.at(scratch, room)
    moved = w.at(record, i64(8 * len(SAMPLE)))
    parts = w.at(moved, w.scaled(slots, 8 * len(MOVED)))
    with w.loop(end, begin) as sample:
        with w.loop(slots) as turn:
            entry = w.at(moved, w.scaled(turn.i, 8 * len(MOVED)))
            slot, size, offset = (w.word(entry, i64(j)) for j in range(len(MOVED)))
            place = w.at(scratch, b.sub(offset, b.mul(sample.i, size)))
            b.store(b.ptrtoint(place, I64), b.gep(own, [slot], source_etype=I64), align=8)
        with w.loop(count) as turn:
            entry = w.at(parts, w.scaled(turn.i, 8 * len(PART)))
            function, inner, units = (w.word(entry, i64(j)) for j in range(len(PART)))
            first = b.mul(sample.i, units)
            callee = Callee(b.inttoptr(function, PTR), FUNCTION)
            b.call(callee, [b.inttoptr(inner, PTR), own, free, first, b.add(first, units)])
    b.ret_void()


def emit_team() -> str:
    """IR of ``perform`` and ``each``."""
    module = ir.Module(name="team", cold=True)
    _perform(module)
    _each(module)
    return str(module)

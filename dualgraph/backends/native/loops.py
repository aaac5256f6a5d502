"""Loops and conditions in native programs: bodies are written in place, Python does not come between steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...core.backend import backend_for
from ...core.devices import CPU
from ...core.node import Literal, Node, Var
from ...core.numbers.worked import working
from ...passes.layout import fills
from ...passes.schedule import OUTPUT
from ...static.control import cond_op, scan_op, while_op
from ...static.interpreter import literal_array
from .addresses import address_of
from .frames import Frame, Planned
from .team import runtime
from .team.program import Table, Writer
from .team.room import Ahead, Room
from .team.spots import ZERO_WORD, NotNative, Ref, Spot
from .team.team import team

GUESS = 16  # turns of a loop whose number nobody knows
ALIGNMENT = 64


def memory(w: Writer, nbytes: int) -> int:
    """The address of memory that lasts as long as the program."""
    kept: list[Any] = []

    def found(nbytes: int) -> tuple[int]:
        if not kept or kept[0].size < nbytes + ALIGNMENT:
            kept[:] = [np.zeros(nbytes + ALIGNMENT, dtype=np.uint8)]
        return (address_of(kept[0]) + -address_of(kept[0]) % ALIGNMENT,)

    w.keep.append(kept)
    work = working(nbytes)
    (at,) = found(nbytes) if work is None else work.call(found, nbytes)
    return at


class _Loop:
    """Code that runs again and again, whose words in `places` change from turn to turn.

    `lasting` are the operands that stay. What the body's ops make of these alone is done once, before the first
    turn: by code that lies behind the loop, since it is known when the body has been written.
    """

    def __init__(self, frame: Frame, turns: int, lasting: Sequence[Spot] = ()) -> None:
        self.frame, self.w = frame, frame.w
        self.ahead = Ahead(partial(memory, frame.w), [x.span for x in lasting])
        self.places: set[int] = set()
        self.after: Table = []
        self.turns = turns
        self._start: Table = []

    def word(self, at: Ref, step: int = 0) -> Ref:
        """A word that begins as an address and moves by `step` bytes each turn."""
        place = self.w.word()
        self.places.add(place)
        self._start.append((place, at.base, at.offset))
        if step:
            self.after.append((place, place, step))
        return Ref(place)

    def begin(self) -> None:
        """Sets the words; what is written from here on is the turn."""
        w = self.w
        w.meet()
        w.forget()
        w.assign(self._start)
        self._enter = w.emit(runtime.GO, w.here + 1)
        self.target = w.here
        self._patch = w.assign([])
        w.times *= self.turns

    def end(self, counter: int | None) -> None:
        """Goes on to the next turn: `counter` is the word with the turns left; None: there is no end here."""
        w = self.w
        w.meet()
        self.w.replace(self._patch, w.settled(self.places))
        w.assign(self.after)
        if counter is None:
            w.emit(runtime.GO, self.target)
        else:
            w.emit(runtime.AGAIN, counter, self.target)
        w.times //= self.turns
        self._write_ahead()

    def _write_ahead(self) -> None:
        """Writes what is done before the first turn; a loop around this one does what lasts there, too."""
        w, outer, own = self.w, self.frame.ahead, []
        for kernel in self.ahead.kernels:
            further = outer is not None and all(map(outer.lasts, kernel.reads))
            (outer.kernels if outer is not None and further else own).append(kernel)
        if own:
            out = w.emit(runtime.GO)
            w.aim(self._enter, w.here)
            w.forget()
            for kernel in own:
                w.kernel(kernel)
            w.meet()
            w.forget()
            w.emit(runtime.GO, self.target)
            w.aim(out, w.here)

    def finish(self, copies: Callable[[], None]) -> None:
        """Writes what reads the words after the last turn."""
        w = self.w
        w.forget()
        patch = w.assign([])
        copies()
        w.replace(patch, w.settled(self.places))
        w.meet()


def _body(
    outer: Frame,
    program: Planned,
    inputs: Sequence[Ref],
    results: Sequence[Spot],
    ahead: Ahead | None,
) -> Frame:
    """Writes a body whose results go to `results`, straight or by a copy."""
    w, plan = outer.w, program.plan
    frame = Frame(w, program, memory(w, program.memory.arena_bytes), {}, ahead)
    frame.inputs_at(inputs)
    late: list[tuple[Spot, Any]] = []
    for v, target in zip(program.graph.outputs, results, strict=True):
        direct = False
        if isinstance(v, Var):
            place, buffer = plan.places[v], plan.buffer_of(v)
            whole = fills(v.type, place.layout) and buffer.nbytes == v.type.nbytes
            direct = buffer.role == OUTPUT and whole and buffer.id not in frame.given
            if direct:
                frame.given[buffer.id] = target.at
        if not direct:
            late.append((target, v))
    for buffer in plan.buffers:  # results that leave by a copy
        if buffer.role == OUTPUT and buffer.id not in frame.given:
            frame.given[buffer.id] = Ref(ZERO_WORD, memory(w, buffer.nbytes))
    frame.write_all(WRITERS)
    for target, v in late:
        frame.copy(target, _constant(w, v) if isinstance(v, Literal) else frame.spot(v))
    return frame


def _constant(w: Writer, v: Literal) -> Spot:
    array = literal_array(v, backend_for(CPU))
    w.keep.append(array)
    return Spot(Ref(ZERO_WORD, address_of(array)), array.shape, array.dtype)


def _dense(frame: Frame, operands: Sequence[Any]) -> list[Spot]:
    """The operands of a loop, in row-major order."""
    spots = [_constant(frame.w, v) if isinstance(v, Literal) else frame.spot(v) for v in operands]
    out = []
    for x in spots:
        if not x.size:
            raise NotNative("nothing to go over")
        if not x.c_contiguous:
            own = Spot(Ref(ZERO_WORD, memory(frame.w, x.nbytes)), x.shape, x.dtype)
            frame.copy(own, x)
            x = own
        out.append(x)
    return out


class _Carry:
    """The carry of a loop: it starts where the operands lie, and then changes between two memories."""

    def __init__(self, loop: _Loop, start: Sequence[Spot]) -> None:
        w, self.start = loop.w, start
        self.now: list[Ref] = []
        self.next: list[Spot] = []
        for x in start:
            first, second = memory(w, x.nbytes), memory(w, x.nbytes)
            now, next, spare = (
                loop.word(at) for at in (x.at, Ref(ZERO_WORD, first), Ref(ZERO_WORD, second))
            )
            loop.after += [(now.base, next.base, 0), (next.base, spare.base, 0), (spare.base, now.base, 0)]  # fmt: skip
            self.now.append(now)
            self.next.append(Spot(next, x.shape, x.dtype))

    def keep(self, frame: Frame, results: Sequence[Spot]) -> None:
        """Copies the last carry to the loop's results."""
        for out, at in zip(results, self.now, strict=True):
            frame.copy(out, Spot(at, out.shape, out.dtype))


def _counter(loop: _Loop, turns: int) -> int:
    return loop.word(Ref(ZERO_WORD, turns)).base


def write_scan(frame: Frame, node: Node, programs: dict[str, Planned]) -> None:
    """``carry, y[i] = body(carry, x[i], constants)`` for each i."""
    p = node.params
    carries, slices, length = p["carries"], p["slices"], p["length"]
    operands = _dense(frame, node.inputs)
    results = [frame.spot(v) for v in node.outputs]
    if not length or any(not r.size for r in results):
        raise NotNative("nothing to go over")
    loop = _Loop(frame, length, operands[carries + slices :])
    carry = _Carry(loop, operands[:carries])

    def rows(x: Spot) -> Spot:
        step = x.nbytes // length
        first, step = (step * (length - 1), -step) if p["reverse"] else (0, step)
        return Spot(loop.word(x.at + first, step), x.shape[1:], x.dtype)

    xs = [rows(x).at for x in operands[carries : carries + slices]]
    ys = [rows(y) for y in results[carries:]]
    constants = [x.at for x in operands[carries + slices :]]
    counter = _counter(loop, length)
    loop.begin()
    _body(frame, programs["body"], [*carry.now, *xs, *constants], [*carry.next, *ys], loop.ahead)
    loop.end(counter)
    loop.finish(lambda: carry.keep(frame, results[:carries]))


def write_while(frame: Frame, node: Node, programs: dict[str, Planned]) -> None:
    """``carry = body(carry, constants)`` while ``test(carry, constants)``."""
    p, w = node.params, frame.w
    carries, most = p["carries"], p["max_steps"]
    operands = _dense(frame, node.inputs)
    results = [frame.spot(v) for v in node.outputs]
    if most == 0 or any(not r.size for r in results):
        raise NotNative("nothing to go over")
    saved, counts = results[carries + 1 :], results[carries : carries + 1]
    for rows in saved:
        frame.copy(rows, _zeros(w, rows))
    loop = _Loop(frame, min(most or GUESS, GUESS), operands[carries:])
    carry = _Carry(loop, operands[:carries])
    constants = [x.at for x in operands[carries:]]
    flag = Spot(Ref(ZERO_WORD, memory(w, 1)), (), np.bool_)
    flag_word = w.word(flag.at.offset)
    targets = [Spot(loop.word(r.at, r.nbytes // r.shape[0]), r.shape[1:], r.dtype) for r in saved]
    counter = _counter(loop, most) if most else None
    done = loop.word(Ref(ZERO_WORD, 0), 1)
    loop.begin()
    _body(frame, programs["test"], [*carry.now, *constants], [flag], loop.ahead)
    w.meet(always=True)
    leave = w.emit(runtime.UNLESS, flag_word)
    for out, at in zip(targets, carry.now if saved else (), strict=True):
        frame.copy(out, Spot(at, out.shape, out.dtype))
    _body(frame, programs["body"], [*carry.now, *constants], carry.next, loop.ahead)
    loop.end(counter)
    w.aim(leave, w.here)

    def last() -> None:
        carry.keep(frame, results[:carries])
        for count in counts:
            room = Room()
            room.run(team().store, [count.at, done], 1, [], [count])
            frame.add(room)

    loop.finish(last)


def _zeros(w: Writer, like: Spot) -> Spot:
    """Zeros of the same shape, all in one place."""
    array = np.zeros((), like.dtype)
    w.keep.append(array)
    return Spot(Ref(ZERO_WORD, address_of(array)), like.shape, like.dtype, (0,) * like.ndim)


def write_cond(frame: Frame, node: Node, programs: dict[str, Planned]) -> None:
    """The results of one of two bodies."""
    w = frame.w
    pred, *operands = _dense(frame, node.inputs)
    results = [frame.spot(v) for v in node.outputs]
    if any(not r.size for r in results):
        raise NotNative("nothing to do")
    loop = _Loop(frame, 1)
    word = loop.word(pred.at)
    loop.begin()
    inputs = [x.at for x in operands]
    other = w.emit(runtime.UNLESS, word.base)
    _body(frame, programs["true"], inputs, results, frame.ahead)
    w.meet()
    out = w.emit(runtime.GO)
    w.aim(other, w.here)
    w.forget()
    _body(frame, programs["false"], inputs, results, frame.ahead)
    w.meet()
    w.aim(out, w.here)
    loop.finish(lambda: None)
    w.meet(always=True)


WRITERS = {scan_op: write_scan, while_op: write_while, cond_op: write_cond}

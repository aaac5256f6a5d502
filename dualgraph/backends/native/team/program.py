"""Native programs: instructions, and the words of each thread, written by the executor and run by the team."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ....core.numbers.worked import Worked, filled, largest, plainly
from ..addresses import address_of
from ..threads import pool
from . import runtime
from .room import ROOM_WORD
from .shares import CHUNKS
from .spots import SCRATCH_WORD, ZERO_WORD, Check, Kernel, Late, Ref, Word
from .team import team

SPLIT_WORK = 40_000  # instructions (one lane a vector) from which all threads take part in a kernel
CHUNK_WORK = 500_000  # instructions from which they claim it chunk by chunk
Table = list[tuple[int, int, int]]  # own[place] = own[from] + offset, in order


class Writer:
    """Writes a program, with barriers where kernels need what others make. The first words: 0,
    the thread's scratch memory, memory for single ops."""

    def __init__(self) -> None:
        self.code: list[int] = []
        self.words: list[int] = [0, 0, 0]
        self.scratch = 0
        self.room = 0  # bytes of memory for single ops
        self.ground: Any = None  # where that is, if others have it, too
        self.keep: list[Any] = []
        self.checks: list[tuple[int, Check]] = []  # with the instructions that leave the program
        self.work = [0, 0]  # of kernels that are not split, and of those that are
        self.times = 1  # how often what is written now will run
        self._moving: list[tuple[int, Ref]] = []  # words that follow others, since `settled`
        self._blocks: dict[tuple[Word, ...], int] = {}
        # Kernels since the last barrier, and whether they are split
        self._open: list[tuple[Kernel, bool]] = []

    # --- words ---

    def word(self, value: int = 0, count: int = 1) -> int:
        """The place of new words."""
        self.words += [value] * count
        return len(self.words) - count

    def block(self, words: Sequence[Word]) -> int:
        """The place of a kernel's arguments."""
        key = tuple(words)
        found = self._blocks.get(key)
        if found is None:
            found = self._blocks[key] = len(self.words)
            for w in words:
                if isinstance(w, Ref) and w.base != ZERO_WORD:
                    self._moving.append((len(self.words), w))
                    self.words.append(0)
                else:
                    own = w.offset if isinstance(w, Ref) else w
                    self.words.append(own if type(own) is Worked else int(own))
        return found

    def settled(self, bases: Collection[int] | None = None) -> Table:
        """What puts in place the words that follow those in `bases` (None: any); the others wait."""
        ready = [m for m in self._moving if bases is None or m[1].base in bases]
        self._moving = [m for m in self._moving if not (bases is None or m[1].base in bases)]
        self.forget()
        return [(place, ref.base, ref.offset) for place, ref in ready]

    # --- instructions ---

    def emit(self, op: int, *operands: int) -> int:
        """Adds an instruction; gives its number."""
        row = [op, *operands]
        self.code += row + [0] * (runtime.INSTRUCTION - len(row))
        return len(self.code) // runtime.INSTRUCTION - 1

    @property
    def here(self) -> int:
        """The number of the next instruction."""
        return len(self.code) // runtime.INSTRUCTION

    def assign(self, table: Table) -> int:
        """``own[place] = own[from] + offset`` for all of a table, in order; gives the instruction's number."""
        return self.emit(runtime.WORDS, *self._table(table))

    def replace(self, instruction: int, table: Table) -> None:
        """Gives an `assign` another table."""
        at = instruction * runtime.INSTRUCTION
        self.code[at + 1 : at + 3] = self._table(table)

    def _table(self, table: Table) -> tuple[int, int]:
        flat = [v for entry in table or [(0, 0, 0)] for v in entry]
        entries = filled(np.zeros(len(flat), np.int64), flat)
        self.keep.append(entries)
        return len(table), address_of(entries)

    def aim(self, instruction: int, target: int) -> None:
        """Sets where a jump goes."""
        at = instruction * runtime.INSTRUCTION
        self.code[at + (1 if self.code[at] == runtime.GO else 2)] = target

    def kernel(self, k: Kernel) -> None:
        """Runs a kernel: all threads a share of it, or the first all of it if it is small."""
        work, extent, grain = plainly((k.work, k.extent, k.grain))
        split = work >= SPLIT_WORK and extent > grain
        before = self._open[:-1] if k.beside else self._open
        if any(k.meets(other) for other, shared in before if split or shared):
            self.meet()
        self._open.append((k, split))
        self.work[split] += k.work * self.times
        self.keep.append(k.keep)
        self.scratch = largest(self.scratch, k.scratch)
        block = self.block(k.words)
        address = k.address.found() if isinstance(k.address, Late) else k.address
        if split:
            chunks = CHUNKS if work >= CHUNK_WORK else 1
            self.emit(runtime.SPLIT, address, block, SCRATCH_WORD, k.extent, k.grain, chunks)
        else:
            self.emit(runtime.ALONE, address, block, SCRATCH_WORD, k.extent)

    def forget(self) -> None:
        """Blocks written so far are not used again: what follows may run when their words have changed."""
        self._blocks = {}

    def check(self, check: Check) -> None:
        """Stops the program if a check fails."""
        self.kernel(check.kernel)
        self.meet(always=True)
        leave = self.emit(runtime.UNLESS, self.word(address_of(check.cell)))
        self.checks.append((leave, check))

    def meet(self, always: bool = False) -> None:
        """A barrier, unless nothing has run since the last one."""
        if self._open or always:
            self.emit(runtime.MEET)
            self._open = []

    def build(self, threads: int) -> Program:
        """The program, with words for so many threads."""
        stop = self.emit(runtime.STOP)
        for leave, _ in self.checks:
            self.aim(leave, stop)
        return Program(self, threads)


class Program:
    """A program ready to run; by one call at a time, as its words belong to the call."""

    def __init__(self, w: Writer, threads: int) -> None:
        self.threads = self.most_threads = threads
        self.keep = w.keep
        self.checks = [check for _, check in w.checks]
        self._code = filled(np.zeros(len(w.code), np.int64), w.code)
        width = -(-len(w.words) // 8) * 8
        self._words = np.zeros(threads * width + 8, dtype=np.int64)
        start = (-address_of(self._words) % 64) // 8
        rows = self._words[start : start + threads * width].reshape(threads, width)
        self._rows = filled(rows.T, w.words).T
        self._ground = w.ground
        self.needs = w.scratch, w.room
        self._scratch = np.empty(0, dtype=np.uint8)
        self.make_room(*plainly(self.needs))
        self._at = address_of(self._code), address_of(rows), width * 8
        self._team = team()

    def make_room(self, scratch: int, room: int) -> None:
        """Gets memory: so many bytes for each thread, unless it has them, and for single ops."""
        size = -(-scratch // 64) * 64
        needed = self.most_threads * size + 64 if size else 0
        if self._scratch.nbytes < needed:
            self._scratch = np.empty(needed, dtype=np.uint8)
        if size:
            first = address_of(self._scratch) + -address_of(self._scratch) % 64
            self._rows[:, SCRATCH_WORD] = [first + i * size for i in range(self.most_threads)]
        self._room = _room(self._ground, room)
        self._rows[:, ROOM_WORD] = address_of(self._room) + -address_of(self._room) % 64
        self.extra_bytes = int(self._scratch.nbytes + self._room.nbytes)

    @property
    def place(self) -> tuple[int, ...]:
        """Where the program is, for native code: the function to call, the words of `Team` and of the pool, then
        instructions, words, bytes of a thread's words, and threads at most."""
        if self.threads > 1:
            self._team.size()
        team, size = address_of(self._team.words), address_of(pool.word)
        return self._team.entry, team, size, *self._at, self.threads

    def run(self, operands: Any) -> None:
        """Runs on operands, an array of what `given` says of each."""
        threads = self.threads
        if threads > 1:
            threads = min(self._team.size(), threads)
        self._team.call(*self._at, operands, threads)
        if self.checks:
            self._look()

    def _look(self) -> None:
        for check in self.checks:
            if not check.cell[0]:
                check.cell[0] = 1
                raise check.error(check.cell)

    def run_brief(self, operands: Any) -> None:
        """The same for programs of few microseconds: on this thread, which keeps the interpreter lock."""
        self._team.brief(self._at[0], self._at[1], operands)
        if self.checks:
            self._look()


def _room(ground: Any, nbytes: int) -> Any:
    """Memory for single ops."""
    if ground is not None and nbytes:
        return ground.memory("room", nbytes + 64)
    return np.empty(nbytes + 64 if nbytes else 0, dtype=np.uint8)

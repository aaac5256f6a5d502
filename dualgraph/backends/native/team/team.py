"""The team of this process: its worker threads, and the entry through which programs are run by it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ....core.process.forever import forever
from ..addresses import DIRECT, HEADER, address_of
from ..jit import Machine, jit
from ..threads import pool
from .runtime import INSTRUCTION, LINE, MAILBOX, NAP, SPLIT, STOP, emit_passing, emit_runtime
from .shares import CHUNKS
from .spots import SCRATCH_WORD, Ref, Word

# of the runtime: they pass a block on, or store a word
KERNELS = ("stage", "sized", "join", "store")
MOST = 256  # threads in one call
CALL = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)  # fmt: skip
BRIEF = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)  # fmt: skip
WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
given = id if DIRECT else address_of  # how an array is given to a program


class Team:
    """The threads of this process that run programs. The calling thread is number 0.

    One call at a time has the team; a call that finds it taken runs on its own thread alone, to the same bits.
    """

    def __init__(self) -> None:
        self._machine = begin()
        at = self._machine.addresses
        self.entry = at["call"]
        self._call, self._work = CALL(self.entry), WORK(at["work"])
        self._brief = BRIEF(self.entry)  # keeps the interpreter lock
        self.stage, self.sized, self.join, self.store = (at[name] for name in KERNELS)
        self._lock = threading.Lock()
        # for native code: the team's memory, threads there are
        self.words = np.zeros(2, dtype=np.int64)
        self._started = 0
        self._memory = self._fresh()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _fresh(self) -> Any:
        """Memory of the team before any call, where native code finds it."""
        memory = np.zeros(MAILBOX + MOST * LINE + LINE, dtype=np.uint8)
        self.address = address_of(memory) + -address_of(memory) % LINE
        nap = _nap()
        if nap is not None:
            ctypes.c_void_p.from_address(self.address + NAP).value = nap
        self.words[:] = self.address, 1
        return memory

    def _forked(self) -> None:
        """In the child of a fork: threads are gone, and the memory may say that a call is running."""
        self._lock, self._started = threading.Lock(), 0
        self._memory = self._fresh()

    def size(self) -> int:
        """How many threads a call may use; those not there yet are started."""
        wanted = min(pool.size, MOST)
        if self._started < wanted - 1:
            with self._lock:
                while self._started < wanted - 1:
                    at = self.address, self._started + 1
                    name = f"dualgraph-native-{at[1]}"
                    threading.Thread(target=self._work, args=at, name=name, daemon=True).start()
                    self._started += 1
                    self.words[1] = self._started + 1
        return wanted

    def call(self, code: int, words: int, stride: int, operands: Any, threads: int) -> None:
        """Runs the instructions at `code` by so many threads (at most `size()`).

        Thread i's words begin ``i * stride`` bytes after `words`; `operands` is an array of what `given` says of
        each operand.
        """
        self._call(self.address, code, words, stride, operands, threads)

    def share(
        self, kernel: int, words: Sequence[Word], extent: int, grain: int = 1, scratch: int = 0
    ) -> None:
        """One kernel, run by all threads at once: each takes of ``range(extent)`` what is left."""
        threads = max(1, min(self.size(), -(-extent // grain)))
        width = len(words) + 2
        own = -(-scratch // LINE) * LINE
        memory = np.empty(own * threads + LINE if own else 0, dtype=np.uint8)
        start = address_of(memory) + -address_of(memory) % LINE
        rows: list[int] = []
        for i in range(threads):
            at = start + i * own
            rows += [0, at, *[at if isinstance(w, Ref) else w for w in words]]
        code = _Two(SPLIT, kernel, 2, SCRATCH_WORD, extent, grain, CHUNKS, 0, STOP)
        self._call(
            self.address, code, (ctypes.c_int64 * len(rows))(*rows), 8 * width, None, threads
        )

    def brief(self, code: int, words: int, operands: Any) -> None:
        """Runs instructions that take some microseconds at most, on this thread, without releasing the lock."""
        self._brief(self.address, code, words, 0, operands, 1)


def _nap() -> int | None:
    """The address of a function that sleeps for so many microseconds (or milliseconds), for lack of a futex."""
    with contextlib.suppress(AttributeError, OSError):
        library: Any = ctypes.windll.kernel32 if sys.platform == "win32" else ctypes.CDLL(None)  # type: ignore[attr-defined,unused-ignore]
        function = library.Sleep if sys.platform == "win32" else library.usleep
        return ctypes.cast(function, ctypes.c_void_p).value
    return None


_Two = ctypes.c_int64 * (2 * INSTRUCTION)


@cache
def passing(count: int, scratch: bool = True) -> int:
    """The address of a kernel whose block is a function and its first arguments, so many pointers; the function gets
    the thread's scratch memory (if `scratch`), and begin and end, after them."""
    text = emit_passing(count, scratch)
    _kept.append(jit().compile(text, ("passing",)))
    return _kept[-1].addresses["passing"]


_kept: list[Machine] = []


@cache
def begin() -> Machine:
    """The machine code that a team needs, on its way."""
    return jit().compile(emit_runtime(HEADER if DIRECT else 0), ("call", "work", *KERNELS))


@cache
def team() -> Team:
    """The process's team, made when first needed."""
    return forever(Team())  # its threads sleep in its memory when the interpreter ends

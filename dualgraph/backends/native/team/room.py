"""Room: where ops write their part of a native program, and get memory that lasts as long as they run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from .spots import ZERO_WORD, Check, Ints, Kernel, Late, NotNative, Ref, Span, Spot, Word

# the word with the address of memory that ops have for themselves, one after the other
ROOM_WORD = 2
_local = threading.local()


class Ahead:
    """What is done once, before the turns of a loop: kernels that read nothing but what lasts as long as it turns."""

    def __init__(self, memory: Callable[[int], int], lasting: Sequence[Span]) -> None:
        self._memory, self._lasting = memory, lasting
        self.kernels: list[Kernel] = []

    def lasts(self, span: Span) -> bool:
        """Whether these bytes stay as they are while the loop turns."""
        return any(
            x.base == span.base and x.low <= span.low and span.high <= x.high for x in self._lasting
        )

    def keep(self, nbytes: int) -> Spot:
        """Memory for what is made ahead."""
        return Spot(Ref(ZERO_WORD, self._memory(nbytes)), (nbytes,), np.uint8)


class Room:
    """The kernels of one op, in order; `ahead` takes those that a loop around the op need not repeat."""

    def __init__(
        self, copy: Callable[[Spot, Spot], None] | None = None, ahead: Ahead | None = None
    ) -> None:
        self.kernels: list[Kernel | Check] = []
        self.bytes = 0
        self.held: list[Any] = []  # what the kernels' words point to
        self._copy = copy
        self._ahead = ahead

    def lasts(self, spot: Spot) -> bool:
        """Whether an array stays as it is in all turns of the loop around the op."""
        return self._ahead is not None and self._ahead.lasts(spot.span)

    def keep(self, nbytes: int) -> Spot:
        """Memory that kernels which run ahead may fill."""
        assert self._ahead is not None
        return self._ahead.keep(nbytes)

    def take(self, shape: Ints, dtype: Any) -> Spot:
        """Memory for the time that the op runs."""
        spot = Spot(Ref(ROOM_WORD, self.bytes), shape, dtype)
        self.bytes += -(-prod(shape) * spot.itemsize // 64) * 64
        return spot

    def run(
        self, address: int | Late, words: Sequence[Word], extent: int, reads: Sequence[Spot], writes: Sequence[Spot],
        grain: int = 1, scratch: int = 0, work: int = 0, keep: Any = None, beside: bool = False,
        ahead: bool = False,
    ) -> None:  # fmt: skip
        """Adds a kernel. `beside`: it writes other places than the kernel before, if the same spots.
        `ahead`: it reads only what lasts, and fills memory that was kept for it."""
        spans = tuple(s.span for s in reads), tuple(s.span for s in writes)
        held = keep, self.held
        kernel = Kernel(address, tuple(words), extent, *spans, grain, scratch, work, held, beside)
        if ahead and self._ahead is not None:
            self._ahead.kernels.append(kernel)
        else:
            self.kernels.append(kernel)

    def repeated(self, number: Any, like: Spot) -> Spot:
        """A number in all places of an array like another one."""
        own = Spot(Ref(ZERO_WORD, address_of(number)), like.shape, like.dtype, (0,) * like.ndim)
        self.held.append(number)
        return own

    def check(self, make: Callable[[Any], None], error: Callable[[Any], Exception]) -> None:
        """Stops the program where a kernel finds a fault; ``make(cell)`` adds it, for a cell of three int64."""
        cell = np.ones(3, dtype=np.int64)
        make(cell)
        self.kernels.append(Check(self.kernels.pop(), cell, error))  # type: ignore[arg-type]

    def copy(self, out: Spot, x: Spot) -> None:
        """Copies x to `out`, of one shape and dtype."""
        if self._copy is None:
            raise NotNative("a copy")
        with writing(self):
            self._copy(out, x)

    def dense(self, x: Spot) -> Spot:
        """x, or a copy of it, in row-major order."""
        if x.c_contiguous:
            return x
        out = self.take(x.shape, x.dtype)
        self.copy(out, x)
        return out


class writing:
    """While it lasts, movers write their kernels to a room instead of running them."""

    def __init__(self, room: Room) -> None:
        self.room = room

    def __enter__(self) -> Room:
        self.before = getattr(_local, "room", None)
        _local.room = self.room
        return self.room

    def __exit__(self, *_: Any) -> None:
        _local.room = self.before


def open_room() -> Room:
    """The room that is being written to."""
    room: Room | None = getattr(_local, "room", None)
    if room is None:
        raise NotNative("nobody is writing a program")
    return room


def in_order(x: Any) -> Any:
    """x in row-major order: an array, or a spot in the room being written to."""
    if type(x) is Spot:
        return open_room().dense(x)
    return np.ascontiguousarray(x)


__all__ = ["Room", "Spot", "in_order", "open_room", "writing"]

"""Spots: arrays that a native program will find at the call; kernels: what it does with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ....core.numbers.sizing import range_length, slice_indices
from ....core.numbers.symbolic import is_one
from ....core.numbers.worked import Worked, alike, may_meet
from ....core.types import contiguous_strides

Ints = tuple[int, ...]
ZERO_WORD = 0  # the word that is always 0
SCRATCH_WORD = 1  # the word with the address of the thread's scratch memory


class NotNative(Exception):
    """This step cannot be written as native kernels; Python runs it."""


class Ref(NamedTuple):
    """An address: what lies in a thread's word `base`, and `offset` bytes. With word 0, which is 0, a fixed address."""

    base: int
    offset: int = 0

    def __add__(self, more: Any) -> Ref:  # type: ignore[override]
        return Ref(self.base, self.offset + (more if type(more) is Worked else int(more)))

    __radd__ = __add__  # type: ignore[assignment]


Word = int | Ref


class Span(NamedTuple):
    """Bytes from `low` up to `high` after what lies in word `base`. Those of different words never meet."""

    base: int
    low: int
    high: int

    def meets(self, other: Span) -> bool:
        """Whether both have some byte, or may have at some sizes."""
        if self.base != other.base:
            return False
        if type(self.high) is Worked or type(other.high) is Worked:
            return may_meet(self.low, self.high, other.low, other.high)
        return self.low < other.high and other.low < self.high


class Spot:
    """Stands for an array while a program is written: where it will lie, its shape, strides and dtype."""

    __slots__ = ("at", "dtype", "shape", "strides")

    def __init__(self, at: Ref, shape: Ints, dtype: Any, strides: Ints | None = None) -> None:
        self.at, self.shape, self.dtype = at, tuple(shape), np.dtype(dtype)
        self.strides = (
            contiguous_strides(self.shape, self.dtype.itemsize) if strides is None else strides
        )

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def flags(self) -> Spot:
        return self

    @property
    def c_contiguous(self) -> bool:
        """Whether it lies in row-major order without gaps, at all sizes."""
        step = self.dtype.itemsize
        for d, s in zip(self.shape[::-1], self.strides[::-1], strict=True):
            if not (is_one(d) or alike(s, step)):
                return any(type(n) is int and n == 0 for n in self.shape)
            step *= d
        return True

    @property
    def span(self) -> Span:
        """The bytes it lies in."""
        base, low = self.at
        high = low
        for d, s in zip(self.shape, self.strides, strict=True):
            if type(d) is not Worked and d == 0:
                return Span(base, low, low)
            if s > 0:
                high += (d - 1) * s
            else:
                low += (d - 1) * s
        return Span(base, low, high + self.dtype.itemsize)

    def reshape(self, *shape: Any) -> Spot:
        """The same memory under another shape; only of what lies in row-major order."""
        if not self.c_contiguous:
            raise NotNative("a view that NumPy has to find")
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        if -1 in wanted:
            rest = prod(d for d in wanted if d != -1)
            wanted = tuple(self.size // rest if d == -1 else d for d in wanted)
        return Spot(self.at, wanted, self.dtype)

    def transpose(self, *axes: int) -> Spot:
        """The same memory with axes in another order."""
        shape = tuple(self.shape[a] for a in axes)
        return Spot(self.at, shape, self.dtype, tuple(self.strides[a] for a in axes))

    def __getitem__(self, key: Any) -> Spot:
        """A part, by slices from the first axis on."""
        if key == (Ellipsis, None):
            return Spot(self.at, (*self.shape, 1), self.dtype, (*self.strides, 0))
        key = tuple(k for k in (key if isinstance(key, tuple) else (key,)) if k is not Ellipsis)
        if not all(isinstance(k, slice) for k in key):
            raise NotNative("an index that is no slice")
        at, shape, strides = self.at, list(self.shape), list(self.strides)
        for i, k in enumerate(key):
            start, stop, step = slice_indices(k, shape[i])
            count = range_length(start, stop, step)
            at += start * strides[i] if count else 0
            shape[i], strides[i] = count, strides[i] * step
        return Spot(at, tuple(shape), self.dtype, tuple(strides))

    def __getattr__(self, name: str) -> Any:
        raise NotNative(f"an array's {name}")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise NotNative("values that are not there yet")


class Late(NamedTuple):
    """The address of a function whose machine code is on its way: asked for when the program is written."""

    machine: Any
    symbol: str

    def found(self) -> int:
        """The address; waits for the code."""
        address: int = self.machine.addresses[self.symbol]
        return address


class Kernel(NamedTuple):
    """One call of ``kernel(block, scratch, begin, end)`` over ``range(extent)``, cut at multiples of `grain`.

    ``words`` make the block; ``scratch`` is the bytes that each thread needs; ``work`` estimates the time, in
    instructions of one lane; ``keep`` holds what the words point to.
    """

    address: int | Late
    words: tuple[Word, ...]
    extent: int
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    grain: int = 1
    scratch: int = 0
    work: int = 0
    keep: Any = None
    # it writes other places than the kernel before it, though in the same spots
    beside: bool = False

    def meets(self, other: Kernel) -> bool:
        """Whether one writes what the other reads or writes."""
        return (
            _meet(self.writes, other.writes)
            or _meet(self.writes, other.reads)
            or _meet(self.reads, other.writes)
        )


class Check(NamedTuple):
    """A kernel that looks whether the program may go on: it sets ``cell[0]`` to 0 if not, and ``error(cell)`` says
    why."""

    kernel: Kernel
    cell: Any
    error: Callable[[Any], Exception]


def _meet(xs: Iterable[Span], ys: tuple[Span, ...]) -> bool:
    return any(x.meets(y) for x in xs for y in ys)

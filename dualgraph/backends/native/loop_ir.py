"""Loop IR: a fused group as loops, loads, scalar ops, reductions and stores over flat buffers.

It says what is computed where and in which order values are folded, for any emitter: nothing in it
belongs to LLVM or CUDA. A kernel prints as text:

    kernel(b0: f32 in, b1: f32 out)
      parallel i0 in 2048 {
        fold i1 in 1024, vector {
          v0 = load b0[1024*i0 + i1]
          r1 = sum v0 }
        ...

Numbers name values, axes and buffers. Every value is assigned once, before it is read, in the block
that reads it or in a block around that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...core.dtypes import DType


class Unsupported(Exception):
    """This body or op cannot become a native kernel; it runs op by op instead."""


@dataclass(frozen=True, slots=True)
class Size:
    """An extent or stride known only at the call: entry `position` of the sizes given to the kernel.

    ``least`` is what it is known to reach, ``value`` the symbolic number it stands for, where there is one.
    """

    position: int
    least: int = 0
    value: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"s{self.position}"


Extent = int | Size


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop counter that runs over ``range(extent)``."""

    id: int
    extent: Extent

    def __str__(self) -> str:
        return f"i{self.id} in {self.extent}"


@dataclass(frozen=True, slots=True)
class Affine:
    """``const + sum(coefficient * axis)``: a place in a buffer, in elements. Terms are sorted by axis id."""

    const: Extent = 0
    terms: tuple[tuple[int, Extent], ...] = ()

    @property
    def axes(self) -> frozenset[int]:
        return frozenset(axis for axis, _ in self.terms)

    def coefficient(self, axis: int) -> Extent:
        return next((c for a, c in self.terms if a == axis), 0)

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.const + other, self.terms)  # type: ignore[operator]
        sums: dict[int, Any] = dict(self.terms)
        for axis, c in other.terms:
            sums[axis] = sums.get(axis, 0) + c
        return Affine(
            self.const + other.const,  # type: ignore[operator]
            tuple(sorted((a, c) for a, c in sums.items() if c != 0)),
        )

    def __mul__(self, factor: int) -> Affine:
        if factor == 0:
            return Affine()
        scaled = tuple((a, c * factor) for a, c in self.terms)  # type: ignore[operator]
        return Affine(self.const * factor, scaled)  # type: ignore[operator]

    def __str__(self) -> str:
        parts = [f"i{a}" if c == 1 else f"{c}*i{a}" for a, c in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return " + ".join(parts)


@dataclass(frozen=True, slots=True)
class Buffer:
    """A flat array argument. A scratch buffer holds `size` elements for one turn of the parallel loop, a shared
    one for the time that the kernel runs."""

    dtype: DType
    role: str  # "in", "out", "shared" or "scratch"
    size: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """A value read from a buffer."""

    dest: int
    dtype: DType
    buffer: int
    index: Affine

    def __str__(self) -> str:
        return f"v{self.dest} = load b{self.buffer}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Constant:
    """A number."""

    dest: int
    dtype: DType
    value: Any

    def __str__(self) -> str:
        return f"v{self.dest} = {self.value!r}:{self.dtype.short}"


class ScalarBody(Protocol):
    """An elementwise op: its name, and its body ``kernel(s, *operands, **params)`` in the scalar language."""

    @property
    def name(self) -> str: ...

    @property
    def kernel(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Apply:
    """One elementwise op: its body in the scalar language says what to compute."""

    dest: int
    dtype: DType
    prim: ScalarBody
    params: tuple[tuple[str, Any], ...]
    args: tuple[int, ...]

    def __str__(self) -> str:
        operands = [f"v{a}" for a in self.args] + [f"{k}={v!r}" for k, v in self.params]
        return f"v{self.dest} = {self.prim.name}({', '.join(operands)})"


@dataclass(frozen=True, slots=True)
class Store:
    """A value written to a buffer."""

    buffer: int
    index: Affine
    value: int

    def __str__(self) -> str:
        return f"store b{self.buffer}[{self.index}] = v{self.value}"


TILE = 16


@dataclass(frozen=True, slots=True)
class Tile:
    """Copies a square of 16 x 16 elements, transposed: ``dest[16*r + c] = buffer[index + r + stride*c]``."""

    dest: int
    buffer: int
    index: Affine
    stride: Extent

    def __str__(self) -> str:
        return f"b{self.dest} = tile b{self.buffer}[{self.index}] by {self.stride}"


@dataclass(frozen=True, slots=True)
class Fold:
    """One result of a reduction: `value` folded with `monoid` in the canonical order."""

    dest: int
    dtype: DType
    monoid: str
    value: int

    def __str__(self) -> str:
        return f"v{self.dest} = {self.monoid} v{self.value}"


@dataclass(frozen=True, slots=True)
class Reduce:
    """Runs `body` over the row-major product of `axes` and folds values away.

    ``vector``: the folded places lie along the vector lanes; else each lane is an output of its own.
    ``block``: an axis; only the block of that number is folded (of 512 places).
    ``most``: an upper bound of the places, where they are known only at the call (0: none).
    """

    axes: tuple[Axis, ...]
    body: tuple[Statement, ...]
    folds: tuple[Fold, ...]
    vector: bool = True
    most: int = 0
    block: int | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """Runs `body` over the row-major product of `axes`.

    ``parallel``: turns are independent and may be split between threads; one such loop a nest.
    ``vector``: the last axis lies along the vector lanes; in a parallel vector loop all axes do, as one.
    """

    axes: tuple[Axis, ...]
    body: tuple[Statement, ...]
    parallel: bool = False
    vector: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """Folds the results of blocks, the first `count` elements of a shared buffer, which it overwrites."""

    dest: int
    dtype: DType
    monoid: str
    buffer: int
    count: int

    def __str__(self) -> str:
        return f"v{self.dest} = {self.monoid} tree b{self.buffer}[:{self.count}]"


Statement = Load | Constant | Apply | Store | Tile | Tree | Reduce | Loop


@dataclass(frozen=True, slots=True)
class Nest:
    """Statements around exactly one parallel loop; those outside it are cheap and run in each thread.

    ``work`` estimates the instructions of all turns, as if vectors had one lane.
    """

    body: tuple[Statement, ...]
    work: int = 0

    @property
    def parallel(self) -> Loop:
        return next(s for s in walk(self.body) if isinstance(s, Loop) and s.parallel)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Nests that run one after the other over common buffers.

    Extents and strides may be symbolic; ``guards`` are the conditions on their symbols under which it holds.
    """

    buffers: tuple[Buffer, ...]
    nests: tuple[Nest, ...]
    guards: tuple[str, ...] = ()

    def __str__(self) -> str:
        args = ", ".join(
            f"b{i}: {b.dtype.short} {b.role}" + (f" {b.size}" if b.size else "")
            for i, b in enumerate(self.buffers)
        )
        lines = [f"kernel({args})"]
        for nest in self.nests:
            lines += _text(nest.body, 1)
        return "\n".join(lines)


def walk(statements: Iterable[Statement]) -> Iterator[Statement]:
    """All statements, those of inner blocks after the one that holds them."""
    for s in statements:
        yield s
        if isinstance(s, Loop | Reduce):
            yield from walk(s.body)


def overwritable(kernel: Kernel) -> tuple[frozenset[int], ...]:
    """For each output the input buffers whose memory it may have.

    An input is one if no turn of any loop reads a place of it after that place of the output was written:
    all its loads stand before the store, those in the same nest at the same index.
    """
    outs = [i for i, b in enumerate(kernel.buffers) if b.role == "out"]
    ins = [i for i, b in enumerate(kernel.buffers) if b.role == "in"]
    events = [(n, s) for n, nest in enumerate(kernel.nests) for s in walk(nest.body)]
    stores: dict[int, list[int]] = {}  # where each buffer is stored
    last: dict[int, int] = {}  # where it is loaded for the last time
    loads: list[list[tuple[int, Load | Tile]]] = [[] for _ in kernel.nests]
    for at, (n, s) in enumerate(events):
        if isinstance(s, Store):
            stores.setdefault(s.buffer, []).append(at)
        elif isinstance(s, Load | Tile):
            last[s.buffer] = at
            loads[n].append((at, s))
    found = []
    for k in outs:
        at, *more = stores[k]
        if more:  # put together from pieces
            found.append(frozenset[int]())
            continue
        n, store = events[at]
        assert isinstance(store, Store)
        elsewhere = {
            s.buffer
            for i, s in loads[n]
            if i < at and (isinstance(s, Tile) or s.index != store.index)
        }
        size = kernel.buffers[k].dtype.itemsize
        found.append(
            frozenset(
                i
                for i in ins
                if last.get(i, -1) < at
                and i not in elsewhere
                and kernel.buffers[i].dtype.itemsize == size
            )
        )
    return tuple(found)


def _text(statements: Iterable[Statement], depth: int) -> list[str]:
    pad = "  " * depth
    lines: list[str] = []
    for s in statements:
        if isinstance(s, Loop | Reduce):
            word = "fold" if isinstance(s, Reduce) else "parallel" if s.parallel else "for"
            head = ", ".join(map(str, s.axes)) + (", vector" if s.vector else "")
            if isinstance(s, Reduce) and s.block is not None:
                head += f", block i{s.block}"
            lines += [f"{pad}{word} {head} {{", *_text(s.body, depth + 1)]
            lines += [f"{pad}  {f}" for f in s.folds] if isinstance(s, Reduce) else []
            lines.append(f"{pad}}}")
        else:
            lines.append(f"{pad}{s}")
    return lines

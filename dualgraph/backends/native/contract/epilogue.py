"""Epilogues: elementwise ops on a contraction's result, applied to parts of it while they are in the cache.

The result is a matrix of all its rows by `columns` (those of a product, or the positions of an image). Whatever
the ops read lies, for each row, side by side along the columns or is one element. So one piece of code, compiled
once for a body whatever its sizes, does any rectangle: it is the loop that would run over the whole result
otherwise, and its bits are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ....core.kinds import CONTRACTION
from ....core.node import Node, Var
from ....core.numbers.symbolic import SymInt
from ....core.pieces import pieces_of
from ....static.graph import Graph, GraphBuilder
from ..addresses import address_of
from ..axes import AxisMap, Dim
from ..emit.llvm import Code
from ..expressions import Expr, build, check_node, contiguous
from ..index_maps import Split, linear, strides_of
from ..jit import Machine, jit
from ..loop_ir import (
    Affine,
    Apply,
    Axis,
    Buffer,
    Constant,
    Kernel,
    Load,
    Loop,
    Nest,
    Size,
    Statement,
    Store,
    Unsupported,
)
from ..outputs import closure
from . import kernels
from .finish import ARRAY, BUFFERS, HEAD
from .stages import Stage, record

MAX_OPERANDS = 12  # arrays beside those of the contraction
# bytes of arrays beside the result from which they are rather read in one run of their own
COLD = 2**22


@dataclass(frozen=True, eq=False, slots=True)
class Read:
    """Where the ops read or write an array: ``offset(row) + column * along`` elements from its start.

    ``step`` is how far apart rows are inside a matrix of `m` rows, or None where that differs.
    """

    array: int  # of the body: inputs, then outputs
    offsets: Any  # int64, one for each row
    along: int  # 0 or 1
    step: int | None
    size: int  # bytes of an element

    @property
    def even(self) -> bool:
        """Whether all rows are equally far apart."""
        return not np.diff(self.offsets, 2).any()


def _same(numbers: np.ndarray[Any, Any]) -> bool:
    """Whether all are one number. (NumPy's `unique` loads its masked arrays.)"""
    return not len(numbers) or bool((numbers == numbers[0]).all())


class Epilogue:
    """What a body does with the result of the contraction that is its first node.

    Raises Unsupported where the rest is no epilogue.
    """

    def __init__(self, body: Graph) -> None:
        self.body = body
        self.node, *rest = body.nodes
        (self.product,) = self.node.outputs
        _check(self.node, rest, body)
        self.columns, self.m = _matrix(self.node)
        self.after = _after(self.product, rest, body)
        exprs, axes = _expressions(self.after)
        self.rows = self.product.type.size // self.columns
        self.inputs = len(body.inputs)
        self._read(exprs, axes)

    def _read(self, exprs: Sequence[Expr], axes: AxisMap) -> None:
        """Finds where arrays are read and written, and the statements."""
        index = _index(self.after.outputs[0], axes)
        self._digits = _digits(index, axes.extents, self.columns)
        self.reads: list[Read] = []
        self._buffers: list[Buffer] = []
        fixed: list[Statement] = []
        moving: list[Statement] = []
        along: dict[int, bool] = {}  # whether an expression differs from column to column
        for e in closure(exprs):
            statement, along[e.id] = self._statement(e, index, along)
            (moving if along[e.id] else fixed).append(statement)
        moving += self._stores(exprs, axes, index)
        self._check_arrays()
        across = Loop((Axis(1, Size(1)),), tuple(moving), vector=True)
        rows = Loop((Axis(0, Size(0)),), (*fixed, across), parallel=True)
        self.kernel = Kernel(tuple(self._buffers), (Nest((rows,)),))

    def _statement(self, e: Expr, index: Any, along: dict[int, bool]) -> tuple[Statement, bool]:
        """An expression as a statement, and whether it differs from column to column; `index` is the result's."""
        if e.form == "load":
            position, place = e.data
            array = self._array(position)
            if position == len(self.after.inputs) - 1 and place != index:
                raise Unsupported("the result is read in another order than it is written")
            read = self._place(array, place, e.dtype.itemsize)
            number = self._add(read, Buffer(e.dtype, "in"))
            return Load(e.id, e.dtype, number, _at(number, read)), bool(read.along)
        if e.form == "constant":
            return Constant(e.id, e.dtype, e.data[0]), False
        if e.form == "apply":
            prim, params, _ = e.data
            apply = Apply(e.id, e.dtype, prim, params, tuple(a.id for a in e.args))
            return apply, any(along[a.id] for a in e.args)
        raise Unsupported("a fold of the result")

    def _stores(self, exprs: Sequence[Expr], axes: AxisMap, index: Any) -> list[Statement]:
        """The stores of the results."""
        stores: list[Statement] = []
        outs = [v for v in self.body.outputs if v != self.product]
        for e, v in zip(exprs, outs, strict=True):
            if not isinstance(v, Var) or _index(self.after.outputs[outs.index(v)], axes) != index:
                raise Unsupported("a result in another order")
            array = self.inputs + self.body.outputs.index(v)
            read = self._place(array, index, v.type.dtype.itemsize)
            number = self._add(read, Buffer(v.type.dtype, "out"))
            stores.append(Store(number, _at(number, read), e.id))
        return stores

    def _add(self, read: Read, buffer: Buffer) -> int:
        """The number of a buffer of the kernel, which is added."""
        self.reads.append(read)
        self._buffers.append(buffer)
        return len(self.reads) - 1

    def _check_arrays(self) -> None:
        """Raises Unsupported for arrays that are too large, or too many."""
        beside = [r for r in self.reads if 0 <= r.array < self.inputs and not _same(r.offsets)]
        if self.product.type.nbytes * sum(r.along for r in beside) >= COLD:
            raise Unsupported("arrays that no cache holds")
        if len(self.reads) > BUFFERS:
            raise Unsupported("too many arrays in an epilogue")

    def may_overwrite(self, result: int, operand: int) -> bool:
        """Whether a result may lie in an operand's memory: each place is read where it is written, and before."""
        own = [r for r in self.reads if r.array == self.inputs + result]
        if not own or self.body.inputs[operand] in self.node.inputs:
            return False
        (out,) = own
        reads = [r for r in self.reads if r.array == operand]
        return all(
            r.along and r.size == out.size and np.array_equal(r.offsets, out.offsets) for r in reads
        )

    def _array(self, position: int) -> int:
        """The array of the body that an input of the rest is; -1 for the contraction's result."""
        last = position == len(self.after.inputs) - 1
        return -1 if last else self._outer[position]

    @cached_property
    def _outer(self) -> list[int]:
        read = {v for n in self.body.nodes[1:] for v in n.inputs if isinstance(v, Var)}
        return [i for i, v in enumerate(self.body.inputs) if v in read]

    def _place(self, array: int, index: Affine, size: int) -> Read:
        """Where an array is read or written, row by row."""
        down, across = self._digits
        steps = [index.coefficient(a) for a, _, _ in across]
        along = 0 if not any(steps) else 1
        if along and steps != [c for _, _, c in across]:
            raise Unsupported("an operand that does not lie along the columns")
        offsets = np.full(1, index.const, dtype=np.int64)
        for a, extent, _ in down:
            own = np.arange(extent, dtype=np.int64) * index.coefficient(a)
            offsets = (offsets[:, None] + own).reshape(-1)
        apart = np.diff(offsets.reshape(-1, self.m), axis=1).reshape(-1)
        if not np.diff(offsets, 2).any():  # one distance for all
            apart = np.diff(offsets[:2])
        step = int(apart[0]) if len(apart) else 0
        return Read(array, offsets, along, step if _same(apart) else None, size)

    @cached_property
    def begun(self) -> tuple[Machine, Code]:
        """The machine code, on its way."""
        code = Code(self.kernel, has_fma=jit().has_fma)
        name = code.name
        if name is None:
            return jit().compile(code.text(), code.symbols), code
        return jit().compile(name, code.symbols, code.text), code

    @cached_property
    def machine(self) -> tuple[Machine, int, tuple[int, ...]]:
        """The compiled code, its address, and the order of its arrays."""
        machine, code = self.begun
        (nest,) = code.nests
        return machine, machine.addresses[nest.symbol], nest.order

    def given(self, slots: Sequence[int], product: int) -> Any:
        """The record for arrays of the body in these slots, and the contraction's result in slot `product`."""
        machine, address, order = self.machine
        reads = [self.reads[i] for i in order]
        pace = 1 if any(r.step is None for r in reads) else self.m
        if all(r.even for r in reads):
            pace = self.rows
        values = [address, pace, self.columns, len(reads)]
        kept: list[Any] = [machine]
        for place, r in zip(order, reads, strict=True):
            table = (r.offsets * r.size).astype(np.int64)
            row = int(table[1] - table[0]) if len(table) > 1 else 0
            kept.append(table)
            slot = product if r.array < 0 else slots[r.array]
            at = 0 if r.even else address_of(table)
            values += [slot, at, int(table[0]), row, r.along * r.size, r.step or 0, 2 + place]
        assert len(values) == len(HEAD) + len(ARRAY) * len(reads)
        return record(values, kept)

    def stage(self, given: Any) -> Stage:
        """The stage that does all rows, which the stages before have left; its units are rows."""
        work = 4 * self.rows * self.columns * len(self.reads)
        return Stage(kernels.driver().finish, given, self.rows, work)


def _at(position: int, read: Read) -> Affine:
    """The index in a buffer that begins at the rectangle; rows are as far apart as a size says."""
    return Affine(0, ((0, Size(2 + position)), *(((1, 1),) if read.along else ())))


def _check(node: Node, rest: Sequence[Node], body: Graph) -> None:
    """Raises Unsupported for a body that is no contraction with elementwise ops after it."""
    if node.prim.kind is not CONTRACTION or not rest:
        raise Unsupported("no contraction with something after it")
    types = [v.type for n in body.nodes for v in (*n.inputs, *n.outputs)]
    if any(0 in t.shape or any(type(d) is SymInt for d in t.shape) for t in types):
        raise Unsupported("sizes that may change, or nothing at all")
    if any(not isinstance(v, Var) for v in (*node.inputs, *body.outputs)):
        raise Unsupported("a number in the place of an array")
    if len(body.inputs) + len(body.outputs) > MAX_OPERANDS:
        raise Unsupported("too many arrays in an epilogue")
    for n in rest:
        check_node(n)
        if pieces_of(n) is not None:
            raise Unsupported("pieces that are put together")


def _matrix(node: Node) -> tuple[int, int]:
    """Columns of the matrix that a contraction gives, and rows of one product."""
    shape = node.outputs[0].type.shape
    if "kernel" in node.params:  # a weight: channels, those of the input and places in the window
        return prod(shape[1:]), shape[0]
    if node.params:  # images: samples, channels, positions
        return prod(shape[2:]), shape[1]
    return shape[-1], shape[-2]


def _after(product: Var, rest: Sequence[Node], body: Graph) -> Graph:
    """The body without its contraction: its result is the last input."""
    builder = GraphBuilder()
    read = {v for n in rest for v in n.inputs if isinstance(v, Var)}
    env: dict[Any, Any] = {v: builder.input(v.type) for v in body.inputs if v in read}
    env[product] = builder.input(product.type)
    for n in rest:
        operands = tuple(env[v] if isinstance(v, Var) else v for v in n.inputs)
        results = tuple(builder.var(v.type) for v in n.outputs)
        builder.nodes.append(Node(n.prim, operands, n.params, results, n.where))
        env.update(zip(n.outputs, results, strict=True))
    outs = [env[v] for v in body.outputs if v != product]
    if not outs or product not in read or any(v in set(body.inputs) for v in body.outputs):
        raise Unsupported("results that nothing is done to")
    if any(v.type.size != product.type.size for v in outs):
        raise Unsupported("results of another size")
    return builder.build(outs)


def _expressions(after: Graph) -> tuple[tuple[Expr, ...], AxisMap]:
    """What the ops compute, with axes split where reshapes ask for it."""
    splits: dict[Dim, tuple[int, ...]] = {}
    strides = contiguous(after)
    while True:
        axes = AxisMap(after, splits)
        try:
            return build(after, strides, axes), axes
        except Split as cut:
            splits = axes.split(cut.axis, cut.inner)


def _index(v: Any, axes: AxisMap) -> Affine:
    return linear(axes.place(v), strides_of(v.type.shape))


def _digits(index: Affine, extents: dict[int, int], columns: int) -> tuple[Any, Any]:
    """The counters of rows and of columns, outermost first, as (axis, extent, coefficient)."""
    terms = sorted(index.terms, key=lambda t: -t[1])  # type: ignore[operator]
    counters = [(a, extents[a], c) for a, c in terms]
    down = [t for t in counters if t[2] >= columns]  # type: ignore[operator]
    across = counters[len(down) :]
    if prod(e for _, e, _ in across) != columns:
        raise Unsupported("a counter that runs over rows and columns")
    return down, across

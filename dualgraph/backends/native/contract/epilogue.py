"""Epilogues: elementwise ops on a contraction's result, applied to parts of it while they are in the cache.

The result is a matrix of all its rows by `columns` (those of a product, or the positions of an image). Whatever
the ops read lies, for each row, side by side along the columns or is one element. So one piece of code, compiled
once for a body whatever its sizes, does any rectangle: it is the loop that would run over the whole result
otherwise, and its bits are the same. Sizes may be symbolic; `numbers` are what other sizes change.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any

from ....core.kinds import CONTRACTION
from ....core.node import Node, Var
from ....core.numbers.guards import guarded, unguarded
from ....core.numbers.symbolic import is_one, is_symbolic
from ....core.pieces import pieces_of
from ....core.types import Shape, contiguous_strides
from ....static.graph import Graph, GraphBuilder
from ..addresses import address_of
from ..axes import AxisMap
from ..emit.llvm import Code
from ..expressions import Expr, build, check_node
from ..index_maps import linear
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
from .reads import Read, offsets, runs
from .stages import Record, Stage

MAX_OPERANDS = 12  # arrays beside those of the contraction
# bytes of arrays beside the result from which they are rather read in one run of their own
COLD = 2**22


class Epilogue:
    """What a body does with the result of the contraction that is its first node.

    Raises Unsupported where the rest is no epilogue.
    """

    def __init__(self, body: Graph) -> None:
        self.body = body
        self.records: dict[Any, Record] = {}  # what `given` made, for those who keep it
        self.node, *rest = body.nodes
        (self.product,) = self.node.outputs
        _check(self.node, rest, body)
        self.inputs = len(body.inputs)
        with guarded(proving=True) as guards:
            lead, across = _matrix(self.node)
            self.rows, self.m, self.columns = prod(lead), lead[-1], prod(across)
            self.after = _after(self.product, rest, body)
            nest = self._read(*build(self.after))
        self.kernel = Kernel(tuple(self._buffers), (nest,), tuple(guards))

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What `given` and `stage` take for the sizes: rows, those of a matrix, columns, and what the reads say."""
        return self.rows, self.m, self.columns, tuple(r.numbers for r in self.reads)

    def _read(self, exprs: Sequence[Expr], axes: AxisMap) -> Nest:
        """Finds where arrays are read and written, and the statements."""
        result = self.after.outputs[0]
        index = _index(result, axes)
        self._digits = _digits(result, index, axes, self.columns)
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
        return Nest((Loop((Axis(0, Size(0)),), (*fixed, across), parallel=True),))

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
            if is_symbolic(dict(params)):
                raise Unsupported("a parameter that may change")
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
        beside = [r for r in self.reads if 0 <= r.array < self.inputs and not r.one_for_all]
        with unguarded():
            cold = self.product.type.nbytes * sum(r.along for r in beside) >= COLD
        if cold:
            raise Unsupported("arrays that no cache holds")
        if len(self.reads) > BUFFERS:
            raise Unsupported("too many arrays in an epilogue")

    def may_overwrite(self, result: int, operand: int) -> bool:
        """Whether a result may lie in an operand's memory: each place is read where it is written, and before."""
        own = [r for r in self.reads if r.array == self.inputs + result]
        if not own or self.body.inputs[operand] in self.node.inputs:
            return False
        (out,) = own
        with guarded(proving=True):
            return all(r.along and r.lies_as(out) for r in self.reads if r.array == operand)

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
        along = int(any(step != 0 for step in steps))
        if along and steps != [c for _, _, c in across]:
            raise Unsupported("an operand that does not lie along the columns")
        digits = tuple((extent, index.coefficient(a)) for a, extent, _ in down)
        return Read(array, index.const, digits, along, size)  # type: ignore[arg-type]

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

    @cached_property
    def _layout(self) -> list[tuple[int, int, int, int]]:
        """The places of the reads in the order of the code's arrays, and of each its array, the bytes of an element,
        and those from column to column."""
        reads = ((place, self.reads[place]) for place in self.machine[2])
        return [(place, r.array, r.size, r.along * r.size) for place, r in reads]

    def given(self, slots: Sequence[int], product: int, numbers: tuple[Any, ...]) -> Any:
        """The record for arrays of the body in these slots, and the contraction's result in slot `product`."""
        machine, address, _ = self.machine
        rows, m, columns, places = numbers
        kept: list[Any] = [machine]
        arrays: list[int] = []
        even, alike = True, True  # whether all rows are equally far apart, and those of a matrix
        for place, array, size, along in self._layout:
            start, digits = places[place]
            found, at, row = runs(digits), 0, 0
            extent, step = found[-1] if found else (1, 0)
            if len(found) < 2:
                row = step * size
            else:
                kept.append(offsets(start, found, size))
                at, even, alike = address_of(kept[-1]), False, alike and extent % m == 0
            slot = product if array < 0 else slots[array]
            arrays += slot, at, start * size, row, along, step, 2 + place
        assert len(arrays) == len(ARRAY) * len(self.reads)
        head = address, rows if even else m if alike else 1, columns, len(self.reads)
        assert len(head) == len(HEAD)
        return Record([*head, *arrays], kept)

    def stage(self, given: Any, numbers: tuple[Any, ...]) -> Stage:
        """The stage that does all rows, which the stages before have left; its units are rows."""
        rows, _, columns, _ = numbers
        work = 4 * rows * columns * len(self.reads)
        return Stage(kernels.driver().finish, given, rows, work)


def _at(position: int, read: Read) -> Affine:
    """The index in a buffer that begins at the rectangle; rows are as far apart as a size says."""
    return Affine(0, ((0, Size(2 + position)), *(((1, 1),) if read.along else ())))


def _check(node: Node, rest: Sequence[Node], body: Graph) -> None:
    """Raises Unsupported for a body that is no contraction with elementwise ops after it."""
    if node.prim.kind is not CONTRACTION or not rest:
        raise Unsupported("no contraction with something after it")
    types = [v.type for n in body.nodes for v in (*n.inputs, *n.outputs)]
    if any(type(d) is int and d == 0 for t in types for d in t.shape):
        raise Unsupported("nothing at all")
    if any(not isinstance(v, Var) for v in (*node.inputs, *body.outputs)):
        raise Unsupported("a number in the place of an array")
    if len(body.inputs) + len(body.outputs) > MAX_OPERANDS:
        raise Unsupported("too many arrays in an epilogue")
    for n in rest:
        check_node(n)
        if pieces_of(n) is not None:
            raise Unsupported("pieces that are put together")


def _matrix(node: Node) -> tuple[Shape, Shape]:
    """The axes of the rows of the matrix that a contraction gives (last: those of one product), and of its columns."""
    shape = node.outputs[0].type.shape
    if "kernel" in node.params:  # a weight: channels, those of the input and places in the window
        lead = 1
    elif node.params:  # images: samples, channels, positions
        lead = 2
    else:
        lead = len(shape) - 1
    return shape[:lead], shape[lead:]


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


def _index(v: Any, axes: AxisMap) -> Affine:
    return linear(axes.place(v), contiguous_strides(v.type.shape))


def _digits(v: Any, index: Affine, axes: AxisMap, columns: int) -> tuple[Any, Any]:
    """The counters of rows and of columns of a result, outermost first, as (axis, extent, coefficient)."""
    own = [a for i, d in enumerate(v.type.shape) if not is_one(d) for a in axes.axes((v, i))]
    down = [(a, axes.extents[a], index.coefficient(a)) for a in own]
    across: list[Any] = []
    while down and prod(extent for _, extent, _ in across) != columns:
        across.insert(0, down.pop())
    if prod(extent for _, extent, _ in across) != columns:
        raise Unsupported("a counter that runs over rows and columns")
    return down, across

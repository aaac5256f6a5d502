"""Expressions: what a fused body computes at each place, as a DAG over loads at affine indexes.

Movement ops vanish here into the indexes. Two sweeps over the body: one from the outputs back collects
the places at which each var is wanted, one forward makes an expression for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core import dtypes as dt
from ...core.constant import exact
from ...core.dtypes import DType
from ...core.kinds import ELEMENTWISE, MOVEMENT, REDUCTION
from ...core.node import Literal, Node, Var
from ...core.pieces import pieces_of
from ...core.scalar import Scalar, without_trace
from ...core.types import contiguous_strides
from ...ops.arithmetic import converts
from ...static.graph import Graph
from .axes import AxisMap, Dim
from .index_maps import INDEX_MAPS, Place, Split, broadcast, linear
from .loop_ir import Affine, Unsupported

MONOIDS = ("sum", "prod", "max", "min", "any", "all")
DTYPES = tuple(d for d in dt.ALL if not d.is_complex)
MAX_NODES = 400


@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """A value at one place. Ids are topological: operands have smaller ones."""

    id: int
    form: str  # "load", "constant", "apply" or "reduce"
    dtype: DType
    axes: frozenset[int]  # on which the value depends
    args: tuple[Expr, ...] = ()
    # load: (input, Affine); constant: value; apply: (prim, params, exact params); reduce: (monoid, axes)
    data: Any = None
    depth: int = 0  # reductions on the longest way to an input


class Builder:
    """Makes expressions, one for each distinct meaning."""

    def __init__(self) -> None:
        self.known: dict[Any, Expr] = {}

    def make(
        self,
        form: str,
        dtype: DType,
        args: tuple[Expr, ...],
        data: Any,
        axes: frozenset[int],
        deeper: int = 0,
    ) -> Expr:
        """The expression of this meaning, made unless there is one; ``deeper``: reductions that it adds."""
        key = (form, dtype.name, tuple(a.id for a in args), data)
        found = self.known.get(key)
        if found is None:
            depth = max((a.depth for a in args), default=0) + deeper
            found = self.known[key] = Expr(len(self.known), form, dtype, axes, args, data, depth)
        return found

    def load(self, position: int, dtype: DType, index: Affine) -> Expr:
        return self.make("load", dtype, (), (position, index), index.axes)

    def constant(self, literal: Literal) -> Expr:
        return self.make("constant", literal.dtype, (), (literal.value, str(literal)), frozenset())

    def apply(self, node: Node, args: tuple[Expr, ...]) -> Expr:
        """An elementwise op."""
        axes = frozenset().union(*(a.axes for a in args))
        data = (node.prim, tuple(sorted(node.params.items())), exact(node.params))
        return self.make("apply", node.outputs[0].type.dtype, args, data, axes)

    def reduce(self, node: Node, arg: Expr, over: tuple[int, ...]) -> Expr:
        """A fold over some axes."""
        monoid, dtype = node.prim.details["monoid"], node.outputs[0].type.dtype
        if not over:
            return self.make(
                "apply", dtype, (arg,), (FoldOfOne(monoid, dtype.name), (), ()), arg.axes
            )
        return self.make("reduce", dtype, (arg,), (monoid, over), arg.axes - set(over), 1)


@dataclass(frozen=True, slots=True)
class FoldOfOne:
    """What a fold does to the only element it meets, as the body of an elementwise op."""

    monoid: str
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.monoid}_of_one"

    def kernel(self, s: Scalar, x: Any) -> Any:
        x = s.cast(x, self.dtype)
        return without_trace(s, x) if self.monoid in ("max", "min") and s.is_float(x) else x


def check_node(node: Node) -> None:
    """Raises Unsupported unless ops like this one can be part of a kernel."""
    prim = node.prim
    for v in (*node.inputs, *node.outputs):
        if v.type.dtype not in DTYPES:
            raise Unsupported(f"{v.type.dtype.name} operands")
        if v.type.dtype is dt.bfloat16 and (
            isinstance(v, Literal) or not (converts(node) or prim.kind is MOVEMENT)
        ):
            raise Unsupported("bfloat16, which is moved and cast alone")
    if prim.kind is MOVEMENT:
        if pieces_of(node) is not None:
            return
        if prim.name not in INDEX_MAPS or not isinstance(node.inputs[0], Var):
            raise Unsupported(f"{prim.name} is not an index map")
    elif prim.kind is REDUCTION:
        if prim.details.get("monoid") not in MONOIDS or not isinstance(node.inputs[0], Var):
            raise Unsupported(f"{prim.name} is not a fold")
    elif prim.kind is not ELEMENTWISE:
        raise Unsupported(f"{prim.name} is {prim.kind}")


def build(body: Graph) -> tuple[tuple[Expr, ...], AxisMap]:
    """Given: a body. Result: one expression an output, on axes that are split where reshapes ask for it."""
    splits: dict[Dim, tuple[int, ...]] = {}
    while True:
        axes = AxisMap(body, splits)
        try:
            return _build(body, axes), axes
        except Split as cut:
            splits = axes.split(cut.axis, cut.inner)


def _build(body: Graph, axes: AxisMap) -> tuple[Expr, ...]:
    wanted: dict[Var, dict[Place, None]] = {v: {} for v in body.all_vars()}
    for out in body.outputs:
        if isinstance(out, Var):
            wanted[out][axes.place(out)] = None
    for node in reversed(body.nodes):
        for place in wanted[node.outputs[0]]:
            for v, source in zip(node.inputs, sources(node, place, axes), strict=True):
                if isinstance(v, Var):
                    wanted[v][source] = None

    builder = Builder()
    values: dict[tuple[Var, Place], Expr] = {}
    for position, v in enumerate(body.inputs):
        strides = contiguous_strides(v.type.shape)
        for place in wanted[v]:
            values[v, place] = builder.load(position, v.type.dtype, linear(place, strides))

    def value(v: Var | Literal, place: Place) -> Expr:
        return values[v, place] if isinstance(v, Var) else builder.constant(v)

    for node in body.nodes:
        out = node.outputs[0]
        for place in wanted[out]:
            args = tuple(
                value(v, p) for v, p in zip(node.inputs, sources(node, place, axes), strict=True)
            )
            if node.prim.kind is MOVEMENT:
                values[out, place] = args[0]
            elif node.prim.kind is REDUCTION:
                values[out, place] = builder.reduce(node, args[0], axes.reduced(node))
            else:
                values[out, place] = builder.apply(node, args)
    return tuple(value(v, axes.place(v) if isinstance(v, Var) else ()) for v in body.outputs)


def sources(node: Node, place: Place, axes: AxisMap) -> tuple[Place, ...]:
    """The places of a node's operands that one place of its result reads."""
    if node.prim.kind is ELEMENTWISE:
        return tuple(broadcast(place, v.type.shape) for v in node.inputs)
    shape = node.inputs[0].type.shape
    if node.prim.kind is MOVEMENT:
        return (INDEX_MAPS[node.prim.name](place, shape, axes.extents, **node.params),)
    folded = axes.place(node.inputs[0])
    if any(index.axes & set(axes.reduced(node)) for index in place):
        raise Unsupported(f"{node.prim.name} folds an axis that its result is spread over")
    kept = iter(place)
    source: list[Affine] = []
    for i in range(len(shape)):
        here = next(kept) if node.params["keepdims"] or i not in node.params["axes"] else Affine()
        source.append(folded[i] if i in node.params["axes"] else here)
    return (tuple(source),)

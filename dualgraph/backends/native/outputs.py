"""Outputs of a body: along which axes each is stored, and which ones one nest of loops can store together."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ...core.node import Var
from ...core.types import contiguous_strides
from ...static.graph import Graph
from .axes import AxisMap
from .expressions import Expr
from .index_maps import ZERO, linear
from .loop_ir import Affine, Unsupported
from .pieced import Place


class Output:
    """An output: its expression, its buffer, where it is stored, and the axes that stand outside its reductions."""

    def __init__(self, expr: Expr, buffer: int, index: Affine, order: tuple[int, ...]) -> None:
        self.expr, self.buffer, self.index, self.order = expr, buffer, index, order
        folds = [e for e in closure([expr]) if e.form == "reduce"]
        outer = {e.axes for e in folds} or {frozenset(order)}
        if len(outer) > 1:
            raise Unsupported("reductions over different axes")
        self.outer = next(iter(outer))
        if not self.outer <= set(order):
            raise Unsupported("a reduction inside another one's loop")
        self.folds = bool(folds)


def output(k: int, expr: Expr, whole: Graph, body: Graph, piece: Place, axes: AxisMap) -> Output:
    """Output `k` of `body`, which lies at `piece` in one of the outputs of `whole`."""
    v, shape = body.outputs[k], piece.shape
    buffer = len(whole.inputs) + piece.result
    if isinstance(v, Var):
        place = axes.place(v)
        order = tuple(a for i, d in enumerate(shape) if d != 1 for a in axes.axes((v, i)))
    else:
        order = axes.fresh(tuple(d for d in shape if d != 1))
        counters = iter(order)
        place = tuple(ZERO if d == 1 else Affine(0, ((next(counters), 1),)) for d in shape)
    strides = contiguous_strides(whole.outputs[piece.result].type.shape)
    at = sum(a * s for a, s in zip(piece.at, strides, strict=True))
    return Output(expr, buffer, linear(place, strides, at), order)


def closure(
    roots: Iterable[Expr], stop: frozenset[int] | None = None, ready: Collection[int] = ()
) -> list[Expr]:
    """The expressions that `roots` need, operands first; not what those with ids in `ready` need.

    With `stop`, only those that depend on other axes than these: what varies inside one outer turn.
    """
    seen: dict[int, Expr] = {}
    stack = list(roots)
    while stack:
        e = stack.pop()
        if e.id not in seen and (stop is None or not e.axes <= stop):
            seen[e.id] = e
            stack += () if e.id in ready or (stop is not None and e.form == "reduce") else e.args
    return [seen[i] for i in sorted(seen)]


def grouped(outs: list[Output]) -> list[list[Output]]:
    """Outputs that one nest can store: same outer axes; plain ones join a reduction they can run along with."""
    groups: dict[frozenset[int], list[Output]] = {}
    for out in (o for o in outs if o.folds):
        groups.setdefault(out.outer, []).append(out)
    for out in (o for o in outs if not o.folds):
        inner = [_inner(g) for g in groups.values()]
        home = next(
            (
                outer
                for outer, ax in zip(groups, inner, strict=True)
                if out.outer in (outer, outer | ax)
            ),
            out.outer,
        )
        groups.setdefault(home, []).append(out)
    return list(groups.values())


def _inner(group: list[Output]) -> frozenset[int]:
    """Axes that the reductions of a group run over."""
    folds = [e for e in closure(o.expr for o in group) if e.form == "reduce"]
    return frozenset(a for e in folds for a in e.data[1])

"""Lowering: the body of a fused group becomes a kernel of the loop IR.

Given: a body whose nodes are elementwise ops, index maps (`index_maps`), folds of a monoid, and at its
end ops that put pieces together (`pieced`).
Result: one nest for each set of outer axes. In a nest with reductions every turn of the outer axes
makes passes over the inner ones: one for each level of reductions, then one that stores. What a
pass needs is computed again in it, or kept in a row of scratch memory where that costs less.
"""

from __future__ import annotations

from ...static.graph import Graph
from .axes import AxisMap
from .expressions import MAX_NODES, build, check_node
from .loop_ir import Buffer, Kernel, Nest, Unsupported
from .outputs import Output, grouped, output
from .pieced import unpieced
from .schedule import NestSchedule, Weigh


def lower(body: Graph, weigh: Weigh = lambda e: 1) -> Kernel:
    """The kernel of a fused body.

    Buffers are the inputs, then the outputs, in the order of the body, all C-contiguous; then scratch.
    `weigh` tells how many instructions the elementwise op of an expression takes.
    Raises Unsupported for bodies that no kernel can express.
    """
    if len(body.nodes) > MAX_NODES or not body.outputs:
        raise Unsupported(f"{len(body.nodes)} ops in one kernel")
    for node in body.nodes:
        check_node(node)
    whole, (body, places) = body, unpieced(body)
    exprs, axes = build(body)
    outs = [
        output(k, e, whole, body, place, axes)
        for k, (e, place) in enumerate(zip(exprs, places, strict=True))
    ]
    buffers = [Buffer(v.type.dtype, "in") for v in body.inputs]
    buffers += [Buffer(v.type.dtype, "out") for v in whole.outputs]
    # single rows first: the buffers that they share stand before scratch memory
    groups = sorted(grouped(outs), key=lambda group: bool(group[0].outer))
    nests = tuple(nest for group in groups for nest in _nests(group, axes, buffers, weigh))
    return Kernel(tuple(buffers), nests)


def _nests(group: list[Output], axes: AxisMap, buffers: list[Buffer], weigh: Weigh) -> list[Nest]:
    longest = max(group, key=lambda o: len(o.order))
    outer = tuple(a for a in longest.order if a in group[0].outer)
    return NestSchedule(group, outer, axes, buffers, weigh).nests()

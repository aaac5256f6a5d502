"""Pieced outputs: ops that put their result together from boxes store each box straight into it.

Such an op has to be the last of its group: what is put together cannot be read at one affine index.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...core.node import Literal, Node, Var
from ...core.pieces import Piece, pieces_of
from ...core.prim import lookup
from ...core.types import Shape, TensorType
from ...static.graph import Graph, Operand
from .loop_ir import Unsupported

MOST = 32  # pieces of an output
Found = dict[Operand | None, tuple[Node, list[Piece]]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an output of a body lies: from `at` on in a box of output `result`, that has `shape`."""

    result: int
    at: Shape
    shape: Shape


def unpieced(body: Graph) -> tuple[Graph, tuple[Place, ...]]:
    """A body whose outputs are the pieces of the given body's outputs, and the place of each.

    Raises Unsupported if the body reads what it puts together.
    """
    found: Found = {n.outputs[0]: (n, p) for n in body.nodes if (p := pieces_of(n)) is not None}
    read = {v for n in body.nodes if not n.outputs or n.outputs[0] not in found for v in n.inputs}
    if any(v in read for v in found):
        raise Unsupported("an op that puts pieces together is read in its own kernel")
    nodes = [n for n in body.nodes if not (n.outputs and n.outputs[0] in found)]
    outputs: list[Operand] = []
    places: list[Place] = []
    unused = body.unused_id()
    for k, out in enumerate(body.outputs):
        if not isinstance(out, Var) or out not in found:
            outputs.append(out)
            places.append(Place(k, (0,) * len(out.type.shape), out.type.shape))
            continue
        pieces = _flat(out, found)
        if len(pieces) > MOST:
            raise Unsupported("too many pieces")
        for node, piece in pieces:
            operand = _operand(node, piece, unused, nodes)
            unused += 1
            outputs.append(operand)
            places.append(Place(k, piece.at, piece.shape))
    return Graph(body.inputs, tuple(nodes), tuple(outputs)), tuple(places)


def _flat(v: Var, found: Found) -> list[tuple[Node, Piece]]:
    """The pieces of a value, each with the node that puts it there; those of operands that are pieces themselves."""
    node, pieces = found[v]
    out: list[tuple[Node, Piece]] = []
    for p in pieces:
        source = None if p.source is None else node.inputs[p.source]
        if source not in found:
            out.append((node, p))
            continue
        for inner, q in _flat(source, found):
            part = _part(q, p)
            if part is not None:
                out.append((inner, part))
    return out


def _part(q: Piece, p: Piece) -> Piece | None:
    """Where a piece of an operand lies in the result that takes a box of the operand, as piece p says."""
    low = tuple(map(max, q.at, p.begin))
    shape = tuple(
        min(a + d, b + e) - c
        for a, d, b, e, c in zip(q.at, q.shape, p.begin, p.shape, low, strict=True)
    )
    if any(d <= 0 for d in shape):
        return None
    at = tuple(a + c - b for a, c, b in zip(p.at, low, p.begin, strict=True))
    begin = tuple(b + c - a for b, c, a in zip(q.begin, low, q.at, strict=True)) if q.begin else ()
    return replace(q, at=at, shape=shape, begin=begin)


def _operand(node: Node, piece: Piece, unused: int, nodes: list[Node]) -> Operand:
    """What fills a piece: an operand, a slice of it (a new node), or a number."""
    dtype = node.outputs[0].type.dtype
    if piece.source is None:
        return Literal(piece.value, dtype)
    source = node.inputs[piece.source]
    if not isinstance(source, Var):
        raise Unsupported("a number in pieces")
    if piece.shape == source.type.shape:
        return source
    stops = tuple(b + d for b, d in zip(piece.begin, piece.shape, strict=True))
    params = {"starts": piece.begin, "stops": stops, "steps": (1,) * len(stops)}
    part = Var(unused, TensorType(dtype, piece.shape, source.type.device))
    nodes.append(Node(lookup("slice"), (source,), params, (part,), node.where))
    return part

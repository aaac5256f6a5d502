"""Products with a constant of a loop: its gradient is one product over all steps, not a sum of one a step.

A step that multiplies by a matrix which stays the same from step to step, ``x @ w``, adds ``x.T @ ct`` to the
gradient of w. Summed step by step that reads and writes all of w's gradient each time; instead the rows of x
and ct of all steps are kept, and multiplied once. That is done where they are fewer than the elements of w.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..core.node import Node, Var
from ..ops.contraction import as_matrix, matmul_op, swap_last
from ..ops.movement import permute
from ..static.graph import Graph

KEEP = 0.5  # elements that a step may keep, in those of the constant


class Use(NamedTuple):
    """A product with a constant: the node, which operand the constant is, and whether it is transposed before."""

    node: Node
    side: int
    turned: bool

    @property
    def factor(self) -> Any:
        """The operand that changes from step to step."""
        return self.node.inputs[1 - self.side]


def products(body: Graph, first: int, wanted: Sequence[bool]) -> dict[int, list[Use]]:
    """For each constant (the inputs from `first` on) whose gradient is best made at once, its uses in order.

    It must be used in products of few rows alone, as it is or transposed.
    """
    readers: dict[Var, list[Node]] = {}
    for node in body.nodes:
        for v in node.inputs:
            if isinstance(v, Var):
                readers.setdefault(v, []).append(node)
    out = {}
    for i, (v, want) in enumerate(zip(body.inputs[first:], wanted, strict=True)):
        if (
            want
            and v not in body.outputs
            and len(v.type.shape) == 2
            and v.type.dtype.is_floating_point
        ):
            uses = _uses(v, readers, body)
            if uses:
                out[i] = uses
    return out


def _uses(v: Var, readers: dict[Var, list[Node]], body: Graph, turned: bool = False) -> list[Use]:
    """The products that read v; none if anything else does."""
    found: list[Use] = []
    for node in readers.get(v, ()):
        if node.prim is permute and not turned and node.outputs[0] not in body.outputs:
            more = _uses(node.outputs[0], readers, body, True)
        else:
            more = [Use(node, s, turned) for s in (0, 1) if _few(node, s, v)]
        if not more:
            return []
        found += more
    order = {id(n): i for i, n in enumerate(body.nodes)}
    return sorted(found, key=lambda use: order[id(use.node)])


def _few(node: Node, side: int, v: Var) -> bool:
    """Whether the node is a product of v, on this side, with something of few rows."""
    if node.prim is not matmul_op or node.inputs[side] != v or node.inputs[1 - side] == v:
        return False
    x = node.inputs[1 - side]
    if not isinstance(x, Var) or (side == 0 and len(x.type.shape) != 2):
        return False
    return x.type.size + node.outputs[0].type.size <= KEEP * v.type.size


def gradient(use: Use, x: Any, ct: Any) -> Any:
    """The constant's gradient from a use: x and ct have the factors and cotangents of all steps, stacked."""
    if use.side == 0:
        x, ct = swap_last(x), swap_last(ct)
    x, ct = as_matrix(x), as_matrix(ct)
    if use.turned != (use.side == 0):  # in the constant's own order
        x, ct = ct, x
    return matmul_op(swap_last(x), ct)

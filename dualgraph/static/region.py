"""Regions: a whole graph as one node - a named composite, or a fused group."""

from __future__ import annotations

from typing import Any

from ..core.kinds import Kind
from ..core.node import Node
from ..core.prim import Prim
from ..core.types import TensorType
from .graph import Graph


class Region(Kind):
    """Parameter ``body`` is the graph that the node stands for; running it runs the body op by op."""

    name = "region"
    computes = False

    def infer(
        self, prim: Prim, types: tuple[TensorType, ...], params: dict[str, Any]
    ) -> tuple[TensorType, ...]:
        body: Graph = params["body"]
        if body.in_types != types:
            raise TypeError(f"the body takes {body.in_types}, not {types}")
        return body.out_types


REGION = Region()


def _body_only(xp: Any, *arrays: Any, **params: Any) -> Any:
    raise TypeError("a region runs through its body")


composite_region = Prim("composite", REGION, _body_only, doc="A named composite op.", multiple=True)
fused_region = Prim(
    "fused", REGION, _body_only, doc="A group of ops that one kernel computes.", multiple=True
)


def is_region(node: Node) -> bool:
    """Whether the node stands for its ``body``."""
    return node.prim.kind is REGION


def bodies(node: Node) -> dict[str, Graph]:
    """Parameters of the node that are graphs: a region's body, a loop's step, the branches of a condition."""
    return {k: v for k, v in node.params.items() if isinstance(v, Graph)}

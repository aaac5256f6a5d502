"""Views of a graph for other tools: a networkx digraph, and Graphviz text."""

from __future__ import annotations

from typing import Any

from ..core.node import Var
from .graph import Graph, Methods
from .text import operand_text, value_text

SHAPES = {
    "input": "ellipse",
    "output": "ellipse",
    "region": "box3d",
    "contraction": "box",
    "reduction": "invtrapezium",
}


def to_networkx(graph: Graph) -> Any:
    """A ``networkx.MultiDiGraph``: nodes ``"in0"``, ``0``, ``1``, ..., ``"out0"``; an edge an operand.

    Nodes carry ``label``, ``kind`` and (for ops) ``node``; edges carry ``var`` and ``type``.
    """
    import networkx as nx  # here, as it takes 0.1 s to import and few programs draw their graphs

    out: Any = nx.MultiDiGraph()
    source: dict[Var, Any] = {}
    for i, v in enumerate(graph.inputs):
        source[v] = f"in{i}"
        out.add_node(f"in{i}", label=f"{v}: {v.type}", kind="input")
    for i, node in enumerate(graph.nodes):
        out.add_node(i, label=node.prim.name, kind=node.prim.kind.name, node=node)
        source.update((v, i) for v in node.outputs)
        _link(out, source, node.inputs, i)
    for i, operand in enumerate(graph.outputs):
        out.add_node(f"out{i}", label=operand_text(operand), kind="output")
        _link(out, source, (operand,), f"out{i}")
    return out


def _link(out: Any, source: dict[Var, Any], operands: tuple[Any, ...], target: Any) -> None:
    for v in operands:
        if isinstance(v, Var):
            out.add_edge(source[v], target, var=str(v), type=v.type)


def to_dot(graph: Graph) -> str:
    """The graph in Graphviz's language: ``dot -Tsvg`` draws it; hover shows parameters and source lines."""
    drawn = to_networkx(graph)
    lines = [
        "digraph {",
        '  node [fontname="monospace", fontsize=10]',
        '  edge [fontname="monospace", fontsize=8]',
    ]
    for name, data in drawn.nodes(data=True):
        shape = SHAPES.get(data["kind"], "plaintext" if data["kind"] == "movement" else "oval")
        tip = _tip(data["node"]) if "node" in data else ""
        lines.append(
            f"  {_quote(name)} [label={_quote(data['label'])}, shape={shape}, tooltip={_quote(tip)}]"
        )
    for a, b, data in drawn.edges(data=True):
        lines.append(f"  {_quote(a)} -> {_quote(b)} [label={_quote(data['type'])}]")
    return "\n".join([*lines, "}"])


def _tip(node: Any) -> str:
    params = ", ".join(f"{k}={value_text(v)}" for k, v in node.params.items())
    return f"{params} {node.where}" if node.where.line else params


def _quote(text: Any) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


Methods.to_networkx = staticmethod(to_networkx)
Methods.to_dot = staticmethod(to_dot)

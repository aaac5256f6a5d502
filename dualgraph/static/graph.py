"""Graph: ordered SSA of frozen records - inputs, nodes, outputs - with pure values only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..core.errors import NOWHERE, GraphError, Location
from ..core.node import Literal, Node, Var
from ..core.types import TensorType

Operand = Var | Literal


class Methods:
    """What `Graph` can do that modules above it define: text, interpreter and views install themselves here."""

    to_text: Callable[[Graph], str]
    run: Callable[[Graph, tuple[Any, ...]], tuple[Any, ...]]
    to_networkx: Callable[[Graph], Any]
    to_dot: Callable[[Graph], str]


@dataclass(frozen=True, slots=True, repr=False)
class Graph:
    """A program: every `Var` is an input or assigned by exactly one node, before it is read.

    Graphs are values: passes return new ones. Two graphs are equal when their records are;
    source lines do not count.
    """

    inputs: tuple[Var, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Operand, ...]

    def __hash__(self) -> int:
        return hash((self.inputs, len(self.nodes), self.outputs))

    def __lt__(self, other: Graph) -> bool:
        return str(self) < str(other)

    @property
    def in_types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.inputs)

    @property
    def out_types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.outputs)

    def producers(self) -> dict[Var, Node]:
        """The node that assigns each var (inputs are not listed)."""
        return {v: n for n in self.nodes for v in n.outputs}

    def users(self) -> dict[Var, list[Node]]:
        """The nodes that read each var, in order; one entry a node."""
        out: dict[Var, list[Node]] = {v: [] for v in self.all_vars()}
        for node in self.nodes:
            for v in dict.fromkeys(node.inputs):
                if isinstance(v, Var):
                    out[v].append(node)
        return out

    def all_types(self) -> Iterator[TensorType]:
        """The types of all vars."""
        return (v.type for v in self.all_vars())

    def all_vars(self) -> Iterator[Var]:
        yield from self.inputs
        for node in self.nodes:
            yield from node.outputs

    def unused_id(self) -> int:
        """The first number above those of all vars: what a pass numbers new ones from."""
        return 1 + max((v.id for v in self.all_vars()), default=-1)

    def with_nodes(
        self, nodes: Iterable[Node], outputs: tuple[Operand, ...] | None = None
    ) -> Graph:
        """The same interface over other nodes."""
        return Graph(self.inputs, tuple(nodes), self.outputs if outputs is None else outputs)

    def __str__(self) -> str:
        return Methods.to_text(self)

    __repr__ = __str__

    def run(self, *args: Any) -> tuple[Any, ...]:
        """Runs the reference interpreter on arrays, tensors or numbers (or trees of them), one an input."""
        return Methods.run(self, args)

    def to_networkx(self) -> Any:
        """The graph as a ``networkx.MultiDiGraph`` whose edges are operands."""
        return Methods.to_networkx(self)

    def to_dot(self) -> str:
        """The graph in Graphviz's language."""
        return Methods.to_dot(self)


class GraphBuilder:
    """Makes a graph node by node, numbering vars as they come."""

    def __init__(self) -> None:
        self.inputs: list[Var] = []
        self.nodes: list[Node] = []
        self._next = 0

    def var(self, type: TensorType) -> Var:
        self._next += 1
        return Var(self._next - 1, type)

    def input(self, type: TensorType) -> Var:
        v = self.var(type)
        self.inputs.append(v)
        return v

    def add(
        self,
        prim: Any,
        inputs: tuple[Operand, ...],
        params: dict[str, Any],
        where: Location = NOWHERE,
    ) -> tuple[Var, ...]:
        """Appends a node, its result types inferred; gives its outputs."""
        types = prim.infer(tuple(v.type for v in inputs), params)
        outputs = tuple(self.var(t) for t in types)
        self.nodes.append(Node(prim, inputs, params, outputs, where))
        return outputs

    def splice(self, body: Graph, inputs: Iterable[Operand]) -> list[Operand]:
        """Appends the nodes of `body`; gives what stands for its outputs."""
        return evaluate(
            body, inputs, lambda n, operands: self.add(n.prim, tuple(operands), n.params, n.where)
        )

    def build(self, outputs: Iterable[Operand]) -> Graph:
        return Graph(tuple(self.inputs), tuple(self.nodes), tuple(outputs))


def substitute(operand: Operand, mapping: dict[Var, Operand]) -> Operand:
    """What stands for `operand` after `mapping`."""
    return mapping.get(operand, operand) if isinstance(operand, Var) else operand


def rewrite(node: Node, mapping: dict[Var, Operand]) -> Node:
    """`node` with its inputs replaced; the same one where there is nothing to replace."""
    inputs = tuple([mapping.get(v, v) if isinstance(v, Var) else v for v in node.inputs])
    if inputs == node.inputs:
        return node
    return Node(node.prim, inputs, node.params, node.outputs, node.where)


def renumber(graph: Graph) -> Graph:
    """The same graph with vars numbered in order of appearance: the canonical form."""
    builder = GraphBuilder()
    mapping: dict[Var, Operand] = {v: builder.input(v.type) for v in graph.inputs}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(substitute(v, mapping) for v in node.inputs)
        outputs = tuple(builder.var(v.type) for v in node.outputs)
        mapping.update(zip(node.outputs, outputs, strict=True))
        nodes.append(Node(node.prim, inputs, node.params, outputs, node.where))
    return Graph(
        tuple(builder.inputs), tuple(nodes), tuple(substitute(v, mapping) for v in graph.outputs)
    )


def renumbered(graph: Graph) -> Graph:
    """As `renumber`, of the bodies in it, too: equal for graphs that do the same op by op."""
    nodes = []
    for node in graph.nodes:
        bodies = {k: renumbered(v) for k, v in node.params.items() if isinstance(v, Graph)}
        made = Node(node.prim, node.inputs, {**node.params, **bodies}, node.outputs, node.where)
        nodes.append(made if bodies else node)
    return renumber(graph.with_nodes(nodes))


def verify_structure(graph: Graph) -> None:
    """Raises GraphError unless every var is assigned once, before it is read."""
    seen: dict[int, Var] = {}

    def assign(v: Var) -> None:
        if v.id in seen:
            raise GraphError(f"{v} is assigned twice")
        seen[v.id] = v

    for v in graph.inputs:
        assign(v)
    for node in graph.nodes:
        for operand in node.inputs:
            if isinstance(operand, Var) and seen.get(operand.id) != operand:
                raise GraphError(f"{operand} is read by {node.prim.name} before it is assigned")
        for v in node.outputs:
            assign(v)
    for operand in graph.outputs:
        if isinstance(operand, Var) and seen.get(operand.id) != operand:
            raise GraphError(f"output {operand} is never assigned")


def verify_types(graph: Graph) -> None:
    """Re-derives every type; raises GraphError where a node declares another than its op gives."""
    verify_structure(graph)
    for node in graph.nodes:
        derived = node.prim.infer(tuple(v.type for v in node.inputs), node.params)
        declared = tuple(v.type for v in node.outputs)
        if derived != declared:
            raise GraphError(
                f"{node.prim.name} at {node.where} declares {declared}, its op gives {derived}"
            )


def evaluate(
    graph: Graph, inputs: Iterable[Any], apply: Callable[[Node, list[Any]], Iterable[Any]]
) -> list[Any]:
    """Walks the graph in order: ``apply(node, operands)`` gives a node's results. Literals pass as they are."""
    env: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        operands = [env[v] if isinstance(v, Var) else v for v in node.inputs]
        env.update(zip(node.outputs, apply(node, operands), strict=True))
    return [env[v] if isinstance(v, Var) else v for v in graph.outputs]

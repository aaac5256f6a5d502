"""Checks of passes: each is judged by the values of the graph before it, bodies of loops and branches included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..core.backend import backend_for
from ..core.node import Literal, Node, Var
from ..passes import pipeline
from ..passes.pipeline import Hooks
from ..static.control import is_control, turns
from ..static.graph import Graph, verify_types
from ..static.interpreter import interpret
from ..static.region import bodies, fused_region
from .values import Run, digest, distance, innermost, run_graph

RENUMBER = "renumber"  # the pass that gives vars other names


class Divergence(NamedTuple):
    """A value that is not what it was: after which pass, at which node and line, by how much, and why if that is known.

    ``after`` is the name of the pass, or "capture", "schedule", "memory plan", "code generation" or
    "execution" (the program as a whole).
    """

    after: str
    node: str
    where: str
    ulp: float
    problem: str = ""

    def __str__(self) -> str:
        note = f" ({self.problem})" if self.problem else ""
        return f"after {self.after}: {self.node} at {self.where} is off by {self.ulp:g} ulp{note}"


class PassChecker:
    """Applies the passes to a graph one by one, and notes what each did to the values."""

    def __init__(
        self, graph: Graph, inputs: list[Any], hooks: Hooks, budget: int | None,
        found: list[Divergence], within: str = "",
    ) -> None:  # fmt: skip
        self.graph = graph
        self.inputs = inputs
        self.hooks = hooks
        self.budget = budget
        self.found = found
        self.within = within  # the node whose body this is
        self.run = run_graph(graph, inputs)
        self.checked = 0
        self.names: list[str] = []

    def report(self, after: str, node: Node | None, ulp: float, problem: str = "") -> None:
        """Notes a fault."""
        name = node.prim.name if node else "an input or output"
        problem = "; ".join(
            t for t in (problem, self.within and f"in a body of {self.within}") if t
        )
        self.found.append(Divergence(after, name, str(node.where) if node else "?", ulp, problem))

    def failed(self, after: str, problem: Exception) -> None:
        """Notes an error, at the node whose op it names."""
        text = f"{type(problem).__name__}: {problem}"
        node = next((n for n in self.graph.nodes if n.prim.name in text), None)
        self.report(after, node, float("inf"), text)

    def differs(self, after: str, node: Node | None, a: Any, b: Any, type: Any) -> bool:
        """Notes a value that differs from what it should be."""
        self.checked += 1
        ulp = distance(a, b, type)
        if ulp:
            self.report(after, node, ulp)
        return bool(ulp)

    def passes(self) -> Graph | None:
        """Applies the passes; the last graph, or None where one gave a graph that cannot run."""
        for name, apply in pipeline.pipeline(self.hooks, False, self.budget):
            self.names.append(name)
            try:
                after = apply(self.graph)
                check_types(after)
                run = run_graph(after, self.inputs)
            except Exception as problem:
                if not self.in_bodies(self.graph.nodes, name):
                    self.failed(name, problem)
                return None
            self.compare(name, after, run)
            self.graph, self.run = after, run
        return self.graph

    def compare(self, name: str, after: Graph, run: Run) -> None:
        """The values after a pass against those before it: the first that differs, and what is gone."""
        if len(run.outputs) != len(self.run.outputs):
            problem = f"{len(self.run.outputs)} outputs became {len(run.outputs)}"
            self.report(name, None, float("inf"), problem)
            return
        for node in after.nodes if name != RENUMBER else ():
            for v in node.outputs:
                if v in self.run.values:
                    self.checked += 1
                    ulp = distance(run.values[v], self.run.values[v], v.type)
                    if ulp:
                        before = self.graph.producers().get(v)
                        if before is None or not self.in_bodies((before,)):
                            self.report(name, self.inner(node, run), ulp)
                        return
        self.check_outputs(name, after, run)
        missing = self.run.effects - run.effects
        if missing:
            op = min(missing, key=str)[0]
            node = next((n for n in all_nodes(self.graph) if n.prim.name == op), None)
            self.report(
                name, node, float("inf"), "an op that can fail or act was dropped or changed"
            )

    def check_outputs(self, name: str, after: Graph, run: Run) -> None:
        self.checked += len(run.outputs)
        for v, a, b in zip(self.graph.outputs, run.outputs, self.run.outputs, strict=True):
            ulp = distance(a, b, v.type)
            if ulp:
                node = self.newcomer(after, run)
                if node is None and isinstance(v, Var):
                    node = self.graph.producers().get(v)
                self.report(name, node, ulp, "an output differs")
                return

    def inner(self, node: Node, run: Run) -> Node:
        """The node inside a region that does not compute what was computed before."""
        operands = [v if isinstance(v, Literal) else run.values[v] for v in node.inputs]
        return innermost(node, operands, self.run.digests)

    def newcomer(self, after: Graph, run: Run) -> Node | None:
        """The first node that makes a value which was not there before."""
        for node in after.nodes:
            found = self.inner(node, run)
            new = any(digest(run.values[v]) not in self.run.digests for v in node.outputs)
            if found is not node or new:
                return found
        return None

    def in_bodies(self, nodes: tuple[Node, ...], but: str = "") -> bool:
        """Whether the fault is one of a pass (but one) applied to a body of these nodes; then it is noted."""
        known = len(self.found)
        for node in filter(is_control, nodes):
            operands = [self.run.values.get(v, v) for v in node.inputs]
            if any(isinstance(v, (Var, Literal)) for v in operands):
                continue
            for key, inputs in _bodies_with_inputs(node, operands):
                body: Graph = node.params[key]
                if any(n.prim is fused_region for n in body.nodes):
                    continue  # it has been through the passes
                at = f"{node.prim.name} at {node.where}"
                PassChecker(body, inputs, self.hooks, None, self.found, at).passes()
                if len(self.found) > known and self.found[known].after != but:
                    return True
                del self.found[known:]
        return False


def _bodies_with_inputs(node: Node, operands: list[Any]) -> list[tuple[str, list[Any]]]:
    """The bodies of a loop with what they first get; both branches of a condition."""
    backend = backend_for(node.outputs[0].type.device)
    run = lambda key, inputs: interpret(node.params[key], inputs, backend)  # noqa: E731
    given = list(next(turns(node, operands, run), {}).items())
    return [(k, given[0][1]) for k in bodies(node)] if len(given) == 1 else given


def check_types(graph: Graph) -> None:
    """`verify_types` for a graph and all bodies in it."""
    verify_types(graph)
    for node in graph.nodes:
        for body in bodies(node).values():
            check_types(body)


def all_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of all bodies in it."""
    for node in graph.nodes:
        yield node
        for body in bodies(node).values():
            yield from all_nodes(body)

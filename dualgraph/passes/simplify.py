"""Algebraic simplification: rewrite by the rules of `ops.algebra` until none applies."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..core.errors import ShapeError
from ..core.node import Node, Var
from ..core.numbers import guards
from ..core.prim import Prim
from ..ops import algebra
from ..static.graph import Graph, Operand, rewrite, substitute
from .fuel import FUEL
from .rules import Rule, build, match, read_rules
from .sharing import Sharing


@cache
def rules_by_op(fast_math: bool) -> dict[Prim, tuple[Rule, ...]]:
    """The rules that may apply to a node of each op."""
    functions = {
        k: f for k, f in vars(algebra).items() if getattr(f, "__module__", "") == algebra.__name__
    }
    rules = read_rules(algebra.EXACT + (algebra.FAST_MATH if fast_math else ""), functions)
    out: dict[Prim, tuple[Rule, ...]] = {}
    for rule in rules:
        out[rule.pattern.prim] = (*out.get(rule.pattern.prim, ()), rule)
    return out


def simplify(graph: Graph, fast_math: bool = False) -> Graph:
    """Given: a graph. Result: no rule applies any more; what rules left unread is dead code.

    Every rule keeps every bit unless ``fast_math``.
    """
    return Simplifier(graph, rules_by_op(fast_math)).result()


class Simplifier:
    """One walk over a graph; each node is rewritten as it comes."""

    def __init__(self, graph: Graph, rules: dict[Prim, tuple[Rule, ...]]) -> None:
        self.graph = graph
        self.rules = rules
        self.sharing = Sharing(graph)
        self.mapping: dict[Var, Operand] = {}
        self.producers: dict[Var, Node] = {}
        self.nodes: list[Node] = []
        self.next_id = graph.unused_id()

    def result(self) -> Graph:
        for node in self.graph.nodes:
            self.visit(rewrite(node, self.mapping))
        return self.graph.with_nodes(
            self.nodes, tuple(substitute(v, self.mapping) for v in self.graph.outputs)
        )

    def visit(self, node: Node) -> None:
        for rule in self.rules.get(node.prim, ()):
            bound = match(rule, node, self.producers)
            if bound is None or not FUEL.take(f"rule {rule} at {node.where}"):
                continue
            if self.replace(rule, node, bound):
                return
        self.keep(node)

    def keep(self, node: Node) -> None:
        self.nodes.append(node)
        self.producers.update((v, node) for v in node.outputs)

    def replace(self, rule: Rule, node: Node, bound: dict[str, Any]) -> bool:
        """Puts what the rule says in place of `node`, unless its type or its memory would be another."""
        (out,) = node.outputs
        fresh: list[Node] = []

        def add(prim: Prim, inputs: tuple[Any, ...], params: dict[str, Any]) -> Operand:
            types = prim.infer(tuple(v.type for v in inputs), params)
            result = Var(self.next_id + len(fresh), types[0])
            fresh.append(Node(prim, inputs, params, (result,), node.where))
            return result

        before = guards.number()
        try:
            found = build(rule.replacement, bound, add)
        except ShapeError:  # that symbolic sizes fit may follow from guards, which no formula shows
            guards.forget(before)  # those of the error's text
            return False
        if not isinstance(found, Var) or found.type != out.type:
            return False
        if fresh:  # the last node takes over the name, and rules may apply to it again
            last = fresh.pop()
            for extra in fresh:
                self.sharing.note(extra)
            taken = Node(last.prim, last.inputs, last.params, (out,), node.where)
            if not self.sharing.may_compute(out, taken):
                return False
            for extra in fresh:
                self.keep(extra)
            self.next_id += len(fresh)
            self.visit(taken)
            return True
        if not self.sharing.may_replace(out, found):
            return False
        self.mapping[out] = found
        return True

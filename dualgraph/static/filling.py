"""Filling: graphs and types of symbolic sizes, at given sizes; and the numbers that sizes make, as inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ..core.node import Literal, Node, Var
from ..core.numbers.polynomial import evaluator, symbols_in
from ..core.numbers.symbolic import SymFloat, SymInt, SymShape, is_symbolic, plain, source
from ..core.numbers.worked import Worked
from ..core.types import TensorType
from .graph import Graph, Operand
from .region import is_region
from .trace import Slot, Trace


class Filler:
    """Puts numbers in the place of symbolic ones, in everything that was noted.

    `symbols` are the atoms, in the order in which `at` takes their values.
    """

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.symbols = symbols
        self.places: dict[str, int] = {}
        self.known: dict[int, tuple[Any, int]] = {}  # by identity, which is quick to look up
        self.steady: dict[int, Node] = {}  # by identity, those that are the same at all sizes
        self._make: Any = None

    def note(self, value: Any) -> bool:
        """Prepares for `value`: a number, or something made of numbers. Whether some of these are symbolic."""
        kind = type(value)
        if kind is SymInt or kind is SymFloat:
            if id(value) not in self.known:
                text = source(value)
                if not symbols_in(text) <= set(self.symbols):
                    raise ValueError(f"{text} is of another capture")
                self.known[id(value)] = value, self.places.setdefault(text, len(self.places))
                self._make = None
            return True
        if kind in (tuple, list, SymShape, TensorType, Slot):
            return any(list(map(self.note, value)))  # all of them
        if kind is dict:
            return self.note(tuple(value.values()))
        return self.note_graph(value) if kind is Graph else False

    def note_trace(self, trace: Trace) -> None:
        """Prepares for a trace."""
        self.note_graph(trace.graph)
        self.note([s.type for s in trace.slots])
        if trace.recording is not None:
            self.note_graph(Graph((), trace.recording.nodes, ()))
        self.note([c.operand.type for c in (*trace.concrete, *trace.numbers)])

    def note_graph(self, graph: Graph, left: Collection[int] = ()) -> bool:
        """Prepares for a graph; the regions whose bodies (by identity) are among `left` stay as they are."""
        ends = [self._note_operand(v) for v in (*graph.inputs, *graph.outputs)]
        changes = any(ends)
        for node in graph.nodes:
            own = [self._note_operand(v) for v in (*node.inputs, *node.outputs)]
            for k, value in node.params.items():
                if type(value) is not Graph:
                    own.append(self.note({k: value}))
                elif id(value) not in left:
                    own.append(self.note_graph(value, left))
            if any(own):
                changes = True
            else:
                self.steady[id(node)] = node
        return changes

    def _note_operand(self, v: Operand) -> bool:
        return self.note(v.value if type(v) is Literal else v.type.shape)

    def at(self, values: Iterable[int]) -> Filled:
        """The numbers at some sizes."""
        if self._make is None:
            self._make = evaluator(self.symbols, list(self.places))
        return Filled(self, self._make(*values))


class Filled:
    """What a `Filler` prepared, at given sizes."""

    def __init__(self, filler: Filler, numbers: tuple[Any, ...]) -> None:
        self.known, self.steady = filler.known, filler.steady
        self.numbers = numbers

    def number(self, value: Any) -> Any:
        """What stands for a symbolic number."""
        return self.numbers[self.known[id(value)][1]]

    def __call__(self, value: Any) -> Any:
        """`value` in plain numbers."""
        kind = type(value)
        if kind is int or kind is str or kind is bool or value is None:
            return value
        if kind is SymInt or kind is SymFloat:
            return self.number(value)
        if kind is tuple or kind is SymShape:
            return tuple([self(v) for v in value])
        if kind is TensorType:
            return TensorType(value.dtype, self(value.shape), value.device)
        if kind is list:
            return [self(v) for v in value]
        if kind is dict:
            return {k: self(v) for k, v in value.items()}
        return self.graph(value) if kind is Graph else value

    def graph(self, graph: Graph, left: Collection[int] = ()) -> Graph:
        """A graph in plain numbers, but for the bodies among `left`."""
        vars: dict[int, Var] = {}

        def var(v: Var) -> Var:
            found = vars.get(v.id)
            if found is None:
                found = v
                if is_symbolic(v.type.shape):
                    found = Var(v.id, self(v.type))
                vars[v.id] = found
            return found

        def operand(v: Operand) -> Operand:
            if type(v) is Var:
                return var(v)
            assert isinstance(v, Literal)
            return Literal(self(v.value), v.dtype) if is_symbolic(v.value) else v

        nodes = []
        inputs = tuple(map(var, graph.inputs))
        for n in graph.nodes:
            if id(n) in self.steady:
                nodes.append(n)
                continue
            params = {
                k: self(v) if type(v) is not Graph else v if id(v) in left else self.graph(v, left)
                for k, v in n.params.items()
            }
            ins, outs = tuple(map(operand, n.inputs)), tuple(map(var, n.outputs))
            nodes.append(Node(n.prim, ins, params, outs, n.where))
        return Graph(inputs, tuple(nodes), tuple(map(operand, graph.outputs)))

    def slots(self, trace: Trace) -> tuple[Slot, ...]:
        """The slots of a trace, with plain types."""
        return tuple(
            s._replace(type=self(s.type)) if is_symbolic(s.type.shape) else s for s in trace.slots
        )

    def trace(self, trace: Trace) -> Trace:
        """A trace in plain numbers."""
        nodes = () if trace.recording is None else trace.recording.nodes
        recorded = self.graph(Graph(trace.graph.inputs, nodes, ()))
        taken = tuple(c.operand for c in (*trace.concrete, *trace.numbers))
        operands = iter(self.graph(Graph((), (), taken)).outputs)
        return trace._replace(
            graph=self.graph(trace.graph),
            slots=self.slots(trace),
            concrete=tuple(c._replace(operand=next(operands)) for c in trace.concrete),
            numbers=tuple(c._replace(operand=next(operands)) for c in trace.numbers),
            recording=trace.recording and trace.recording._replace(nodes=recorded.nodes),
        )


class Following(Filled):
    """The numbers at sizes that are worked numbers, by their names."""

    def __init__(self, filler: Filler, sizes: dict[str, Worked]) -> None:
        super().__init__(filler, ())
        self._sizes = sizes
        self._found: dict[str, Any] = {}

    def number(self, value: Any) -> Any:
        text = source(value)
        if text not in self._found:
            (self._found[text],) = evaluator(tuple(self._sizes), [text])(*self._sizes.values())
        return self._found[text]


class AtHand(Filled):
    """The numbers that symbolic ones have now."""

    def __init__(self) -> None:
        super().__init__(Filler(()), ())

    def number(self, value: Any) -> Any:
        return plain(value)


at_hand = AtHand()


# --- numbers that sizes make ---------------------------------------------------------------------


def hoisted(graph: Graph) -> tuple[Graph, list[Literal]]:
    """The graph with further inputs for its symbolic literals, so that their values are not compiled in."""
    found: dict[tuple[str, str], tuple[Var, Literal]] = {}
    numbers = [v.id for v in _all_vars(graph)]
    start = max(numbers, default=-1) + 1

    def stand_in(v: Operand) -> Operand:
        if not isinstance(v, Literal) or not is_symbolic(v.value):
            return v
        key = source(v.value), v.dtype.name
        if key not in found:
            found[key] = Var(start + len(found), TensorType(v.dtype, ())), v
        return found[key][0]

    def change(node: Node) -> Node:
        inputs, params = tuple(map(stand_in, node.inputs)), node.params
        given = {
            k: Graph(*_changed(g, change, stand_in)) for k, g in params.items() if type(g) is Graph
        }
        if given:  # what bodies read of these inputs comes last among their own
            read = [v for v, _ in found.values() if any(_reads(g, v) for g in given.values())]
            more = tuple(v for v in read if not (is_region(node) and v in inputs))
            bodies = {k: Graph((*g.inputs, *more), g.nodes, g.outputs) for k, g in given.items()}
            params, inputs = {**params, **bodies}, (*inputs, *more)
        return Node(node.prim, inputs, params, node.outputs, node.where)

    inputs, nodes, outputs = _changed(graph, change, stand_in)
    made = list(found.values())
    return Graph((*inputs, *(v for v, _ in made)), nodes, outputs), [lit for _, lit in made]


def _changed(graph: Graph, change: Any, stand_in: Any) -> tuple[Any, Any, Any]:
    nodes = tuple(map(change, graph.nodes))
    return graph.inputs, nodes, tuple(map(stand_in, graph.outputs))


def _reads(graph: Graph, v: Var) -> bool:
    return v in graph.outputs or any(v in n.inputs for n in graph.nodes)


def _all_vars(graph: Graph) -> Iterable[Var]:
    yield from graph.all_vars()
    for node in graph.nodes:
        for g in node.params.values():
            if isinstance(g, Graph):
                yield from _all_vars(g)

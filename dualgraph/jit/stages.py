"""Stages: a captured path cut at each number that Python took out of a tensor; paths share what they have in common.

A stage is the ops between two such numbers. Running it gives the number, which says where to go on, and
the values that later stages read: the paths form a trace tree. Stages compute and change nothing: what a call
writes, it writes at the end of its path.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..backends.executor import Executable
from ..core.backend import backend_for
from ..core.devices import CPU
from ..core.dtypes import bfloat16, from_bfloat16
from ..core.errors import CaptureError, Location
from ..core.node import Literal, Node, Var
from ..core.numbers.draws import Draw, Reading, Whole
from ..static.graph import Graph, Operand
from ..static.scopes import group_scopes
from ..static.trace import Slot, Trace
from .slots import one_place

MAX_DEPTH = 100  # numbers taken out on one path
MAX_FLOATS = 3  # different floating numbers at one place that get a path each
MAX_OUTCOMES = 8  # different other numbers at one place that do

ANY = "any number"  # the outcome at which a path goes on whatever the number is: it is an input of what follows

Env = dict[int, Any]  # values by var
Compile = Callable[..., Executable]  # of a graph, the outputs that are borrowed, and stores


class Piece(NamedTuple):
    """What one trace did between two numbers: the ops, and the number at the end (None: the path ends)."""

    nodes: tuple[Node, ...]
    scopes: tuple[tuple[int, int, str], ...]
    operand: Operand | None
    where: Location | None
    inputs: dict[Var, Slot]  # of the whole trace
    draw: Draw | Reading | Whole | None = None  # how the number is drawn, if it is a random one

    def reads(self, outputs: tuple[Operand, ...]) -> tuple[Var, ...]:
        """The vars made earlier that the ops or `outputs` read."""
        made = {v for n in self.nodes for v in n.outputs}
        read = (v for n in self.nodes for v in n.inputs)
        return tuple(
            dict.fromkeys(v for v in (*read, *outputs) if isinstance(v, Var) and v not in made)
        )

    def graph(self, outputs: tuple[Operand, ...]) -> Graph:
        """The ops that `outputs` take, as a graph over what they read."""
        nodes = group_scopes(self.nodes, self.scopes, outputs)
        return Graph(self.reads(outputs), tuple(nodes), outputs)


def cut(trace: Trace) -> list[Piece]:
    """The pieces of a trace, in order."""
    assert trace.recording is not None
    nodes, scopes, _ = trace.recording
    inputs = dict(zip(trace.graph.inputs, trace.slots, strict=True))
    pieces = []
    start = 0
    for c in (*trace.concrete, None):
        end = len(nodes) if c is None else c.at
        inside = tuple((a - start, b - start, s) for a, b, s in scopes if start <= a and b <= end)
        where = None if c is None else c.where
        operand = None if c is None else c.operand
        draw = None if c is None else c.draw
        pieces.append(Piece(nodes[start:end], inside, operand, where, inputs, draw))
        start = end
    return pieces


def number(array: Any, operand: Operand) -> Any:
    """The Python number in an array of one element."""
    type = operand.type
    value = backend_for(type.device).to_numpy(array)
    return (from_bfloat16(value) if type.dtype is bfloat16 else value).item()


@dataclass(slots=True, eq=False)
class Stage:
    """A piece that several programs may share, where each of them goes on, and how often calls did."""

    piece: Piece
    needs: frozenset[Var] = frozenset()  # made here, and read by later stages
    form: Any = None
    followers: dict[Any, list[Any]] = field(default_factory=dict)  # programs, by outcome
    next: dict[Any, list[Stage]] = field(default_factory=dict)
    counts: dict[Any, int] = field(default_factory=dict)
    left: int = 0  # calls that left the tree here
    closed: dict[Any, str] = field(default_factory=dict)  # outcomes that get no path, and why

    def same(self, piece: Piece) -> bool:
        """Whether another trace did here what this stage does."""
        own = self.piece
        if own.operand != piece.operand or own.nodes != piece.nodes:
            return False
        if own.draw is not piece.draw and not (own.draw and own.draw.same(piece.draw)):
            return False
        outputs = () if own.operand is None else (own.operand,)
        return all(
            (v in own.inputs) == (v in piece.inputs)
            and (v not in own.inputs or one_place(own.inputs[v], piece.inputs[v]))
            for v in own.reads(outputs)
        )

    def complete(self) -> bool:
        """Whether it is ready and gives all that later stages read."""
        return self.form is not None and self.form.needs == self.needs

    def build(self, compile: Compile) -> None:
        """Makes it ready for what is read of it now."""
        self.form = StageForm(self.piece, self.needs, compile)

    def close(self, outcome: Any, why: str) -> None:
        """Gives an outcome no path: calls with it go on eagerly from here."""
        if len(self.closed) < MAX_OUTCOMES:
            self.closed[outcome] = why

    def no_path(self, outcome: Any, value: Any) -> str:
        """Why an outcome not seen before gets no path of its own ("": it may)."""
        if outcome in self.closed:
            return self.closed[outcome]
        if isinstance(value, (bool, np.ndarray)) or outcome in self.followers:
            return ""
        most = MAX_OUTCOMES if isinstance(value, (int, np.integer)) else MAX_FLOATS
        if self.piece.draw is not None and (most == MAX_FLOATS or self.piece.draw.of_clock):
            most = 1  # the next will be another
        if len(self.followers) >= most:
            return f"the number taken out at {self.piece.where} differs from call to call"
        return ""


class StageForm:
    """A stage made ready: it gives the vars in `needs`, and the number at its end."""

    __slots__ = (
        "_draw",
        "_executable",
        "_gives",
        "_made",
        "_operand",
        "_plain",
        "_reads",
        "_whole",
        "needs",
    )

    def __init__(self, piece: Piece, needs: frozenset[Var], compile: Compile) -> None:
        operand = piece.operand
        assert operand is not None
        made = {v for n in piece.nodes for v in n.outputs}
        self.needs = needs
        self._whole = type(piece.draw) is Whole
        self._draw = None if type(piece.draw) is Whole else piece.draw
        self._operand = operand
        self._plain = operand.type.device is CPU and operand.type.dtype is not bfloat16
        self._made = operand in made
        outputs: tuple[Operand, ...] = tuple(sorted(needs, key=lambda v: v.id))
        self._gives = tuple(v.id for v in outputs if isinstance(v, Var))
        self._executable: Executable | None = None
        self._reads: tuple[int, ...] = ()
        if self._made:
            outputs = (*outputs, operand)
        if outputs:
            graph = piece.graph(outputs)
            self._reads = tuple(v.id for v in graph.inputs)
            borrowed = frozenset({len(outputs) - 1} if self._made else ())
            self._executable = compile(graph, borrowed, ())

    def run(self, env: Env, leaves: list[Any]) -> Any:
        """Puts what it gives into `env`; the number at its end, which a call with these leaves may have to draw."""
        operand = self._operand
        if self._executable is not None:
            found = self._executable.run(
                [env[i] for i in self._reads], lambda outs: self._take(outs, env)
            )
            return found if self._draw is None else self._draw.number(leaves)
        if self._draw is not None:
            return self._draw.number(leaves)
        return operand.value if isinstance(operand, Literal) else self._value(env[operand.id])

    def _value(self, array: Any) -> Any:
        """What Python takes out of the tensor of this array."""
        if self._whole:  # what is done with it later must not see what is written here later
            return np.array(array, order="C")
        return array.item() if self._plain else number(array, self._operand)

    def _take(self, outs: list[Any], env: Env) -> Any:
        """Notes what the stage has computed; the number at its end."""
        for i, out in zip(self._gives, outs):  # noqa: B905 (the last is the number)
            env[i] = out
        operand = self._operand
        if self._made:
            return self._value(outs[-1])
        return operand.value if isinstance(operand, Literal) else self._value(env[operand.id])


class Tail:
    """The end of a path, made ready: it gives the outputs of the whole trace."""

    def __init__(
        self, piece: Piece, outputs: tuple[Operand, ...], borrowed: frozenset[int],
        stores: tuple[tuple[int, int], ...], compile: Compile,
    ) -> None:  # fmt: skip
        made = {v for n in piece.nodes for v in n.outputs}
        uses = [v for i, v in enumerate(outputs) if i not in borrowed]
        self._known: list[tuple[int, int]] = []  # outputs of earlier stages, and their vars
        rest: list[int] = []
        for i, v in enumerate(outputs):
            earlier = isinstance(v, Var) and v not in made and v not in piece.inputs
            if earlier and (i in borrowed or uses.count(v) == 1):
                assert isinstance(v, Var)
                self._known.append((i, v.id))
            else:
                rest.append(i)
        self._rest = rest
        self._size = len(outputs)
        self._executable: Executable | None = None
        self._reads: tuple[int, ...] = ()
        self.donated: tuple[Var, ...] = ()
        if rest:
            graph = piece.graph(tuple(outputs[i] for i in rest))
            at = {v: j for j, v in enumerate(graph.inputs)}
            inputs = list(piece.inputs)
            direct = tuple(
                (at[inputs[i]], rest.index(o)) for i, o in stores if inputs[i] in at and o in rest
            )
            self._reads = tuple(v.id for v in graph.inputs)
            inner = frozenset(j for j, i in enumerate(rest) if i in borrowed)
            self._executable = compile(graph, inner, direct)
            self.donated = tuple(graph.inputs[i] for i, _ in self._executable.donated)

    def run(self, env: Env, commit: Callable[[list[Any]], Any]) -> Any:
        """Hands the outputs of the trace to `commit`."""
        if self._executable is None:
            return commit(self._all([], env))
        return self._executable.run(
            [env[i] for i in self._reads], lambda outs: commit(self._all(outs, env))
        )

    def _all(self, outs: list[Any], env: Env) -> list[Any]:
        """All outputs: those computed now, and those that earlier stages have left in `env`."""
        if not self._known:
            return outs
        whole: list[Any] = [None] * self._size
        for i, out in zip(self._rest, outs, strict=True):
            whole[i] = out
        for i, var in self._known:
            whole[i] = env[var]
        return whole


class KeepingTail:
    """A tail that gives the outputs of the whole trace, with None for the numbers that lead the way, and behind
    them values that its gradient reads."""

    def __init__(
        self, piece: Piece, outputs: tuple[Operand, ...], kept: tuple[Operand, ...], between: int,
        borrowed: frozenset[int], compile: Compile,
    ) -> None:  # fmt: skip
        self._tail = Tail(piece, (*outputs, *kept), borrowed, (), compile)
        self._size, self._between = len(outputs), between
        read = (*self._tail._reads, *(var for _, var in self._tail._known))
        self._needs = frozenset(read)

    def ready(self, env: Env) -> bool:
        """Whether the stages gave all that it reads; those that ran before they were built again did not."""
        return self._needs <= env.keys()

    def run(self, env: Env, commit: Callable[[list[Any]], Any]) -> Any:
        """Hands the outputs and the kept values to `commit`."""
        at, numbers = self._size, [None] * self._between
        return self._tail.run(env, lambda outs: commit([*outs[:at], *numbers, *outs[at:]]))


class Path:
    """The way of one program through the stages: those it shares, the numbers that lead along it, its tail."""

    def __init__(
        self, trace: Trace, program: Any, roots: list[Stage], free: Container[int] = ()
    ) -> None:
        *pieces, self.last = cut(trace)
        every = enumerate(trace.concrete)
        self.outcomes = [ANY if i in free or c.outcome is None else c.outcome for i, c in every]
        self.stages: list[Stage] = []
        self.tail: Tail | None = None
        level = roots
        self.draws = [p.draw for p in pieces]
        for piece, outcome in zip(pieces, self.outcomes, strict=True):
            stage = next((s for s in level if s.same(piece)), None)
            if stage is None:
                stage = Stage(piece)
                level.append(stage)
            self.stages.append(stage)
            stage.followers.setdefault(outcome, []).append(program)
            level = stage.next.setdefault(outcome, [])
        self.outputs = trace.graph.outputs[: len(trace.graph.outputs) - len(trace.concrete)]
        self._ask()

    def _ask(self) -> None:
        """Tells each stage what later ones read of it."""
        outputs = [
            () if p.operand is None else (p.operand,) for p in (s.piece for s in self.stages)
        ]
        read: set[Var] = set(self.last.reads(self.outputs))
        for stage, ends in zip(reversed(self.stages), reversed(outputs), strict=True):
            self.want(stage, read)
            read.update(stage.piece.reads(ends))

    @staticmethod
    def want(stage: Stage, vars: set[Var]) -> bool:
        """Adds what the stage makes among `vars` to what it gives; whether that is more than before."""
        made = {v for n in stage.piece.nodes for v in n.outputs}
        needs = stage.needs | (made & vars)
        grown = needs != stage.needs
        stage.needs = needs
        return grown

    def keeping(
        self, graph: Graph, count: int, borrowed: frozenset[int], compile: Compile
    ) -> KeepingTail:
        """The path with a tail that keeps the outputs of `graph` from number `count` on. The stages give what it reads.

        Raises CaptureError for a value that the recorded ops do not make.
        """
        made, outputs = graph.producers(), self.outputs
        pieces = [*(s.piece for s in self.stages), self.last]
        recorded = {v for p in pieces for n in p.nodes for v in n.outputs}
        kept = [recorded_value(v, made, recorded) for v in graph.outputs[count:]]
        for stage in self.stages:
            self.want(stage, set(kept))
            if not stage.complete():
                stage.build(compile)
        between = count - len(outputs)
        return KeepingTail(self.last, outputs, tuple(kept), between, borrowed, compile)

    def leave(self, program: Any) -> None:
        """Takes a program out of the tree: no call goes on with it."""
        for stage, outcome in zip(self.stages, self.outcomes, strict=True):
            others = [p for p in stage.followers.get(outcome, ()) if p is not program]
            if others:
                stage.followers[outcome] = others
            else:
                stage.followers.pop(outcome, None)

    def know(self, values: list[Any], env: Env) -> None:
        """Puts the numbers taken out so far into `env`, as the tensors that they were taken out of."""
        for stage, value in zip(self.stages, values, strict=False):
            v = stage.piece.operand
            if isinstance(v, Var) and v.type.device is CPU and v.type.dtype is not bfloat16:
                env.setdefault(v.id, np.full(v.type.shape, value, v.type.dtype.numpy))

    def has_all(self, env: Env, stop: int) -> bool:
        """Whether `env` holds what the first stages give; a stage built again meanwhile gives more."""
        return all(v.id in env for stage in self.stages[:stop] for v in stage.needs)

    def build(self, borrowed: frozenset[int], stores: Any, compile: Compile) -> None:
        """Makes its stages ready that are not. What they hand on lasts as long as the call."""
        held = 0
        for stage in self.stages:
            held += sum(v.type.nbytes for v in stage.needs.difference(self.outputs))
            if not stage.complete():
                stage.build(partial(compile, held=held))
        if self.tail is None:
            end = partial(compile, held=held)
            self.tail = Tail(self.last, self.outputs, borrowed, stores, end)


def recorded_value(v: Any, made: dict[Var, Node], recorded: set[Var]) -> Var:
    """The recorded var of a value: itself, or what it is another name of (as results of ops off the tape are)."""
    while v not in recorded:
        node = made.get(v)
        same = node is not None and node.prim.aliases and node.inputs[0].type == v.type
        if node is None or not same:
            raise CaptureError(f"{v} is not made by any of the recorded ops")
        v = node.inputs[0]
    return v


@dataclass(slots=True)
class Left:
    """A call that left the tree: what it knows by then, and the number that nobody follows."""

    program: Any
    env: Env
    stop: int  # numbers taken out by then
    stage: Stage
    outcome: Any
    value: Any
    waits: bool  # a program that follows is being compiled
    drawn: list[tuple[Draw, Any]]  # the random numbers among those


def tree_text(level: list[Stage], indent: str = "    ") -> list[str]:
    """The tree as lines: each number, where it is taken out, and how many calls each outcome led."""
    lines = []
    for stage in level:
        at = f"{indent}at {stage.piece.where}:"
        for outcome, programs in list(stage.followers.items()):
            value = ANY if outcome == ANY else repr(programs[0].value_at(stage))
            lines.append(f"{at} {value}, {stage.counts.get(outcome, 0)} call(s)")
            lines += tree_text(stage.next.get(outcome, []), indent + "  ")
        if stage.left:
            lines.append(
                f"{at} another number, {stage.left} call(s), which went on eagerly from there"
            )
        lines += [
            f"{at} no path for a number because {why}" for why in sorted({*stage.closed.values()})
        ]
    return lines

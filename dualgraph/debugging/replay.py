"""Replay: a captured call step by step, forward and back, with real values."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..core.backend import backend_for
from ..core.errors import ArgumentError, describe
from ..core.node import Literal, Node, Var
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..jit.program import Program
from ..jit.slots import arrays_of
from ..static.control import Turn, is_control, turns
from ..static.graph import Graph
from ..static.interpreter import interpret, literal_array, run_node
from ..static.region import bodies
from ..static.text import operand_text, value_text
from .places import Named, Path, find, marked, opened
from .values import summary


class Values(Mapping[str, Tensor]):
    """What has been computed by now, by variable (``"%3"``, or 3)."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    def __getitem__(self, key: str | int) -> Tensor:
        number = int(str(key).lstrip("%"))
        for v in self._replay.known():
            if v.id == number:
                return Tensor(self._replay.env[v].copy(), v.type.dtype, v.type.device)
        raise KeyError(f"%{number} has no value at step {self._replay.position}")

    def __iter__(self) -> Iterator[str]:
        return (str(v) for v in self._replay.known())

    def __len__(self) -> int:
        return len(list(self._replay.known()))


class Replay:
    """A call of a captured program, op by op on the reference interpreter.

    ``position`` is the number of ops run; ``node`` the last one; ``values`` what is known by now.
    `step`, `back`, `goto` and `run` move, and give the replay, which prints as where it is.

    >>> import dualgraph as dg
    >>> f = dg.compile(lambda x: (x * 2).sum(), wait=True)
    >>> _ = f(dg.ones(3))
    >>> r = f.programs[0].replay(dg.asarray([1.0, 2.0, 3.0]))
    >>> r.step().values["%1"].tolist(), r.node.prim.name
    ([2.0, 4.0, 6.0], 'multiply')
    >>> r.run().outputs[0].item(), r.back().position
    (12.0, 1)
    """

    def __init__(
        self, program: Program, graph: Graph, arrays: list[Any], title: str, path: Path = ()
    ) -> None:
        """`graph`: that of the program, or the body in it that `path` leads to."""
        self.program = program
        self.graph = graph
        self.title = title
        self.path = path
        self.env: dict[Any, Any] = dict(zip(graph.inputs, arrays, strict=True))
        self.position = 0
        self._done = 0  # ops whose results are in env
        self._names = marked(program)

    # --- moving

    def step(self, count: int = 1) -> Replay:
        """Runs the next `count` ops."""
        return self.goto(min(self.position + count, len(self.graph.nodes)))

    def back(self, count: int = 1) -> Replay:
        """Goes `count` ops back; what they computed is not known again until they run."""
        return self.goto(max(self.position - count, 0))

    def run(self) -> Replay:
        """Runs all that is left."""
        return self.goto(len(self.graph.nodes))

    def goto(self, place: int | str) -> Replay:
        """Goes to where `place` has just been computed: a number of ops (from the end if negative), a variable
        ``"%3"``, a line ``"model.py:31"`` (its first op), the path of a module, or a name given by `tap_point`.
        """
        if isinstance(place, str):
            target = self._after(place, find(self.program, place))
        else:
            target = place if place >= 0 else len(self.graph.nodes) + 1 + place
        if not 0 <= target <= len(self.graph.nodes):
            raise ArgumentError(
                describe("goto", str(place), f"there are {len(self.graph.nodes)} ops")
            )
        while self._done < target:
            self._compute(self.graph.nodes[self._done])
            self._done += 1
        self.position = target
        return self

    def _after(self, place: str, found: list[Named]) -> int:
        """The number of ops after which there is a value: one here, or in a body of an op here."""
        depth = len(self.path)
        named = next((n for n in found if n.path[:depth] == self.path), None)
        if named is None:
            raise ArgumentError(describe("goto", place, f"it is not in {self.title}"))
        if len(named.path) > depth:
            return 1 + named.path[depth][0]
        if named.var in self.graph.inputs:
            return 0
        return 1 + next(i for i, n in enumerate(self.graph.nodes) if named.var in n.outputs)

    def enter(self, turn: int = 0, body: str = "") -> Replay:
        """The replay of what the last op ran inside: one turn of a loop (the last one for -1), or the branch that was
        taken. `body`: "body" (the default) or "test" of a while loop. ArgumentError where nothing such ran.

        >>> import dualgraph as dg
        >>> f = dg.compile(lambda x: dg.scan(lambda c, v: (c * v + 1, c), x[0], x)[0], wait=True)
        >>> _ = f(dg.asarray([2.0, 3.0]))
        >>> turn = f.programs[0].replay().run().enter(1).step()
        >>> turn.node.prim.name, turn.values[str(turn.node.outputs[0])].item()
        ('multiply', 15.0)
        """
        node = self.node
        if node is None or not is_control(node):
            raise ArgumentError(
                describe("enter", self.title, "the last op has no body", "goto a loop first")
            )
        found = [
            (k, t[k])
            for t in self._turns(node)
            for k in t
            if k == body or (not body and k != "test")
        ]
        if not -len(found) <= turn < len(found):
            raise ArgumentError(describe("enter", f"turn={turn}", f"{len(found)} turns were taken"))
        key, given = found[turn]
        number = range(len(found))[turn]
        title = f"turn {number} of {node.prim.name} in {self.title}"
        path = (*self.path, (self.position - 1, key))
        return Replay(self.program, bodies(node)[key], given, title, path)

    def _turns(self, node: Node) -> Iterator[Turn]:
        """What the bodies of a node are given, turn by turn."""
        backend = backend_for(node.outputs[0].type.device)
        operands = [
            literal_array(v, backend) if isinstance(v, Literal) else self.env[v]
            for v in node.inputs
        ]

        def run(key: str, given: list[Any]) -> list[Any]:
            with np.errstate(all="ignore"):
                return interpret(node.params[key], given, backend)

        return turns(node, operands, run)

    def _compute(self, node: Node) -> None:
        backend = backend_for(node.outputs[0].type.device)
        operands = [v if isinstance(v, Literal) else self.env[v] for v in node.inputs]
        with np.errstate(all="ignore"):
            self.env.update(zip(node.outputs, run_node(node, operands, backend), strict=True))

    # --- looking

    @property
    def node(self) -> Node | None:
        """The op that ran last."""
        return self.graph.nodes[self.position - 1] if self.position else None

    @property
    def values(self) -> Values:
        """The values known by now: inputs, and what the ops up to here computed."""
        return Values(self)

    def known(self) -> Iterator[Var]:
        yield from self.graph.inputs
        for node in self.graph.nodes[: self.position]:
            yield from node.outputs

    @property
    def outputs(self) -> tuple[Tensor | None, ...]:
        """The outputs of the graph, as far as they are known."""
        seen = set(self.known())
        return tuple(
            Tensor(self.env[v].copy(), v.type.dtype, v.type.device) if v in seen else None
            for v in self.graph.outputs
        )

    def __iter__(self) -> Iterator[Replay]:
        """Steps to the end, giving the replay after each op."""
        while self.position < len(self.graph.nodes):
            yield self.step()

    def __str__(self) -> str:
        node = self.node
        head = f"{self.title}: op {self.position} of {len(self.graph.nodes)}"
        if node is None:
            rows = [f"  {v}: {summary(self.env[v], v.type)}" for v in self.graph.inputs]
            return "\n".join([f"{head}, at the start", *rows])
        names = [
            f"  {n.var} is {n.name!r}"
            for n in self._names
            if n.name and n.path == self.path and n.var in node.outputs
        ]
        rows = [*show(node, self.env), *dict.fromkeys(names)]
        return "\n".join([f"{head} at {node.where}{self._line()}", *rows])

    __repr__ = __str__

    def _line(self) -> str:
        where = self.node.where if self.node else None
        if where is None or not where.line:
            return ""
        text = linecache.getline(where.file, where.line).strip()
        return f"\n  {text}" if text else ""


def show(node: Node, env: dict[Any, Any]) -> list[str]:
    """A node with its operands and results, a line each."""
    params = [f"{k}={value_text(v, '  ', False)}" for k, v in node.params.items()]
    call = ", ".join([*map(operand_text, node.inputs), *params])
    rows = [f"  {', '.join(map(str, node.outputs))} = {node.prim.name}({call})"]
    for v in dict.fromkeys((*node.inputs, *node.outputs)):
        if isinstance(v, Var):
            mark = "->" if v in node.outputs else "  "
            rows.append(f"  {mark} {v}: {summary(env[v], v.type)}")
    return rows


def replay(program: Program, *args: Any, **kwargs: Any) -> Replay:
    """`Program.replay`: a call step by step; without arguments with those of the capture."""
    arrays = arrays_of(program.trace.slots, _leaves(program, args, kwargs))
    return Replay(program, opened(program.captured), arrays, program.name)


def _leaves(program: Program, args: Any, kwargs: Any) -> list[Any]:
    """The leaves of the arguments, which are such as the capture's were."""
    if program.given is None or not (args or kwargs):
        return list(program.given[1]) if program.given else []
    leaves, structure = flatten((args, kwargs))
    leaves += program.given[1][len(leaves) :]  # what goes along with the arguments
    if structure != program.given[0]:
        problem = "the arguments have another structure than when captured"
        raise ArgumentError(describe("replay", program.name, problem))
    types = {s.key[0]: str(s.type) for s in program.trace.slots if s.kind == "leaf"}
    for i, (leaf, known) in enumerate(zip(leaves, program.given[1], strict=True)):
        wanted = types.get(i, _type(known)) if isinstance(known, Tensor) else _type(known)
        if _type(leaf) != wanted:
            problem = f"argument leaf {i} is {_type(leaf)}, not {wanted}"
            raise ArgumentError(describe("replay", program.name, problem))
    return leaves


def _type(value: Any) -> str:
    return str(value.tensor_type) if isinstance(value, Tensor) else type(value).__name__


Program.replay = replay

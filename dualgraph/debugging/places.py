"""Places: values of a captured program by number, by source line, by module path, or by the name a user gave."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..core.context import state
from ..core.errors import ArgumentError, Location, describe
from ..core.node import Node, Var
from ..core.trees import map_leaves
from ..jit.program import Program
from ..ops.movement import alias
from ..passes.inline import inline
from ..static.graph import Graph
from ..static.naming import root_modules
from ..static.region import bodies
from ..static.trace import Inside

# To a body: number of the op and name of its parameter, from the outside in.
Path = tuple[tuple[int, str], ...]


class Named(NamedTuple):
    """A value of the captured graph and what it is called; `path` leads to the body that it is in."""

    name: str
    var: Var
    path: Path = ()


def opened(graph: Graph) -> Graph:
    """The graph with the ops of composites as nodes of its own, in bodies too; its vars keep their names."""
    graph = inline(graph, claims=lambda _: False)
    return graph.with_nodes(map(_with_open_bodies, graph.nodes))


def _with_open_bodies(node: Node) -> Node:
    inner = {k: opened(g) for k, g in bodies(node).items()}
    params = {**node.params, **inner}
    return Node(node.prim, node.inputs, params, node.outputs, node.where) if inner else node


class Spot(NamedTuple):
    """A node of an opened graph, or of a body in it: the way there, and where the ops on the way stand."""

    node: Node
    path: Path
    at: tuple[Location, ...]


def spots(graph: Graph, path: Path = (), at: tuple[Location, ...] = ()) -> Iterator[Spot]:
    """All nodes; those of bodies before the op whose bodies they are."""
    for i, node in enumerate(graph.nodes):
        for key, body in bodies(node).items():
            yield from spots(body, (*path, (i, key)), (*at, node.where))
        yield Spot(node, path, at)


def tap_point(x: Any, name: str) -> Any:
    """Gives `x`, and names it: `Program.tap` and `Program.replay` find it by that name. Costs nothing else.

    >>> import dualgraph as dg
    >>> f = dg.compile(lambda x: dg.tap_point(x * 2, "twice").sum(), wait=True)
    >>> _ = f(dg.ones(3))
    >>> t = f.programs[0].tap("twice")
    >>> _ = f(dg.ones(3)); t.value.tolist()
    [2.0, 2.0, 2.0]
    >>> t.remove()
    """
    tracer = state.tracer
    if tracer is not None:
        if tracer.of_body:  # what a body is given has no op that makes it
            x = map_leaves(lambda t: alias(t) if tracer.is_root(t) else t, x)
        tracer.mark(name, x)
    return x


def marked(program: Program) -> list[Named]:
    """What module calls gave and what users named, by name, in the order of the call."""
    paths: dict[int, str] = {}
    for prefix, root in root_modules(program.footprint):
        for path, module in root.named_modules():
            paths.setdefault(id(module), ".".join(p for p in (prefix, path) if p))
    graph = opened(program.captured)
    here = {v.id: v for v in graph.all_vars()}  # their types are those of the program's sizes
    out = []
    for owner, leaf, operand in program.marks:
        name = owner if isinstance(owner, str) else paths.get(id(owner), type(owner).__name__)
        name = name if leaf == 0 else f"{name}[{leaf}]"
        if isinstance(operand, Var):
            out.append(Named(name, here.get(operand.id, operand)))
        elif isinstance(operand, Inside):
            out += _in_bodies(graph, name, operand)
    return out


def _in_bodies(graph: Graph, name: str, inside: Inside) -> list[Named]:
    """The value in the first body that is meant: later ones, of gradients, compute it again."""
    seen: Counter[Path] = Counter()
    for node, path, at in spots(graph):
        if (at, node.prim.name, node.where) == (inside.at, inside.prim, inside.where):
            if seen[path] == inside.number:
                return [Named(name, node.outputs[inside.output], path)]
            seen[path] += 1
    return []


def find(program: Program, place: str | int) -> list[Named]:
    """The values that `place` may mean, in the order of the call; ArgumentError where there are none.

    ``"%12"`` or 12 is a variable, ``"%12.body.%3"`` one in the body of the op that gives ``%12``; ``"model.py:31"``
    (or ``":31"``) what that line computes; ``"layer2"``, ``"features.0"`` what a module gives, by its path
    or the end of it; or a name given by `tap_point`.
    """
    graph, text = opened(program.captured), str(place)
    if isinstance(place, int) or re.fullmatch(r"(%\d+\.\w+\.)*%\d+", text):
        found = _numbered(graph, text)
    elif re.fullmatch(r".*:\d+", text):
        found = [
            Named(str(v), v, path)
            for node, path, _ in spots(graph) if at_line(node.where, text) for v in node.outputs
        ]  # fmt: skip
    else:
        names = marked(program)
        found = [n for n in names if n.name == text] or [
            n for n in names if n.name.endswith(f".{text}")
        ]
        known = set(graph.all_vars())
        found = [n for n in found if n.path or n.var in known]
    if not found:
        names = list(dict.fromkeys(n.name for n in marked(program)))
        listed = ", ".join(names[:20]) or "none"
        raise ArgumentError(
            describe(
                "tap", repr(place), "there is no such value in the captured graph",
                f"use a variable of program.captured such as '%3', a line such as 'model.py:31', or a name: {listed}",
            )
        )  # fmt: skip
    return found


def _numbered(graph: Graph, text: str) -> list[Named]:
    """The variable of a graph, or of a body on the way of ``"%12.body.%3"``."""
    path: Path = ()
    *way, last = text.split(".")
    for op, key in zip(way[::2], way[1::2], strict=True):
        owners = [
            i for i, n in enumerate(graph.nodes)
            if op in map(str, n.outputs) and key in bodies(n)
        ]  # fmt: skip
        if not owners:
            return []
        path, graph = (*path, (owners[0], key)), bodies(graph.nodes[owners[0]])[key]
    return [Named(text, v, path) for v in graph.all_vars() if v.id == int(last.lstrip("%"))]


def at_line(where: Any, place: str) -> bool:
    """Whether a location is that of ``file:line``; the file may be left out, or be the end of a path."""
    file, _, line = place.rpartition(":")
    if where.line != int(line):
        return False
    return not file or where.file == file or where.file.endswith(os.sep + file) or (
        os.path.basename(where.file) == file
    )  # fmt: skip

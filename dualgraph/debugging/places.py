"""Places: values of a captured program by number, by source line, by module path, or by the name a user gave."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from ..core.context import state
from ..core.errors import ArgumentError, describe
from ..core.node import Var
from ..passes.inline import inline
from ..program import Program
from ..static.graph import Graph
from ..static.naming import root_modules


class Named(NamedTuple):
    """A value of the captured graph and what it is called."""

    name: str
    var: Var


def opened(graph: Graph) -> Graph:
    """The graph with the ops of composites as nodes of its own; vars keep their names."""
    return inline(graph, claims=lambda _: False)


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
    if state.tracer is not None:
        state.tracer.mark(name, x)
    return x


def marked(program: Program) -> list[Named]:
    """What module calls gave and what users named, by name, in the order of the call."""
    paths: dict[int, str] = {}
    for prefix, root in root_modules(program.footprint):
        for path, module in root.named_modules():
            paths.setdefault(id(module), ".".join(p for p in (prefix, path) if p))
    out = []
    for owner, leaf, operand in program.marks:
        name = owner if isinstance(owner, str) else paths.get(id(owner), type(owner).__name__)
        if isinstance(operand, Var):
            out.append(Named(name if leaf == 0 else f"{name}[{leaf}]", operand))
    return out


def find(program: Program, place: str | int) -> list[Named]:
    """The values that `place` may mean, in the order of the call; ArgumentError where there are none.

    ``"%12"`` or 12 is a variable; ``"model.py:31"`` (or ``":31"``) what that line computes; ``"layer2"``,
    ``"features.0"`` what a module gives, by its path or the end of it; or a name given by `tap_point`.
    """
    graph = opened(program.captured)
    known = {v.id: v for v in graph.all_vars()}
    if isinstance(place, int) or re.fullmatch(r"%\d+", place):
        number = int(str(place).lstrip("%"))
        found = [Named(f"%{number}", known[number])] if number in known else []
    elif re.fullmatch(r".*:\d+", place):
        found = [
            Named(str(v), v) for n in graph.nodes if at_line(n.where, place) for v in n.outputs
        ]
    else:
        names = marked(program)
        found = [n for n in names if n.name == place] or [
            n for n in names if n.name.endswith(f".{place}")
        ]
        found = [n for n in found if n.var in known.values()]
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


def at_line(where: Any, place: str) -> bool:
    """Whether a location is that of ``file:line``; the file may be left out, or be the end of a path."""
    file, _, line = place.rpartition(":")
    if where.line != int(line):
        return False
    return not file or where.file == file or where.file.endswith(os.sep + file) or (
        os.path.basename(where.file) == file
    )  # fmt: skip

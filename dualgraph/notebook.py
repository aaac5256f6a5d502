"""Notebook: ``%load_ext dualgraph``, then ``%modes f(x)`` or ``%%modes`` compares both modes on code in a cell."""

from __future__ import annotations

import ast
import itertools
import linecache
from collections.abc import Callable
from typing import Any

from .comparison import Comparison, compare
from .core.errors import ArgumentError

_count = itertools.count(1)


def function_of(source: str, names: dict[str, Any]) -> Callable[[], Any]:
    """Code that ends in an expression, as a function that gives its value; `names` are its globals.

    >>> from dualgraph.notebook import function_of
    >>> function_of("y = x * 2; y + 1", {"x": 3})()
    7
    """
    file = f"<modes {next(_count)}>"
    body = ast.parse(source, file).body
    if not body or not isinstance(body[-1], ast.Expr):
        raise ArgumentError("%modes: the code ends in an expression, which is what is compared")
    last = ast.copy_location(ast.Return(body[-1].value), body[-1])
    frame = ast.parse("def cell(): pass", file)
    frame.body[0].body = [*body[:-1], last]  # type: ignore[attr-defined]
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file  # for errors
    made: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(frame), file, "exec"), names, made)
    return made["cell"]  # type: ignore[no-any-return]


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext dualgraph`` calls: from then on ``%modes f(x)`` is `compare`, and ``%%modes`` of a whole cell.

    Variables that the cell sets are its own. The result is that of `compare`, shown as a table.

    >>> class Shell:
    ...     user_ns = {"x": dg.ones(3)}
    ...     def register_magic_function(self, fn, kind, name): self.modes = fn
    >>> shell = Shell(); dg.load_ipython_extension(shell)
    >>> shell.modes("(x * 2).sum()").bitwise_equal
    True
    """

    def modes(line: str, cell: str | None = None) -> Comparison:
        return compare(function_of(line if cell is None else cell, shell.user_ns))

    shell.register_magic_function(modes, "line_cell", "modes")


__all__ = ["function_of", "load_ipython_extension"]

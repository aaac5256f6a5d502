"""Standing: what is around a statement that is set apart - the calls that led to it, and where its errors would go on.

A statement that runs at the end of a call can raise its error no more where it stands. That makes no difference where
all handlers around it raise the error again; what such a handler does (``finally``, the end of a ``with``) was set
apart, too, and is done after the error as well. Where a handler may go on as if nothing had happened the statement
stays.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ..static.checks import class_attribute
from ..static.code.blocks import GUARDS, Layout
from ..static.code.handlers import entries, forgets, gives_nothing, handled
from ..static.code.steps import steps
from .places import MISSING, value_at

At = tuple[int, int]  # a running function call, and a line in it
# Context managers of the standard library that forget errors, or may.
FORGETTING = frozenset("suppress ExitStack AsyncExitStack _GeneratorContextManager".split())


class Standing(NamedTuple):
    """The calls and lines that led to a statement, innermost first; and the lines that handlers around it run."""

    chain: tuple[At, ...]
    cleanup: frozenset[At]
    problem: str


def standing(
    frame: FrameType, guards: tuple[int, ...], line: int, root: CodeType | None, serial: Callable[[FrameType], int]
) -> Standing:  # fmt: skip
    """Where the statement at `line` of `frame` stands, up to the call by `root`; `guards` are its own handlers."""
    chain: list[At] = []
    cleanup: set[At] = set()
    problem = ""
    at: FrameType | None = frame
    while at is not None and at.f_code is not root:
        code, number = at.f_code, serial(at) or id(at)
        # contextlib hands errors on to the user's generators.
        through = at.f_globals.get("__name__") == "contextlib"
        here = guards if at is frame else () if through else _around(code, at.f_lasti)
        chain.append((number, line if at is frame else at.f_lineno or 0))
        for handler in here:
            why = "" if handler < 0 else forgets(code, handler)
            if why != "no" and not (why == "with" and _raises_again(code, handler, at)):
                problem = problem or "an error in it would be handled"
            cleanup.update((number, n) for n in _lines(code, handler))
        at = at.f_back
    return Standing(tuple(chain), frozenset(cleanup), problem)


@functools.lru_cache(maxsize=4096)
def _around(code: CodeType, offset: int) -> tuple[int, ...]:
    """The handlers around an offset, each once; -1: some that are not known."""
    rows = entries(code)
    if not rows:
        return (-1,) if any(op.name in GUARDS for op in steps(code)) else ()
    found: list[int] = []
    while True:
        more = [e.handler for e in rows if e.start <= offset < e.end and e.handler not in found]
        if not more:
            return tuple(found)
        found += more
        offset = more[0]  # what guards the handler guards what it guards, too


@functools.lru_cache(maxsize=4096)
def _lines(code: CodeType, handler: int) -> frozenset[int]:
    inside = handled(code, handler) if handler >= 0 else frozenset[int]()
    return frozenset(
        line for a, b, line in code.co_lines() if line and any(a <= at < b for at in inside)
    )


@functools.lru_cache(maxsize=1024)
def _manager(code: CodeType, handler: int) -> Any:
    return Layout(code).manager(handler)


def _raises_again(code: CodeType, handler: int, frame: FrameType) -> bool:
    """Whether the context manager of a handler never forgets an error."""
    tree = _manager(code, handler)
    if tree is None or _rebound(tree, code):
        return False
    known, held = frame.f_globals, frame.f_locals
    value = value_at(tree, known, held)
    if value is MISSING and tree[0] == "call" and tree[1] is not None:
        if tree[1] == ("global", "open") and "open" not in known:
            return True
        value = value_at(tree[1], known, held)
        if isinstance(value, types.FunctionType):
            return value.__module__.startswith("dualgraph.")
    if value is MISSING:
        return False
    cls = value if isinstance(value, type) else type(value)
    module = cls.__module__.partition(".")[0]
    if module in ("dualgraph", "threading", "_thread", "_io"):
        return True
    if module == "contextlib":
        return cls.__name__ not in FORGETTING
    leave = class_attribute(cls, "__exit__")
    return isinstance(leave, types.FunctionType) and gives_nothing(leave.__code__)


def _rebound(tree: Any, code: CodeType) -> bool:
    """Whether the local variable that a tree begins with is written anywhere."""
    while tree[0] in ("attr", "item", "call") and tree[1] is not None:
        tree = tree[1]
    return tree[0] == "local" and any(
        op.name == "STORE_FAST" and op.value == tree[1] for op in steps(code)
    )

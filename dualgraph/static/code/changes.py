"""Changes: what code may change of Python state beside the statements that are set apart."""

from __future__ import annotations

import functools
import itertools
from types import CodeType
from typing import Any

from .handlers import after_errors
from .reading import CHANGES
from .statements import Statement, candidates, statements
from .steps import steps


@functools.lru_cache(maxsize=4096)
def changes_outside(code: CodeType) -> bool:
    """Whether code may change Python state elsewhere than in its statements."""
    covered = [*after_errors(code), *(r for s in statements(code) for r in s.ranges)]
    for op in steps(code):
        if any(op.offset in r for r in covered):
            continue
        loads = op.name in ("LOAD_ATTR", "LOAD_METHOD") and op.value in CHANGES
        own = op.name == "STORE_DEREF" and op.value not in code.co_freevars
        gives = op.name.startswith("YIELD") and code.co_name != "<genexpr>"
        if loads or gives or (op.name.startswith(("STORE_", "DELETE_")) and not own):
            if not op.name.endswith("_FAST"):
                return True
    return any(changes_outside(c) for c in code.co_consts if isinstance(c, CodeType))


@functools.lru_cache(maxsize=4096)
def changed_names(code: CodeType, apart: tuple[Statement, ...]) -> frozenset[str]:
    """Attributes and variables that code outside of the statements in `apart` writes, or changes the contents of."""
    covered = [*after_errors(code), *(r for s in apart for r in s.ranges)]
    found: set[str] = set()
    ops = [op for op in steps(code) if not any(op.offset in r for r in covered)]
    for before, op in itertools.pairwise(ops):
        if op.name in ("STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF", "DELETE_ATTR"):
            found.add(op.value)
        if op.name in ("LOAD_ATTR", "LOAD_METHOD") and op.value in CHANGES:
            found |= {before.value} if isinstance(before.value, str) else set()
    for s in candidates(code):
        if not any(s.first in r for r in covered):
            for t in s.targets:
                found |= _tree_names(t.place) if t.stored else set()
    inner = (changed_names(c, ()) for c in code.co_consts if isinstance(c, CodeType))
    return frozenset(found).union(*inner)


@functools.lru_cache(maxsize=4096)
def exchanged_names(code: CodeType, but: Statement) -> frozenset[str]:
    """Attributes and variables that code outside of a statement gives other values."""
    found = {
        op.value for op in steps(code)
        if op.name.startswith(("STORE_", "DELETE_")) and not op.name.endswith(("_FAST", "_SUBSCR"))
        and not (code == but.code and but.has(op.offset))
    }  # fmt: skip
    inner = (exchanged_names(c, but) for c in code.co_consts if isinstance(c, CodeType))
    return frozenset(found).union(*inner)


def names_before(s: Statement) -> frozenset[str]:
    """The attributes and variables that a cut statement looks up before its tensor is computed."""
    at = [r for r in s.ranges if s.cut is not None and s.cut.begin in r]
    return frozenset(
        op.value for op in steps(s.code)
        if any(op.offset in r for r in at) and isinstance(op.value, str) and "_FAST" not in op.name
    )  # fmt: skip


def _tree_names(tree: Any) -> set[str]:
    if tree is None or tree[0] not in ("global", "free", "attr", "item", "call"):
        return set()
    if tree[0] in ("global", "free"):
        return {tree[1]}
    own = {tree[2]} if tree[0] == "attr" else set()
    return own | _tree_names(tree[1])


@functools.lru_cache(maxsize=4096)
def names_read(s: Statement) -> frozenset[str]:
    """The attributes that a statement mentions, and the variables that are not its function's own."""
    inside = s.ops
    own = ("LOAD_CONST", "LOAD_FAST", "STORE_FAST", "DELETE_FAST")
    named = (op.value for op in inside if not op.name.startswith(own))
    return frozenset(name for name in named if isinstance(name, str))


@functools.lru_cache(maxsize=4096)
def raises(code: CodeType) -> bool:
    """Whether code has a ``raise``, or an ``assert``."""
    return any(op.name == "RAISE_VARARGS" for op in steps(code))

"""Sizing: what code does with sizes through functions that take plain numbers only, for symbolic ones, too."""

from __future__ import annotations

import operator
from typing import Any

from .symbolic import SYMBOLIC, SymFloat, SymInt, hint, is_symbolic, source, sym_float, term
from .worked import Worked, working


def to_int(x: Any) -> int:
    """``int(x)`` of something that can be an index; a symbolic number stays one."""
    return x if type(x) is SymInt else int(x.__index__())


def fixed(x: Any) -> int:
    """A size where how much is done depends on it (how many pieces are made): it holds for this number alone."""
    if type(x) is SymInt:
        x.pin()
    return int(hint(x))


def to_float(x: Any) -> float:
    """``float(x)``; of a symbolic number a symbolic float."""
    if type(x) is SymInt:
        out: float = sym_float(float(hint(x)), f"float({source(x)})")
        return out
    return x if type(x) is SymFloat else float(x)


def at_least(x: Any, low: Any) -> Any:
    """``max(x, low)``, which of a symbolic number takes down no condition."""
    if type(x) not in SYMBOLIC:
        return max(x, low)
    return term(max(x.value, low), f"max({source(x)}, {low!r})")


def range_length(start: int, stop: int, step: int) -> int:
    """``len(range(start, stop, step))``."""
    if not is_symbolic((start, stop, step)) and working(start, stop, step) is None:
        return len(range(start, stop, step))
    count = (stop - start + step - (1 if step > 0 else -1)) // step
    return max(count, 0)


def slice_indices(k: slice, n: int) -> tuple[int, int, int]:
    """``k.indices(n)``."""
    if not is_symbolic(own := (n, k.start, k.stop, k.step)) and working(own) is None:
        return k.indices(n)
    k = slice(*map(_edge, (k.start, k.stop, k.step)))
    step = 1 if k.step is None else k.step
    low, high = (0, n) if step > 0 else (-1, n - 1)

    def place(x: Any, otherwise: int) -> int:
        if x is None:
            return otherwise
        edge: int = max(x + n, low) if x < 0 else min(x, high)
        return edge

    start, stop = (low, high) if step > 0 else (high, low)
    return place(k.start, start), place(k.stop, stop), step


def _edge(x: Any) -> Any:
    """A number in a slice, or None; TypeError where Python would raise it."""
    if x is None or type(x) in (int, SymInt, Worked):
        return x
    if not hasattr(x, "__index__"):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return operator.index(x)

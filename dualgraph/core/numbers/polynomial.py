"""Polynomials with whole coefficients in sizes: sums of products, in one canonical form.

Atoms are the names of symbols (sizes, never negative), or terms that no polynomial can say, such as "((d0)//2)".
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable
from typing import Any

Monomial = tuple[str, ...]  # atoms, sorted
Poly = dict[Monomial, int]  # no zero coefficients

SYMBOL = re.compile(r"d\d+")
TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}


def added(p: Poly, q: Poly, sign: int = 1) -> Poly:
    out = dict(p)
    for m, c in q.items():
        total = out.get(m, 0) + sign * c
        if total:
            out[m] = total
        else:
            out.pop(m, None)
    return out


def multiplied(p: Poly, q: Poly) -> Poly:
    out: Poly = {}
    for (m, c), (n, d) in itertools.product(p.items(), q.items()):
        key = tuple(sorted((*m, *n)))
        total = out.get(key, 0) + c * d
        if total:
            out[key] = total
        else:
            out.pop(key, None)
    return out


def written(p: Poly) -> str:
    """Python source of a polynomial, in one canonical order."""
    parts = ["*".join((*([str(c)] if c != 1 or not m else []), *m)) for m, c in sorted(p.items())]
    return "+".join(parts).replace("+-", "-") or "0"


def _divided(m: Monomial, by: Monomial) -> Monomial | None:
    """The monomial `m` divided by another, where that goes."""
    rest = list(m)
    for atom in by:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def quotient(p: Poly, q: Poly) -> tuple[Poly, Poly]:
    """``p == q * whole + rest``, where every term of `whole` divides evenly (q: one term)."""
    ((by, d),) = q.items()
    whole: Poly = {}
    rest: Poly = {}
    for m, c in p.items():
        left = _divided(m, by)
        if left is None or c % d:
            rest[m] = c
        else:
            whole[left] = c // d
    return whole, rest


def least(p: Poly, smallest: int) -> int | None:
    """A number that a polynomial never falls below for sizes of `smallest` (0 or 1) on; None if there may be none."""
    out = 0
    for m, c in p.items():
        if m and (c < 0 or not all(map(SYMBOL.fullmatch, m))):
            return None
        out += c if smallest or not m else 0
    return out


def decided(p: Poly, op: str, smallest: int = 0) -> bool | None:
    """Whether ``p op 0`` holds for all sizes (True), for none (False), or for some (None)."""
    if not p or (len(p) == 1 and () in p):
        return TESTS[op](p.get((), 0), 0)
    low = least(p, smallest)
    if low is None:
        turned = {m: -c for m, c in p.items()}
        return None if least(turned, smallest) is None else decided(turned, _TURNED[op], smallest)
    if low > 0:  # and so is p
        return op in (">", ">=", "!=")
    if low == 0 and op in (">=", "<"):
        return op == ">="
    return None


# --- sources ---


def symbols_in(text: str) -> set[str]:
    """The names of symbols in a source."""
    return set(SYMBOL.findall(text))


def renamed(text: str) -> str:
    """A source with its symbols named in order of appearance: equal for what is equal but for that."""
    numbers: dict[str, int] = {}
    return SYMBOL.sub(lambda m: f"n{numbers.setdefault(m[0], len(numbers))}", text)


def evaluator(symbols: tuple[str, ...], texts: list[str]) -> Callable[..., tuple[Any, ...]]:
    """A function of the symbols' values that gives what the sources stand for."""
    body = "".join(f"{t}, " for t in texts)
    names = {"floor": math.floor, "ceil": math.ceil, "trunc": math.trunc}
    return eval(f"lambda {', '.join(symbols)}: ({body})", names)  # type: ignore[no-any-return]

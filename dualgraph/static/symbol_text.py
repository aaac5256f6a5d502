"""Numbers in text: symbolic sizes and what is worked out from them, read back from what was printed.

The source is a Python expression of names, numbers and a few operators and functions. It is read as a tree and worked
out step by step; nothing of it is run as code.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.numbers.guards import unguarded
from ..core.numbers.sizing import at_least, to_float
from ..core.numbers.symbolic import SymInt, hint
from ..core.numbers.symbols import shown, symbol

LONGEST = 4000  # characters of one number
UNKNOWN = 37  # stands for a size of which no value is given

OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "float": to_float, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc, "round": round, "abs": abs,
    "max": at_least,
}  # fmt: skip


def read_number(text: str, sizes: Mapping[str, int]) -> Any:
    """The number that `text` says, with `sizes` as the values of its symbols now.

    Raises ValueError where that is no number.

    >>> n = read_number("3*rows+2", {"rows": 4})
    >>> shown(n), hint(n)
    ('2+3*rows', 14)
    """
    try:
        if len(text) > LONGEST:
            raise ValueError("it is too long")
        with unguarded():
            return _worked_out(ast.parse(text, mode="eval").body, sizes)
    except (SyntaxError, TypeError, ArithmeticError, RecursionError, ValueError) as problem:
        raise ValueError(f"{text!r} is no number: {problem}") from None


def _worked_out(node: ast.AST, sizes: Mapping[str, int]) -> Any:
    """The number that an expression means; ValueError for any that these texts do not have."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name):
        return symbol(sizes.get(node.id, UNKNOWN), node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_worked_out(node.operand, sizes)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        x, y = _worked_out(node.left, sizes), _worked_out(node.right, sizes)
        if isinstance(node.op, (ast.Pow, ast.LShift)) and abs(hint(y)) > 64:
            raise ValueError("the exponent is too large")
        return OPERATORS[type(node.op)](x, y)
    if isinstance(node, ast.Call) and not node.keywords:
        given = [_worked_out(a, sizes) for a in node.args]
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and given:
            return FUNCTIONS[node.func.id](*given)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "bit_length" and not given:
            return _worked_out(node.func.value, sizes).bit_length()
    raise ValueError(f"{type(node).__name__} is not among what numbers are made of")


def sizes_text(values: Iterable[Any]) -> str:
    """``sizes s0=6, s1=3``: what the symbols in values stand for now, as far as they occur by themselves."""
    found: dict[str, int] = {}
    for v in values:
        if type(v) is SymInt and shown(v).isidentifier():
            found.setdefault(shown(v), hint(v))
    return f"sizes {', '.join(f'{k}={v}' for k, v in sorted(found.items()))}" if found else ""

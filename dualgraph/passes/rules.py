"""Rewrite rules: lines such as ``multiply(x, 1) -> x  if real(x)``, read and matched.

The lines are Python expressions, taken apart with `ast` and never run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from math import copysign
from typing import Any, NamedTuple

from ..core.constant import exact
from ..core.errors import GraphError
from ..core.node import Literal, Node, Var
from ..core.prim import Prim, lookup
from ..static.graph import Operand

Bindings = dict[str, Any]
Producers = Mapping[Var, Node]


class Apply(NamedTuple):
    """An op on patterns. Its parameters are letters, constants or (in replacements) function calls."""

    prim: Prim
    args: tuple[Any, ...]
    params: tuple[tuple[str, Any], ...]


class Letter(NamedTuple):
    """Stands for any operand or parameter; for the same one wherever it stands in a rule."""

    name: str


class Call(NamedTuple):
    """A function of what letters stand for."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


class Rule(NamedTuple):
    """``pattern -> replacement if all conditions``."""

    text: str
    pattern: Apply
    replacement: Any
    conditions: tuple[Call, ...]

    def __str__(self) -> str:
        return self.text


def read_rules(text: str, functions: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of a table, one a line; raises GraphError for a line that is not a rule."""
    return tuple(_read(line, functions) for line in text.splitlines() if line.strip())


def _read(line: str, functions: Mapping[str, Any]) -> Rule:
    """The rule that a line says."""
    body, _, conditions = line.partition(" if ")
    pattern, arrow, replacement = body.partition("->")
    text = " ".join(line.split())
    if not arrow:
        raise GraphError(f"not a rule (pattern -> replacement): {text}")
    left = _term(ast.parse(pattern.strip(), mode="eval").body, functions)
    if not isinstance(left, Apply):
        raise GraphError(f"the left side is not an op: {text}")
    right = _term(ast.parse(replacement.strip(), mode="eval").body, functions)
    listed = ast.parse(f"[{conditions}]", mode="eval").body
    assert isinstance(listed, ast.List)
    return Rule(text, left, right, tuple(_term(c, functions) for c in listed.elts))


def _term(tree: ast.expr, functions: Mapping[str, Any]) -> Any:
    """A Python expression as a pattern, a call or a number."""
    if isinstance(tree, ast.Name):
        return Letter(tree.id)
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        args = tuple(_term(a, functions) for a in tree.args)
        params = tuple((str(k.arg), _term(k.value, functions)) for k in tree.keywords)
        name = tree.func.id
        return (
            Call(functions[name], args) if name in functions else Apply(lookup(name), args, params)
        )
    return ast.literal_eval(tree)


# --- matching ----------------------------------------------------------------------------------


def match(rule: Rule, node: Node, producers: Producers) -> Bindings | None:
    """What the letters of the rule stand for at `node`, or None where it does not apply."""
    for bound in _match_node(rule.pattern, node, {}, producers):
        if all(c.function(*(_value(a, bound) for a in c.args)) for c in rule.conditions):
            return bound
    return None


def _match_node(
    pattern: Apply, node: Node, bound: Bindings, producers: Producers
) -> Iterator[Bindings]:
    """All ways in which `node` fits a pattern, as what letters then stand for."""
    if node.prim is not pattern.prim or len(node.inputs) != len(pattern.args):
        return
    if node.params.keys() != {k for k, _ in pattern.params}:
        return
    for key, term in pattern.params:
        found = _match_value(term, node.params[key], bound)
        if found is None:
            return
        bound = found
    yield from _match_all(pattern.args, node.inputs, bound, producers)
    if node.prim.commutes(node.inputs):
        yield from _match_all(pattern.args, node.inputs[::-1], bound, producers)


def _match_all(
    patterns: tuple[Any, ...], operands: tuple[Operand, ...], bound: Bindings, producers: Producers
) -> Iterator[Bindings]:
    if not patterns:
        yield bound
        return
    for found in _match_operand(patterns[0], operands[0], bound, producers):
        yield from _match_all(patterns[1:], operands[1:], found, producers)


def _match_operand(
    pattern: Any, operand: Operand, bound: Bindings, producers: Producers
) -> Iterator[Bindings]:
    """All ways in which an operand fits a letter, a number or a pattern of the op that makes it."""
    if isinstance(pattern, Apply):
        if isinstance(operand, Var) and operand in producers:
            yield from _match_node(pattern, producers[operand], bound, producers)
    elif isinstance(pattern, Letter):
        found = _match_value(pattern, operand, bound)
        if found is not None:
            yield found
    elif isinstance(operand, Literal) and _same_number(pattern, operand.value):
        yield bound


def _match_value(term: Any, value: Any, bound: Bindings) -> Bindings | None:
    if isinstance(term, Letter):
        if term.name in bound:
            return bound if exact(bound[term.name]) == exact(value) else None
        return {**bound, term.name: value}
    return bound if exact(term) == exact(value) else None


def _same_number(wanted: Any, value: Any) -> bool:
    """Equal, signs of zero included; a number of any Python type may say the value."""
    if isinstance(value, complex) or value != wanted:
        return False
    return bool(wanted != 0 or copysign(1, wanted) == copysign(1, value))


def _value(term: Any, bound: Bindings) -> Any:
    if isinstance(term, Letter):
        return bound[term.name]
    if isinstance(term, Call):
        return term.function(*(_value(a, bound) for a in term.args))
    return term


def build(
    term: Any, bound: Bindings, add: Callable[[Prim, tuple[Any, ...], dict[str, Any]], Operand]
) -> Operand:
    """The replacement: nodes made by `add`, or an operand that is there already."""
    if not isinstance(term, Apply):
        found: Operand = _value(term, bound)
        return found
    args = [build(a, bound, add) for a in term.args]
    dtype = next((a.type.dtype for a in args if isinstance(a, Var)), None)
    operands = [
        a if isinstance(a, (Var, Literal)) or dtype is None else Literal(a, dtype) for a in args
    ]
    return add(term.prim, tuple(operands), {k: _value(v, bound) for k, v in term.params})

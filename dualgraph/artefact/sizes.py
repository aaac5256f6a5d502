"""Sizes: what a file says of a program whose sizes are symbolic, and that program at the sizes of a call."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..core.numbers.symbolic import SymInt, hint, source
from ..core.numbers.symbols import atom_of, readable, shown, symbol
from ..jit.dynamic import Template
from ..jit.program import Program
from ..static.filling import Filler
from ..static.symbol_text import read_number
from .bounds import check_graph
from .signature import Signature

CONDITION = re.compile(r"(.+) (==|!=|<=|>=|<|>) (.+)", re.DOTALL)
MAX_SYMBOLS = 100


def sizes_of(template: Template) -> dict[str, int]:
    """The symbols by name, with what they were when captured."""
    return {shown(s): hint(s) for s in template.symbols}


def symbols_of(sizes: Any) -> tuple[SymInt, ...]:
    """What `sizes_of` gave, as symbols; ValueError where that is damaged."""
    if not isinstance(sizes, dict) or not 0 < len(sizes) <= MAX_SYMBOLS:
        raise ValueError("symbols are a dict of sizes by name")
    if not all(k.isidentifier() and type(v) is int and v >= 0 for k, v in sizes.items()):
        raise ValueError("symbols have names, and are sizes")
    return tuple(symbol(v, k) for k, v in sizes.items())


def conditions_of(template: Template) -> list[str]:
    """What must hold of the sizes for the capture to be as it is."""
    return list(map(readable, template.guards))


def condition_from(text: Any, sizes: dict[str, int]) -> str:
    """A condition as the engine writes it; ValueError where it is none."""
    found = CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition")
    left, right = (read_number(found[i], sizes) for i in (1, 3))
    return f"{_text(left)} {found[2]} {_text(right)}"


def _text(n: Any) -> str:
    return atom_of(n) if type(n) is SymInt else repr(n) if type(n) is int else source(n)


class AtSizes(NamedTuple):
    """A program of symbolic sizes at some, and the signature that it has there."""

    program: Program
    signature: Signature


def at_sizes(
    template: Template, signature: Signature, values: tuple[int, ...], limit: int
) -> AtSizes:
    """A saved program at these sizes, of which its capture holds; GraphError where it takes more than `limit` bytes."""
    check_graph(template.captured_at(values), limit)
    if not template.ready:
        template.build()
    fits = template.ready and template.compiled_for(values)
    filler = Filler(template.atoms)
    filler.note([s.type for s in template.trace.slots])
    kinds = list(signature.kinds)
    for s in filler.at(values).slots(template.trace):
        if s.kind == "leaf":
            kinds[s.key[0]] = kinds[s.key[0]]._replace(value=s.type)
    there = template.at(values) if fits else template.fixed_at(values)
    return AtSizes(there, signature._replace(kinds=tuple(kinds)))

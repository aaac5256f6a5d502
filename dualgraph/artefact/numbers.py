"""Numbers: what a program makes of Python numbers that may change, as text in a file, and as a function again.

The text is Python's arithmetic and functions of `math`, which `reader.Numbers` works out without running it as code.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

from ..core.errors import CaptureError
from ..jit.promoted import Promoted, Source
from ..reader import MATH, Numbers
from ..static.checks import Assumption

KINDS = {"float": float, "int": int}  # of numbers that may change


class Loaded:
    """`Formulas` from a file."""

    def __init__(self, sources: Sequence[Source], kinds: Sequence[str], numbers: Numbers) -> None:
        self.sources, self.kinds, self.numbers = tuple(sources), tuple(kinds), numbers
        self.conditions = ()

    def of_call(self, leaves: Sequence[Any]) -> Any:
        """As `at`, for what the sources hold in a call."""
        return self.at([s.read(leaves) for s in self.sources])

    def at(self, values: Sequence[Any]) -> Any:
        """The numbers that the program takes for these inputs, as a tuple; else why it is not for them."""
        for kind, value, source in zip(self.kinds, values, self.sources, strict=True):
            if type(value) is not KINDS[kind]:
                return f"{source.name} is no {kind}"
        return self.numbers.at(values)


class LoadedNumbers(Promoted):
    """The promoted numbers of a program from a file, whose assumptions the file has in words; `record` is theirs."""

    def __init__(self, record: dict[str, Any], values: Sequence[Any], formulas: Loaded) -> None:
        super().__init__(formulas.sources, values, formulas)  # type: ignore[arg-type]
        self.free = frozenset(record["free"])
        self.record = {k: v for k, v in record.items() if k != "sources"}

    def assumed(self, arguments: tuple[Assumption, ...]) -> tuple[Assumption, ...]:
        return arguments


class _Inlined(ast.NodeTransformer):
    """Puts the constants of formulas in the places of their names; CaptureError where a file has no word for one."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self.constants = constants

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.constants.get(node.id)
        if value is None:
            return node
        if type(value) in (int, float) and abs(value) < math.inf:
            number = ast.Constant(abs(value))
            negative = math.copysign(1, value) < 0
            return ast.UnaryOp(ast.USub(), number) if negative else number
        name = getattr(value, "__name__", "")
        if MATH.get(name) is value:
            return ast.Attribute(ast.Name("math"), name)
        raise CaptureError(f"{value!r} is no number or function that a file can name")


def _text(source: str, constants: dict[str, Any]) -> str:
    source = re.sub(r"(\w+)\.__(floor|ceil)__\(\)", r"math.\2(\1)", source)
    return ast.unparse(_Inlined(constants).visit(ast.parse(source, mode="eval")))


def written(promoted: Promoted | None) -> dict[str, Any] | None:
    """How the numbers of a program follow from what may change; None where that cannot be said, or nothing may."""
    if isinstance(promoted, LoadedNumbers):
        return promoted.record
    formulas = None if promoted is None else promoted.formulas
    if promoted is None or formulas is None or not promoted.free or promoted.takes:
        return None  # a number taken out of a tensor is the capture's: each leads along a path
    steps: list[list[str | None]] = []
    told = iter(formulas.conditions)
    try:
        for name, source, value in formulas.steps:
            if type(value) is type:
                source, value = source.replace("type(", "kind("), value.__name__
            text = _text(source, formulas.constants)
            wanted = [] if name is not None else [repr(value), next(told).text]
            steps.append([name, text, *wanted])
        kinds = [type(v).__name__ for v in promoted.values]
        found = Numbers(len(kinds), steps, formulas.gives).at(promoted.values)
    except (CaptureError, ValueError):
        return None
    if not set(kinds) <= KINDS.keys() or repr(found) != repr(formulas.at(promoted.values)):
        return None
    free = sorted(promoted.free)
    values = list(map(repr, promoted.values))
    return {
        "kinds": kinds,
        "values": values,
        "free": free,
        "steps": steps,
        "gives": list(formulas.gives),
    }

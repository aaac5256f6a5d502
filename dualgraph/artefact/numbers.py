"""Numbers: what a program makes of Python numbers that may change, as calls in a file, and as a function again.

The calls are those of `reader.NUMBERS`: Python's operators and functions of `math`, for ints that stay small.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..core.constant import exact
from ..core.errors import CaptureError
from ..jit.promoted import Promoted, Source
from ..reader import MATH, NUMBERS, Graph
from ..static.checks import Assumption

KINDS = {"float": float, "int": int}  # of numbers that may change
OPERATORS = {
    "BitAnd": "and_", "BitOr": "or_", "BitXor": "xor", "Div": "truediv", "GtE": "ge", "LtE": "le", "Mult": "mul",
    "NotEq": "ne", "USub": "neg",
}  # fmt: skip


class Loaded:
    """`Formulas` from a file: `calls` of the numbers ``%a0``, ``%a1`` ... and the names of what they give."""

    def __init__(
        self, sources: Sequence[Source], kinds: Sequence[str], calls: Any, gives: Any
    ) -> None:
        self.sources, self.kinds, self.gives = tuple(sources), tuple(kinds), gives
        self.conditions = ()
        inputs = [f"%a{i}" for i in range(len(kinds))]
        _check(inputs, calls, gives)
        self._run = compiled(inputs, calls, gives)
        # Numbers, and what they gave: a call asks several times
        self._last: tuple[Any, Any] = None, None

    def of_call(self, leaves: Sequence[Any]) -> Any:
        """As `at`, for what the sources hold in a call."""
        return self.at([s.read(leaves) for s in self.sources])

    def at(self, values: Sequence[Any]) -> Any:
        """The numbers that the program takes for these inputs, as a tuple; else why it is not for them."""
        for kind, value, source in zip(self.kinds, values, self.sources, strict=True):
            if type(value) is not KINDS[kind]:
                return f"{source.name} is no {kind}"
        key, (last, found) = exact(tuple(values)), self._last
        if key != last:
            found = worked_out(self._run, values)
            self._last = key, found
        return found


def compiled(inputs: Sequence[str], calls: Any, gives: Any) -> Callable[..., Any]:
    """Calls that were checked as one Python function of the inputs; its source has no word of the file's."""
    scope: dict[str, Any] = {}
    places = {name: f"a{i}" for i, name in enumerate(inputs)}

    def text(operands: Iterable[Any]) -> str:
        named = (places[v] if isinstance(v, str) and v[:1] == "%" else hold(v) for v in operands)
        return "".join(f"{v}, " for v in named)

    def hold(value: Any) -> str:
        scope[f"c{len(scope)}"] = value
        return f"c{len(scope) - 1}"

    source = f"def run({text(inputs)}):\n"
    for i, (function, operands, _, (name,)) in enumerate(calls):
        source += f"    v{i} = {hold(NUMBERS[function])}({text(operands)})\n"
        places[name] = f"v{i}"
    exec(f"{source}    return ({text(gives)})", scope)
    return scope["run"]  # type: ignore[no-any-return]


def worked_out(run: Callable[..., Any], values: Sequence[Any]) -> Any:
    """What calls make of numbers, as a tuple; a text that says why where they give nothing."""
    try:
        return tuple(run(*values))
    except (ArithmeticError, TypeError, ValueError) as problem:
        return str(problem)


def _check(inputs: Iterable[str], calls: Any, gives: Any) -> None:
    """ValueError unless all operands are numbers, or names of what was given or made before."""
    known = set(inputs)

    def check(operands: Any) -> None:
        for v in operands:
            if not (v in known if isinstance(v, str) else type(v) in (bool, int, float)):
                raise ValueError(f"{v!r} is no number")

    for function, operands, options, (name,) in calls:
        said = operands[1:] if function == "expect" else ()
        if options or not all(isinstance(text, str) and text[:1] != "%" for text in said):
            raise ValueError(f"{operands} are no operands of {function}")
        check(operands[:1] if said else operands)
        if not isinstance(name, str):
            raise ValueError(f"{name!r} is no name")
        known.add(name)
    check(gives)


class LoadedNumbers(Promoted):
    """The promoted numbers of a program from a file, whose assumptions the file has in words; `record` is theirs."""

    def __init__(self, record: dict[str, Any], values: Sequence[Any], formulas: Loaded) -> None:
        super().__init__(formulas.sources, values, formulas)  # type: ignore[arg-type]
        self.free = frozenset(record["free"])
        self.record = {k: v for k, v in record.items() if k != "sources"}

    def assumed(self, arguments: tuple[Assumption, ...]) -> tuple[Assumption, ...]:
        return arguments


class Calls:
    """Writes steps of formulas - names and Python source, or conditions - down as calls."""

    def __init__(self, inputs: int, constants: Mapping[str, Any]) -> None:
        self.known: dict[str, Any] = {f"a{i}": f"%a{i}" for i in range(inputs)}
        self.constants = constants
        self.calls: list[list[Any]] = []

    def step(self, name: str, source: str) -> None:
        """From here on `name` is what the source gives."""
        self.known[name] = self.value(ast.parse(source, mode="eval").body)

    def condition(self, source: str, wanted: str, told: str) -> None:
        """The `repr` of what the source gives has to be as wanted; `told` is what users call it."""
        self.call("expect", [self.value(ast.parse(source, mode="eval").body), wanted, told])

    def call(self, function: str, operands: list[Any]) -> str:
        if function not in NUMBERS:
            raise CaptureError(f"a file has no word for {function}")
        self.calls.append([function, operands, {}, [f"%{len(self.calls)}"]])
        return f"%{len(self.calls) - 1}"

    def value(self, node: ast.AST) -> Any:
        """A number, or the name of what a call gives; CaptureError where a file has no word for it."""
        match node:
            case ast.Constant(value) if type(value) in (bool, int, float):
                return value
            case ast.Name(name) if name in self.known:
                return self.known[name]
            case ast.Name(name) if type(self.constants.get(name)) in (bool, int, float):
                return self.constants[name]
            case ast.UnaryOp(op, x):
                return self.call(_operator(op), [self.value(x)])
            case ast.BinOp(x, op, y) | ast.Compare(x, [op], [y]):
                return self.call(_operator(op), [self.value(x), self.value(y)])
            case ast.Call(ast.Attribute(x, "__floor__" | "__ceil__" as name), [], []):
                return self.call(f"math.{name.strip('_')}", [self.value(x)])
            case ast.Call(function, operands, []):
                return self.call(self.function(function), [self.value(v) for v in operands])
        raise CaptureError(f"a file has no word for {ast.unparse(node)}")

    def function(self, node: ast.AST) -> str:
        """The name that a function has in a file."""
        name = ast.unparse(node)
        name = {"abs": "operator.abs", "type": "kind"}.get(name, name)
        value = self.constants.get(name)
        own = getattr(value, "__name__", "")
        return f"math.{own}" if value is not None and MATH.get(own) is value else name


def _operator(op: ast.AST) -> str:
    """``operator.truediv`` for ``/``."""
    name = type(op).__name__
    return f"operator.{OPERATORS.get(name, name.lower())}"


def calls_of(
    inputs: int, steps: Iterable[Any], gives: Iterable[str], constants: Mapping[str, Any]
) -> tuple[list[Any], list[Any]]:
    """Steps of formulas - ``(name, source)`` or ``(None, source, wanted, told)`` - as calls, and what these give."""
    calls = Calls(inputs, constants)
    for name, source, *rest in steps:
        if name is None:
            calls.condition(source, *rest)
        else:
            calls.step(name, source)
    return calls.calls, [calls.known[name] for name in gives]


def written(promoted: Promoted | None) -> dict[str, Any] | None:
    """How the numbers of a program follow from what may change; None where that cannot be said, or nothing may."""
    if isinstance(promoted, LoadedNumbers):
        return promoted.record
    formulas = None if promoted is None else promoted.formulas
    if promoted is None or formulas is None or not promoted.free or promoted.takes:
        return None  # a number taken out of a tensor is the capture's: each leads along a path
    told = iter(formulas.conditions)
    steps = [
        (name, source) if name is not None else (None, source, _wanted(value), next(told).text)
        for name, source, value in formulas.steps
    ]
    kinds = [type(v).__name__ for v in promoted.values]
    try:
        calls, gives = calls_of(len(kinds), steps, formulas.gives, formulas.constants)
    except CaptureError:
        return None
    inputs = [f"%a{i}" for i in range(len(kinds))]
    found = worked_out(Graph(inputs, calls, gives, NUMBERS).run, promoted.values)
    if not set(kinds) <= KINDS.keys() or repr(found) != repr(formulas.at(promoted.values)):
        return None
    return {
        "kinds": kinds,
        "values": list(map(repr, promoted.values)),
        "free": sorted(promoted.free),
        "calls": calls,
        "gives": gives,
    }


def _wanted(value: Any) -> str:
    return repr(value.__name__ if type(value) is type else value)

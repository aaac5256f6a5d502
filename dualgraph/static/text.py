"""Text of a graph: printed to be read, one node a line, and parsed back to an equal graph.

    graph(%0: f32[2,3], %1: f32[3]) {
      %2: f32[2,3] = add(%0, %1)  # train.py:12
      %3: f32[2] = reduce_sum(%2, axes=(1,), keepdims=False)
      return %3
    }

Source lines are comments: they parse back into ``node.where`` and do not count in equality.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ..core.constant import ConstArray
from ..core.devices import Device, as_device
from ..core.dtypes import BY_NAME, DType
from ..core.errors import NOWHERE, DualgraphError, GraphError, Location
from ..core.node import Literal, Node, Var
from ..core.prim import lookup
from ..core.types import TensorType, parse_type
from .graph import Graph, Methods, Operand

WIDTH = 100
SHORT = 16  # arrays of up to this many elements are printed as numbers
PLAIN_NAN = struct.pack("<d", math.nan)

# --- printing ----------------------------------------------------------------------------------


def to_text(graph: Graph, indent: str = "", where: bool = True) -> str:
    """The graph as text that `parse` reads back; ``where=False`` leaves the source lines out."""
    inner = indent + "  "
    lines = [_header(graph, indent)]
    for node in graph.nodes:
        results = ", ".join(f"{v}: {v.type}" for v in node.outputs) or "()"
        arguments = [operand_text(v) for v in node.inputs]
        arguments += [f"{k}={value_text(v, inner, where)}" for k, v in node.params.items()]
        line = f"{inner}{results} = {node.prim.name}({', '.join(arguments)})"
        if where and node.where.line:
            line += f"  # {os.path.basename(node.where.file)}:{node.where.line}"
        lines.append(line)
    lines.append(f"{inner}return {', '.join(map(operand_text, graph.outputs))}".rstrip())
    return "\n".join([*lines, indent + "}"])


def _header(graph: Graph, indent: str) -> str:
    inputs = [f"{v}: {v.type}" for v in graph.inputs]
    line = f"graph({', '.join(inputs)}) {{"
    if len(indent) + len(line) <= WIDTH:
        return line
    return "graph(\n" + "".join(f"{indent}    {i},\n" for i in inputs) + f"{indent}) {{"


def operand_text(operand: Operand) -> str:
    """``%3`` or ``2.0:f32``."""
    return str(operand) if isinstance(operand, Var) else f"{value_text(operand.value)}:{operand.dtype.short}"


def value_text(value: Any, indent: str = "", where: bool = True) -> str:
    """A parameter as text that parses back to the same type and bits."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, complex):
        return f"complex({_float_text(value.real)}, {_float_text(value.imag)})"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (tuple, list)):
        return _sequence_text([value_text(v, indent, where) for v in value], type(value) is list)
    if isinstance(value, DType):
        return value.short
    if isinstance(value, Device):
        return f'device("{value}")'
    if isinstance(value, TensorType):
        return str(value)
    if isinstance(value, slice):
        return f"slice({value_text(value.start)}, {value_text(value.stop)}, {value_text(value.step)})"
    if isinstance(value, np.ndarray):
        value = ConstArray(value)
    if isinstance(value, ConstArray):
        return _array_text(value)
    if isinstance(value, Graph):
        return to_text(value, indent, where)
    raise GraphError(f"a parameter of type {type(value).__name__} has no text form: {value!r}")


def _sequence_text(items: list[str], is_list: bool) -> str:
    if is_list:
        return f"[{', '.join(items)}]"
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _float_text(value: float) -> str:
    bits = struct.pack("<d", value)
    if value == value or bits == PLAIN_NAN:
        return float.__repr__(value)
    return f"nan(0x{int.from_bytes(bits, 'little'):016x})"


def _array_text(value: ConstArray) -> str:
    flat = value.array.reshape(-1)
    if flat.size <= SHORT:
        listed = f"array({value.type}, [{', '.join(value_text(v) for v in flat)}])"
        if Parser(listed).value() == value:  # else a NaN holds bits that numbers do not show
            return listed
    return f'array({value.type}, "{base64.b64encode(value.array.tobytes()).decode()}")'


# --- reading -----------------------------------------------------------------------------------

TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<comment>\#[^\n]*)
    | (?P<var>%\d+)
    | (?P<type>[a-z]+\d*\[[^\]\s"(]*\](?:@\w+(?::\d+)?)?)
    | (?P<number>-?(?:inf\b|nan\(0x[0-9a-f]{16}\)|nan\b|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<name>[A-Za-z_]\w*)
    | (?P<punct>[(){}\[\],:=])""",
    re.VERBOSE,
)
SOURCE = re.compile(r"\#\s*(.+):(\d+)\s*$")


class Token:
    """A piece of text, where it starts, and the comment that follows it on its line."""

    __slots__ = ("at", "comment", "kind", "text")

    def __init__(self, kind: str, text: str, at: int) -> None:
        self.kind, self.text, self.at = kind, text, at
        self.comment = ""


class Parser:
    """Recursive descent over the tokens of a graph's text."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = self.tokenize()
        self.next = 0
        self.forms: dict[str, Callable[[], Any]] = {
            "array": self.array, "complex": self.complex, "device": self.device, "slice": self.slice,
        }  # fmt: skip

    def tokenize(self) -> list[Token]:
        tokens: list[Token] = []
        at = line_start = 0
        while at < len(self.source):
            found = TOKEN.match(self.source, at)
            if found is None:
                self.fail(at, f"{self.source[at]!r} starts nothing known")
            kind, text = str(found.lastgroup), found.group()
            if kind == "comment":
                if tokens and tokens[-1].at >= line_start:
                    tokens[-1].comment = text
            elif kind != "space":
                tokens.append(Token(kind, text, at))
            elif "\n" in text:
                line_start = at
            at = found.end()
        return [*tokens, Token("end", "the end of the text", len(self.source))]

    def fail(self, at: int, problem: str) -> NoReturn:
        before = self.source[:at]
        line, column = before.count("\n") + 1, at - before.rfind("\n")
        raise GraphError(f"line {line}, column {column}: {problem}")

    def expected(self, what: str) -> NoReturn:
        token = self.tokens[self.next]
        self.fail(token.at, f"expected {what}, found {token.text}")

    def take(self, kind: str, what: str) -> str:
        token = self.tokens[self.next]
        if token.kind != kind:
            self.expected(what)
        self.next += 1
        return token.text

    def accept(self, text: str) -> bool:
        token = self.tokens[self.next]
        found = token.text == text and token.kind in ("punct", "name")
        self.next += found
        return found

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.expected(f"'{text}'")

    def items(self, close: str, item: Callable[[], Any]) -> list[Any]:
        """``item, item, ... close``, with or without a last comma."""
        out: list[Any] = []
        while not self.accept(close):
            out.append(item())
            if not self.accept(","):
                self.expect(close)
                break
        return out

    def checked(self, at: int, read: Callable[[], Any]) -> Any:
        """What `read` gives; its errors get a place in the text."""
        try:
            return read()
        except (DualgraphError, ValueError) as error:
            self.fail(at, str(error))

    # --- graphs

    def whole(self) -> Graph:
        graph = self.graph()
        if self.tokens[self.next].kind != "end":
            self.expected("the end of the text")
        return graph

    def graph(self) -> Graph:
        env: dict[str, Var] = {}
        self.expect("graph")
        self.expect("(")
        inputs = self.items(")", lambda: self.assigned(env))
        self.expect("{")
        nodes = []
        while not self.accept("return"):
            nodes.append(self.node(env))
        outputs: list[Operand] = []
        if not self.accept("}"):
            outputs.append(self.operand(env))
            while self.accept(","):
                outputs.append(self.operand(env))
            self.expect("}")
        return Graph(tuple(inputs), tuple(nodes), tuple(outputs))

    def assigned(self, env: dict[str, Var]) -> Var:
        at = self.tokens[self.next].at
        name = self.take("var", "a variable such as %0")
        if name in env:
            self.fail(at, f"{name} is assigned twice")
        self.expect(":")
        var = env[name] = Var(int(name[1:]), self.type())
        return var

    def type(self) -> TensorType:
        at = self.tokens[self.next].at
        text = self.take("type", "a type such as f32[2,3]")
        found: TensorType = self.checked(at, lambda: parse_type(text))
        return found

    def node(self, env: dict[str, Var]) -> Node:
        outputs: list[Var] = []
        if self.accept("("):
            self.expect(")")
        else:
            outputs.append(self.assigned(env))
            while self.accept(","):
                outputs.append(self.assigned(env))
        self.expect("=")
        at = self.tokens[self.next].at
        name = self.take("name", "the name of an op")
        prim = self.checked(at, lambda: lookup(name))
        self.expect("(")
        inputs: list[Operand] = []
        params: dict[str, Any] = {}
        at = self.tokens[self.next].at
        self.items(")", lambda: self.argument(env, inputs, params))
        if not set(inputs).isdisjoint(outputs):
            self.fail(at, f"{name} reads its own result")
        return Node(prim, tuple(inputs), params, tuple(outputs), self.where())

    def where(self) -> Location:
        found = SOURCE.match(self.tokens[self.next - 1].comment)
        return Location(found[1], int(found[2])) if found else NOWHERE

    def argument(self, env: dict[str, Var], inputs: list[Operand], params: dict[str, Any]) -> None:
        token, after = self.tokens[self.next], self.tokens[min(self.next + 1, len(self.tokens) - 1)]
        if token.kind == "name" and after.text == "=":
            self.next += 2
            if token.text in params:
                self.fail(token.at, f"parameter {token.text} is given twice")
            params[token.text] = self.value()
        elif params:
            self.expected("a parameter: operands come first")
        else:
            inputs.append(self.operand(env))

    def operand(self, env: dict[str, Var]) -> Operand:
        token = self.tokens[self.next]
        if token.kind == "var":
            self.next += 1
            if token.text not in env:
                self.fail(token.at, f"{token.text} is read before it is assigned")
            return env[token.text]
        value = self.value()
        if not isinstance(value, (bool, int, float, complex)):
            self.fail(token.at, f"expected an operand such as %0 or 2.0:f32, found {token.text}")
        self.expect(":")
        return Literal(value, self.dtype())

    def dtype(self) -> DType:
        at = self.tokens[self.next].at
        name = self.take("name", "a dtype such as f32")
        if name not in BY_NAME:
            self.fail(at, f"{name} is not a dtype")
        return BY_NAME[name]

    # --- values

    def value(self) -> Any:
        token = self.tokens[self.next]
        if token.kind == "number":
            self.next += 1
            return _number(token.text)
        if token.kind == "string":
            self.next += 1
            return self.checked(token.at, lambda: json.loads(token.text))
        if token.kind == "type":
            return self.type()
        if self.accept("("):
            return tuple(self.items(")", self.value))
        if self.accept("["):
            return self.items("]", self.value)
        if token.kind == "name":
            return self.named(token)
        self.expected("a value")

    def named(self, token: Token) -> Any:
        constants = {"None": None, "True": True, "False": False}
        if token.text == "graph":
            return self.graph()
        if token.text in BY_NAME and token.text not in ("int", "float"):
            return self.dtype()
        if token.text not in constants and token.text not in self.forms:
            self.expected("a value")
        self.next += 1
        return constants[token.text] if token.text in constants else self.forms[token.text]()

    def array(self) -> ConstArray:
        self.expect("(")
        at = self.tokens[self.next].at
        type = self.type()
        self.expect(",")
        content = self.value()
        self.expect(")")

        def build() -> ConstArray:
            if isinstance(content, str):
                flat = np.frombuffer(base64.b64decode(content, validate=True), dtype=type.dtype.numpy)
            else:
                flat = np.array(content, dtype=type.dtype.numpy)
            return ConstArray(flat.reshape(type.shape), type.dtype)

        return self.checked(at, build)  # type: ignore[no-any-return]

    def complex(self) -> complex:
        at = self.tokens[self.next].at
        self.expect("(")
        parts = self.items(")", self.value)
        return self.checked(at, lambda: complex(*map(float, parts)))  # type: ignore[no-any-return]

    def device(self) -> Device:
        self.expect("(")
        at = self.tokens[self.next].at
        name = self.take("string", "the name of a device")
        self.expect(")")
        return self.checked(at, lambda: as_device(json.loads(name)))  # type: ignore[no-any-return]

    def slice(self) -> slice:
        self.expect("(")
        at = self.tokens[self.next].at
        parts = self.items(")", self.value)
        if len(parts) != 3:
            self.fail(at, "a slice is (start, stop, step)")
        return slice(*parts)


def _number(text: str) -> int | float:
    if text.startswith("nan("):
        (value,) = struct.unpack("<d", int(text[6:-1], 16).to_bytes(8, "little"))
        return float(value)
    return float(text) if any(c in text for c in ".enf") else int(text)


def parse(text: str) -> Graph:
    """The graph that `text` describes; raises GraphError with line and column where it is not well formed.

    >>> parse("graph(%0: f32[2]) { return %0 }").in_types
    (f32[2],)
    """
    return Parser(text).whole()


Methods.to_text = staticmethod(to_text)

"""Parser of graph text: a tokenizer and recursive descent; what is wrong is said with line and column."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ..core.constant import ConstArray
from ..core.devices import Device, as_device
from ..core.dtypes import BY_NAME, DType
from ..core.errors import NOWHERE, DualgraphError, GraphError, Location, problem_of
from ..core.node import Literal, Node, Var
from ..core.prim import lookup
from ..core.types import TensorType, parse_type
from .graph import Graph, Operand
from .symbol_text import read_number

TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<comment>\#[^\n]*)
    | (?P<var>%\d+)
    | (?P<type>[a-z]+\d*\[[^\]\s"]*\](?:@\w+(?::\d+)?)?)
    | (?P<number>-?(?:inf\b|nan\(0x[0-9a-f]{16}\)|nan\b|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<name>[A-Za-z_]\w*)
    | (?P<symbolic>\{(?!return\b)[^{}\s%]+\})
    | (?P<punct>[(){}\[\],:=])""",
    re.VERBOSE,
)
MAX_DEPTH = 100
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
        self.depth = 0
        self.sizes: dict[str, int] = {}  # what symbols stand for now
        self.forms: dict[str, Callable[[], Any]] = {
            "array": self.array, "complex": self.complex, "device": self.device, "slice": self.slice,
        }  # fmt: skip

    def tokenize(self) -> list[Token]:
        """The tokens; a comment belongs to the last one on its line."""
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
            self.fail(at, problem_of(error))

    # --- graphs

    def whole(self) -> Graph:
        """A text: sizes, if any, and one graph."""
        if self.accept("sizes"):
            while not self.sizes or self.accept(","):
                name = self.take("name", "the name of a size")
                self.expect("=")
                self.sizes[name] = int(self.value())
        graph = self.graph()
        self.end()
        return graph

    def end(self) -> None:
        """Raises GraphError unless all of the text was read."""
        if self.tokens[self.next].kind != "end":
            self.expected("the end of the text")

    def graph(self) -> Graph:
        """``graph(inputs) { nodes return outputs }``, as a graph."""
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
        """A variable with its type, where it is defined."""
        at = self.tokens[self.next].at
        name = self.take("var", "a variable such as %0")
        if name in env:
            self.fail(at, f"{name} is assigned twice")
        self.expect(":")
        if len(name) > 10:
            self.fail(at, "numbers of variables have at most 9 digits")
        var = env[name] = Var(int(name[1:]), self.type())
        return var

    def type(self) -> TensorType:
        at = self.tokens[self.next].at
        text = self.take("type", "a type such as f32[2,3]")
        found: TensorType = self.checked(at, lambda: self.typed(text))
        return found

    def typed(self, text: str) -> TensorType:
        """The type that a text says; sizes may be symbolic."""
        head, dims, tail = text[: text.index("[")], text[text.index("[") + 1 : -1], text[-1:]
        if "]" in dims:  # a device follows
            at = text.index("]")
            dims, tail = text[text.index("[") + 1 : at], text[at:]
        listed = dims.split(",") if dims else []
        if not any(c.isalpha() for c in dims):
            return parse_type(text)
        plain = parse_type(f"{head}[{','.join(d if d.isdigit() else '1' for d in listed)}{tail}")
        own = [
            n if d.isdigit() else read_number(d, self.sizes)
            for d, n in zip(listed, plain.shape, strict=True)
        ]
        return plain._replace(shape=tuple(own))

    def node(self, env: dict[str, Var]) -> Node:
        """``%0: type = op(operands, name=value)``, as a node."""
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
        """An operand or a parameter of an op; operands come first."""
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
        """A variable, or a number with its dtype."""
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
        """A parameter; values nest at most `MAX_DEPTH` deep."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(self.tokens[self.next].at, f"nested more than {MAX_DEPTH} deep")
        found = self.one_value()
        self.depth -= 1
        return found

    def one_value(self) -> Any:
        """A number, text, type, tuple, list, or what has a name."""
        token = self.tokens[self.next]
        if token.kind == "number":
            self.next += 1
            return self.checked(token.at, lambda: _number(token.text))
        if token.kind == "symbolic":
            self.next += 1
            return self.checked(token.at, lambda: read_number(token.text[1:-1], self.sizes))
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
        """A value that begins with a name: a constant, a graph, a dtype, or a form such as ``slice(...)``."""
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
        """``array(type, content)``; the content is base64 or nested lists."""
        self.expect("(")
        at = self.tokens[self.next].at
        type = self.type()
        self.expect(",")
        content = self.value()
        self.expect(")")

        def build() -> ConstArray:
            if isinstance(content, str):
                flat = np.frombuffer(
                    base64.b64decode(content, validate=True), dtype=type.dtype.numpy
                )
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

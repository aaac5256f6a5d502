"""Text of a graph: printed to be read, one node a line, and parsed back to an equal graph.

    graph(%0: f32[2,3], %1: f32[3]) {
      %2: f32[2,3] = add(%0, %1)  # train.py:12
      %3: f32[2] = reduce_sum(%2, axes=(1,), keepdims=False)
      return %3
    }

Source lines are comments: they parse back into ``node.where`` and do not count in equality. Symbolic sizes go by name;
numbers made of them stand in braces, and what they are now comes first:

    sizes batch=6
    graph(%0: f32[batch,5]) {
      %1: f32[5*batch] = reshape(%0, shape=({5*batch},))
      return %1
    }
"""

from __future__ import annotations

import base64
import json
import math
import os
import struct
from typing import Any

import numpy as np

from ..core.constant import ConstArray
from ..core.devices import Device
from ..core.dtypes import DType
from ..core.errors import GraphError
from ..core.node import Var
from ..core.numbers.symbolic import SymFloat, SymInt
from ..core.numbers.symbols import shown
from ..core.types import TensorType
from .graph import Graph, Methods, Operand
from .parser import Parser, parse
from .symbol_text import sizes_text

WIDTH = 100
SHORT = 16  # arrays of up to this many elements are printed as numbers
PLAIN_NAN = struct.pack("<d", math.nan)

__all__ = ["operand_text", "parse", "to_text", "value_text"]


def to_text(graph: Graph, indent: str = "", where: bool = True) -> str:
    """The graph as text that `parse` reads back; ``where=False`` leaves the source lines out."""
    inner = indent + "  "
    now = "" if indent else sizes_text(d for t in graph.all_types() for d in t.shape)
    lines = [now, _header(graph, indent)] if now else [_header(graph, indent)]
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
    return (
        str(operand)
        if isinstance(operand, Var)
        else f"{value_text(operand.value)}:{operand.dtype.short}"
    )


def value_text(value: Any, indent: str = "", where: bool = True) -> str:
    """A parameter as text that parses back to the same type and bits."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is SymInt or type(value) is SymFloat:
        return f"{{{shown(value).replace(' ', '')}}}"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, complex):
        return f"complex({_float_text(value.real)}, {_float_text(value.imag)})"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, TensorType):
        return str(value)
    if isinstance(value, (tuple, list)):
        return _sequence_text([value_text(v, indent, where) for v in value], type(value) is list)
    if isinstance(value, DType):
        return value.short
    if isinstance(value, Device):
        return f'device("{value}")'
    if isinstance(value, slice):
        return (
            f"slice({value_text(value.start)}, {value_text(value.stop)}, {value_text(value.step)})"
        )
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


Methods.to_text = staticmethod(to_text)

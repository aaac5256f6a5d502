"""Portable form: a graph as calls of NumPy functions, which `dualgraph/reader.py` runs without dualgraph.

Each op is written down as the calls that its rule in `portable_ops.py` makes of a `Calls` in NumPy's place. What they
compute is close to the op, not equal to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..core.constant import ConstArray
from ..core.devices import Device
from ..core.dtypes import DType, as_scalar
from ..core.node import Literal, Node
from ..core.types import TensorType
from ..jit.results import Result
from ..static.graph import Graph, evaluate
from ..static.region import is_region
from .portable_ops import rule_of


class Value:
    """An operand or a result: its name in the file (or the number that it is), and an op's type."""

    __slots__ = ("name", "type")

    def __init__(self, name: Any, type: TensorType | None = None) -> None:
        self.name = name
        self.type = type

    def __getattr__(self, name: str) -> Any:
        return getattr(self.type, name)  # shape, ndim, dtype

    def named(self) -> list[Any]:
        """``["%3", "float32", [2, 3]]``."""
        assert self.type is not None
        return [self.name, self.type.dtype.name, list(self.type.shape)]


class Calls:
    """Stands for NumPy in rules: ``np.add(x, y)`` is written down, and gives a `Value`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __getattr__(self, function: str) -> Callable[..., Value]:
        return lambda *args, **options: self._writer.call(function, args, options)

    def body(self, step: Callable[..., Sequence[Value]], *types: TensorType) -> dict[str, Any]:
        """The body of a loop: what ``step(np, *values)`` does with values of these types, and with nothing else."""
        return self._writer.body(lambda given: step(self, *given), types)


class Writer:
    """Writes one program. ``array(data)`` is the name of a constant among the arrays of the file."""

    def __init__(self, array: Callable[[ConstArray], str]) -> None:
        self.array = array
        self.calls: list[list[Any]] = []
        self.count = 0

    def text(self, graph: Graph, views: Sequence[Result], stores: dict[int, int]) -> str:
        """The graph, with views of its inputs as further outputs; they show what is stored there (input to output)."""
        return json.dumps(self.graph(graph, views, stores), separators=(",", ":"))

    def graph(
        self,
        graph: Graph,
        views: Sequence[Result] = (),
        stores: Mapping[int, int] = MappingProxyType({}),
    ) -> dict[str, Any]:

        def shown(given: Sequence[Value]) -> list[Value]:
            outs = self.walk(graph, given)
            for view in views:
                value = outs[stores[view.key]] if view.key in stores else given[view.key]
                for prim, params in view.chain:
                    (type,) = prim.infer((value.type,), params)
                    (value,) = self.op(prim, [value], params, [type])
                outs.append(value)
            return outs

        return self.body(shown, graph.in_types)

    def body(
        self, outputs: Callable[[Sequence[Value]], Sequence[Value]], types: Sequence[TensorType]
    ) -> dict[str, Any]:
        """The portable form of what a function of values writes down."""
        outer, self.calls = self.calls, []
        given = [self.value(t) for t in types]
        outs = self.encode(outputs(given))
        record = {"inputs": [v.named() for v in given], "calls": self.calls, "outputs": outs}
        self.calls = outer
        return record

    def value(self, type: TensorType | None = None) -> Value:
        self.count += 1
        return Value(f"%{self.count}", type)

    def walk(self, graph: Graph, given: Sequence[Value]) -> list[Value]:
        """Writes the ops of a graph down; gives its outputs."""

        def apply(node: Node, operands: list[Any]) -> list[Value]:
            operands = [_value(v) for v in operands]
            if is_region(node):
                return self.walk(node.params["body"], operands)
            return self.op(node.prim, operands, node.params, [v.type for v in node.outputs])

        return [_value(v) for v in evaluate(graph, given, apply)]

    def op(
        self, prim: Any, operands: list[Value], params: dict[str, Any], types: list[TensorType]
    ) -> list[Value]:
        """Writes the calls of one op; its results are named with their types, so that readers round and check them."""
        outs = [self.value(t) for t in types]
        found = rule_of(prim)(Calls(self), *operands, **params)
        if isinstance(found, Value):
            self.calls[-1][-1] = [v.named() for v in outs]
        else:
            for value, out in zip(found, outs, strict=True):
                self.calls.append(["asarray", [value.name], {}, [out.named()]])
        return outs

    def call(self, function: str, args: Any, options: dict[str, Any]) -> Value:
        out = self.value()
        self.calls.append([function, self.encode(args), self.encode(options), [out.name]])
        return out

    def encode(self, value: Any) -> Any:
        """An argument as JSON: values by name, and what JSON lacks as an object of one entry."""
        if isinstance(value, Value):
            return self.encode(value.name)
        if isinstance(value, (tuple, list)):
            return [self.encode(v) for v in value]
        if isinstance(value, dict):
            return {k: self.encode(v) for k, v in value.items()}
        if isinstance(value, slice):
            return {"slice": [value.start, value.stop, value.step]}
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if isinstance(value, ConstArray):
            return {"array": self.array(value)}
        if isinstance(value, Graph):
            return self.graph(value)
        if isinstance(value, DType):
            return value.name
        return str(value) if isinstance(value, Device) else value


def _value(operand: Any) -> Value:
    if not isinstance(operand, Literal):
        return operand  # type: ignore[no-any-return]
    return Value(as_scalar(operand.value, operand.dtype).item(), operand.type)

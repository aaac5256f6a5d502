"""What the tests of native kernels share: bodies of fused groups, and their values on NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

import dualgraph.ops.arithmetic
import dualgraph.ops.movement
import dualgraph.ops.reduce
import dualgraph.ops.transcendental  # noqa: F401
from dualgraph.backends.native import api
from dualgraph.backends.scalar_numpy import ExactArrayScalar
from dualgraph.core import dtypes as dt
from dualgraph.core.kinds import ELEMENTWISE
from dualgraph.core.node import Literal, Node, Var
from dualgraph.core.prim import REGISTRY
from dualgraph.core.types import TensorType
from dualgraph.static.graph import Graph, GraphBuilder, evaluate


class Body:
    """Builds a body: ``b.add(x, y)``; Python numbers become literals of the other operand's dtype."""

    def __init__(self) -> None:
        self.g = GraphBuilder()

    def input(self, shape: tuple[int, ...], dtype: dt.DType = dt.float32) -> Var:
        return self.g.input(TensorType(dtype, shape))

    def op(self, name: str, *operands: Any, **params: Any) -> Var:
        dtype = next(v.type.dtype for v in operands if isinstance(v, Var))
        inputs = tuple(v if isinstance(v, Var) else Literal(v, dtype) for v in operands)
        (out,) = self.g.add(REGISTRY[name], inputs, params)
        return out

    def __getattr__(self, name: str) -> Any:
        return lambda *operands, **params: self.op(name, *operands, **params)

    def sum(self, x: Var, *axes: int, keepdims: bool = False, monoid: str = "sum") -> Var:
        return self.op(f"reduce_{monoid}", x, axes=axes, keepdims=keepdims)

    def build(self, *outputs: Any) -> Graph:
        return self.g.build(outputs)


def oracle(body: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The body op by op on NumPy."""
    scalar = ExactArrayScalar(np)

    def apply(node: Node, operands: list[Any]) -> list[Any]:
        values = [
            np.asarray(v.value, dtype=v.dtype.numpy) if isinstance(v, Literal) else v
            for v in operands
        ]
        with np.errstate(all="ignore"):
            out = node.prim.kernel(
                scalar if node.prim.kind is ELEMENTWISE else np, *values, **node.params
            )
        type_ = node.outputs[0].type
        return [np.array(np.broadcast_to(np.asarray(out, dtype=type_.dtype.numpy), type_.shape))]

    results = evaluate(body, arrays, apply)
    return [
        np.asarray(r.value, dtype=r.dtype.numpy) if isinstance(r, Literal) else np.asarray(r)
        for r in results
    ]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    nan = np.isnan(a)
    bits = f"u{a.itemsize}"
    return bool(
        np.array_equal(nan, np.isnan(b)) and np.array_equal(a.view(bits)[~nan], b.view(bits)[~nan])
    )


def draw(type_: TensorType, rng: np.random.Generator) -> np.ndarray:
    kind = type_.dtype.kind
    if kind == "bool":
        return np.asarray(rng.random(type_.shape) < 0.7)
    if kind in ("int", "uint"):
        return np.asarray(rng.integers(0 if kind == "uint" else -9, 9, type_.shape)).astype(
            type_.dtype.numpy
        )
    x = np.asarray(rng.standard_normal(type_.shape) * 3).astype(type_.dtype.numpy)
    if x.size > 8:  # some special values
        flat = x.reshape(-1)
        flat[rng.integers(0, x.size, 4)] = [0.0, -0.0, np.inf, 1e-40]
    return x


def check(body: Graph, seed: int = 0, arrays: list[np.ndarray] | None = None) -> None:
    rng = np.random.default_rng(seed)
    arrays = arrays if arrays is not None else [draw(v.type, rng) for v in body.inputs]
    kernel = api.compile_group(body)
    outs = [np.full(v.type.shape, 7, dtype=v.type.dtype.numpy) for v in body.outputs]
    kernel.run(arrays, outs)
    for k, (out, expected) in enumerate(zip(outs, oracle(body, arrays), strict=True)):
        assert same_bits(out, expected), f"output {k} of\n{kernel.kernel}\n{out}\n{expected}"


def softmax(b: Body, x: Var, axis: int) -> Var:
    e = b.exp(b.subtract(x, b.sum(x, axis, keepdims=True, monoid="max")))
    return b.divide(e, b.sum(e, axis, keepdims=True))

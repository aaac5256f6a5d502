"""Random graphs over the op set, small enough to interpret in a millisecond."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from dualgraph.core import dtypes as dt
from dualgraph.core.node import Literal, Var
from dualgraph.core.prim import lookup
from dualgraph.core.types import TensorType
from dualgraph.static.graph import Graph, GraphBuilder
from dualgraph.static.region import composite_region

for _name in (
    "arithmetic",
    "creation",
    "cumulative",
    "indexing",
    "movement",
    "random",
    "reduce",
    "sorting",
):
    import_module(f"dualgraph.ops.{_name}")

SHAPES = ((4, 6), (6,), (4, 1), (), (1, 6), (2, 3, 4))
NUMBERS = (0.0, -0.0, 1.0, 2.0, 0.5, -1.0, 4.0, 3.0, float("inf"), 1, 0)
UNARY = ("negative", "abs", "exp", "tanh", "square", "copy", "alias", "sqrt", "stop_gradient")
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


class Maker:
    """Appends random nodes to a builder."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = GraphBuilder()
        self.vars: list[Var] = []

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def add(self, name: str, *inputs: Any, **params: Any) -> None:
        self.vars += self.builder.add(lookup(name), inputs, params)

    def some(self, test: Any = lambda v: True) -> Any:
        found = [v for v in self.vars if test(v)]
        return self.pick(found[-12:]) if found else None

    def some_float(self) -> Any:
        return self.some(lambda v: v.type.dtype is dt.float32)

    def operand_like(self, x: Var) -> Any:
        if self.rng.random() < 0.35:
            return Literal(self.pick(NUMBERS), x.type.dtype)
        return self.some(
            lambda v: v.type.dtype is x.type.dtype and v.type.shape in (x.type.shape, ())
        )

    def step(self) -> None:
        x = self.some_float()
        choose = {
            "unary": lambda: self.add(self.pick(UNARY), x),
            "binary": lambda: self.binary(x),
            "where": lambda: self.where(x),
            "cast": lambda: self.cast(x),
            "move": lambda: self.move(x),
            "reduce": lambda: self.reduce(x),
            "create": self.create,
            "random": self.random,
            "composite": lambda: self.composite(x),
            "opaque": lambda: x.type.ndim and self.add("cumsum_along", x, axis=0),
        }
        weights = np.array([3, 5, 1, 1, 5, 2, 1, 0.4, 0.6, 0.4])
        choose[self.rng.choice(list(choose), p=weights / weights.sum())]()

    def binary(self, x: Var) -> None:
        operands = [x, self.operand_like(x) or x]
        self.add(self.pick(BINARY), *(operands if self.rng.random() < 0.7 else operands[::-1]))

    def where(self, x: Var) -> None:
        y = self.operand_like(x) or x
        if self.rng.random() < 0.3:
            self.add("where", Literal(bool(self.rng.integers(2)), dt.bool_), x, y)
        else:
            self.add("less", x, y)
            self.add("where", self.vars[-1], x, y)

    def cast(self, x: Var) -> None:
        self.add("cast", x, dtype=self.pick(("float64", "int32", "float32", "bool")))
        self.add("cast", self.vars[-1], dtype="float32")

    def move(self, x: Var) -> None:
        shape, n = x.type.shape, x.type.ndim
        kind = self.pick(
            ("permute", "reshape", "broadcast_to", "slice", "flip", "pad", "concat_along")
        )
        if kind == "permute":
            self.add(kind, x, axes=tuple(int(i) for i in self.rng.permutation(n)))
        elif kind == "reshape":
            self.add(kind, x, shape=self.pick([(x.type.size,), shape[::-1], (*shape, 1), shape]))
        elif kind == "broadcast_to":
            self.add(kind, x, shape=self.pick([(2, *shape), shape]))
        elif kind == "slice" and n:
            steps = tuple(int(self.rng.choice((1, 1, -1, 2))) for _ in shape)
            starts = tuple(0 if s > 0 else d - 1 for s, d in zip(steps, shape, strict=True))
            stops = tuple(d if s > 0 else -1 for s, d in zip(steps, shape, strict=True))
            self.add(kind, x, starts=starts, stops=stops, steps=steps)
        elif kind == "flip":
            self.add(kind, x, axes=tuple(i for i in range(n) if self.rng.random() < 0.5))
        elif kind == "pad":
            self.add(
                kind,
                x,
                widths=tuple((int(self.rng.integers(2)), 0) for _ in shape),
                value=self.pick((0.0, 1.0)),
            )
        elif kind == "concat_along" and n:
            self.add(kind, *[x] * int(self.rng.integers(1, 3)), axis=0)

    def reduce(self, x: Var) -> None:
        axes = tuple(i for i in range(x.type.ndim) if self.rng.random() < 0.5)
        if all(d for d in x.type.shape):
            name = self.pick(("reduce_sum", "reduce_max", "reduce_prod", "reduce_min"))
            self.add(name, x, axes=axes, keepdims=bool(self.rng.integers(2)))

    def create(self) -> None:
        shape = self.pick(SHAPES)
        self.add(
            "full",
            shape=shape,
            value=self.pick((0.0, -0.0, 1.0, 2.0)),
            dtype="float32",
            device="cpu",
        )

    def random(self) -> None:
        state = self.some(lambda v: v.type.dtype is dt.uint64)
        self.add("random_bits", state, size=6)
        self.add("cast", self.vars[-1], dtype="float32")
        bits = self.vars[-1]
        self.add("add", state, Literal(2, dt.uint64))
        self.vars.append(bits)

    def composite(self, x: Var) -> None:
        inner = GraphBuilder()
        v = inner.input(x.type)
        (a,) = inner.add(lookup("exp"), (v,), {})
        (b,) = inner.add(lookup("add"), (a, self.pick((v, Literal(1.0, dt.float32)))), {})
        self.vars += self.builder.add(
            composite_region, (x,), {"name": "demo", "body": inner.build((b,))}
        )


def random_graph(seed: int, nodes: int = 25) -> Graph:
    """A graph of about `nodes` nodes; the same for the same seed."""
    maker = Maker(seed)
    maker.vars = [maker.builder.input(TensorType(dt.float32, s)) for s in SHAPES]
    maker.vars.append(maker.builder.input(TensorType(dt.uint64, (2,))))
    while len(maker.builder.nodes) < nodes:
        maker.step()
    results = [v for v in maker.vars if v.type.dtype is dt.float32]
    outputs = [maker.pick(results) for _ in range(3)] + [maker.vars[-1]]
    return maker.builder.build(outputs)


SPECIALS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    1e-40,
    -1e-45,
    3e38,
    0.1,
)


def random_inputs(graph: Graph, seed: int = 0) -> list[Any]:
    """Arrays for the inputs: normal numbers with special values strewn in."""
    rng = np.random.default_rng(seed)
    out = []
    for type in graph.in_types:
        if type.dtype is dt.float32:
            array = np.asarray(rng.standard_normal(type.shape), dtype=np.float32)
            chosen = rng.random(type.shape) < 0.3
            out.append(np.where(chosen, rng.choice(SPECIALS, type.shape), array).astype(np.float32))
        else:
            out.append(rng.integers(0, 100, type.shape).astype(type.dtype.numpy))
    return out

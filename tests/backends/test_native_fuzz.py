"""Random bodies of fused groups have the bits of NumPy."""

from __future__ import annotations

import random

import pytest

from dualgraph.backends.native import api
from dualgraph.core.node import Var
from dualgraph.static.graph import Graph
from tests.backends.native_bodies import Body, check

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")
UNARY = ("negative", "exp", "tanh", "abs", "sqrt", "floor", "log1p", "sin")
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


def random_body(seed: int) -> Graph:
    r = random.Random(seed)
    b = Body()
    dims = [r.choice((1, 2, 3, 16, 17, 33, 64)) for _ in range(r.randint(1, 4))]
    shapes = [
        tuple(d if r.random() < 0.7 else 1 for d in dims[r.randint(0, len(dims)) :])
        for _ in range(3)
    ]
    values = [b.input(tuple(dims)), *(b.input(s) for s in shapes)]
    for _ in range(r.randint(2, 12)):
        x = r.choice(values)
        choice = r.random()
        if choice < 0.35:
            new = b.op(r.choice(UNARY), x)
        elif choice < 0.7:
            y = r.choice([v for v in values if _fit(v.type.shape, x.type.shape)])
            new = b.op(r.choice(BINARY), x, y)
        elif choice < 0.8:
            new = b.op(r.choice(BINARY), x, r.choice((0.5, -0.0, 2.0)))
        elif choice < 0.9 and x.type.shape:
            axes = tuple(i for i in range(len(x.type.shape)) if r.random() < 0.5)
            new = b.sum(x, *axes, keepdims=r.random() < 0.7, monoid=r.choice(("sum", "max")))
        elif x.type.shape:
            new = _moved(b, r, x)
        values.append(new if choice < 0.8 or x.type.shape else x)
    return b.build(*r.sample(values[4:], min(3, len(values) - 4)))


def _fit(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return all(x == y or 1 in (x, y) for x, y in pairs)


def _moved(b: Body, r: random.Random, x: Var) -> Var:
    shape = x.type.shape
    how = r.randint(0, 3)
    if how == 0:
        return b.permute(x, axes=tuple(r.sample(range(len(shape)), len(shape))))
    if how == 1:
        return b.flip(x, axes=(r.randrange(len(shape)),))
    if how == 2:
        starts = tuple(r.randrange(d) if d else 0 for d in shape)
        return b.slice(x, starts=starts, stops=shape, steps=(1,) * len(shape))
    return b.reshape(x, shape=(x.type.size,) if r.random() < 0.5 else (*shape[::-1],))


@pytest.mark.parametrize("seed", range(60))
def test_random_bodies(seed: int) -> None:
    body = random_body(seed)
    if api.can_lower(body):
        check(body, seed)


def test_most_random_bodies_can_be_lowered() -> None:
    assert sum(api.can_lower(random_body(seed)) for seed in range(200)) > 100

"""Pads, joins and written slices at the end of a fused kernel: one pass over memory, the same bits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")


import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.core.pieces import around, pieces_of
from dualgraph.static.region import fused_region

if not api.available():
    pytest.skip("native kernels are not in use", allow_module_level=True)


def heat(u):
    u = u.clone()
    for _ in range(3):
        u[1:-1, 1:-1] = 0.5 * u[1:-1, 1:-1] + 0.1 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, :-2])
    return u


def rotate(x):
    a, b = x.chunk(2, dim=-1)
    return dg.cat([dg.cos(a) - b, dg.sin(a) + b], dim=-1)


PROGRAMS = {
    "stencil": (heat, (9, 14), 3),
    "rotation": (rotate, (5, 3, 8), 1),
    "pad": (lambda x: dg.nn.functional.pad(dg.exp(x), (1, 2, 0, 3), value=0.5), (4, 5), 1),
    "softmax in a frame": (
        lambda x: dg.nn.functional.pad(dg.softmax(x, -1), (3, 0)), (4, 50), 1,
    ),
    "unequal parts": (lambda x: dg.cat([x * 2, x[:, :1], x[:, :3] * 0.5], dim=1), (6, 7), None),
    "turned": (lambda x: dg.cat([x.T * 2, x.T + 1], dim=0), (6, 7), 1),
    "the part is a result, too": (lambda x: (y := dg.tanh(x), dg.cat([y, x])), (6, 7), 1),
    "the whole is read again": (lambda x: dg.cumsum(dg.cat([x * 2, x]), 0) + 1, (6, 7), None),
    "gradient of a slice": (lambda x: dg.grad(lambda v: (v[1:] ** 2).sum())(x), (6, 7), 1),
    "zeros of both signs": (lambda x: dg.cat([-(x * 0), x * 0]), (3, 4), 1),
    "one row": (lambda x: dg.cat([x * 2, x], dim=0), (1, 4), 1),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_are_those_of_eager_runs(name, dtype):
    fn, shape, kernels = PROGRAMS[name]
    if dtype in ("int32", "bool") and name not in ("turned", "one row", "unequal parts"):
        return
    x = dg.asarray((3 * np.random.default_rng(2).standard_normal(shape)).astype(dtype))
    compiled = dg.compile(fn, wait=True)
    compiled(x)
    assert compiled.programs
    want, got = fn(x), compiled(x)
    for a, b in zip(
        want if isinstance(want, tuple) else (want,),
        got if isinstance(got, tuple) else (got,),
        strict=True,
    ):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    nodes = compiled.programs[0].graph.nodes
    if kernels is not None and dtype.startswith("float"):
        assert [n.prim for n in nodes] == [fused_region] * kernels


def test_a_small_part_is_written_in_place():
    @dg.compile(wait=True)
    def f(x, y):
        z = x * 2
        total = z.sum()
        z[3] = dg.exp(y)
        return z, total

    x, y = dg.ones(100, 50), dg.zeros(50)
    f(x, y)
    assert "slice_update" in [n.prim.name for n in f.programs[0].graph.nodes]
    z, _ = f(x, y)
    assert z[3].tolist() == [1.0] * 50 and z[4].tolist() == [2.0] * 50


def test_written_arguments_that_are_read_around_each_place():
    def step(u):
        u[1:-1] = 0.5 * (u[2:] + u[:-2])

    a, b = (dg.arange(50.0) ** 2 for _ in range(2))
    compiled = dg.compile(step, wait=True)
    for _ in range(3):
        step(a)
        compiled(b)
    assert a.tolist() == b.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_pieces_cover_each_place_once(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 6, 3))
    starts = tuple(int(rng.integers(0, n)) for n in shape)
    stops = tuple(int(rng.integers(a + 1, n + 1)) for a, n in zip(starts, shape, strict=True))
    seen = np.zeros(shape, int)
    for at, extents in around(shape, starts, stops):
        seen[tuple(slice(a, a + n) for a, n in zip(at, extents, strict=True))] += 1
    inside = tuple(map(slice, starts, stops))
    assert (seen[inside] == 0).all()
    seen[inside] = 1
    assert (seen == 1).all()


def test_nothing_empty_is_put_together():
    graph = dg.capture(lambda x: dg.cat([x, x * 2]), dg.zeros(0, 3))
    assert all(pieces_of(n) is None for n in graph.nodes)


def nested(seed):
    """Pads, joins and writes put into each other; the intermediate ones leave, too, for some seeds."""
    rng = np.random.default_rng(seed)
    steps = [(int(rng.integers(5)), *map(int, rng.integers(0, 3, 4))) for _ in range(3)]
    fill, keep = float(rng.choice([0.0, 2.5])), seed % 3 == 0

    def run(x, y):
        z, seen = dg.tanh(x * y + 1), []
        for op, a, b, c, d in steps:
            if op == 0:
                z = dg.nn.functional.pad(z, (a, b, c, d), value=fill)
            elif op == 1:
                z = dg.concat([z[: 1 + a] * 2, z], axis=0)
            elif op == 2:
                z = dg.concat([z, z[:, :2], z[:, 1:3]], axis=1)
            elif op == 3:
                w = z.clone()
                w[a : a + 2, b : b + 2] = dg.exp(w[a : a + 2, b : b + 2])
                z = w
            else:
                z = dg.nn.functional.pad(z, (1, 1, 0, 0))
            seen += [z] * keep
        return (z, *seen)

    return run


@pytest.mark.parametrize("seed", range(40))
def test_nested_pieces_have_the_bits_of_eager_mode(seed):
    rng = np.random.default_rng(seed)
    x, y = (dg.from_numpy(rng.standard_normal((5, 6)).astype("f4")) for _ in range(2))
    fn = nested(seed)
    compiled = dg.compile(fn, wait=True)
    compiled(x, y)
    (program,) = compiled.programs
    for got, want in zip(program.call([x, y]), fn(x, y), strict=True):
        assert got.numpy().tobytes() == want.numpy().tobytes()


def test_a_join_of_joins_is_one_kernel():
    def step(u):
        middle = dg.concat([u[1:-1, :1], u[1:-1, 1:-1] * 0.5 + u[2:, 1:-1], u[1:-1, -1:]], axis=1)
        return dg.concat([u[:1], middle, u[-1:]], axis=0)

    graph = dg.compile(step, wait=True)
    graph(dg.ones(8, 9))
    assert [n.prim for n in graph.programs[0].graph.nodes] == [fused_region]

"""Narrow floats computed in float32: bfloat16 with one rounding an op, float16 where it sums up products."""

from __future__ import annotations

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.array import LARGE, NumpyBackend
from dualgraph.backends.native import api
from dualgraph.core.dtypes import from_bfloat16, to_bfloat16
from dualgraph.nn import functional as F

RNG = np.random.default_rng(3)
ALL = np.arange(1 << 16, dtype=np.uint16)


def test_all_numbers_are_widened_and_rounded_as_defined() -> None:
    assert ALL.size >= LARGE
    backend = NumpyBackend()
    wide = backend.widen(ALL)
    assert wide.tobytes() == from_bfloat16(ALL).tobytes()
    bits = np.concatenate(
        [wide.view(np.uint32) + k for k in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)]
    )
    assert (
        backend.narrow(bits.view(np.float32), dg.bfloat16).tobytes()
        == to_bfloat16(bits.view(np.float32)).tobytes()
    )


CASES = {
    "chain": lambda x, y: (x * 0.1 + y).tanh() - y / 3,
    "casts": lambda x, y: (x.double() + 1, (x * 10).int(), (x > 0).bfloat16(), y.double().bfloat16()),
    "folds": lambda x, y: (x.sum(), y.mean(0), x.max(1)[0], y.std(1), x.argmax(1)),
    "rows": lambda x, y: (x.softmax(1), F.layer_norm(y, (y.shape[1],))),
    "products": lambda x, y: (F.gelu(x @ y.t() + x[:, :1]), dg.einsum("ij,ij->i", x, y), x[0] @ y[1]),
    "windows": lambda x, y: F.conv1d(x[None, :5], y[:15, :6].reshape(6, 5, 3), padding=1),
    "moved": lambda x, y: dg.cat([F.pad(x, (1, 1), value=0.3), y], 1).t() * dg.full((33,), 0.3, dtype=x.dtype),
    "chosen": lambda x, y: (dg.where(x > y, x, 0.3), x.clamp(-0.3, 0.3), x.gather(1, x.argsort(1))),
    "parts' gradients": lambda x, y: dg.grad(lambda v: v[:1].float().sum() * v[1:].float().square().sum())(x[:2] * 1.5),
    "not numbers": lambda x, y: (x - x) / (y - y),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [dg.bfloat16, dg.float16], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_captured_bits_are_those_of_eager_mode(name: str, dtype: dg.dtype) -> None:
    f = CASES[name]
    x, y = (dg.asarray(RNG.standard_normal((33, 70)).astype("f4")).to(dtype) for _ in "xy")
    compiled = dg.compile(f, wait=True)
    for _ in range(2):
        for got, wanted in zip(_tuple(compiled(x, y)), _tuple(f(x, y)), strict=True):
            assert got.dtype is wanted.dtype
            assert got._data.tobytes() == wanted._data.tobytes()
    assert compiled.programs[0].calls, compiled.explain()


@pytest.mark.parametrize("dtype", [dg.bfloat16, dg.float16], ids=str)
def test_sums_of_products_are_rounded_once(dtype: dg.dtype) -> None:
    x, y = (dg.asarray(RNG.standard_normal((20, 300)).astype("f4")).to(dtype) for _ in "xy")
    got, wide = x @ y.t(), x.float() @ y.float().t()
    assert got._data.tobytes() == wide.to(dtype)._data.tobytes()


def _tuple(x):
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.skipif(not api.available(), reason="native code needs llvmlite")
def test_a_chain_is_one_kernel() -> None:
    f = dg.compile(CASES["chain"], wait=True)
    x = dg.asarray(RNG.standard_normal((8, 16)).astype("f4")).bfloat16()
    f(x, x)
    assert [n.prim.name for n in f.programs[0].graph.nodes] == ["fused"]


def test_a_step_of_training_keeps_its_bits() -> None:
    def trained(wrap):
        dg.manual_seed(0)
        model = dg.nn.Sequential(dg.nn.Linear(12, 16), dg.nn.ReLU(), dg.nn.Linear(16, 3)).bfloat16()
        optimizer = dg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x, t):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
            return loss

        x, t = dg.randn(8, 12).bfloat16(), dg.arange(8) % 3
        step = wrap(step)
        losses = [step(x, t)._data.tobytes() for _ in range(4)]
        return losses, [p._data.tobytes() for p in model.parameters()]

    assert trained(lambda f: f) == trained(lambda f: dg.compile(f, wait=True))

"""Eager ops one by one against PyTorch's: many ops, sizes from 10 to 4e6 elements (``python -m benchmarks --eager``).

A row is an expression that both libraries take. It may speak of ``x``, ``y`` (float32 vectors of n), ``a``, ``b``
(square matrices of about n elements), ``d`` (float64), ``k`` (int64, below n), ``m`` (bool), ``w`` (like x, wants a
gradient) and ``F``.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from ..spec import Call, Workload, torch_like

WARM = 0.1  # seconds before anything is measured
SIZES = (10, 1000, 100_000, 4_000_000)
ALL, SMALL, LARGE, SQUARES = SIZES, SIZES[:1], SIZES[2:], (10, 1000, 100_000)

OPS: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = (
    (ALL, (
        "x + y", "x * 2", "x > 0", "x.exp()", "x.relu()", "x.sum()", "x.mean()", "x.max()", "x.argmax()",
        "x.std()", "x.cumsum(0)", "x.sort()", "x.argsort()", "x.topk(5)", "x[k]", "x[m]",
        "x.masked_fill(m, 0.0)", "ns.where(m, x, y)", "x.clone()", "x.long()", "x.double()", "m.nonzero()",
        "m.sum()", "m & m", "m.any()", "k + k", "k.sum()", "k.float()", "d + d", "d.sum()", "d.exp()",
        "ns.cat([x, y])", "ns.stack([x, y])", "x.add_(1e-9)", "x.mul_(1.0)", "x.clamp_(-9, 9)",
        "x.clamp(-1, 1)", "x.flip(0)", "x.norm()", "k.bincount()", "x.gather(0, k)", "x.index_select(0, k)",
        "x.index_add(0, k, y)", "x.scatter(0, k, y)", "ns.zeros(n)", "ns.ones(n)", "ns.randn(n)", "ns.rand(n)",
        "ns.arange(n)", "x.softmax(0)", "x.isnan()", "x.round()", "x.abs().max().item()", "x.var()",
    )),
    ((10, 100_000, 4_000_000), (
        "a.sum(0)", "a.sum(1)", "a.mean(1)", "a.max(1)", "a.argmax(1)", "a.amax(0)", "a.softmax(1)",
        "a.log_softmax(1)", "F.layer_norm(a, (r,))", "a.t().contiguous()", "a + a[0]", "a * a[:, :1]",
        "a.sort(1)", "a.topk(2, 1)", "a.cumsum(1)", "a.norm(dim=1)", "a.var(1)", "a.tril()", "a.roll(1, 0)",
        "ns.cat([a, b], 1)", "a[:, k[:9] % r]", "a[k[:9] % r]", "F.embedding(k[:999] % r, a)",
        "F.one_hot(k[:99] % 50, 50)", "F.gelu(a)", "F.silu(a)", "F.dropout(a)", "F.pad(a, (1, 1))",
        "a.unique()", "a.repeat(2, 1)",
    )),
    (SQUARES, (
        "a @ b", "a @ x[:r]", "F.linear(a, b, x[:r])", "ns.einsum('ij,jk->ik', a, b)",
    )),
    (SMALL, (
        "x[2:5]", "x[3]", "x[-1]", "a[:, 0]", "a[0]", "a[1, 2]", "x[None]", "x[...]", "x[k]", "a[k % r]",
        "x.reshape(2, 5)", "x.view(2, 5)", "a.t()", "a.transpose(0, 1)", "a.permute(1, 0)", "x.unsqueeze(0)",
        "x[None].squeeze(0)", "x.expand(3, 10)", "a.flatten()", "x.float()", "x.detach()", "float(x[0])",
        "x[0].item()", "bool(m[0])", "x.tolist()", "x.numpy()", "ns.tensor([1., 2., 3.])", "ns.tensor(1.0)",
        "ns.zeros(2, 3)", "ns.zeros_like(x)", "ns.empty(10)", "ns.full((10,), 2.0)", "ns.arange(10)",
        "ns.eye(3)", "x == y", "-x", "x ** 2", "x / y", "x % 2", "x.shape[0]", "x.size(0)", "x.dim()", "len(x)",
        "x.requires_grad", "x.unbind(0)", "x.split(5)", "x.chunk(2)", "F.relu(x)", "F.mse_loss(x, y)",
        "F.cross_entropy(a, k[:r] % r)", "linear(x)", "norm(x)", "model(x)", "no_grad(ns)", "w + y", "w[2:5]",
        "w.reshape(2, 5)", "w.sum()", "(w * w).sum().backward()", "step()", "loss_of(model)",
        "ns.maximum(x, y)", "ns.outer(x, y)", "x.dot(y)", "x.allclose(y)", "x.all()", "x.prod()",
        "setitem(x, 2, 1.0)", "setitem(x, slice(2, 5), y[2:5])", "setitem(x, m, 0.0)", "sgd.step()",
        "adam.step()",
    )),
    (LARGE, (
        "sgd.step()", "adam.step()", "clip(w)", "setitem(x, m, 0.0)", "(w * w).sum().backward()", "w.exp()",
    )),
)  # fmt: skip


def names(ns: Any, n: int) -> dict[str, Any]:
    """What expressions may speak of."""
    rng = np.random.default_rng(0)
    r = max(3, math.isqrt(n))
    nn = ns.nn

    def floats(*shape: int) -> Any:
        return ns.from_numpy(rng.standard_normal(shape).astype("float32"))

    x, y, a, b = floats(n), floats(n), floats(r, r), floats(r, r)
    w = floats(n).requires_grad_(True)
    w.grad = floats(n) * 1e-9
    model = nn.Sequential(
        nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)
    )
    learner = ns.optim.SGD(model.parameters(), lr=1e-3)

    def loss_of(model: Any) -> Any:
        return model(x[:10]).sum()

    def step() -> None:
        learner.zero_grad()
        loss_of(model).backward()
        learner.step()

    def no_grad(ns: Any) -> None:
        with ns.no_grad():
            pass

    return {
        "ns": ns, "F": nn.functional, "n": n, "r": r, "x": x, "y": y, "a": a, "b": b, "w": w, "d": x.double(),
        "k": ns.from_numpy(rng.integers(0, n, n)), "m": ns.from_numpy(rng.random(n) < 0.5), "model": model,
        "linear": nn.Linear(10, 10), "norm": nn.LayerNorm(10), "step": step, "loss_of": loss_of, "no_grad": no_grad,
        "setitem": lambda x, i, v: x.__setitem__(i, v), "sgd": ns.optim.SGD([w], lr=1e-9),
        "adam": ns.optim.Adam([w], lr=1e-9), "clip": lambda w: nn.utils.clip_grad_norm_([w], 1e3),
    }  # fmt: skip


def _row(expression: str, n: int) -> Workload:
    def make(ns: Any, mode: str) -> Call:
        call: Call = eval(f"lambda: {expression}", names(ns, n))
        end = time.perf_counter() + WARM
        for i in range(3000):  # as in a program that goes on
            call()
            if i > 9 and time.perf_counter() > end:
                break
        return call

    build = {k: v for k, v in torch_like(make).items() if k in ("dualgraph-eager", "torch")}
    return Workload(f"{expression}, {n:.0e}", build, 0.8, 1.0, mine="dualgraph-eager")


EAGER_OPS = [_row(text, n) for sizes, texts in OPS for text in texts for n in sizes]

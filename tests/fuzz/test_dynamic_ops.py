"""Ops of many kinds at sizes that change: two captures serve all of them, with the bits of eager mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn
from dualgraph.core.trees import flatten

draw = np.random.default_rng(0)


def made(*shape: int) -> Any:
    return dg.tensor(draw.standard_normal(shape).astype(np.float32))


W, b, E, P = made(5, 5), made(5), made(11, 5), made(5, 8)
attention = nn.MultiheadAttention(8, 2, batch_first=True)
layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
conv, image = nn.Conv1d(5, 4, 3, padding=1), nn.Conv2d(1, 3, 3, stride=2)


def halves(x: Any, y: Any) -> Any:
    h = x.shape[0] // 2
    return x[:h].sum(0), x[h:].sum(0)


def written(x: Any, y: Any) -> Any:
    x.add_(1)
    x[0] = 2
    return (x * y).sum()


def causal(x: Any, y: Any) -> Any:
    n = x.shape[0]
    return dg.where(dg.tril(dg.ones(n, n)) > 0, x @ y.T, -1e9).softmax(-1)


def unpacked(x: Any, y: Any) -> Any:
    n, k = x.shape
    return x.view(n, k, 1).expand(n, k, 2).reshape(n, -1), y.view(y.size(0), -1) / y.size()[0]


# Each with the captures that 0 to 64 rows may take: where few rows are another matter, one or two more.
CASES = {
    "vmap": (lambda x, y: dg.vmap(lambda a, c: a * c.sum() + a @ W)(x, y), 2),
    "vmap over columns": (
        lambda x, y: dg.vmap(lambda a: (a - a.mean()) / a.shape[0] * len(a), in_axes=1)(x), 4
    ),
    "vmap of grad": (lambda x, y: dg.vmap(dg.grad(lambda a: (a @ W).tanh().sum()))(x), 2),
    "grad": (lambda x, y: dg.grad(lambda a: (a @ W).tanh().sum() / len(a))(x), 3),
    "jvp": (lambda x, y: dg.jvp(lambda a: (a @ W).exp(), (x,), (y,)), 2),
    "attention": (
        lambda x, y: F.scaled_dot_product_attention(
            (x @ P).view(1, 1, len(x), 8), (y @ P)[None, None], (x @ P)[None, None], is_causal=True
        ), 3,
    ),
    "multihead": (lambda x, y: attention((x @ P)[None], (y @ P)[None], (x @ P)[None])[0], 3),
    "encoder": (lambda x, y: layer((x @ P)[None]), 3),
    "embedding": (lambda x, y: F.embedding((y[:, 0].abs() * 3).long().clamp(0, 10), E), 2),
    "conv1d": (lambda x, y: conv(x.T[None]), 3),
    "conv2d": (lambda x, y: image(dg.stack([x, y])[:, None].repeat(1, 1, 2, 2)), 4),
    "dropout": (lambda x, y: F.dropout(x, 0.4) + F.dropout(y, 0.2), 3),
    "draws": (lambda x, y: (x + dg.rand(len(x), 1), dg.randperm(len(x)), dg.randn_like(x)), 3),
    "cumsum": (lambda x, y: (x.cumsum(0), x.cumprod(0), x.cumsum(0) / (dg.arange(len(x)) + 1)[:, None]), 3),
    "sort": (lambda x, y: (x.sort(0), dg.argsort(y, axis=0), x.topk((len(x) + 1) // 2, dim=0)[0]), 2),
    "cat": (lambda x, y: (dg.cat([x, y, x[:1]], 0), dg.cat([x, y], 1), dg.stack([x, y])), 3),
    "pad": (lambda x, y: F.pad(x, (1, 1, x.shape[0], 2)), 3),
    "one hot": (lambda x, y: F.one_hot((x[:, 0].abs() * 2).long().clamp(0, 3), 4), 3),
    "arange": (lambda x, y: (dg.arange(x.shape[0]) * 2, dg.arange(len(x))[:, None] + x), 2),
    "broadcast": (lambda x, y: (dg.broadcast_to(x[:1], (len(x) + 2, 5)), b.expand(x.size(0), 5) * x), 3),
    "written": (written, 4),
    "aliases": (lambda x, y: (x, x[1:], y.view(-1), x.T), 4),
    "halves": (halves, 4),
    "causal": (causal, 3),
    "unpacked": (unpacked, 3),
    "gather": (lambda x, y: (x[dg.flip(dg.arange(len(x)), axis=0)], x.index_select(0, dg.arange(len(x)))), 3),
    "roll": (lambda x, y: (dg.roll(x, 1, axis=0), x.flip(0), x.repeat(2, 1), dg.repeat(x, 2, axis=0)), 4),
    "spread": (lambda x, y: (x.std(0), x.mean(), x.sum() / x.numel(), x.size(0) * x.numel(), x.norm()), 4),
    "reductions": (lambda x, y: (x.argmax(0), x.max(), x.min(1), x.logsumexp(0)), 3),
    "losses": (lambda x, y: (F.cross_entropy(x, (y[:, 0].abs() * 2).long().clamp(0, 4)), F.mse_loss(x, y)), 3),
    "einsum": (lambda x, y: (dg.einsum("ij,kj->ik", x, y), dg.einsum("ij,ij->i", x, y)), 3),
    "last row": (lambda x, y: (x[len(x) - 1], x[-1], y[x.shape[0] // 2], dg.tensor(len(x)) * 2), 3),
    "resized": (lambda x, y: (
        F.interpolate(x[None, None], scale_factor=2), F.interpolate(x.T[None], scale_factor=1.5, mode="linear")), 4),
    "slopes of attention": (lambda x, y: dg.grad(
        lambda q: F.scaled_dot_product_attention(q[None], y[None], x[None], is_causal=True).sum())(x), 3),
    "weights of attention": (lambda x, y: attention((x @ P)[None], (y @ P)[None], (x @ P)[None])[1], 3),
    "next power of two": (lambda x, y: F.pad(x, (0, 0, 0, (1 << len(x).bit_length()) - len(x))), 3),
}  # fmt: skip


def outcome(fn: Any, n: int) -> Any:
    rng = np.random.default_rng(n)
    x, y = (dg.tensor(rng.standard_normal((n, 5)).astype(np.float32)) for _ in range(2))
    dg.manual_seed(n)
    try:
        out = fn(x, y)
    except (dg.DualgraphError, ValueError, IndexError, ZeroDivisionError) as problem:
        return type(problem).__name__
    values = [v.detach().numpy().copy() if isinstance(v, dg.Tensor) else v for v in flatten(out)[0]]
    return [*values, x.numpy().copy()]


@pytest.mark.parametrize("name", CASES)
def test_two_captures_serve_all_sizes(name: str) -> None:
    fn, most = CASES[name]
    compiled = dg.compile(fn, wait=True)
    for n in (4, 6, 5, 5, 9, 17, 2, 3, 33, 1, 0, 64, 1, 0):
        expected, got = outcome(fn, n), outcome(compiled, n)
        if isinstance(expected, str):
            assert got == expected
            continue
        assert len(got) == len(expected)
        for p, q in zip(got, expected, strict=True):
            assert type(p) is type(q)
            np.testing.assert_array_equal(p, q, err_msg=f"{n}")
    assert "tried with an eager run first" not in compiled.explain()
    captured = [line for line in compiled._log if line.startswith("captured")]
    assert len(captured) <= most, compiled.explain()

"""Fuzzed sizes: random programs called with batches of many sizes give the bits of eager mode."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F

# Each takes (n, k) to (n, k) for any n; a size of n may be one that other n's are not.
ROWS = (
    "x * 2 - y", "(x + b).tanh()", "dg.softmax(x, axis=-1)", "x - x.mean(0, keepdim=True)", "x @ M",
    "x / (x.abs().sum() + 1)", "F.layer_norm(x, (K,))", "x.flip((0,)) + y", "dg.where(x > y, x, y)",
    "(x @ y.T) @ x / K", "x.reshape((-1,)).reshape((-1, K)) * 0.5", "x.T.clone().T + b", "x.cumsum(0) * 0.1",
    "x[:, 1:].sum(1, keepdim=True) + y", "dg.concat([x[:1], x[1:]])", "x.reshape((x.shape[0], 1, K))[:, 0] * 2",
    "x + dg.arange(x.shape[0]).reshape((-1, 1))", "x * (x.sum() / x.numel())", "x.sort(0)[0]",
    "x.unsqueeze(1).expand(-1, 3, -1).mean(1)", "F.pad(x, (1, 0))[:, 1:]", "x.sigmoid() * y.relu()",
    "x + dg.zeros(x.shape[0], 1)", "x.masked_fill(x > 1, 0.5)", "dg.tril(x @ x.T) @ x",
    "x.view(x.size(0), -1) * (2 if x.shape[0] % 2 else 3)", "x * len(x)", "x - x.var(0, unbiased=False)",
    "dg.stack([x, y]).sum(0)", "x.clone().add_(1)", "x + dg.randn(*x.shape)", "x.half().float() * b",
)  # fmt: skip
ENDS = (
    "x", "x.sum()", "x.mean(0)", "x.max(1)[0]", "(x.sum(0), x.sum(1))", "x[1:]", "x[::2]", "x.T", "x.argmax(1)",
    "(x, y + x)", "dg.concat([x, y])", "x.reshape(-1)", "(x * x).mean()", "x.std()", "x.prod(0)",
)  # fmt: skip


def program(seed: int) -> Any:
    rng = random.Random(seed)
    names: dict[str, Any] = {"dg": dg, "F": F, "K": 5}
    draw = np.random.default_rng(seed)
    names["M"] = dg.tensor(draw.standard_normal((5, 5)).astype(np.float32))
    names["b"] = dg.tensor(draw.standard_normal(5).astype(np.float32))
    lines = [f"    {rng.choice('xxy')} = {rng.choice(ROWS)}" for _ in range(rng.randrange(2, 7))]
    if rng.random() < 0.4:
        lines.append("    loss = (x * y).sum() / x.shape[0] if x.shape[0] else x.sum()")
        lines.append("    return dg.autograd.grad(loss, [a])[0], x.detach()")
    else:
        lines.append(f"    return {rng.choice(ENDS)}")
    source = "\n".join(["def f(a, c):", "    x, y = a, c", *lines])
    exec(compile(source, f"<sizes {seed}>", "exec"), names)
    return names["f"], source


def outcome(fn: Any, n: int, seed: int) -> Any:
    rng = np.random.default_rng(1000 * seed + n)
    a, c = (dg.tensor(rng.standard_normal((n, 5)).astype(np.float32)) for _ in range(2))
    a.requires_grad_()
    dg.manual_seed(n)
    try:
        out = fn(a, c)
    except (dg.DualgraphError, ValueError, ZeroDivisionError, IndexError) as problem:
        return type(problem).__name__
    values = [out] if isinstance(out, dg.Tensor) else list(out)
    return [v.detach().numpy() for v in values], dg.rand(2).numpy()


@pytest.mark.parametrize("seed", range(60))
def test_batches_of_all_sizes_have_the_bits_of_eager_mode(seed: int) -> None:
    fn, source = program(seed)
    compiled = dg.compile(fn, wait=True)
    rng = random.Random(seed)
    for n in [4, 6, *rng.choices([1, 2, 3, 5, 7, 12, 17, 40], k=6), rng.choice([0, 1]), 6]:
        expected = outcome(fn, n, seed)
        for _ in range(2):
            got = outcome(compiled, n, seed)
            if isinstance(expected, str):
                assert got == expected, source
                continue
            for x, y in zip([*got[0], got[1]], [*expected[0], expected[1]], strict=True):
                assert x.shape == y.shape and x.dtype == y.dtype, source
                np.testing.assert_array_equal(x, y, err_msg=f"{n}\n{source}")
    failed = [p.failure for p in compiled.programs if p.failure]
    assert not failed, (source, failed)

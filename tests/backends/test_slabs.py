"""Folds down the columns of large arrays, and what is stored along them: the bits of eager mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.backends.native.lower import lower
from dualgraph.nn import functional as F

pytestmark = pytest.mark.skipif(not api.available(), reason="no native code")


def centred(x: Any) -> Any:
    return x - dg.mean(x, axis=-2, keepdims=True)


def standardised(x: Any) -> Any:
    spread = dg.std(x, axis=-2, keepdims=True) + 1e-5
    return centred(x) / spread, spread.squeeze(-2)


def weighed(x: Any) -> Any:
    """Several outputs: rows, columns, and one in another order than the input."""
    least, total = dg.min(x, axis=-2, keepdims=True), dg.sum(x.abs(), axis=-2, keepdims=True)
    return (x - least) / total, total * 2, dg.permute_dims(x / total, (*range(x.ndim - 2), -1, -2))


def steps(x: Any) -> Any:
    y = x * 0.5
    y[..., 0] = 1.0
    y -= dg.max(y, axis=-2, keepdims=True)
    return y, dg.cumulative_sum(y, axis=-2)


FUNCTIONS: list[Callable[[Any], Any]] = [
    centred, standardised, weighed, steps,
    lambda x: F.softmax(x, -2), lambda x: F.log_softmax(x, -2), lambda x: F.normalize(x, dim=-2),
    lambda x: dg.grad(lambda x: (F.softmax(x, -2) ** 2).sum())(x),
]  # fmt: skip


def leaves(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((700, 400), "float32"), ((2, 600, 300), "float64"), ((16, 20_000), "float32"), ((16, 20_000), "float64")],
)  # fmt: skip
def test_columns_of_large_arrays(shape: tuple[int, ...], dtype: str) -> None:
    x = dg.asarray(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    x[..., 3, 5] = float("nan")
    for f in FUNCTIONS:
        compiled = dg.compile(f, wait=True)
        compiled(x)
        for n in (1, 2, 3):
            dg.set_num_threads(n)
            for got, want in zip(leaves(compiled(x)), leaves(f(x)), strict=True):
                assert got.numpy().tobytes() == want.numpy().tobytes()


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = dg.get_num_threads()
    yield
    dg.set_num_threads(before)


def test_they_are_stored_row_by_row() -> None:
    """Small ones in the loop that folds them, large ones in a nest of their own."""
    for rows, nests in ((50, 1), (701, 2)):
        compiled = dg.compile(centred, wait=True)
        compiled(dg.ones(rows, 401))
        (fused,) = compiled.programs[0].graph.nodes
        assert len(lower(fused.params["body"]).nests) == nests

"""The sign of NaN is a bit like others: eager and captured runs, first calls and later ones, agree on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg

FUNCTIONS = {
    "times -1": lambda x: x * -1,
    "by -1": lambda x: x / -1,
    "minus a product": lambda x: -(x * 3),
    "minus a quotient": lambda x: -(x / 3),
    "a sum with a negative": lambda x: dg.ones(x.shape) + -(x * 2),
    "less a negative": lambda x: dg.ones(x.shape) - (-x),
    "from 0": lambda x: 0 - x,
    "bfloat16": lambda x: (x.bfloat16() * -1).float(),
    "float16": lambda x: (-(x.half() * 2)).float(),
    "float64": lambda x: -(x.double() * 2) * -1,
    "sigmoid": lambda x: x.sigmoid(),
    "max": lambda x: x.max(),
    "min of rows": lambda x: x.reshape(1, -1).amin(1),
    "max of columns": lambda x: x.reshape(-1, 1).amax(0),
    "mean": lambda x: x.mean(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_sign_of_nan_is_the_same_in_both_modes(name: str) -> None:
    f: Any = FUNCTIONS[name]
    for bits in (0x7FC00000, 0xFFC00000):
        for size in (1, 2, 17, 100):
            x = dg.tensor(np.full(size, bits, np.uint32).view(np.float32))
            compiled = dg.compile(f, wait=True)
            eager = {f(x).numpy().tobytes() for _ in range(40)}
            assert {compiled(x).numpy().tobytes() for _ in range(3)} == eager and len(eager) == 1

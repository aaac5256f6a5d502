"""Single numbers: the fma of Python's numbers has the bits of the one by NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dualgraph.backends.scalar_numpy import ExactArrayScalar
from dualgraph.backends.scalar_single import SingleScalar


def numbers(dtype: str) -> list[float]:
    info = np.finfo(dtype)
    tiny, least = float(info.tiny), float(info.smallest_subnormal)
    some = [0.0, 1.0, 1.0 + float(info.eps), 3.0, 1 / 3, float(info.max), tiny, least, tiny * 1.5]
    drawn = np.random.default_rng(0).standard_normal(4) * [1.0, 1e-2, float(info.max) ** 0.5, 1e3]
    found = [float(np.array(x, dtype)) for x in (*some, *drawn, tiny**0.5)]
    return [*found, *(-x for x in found), np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fma_of_single_numbers_has_the_bits_of_numpy(dtype: str) -> None:
    a, b, c = (
        np.array(x, dtype) for x in zip(*itertools.product(numbers(dtype), repeat=3), strict=True)
    )
    wanted = ExactArrayScalar(np).fma(a, b, c)
    single = SingleScalar(np)
    found = np.array([single.fma(*x) for x in zip(a, b, c, strict=True)])
    assert found.dtype == wanted.dtype
    there = ~np.isnan(wanted)  # of NaN the sign may differ: its callers wait for code then
    np.testing.assert_array_equal(np.isnan(found), ~there)
    assert found[there].tobytes() == wanted[there].tobytes()


def test_what_has_axes_goes_by_numpy() -> None:
    x = np.linspace(0.1, 1.0, 5, dtype=np.float32)
    found = SingleScalar(np).fma(x, x, 1.0)
    assert found.tobytes() == ExactArrayScalar(np).fma(x, x, 1.0).tobytes()

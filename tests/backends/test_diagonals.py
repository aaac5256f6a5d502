"""Diagonals of matrices are read by native kernels where they lie."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import dualgraph as dg


@pytest.mark.parametrize(
    ("equation", "shape"),
    [("ii->", (37, 37)), ("bii->b", (5, 20, 20)), ("ibi->b", (20, 5, 20)), ("iij->j", (6, 6, 40))],
)
def test_sums_of_diagonals_are_one_native_kernel(equation, shape):
    x = dg.randn(*shape)
    compiled = dg.compile(lambda x: dg.einsum(equation, x) * 2, wait=True)
    for _ in range(3):
        got = compiled(x)
    expected = dg.einsum(equation, x) * 2
    np.testing.assert_array_equal(got.numpy(), expected.numpy())
    np.testing.assert_allclose(
        got.numpy(), np.einsum(equation, x.numpy()) * 2, rtol=1e-4, atol=1e-4
    )
    (program,) = compiled.programs
    assert len(program.graph.nodes) == 1
    assert program._executable.native == {0}


@pytest.mark.parametrize("offset", [-3, 0, 2])
def test_diagonals_beside_the_main_one_have_their_places(offset):
    x = dg.randn(9, 12)
    compiled = dg.compile(lambda x: dg.diagonal(x, offset).exp().sum(), wait=True)
    for _ in range(3):
        got = compiled(x)
    expected = dg.diagonal(x, offset).exp().sum()
    np.testing.assert_array_equal(got.numpy(), expected.numpy())
    want = np.exp(np.diagonal(x.numpy(), offset)).sum()
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5)

"""``x[key]`` and ``x[key] = v`` natively: what Python's way gives, views, versions and gradients too."""

import os

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.eager.indexing import getitem

if not api.available() or os.environ.get("DUALGRAPH_QUICK") == "0":
    pytest.skip("there is no quick path", allow_module_level=True)

S = slice
KEYS = [
    0, -1, S(None), S(1, None), S(None, None, 2), None, ..., (0, 1), (S(None), 0), (..., 0), (0, ..., 1),
    (None, 0, None),
    (S(0, 1), None, ..., S(1, 3)), (1, 2, 3, 4), (), S(5, 9), S(None, None, -1), (S(None), S(0, 0)), True, S(-1, None),
    (..., None), 10**30, S(10**30), (0, 0, 0, 0, 0), (0, ..., ...), np.int64(1), S(0, 9, 0), "a", 1.0, (S(-9, -1), -2),
]  # fmt: skip


def outcome(call):
    try:
        return call()
    except Exception as problem:
        return type(problem)


def layouts():
    x = dg.asarray(np.arange(120.0).reshape(2, 3, 4, 5))
    return [x, x.permute(3, 1, 0, 2), x[0], x[:, :, ::2], dg.zeros(0, 3), dg.tensor(1.0), x > 3]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_parts_are_those_of_python(key):
    for x in layouts():
        for wants in (False, True):
            if wants and not x.dtype.is_inexact:
                continue
            t = x.detach().clone().requires_grad_() if wants else x
            expected, got = outcome(lambda t=t: getitem(t, key)), outcome(lambda t=t: t[key])
            if isinstance(expected, type):
                assert got is expected
                continue
            assert got.tensor_type == expected.tensor_type
            assert got._data.tobytes() == expected._data.tobytes()
            assert got._data.flags.c_contiguous == expected._data.flags.c_contiguous
            assert not got.numel() or (got._parent is None) == (expected._parent is None)
            if got._parent is not None:
                assert got._cell is t._cell and got._stamp == expected._stamp
            if wants:
                (g,) = dg.autograd.grad(expected.sum(), [t])
                (h,) = dg.autograd.grad(got.sum(), [t])
                assert g._data.tobytes() == h._data.tobytes()


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("value", [2.5, -0.0, 1, True, dg.tensor(1.0), np.float64(3)], ids=str)
def test_written_parts_are_those_of_numpy(key, value):
    plain = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    x = dg.asarray(plain.copy())
    whole, part = x.view(120), x[1:]
    try:
        plain[key] = value.numpy() if isinstance(value, dg.Tensor) else value
    except Exception:
        with pytest.raises((dg.DualgraphError, TypeError, ValueError, IndexError)):
            x[key] = value
        return
    x[key] = value
    assert x._data.tobytes() == plain.tobytes()
    assert whole._version == part._version == x._version <= 1


def test_writes_through_views_that_a_tape_knows_of():
    w = dg.ones(4, 3, requires_grad=True)
    x = w * 2
    x[1, 2] = 5.0
    x[2] = x[0] * 3
    x[:, 0].mul_(2)
    x.sum().backward()
    assert w.grad.tolist() == [[16.0, 8.0, 8.0], [4.0, 2.0, 0.0], [0.0, 0.0, 0.0], [4.0, 2.0, 2.0]]
    with pytest.raises(dg.AutogradError):
        w[0] = 1.0
    with pytest.raises(dg.AutogradError):
        w[0][1] = 1.0
    with pytest.raises(dg.AutogradError):
        dg.ones(1).expand(3)[1] = 1.0
    with dg.no_grad():
        w[0][1] = 7.0
    assert w[0, 1].item() == 7


def test_overlapping_parts_and_other_dtypes():
    x = dg.arange(6)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]
    x[0] = 7
    x[2:4] = dg.tensor([1.0, 2.0]).long()
    assert x.tolist() == [7, 0, 1, 2, 3, 4]
    m = dg.zeros(3, dtype=dg.bool)
    m[1] = True
    assert m.tolist() == [False, True, False]
    h = dg.zeros(3, dtype=dg.bfloat16)
    h[1] = 1.5
    assert h.tolist() == [0, 1.5, 0]
    with pytest.raises(dg.ShapeError):
        dg.zeros(4, 3)[0] = dg.ones(2)


def test_parts_in_captures_are_seen():
    def f(x):
        x = x.clone()
        x[1:3] = x[0:2] * 2
        x[0] = 4.0
        return x[::2].sum() + x[1, 1]

    g = dg.compile(f, wait=True)
    for seed in range(3):
        x = dg.asarray(np.random.default_rng(seed).normal(size=(5, 3)))
        assert f(x).item() == g(x).item()

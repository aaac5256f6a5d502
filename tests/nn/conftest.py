"""Comparison with PyTorch: one function run by both, values and gradients side by side."""

import numpy as np
import pytest

import dualgraph as dg


def _leaves(make, arrays):
    out = []
    for a in arrays:
        x = make(a.copy())
        if a.dtype.kind == "f":
            x.requires_grad_()
        out.append(x)
    return out


def _values_and_gradients(functional, make, fn, arrays):
    xs = _leaves(make, arrays)
    outs = fn(functional, *xs)
    outs = outs if isinstance(outs, tuple) else (outs,)
    rng = np.random.default_rng(5)
    terms = []
    for out in outs:
        weight = make(rng.standard_normal(tuple(out.shape)).astype("float32"))
        if out.requires_grad:
            terms.append((out * weight).sum())
    if terms:
        sum(terms).backward()
    gradients = [None if x.grad is None else np.asarray(x.grad) for x in xs]
    return [np.asarray(o.detach()) for o in outs], gradients


@pytest.fixture(scope="session")
def against_torch():
    """``check(fn, *arrays)``: ``fn(F, *tensors)`` gives PyTorch's values and gradients."""
    torch = pytest.importorskip("torch")

    def check(fn, *arrays, rtol=2e-5, atol=2e-6):
        wanted = _values_and_gradients(torch.nn.functional, torch.from_numpy, fn, arrays)
        found = _values_and_gradients(dg.nn.functional, dg.from_numpy, fn, arrays)
        for ours, theirs in zip(found, wanted, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert (a is None) == (b is None)
                if b is not None:
                    assert a.shape == b.shape and a.dtype == b.dtype
                    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)

    return check

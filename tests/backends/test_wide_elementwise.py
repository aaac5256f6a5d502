"""Wide arrays: from some size on elementwise ops run in native code, with the bits that they have on small ones."""

from __future__ import annotations

import numpy as np
import pytest

import dualgraph as dg  # noqa: F401 (it registers the ops)
from dualgraph.backends.array import LARGE, WIDE, NumpyBackend
from dualgraph.backends.native import api
from dualgraph.core.dtypes import BY_NAME
from dualgraph.core.errors import DTypeError
from dualgraph.core.kinds import ELEMENTWISE
from dualgraph.core.prim import REGISTRY
from dualgraph.core.types import TensorType

pytestmark = pytest.mark.skipif(not api.available(), reason="native code needs llvmlite")
DTYPES = ("bool", "int32", "int64", "float16", "float32", "float64")


def plain_ops():
    """Names of elementwise ops without parameters, and how many operands they take."""
    for name, prim in sorted(REGISTRY.items()):
        # Those with parameters have samples
        if prim.kind is ELEMENTWISE and prim.sample_rule is None:
            yield name, len(prim.__signature__.parameters)


def computed_in(prim, dtype, arity):
    """The dtypes that operands are cast to; None where the op does not take them."""
    try:
        return ELEMENTWISE.resolve(prim, (BY_NAME[dtype],) * arity)[0]
    except DTypeError:
        return None


def operand(rng, dtype):
    """Numbers of all sizes, zeros of both signs, infinities and NaN."""
    x = rng.standard_normal(WIDE) * 10.0 ** rng.integers(-2, 3, WIDE)
    if dtype.is_inexact:
        for start, value in enumerate((np.nan, 0.0, -0.0, np.inf, -np.inf, 1.0, 0.5, -2.5)):
            x[start::31] = value
        rng.shuffle(x)
    return (np.abs(x) if dtype.kind == "int" else x).astype(dtype.numpy)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "arity"), list(plain_ops()))
def test_wide_and_narrow_runs_agree(name, arity, dtype):
    prim, backend, rng = REGISTRY[name], NumpyBackend(), np.random.default_rng(3)
    dtypes = computed_in(prim, dtype, arity)
    if dtypes is None:
        pytest.skip("the op does not take this dtype")
    (out,) = prim.infer(tuple(TensorType(d, ()) for d in dtypes), {})
    arrays = [operand(rng, d) for d in dtypes]
    run = backend.runner(prim, dtypes, out.dtype)
    wide = run(*arrays)
    few = LARGE // 2
    parts = [run(*(a[i : i + few] for a in arrays)) for i in range(0, WIDE, few)]
    assert wide.dtype == parts[0].dtype
    assert wide.tobytes() == np.concatenate(parts).tobytes()


@pytest.mark.parametrize("dtype", [*DTYPES, "uint16"])
@pytest.mark.parametrize("to", ["bool", "int8", "uint8", "int32", "int64", "uint64", "float32"])
def test_wide_casts_run_in_native_code(dtype, to, monkeypatch):
    prim, backend = REGISTRY["cast"], NumpyBackend()
    x = operand(np.random.default_rng(3), BY_NAME[dtype])
    params = {"dtype": to}
    parts = [backend.run(prim, (part,), params) for part in np.split(x, 8)]
    monkeypatch.setattr(backend, "scalar", None)  # NumPy's words
    wide = backend.run(prim, (x,), params)
    assert wide.dtype == parts[0].dtype
    assert wide.tobytes() == np.concatenate(parts).tobytes()


@pytest.mark.parametrize("name", ["add", "multiply", "less"])
def test_ops_on_many_float16_run_in_native_code(name, monkeypatch):
    prim, backend, taken = REGISTRY[name], NumpyBackend(), []
    elementwise = api.elementwise
    monkeypatch.setattr(api, "elementwise", lambda *a: taken.append(a[1]) or elementwise(*a))
    x = operand(np.random.default_rng(3), BY_NAME["float16"])[:LARGE]
    dtypes = (BY_NAME["float16"],) * 2
    (out,) = prim.infer(tuple(TensorType(d, ()) for d in dtypes), {})
    wide = backend.runner(prim, dtypes, out.dtype)(x, x)
    assert len(taken) == 1
    with np.errstate(all="ignore"):
        assert wide.tobytes() == getattr(np, name)(x, x).tobytes()

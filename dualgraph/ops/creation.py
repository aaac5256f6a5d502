"""Creation: tensors made from parameters alone."""

from __future__ import annotations

from typing import Any

from ..core.constant import ConstArray
from ..core.devices import as_device
from ..core.dtypes import as_dtype
from ..core.kinds import creation
from ..core.types import TensorType


@creation(
    uniform="value",
    computes=True,
    samples=lambda rng: [
        ((), {"shape": (2, 3), "value": 1.5, "dtype": dtype, "device": "cpu"})
        for dtype in ("float32", "bfloat16", "int64", "bool")
    ],
)
def full(xp, shape, value, dtype, device):
    """`shape` filled with `value`."""
    return xp.full(shape, value, dtype=as_dtype(dtype).numpy)


@full.type
def _(shape, value, dtype, device):
    return TensorType(as_dtype(dtype), shape, as_device(device))


def _arange_samples(rng: Any) -> list[Any]:
    return [((), {"start": 1, "step": 2, "size": 5, "dtype": "int64", "device": "cpu"})]


@creation(name="arange", samples=_arange_samples)
def arange_op(xp, start, step, size, dtype, device):
    """``start + i * step`` for i below `size`, computed in the result's dtype."""
    target = as_dtype(dtype).numpy
    kind = target.type
    return kind(start) + xp.arange(size, dtype=target) * kind(step)


@arange_op.type
def _(start, step, size, dtype, device):
    return TensorType(as_dtype(dtype), (size,), as_device(device))


def _constant_samples(rng: Any) -> list[Any]:
    return [((), {"data": ConstArray(rng.standard_normal((2, 2))), "device": "cpu"})]


@creation(name="constant", samples=_constant_samples)
def constant(xp, data, device):
    """The values of a constant array."""
    return xp.asarray(data.array)


@constant.type
def _(data, device):
    return TensorType(data.dtype, data.array.shape, as_device(device))

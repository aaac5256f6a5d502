"""The constant op: an array that is part of the program."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.constant import ConstArray
from ..core.devices import as_device
from ..core.kinds import creation
from ..core.types import TensorType


def _samples(rng: Any) -> list[Any]:
    return [((), {"value": ConstArray(rng.standard_normal((2, 3)).astype(np.float32)), "device": "cpu"})]


@creation(samples=_samples)
def constant(xp: Any, value: ConstArray, device: str) -> Any:
    """The array `value`, a `ConstArray`."""
    return xp.array(value.array)


@constant.type  # type: ignore[untyped-decorator]
def _(value: ConstArray, device: str) -> TensorType:
    return TensorType(value.dtype, value.array.shape, as_device(device))

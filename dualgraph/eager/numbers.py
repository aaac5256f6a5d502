"""Numbers that may change: Python floats which a captured function reads afresh on each call."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import state
from ..core.devices import CPU
from ..core.dtypes import float32, float64
from ..core.numbers.live import given
from ..ops.transfer import transfer
from .tensor import Tensor

COUNTED = frozenset((float32, float64))  # dtypes that steps of such parameters are counted in, too


def live_number(holder: dict[str, Any], key: str, like: Tensor) -> Any:
    """``holder[key]``, a Python number to multiply with tensors of the type of `like`, such as a learning rate.

    Eagerly that is the number itself. A capture gets a 0-d tensor, an input of the graph that holds the
    number of each call, so that another number needs no other program. The bits are the same either way, as
    long as the number meets a tensor first, and one of that dtype: a parameter of 16 bits has its steps counted in 32.
    """
    value = holder[key]
    if (
        state.tracer is None
        or not isinstance(value, float)
        or like.dtype not in COUNTED
        or state.tracer.rewritten(holder, key)
    ):
        return value
    number = state.tracer.number(
        holder, key, like.dtype, lambda: Tensor(np.asarray(given(value), like.dtype.numpy))
    )
    return number if like.device is CPU else transfer(number, device=str(like.device))

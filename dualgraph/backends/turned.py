"""Turned operands: matrices that lie column by column, whose gradients had better lie so, too."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.prim import Dispatch, Prim
from .native.claims import claimed


def lies_turned(prim: Prim, x: Any) -> bool:
    """Whether x is a tensor of a matrix that lies column by column, and the bits of `prim` depend on no layout."""
    data = getattr(x, "_data", None)
    if type(data) is not np.ndarray or data.ndim != 2 or len(x.shape) != 2:
        return False
    down, across = data.strides
    return down == data.itemsize < across and claimed(prim.name, data.dtype, data.dtype) is not None


def register() -> None:
    """Makes gradients of contractions ask from now on."""
    Dispatch.lies_turned = staticmethod(lies_turned)

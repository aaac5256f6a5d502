"""Array backends: kernels run op by op over an array namespace - NumPy here, CuPy in `cuda`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.prim import Prim
from .scalar_numpy import ArrayScalar
from .silence import quietly


class NumpyBackend:
    """The CPU: NumPy arrays, with native kernels for the words of the scalar language that need them."""

    name = "numpy"
    xp: Any = np

    def __init__(self) -> None:
        self.scalar = ArrayScalar(np)

    def run(self, prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """One op on arrays; elementwise results are row-major."""
        out = quietly(prim.kind.run, prim, self, arrays, params)
        if prim.kind.computes and type(out) is np.ndarray and out.ndim > 1 and not out.flags.c_contiguous:
            return np.ascontiguousarray(out)
        return out

    def asarray(self, array: Any) -> Any:
        return np.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)

"""The GPU: CuPy as the array namespace, programs run op by op on it."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ..core.dtypes import DType, rounded, to_float32
from ..core.errors import DeviceError
from ..core.prim import Prim
from .flags import Flags
from .scalar_numpy import ArrayScalar

matmul = Flags(False, allow_tf32=False)  # as scripts set it in ``torch.backends.cuda``
REMEDY = "install CuPy for your CUDA version, for example with: pip install 'dualgraph[cuda]'"


class ArrayNamespaceBackend:
    """Any array namespace with NumPy's functions as a device. Host and device meet only in `asarray` and `to_numpy`."""

    name = "array namespace"

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.scalar = ArrayScalar(xp)

    def run(self, prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """One op on device arrays; computed results are row-major."""
        out = prim.kind.run(prim, self, arrays, params)
        if prim.kind.computes and not isinstance(out, tuple) and getattr(out, "ndim", 0) > 1:
            return self.xp.ascontiguousarray(out)
        return out

    def widen(self, array: Any) -> Any:
        """The float32 values of an array of bfloat16 (as uint16) or float16."""
        return to_float32(array, self.xp)

    def narrow(self, array: Any, dtype: DType) -> Any:
        """A float32 array rounded to one of these dtypes."""
        return rounded(array, dtype, self.xp)

    def store(self, to: Any, of: Any) -> None:
        """Puts the elements of an array into another one of the same shape and dtype."""
        self.xp.copyto(to, of)

    def asarray(self, array: Any) -> Any:
        """A device array with the values of a host or device array."""
        return self.xp.asarray(array)

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """A host array with the values of a device array."""
        return np.asarray(array.get())


def cuda_backend() -> ArrayNamespaceBackend:
    """The backend over CuPy; DeviceError says what to install where CuPy or a GPU is missing."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as problem:
        raise DeviceError(
            f"device 'cuda' needs CuPy, which cannot be imported ({problem})\n  remedy: {REMEDY}"
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as problem:
        raise DeviceError(f"device 'cuda' needs an NVIDIA GPU and its driver: {problem}") from None
    if not count:
        raise DeviceError("device 'cuda' needs an NVIDIA GPU, and none is there")
    return ArrayNamespaceBackend(cupy)

"""Beside: kernels of single ops on large arrays of given shapes, compiled while the calls go on without them.

They serve what kernels for any length do not: one long row whose blocks threads share, and operands that are
repeated along some axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np

from ...core.constant import exact
from ...core.dtypes import DType
from ...core.prim import Prim
from ...core.types import TensorType
from ...static.graph import GraphBuilder
from .aside import aside
from .kernel import NativeKernel, lowered
from .loop_ir import Unsupported
from .schedule import LONG
from .threads import pool

MOST = 512  # kernels that are remembered
BROAD = 1 << 15  # elements from which reading operands where they lie pays
_kernels: dict[Any, NativeKernel | None] = {}


def kernel_of(
    prim: Prim, types: tuple[TensorType, ...], params: dict[str, Any]
) -> NativeKernel | None:
    """The kernel of an op on C-contiguous operands of these types; None as long as there is none."""
    key = prim.name, types, exact(params)
    found = _kernels.get(key)
    if found is None and key not in _kernels and len(_kernels) < MOST:
        _kernels[key] = None

        def make() -> None:
            builder = GraphBuilder()
            operands = tuple(map(builder.input, types))
            body = builder.build(builder.add(prim, operands, dict(params)))
            with suppress(Unsupported):
                _kernels[key] = NativeKernel(lowered(body))

        aside(make)
    return found


def fold_shared(prim: Prim, x: Any, dtype: DType) -> Any:
    """The fold of all elements of an array, 0-d; None where one thread is as good, or no kernel is ready."""
    if x.size < LONG or pool.size < 2 or not x.flags.c_contiguous:
        return None
    kernel = kernel_of(prim, (TensorType(dtype, (x.size,)),), {"axes": (0,), "keepdims": False})
    if kernel is None:
        return None
    out = np.empty((), dtype.numpy)
    kernel.run([x], [out])
    return out


def repeated(
    prim: Prim, arrays: Sequence[Any], shape: tuple[int, ...], dtypes: tuple[DType, ...], params: dict[str, Any]
) -> Any:  # fmt: skip
    """The result of an elementwise op whose operands are repeated to `shape`; None where there is no kernel for it."""
    arrays = [a if a.size == prod(shape) else np.ascontiguousarray(a) for a in arrays]
    if not all(a.flags.c_contiguous for a in arrays):
        return None
    types = tuple(TensorType(d, a.shape) for d, a in zip(dtypes, arrays, strict=True))
    kernel = kernel_of(prim, types, params)
    if kernel is None:
        return None
    out = np.empty(shape, kernel.kernel.buffers[len(arrays)].dtype.numpy)
    kernel.run(arrays, [out])
    return out

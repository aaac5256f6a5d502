"""Kernels: functions in LLVM IR, compiled when first needed, over pointers and int64 numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .. import ir
from ..addresses import address_of
from ..contract.code import Writer
from ..jit import jit
from ..llvm_parts import I64, PTR
from ..threads import pool

LANES = 16
PARALLEL_BYTES = 1 << 22  # memory touched from which a second thread is worth waking
TYPES = {"f": ir.FloatType(), "d": ir.DoubleType(), "i": ir.IntType(32), "l": ir.IntType(64)}
SIZE = {"f": 4, "d": 8, "i": 4, "l": 8}
BITS = {1: ir.IntType(8), 2: ir.IntType(16), 4: ir.IntType(32), 8: ir.IntType(64)}


def kernel(pointers: int, numbers: int) -> Callable[[Callable[..., None]], Callable[..., Any]]:
    """Decorator: ``emit(w, *how)`` writes the body of a function of so many arguments; made into
    ``get(*how)``, which gives the function compiled."""
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, *[ctypes.c_int64] * numbers)

    def wrap(emit: Callable[..., None]) -> Callable[..., Any]:
        @cache
        def get(*how: Any) -> Any:
            def text() -> str:
                module = ir.Module(name=emit.__name__)
                w = Writer(module, "mover", (*[PTR] * pointers, *[I64] * numbers))
                emit(w, *how)
                w.b.ret_void()
                return str(module)

            name = f"{emit.__module__}.{emit.__name__}{how!r}"
            machine = jit().compile(name, ("mover",), text)
            function = signature(machine.addresses["mover"])
            function.machine = machine  # type: ignore[attr-defined]
            return function

        return get

    return wrap


def element_code(dtype: Any) -> str | None:
    """The key in TYPES of a NumPy dtype that can be computed with; None if it cannot."""
    code = {"f4": "f", "f8": "d", "i4": "i", "i8": "l"}.get(dtype.str[1:])
    return code if dtype.isnative else None


def dense(*arrays: Any) -> bool:
    """Whether all are row-major NumPy arrays."""
    return all(type(a) is np.ndarray and a.flags.c_contiguous for a in arrays)


def share(fn: Callable[[int, int], None], extent: int, nbytes: int, grain: int = 1) -> None:
    """``fn(begin, end)`` over ``range(extent)``; by several threads if it touches much memory."""
    if nbytes < PARALLEL_BYTES or pool.size == 1:
        fn(0, extent)
    else:
        pool.split(lambda begin, end, _: fn(begin, end), extent, grain)


__all__ = [
    "BITS",
    "LANES",
    "SIZE",
    "TYPES",
    "address_of",
    "dense",
    "element_code",
    "kernel",
    "share",
]

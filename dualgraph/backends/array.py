"""Array backends: kernels run op by op over an array namespace - NumPy here, CuPy in `cuda`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.constant import exact
from ..core.dtypes import BY_NAME, DType, bfloat16, bool_, float16, float32, rounded, to_float32
from ..core.kinds import ELEMENTWISE, REDUCTION
from ..core.prim import Prim
from ..core.process.silence import quietly
from ..core.types import TensorType
from ..ops.arithmetic import cast
from .native import api as native
from .native.claims import CLAIMED, claimed, keeps_bits
from .scalar_numpy import ArrayScalar, settled
from .stopgap import at_once
from .ufuncs import ufunc_of
from .words import needs_expansions

LARGE = 2048  # elements from which a reduction, or an op on float16, is worth a native kernel
FOR_THREADS = 1 << 21  # elements from which threads are worth more than one NumPy function
WIDE = 32768  # elements from which one is worth more than several NumPy functions


class NumpyBackend:
    """The CPU: NumPy arrays.

    Words that processors lack (exp, tanh, ...) run through the native kernels where there are any, as they do
    in fused programs, so that both modes have the same bits; the other words are IEEE operations, on which
    NumPy and native code agree by nature. Reductions keep the canonical order either way.
    """

    name = "numpy"
    xp: Any = np

    def __init__(self) -> None:
        self.scalar = ArrayScalar(np)
        self._native: dict[Any, tuple[DType, ...] | None] = {}

    def run(self, prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """One op on arrays; computed results are row-major."""
        return quietly(self._run, prim, arrays, params)

    def _run(self, prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """By a native kernel where there is one, else by the kind of the op."""
        if prim.name in CLAIMED and not prim.aliases:
            kernel = claimed(prim.name, *[a.dtype for a in arrays])
            if kernel is not None and keeps_bits(prim.name):
                out = at_once(kernel, prim, arrays, params, *arrays, **params)
            else:
                out = None if kernel is None else kernel(*arrays, **params)
            if out is not None:
                return out
        if prim.kind is ELEMENTWISE:
            dtypes = self._dtypes_for_kernel(prim, arrays, params)
            if dtypes is not None:
                return _by_kernel(prim, arrays, dtypes, params)
            arrays = settled(arrays)
        elif prim.kind is REDUCTION and arrays[0].size >= LARGE:
            folded = at_once(self._fold, prim, arrays, params, prim, arrays[0], params)
            if folded is not None:
                return folded
        out = prim.kind.run(prim, self, arrays, params)
        if (
            prim.kind.computes
            and type(out) is np.ndarray
            and out.ndim > 1
            and not out.flags.c_contiguous
        ):
            return np.ascontiguousarray(out)
        return out

    def run_into(self, prim: Prim, dtypes: tuple[DType, ...], arrays: list[Any], out: Any) -> bool:
        """An elementwise op on operands of the shape of `out` or of one element; whether there is a kernel for it.

        `out`, which lies row by row, may be one of the operands.
        """
        if not native.available() or not native.has_kernel(prim, dtypes):
            return False
        quietly(native.elementwise, prim, arrays, dtypes, {}, out)
        return True

    def runner(self, prim: Prim, dtypes: tuple[DType, ...], out: DType) -> Any:
        """A function of operand arrays (and NumPy scalars) that runs an elementwise op without more ado."""
        has_kernel = native.available() and native.has_kernel(prim, dtypes)

        def by_kernel(*arrays: Any) -> Any:
            return quietly(_by_kernel, prim, arrays, dtypes, {})

        if has_kernel and needs_expansions(prim):
            return by_kernel
        ufunc = ufunc_of(prim, tuple(TensorType(d, ()) for d in dtypes))
        if ufunc is not None:
            if not out.is_inexact and not has_kernel:
                return ufunc

            # NumPy takes float16 apart
            many = LARGE if float16 in dtypes else FOR_THREADS

            def by_ufunc(*arrays: Any) -> Any:
                if has_kernel and max(a.size for a in arrays) >= many:
                    return by_kernel(*arrays)
                return quietly(ufunc, *arrays)

            return by_ufunc
        kernel, scalar = prim.kernel, self.scalar
        complex_ = any(d.is_complex for d in dtypes)

        def by_words(*arrays: Any) -> Any:
            given = settled(arrays) if complex_ else arrays
            out = quietly(kernel, scalar, *given)
            for a in given:
                if out is a:  # as whole numbers that are rounded are
                    return out.copy()
            return out

        # NumPy has one function for what is done with bools
        logic = all(d is bool_ for d in dtypes)
        if logic or not has_kernel:
            return by_words

        def run(*arrays: Any) -> Any:
            return (by_words if max(a.size for a in arrays) < WIDE else by_kernel)(*arrays)

        return run

    def _dtypes_for_kernel(
        self, prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[DType, ...] | None:
        """The operand dtypes if the op needs native code, or gains by it, and has it; else None."""
        if params and not all(map(_is_plain, params.values())):
            return None
        key = (prim.name, exact(params) if params else None, *(a.dtype for a in arrays))
        dtypes = self._native.get(key, ())
        if dtypes == ():
            needed = needs_expansions(prim, params)
            dtypes = self._native[key] = self._by_kernel(prim, arrays, params) if needed else None
        if dtypes is None and params and arrays[0].size >= WIDE:
            dtypes = self._by_kernel(prim, arrays, params)
        return dtypes

    @staticmethod
    def _by_kernel(
        prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[DType, ...] | None:
        """The operand dtypes if the op has native code with these parameters, else None."""
        dtypes = tuple(BY_NAME.get(a.dtype.name) for a in arrays)
        if not native.available() or None in dtypes:
            return None
        has_kernel = native.has_kernel(prim, dtypes, tuple(params.items()))  # type: ignore[arg-type]
        return dtypes if has_kernel else None  # type: ignore[arg-type,return-value]

    @staticmethod
    def _fold(prim: Prim, x: Any, params: dict[str, Any]) -> Any:
        """A reduction through its native kernel, or None where there is none."""
        monoid, dtype = prim.details.get("monoid"), BY_NAME.get(x.dtype.name)
        if (
            monoid is None
            or dtype is None
            or not native.available()
            or not native.has_fold(monoid, dtype)
        ):
            return None
        out_dtype = prim.details["dtype"]((dtype,))[1]
        axes = params["axes"]
        if not axes or 0 in x.shape:
            return None
        out = None
        if dtype is out_dtype and all(i in axes or d == 1 for i, d in enumerate(x.shape)):
            out = native.fold_shared(prim, x, dtype)
        if out is None:
            out = native.fold(monoid, x, axes, dtype, out_dtype)
        elif not params["keepdims"]:  # in the shape of what is kept
            return out.reshape(tuple(1 for i in range(x.ndim) if i not in axes))
        return (
            out.reshape(tuple(1 if i in axes else d for i, d in enumerate(x.shape)))
            if params["keepdims"]
            else out
        )

    def widen(self, array: Any) -> Any:
        """The float32 values of an array of bfloat16 (as uint16) or float16."""
        if array.size < LARGE or not native.available():
            return to_float32(array)
        dtype = bfloat16 if array.dtype == bfloat16.numpy else float16
        return native.elementwise(cast, [array], (dtype,), {"dtype": "float32"})

    def narrow(self, array: Any, dtype: DType) -> Any:
        """A float32 array rounded to one of these dtypes."""
        if array.size < LARGE or not native.available():
            return quietly(rounded, array, dtype)
        return native.elementwise(cast, [array], (float32,), {"dtype": dtype.name})

    def store(self, to: Any, of: Any) -> None:
        """Puts the elements of an array into another one of the same shape and dtype."""
        large = to.nbytes >= FOR_THREADS and of.dtype == to.dtype and native.available()
        if large and of.flags.c_contiguous and to.flags.c_contiguous:
            kernel = None if np.may_share_memory(to, of) else claimed("copy", of.dtype)
            if kernel is not None and kernel(of, out=to) is not None:
                return
        np.copyto(to, of)

    def asarray(self, array: Any) -> Any:
        return np.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)


def _by_kernel(
    prim: Prim, arrays: tuple[Any, ...], dtypes: tuple[DType, ...], params: dict[str, Any]
) -> Any:
    """The result of an elementwise op that has native code."""
    arrays = tuple([np.asarray(a) for a in arrays])
    return at_once(native.elementwise, prim, arrays, params, prim, arrays, dtypes, params)


def _is_plain(value: Any) -> bool:
    """Whether a parameter is made of numbers and names, which texts of kernels say all of."""
    return isinstance(value, int | float | str) or (
        type(value) is tuple and all(map(_is_plain, value))
    )

"""Eager kernels: single ops over arrays of any length, compiled once for each op and dtypes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ...core.constant import exact
from ...core.dtypes import DType
from ...core.prim import Prim
from ...core.types import TensorType
from .addresses import DIRECT, HEADER, address_of
from .beside import BROAD, repeated
from .emit.fold import BLOCK, of_nothing
from .emit.llvm import Code
from .emit.parts import LANES, WIDE
from .jit import Machine, jit
from .kernel import GRAIN, NEST, PARALLEL_WORK, machine_of
from .loop_ir import (
    Affine,
    Apply,
    Axis,
    Buffer,
    Fold,
    Kernel,
    Load,
    Loop,
    Nest,
    Reduce,
    Size,
    Statement,
    Store,
    Unsupported,
)
from .team.spots import SCRATCH_WORD, Ref
from .team.team import passing, team
from .threads import pool
from .weights import weight

_kernels: dict[Any, Any] = {}
_plain: dict[Any, Any] = {}  # those without parameters, by what is quickest to ask of arrays
_NONE = tuple((False,) * n for n in range(64))


def elementwise_kernel(
    prim: Prim, dtypes: tuple[DType, ...], params: dict[str, Any], scalar: tuple[bool, ...]
) -> Callable[..., Any]:
    """``kernel(arrays, shape, out=None)`` runs an elementwise op; its result is a new array of `shape`, or `out`.

    Operands marked in `scalar` hold one element; the others are C-contiguous, of `shape`.
    Raises Unsupported where the op has no native code.
    """
    key = prim.name, dtypes, exact(params), scalar
    found = _kernels.get(key)
    if found is None:
        found = _kernels[key] = _elementwise(prim, dtypes, params, scalar)
    return found  # type: ignore[no-any-return, unused-ignore]


def elementwise_code(
    prim: Prim, dtypes: tuple[DType, ...], params: dict[str, Any], scalar: tuple[bool, ...]
) -> tuple[Machine, DType]:
    """The machine code behind `elementwise_kernel`, on its way, and the result's dtype.

    Its function is ``flat(array, ..., out, begin, end)``: array objects, and the elements to compute.
    """
    if not DIRECT:
        raise Unsupported("the layout of array objects is not known here")
    (type_,) = prim.infer(tuple(TensorType(d, ()) for d in dtypes), params)
    count = len(dtypes)
    places = [Affine() if alone else Affine(0, ((0, 1),)) for alone in scalar]
    loads = [Load(i, d, i, place) for i, (d, place) in enumerate(zip(dtypes, places, strict=True))]
    op = Apply(count, type_.dtype, prim, tuple(sorted(params.items())), tuple(range(count)))
    moving: list[Statement] = [x for x, alone in zip(loads, scalar, strict=True) if not alone]
    fixed: list[Statement] = [x for x, alone in zip(loads, scalar, strict=True) if alone]
    body = (*moving, op, Store(count, Affine(0, ((0, 1),)), count))
    loop = Loop((Axis(0, Size(0)),), body, parallel=True, vector=True)
    buffers = (*(Buffer(d, "in") for d in dtypes), Buffer(type_.dtype, "out"))
    whole = Kernel(buffers, (Nest((*fixed, loop)),))
    code = Code(whole, has_fma=jit().has_fma, header=HEADER, flat=True)
    return machine_of(code), type_.dtype


def _elementwise(
    prim: Prim, dtypes: tuple[DType, ...], params: dict[str, Any], scalar: tuple[bool, ...]
) -> Callable[..., Any]:
    """The kernel of an elementwise op: a Python function of arrays, the shape of the result, and where to put it."""
    machine, out_dtype = elementwise_code(prim, dtypes, params, scalar)
    pointers = [ctypes.c_void_p] * (len(dtypes) + 1)
    signature = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64, ctypes.c_int64)
    address = machine.addresses["flat"]
    call, storage, empty = signature(address), out_dtype.numpy, np.empty

    work = len(dtypes) + weight(prim, tuple(d.name for d in dtypes), params, out_dtype.name)
    split = PARALLEL_WORK // work

    def kernel(arrays: Sequence[Any], shape: tuple[int, ...], out: Any = None) -> Any:
        if out is None:
            out = empty(shape, storage)
        size = out.size
        if size >= split and pool.size > 1:
            words = (address, *map(id, arrays), id(out))
            team().share(passing(len(words) - 1, False), words, size, GRAIN)
        else:
            call(*map(id, arrays), id(out), 0, size)
        return out

    kernel.machine, kernel.split = machine, split  # type: ignore[attr-defined]
    return kernel


def elementwise(
    prim: Prim, arrays: Sequence[Any], dtypes: tuple[DType, ...], params: dict[str, Any], into: Any = None
) -> Any:  # fmt: skip
    """Runs an elementwise op on arrays of any layout that broadcast together. The result is a new array, or `into`."""
    shape = arrays[0].shape
    scalar: tuple[bool, ...] = _NONE[len(arrays)]
    if not all(type(a) is np.ndarray and a.shape == shape and a.flags.c_contiguous for a in arrays):
        arrays = [np.asarray(a) for a in arrays]
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        scalar = tuple(a.size == 1 and a.shape != shape for a in arrays)
        if (
            into is None
            and prod(shape) >= BROAD
            and any(a.shape != shape and not alone for a, alone in zip(arrays, scalar, strict=True))
        ):
            out = repeated(prim, arrays, shape, dtypes, params)
            if out is not None:
                return out
        arrays = [
            a if alone else np.ascontiguousarray(np.broadcast_to(a, shape)).reshape(shape)
            for a, alone in zip(arrays, scalar, strict=True)
        ]
    key = prim, scalar, *[a.dtype.num for a in arrays]
    kernel = None if params else _plain.get(key)
    if kernel is None:
        kernel = elementwise_kernel(prim, dtypes, params, scalar)
        if not params:
            _plain[key] = kernel
    return kernel(arrays, shape, into)


@cache
def reduce_kernel(
    monoid: str, dtype: DType, out_dtype: DType
) -> Callable[[Any, tuple[int, int, int]], Any]:
    """``kernel(x, (outer, n, inner))`` folds the middle axis of a C-contiguous array; gives (outer, inner).

    Values are cast to `out_dtype` first and folded in the canonical order.
    """
    buffers = (Buffer(dtype, "in"), Buffer(out_dtype, "out"))
    rows = _Folder(Kernel(buffers, (_rows(monoid, dtype, out_dtype),)))

    @cache
    def columns(alone: bool, least: int, few: int) -> _Folder:
        nest = _columns(monoid, dtype, out_dtype, alone, least, few)
        return _Folder(Kernel(buffers, (nest,)))

    def parts(view: tuple[int, int, int]) -> tuple[_Folder, tuple[int, ...], int, int, int, int]:
        outer, n, inner = view
        blocks = -(-n // BLOCK)
        if inner == 1:
            return rows, (outer, n), outer, 1, n, blocks
        across = columns(outer == 1, 64 if inner >= 64 else 0, n if n < LANES else 0)
        if outer == 1:
            return across, (inner, n), inner, WIDE, n, blocks * WIDE
        return across, (outer, n, inner, n * inner), outer, 1, n * inner, blocks * WIDE

    def kernel(x: Any, view: tuple[int, int, int]) -> Any:
        outer, n, inner = view
        if n == 0:
            return np.full((outer, inner), of_nothing(monoid, out_dtype), out_dtype.numpy)
        out = np.empty((outer, inner), out_dtype.numpy)
        folder, *given = parts(view)
        folder(x, out, *given)
        return out

    kernel.parts = parts  # type: ignore[attr-defined]
    return kernel


def fold_parts(
    monoid: str, dtype: DType, out_dtype: DType, shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[int, tuple[int, ...], int, int] | None:
    """What a fold of neighbouring `axes` of a C-contiguous array comes down to: the address of its function, the
    sizes and the turns it takes, and its scratch memory in units of 8 bytes. None where threads share the work.
    """
    view = prod(shape[: axes[0]]), prod(shape[a] for a in axes), prod(shape[axes[-1] + 1 :])
    folder, sizes, extent, grain, work, scratch = reduce_kernel(monoid, dtype, out_dtype).parts(
        view
    )  # type: ignore[attr-defined]
    if folder.split(extent, grain, work):
        return None
    return folder.address(), sizes, extent, scratch


def _index(**strides: Any) -> Affine:
    return Affine(0, tuple((int(axis[1:]), stride) for axis, stride in strides.items()))


def _rows(monoid: str, dtype: DType, out_dtype: DType) -> Nest:
    """Sizes: outer, n."""
    load = Load(0, dtype, 0, _index(i0=Size(1), i1=1))
    fold = Reduce((Axis(1, Size(1)),), (load,), (Fold(1, out_dtype, monoid, 0),), vector=True)
    return Nest((Loop((Axis(0, Size(0)),), (fold, Store(1, _index(i0=1), 1)), parallel=True),))


def _columns(
    monoid: str, dtype: DType, out_dtype: DType, alone: bool, least: int, few: int
) -> Nest:
    """Sizes: inner, n if `alone`; else outer, n, inner, n * inner. Few elements: a kernel for their number."""
    inner = Size(0 if alone else 2, least)
    place = _index(i1=inner, i2=1) if alone else _index(i0=Size(3), i1=inner, i2=1)
    out = _index(i2=1) if alone else _index(i0=inner, i2=1)
    fold = Reduce(
        (Axis(1, few or Size(1)),),
        (Load(0, dtype, 0, place),),
        (Fold(1, out_dtype, monoid, 0),),
        vector=False,
    )
    across = Loop((Axis(2, inner),), (fold, Store(1, out, 1)), parallel=alone, vector=True)
    return Nest((across if alone else Loop((Axis(0, Size(0)),), (across,), parallel=True),))


_Three = ctypes.c_void_p * 3


class _Folder:
    """A compiled reduction over sizes given at the call; compiled when first used."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.call: Any = None
        self.machine: Machine | None = None

    def address(self) -> int:
        """Where the compiled function is: ``(x, out and scratch memory, sizes, begin, end)``."""
        code = Code(self.kernel, has_fma=jit().has_fma)
        (nest,) = code.nests
        self.machine = self.machine or machine_of(code)
        return self.machine.addresses[nest.symbol]

    @staticmethod
    def split(extent: int, grain: int, work: int) -> bool:
        """Whether threads share the work."""
        return 4 * work * extent >= PARALLEL_WORK and extent > grain

    def __call__(
        self,
        x: Any,
        out: Any,
        sizes: tuple[int, ...],
        extent: int,
        grain: int,
        work: int,
        scratch: int,
    ) -> None:
        if self.call is None:
            self.call = NEST(self.address())
        given = (ctypes.c_int64 * len(sizes))(*sizes)
        source, result = address_of(x), address_of(out)

        def part(begin: int, end: int, _: int) -> None:
            memory = np.empty(scratch, dtype=np.int64)
            self.call(_Three(source, result, address_of(memory)), given, begin, end)

        if pool.size > 1 and self.split(extent, grain, work):
            words = self.address(), ctypes.addressof(given), source, result, Ref(SCRATCH_WORD)
            team().share(team().sized, words, extent, grain, 8 * scratch)
        else:
            part(0, extent, 0)


def fold(monoid: str, x: Any, axes: tuple[int, ...], dtype: DType, out_dtype: DType) -> Any:
    """Folds `axes` of an array of any layout; the folded axes are dropped."""
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    n = prod(x.shape[a] for a in axes)
    shape = tuple(x.shape[i] for i in kept)
    together = axes == tuple(range(axes[0], axes[-1] + 1)) if axes else True
    if together and x.flags.c_contiguous and axes:
        view = prod(x.shape[: axes[0]]), n, prod(x.shape[axes[-1] + 1 :])
    else:
        x = np.ascontiguousarray(x.transpose((*kept, *axes)))
        view = prod(shape), n, 1
    return reduce_kernel(monoid, dtype, out_dtype)(x, view).reshape(shape)

"""Backends as the lower layers see them: something that runs an op's kernel on arrays."""

from __future__ import annotations

from typing import Any, Protocol

from .devices import Device
from .dtypes import DType, bfloat16, float16
from .errors import DeviceError
from .kinds import CONTRACTION
from .prim import Prim
from .types import TensorType


class ArrayBackend(Protocol):
    """Runs kernels on one type of device. Higher layers register one for each device type."""

    xp: Any  # the array namespace
    scalar: Any  # the handler of the scalar language over that namespace

    def run(self, prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any: ...

    def run_into(
        self, prim: Prim, dtypes: tuple[DType, ...], arrays: list[Any], out: Any
    ) -> bool: ...

    def runner(self, prim: Prim, dtypes: tuple[DType, ...], out: DType) -> Any: ...

    def widen(self, array: Any) -> Any: ...  # bfloat16 (as uint16) or float16 to float32

    def narrow(self, array: Any, dtype: DType) -> Any: ...  # float32 to one of these

    def store(self, to: Any, of: Any) -> None: ...

    def asarray(self, array: Any) -> Any: ...

    def to_numpy(self, array: Any) -> Any: ...


_FACTORIES: dict[str, Any] = {}
_BACKENDS: dict[str, ArrayBackend] = {}


def register_backend(device_type: str, factory: Any) -> None:
    """Says how to make the backend of a device type; it is made when first needed."""
    _FACTORIES[device_type] = factory
    _BACKENDS.pop(device_type, None)


def backend_for(device: Device) -> ArrayBackend:
    """The backend that runs ops on `device`."""
    found = _BACKENDS.get(device.type)
    if found is None:
        factory = _FACTORIES.get(device.type)
        if factory is None:
            raise DeviceError(f"no backend is registered for device {str(device)!r}")
        found = _BACKENDS[device.type] = factory()
    return found


def in_float32(prim: Prim, dtype: DType) -> bool:
    """Whether an op computes values of a dtype in float32: bfloat16 always, float16 where it sums up products."""
    if dtype is float16:
        return prim.kind is CONTRACTION
    return dtype is bfloat16 and bool(prim.details.get("computes", prim.kind.computes))


def execute(
    backend: ArrayBackend,
    prim: Prim,
    arrays: tuple[Any, ...],
    types: tuple[TensorType, ...],
    params: dict[str, Any],
    out_types: tuple[TensorType, ...],
) -> tuple[Any, ...]:
    """Runs one op on arrays: the one way in which eager, interpreter and executors do so.

    Operands of narrow dtypes are widened to float32 where the op computes in that, and results rounded back.
    """
    if any(in_float32(prim, t.dtype) for t in (*types, *out_types)):
        wide = tuple(
            backend.widen(a) if in_float32(prim, t.dtype) and a.dtype == t.dtype.numpy else a
            for a, t in zip(arrays, types, strict=True)
        )
        outs = backend.run(prim, wide, widened(params))
        outs = outs if prim.multiple else (outs,)
        return tuple(
            backend.narrow(o, t.dtype) if in_float32(prim, t.dtype) else o
            for o, t in zip(outs, out_types, strict=True)
        )
    outs = backend.run(prim, arrays, params)
    return tuple(outs) if prim.multiple else (outs,)


class Loops:
    """Eager loops and conditions: a backend that compiles their bodies installs ``run``.

    It is called as `execute` is, and gives None for an op that it leaves to its kernel.
    """

    run: Any = None


def execute_eagerly(
    backend: ArrayBackend,
    prim: Prim,
    arrays: tuple[Any, ...],
    types: tuple[TensorType, ...],
    params: dict[str, Any],
    out_types: tuple[TensorType, ...],
) -> tuple[Any, ...]:
    """As `execute`, in eager mode: an op that has bodies may run as what a backend has made of them."""
    if prim.kind.has_bodies and Loops.run is not None:
        found: tuple[Any, ...] | None = Loops.run(backend, prim, arrays, types, params, out_types)
        if found is not None:
            return found
    return execute(backend, prim, arrays, types, params, out_types)


def widened(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters for a kernel that computes in the dtype bfloat16 is widened to."""
    from_name = {"bfloat16": "float32"}
    return {k: from_name.get(v, v) if isinstance(v, str) else v for k, v in params.items()}

"""Dispatch: one op call in eager mode - operands checked, kernel run, tape and capture told."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.backend import backend_for, execute
from ..core.context import state
from ..core.devices import Device, as_device
from ..core.errors import (
    ArgumentError,
    BoundsError,
    DeviceError,
    DTypeError,
    DualgraphError,
    ShapeError,
    describe,
    user_location,
)
from ..core.kinds import ELEMENTWISE, REDUCTION
from ..core.node import NOWHERE, TapeNode
from ..core.prim import Dispatch, Prim, lookup
from ..core.types import TensorType
from .tensor import Tensor

NUMBERS = (bool, int, float, complex)


def wrap(array: Any, dtype: dt.DType, device: Device) -> Tensor:
    """A tensor around a kernel's result."""
    if type(array) is np.ndarray or hasattr(array, "__array_namespace__"):
        return Tensor(array, dtype, device)
    return Tensor(np.asarray(array), dtype, device)  # kernels may give NumPy scalars


def constant(value: Any, dtype: dt.DType, device: Device) -> Tensor:
    """A 0-d tensor for a Python number."""
    return lookup("full")(shape=(), value=value, dtype=dtype.name, device=str(device))


def operand(prim: Prim, x: Any) -> Any:
    """What the user passed, as a tensor or a Python number."""
    if isinstance(x, Tensor) or type(x) in NUMBERS:
        return x
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, NUMBERS):
        return next(kind(x) for kind in NUMBERS if isinstance(x, kind))
    if isinstance(x, np.ndarray):
        return from_array(x)
    raise DTypeError(
        describe(
            prim.name,
            type(x).__name__,
            f"operands are tensors, arrays or numbers, not {type(x).__name__}",
            "convert with dg.asarray(...)",
        )
    )


def from_array(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the memory of a NumPy array (which a capture reads afresh on each call)."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    out = Tensor(array, dt.from_numpy(array.dtype))
    if state.tracer is not None:
        state.tracer.external_array(out, array)
    return out


def fail(prim: Prim, args: Any, problem: Exception) -> DualgraphError:
    """The error a user sees: the op, operand types, what is wrong, and where."""
    if getattr(problem, "located", False):
        return problem  # type: ignore[return-value]
    types = ", ".join(str(a.type) if isinstance(a, Tensor) else repr(a) for a in args)
    kinds: dict[type, type] = {IndexError: BoundsError, TypeError: DTypeError, ValueError: ShapeError}
    cls: Any = type(problem)
    if not isinstance(problem, DualgraphError):
        cls = next((v for k, v in kinds.items() if isinstance(problem, k)), ArgumentError)
    error: DualgraphError = cls(describe(prim.name, types, str(problem)))
    error.located = True  # type: ignore[attr-defined]
    return error


def common_device(prim: Prim, args: Any) -> Device | None:
    """The one device of the tensor operands."""
    device = None
    for a in args:
        if isinstance(a, Tensor) and a.device is not device:
            if device is not None:
                problem = f"operands are on {device} and {a.device}"
                raise DeviceError(
                    describe(prim.name, ", ".join(str(x.type) for x in args if isinstance(x, Tensor)), problem, "move one with .to(device)")
                )
            device = a.device
    return device


def _elementwise_operands(prim: Prim, args: list[Any]) -> tuple[list[Any], dt.DType]:
    """Operands in the dtypes that the op computes in (casts recorded), and the result's dtype."""
    skip = prim.details.get("leading", 0)
    tensors = [a.dtype for a in args[skip:] if isinstance(a, Tensor)]
    base = dt.promote(*tensors) if tensors else None
    given = tuple(
        a.dtype if isinstance(a, Tensor) else dt.of_scalar(a) if base is None or i < skip else dt.promote_scalar(base, a)
        for i, a in enumerate(args)
    )
    compute, out = ELEMENTWISE.resolve(prim, given)
    for i, (a, want) in enumerate(zip(args, compute, strict=True)):
        if isinstance(a, Tensor):
            if a.dtype is not want:
                args[i] = CAST(a, dtype=want.name)
        else:
            args[i] = Scalar(a, want)
    return args, out


class Scalar:
    """A Python number as an operand: its value, and the array scalar that kernels get."""

    __slots__ = ("array", "dtype", "value")

    def __init__(self, value: Any, dtype: dt.DType) -> None:
        self.value = value
        self.dtype = dtype
        self.array = as_scalar(value, dtype)

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, ())


def as_scalar(value: Any, dtype: dt.DType) -> Any:
    """A number in the form kernels take it: a NumPy scalar of the compute dtype."""
    kind = np.float32 if dtype is dt.bfloat16 else dtype.numpy.type
    try:
        return kind(value)
    except (OverflowError, TypeError) as problem:
        raise DTypeError(f"{value!r} does not fit {dtype.name}: {problem}") from None


def bind(prim: Prim, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Runs one op: the dispatcher behind every call of a `Prim`."""
    operands: list[Any] = [operand(prim, a) for a in args]
    try:
        return _bind(prim, operands, params)
    except (DualgraphError, ValueError, IndexError, TypeError, OverflowError) as problem:
        error = fail(prim, operands, problem)
        if error is problem:
            raise
        raise error from None


def _bind(prim: Prim, args: list[Any], params: dict[str, Any]) -> Any:
    device = common_device(prim, args)
    if device is None:
        if args:
            args[0] = constant(args[0], dt.of_scalar(args[0]), state.device)
            device = state.device
        else:
            device = as_device(params["device"])
    if prim.kind is ELEMENTWISE:
        args, _ = _elementwise_operands(prim, args)
    else:
        args = [a if isinstance(a, Tensor) else constant(a, dt.of_scalar(a), device) for a in args]
        if prim.kind is REDUCTION:
            want = prim.details["dtype"]((args[0].dtype,))[0][0]
            if want is not args[0].dtype:
                args[0] = CAST(args[0], dtype=want.name)
    types = tuple(a.type for a in args)
    out_types = prim.infer(types, params)
    batching = state.batching
    if batching is not None and batching.applies(args):
        outs = batching.run(prim, args, params)
    else:
        arrays = tuple(a._data if isinstance(a, Tensor) else a.array for a in args)
        results = execute(backend_for(device), prim, arrays, types, params, out_types)
        outs = tuple(wrap(r, t.dtype, device) for r, t in zip(results, out_types, strict=True))
    finish(prim, args, params, outs, out_types)
    if batching is not None:
        batching.note(outs)
    return outs if prim.multiple else outs[0]


def finish(
    prim: Prim, args: list[Any], params: dict[str, Any], outs: tuple[Tensor, ...], types: tuple[TensorType, ...]
) -> None:
    """Notes a view's parent, records the tape entry, and tells a capture in progress."""
    where = NOWHERE
    if prim.aliases and _shares(outs[0], args[0]):
        outs[0]._become_view_of(args[0], prim, params)
    if state.grad and prim.vjp_rule is not None:
        edges = tuple(a._edge() if isinstance(a, Tensor) else None for a in args)
        if any(e is not None for e in edges) and any(t.dtype.is_inexact for t in types):
            where = user_location()
            record(prim, edges, args, params, outs, types, where)
    if state.tracer is not None and (state.batching is None or not state.batching.applies(outs)):
        state.tracer.record(prim, args, params, outs, where or user_location())


def _shares(out: Tensor, x: Tensor) -> bool:
    data = out._data
    if type(data) is np.ndarray:
        return bool(np.may_share_memory(data, x._data))
    return bool(data.shares(x._data)) if hasattr(data, "shares") else True


def record(
    prim: Any,
    edges: tuple[Any, ...],
    args: list[Any],
    params: dict[str, Any],
    outs: tuple[Tensor, ...],
    types: tuple[TensorType, ...],
    where: Any,
) -> TapeNode:
    """Puts one op on the tape: what its rule reads is kept with its version."""
    kept = tuple(_keep(prim, i, a) for i, a in enumerate(args))
    node = TapeNode(prim, edges, params, types, where)
    results = None
    if prim.reads_out:
        keep = state.tracer is not None  # a capture knows results by identity
        results = tuple(
            (o._data, o._version_cell(), o._version, o.dtype, o.device, o if keep else None) for o in outs
        )
    node.saved = (kept, results)
    for i, (out, t) in enumerate(zip(outs, types, strict=True)):
        if t.dtype.is_inexact:
            out._node, out._index = node, i
    return node


def _keep(prim: Any, i: int, a: Any) -> Any:
    if not isinstance(a, Tensor):
        return a.value
    return (a, a._version) if prim.saves(i) else a.type


CAST: Prim = None  # type: ignore[assignment]


def install(cast: Prim) -> None:
    """Makes `bind` the dispatcher of all ops; `cast` is the op that promotion puts in."""
    global CAST
    CAST = cast
    Dispatch.bind = staticmethod(bind)

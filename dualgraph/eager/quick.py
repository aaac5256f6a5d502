"""The quick path: calls that are found by the types of their operands, and run with little else.

Ops on CPU tensors, outside of transforms and of captures that see to how ops are run: one look-up by the operands'
dtypes finds how to run them. Whatever is out of the ordinary is left to `dispatch`, as the answer None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.backend import backend_for, in_float32
from ..core.context import state
from ..core.devices import CPU, Device
from ..core.errors import DualgraphError, user_location
from ..core.kinds import ELEMENTWISE, REDUCTION
from ..core.node import Literal
from ..core.prim import REGISTRY, Dispatch, Prim
from ..core.types import TensorType
from ..ops.arithmetic import cast
from .taping import record, record_quick
from .tensor import Tensor

LARGE = 1 << 20  # bytes of a result whose memory is worth recycling
FEW = 64  # operands of calls that are remembered: what they are known by is a pair in a pair in a pair
_UNKNOWN: Any = object()
_SCALARS: dict[type, int] = {bool: 1, int: 2, float: 3}


class Plan:
    """How an elementwise op runs on operands of known dtypes."""

    __slots__ = ("casts", "dtype", "operands", "run", "scalars")

    def __init__(
        self,
        run: Any,
        dtype: dt.DType,
        operands: tuple[dt.DType, ...],
        scalars: tuple[Any, ...],
        casts: tuple[str | None, ...] | None,
    ) -> None:
        self.run = run
        self.dtype = dtype
        self.operands = operands  # the dtypes that are computed in
        self.scalars = scalars  # for each operand what a Python number is turned into, or None
        # For each operand the dtype it is cast to first, or None; None: no casts
        self.casts = casts


def plan_of(prim: Prim, args: tuple[Any, ...]) -> Plan | None:
    """How a plain elementwise call runs; None where it has to go the long way."""
    key = 0
    for a in args:
        if isinstance(a, Tensor):
            if a.device is not CPU:
                return None
            key = key * 32 + a.dtype.code + 4
        else:
            code = _SCALARS.get(type(a))
            if code is None:
                return None
            key = key * 32 + code
    plan = prim.plans.get(key, _UNKNOWN)
    if plan is _UNKNOWN:
        plan = prim.plans[key] = _plan(prim, args)
        Dispatch.planned(prim, key, plan)
    return plan


def quick(prim: Prim, args: tuple[Any, ...]) -> Any:
    """The result of a plain elementwise call, or None where it has to go the long way."""
    plan = plan_of(prim, args)
    if plan is None:
        return None
    if plan.casts is not None:
        return None if state.tracer is not None else quick(prim, _cast(args, plan.casts))
    arrays = []
    tracked = False
    for a, number in zip(args, plan.scalars):  # noqa: B905 (as long as each other by construction)
        if number is None:
            arrays.append(a._data)
            if a._node is not None or a._requires_grad or a._parent is not None:
                tracked = True
        else:
            try:
                arrays.append(number(a))
            except OverflowError:
                return None
    try:
        data = plan.run(*arrays)
    except ValueError:
        return None
    if type(data) is not np.ndarray:
        data = np.asarray(data)
    elif data.ndim > 1 and not data.flags.c_contiguous:
        data = np.ascontiguousarray(data)
    out = Tensor(data, plan.dtype, CPU)
    if data.nbytes >= LARGE:
        Dispatch.large()
    if tracked and prim.vjp_rule is not None and state.grad and plan.dtype.is_inexact:
        edges = tuple([None if n is not None else a._edge() for a, n in zip(args, plan.scalars)])  # noqa: B905
        if any(e is not None for e in edges):
            record_quick(prim, edges, args, out)
    if state.tracer is not None:
        told(prim, args, {}, out)
    return out


def told(prim: Prim, args: tuple[Any, ...], params: dict[str, Any], out: Any) -> None:
    """Tells the running capture of a call that took the quick path, in Python or natively."""
    operands: Any = args
    if any(type(a) in _SCALARS for a in args):
        plan = plan_of(prim, args)
        assert plan is not None  # it was found by these operands
        operands = [
            a if number is None else Literal(a, dtype)
            for a, number, dtype in zip(args, plan.scalars, plan.operands, strict=True)
        ]
    outs = out if prim.multiple else (out,)
    state.tracer.record(prim, operands, params, outs, user_location())


def quick_other(prim: Prim, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """The result of a call whose operand types and parameters were seen before, or None."""
    types = known_types(prim, args, params)
    if types is None:
        return None
    try:
        results = backend_for(CPU).run(prim, tuple([a._data for a in args]), params)
    except (ValueError, IndexError, TypeError):
        return None  # the long way raises it again, with all that a user wants to know
    if not prim.multiple:
        out = wrap(results, types[0].dtype, CPU)
        if prim.aliases and shares(out, args[0]):
            out._become_view_of(args[0], prim, params)
        outs: tuple[Tensor, ...] = (out,)
        if out._data.nbytes >= LARGE:
            Dispatch.large()
    else:
        outs = tuple([wrap(r, t.dtype, CPU) for r, t in zip(results, types)])  # noqa: B905
    if state.grad and prim.vjp_rule is not None:
        edges = tuple([a._edge() for a in args])
        for e in edges:
            if e is not None and any(t.dtype.is_inexact for t in types):
                record(prim, edges, args, params, outs, types)
                break
    out = outs if prim.multiple else outs[0]
    if state.tracer is not None:
        told(prim, args, params, out)
    return out


def known_types(
    prim: Prim, args: tuple[Any, ...], params: dict[str, Any]
) -> tuple[TensorType, ...] | None:
    """The result types of a call that `quick_other` may take, once it was seen; else None."""
    if len(args) > FEW or (not args and params.get("device") != "cpu"):
        return None
    key: Any = tuple(params.items())
    for a in args:
        if not isinstance(a, Tensor) or a.device is not CPU:
            return None
        key = (key, a.dtype.code, a._data.shape)
    try:
        types: tuple[TensorType, ...] | None = prim.cache.get(key)
    except TypeError:  # a parameter that cannot be hashed
        return None
    if types is None:
        _learn(prim, args, params, key)
    return types


def _learn(prim: Prim, args: tuple[Any, ...], params: dict[str, Any], key: Any) -> None:
    """Notes the result types for operands that need no cast, and are not widened."""
    types = tuple(a.tensor_type for a in args)
    if prim.kind.has_bodies or any(
        t.dtype is dt.bfloat16 or in_float32(prim, t.dtype) for t in types
    ):
        return
    if (
        prim.kind is REDUCTION
        and prim.details["dtype"]((types[0].dtype,))[0][0] is not types[0].dtype
    ):
        return
    try:
        out = prim.infer(types, params)
    except (DualgraphError, ValueError, TypeError, IndexError):
        return
    if len(prim.cache) > 10_000:
        prim.cache.clear()
    if all(t.dtype is not dt.bfloat16 and t.device is CPU for t in out):
        prim.cache[key] = out


def _plan(prim: Prim, args: tuple[Any, ...]) -> Plan | None:
    """A plan for operands like these; None where casts or errors are due."""
    operands = list(args)
    if not any(isinstance(a, Tensor) for a in operands):
        return None
    try:
        given, compute, out = operand_dtypes(prim, operands)
    except DualgraphError:
        return None
    if any(d is dt.bfloat16 for d in (*given, *compute, out)):
        return None
    casts = tuple(
        c.name if isinstance(a, Tensor) and g is not c else None
        for a, g, c in zip(args, given, compute, strict=True)
    )
    run = backend_for(CPU).runner(prim, compute, out)
    scalars = tuple(
        None if isinstance(a, Tensor) else dt.scalar_of(c)
        for a, c in zip(args, compute, strict=True)
    )
    return None if run is None else Plan(run, out, compute, scalars, casts if any(casts) else None)


def _cast(args: tuple[Any, ...], casts: tuple[str | None, ...]) -> tuple[Any, ...]:
    """Operands in the dtypes that a plan computes in: casts are ops of their own."""
    return tuple([a if c is None else cast(a, dtype=c) for a, c in zip(args, casts)])  # noqa: B905


def _forget_plans() -> None:
    """Plans hold for one default dtype."""
    for prim in REGISTRY.values():
        prim.plans.clear()
        prim.cache.clear()
    Dispatch.forgot()


dt.changed.append(_forget_plans)


def wrap(array: Any, dtype: dt.DType, device: Device) -> Tensor:
    """A tensor around a kernel's result."""
    if isinstance(array, np.generic):  # as kernels may give
        array = np.asarray(array)
    return Tensor(array, dtype, device)


def operand_dtypes(
    prim: Prim, args: list[Any]
) -> tuple[tuple[dt.DType, ...], tuple[dt.DType, ...], dt.DType]:
    """Dtypes of the operands as given, as the op computes them, and of its result."""
    skip = prim.details.get("leading", 0)
    tensors = [a.dtype for a in args[skip:] if isinstance(a, Tensor)]
    base = dt.promote(*tensors) if tensors else None

    def dtype_of(i: int, a: Any) -> dt.DType:
        if isinstance(a, Tensor):
            return a.dtype
        return dt.of_scalar(a) if base is None or i < skip else dt.promote_scalar(base, a)

    given = tuple(dtype_of(i, a) for i, a in enumerate(args))
    return given, *ELEMENTWISE.resolve(prim, given)


def shares(out: Tensor, x: Tensor) -> bool:
    data = out._data
    if type(data) is np.ndarray:
        return bool(np.may_share_memory(data, x._data))
    return bool(data.shares(x._data)) if hasattr(data, "shares") else True

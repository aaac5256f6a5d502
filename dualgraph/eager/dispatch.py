"""Dispatch: one op call in eager mode - operands checked, kernel run, tape and capture told."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.backend import backend_for, execute_eagerly
from ..core.context import state, untraced
from ..core.devices import CPU, Device, as_device
from ..core.errors import (
    ArgumentError,
    BoundsError,
    DeviceError,
    DTypeError,
    DualgraphError,
    NanError,
    ShapeError,
    describe,
    problem_of,
    user_location,
)
from ..core.kinds import ELEMENTWISE, REDUCTION, ordered, to_bool
from ..core.live import LIVE, as_python, given, holds_live, settled
from ..core.live import mode as live_mode
from ..core.node import Literal
from ..core.prim import REGISTRY, Dispatch, Prim, lookup
from ..core.symbolic import SymFloat, SymInt
from ..core.types import TensorType
from ..core.watch import origin_of
from ..core.wrap import Wrap
from .scalars import LiveScalar, Scalar, filled_live
from .taping import record, record_quick
from .tensor import Tensor

NUMBERS = (bool, int, float, complex)
SYMBOLIC = (SymInt, SymFloat)
FEW = 64  # operands of calls that are remembered: what they are known by is a pair in a pair in a pair
QUICKEN = 1000  # calls of ops after which a native quick path may pay


def wrap(array: Any, dtype: dt.DType, device: Device) -> Tensor:
    """A tensor around a kernel's result."""
    if isinstance(array, np.generic):  # as kernels may give
        array = np.asarray(array)
    return Tensor(array, dtype, device)


def constant(value: Any, dtype: dt.DType, device: Device) -> Tensor:
    """A 0-d tensor for a Python number."""
    return lookup("full")(shape=(), value=value, dtype=dtype.name, device=str(device))


def operand(prim: Prim, x: Any) -> Any:
    """What the user passed, as a tensor or a Python number."""
    if isinstance(x, Tensor) or type(x) in NUMBERS or type(x) in SYMBOLIC:
        return x
    if type(x) in LIVE:
        return as_python(x) if x._live_recorded else operand(prim, given(x))
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
    array = origin_of(array)
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
    for a in args:
        if isinstance(a, Tensor) and hasattr(a._data, "check_alive"):
            a._data.check_alive()
    types = ", ".join(str(a.type) if isinstance(a, Tensor) else repr(a) for a in args)
    kinds: dict[type, type] = {
        IndexError: BoundsError,
        TypeError: DTypeError,
        ValueError: ShapeError,
    }
    cls: Any = type(problem)
    if not isinstance(problem, DualgraphError):
        cls = next((v for k, v in kinds.items() if isinstance(problem, k)), ArgumentError)
    error: DualgraphError = cls(describe(prim.name, types, problem_of(problem)))
    error.located = True  # type: ignore[attr-defined]
    return error


def common_device(prim: Prim, args: Any) -> Device | None:
    """The one device of the tensor operands."""
    device = None
    for a in args:
        if isinstance(a, Tensor) and a.device is not device:
            if device is not None:
                problem = f"operands are on {device} and {a.device}"
                types = ", ".join(str(x.type) for x in args if isinstance(x, Tensor))
                raise DeviceError(describe(prim.name, types, problem, "move one with .to(device)"))
            device = a.device
    return device


def _operand_dtypes(
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


def _within(args: list[Any]) -> list[Any]:
    """Operands of a comparison: a Python integer beyond the range of the integers it meets becomes infinite."""
    kinds = [
        np.iinfo(a.dtype.numpy)
        for a in args
        if isinstance(a, Tensor) and a.dtype.kind in ("int", "uint")
    ]
    if len(kinds) == 1:
        low, high = kinds[0].min, kinds[0].max
        return [
            math.copysign(math.inf, a) if type(a) is int and not low <= a <= high else a
            for a in args
        ]
    return args


def _elementwise_operands(prim: Prim, args: list[Any]) -> tuple[list[Any], dt.DType]:
    """Operands in the dtypes that the op computes in (casts recorded), and the result's dtype."""
    if prim.details["dtype"] in (to_bool, ordered):
        args = _within(args)
    _, compute, out = _operand_dtypes(prim, args)
    for i, (a, want) in enumerate(zip(args, compute, strict=True)):
        if isinstance(a, Tensor):
            if a.dtype is not want:
                args[i] = CAST(a, dtype=want.name)
        else:
            args[i] = LiveScalar(a, want) if type(a) in LIVE else Scalar(a, want)
    return args, out


_calls = itertools.count(1)


def bind(prim: Prim, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Runs one op: the dispatcher behind every call of a `Prim`."""
    if not next(_calls) % QUICKEN:
        Dispatch.quicken()
    tracer = state.tracer
    if params and live_mode.formulas is not None and holds_live(params):
        filled = filled_live(prim, params)
        if filled is not None:
            return filled
        params = settled(params)
    if state.batching is None and (tracer is None or tracer.quick):
        if prim.kind is not ELEMENTWISE:
            out = quick_other(prim, args, params)
        else:
            out = None if params else quick(prim, args)
        if out is not None:
            return out
    operands: list[Any] = [operand(prim, a) for a in args]
    try:
        return _bind(prim, operands, params)
    except NanError:
        raise
    except (DualgraphError, ValueError, IndexError, TypeError, OverflowError) as problem:
        if state.tracer is not None:
            state.tracer.failed()
        error = fail(prim, operands, problem)
        if error is problem:
            raise
        raise error from None


# --- the quick path ------------------------------------------------------------------------------
# Ops on CPU tensors that need no cast, outside of transforms and of captures that see to how ops are run: one
# look-up by the operands' dtypes finds how to run them. Whatever is out of the ordinary is left to the path above.

_UNKNOWN: Any = object()
_SCALARS: dict[type, int] = {bool: 1, int: 2, float: 3}


class Plan:
    """How an elementwise op runs on operands of known dtypes."""

    __slots__ = ("dtype", "operands", "run", "scalars")

    def __init__(
        self,
        run: Any,
        dtype: dt.DType,
        operands: tuple[dt.DType, ...],
        scalars: tuple[Any, ...],
    ) -> None:
        self.run = run
        self.dtype = dtype
        self.operands = operands  # the dtypes that are computed in
        self.scalars = scalars  # for each operand what a Python number is turned into, or None


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
    if tracked and prim.vjp_rule is not None and state.grad and plan.dtype.is_inexact:
        edges = tuple([None if n is not None else a._edge() for a, n in zip(args, plan.scalars)])  # noqa: B905
        for e in edges:
            if e is not None:
                record_quick(prim, edges, args, out)
                break
    tracer = state.tracer
    if tracer is not None:
        operands = [
            a if n is None else Literal(a, d)
            for a, n, d in zip(args, plan.scalars, plan.operands)  # noqa: B905
        ]
        tracer.record(prim, operands, {}, (out,), user_location())
    return out


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
        if prim.aliases and _shares(out, args[0]):
            out._become_view_of(args[0], prim, params)
        outs: tuple[Tensor, ...] = (out,)
    else:
        outs = tuple([wrap(r, t.dtype, CPU) for r, t in zip(results, types)])  # noqa: B905
    if state.grad and prim.vjp_rule is not None:
        edges = tuple([a._edge() for a in args])
        for e in edges:
            if e is not None and any(t.dtype.is_inexact for t in types):
                record(prim, edges, args, params, outs, types)
                break
    tracer = state.tracer
    if tracer is not None:
        tracer.record(prim, args, params, outs, user_location())
    return outs if prim.multiple else outs[0]


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
    """Notes the result types for operands that need neither cast nor bfloat16."""
    types = tuple(a.type for a in args)
    if prim.kind.has_bodies or any(t.dtype is dt.bfloat16 for t in types):
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
        given, compute, out = _operand_dtypes(prim, operands)
    except DualgraphError:
        return None
    if any(
        isinstance(a, Tensor) and g is not c
        for a, g, c in zip(operands, given, compute, strict=True)
    ):
        return None
    if any(d is dt.bfloat16 for d in (*compute, out)):
        return None
    run = backend_for(CPU).runner(prim, compute, out)
    scalars = tuple(
        None if isinstance(a, Tensor) else c.numpy.type for a, c in zip(args, compute, strict=True)
    )
    return None if run is None else Plan(run, out, compute, scalars)


def _forget_plans() -> None:
    """Plans hold for one default dtype."""
    for prim in REGISTRY.values():
        prim.plans.clear()
        prim.cache.clear()
    Dispatch.forgot()


dt.changed.append(_forget_plans)


def _bind(prim: Prim, args: list[Any], params: dict[str, Any]) -> Any:
    device = common_device(prim, args)
    if live_mode.formulas is not None and not (prim.kind is ELEMENTWISE and device is CPU):
        args = settled(args)
    if device is None:
        if args:
            args[0] = constant(args[0], dt.of_scalar(args[0]), state.device)
            device = state.device
        elif "device" in params:
            device = as_device(params["device"])
        else:
            raise DTypeError("needs an operand")
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
    batching, tracer = state.batching, state.tracer
    known = None
    if batching is not None and batching.applies(args):
        if tracer is not None and batching.depth(args) <= tracer.depth:
            with untraced():  # what it becomes within is not this tracer's concern
                outs = batching.run(prim, args, params)
        else:
            outs = batching.run(prim, args, params)
    else:
        if tracer is not None and tracer.resuming:
            known = tracer.resume(prim, args, params, out_types)
        if known is None:
            arrays = tuple(a._data if isinstance(a, Tensor) else a.array for a in args)
            run = execute_eagerly if tracer is None else tracer.execute
            made = run(backend_for(device), prim, arrays, types, params, out_types)
            outs = tuple(wrap(r, t.dtype, t.device) for r, t in zip(made, out_types, strict=True))
        else:
            outs = known
    if known is None and prim.aliases and _shares(outs[0], args[0]):
        outs[0]._become_view_of(args[0], prim, params)
    finish(prim, args, params, outs, out_types)
    if batching is not None:
        batching.note(outs)
    return outs if prim.multiple else outs[0]


def finish(
    prim: Prim,
    args: list[Any],
    params: dict[str, Any],
    outs: tuple[Tensor, ...],
    types: tuple[TensorType, ...],
) -> None:
    """Records the tape entry, and tells a capture in progress."""
    if state.grad and prim.vjp_rule is not None:
        edges = tuple(a._edge() if isinstance(a, Tensor) else None for a in args)
        if any(e is not None for e in edges) and any(t.dtype.is_inexact for t in types):
            record(prim, edges, args, params, outs, types)
    tracer = state.tracer
    if tracer is not None and (
        state.batching is None or state.batching.depth(outs) <= tracer.depth
    ):
        tracer.record(prim, args, params, outs, user_location())


def _shares(out: Tensor, x: Tensor) -> bool:
    data = out._data
    if type(data) is np.ndarray:
        return bool(np.may_share_memory(data, x._data))
    return bool(data.shares(x._data)) if hasattr(data, "shares") else True


CAST: Prim = None  # type: ignore[assignment]


def install(cast: Prim) -> None:
    """Makes `bind` the dispatcher of all ops; `cast` is the op that promotion puts in."""
    global CAST
    CAST = cast
    Dispatch.bind = staticmethod(bind)
    Wrap.tensor = staticmethod(as_tensor_of)


def as_tensor_of(array: Any, type: TensorType) -> Tensor:
    """The tensor over a backend's array."""
    return Tensor(array, type.dtype, type.device)

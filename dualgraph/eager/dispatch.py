"""Dispatch: one op call in eager mode - operands checked, kernel run, tape and capture told."""

from __future__ import annotations

import itertools
import math
from contextlib import nullcontext
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
    LinAlgError,
    NanError,
    ShapeError,
    called_as,
    describe,
    problem_of,
    user_location,
)
from ..core.kinds import ELEMENTWISE, REDUCTION, ordered, to_bool
from ..core.numbers.live import LIVE, as_python, given, holds_live, settled
from ..core.numbers.live import mode as live_mode
from ..core.numbers.symbolic import SymFloat, SymInt
from ..core.prim import Dispatch, Prim, lookup
from ..core.types import TensorType
from ..core.watch import note_read, origin_of
from ..core.wrap import Wrap
from ..ops.arithmetic import cast, multiply
from .inplace import into
from .quick import operand_dtypes, quick, quick_other, shares, wrap
from .scalars import LiveScalar, Scalar, filled_live
from .taping import record
from .tensor import Tensor

NUMBERS = (bool, int, float, complex)
SYMBOLIC = (SymInt, SymFloat)
QUICKEN = 1000  # calls of ops after which a native quick path may pay


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
    given, array = array, origin_of(array)
    if not array.dtype.isnative:
        note_read(given)
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
    types = ", ".join(str(a.tensor_type) if isinstance(a, Tensor) else repr(a) for a in args)
    kinds: dict[type, type] = {
        np.linalg.LinAlgError: LinAlgError,
        IndexError: BoundsError,
        TypeError: DTypeError,
        ValueError: ShapeError,
    }
    cls: Any = type(problem)
    if not isinstance(problem, DualgraphError):
        cls = next((v for k, v in kinds.items() if isinstance(problem, k)), ArgumentError)
    error: DualgraphError = cls(describe(called_as(prim.name), types, problem_of(problem)))
    error.located = True  # type: ignore[attr-defined]
    return error


def common_device(prim: Prim, args: Any) -> Device | None:
    """The one device of the tensor operands."""
    device = None
    for a in args:
        if isinstance(a, Tensor) and a.device is not device:
            if device is not None:
                problem = f"operands are on {device} and {a.device}"
                types = ", ".join(str(x.tensor_type) for x in args if isinstance(x, Tensor))
                raise DeviceError(describe(prim.name, types, problem, "move one with .to(device)"))
            device = a.device
    return device


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
    _, compute, out = operand_dtypes(prim, args)
    for i, (a, want) in enumerate(zip(args, compute, strict=True)):
        if isinstance(a, Tensor):
            if a.dtype is not want:
                args[i] = cast(a, dtype=want.name)
        else:
            args[i] = LiveScalar(a, want) if type(a) in LIVE else Scalar(a, want)
    return args, out


_calls = itertools.count(1)


def bind(prim: Prim, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Runs one op: the dispatcher behind every call of a `Prim`."""
    if not next(_calls) % QUICKEN:
        Dispatch.quicken()
    if params and (out := params.pop("out", None)) is not None:
        return into(out, prim, *args, **params)
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
        return _bind(prim, list(operands), params)  # an error names them as they were given
    except NanError:
        raise
    except (DualgraphError, ValueError, IndexError, TypeError, OverflowError) as problem:
        respelled = _in_own_words(prim, args, params) if params else None
        if respelled is not None:
            return bind(prim, *respelled)
        if state.tracer is not None:
            state.tracer.failed()
        error = fail(prim, operands, problem)
        if error is problem:
            raise
        raise error from None


def _in_own_words(prim: Prim, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """A call in PyTorch's words (``input=``, ``other=``, ``alpha=``) in those of the op; None without any."""
    if prim.kind is not ELEMENTWISE or not params.keys() & {"input", "other", "alpha"}:
        return None
    params = dict(params)
    args += tuple(params.pop(name) for name in ("input", "other") if name in params)
    if "alpha" in params:
        if len(args) != 2 or not prim.details.get("alpha"):
            return None
        args = (args[0], multiply(args[1], params.pop("alpha")))
    return args, params


def _bind(prim: Prim, args: list[Any], params: dict[str, Any]) -> Any:
    """Runs one op: its device, its operands' dtypes, its types, its kernel (or `vmap`); then tape and capture."""
    device = common_device(prim, args)
    if live_mode.formulas is not None and not (prim.kind is ELEMENTWISE and device in (CPU, None)):
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
        args = _other_operands(prim, args, device)
    out_types = prim.infer(tuple(a.tensor_type for a in args), params)
    batching, tracer = state.batching, state.tracer
    known = None
    if batching is not None and batching.applies(args):
        # A capture that began inside of these vmaps sees the op, not what it becomes for the whole batch.
        hidden = tracer is not None and batching.depth(args) <= tracer.depth
        with untraced() if hidden else nullcontext():
            outs = batching.run(prim, args, params)
    else:
        if tracer is not None and tracer.resuming:
            known = tracer.resume(prim, args, params, out_types)
        outs = known if known is not None else _executed(prim, args, params, device, out_types)
    if known is None and prim.aliases and shares(outs[0], args[0]):
        outs[0]._become_view_of(args[0], prim, params)
    finish(prim, args, params, outs, out_types)
    if batching is not None:
        batching.note(outs)
    return outs if prim.multiple else outs[0]


def _other_operands(prim: Prim, args: list[Any], device: Device) -> list[Any]:
    """Operands of an op that is not elementwise, as tensors; that of a reduction in the dtype in which it is folded."""
    args = [a if isinstance(a, Tensor) else constant(a, dt.of_scalar(a), device) for a in args]
    if prim.kind is REDUCTION:
        want = prim.details["dtype"]((args[0].dtype,))[0][0]
        if want is not args[0].dtype:
            args[0] = cast(args[0], dtype=want.name)
    return args


def _executed(
    prim: Prim,
    args: list[Any],
    params: dict[str, Any],
    device: Device,
    out_types: tuple[TensorType, ...],
) -> tuple[Tensor, ...]:
    """The op's results: by its kernel on the device's backend, or as the running capture makes them."""
    types = tuple(a.tensor_type for a in args)
    arrays = tuple(a._data if isinstance(a, Tensor) else a.array for a in args)
    run = execute_eagerly if state.tracer is None else state.tracer.execute
    made = run(backend_for(device), prim, arrays, types, params, out_types)
    return tuple(wrap(r, t.dtype, t.device) for r, t in zip(made, out_types, strict=True))


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


def install() -> None:
    """Makes `bind` the dispatcher of all ops."""
    Dispatch.bind = staticmethod(bind)
    Wrap.tensor = staticmethod(as_tensor_of)


def as_tensor_of(array: Any, type: TensorType) -> Tensor:
    """The tensor over a backend's array."""
    return Tensor(array, type.dtype, type.device)

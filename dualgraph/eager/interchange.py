"""Interchange: tensors as NumPy arrays, DLPack capsules, Python lists, copies and pickles."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..core.context import grad_mode, state
from ..core.devices import CPU, Device
from ..core.dtypes import DType, bfloat16, to_bfloat16
from ..core.errors import AutogradError, DeviceError, describe
from ..core.trees import map_leaves
from ..ops.movement import copy as copy_op
from ..ops.movement import stop_gradient
from .attach import method
from .creation import asarray
from .tensor import Tensor


@method
def numpy(x: Tensor, *, force: bool = False) -> Any:
    """The values as a NumPy array that shares memory with a CPU tensor.

    Raises for a tensor that requires gradients or is elsewhere, unless `force`.
    """
    if not force:
        _check_plain(x)
    known = None if state.tracer is None else state.tracer.array_of(x)
    return x._concrete("numpy()") if known is None else known


def _check_plain(x: Tensor) -> None:
    """Raises for a tensor that requires gradients, or that is no array's."""
    if x.requires_grad:
        raise AutogradError(
            describe(
                "numpy",
                str(x.tensor_type),
                "a tensor that requires gradients cannot become an array",
                "use .detach().numpy()",
            )
        )
    if x.device is not CPU:
        raise DeviceError(
            describe(
                "numpy", str(x.tensor_type), f"the memory is on {x.device}", "use .cpu().numpy()"
            )
        )


@method
def tolist(x: Tensor) -> Any:
    """Nested lists of Python numbers; a number for a 0-d tensor."""
    if state.batching is not None:
        state.batching.refuse(x, "tolist()")
    known = None if state.tracer is None else state.tracer.array_of(x, listed=True)
    return x._concrete("tolist()").tolist() if known is None else known


@method
def __array__(x: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """What ``np.asarray(x)`` gets."""
    _check_plain(x)
    array = x._concrete("numpy()")
    wanted = array.dtype if dtype is None else np.dtype(dtype)
    if copy is False and wanted != array.dtype:
        raise ValueError(
            describe(
                "__array__", str(x.tensor_type), f"{wanted} needs a copy, which copy=False forbids"
            )
        )
    return np.array(array, dtype=wanted) if copy or wanted != array.dtype else array


@method
def __array_function__(x: Tensor, fn: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """NumPy's other functions see plain arrays."""
    plain_args, plain_kwargs = map_leaves(
        lambda v: np.asarray(v) if isinstance(v, Tensor) else v, (args, kwargs)
    )
    return fn(*plain_args, **plain_kwargs)


@method
def __dlpack__(
    x: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: Any = None,
    copy: bool | None = None,
) -> Any:
    """A DLPack capsule of the memory, for other libraries."""
    if x.requires_grad:
        raise AutogradError(
            describe(
                "__dlpack__",
                str(x.tensor_type),
                "a tensor that requires gradients cannot be exported",
                "use .detach()",
            )
        )
    if state.tracer is not None:
        state.tracer.escape(x, "__dlpack__()")
    given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    return x._data.__dlpack__(**{k: v for k, v in given.items() if v is not None})


@method
def __array_namespace__(x: Tensor, *, api_version: str | None = None) -> Any:
    """The module with the standard's functions."""
    return sys.modules[__name__.partition(".")[0]]


@method
def __dlpack_device__(x: Tensor) -> Any:
    return x._data.__dlpack_device__()


# --- copies --------------------------------------------------------------------------------------


@method
def clone(x: Tensor, *, memory_format: Any = None) -> Tensor:
    """The same values in memory of their own; gradients flow through.

    >>> x = dg.ones(2)
    >>> y = dg.clone(x)
    >>> y[0] = 5.0
    >>> x
    tensor([1., 1.])
    """
    return copy_op(x)


@method
def detach(x: Tensor) -> Tensor:
    """The same memory, off the tape.

    >>> dg.detach(dg.ones(2, requires_grad=True)).requires_grad
    False
    """
    return stop_gradient(x)


@method
def __copy__(x: Tensor) -> Tensor:
    return _again(x, x.detach())


@method
def __deepcopy__(x: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(x) in memo:
        return memo[id(x)]
    if not x.is_leaf:
        raise AutogradError(
            describe(
                "deepcopy",
                str(x.tensor_type),
                "only leaves can be copied with their place on the tape",
                "use .detach().clone()",
            )
        )
    with grad_mode(False):
        out = memo[id(x)] = _again(x, copy_op(x))
        if x._grad is not None:
            out.grad = copy_op(x._grad)
    return out


def _again(x: Tensor, values: Tensor) -> Tensor:
    out = type(x).__new__(type(x))
    Tensor.__init__(out, values._data, values.dtype, values.device)
    out._requires_grad = x._requires_grad
    return out


@method
def __reduce__(x: Tensor) -> tuple[Any, ...]:
    array = np.ascontiguousarray(x._concrete("pickling")).reshape(x.shape)
    return rebuild, (array, x.dtype, x.device, x.requires_grad)


def rebuild(array: Any, dtype: DType, device: Device, requires_grad: bool) -> Tensor:
    """A tensor from its pickle."""
    out = Tensor(to_bfloat16(array)) if dtype is bfloat16 else asarray(array)
    out.dtype = dtype
    out = asarray(out, device=device)
    return out.requires_grad_() if requires_grad else out

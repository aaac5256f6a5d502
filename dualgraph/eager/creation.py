"""Creation: tensors from data - lists, arrays, other libraries' tensors - and where they lie."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.backend import backend_for
from ..core.context import state
from ..core.devices import CPU, Device, as_device
from ..core.errors import ArgumentError, DTypeError, describe
from ..core.numbers.live import LIVE, NUMBERS, LiveFloat, LiveInt, given
from ..core.numbers.symbolic import SYMBOLIC
from ..core.process.silence import quietly
from ..core.trees import flatten, unflatten
from ..core.watch import Watched, note_read, origin_of
from ..ops.arithmetic import cast
from ..ops.creation import full as full_op
from ..ops.movement import copy as copy_op
from .dispatch import from_array
from .scalars import joined_with, listed_live
from .tensor import Tensor


def set_default_device(device: Any) -> None:
    """Sets the device that creation functions use when none is named.

    >>> dg.set_default_device("cpu")
    >>> dg.zeros(1).device
    device('cpu')
    """
    chosen = as_device(device)
    backend_for(chosen)
    state.device = chosen


def default_device() -> Device:
    """The device that creation functions use when none is named.

    >>> dg.get_default_device()
    device('cpu')
    """
    return state.device


def chosen_device(device: Any) -> Device:
    return state.device if device is None else as_device(device)


def filled(
    shape: tuple[int, ...], value: Any, dtype: Any, device: Any, requires_grad: bool = False
) -> Tensor:
    """A tensor of one value."""
    chosen = dt.as_dtype(dtype) if dtype is not None else dt.of_scalar(value)
    out = full_op(shape=shape, value=value, dtype=chosen.name, device=str(chosen_device(device)))
    return out.requires_grad_() if requires_grad else out  # type: ignore[no-any-return]


def _to_array(data: Any, dtype: dt.DType | None, what: str) -> tuple[Any, dt.DType]:
    """A NumPy array and its dtype for nested sequences and scalars of numbers or tensors."""
    if isinstance(data, (list, tuple)) and _has_tensor(data):
        data = _plain(data)
    try:
        array = np.asarray(data)
    except (ValueError, TypeError) as problem:
        raise DTypeError(
            describe(what, type(data).__name__, f"not a regular array of numbers: {problem}")
        ) from None
    if array.dtype.kind not in "biufc":
        raise DTypeError(
            describe(
                what,
                type(data).__name__,
                f"not an array of numbers (NumPy makes it {array.dtype})",
                "pass numbers in nested lists of equal length, or an array",
            )
        )
    natural = dt.from_numpy(array.dtype.newbyteorder("="))
    if not isinstance(data, (np.ndarray, np.generic)):  # Python numbers have no width of their own
        natural = dt.default_of("int" if natural.kind in ("int", "uint") else natural.kind)
        if natural is dt.int64 and array.dtype.kind == "u":
            natural = dt.uint64
        if dtype is not None and dtype.is_integer and natural.is_integer and array.size:
            _check_range(array, dtype, what)
    return array, dtype or natural


def _check_range(array: Any, dtype: dt.DType, what: str) -> None:
    """Python integers that a dtype cannot hold are an error, as in NumPy and PyTorch."""
    limits = np.iinfo(dtype.numpy)
    low, high = int(array.min()), int(array.max())
    if low < limits.min or high > limits.max:
        wrong = low if low < limits.min else high
        raise DTypeError(
            describe(what, dtype.name, f"{wrong} does not fit {dtype.name}", "choose a wider dtype")
        )


def _has_tensor(data: Any) -> bool:
    return any(
        isinstance(d, Tensor) or (isinstance(d, (list, tuple)) and _has_tensor(d)) for d in data
    )


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.tolist()  # type: ignore[attr-defined]
    return [_plain(d) for d in data] if isinstance(data, (list, tuple)) else data


def _store(array: Any, dtype: dt.DType, device: Device, copy: bool) -> Tensor:
    target = np.float32 if dtype is dt.bfloat16 else dtype.numpy
    how = {"copy": True if copy else None, "order": "C" if copy else "K"}
    fresh = quietly(partial(np.array, array, target, **how))
    if fresh.dtype.byteorder == ">":
        fresh = fresh.astype(fresh.dtype.newbyteorder("="))
    if dtype is dt.bfloat16:
        fresh = dt.to_bfloat16(fresh)
    return Tensor(backend_for(device).asarray(fresh), dtype, device)


def _of_array(data: Any, wanted: dt.DType | None, device: Any) -> Tensor | None:
    """In a capture, a copy of an array that each call reads afresh, as ops; else None."""
    if not (isinstance(data, Watched) and state.tracer is not None):
        return None
    known = data.dtype.isnative and data.dtype.name in dt.BY_NAME and data.flags.c_contiguous
    if not known or chosen_device(device) is not CPU or wanted is dt.bfloat16:
        return None
    if _is_of(data, wanted):
        return copy_op(from_array(data))  # type: ignore[attr-defined,no-any-return]
    found = dt.from_numpy(data.dtype)
    assert wanted is not None
    if wanted.kind != "float" or found.kind == "complex":
        return None  # casts to whole numbers are not NumPy's where these are too large
    return cast(from_array(data), dtype=wanted.name)  # type: ignore[attr-defined,no-any-return]


def _is_of(array: np.ndarray[Any, Any], wanted: dt.DType | None) -> bool:
    """Whether an array has the dtype that a tensor of it is to have (None: any)."""
    return wanted is None or array.dtype == wanted.numpy


def _of_number(data: Any, wanted: dt.DType | None, device: Any) -> Tensor | None:
    """In a capture, the 0-d tensor of a Python number as an op, whose number may become an input; else None."""
    if state.tracer is None or type(data) not in (int, float, LiveInt, LiveFloat):
        return None
    chosen = wanted or dt.of_scalar(data)
    if isinstance(data, int):
        limits = np.iinfo(chosen.numpy) if chosen.kind == "int" else None
        if limits is None or not limits.min <= given(data) <= limits.max:
            return None
    elif chosen.kind != "float" or chosen is dt.bfloat16:
        return None
    out = full_op(shape=(), value=data, dtype=chosen.name, device=str(chosen_device(device)))
    return out  # type: ignore[no-any-return]


def _of_numbers(data: Any, wanted: dt.DType | None, device: Any) -> Tensor | None:
    """In a capture, the tensor of nested sequences with live numbers or 0-d tensors inside, as ops; else None."""
    if state.tracer is None or type(data) not in (list, tuple) or chosen_device(device) is not CPU:
        return None
    leaves, tree = flatten(data)
    joined = any(isinstance(v, Tensor) for v in leaves)
    if not (joined or any(type(v) in LIVE for v in leaves)) or not all(map(_is_number, leaves)):
        return None
    if wanted is not None and wanted.is_integer and wanted is not dt.int64:
        return None  # whether they fit is decided by their values
    numbers = [v._data.item() if isinstance(v, Tensor) else given(v) for v in leaves]
    array, chosen = _to_array(unflatten(tree, numbers), wanted, "tensor")
    return (joined_with if joined else listed_live)(leaves, array, chosen)  # type: ignore[no-any-return]


def _is_number(x: Any) -> bool:
    """Whether `x` is a number, or a tensor of one."""
    if not isinstance(x, Tensor):
        return type(x) in NUMBERS
    plain = x.dtype.kind in ("int", "float") and x.dtype is not dt.bfloat16
    return plain and x.ndim == 0 and x.device is CPU and state.batching is None


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of `data`: numbers in nested sequences, an array, or a tensor.

    Python floats get the default dtype (float32), arrays keep theirs.

    >>> tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    wanted = None if dtype is None else dt.as_dtype(dtype)
    if isinstance(data, Tensor):
        out = copy_op(data.detach())  # type: ignore[attr-defined]
        out = cast(out, dtype=wanted.name) if wanted not in (None, out.dtype) else out
        out = out.to(device) if device is not None else out
    elif type(data) in SYMBOLIC:
        out = filled((), data, wanted, device)
    elif (number := _of_number(data, wanted, device)) is not None:
        out = number
    elif (afresh := _of_array(data, wanted, device)) is not None:
        out = afresh
    elif (listed := _of_numbers(data, wanted, device)) is not None:
        out = listed
    else:
        array, natural = _to_array(data, wanted, "tensor")
        out = _store(array, natural, chosen_device(device), copy=True)
        if state.tracer is not None:
            note_read(data)
            state.tracer.constant(out)
    return out.requires_grad_() if requires_grad else out  # type: ignore[no-any-return]


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """A tensor of `obj`, sharing its memory where possible (`copy=True` never, `copy=False` or an error).

    >>> a = np.zeros(3); t = asarray(a); a[0] = 1; t.tolist()
    [1.0, 0.0, 0.0]
    """
    wanted = None if dtype is None else dt.as_dtype(dtype)
    given = obj
    if isinstance(obj, Tensor):
        return _tensor_as(obj, wanted, device, copy)
    if type(obj) in SYMBOLIC:
        return filled((), obj, wanted, device)
    if not isinstance(obj, (np.ndarray, np.generic, list, tuple, bool, int, float, complex)):
        if hasattr(obj, "__dlpack__"):
            return asarray(from_dlpack(obj), dtype=dtype, device=device, copy=copy)
        if hasattr(obj, "__array__"):
            obj = np.asarray(obj)
            if state.tracer is not None:
                state.tracer.foreign(type(given).__name__)
    if isinstance(obj, Watched) and copy is not False and (copy or not _is_of(obj, wanted)):
        afresh = _of_array(obj, wanted, device)
        if afresh is not None:
            return afresh
    obj = origin_of(obj)
    number = _of_number(obj, wanted, device) if copy is not False else None
    if number is None and copy is not False:
        number = _of_numbers(obj, wanted, device)
    if number is not None:
        return number
    array, natural = _to_array(obj, wanted, "asarray")
    target = chosen_device(device)
    as_it_is = natural == array.dtype and array.dtype.isnative
    shares = isinstance(obj, np.ndarray) and as_it_is and target is CPU
    if not shares:
        _refuse_copy(copy, "the data cannot be shared as it is")
    if shares and not copy:
        return from_array(array)
    out = _store(array, natural, target, copy=True)
    if state.tracer is not None:
        note_read(given)
        state.tracer.constant(out)
    return out


def _tensor_as(x: Tensor, wanted: dt.DType | None, device: Any, copy: bool | None) -> Tensor:
    """`asarray` of a tensor."""
    if wanted is not None and wanted is not x.dtype:
        _refuse_copy(copy, f"{x.dtype.name} memory cannot be seen as {wanted.name}")
        return cast(x if device is None else x.to(device), dtype=wanted.name)  # type: ignore[attr-defined,no-any-return]
    if device is not None and as_device(device) is not x.device:
        _refuse_copy(copy, "memory of another device cannot be shared")
        return x.to(device)  # type: ignore[attr-defined,no-any-return]
    return copy_op(x) if copy else x


def _refuse_copy(copy: bool | None, why: str) -> None:
    if copy is False:
        raise ArgumentError(describe("asarray", "copy=False", why, "leave copy=None"))


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """PyTorch's name for `asarray`.

    >>> dg.as_tensor([1.0, 2.0])
    tensor([1., 2.])
    """
    return asarray(data, dtype=dtype, device=device)


def from_numpy(array: Any) -> Tensor:
    """A tensor that shares the memory of a NumPy array.

    >>> import numpy as np
    >>> dg.from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(
            describe("from_numpy", type(array).__name__, "expects a NumPy array", "use dg.asarray")
        )
    return asarray(array)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of any object with ``__dlpack__`` (NumPy, PyTorch, JAX, CuPy).

    >>> import numpy as np
    >>> dg.from_dlpack(np.ones(2, np.float32))
    tensor([1., 1.])
    """
    if isinstance(x, Tensor):
        return asarray(x, device=device, copy=copy)
    kind = x.__dlpack_device__()[0]
    source = CPU if int(kind) in (1, 3) else as_device("cuda")
    array = backend_for(source).xp.from_dlpack(x)
    out = Tensor(array, dt.from_numpy(array.dtype), source)
    if state.tracer is not None:
        note_read(x)
        state.tracer.foreign(type(x).__name__)
        state.tracer.constant(out)
    target = source if device is None else as_device(device)
    if target is not source:
        return out.to(target)  # type: ignore[attr-defined,no-any-return]
    return copy_op(out) if copy else out

"""Conversion: dtype and device of a tensor, and new tensors like it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from ...core import dtypes as dt
from ...core.context import grad_mode, tell, unchecked, unrepeatable
from ...core.devices import CPU, Device, as_device
from ...core.errors import DeviceError, describe, problem_of
from ...core.numbers.symbolic import is_symbolic
from ...ops.arithmetic import cast, imag_part, real_part
from ...ops.movement import copy as copy_op
from ...ops.transfer import transfer
from .. import creation, filling
from ..attach import method, methods
from ..inplace import write
from ..operands import as_in
from ..tensor import Tensor


@method
def astype(x: Tensor, dtype: Any, copy: bool = True) -> Tensor:
    """x in another dtype."""
    target = dt.as_dtype(dtype)
    if target is x.dtype:
        return copy_op(x) if copy else x
    return cast(x, dtype=target.name)


@method
def to(
    x: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    copy: bool = False,
    **_ignored: Any,
) -> Tensor:
    """x as another dtype, on another device, or both as another tensor; x itself if nothing changes.

    >>> dg.ones(2).to(dg.float64).dtype, dg.ones(2).to("cpu").device
    (dualgraph.float64, device('cpu'))
    """
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, Device) or (isinstance(arg, str) and arg not in dt.BY_NAME):
            device = _named_device(x, arg)
        elif not isinstance(arg, bool) and arg is not None:  # a bool is PyTorch's non_blocking
            dtype = arg
    target = x.device if device is None else as_device(device)
    out = x if target is x.device else transfer(x, device=str(target))
    wanted = x.dtype if dtype is None else dt.as_dtype(dtype)
    out = out if wanted is x.dtype else cast(out, dtype=wanted.name)
    return copy_op(out) if copy and out is x else out


def _named_device(x: Tensor, arg: Any) -> Device:
    try:
        return as_device(arg)
    except DeviceError as problem:
        text = f"{problem_of(problem)}, or the name of a dtype"
        raise DeviceError(describe("to", str(x.tensor_type), text)) from None


@method
def to_device(x: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """x on another device (the standard's name for it)."""
    return to(x, device=device)


@method
def cpu(x: Tensor) -> Tensor:
    """x on the CPU."""
    return to(x, device=CPU)


@method
def cuda(x: Tensor, device: Any = "cuda", **_ignored: Any) -> Tensor:
    """x on a GPU."""
    return to(x, device=f"cuda:{device}" if isinstance(device, int) else device)


def _converter(target: dt.DType, name: str) -> Any:
    def convert(x: Tensor, memory_format: Any = None) -> Tensor:
        return x if x.dtype is target else cast(x, dtype=target.name)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"x as {target.name}."
    return convert


NAMES = {
    "float": dt.float32, "double": dt.float64, "half": dt.float16, "bfloat16": dt.bfloat16,
    "int": dt.int32, "long": dt.int64, "short": dt.int16, "char": dt.int8, "byte": dt.uint8,
    "bool": dt.bool_, "cfloat": dt.complex64, "cdouble": dt.complex128,
}  # fmt: skip
methods(**{name: _converter(target, name) for name, target in NAMES.items()})


@method
def type_as(x: Tensor, other: Tensor) -> Tensor:
    """x in the dtype and on the device of another tensor."""
    return to(x, other)


# --- what it is --------------------------------------------------------------------------------


class Size(int):
    """The number of elements; called, PyTorch's ``x.size()`` (the shape) and ``x.size(dim)``."""

    _shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        return self._shape if dim is None else self._shape[dim]


def _size(x: Tensor) -> Any:
    shape = x.shape
    count: Any = prod(shape)
    if is_symbolic(count):
        count.shape = shape
        return count
    out = Size(count)
    out._shape = shape
    return out


def _set_data(x: Tensor, values: Tensor) -> None:
    if values.tensor_type == x.tensor_type:
        with grad_mode(False):
            write("data", x, values)
        return
    unrepeatable("it gives a tensor memory of another type")
    x._data, x.dtype, x.device = values._data, values.dtype, values.device
    # What was a view of it, or it of something, shares no memory with it any more
    x._parent = x._cell = None


methods(
    size=property(_size, doc=Size.__doc__),
    data=property(lambda x: x.detach(), _set_data, doc="The same memory, off the tape."),
    itemsize=property(lambda x: x.dtype.itemsize, doc="Bytes of one element."),
    nbytes=property(lambda x: numel(x) * x.dtype.itemsize, doc="Bytes of all elements."),
    is_cuda=property(lambda x: x.device.type == "cuda", doc="Whether the memory is on a GPU."),
    real=property(lambda x: real_part(x) if x.dtype.is_complex else x, doc="Real part."),
    imag=property(lambda x: imag_part(x), doc="Imaginary part."),
)


@method
def dim(x: Tensor) -> int:
    """The number of axes."""
    return x.ndim


@method
def numel(x: Tensor) -> int:
    """The number of elements.

    >>> dg.numel(dg.ones((2, 3)))
    6
    """
    return prod(x.shape)


@method
def element_size(x: Tensor) -> int:
    """Bytes of one element."""
    return x.dtype.itemsize


@method
def is_same_size(x: Tensor, other: Tensor) -> bool:
    """Whether both have one shape.

    >>> dg.is_same_size(dg.ones(2), dg.ones(3))
    False
    """
    return x.shape == other.shape


@method
def is_nonzero(x: Tensor) -> bool:
    """Whether the only element is not zero.

    >>> dg.is_nonzero(dg.asarray([2]))
    True
    """
    return bool(x)


@method
def is_signed(x: Tensor) -> bool:
    """Whether the dtype has negative numbers.

    >>> dg.is_signed(dg.zeros(1, dtype=dg.uint8))
    False
    """
    return x.dtype.kind in ("int", "float", "complex")


@method
def data_ptr(x: Tensor) -> int:
    """The address of the first element."""
    return int(x._data.__array_interface__["data"][0] if x.device is CPU else x._data.data.ptr)


@method
def stride(x: Tensor, dim: int | None = None) -> Any:
    """Elements to step over from one place to the next, along each axis or along one.

    Where no step is ever taken (an axis of size 1, no elements) it is that of rows without gaps: what memory says
    there means nothing, and differs between arrays that are otherwise alike.

    >>> dg.ones(2, 3).stride(), dg.ones(4, 1).mT.stride()
    ((3, 1), (4, 1))
    """
    tell()
    steps = list(_steps(x._data))[::-1]
    return tuple(steps) if dim is None else steps[dim]


def _steps(data: Any) -> Iterator[int]:
    """The steps along the axes of an array, the last one first."""
    next_step, empty = 1, 0 in data.shape
    for size, step in zip(data.shape[::-1], data.strides[::-1], strict=True):
        step = next_step if empty or size == 1 else step // data.itemsize
        yield step
        next_step = step * max(size, 1)


@method
def is_contiguous(x: Tensor) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    return bool(x._data.flags.c_contiguous)


@method
def contiguous(x: Tensor, memory_format: Any = None) -> Tensor:
    """x itself if its memory is row-major without gaps, else a copy that is (whatever `memory_format` says)."""
    return x if is_contiguous(x) else copy_op(x)


@method
def is_floating_point(x: Tensor) -> bool:
    """Whether the dtype is a floating one.

    >>> dg.is_floating_point(dg.asarray([1, 2]))
    False
    """
    return x.dtype.is_floating_point


@method
def is_complex(x: Tensor) -> bool:
    """Whether the dtype is a complex one.

    >>> dg.is_complex(dg.asarray([1 + 2j]))
    True
    """
    return x.dtype.is_complex


@method
def get_device(x: Tensor) -> int:
    """The number of its GPU; -1 on the CPU.

    >>> dg.get_device(dg.ones(2))
    -1
    """
    return -1 if x.device is CPU else x.device.index or 0


@method
def storage_offset(x: Tensor) -> int:
    """How many elements lie before the first one in the memory that this is a view of."""
    unchecked("it asks where in memory a tensor begins", x._root())
    return offset(x)


def offset(x: Tensor) -> int:
    """`storage_offset`, without a word to a capture."""
    return (data_ptr(x) - data_ptr(x._root())) // x.dtype.itemsize


def _itself(name: str, doc: str) -> Any:
    def call(x: Tensor, *_: Any, **_ignored: Any) -> Tensor:
        return x

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{doc}\n\n    >>> x = dg.ones(2)\n    >>> x.{name}() is x\n    True\n    "
    return call


def _never(name: str, doc: str) -> Any:
    def call(x: Tensor) -> bool:
        return False

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{doc}\n\n    >>> dg.ones(2).{name}()\n    False\n    "
    return call


# What PyTorch's tensors may be and these never are.
resolve_conj = _itself("resolve_conj", "x itself: conjugates are computed at once.")
resolve_neg = _itself("resolve_neg", "x itself: negatives are computed at once.")
is_conj = _never("is_conj", "Whether x is a conjugate not computed yet: never.")
is_neg = _never("is_neg", "Whether x is a negative not computed yet: never.")
methods(
    ndimension=dim,
    nelement=numel,
    resolve_conj=resolve_conj,
    resolve_neg=resolve_neg,
    is_conj=is_conj,
    is_neg=is_neg,
    is_inference=_never("is_inference", "Whether x came from `inference_mode`: not kept."),
    is_pinned=_never("is_pinned", "Whether the memory is pinned: never."),
    is_shared=_never("is_shared", "Whether other processes share the memory: never."),
    pin_memory=_itself("pin_memory", "x itself: copies to GPUs need no pinned memory."),
    share_memory_=_itself("share_memory_", "x itself: no memory is shared between processes."),
    is_cpu=property(lambda x: x.device is CPU, doc="Whether the memory is the CPU's."),
    is_sparse=property(lambda x: False, doc="Whether x is sparse: never."),
    is_mkldnn=property(lambda x: False, doc="Whether x lies as oneDNN wants it: never."),
    is_meta=property(lambda x: False, doc="Whether x has a type and no values: never."),
    is_quantized=property(lambda x: False, doc="Whether x holds quantized numbers: never."),
)


# --- new tensors like it -------------------------------------------------------------------------


@method
def new_zeros(
    x: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of another shape in the dtype and on the device of x."""
    return filling.zeros(*size, **as_in(x, dtype, device), requires_grad=requires_grad)


@method
def new_ones(
    x: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of another shape in the dtype and on the device of x."""
    return filling.ones(*size, **as_in(x, dtype, device), requires_grad=requires_grad)


@method
def new_empty(
    x: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Memory of another shape in the dtype and on the device of x (zeros)."""
    return filling.zeros(*size, **as_in(x, dtype, device), requires_grad=requires_grad)


@method
def new_full(
    x: Tensor,
    size: Any,
    fill_value: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value in another shape, in the dtype and on the device of x."""
    return filling.full(size, fill_value, **as_in(x, dtype, device), requires_grad=requires_grad)


@method
def new(x: Tensor, *size: Any) -> Tensor:
    """Zeros of another shape, or a copy of a list, in the dtype and on the device of x (PyTorch's oldest form)."""
    if len(size) == 1 and isinstance(size[0], (list, Tensor)):
        return new_tensor(x, size[0])
    return new_empty(x, *(size or (0,)))


@method
def new_tensor(
    x: Tensor, data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A copy of `data` in the dtype and on the device of x."""
    return creation.tensor(data, **as_in(x, dtype, device), requires_grad=requires_grad)

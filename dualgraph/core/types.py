"""Types: what is known of a tensor before it has values - dtype, shape, device."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from .devices import CPU, Device, as_device
from .dtypes import BY_NAME, DType
from .errors import GraphError, ShapeError
from .numbers.symbolic import is_one, surely_equal
from .numbers.symbols import shown

Shape = tuple[int, ...]


class TensorType(NamedTuple):
    """Dtype, shape and device of a tensor; prints as ``f32[2,3]`` (``f32[2,3]@cuda:0`` off the CPU)."""

    dtype: DType
    shape: Shape
    device: Device = CPU

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def of_array(self, array: Any) -> bool:
        """Whether an array has this shape, and elements as this dtype is stored."""
        return bool(array.shape == self.shape and array.dtype == self.dtype.numpy)

    def __str__(self) -> str:
        where = "" if self.device is CPU else f"@{self.device}"
        return f"{self.dtype.short}[{','.join(map(shown, self.shape))}]{where}"

    def __repr__(self) -> str:
        return str(self)


def parse_type(text: str) -> TensorType:
    """Reads what ``str(TensorType)`` wrote."""
    body, _, device = text.partition("@")
    name, bracket, dims = body.partition("[")
    if name not in BY_NAME or not bracket or not dims.endswith("]"):
        raise GraphError(f"{text!r} is not a type such as f32[2,3]")
    listed = dims[:-1].split(",") if dims != "]" else []
    if not all(d.isascii() and d.isdigit() and len(d) < 19 for d in listed):
        raise GraphError(f"{text!r} is not a type such as f32[2,3]")
    shape = tuple(int(d) for d in listed)
    return TensorType(BY_NAME[name], shape, as_device(device) if device else CPU)


def contiguous_strides(shape: Shape, step: int = 1) -> Shape:
    """How far places along each axis lie apart, row by row without gaps; ``step``: along the last axis.

    >>> contiguous_strides((2, 3, 4)), contiguous_strides((2, 3, 4), step=8)
    ((12, 4, 1), (96, 32, 8))
    """
    strides = []
    for d in shape[::-1]:
        strides.append(step)
        step *= d
    return tuple(strides[::-1])


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape of operands under NumPy's broadcasting rule, or a ShapeError."""
    if len(shapes) == 2 and surely_equal(*shapes):
        return shapes[0]
    ndim = max((len(s) for s in shapes), default=0)
    out = [1] * ndim
    for shape in shapes:
        offset = ndim - len(shape)
        for i, dim in enumerate(shape):
            have = out[offset + i]
            if is_one(have):
                out[offset + i] = dim
            elif not is_one(dim) and have != dim and dim != 1:
                if have != 1:
                    listed = " and ".join(str(s) for s in shapes)
                    raise ShapeError(
                        f"shapes {listed} do not broadcast: axis {offset + i - ndim} has "
                        f"{have} and {dim}"
                    )
                out[offset + i] = dim
    return tuple(out)

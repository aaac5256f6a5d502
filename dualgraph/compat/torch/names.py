"""Functions that PyTorch alone has at the top level, or with other words, and its class of tensors, which is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dualgraph as dg

from ...eager import random
from ...nn.functional import (
    adaptive_avg_pool1d,
    celu_,
    elu_,
    feature_alpha_dropout,
    rrelu,
    rrelu_,
    selu_,
)
from ...nn.functional import pad as _pad
from ...special import gammainc as igamma
from ...special import gammaincc as igammac

VERSION = "2.13.0+dualgraph"  # the version that it follows
concat = dg.cat


class version:
    """What a script asks of ``torch.version``: it was built for no GPU."""

    cuda = hip = debug = None
    __version__ = VERSION


class _TensorType(type):
    def __call__(cls, *data: Any, device: Any = None) -> dg.Tensor:
        if len(data) == 1 and not isinstance(data[0], int):
            return dg.tensor(data[0], dtype=dg.get_default_dtype(), device=device)
        return dg.empty(data or (0,), device=device)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, dg.Tensor)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, dg.Tensor)

    def __getattr__(cls, name: str) -> Any:
        return getattr(dg.Tensor, name)


class Tensor(metaclass=_TensorType):
    """`dualgraph.Tensor`, which is made of data, or of sizes, as PyTorch's is.

    >>> import dualgraph.compat.torch as torch
    >>> torch.Tensor([1, 2]), torch.Tensor(2, 3).shape, isinstance(torch.ones(2), torch.Tensor)
    (tensor([1., 2.]), (2, 3), True)
    """


def compile(
    model: Any = None, *, backend: Any = None, disable: bool = False, **_: Any
) -> Callable[..., Any]:
    """`dualgraph.compile`; options that choose among PyTorch's ways to compile (``mode``, ``fullgraph``, ...) change
    nothing, as there is one."""
    if model is None:
        return lambda fn: compile(fn, disable=disable)
    return model if disable else dg.compile(model)  # type: ignore[no-any-return]


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[dg.Tensor, ...]:
    """Coordinate grids, rows first unless `indexing` is "xy".

    >>> import dualgraph.compat.torch as torch
    >>> torch.meshgrid(torch.arange(2), torch.arange(3))[0].shape
    (2, 3)
    """
    return tuple(dg.meshgrid(*tensors, indexing=indexing))


def where(condition: dg.Tensor, input: Any = None, other: Any = None, **to: Any) -> Any:
    """`input` where the condition holds and `other` elsewhere; of a condition alone the places where it holds.

    >>> import dualgraph.compat.torch as torch
    >>> torch.where(torch.tensor([0, 3, 4]) > 1)
    (tensor([1, 2]),)
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    return dg.where(condition, input, other, **to)


def range(start: float = 0, end: float | None = None, step: float = 1, **kind: Any) -> dg.Tensor:
    """Numbers from `start` to `end`, which is one of them.

    >>> import dualgraph.compat.torch as torch
    >>> torch.range(1, 3)
    tensor([1., 2., 3.])
    """
    first, last = (0, start) if end is None else (start, end)
    count = int((last - first) / step) + 1
    kind = {"dtype": dg.get_default_dtype()} | kind
    return dg.arange(count, **kind) * step + first


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> dg.Tensor:
    """A tensor over the memory of a buffer.

    >>> import dualgraph.compat.torch as torch
    >>> torch.frombuffer(bytearray(b"\x01\x02"), dtype=torch.uint8)
    tensor([1, 2], dtype=dualgraph.uint8)
    """
    found = np.frombuffer(buffer, dg.empty(0, dtype=dtype).numpy().dtype, count, offset)
    return dg.from_numpy(found).requires_grad_(requires_grad)


def split_with_sizes(x: dg.Tensor, split_sizes: Sequence[int], dim: int = 0) -> Any:
    """Parts of given sizes along `dim`.

    >>> import dualgraph.compat.torch as torch
    >>> [part.tolist() for part in torch.split_with_sizes(torch.arange(3), [1, 2])]
    [[0], [1, 2]]
    """
    return dg.split(x, list(split_sizes), dim)


def adjoint(x: dg.Tensor) -> dg.Tensor:
    """Matrices with rows and columns exchanged, and conjugated.

    >>> import dualgraph.compat.torch as torch
    >>> torch.adjoint(torch.tensor([[1, 2], [3, 4]])).tolist()
    [[1, 3], [2, 4]]
    """
    return x.mH


def constant_pad_nd(x: dg.Tensor, pad: Sequence[int], value: float = 0) -> dg.Tensor:
    """x with `value` around it: how many of them in front and behind, from the last axis on.

    >>> import dualgraph.compat.torch as torch
    >>> torch.constant_pad_nd(torch.tensor([1, 2]), (1, 0), 7)
    tensor([7, 1, 2])
    """
    return _pad(x, tuple(pad), value=value)


def narrow_copy(x: dg.Tensor, dim: int, start: int, length: int) -> dg.Tensor:
    """A copy of some places along `dim`.

    >>> import dualgraph.compat.torch as torch
    >>> torch.narrow_copy(torch.tensor([1, 2, 3]), 0, 1, 2)
    tensor([2, 3])
    """
    return x.narrow_copy(dim, start, length)


def typename(obj: Any) -> str:
    """What kind of thing this is: of a tensor its dtype.

    >>> import dualgraph.compat.torch as torch
    >>> torch.typename(torch.ones(2))
    'dualgraph.FloatTensor'
    """
    if isinstance(obj, dg.Tensor):
        return str(obj.type())
    kind = obj if isinstance(obj, type) else type(obj)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def set_default_tensor_type(t: Any) -> None:
    """The dtype of what is made of Python floats from now on, as a constructor or its name."""
    dg.set_default_dtype(dg.empty(0).type(t).dtype)


def get_num_interop_threads() -> int:
    """How many ops run beside each other: one.

    >>> import dualgraph.compat.torch as torch
    >>> torch.get_num_interop_threads()
    1
    """
    return 1


def set_num_interop_threads(n: int) -> None:
    """Changes nothing."""


def set_flush_denormal(mode: bool) -> bool:
    """Whether small numbers can be made zero: they are kept."""
    return False


def is_storage(obj: Any) -> bool:
    """Whether this is memory without a shape: there is no such object.

    >>> import dualgraph.compat.torch as torch
    >>> torch.is_storage(torch.ones(2))
    False
    """
    return False


def to_dlpack(tensor: dg.Tensor) -> Any:
    """The capsule by which other libraries take the memory of a tensor.

    >>> import dualgraph.compat.torch as torch
    >>> type(torch.to_dlpack(torch.ones(2))).__name__
    'PyCapsule'
    """
    return tensor.__dlpack__()


__all__ = [
    "Tensor", "adaptive_avg_pool1d", "adjoint", "celu_", "compile", "concat", "constant_pad_nd", "elu_",
    "feature_alpha_dropout", "frombuffer", "get_num_interop_threads", "igamma", "igammac", "is_storage", "meshgrid",
    "narrow_copy", "random", "range", "rrelu", "rrelu_", "selu_", "set_default_tensor_type", "set_flush_denormal",
    "set_num_interop_threads", "split_with_sizes", "to_dlpack", "typename", "version", "where",
]  # fmt: skip

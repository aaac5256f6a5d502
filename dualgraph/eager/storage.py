"""Storage: the memory behind a tensor and all its views, as one row of elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.context import unchecked
from ..core.devices import Device
from ..core.dtypes import DType
from ..core.errors import ArgumentError, describe
from .attach import methods
from .creation import asarray
from .tensor import Tensor


class Storage:
    """The elements of the tensor that others are views of, in the order of memory.

    >>> x = dg.arange(6).reshape(2, 3)
    >>> x[1].storage().data_ptr() == x.storage().data_ptr(), x.T.storage().tolist()
    (True, [0, 1, 2, 3, 4, 5])
    """

    def __init__(self, flat: Tensor) -> None:
        self._flat = flat

    @property
    def dtype(self) -> DType:
        return self._flat.dtype

    @property
    def device(self) -> Device:
        return self._flat.device

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self._flat.data_ptr())

    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(self._flat.nbytes)

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def size(self) -> int:
        """The number of elements."""
        return len(self)

    def __len__(self) -> int:
        return len(self._flat)

    def __getitem__(self, index: int) -> Any:
        return self._flat[index].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._flat[index] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        return self._flat.tolist()  # type: ignore[no-any-return]

    def fill_(self, value: Any) -> Storage:
        """Writes one value into all elements."""
        self._flat.fill_(value)
        return self

    def __repr__(self) -> str:
        lines = "".join(f" {v}\n" for v in self)
        return f"{lines}[{type(self).__name__} of {self.dtype.name}, {len(self)} elements, on {self.device}]"


def storage(x: Tensor) -> Storage:
    """The memory of x and of all that it is a view of, or is a view of it."""
    unchecked("it asks for the memory behind a tensor", x._root())
    root = x._root().detach()
    if not root.is_contiguous():
        problem = "the memory has gaps, or elements at one place"
        raise ArgumentError(
            describe("storage", str(x.tensor_type), problem, "take that of .contiguous()")
        )
    return Storage(root.view(-1))


def untyped_storage(x: Tensor) -> Storage:
    """`storage`, byte by byte, to be read."""
    data = storage(x)._flat.numpy().view("uint8")
    data.flags.writeable = False
    return Storage(asarray(data))


methods(storage=storage, untyped_storage=untyped_storage)

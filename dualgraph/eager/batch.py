"""Batch: the data of a tensor inside `vmap`.

Such a tensor presents the shape of one example. Its data is a `Batch`: another tensor, with the examples
along axis 0.
"""

from __future__ import annotations

from math import prod
from typing import Any, NoReturn

from ..core.errors import TransformError, describe
from .tensor import Tensor


class Level:
    """One running `vmap`: how deep it stands in others, its number of examples, whether it still runs.

    ``draws``: whether random numbers are "different" in each example, the "same", or an "error".
    """

    __slots__ = ("alive", "depth", "draws", "size")

    def __init__(self, depth: int, size: int, draws: str = "different") -> None:
        self.depth = depth
        self.size = size
        self.draws = draws
        self.alive = False


class Batch:
    """Looks like the array of one example; `inner` is the tensor of all of them, along axis 0.

    If it is not ``mapped``, all examples share `inner` as it is: what `grad` differentiates for inside a
    `vmap` is of that form, so that only the tape of this level sees it. Levels decrease inwards.
    """

    __slots__ = ("inner", "level", "mapped")

    def __init__(self, inner: Tensor, level: Level, mapped: bool = True) -> None:
        self.inner = inner
        self.level = level
        self.mapped = mapped

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape[self.mapped :]

    @property
    def ndim(self) -> int:
        return self.inner.ndim - self.mapped

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def dtype(self) -> Any:
        return self.inner._data.dtype

    @property
    def itemsize(self) -> int:
        return int(self.inner._data.itemsize)

    @property
    def strides(self) -> tuple[int, ...]:
        return self.inner._data.strides[self.mapped :]  # type: ignore[no-any-return]

    @property
    def flags(self) -> Any:
        return self.inner._data.flags

    @property
    def base(self) -> Any:
        return self.inner._parent

    def shares(self, other: Any) -> bool:
        """Whether both lie in one memory."""
        return type(other) is Batch and self.inner._root() is other.inner._root()

    def check_alive(self) -> None:
        """Raises if the vmap that this batch belongs to has ended."""
        if not self.level.alive:
            raise TransformError(
                describe(
                    "vmap",
                    f"batch of {self.inner.tensor_type}",
                    "a tensor was used after the vmap that made it ended",
                    "return it from the function instead of keeping it elsewhere",
                )
            )

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self.check_alive()
        raise TransformError("a batch is no array")


def batch_of(t: Any) -> Batch | None:
    """The batch behind a tensor, or None."""
    data = getattr(t, "_data", None)
    return data if type(data) is Batch else None


def all_examples(t: Tensor) -> Tensor:
    """A tensor inside `vmap` as that of all examples; any other as it is."""
    while (batch := batch_of(t)) is not None:
        t = batch.inner
    return t


def in_batch(inner: Tensor, level: Level, mapped: bool = True) -> Tensor:
    """A tensor of one example's shape over `inner`, whose axis 0 has the examples if it is `mapped`."""
    return Tensor(Batch(inner, level, mapped), inner.dtype, inner.device)


def tracked(t: Tensor) -> bool:
    """Whether a tape knows the tensor, or one of those that it is a batch of."""
    return t.requires_grad or tracked_within(t)


def tracked_within(t: Tensor) -> bool:
    """Whether the tape of a vmap further out, or of no vmap, knows the tensor behind a batched one."""
    batch = batch_of(t)
    return batch is not None and tracked(batch.inner)

"""Strided: an array without values, known by shape and strides: numbers that may be worked out from sizes.

The kernels of view ops run on it as on NumPy arrays, and say where their results lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..core.numbers.sizing import range_length, slice_indices
from ..core.numbers.symbolic import is_one
from ..core.numbers.worked import Unfollowed
from ..core.types import Shape, contiguous_strides


@dataclass(frozen=True, slots=True)
class Strided:
    """Elements `offset` bytes and so many strides from the start of something."""

    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def transpose(self, axes: Sequence[int]) -> Strided:
        return Strided(
            tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes), self.offset
        )

    def __getitem__(self, key: tuple[slice, ...]) -> Strided:
        shape, strides, offset = list(self.shape), list(self.strides), self.offset
        for i, (k, d) in enumerate(zip(key, self.shape, strict=False)):
            start, stop, step = slice_indices(k, d)
            shape[i] = range_length(start, stop, step)
            if shape[i] != 0:
                offset = offset + start * self.strides[i]
            strides[i] = self.strides[i] * step
        return Strided(tuple(shape), tuple(strides), offset)

    def reshape(self, shape: Shape) -> Strided:
        """Elements in row-major order under another shape; Unfollowed where that is no view."""
        old = [(d, s) for d, s in zip(self.shape, self.strides, strict=True) if not is_one(d)]
        strides: list[int] = []
        rest = list(shape)
        while rest:
            if is_one(rest[0]) or not old:
                strides.append(old[0][1] * old[0][0] if old else 1)
                rest.pop(0)
                continue
            extent, step = old.pop(0)
            own = [rest.pop(0)]
            while prod(own) != extent:
                if rest and prod(own) < extent:
                    own.append(rest.pop(0))
                elif old and old[0][0] * old[0][1] == step:
                    more, step = old.pop(0)
                    extent = extent * more
                else:
                    raise Unfollowed("a reshape that is no view")
            strides += contiguous_strides(tuple(own), step)
        return Strided(tuple(shape), tuple(strides), self.offset)


class Namespace:
    """The functions of an array namespace that view ops use."""

    class lib:
        class stride_tricks:
            @staticmethod
            def as_strided(x: Strided, shape: Shape, strides: Shape, writeable: bool) -> Strided:
                return Strided(shape, strides, x.offset)

    @staticmethod
    def broadcast_to(x: Strided, shape: Shape) -> Strided:
        more = len(shape) - x.ndim
        own = zip(x.shape, shape[more:], x.strides, strict=True)
        return Strided(
            shape,
            (*(0,) * more, *(0 if is_one(d) and not is_one(t) else s for d, t, s in own)),
            x.offset,
        )


__all__ = ["Strided", "Namespace"]

"""Lift: what the batch rules of ops ask for - operands brought to where the op can take a batch."""

from __future__ import annotations

from typing import Any

from ..core.errors import TransformError
from ..core.prim import Prim
from ..ops.movement import concat_along, expand_dims_at, reshape, slice_
from ..ops.reduce import broadcast_to
from .tensor import Tensor


class Lift:
    """What batch rules ask for: operands brought to where the op can take the batch as axis 0."""

    def __init__(self, size: int) -> None:
        self.size = size

    def align(self, args: list[Any], batched: tuple[bool, ...]) -> list[Any]:
        """Operands of an elementwise op: batched ones get 1s after axis 0 so that ranks align."""
        rank = max(_rank(a) - b for a, b in zip(args, batched, strict=True))
        return self.align_to(args, batched, rank)

    def align_to(self, args: list[Any], batched: tuple[bool, ...], rank: int) -> list[Any]:
        """Batched operands in `rank` axes after axis 0; others are left as they are."""
        return [self._pad(a, rank) if b else a for a, b in zip(args, batched, strict=True)]

    def _pad(self, x: Any, rank: int) -> Any:
        missing = rank + 1 - x.ndim
        return reshape(x, shape=(x.shape[0], *(1,) * missing, *x.shape[1:])) if missing > 0 else x

    def materialize(self, args: list[Any], batched: tuple[bool, ...]) -> list[Any]:
        """All operands with the batch: those that lack it are repeated (as views)."""
        return [
            a if b else broadcast_to(a, shape=(self.size, *a.shape))
            for a, b in zip(args, batched, strict=True)
        ]

    def merge(self, x: Any) -> Any:
        """(B, N, ...) -> (B * N, ...)."""
        return reshape(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:]))

    def split(self, y: Any, size: int) -> Any:
        """(B * N, ...) -> (B, N, ...)."""
        return reshape(y, shape=(size, y.shape[0] // size if size else 0, *y.shape[1:]))

    def loop(
        self, prim: Prim, args: list[Any], batched: tuple[bool, ...], params: dict[str, Any]
    ) -> Any:
        """The slow way that always works: example by example, results stacked."""
        if self.size == 0:
            raise TransformError(f"{prim.name} cannot be batched over 0 examples")
        results = [
            prim(*(example(a, i) if b else a for a, b in zip(args, batched, strict=True)), **params)
            for i in range(self.size)
        ]
        if not prim.multiple:
            return stacked(results)
        return tuple(stacked(list(column)) for column in zip(*results, strict=True))


def _rank(x: Any) -> int:
    return x.ndim if isinstance(x, Tensor) else 0


def example(x: Any, i: int) -> Any:
    """Example `i` of x, whose axis 0 is the batch."""
    starts, stops = (i,) + (0,) * (x.ndim - 1), (i + 1, *x.shape[1:])
    return reshape(slice_(x, starts=starts, stops=stops, steps=(1,) * x.ndim), shape=x.shape[1:])


def stacked(examples: list[Any]) -> Any:
    """Examples joined along a new axis 0."""
    return concat_along(*(expand_dims_at(e, (0,)) for e in examples), axis=0)

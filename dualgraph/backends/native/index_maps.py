"""Index maps: which place of its operand a movement op reads for a place of its result.

Places are tuples of `Affine`, one a dimension. An op without an entry here is not fused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.numbers.symbolic import hint
from ...core.types import Shape, contiguous_strides
from .loop_ir import Affine, Unsupported

Place = tuple[Affine, ...]
Extents = dict[int, int]  # axis id -> extent

ZERO = Affine()


class Split(Exception):
    """The map is affine once `axis` is two nested axes, the inner one of extent `inner`."""

    def __init__(self, axis: int, inner: int) -> None:
        self.axis, self.inner = axis, inner


def linear(place: Place, strides: tuple[int, ...], offset: int = 0) -> Affine:
    """The offset in memory of a place."""
    out = Affine(offset)
    for index, stride in zip(place, strides, strict=True):
        out = out + index * stride
    return out


def broadcast(place: Place, shape: Shape) -> Place:
    """The place of an operand of `shape` for a place of the broadcast result."""
    last = place[len(place) - len(shape) :]
    return tuple(ZERO if d == 1 else index for index, d in zip(last, shape, strict=True))


def permute(place: Place, shape: Shape, extents: Extents, axes: tuple[int, ...]) -> Place:
    source = [ZERO] * len(axes)
    for index, axis in zip(place, axes, strict=True):
        source[axis] = index
    return tuple(source)


def broadcast_to(place: Place, in_shape: Shape, extents: Extents, shape: Shape) -> Place:
    return broadcast(place, in_shape)


def slice_(
    place: Place, shape: Shape, extents: Extents, starts: Any, stops: Any, steps: Any
) -> Place:
    return tuple(
        index * step + start for index, start, step in zip(place, starts, steps, strict=True)
    )


def flip(place: Place, shape: Shape, extents: Extents, axes: tuple[int, ...]) -> Place:
    return tuple(
        index * -1 + (d - 1) if i in axes else index
        for i, (index, d) in enumerate(zip(place, shape, strict=True))
    )


def lattice(
    place: Place, in_shape: Shape, extents: Extents, shape: Shape, starts: Any, steps: Any
) -> Place:
    columns = zip(*steps, strict=True) if steps else ((),) * len(starts)
    return tuple(linear(place, column, a) for a, column in zip(starts, columns, strict=True))


def reshape(place: Place, in_shape: Shape, extents: Extents, shape: Shape) -> Place:
    """Undoes the row-major offset digit by digit; raises `Split` where an axis straddles two digits."""
    if 0 in in_shape:
        return (ZERO,) * len(in_shape)
    rest = linear(place, contiguous_strides(shape))
    source: list[Affine] = []
    for d in reversed(in_shape):
        digit, rest = _divmod(rest, d, extents)
        source.append(digit)
    return tuple(reversed(source))


def _divmod(x: Affine, d: int, extents: Extents) -> tuple[Affine, Affine]:
    """``x % d`` and ``x // d`` as affine forms."""
    if d == 1:
        return ZERO, x
    if any(c < 0 for _, c in x.terms) or x.const < 0:  # type: ignore[operator]
        raise Unsupported("reshape of a flipped index")
    high, low = [], []
    for a, c in x.terms:
        if c % d == 0:  # type: ignore[operator]
            high.append((a, c // d))  # type: ignore[operator]
        elif type(c) is int and type(d) is int and c > d:  # along a diagonal: some of both
            high.append((a, c // d))
            low.append((a, c % d))
        else:
            low.append((a, c))
    digit = Affine(x.const % d, tuple(low))
    most = digit.const + sum(c * (extents[a] - 1) for a, c in low)  # type: ignore[operator,misc]
    if not (hint(most) < hint(d) and most < d):  # what does not fit here may be split for all sizes
        for a, c in low:
            whole = d % c == 0 and extents[a] % (d // c) == 0  # type: ignore[operator]
            if whole and hint(extents[a]) > hint(d // c):  # type: ignore[operator]
                raise Split(a, d // c)  # type: ignore[operator]
        raise Unsupported("reshape that is not affine")
    return digit, Affine(x.const // d, tuple(high))


def same(place: Place, shape: Shape, extents: Extents) -> Place:
    return place


INDEX_MAPS: dict[str, Callable[..., Place]] = {
    "permute": permute,
    "broadcast_to": broadcast_to,
    "slice": slice_,
    "flip": flip,
    "reshape": reshape,
    "lattice": lattice,
    "copy": same,
    "alias": same,
    "stop_gradient": same,
}

"""Calculus on samples: slopes by differences, integrals by the trapezoidal rule."""

from __future__ import annotations

from typing import Any

from ..core.composite import together
from ..core.errors import ArgumentError, describe
from ..ops import arithmetic as ar
from ..ops.axes import normalize_axis
from . import functions as fn
from . import shapes as sh
from .operands import as_operand
from .tensor import Tensor


@together
def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The integral of y along `dim` by the trapezoidal rule, at places x or `dx` apart.

    >>> dg.trapz(dg.asarray([1.0, 2.0, 3.0]), dx=0.5)
    tensor(2.)
    """
    return fn.sum(_trapezoids(y, x, dx, dim), axis=dim)


@together
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The integral up to each place but the first along `dim`, by the trapezoidal rule.

    >>> dg.cumulative_trapezoid(dg.asarray([1.0, 2.0, 3.0]))
    tensor([1.5000, 4.0000])
    """
    return fn.cumulative_sum(_trapezoids(y, x, dx, dim), axis=dim)


def _trapezoids(y: Any, x: Any, dx: float, dim: int) -> Tensor:
    """The area over each step along `dim`."""
    y = as_operand(y)
    a = normalize_axis(dim, y.ndim)
    n = y.shape[a]
    pairs = ar.add(sh.cut(y, a, min(n, 1), n), sh.cut(y, a, 0, max(n - 1, 0)))
    if x is None:
        return ar.multiply(pairs, dx / 2)
    x = as_operand(x)
    steps = fn.diff(x, axis=0 if x.ndim == 1 else a - y.ndim)
    width = sh.reshape(steps, (-1,) + (1,) * (y.ndim - a - 1)) if x.ndim == 1 else steps
    return ar.multiply(pairs, ar.multiply(width, 0.5))


trapz = trapezoid


def gradient(x: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> list[Tensor]:
    """Slopes along each axis in `dim` (all, if none) by central differences, at the ends by one-sided ones.

    `spacing` is a distance, one an axis, or tensors of places; `edge_order` 2 takes three values at the ends.

        >>> dg.gradient(dg.asarray([1.0, 4.0, 9.0]))
        [tensor([3., 4., 5.])]
    """
    x = as_operand(x)
    each = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    axes = [normalize_axis(a, x.ndim) for a in each]
    spacing = 1 if spacing is None else spacing
    many = isinstance(spacing, (tuple, list))
    gaps = list(spacing) if many else [spacing] * len(axes)
    if len(gaps) != len(axes):
        problem = f"{len(gaps)} spacings for {len(axes)} axes"
        raise ArgumentError(describe("gradient", str(x.tensor_type), problem))
    return [_slope(x, a, gap, edge_order) for a, gap in zip(axes, gaps, strict=True)]


def _slope(x: Tensor, a: int, gap: Any, edge_order: int) -> Tensor:
    """`gradient` along one axis."""
    n = x.shape[a]
    if edge_order not in (1, 2) or n <= edge_order:
        problem = f"edge_order {edge_order} needs more than {edge_order} places along axis {a}"
        raise ArgumentError(describe("gradient", str(x.tensor_type), problem))

    def at(low: int, high: int) -> Tensor:
        return sh.cut(x, a, low, high)

    uneven = isinstance(gap, Tensor) and gap.ndim > 0
    if uneven:
        steps = sh.reshape(fn.diff(gap), (-1,) + (1,) * (x.ndim - a - 1))
        lead = sh.reshape(steps, (1,) * a + tuple(steps.shape))
    else:
        lead = sh.broadcast_to(as_operand(gap), (1,) * a + (n - 1,) + (1,) * (x.ndim - a - 1))
    h, k = sh.cut(lead, a, 0, n - 2), sh.cut(lead, a, 1, n - 1)
    rises = ar.divide(ar.subtract(at(1, n), at(0, n - 1)), lead)
    before, after = sh.cut(rises, a, 0, n - 2), sh.cut(rises, a, 1, n - 1)
    if uneven:
        middle = ar.divide(ar.add(ar.multiply(before, k), ar.multiply(after, h)), ar.add(h, k))
    else:  # the value between does not matter, whatever it is
        middle = ar.divide(ar.subtract(at(2, n), at(0, n - 2)), ar.add(h, k))
    first, last = sh.cut(rises, a, 0, 1), sh.cut(rises, a, n - 2, n - 1)
    if edge_order == 2:
        lean = ar.divide(ar.subtract(after, before), ar.add(h, k))
        left, right = sh.cut(lean, a, 0, 1), sh.cut(lean, a, n - 3, n - 2)
        first = ar.subtract(first, ar.multiply(left, sh.cut(lead, a, 0, 1)))
        last = ar.add(last, ar.multiply(right, sh.cut(lead, a, n - 2, n - 1)))
    return sh.concat([first, middle, last], axis=a)

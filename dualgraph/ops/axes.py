"""Axes: how users name them, checked and counted from 0."""

from __future__ import annotations

import sys
from typing import Any

from ..core.errors import AxisError, describe


def normalize_axis(axis: Any, ndim: int) -> int:
    """An axis counted from 0; negative ones count from the end. A 0-d tensor has axis 0 and -1."""
    if type(axis) is int and -ndim <= axis < ndim:
        return axis % ndim
    try:
        a = int(axis.__index__())
    except AttributeError:
        raise AxisError(describe(_asker(), repr(axis), "an axis is an integer")) from None
    span = max(ndim, 1)
    if not -span <= a < span:
        problem = f"axis {a} is out of range for a tensor of {ndim} dimensions"
        raise AxisError(describe(_asker(), "", problem, f"axes go from {-span} to {span - 1}"))
    return a % span


def own_axis(axis: Any, ndim: int) -> int:
    """`normalize_axis` for what needs the axis itself: a 0-d tensor has none."""
    a = normalize_axis(axis, ndim)
    if not ndim:
        raise AxisError(
            describe(_asker(), "", "a tensor of 0 dimensions has no axis to work along")
        )
    return a


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """None (all axes), an int or a sequence, as a sorted tuple of axes counted from 0."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    out = tuple(sorted(normalize_axis(a, ndim) for a in given))
    if len(set(out)) != len(out):
        raise AxisError(describe(_asker(), "", f"axis {axis} names an axis twice"))
    return out if ndim else ()


_BETWEEN = {"normalize_axis", "own_axis", "normalize_axes", "call", "<genexpr>", "<listcomp>"}


def _asker() -> str:
    """The function that was given the axis, for error texts."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_name in _BETWEEN or frame.f_code.co_name[0] == "_"
    ):
        frame = frame.f_back
    return frame.f_code.co_name

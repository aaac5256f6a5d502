"""Printing: tensors as text, in PyTorch's form."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.context import state, unrepeatable
from ..core.devices import CPU
from ..core.errors import ArgumentError
from ..core.node import resolved
from .attach import method
from .tensor import Tensor

PREFIX = "tensor("


@dataclass(slots=True)
class Options:
    """How tensors are printed."""

    precision: int = 4  # digits after the point
    threshold: float = 1000  # elements above which the middle is left out
    edgeitems: int = 3  # elements shown at each end of a long axis
    linewidth: int = 80
    sci_mode: bool | None = None  # whether numbers have exponents; None: where they need to


_PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}
_options = Options()


def set_printoptions(
    precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
    linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None,
) -> None:  # fmt: skip
    """Sets how tensors are printed from here on; what is None stays, but `sci_mode`: None is where numbers need it.

    `profile` is "default", "short" or "full", which the others change.

    >>> dg.set_printoptions(precision=2); print(dg.tensor(1.23456)); dg.set_printoptions(profile="default")
    tensor(1.23)
    """
    global _options
    if profile is not None and profile not in _PROFILES:
        raise ArgumentError(
            f"set_printoptions: profile {profile!r} is none of {', '.join(_PROFILES)}"
        )
    given = {
        "precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth
    }  # fmt: skip
    unrepeatable("it sets how tensors are printed")
    changed = {k: v for k, v in given.items() if v is not None}
    before = _options if profile is None else _PROFILES[profile]
    _options = replace(before, **changed, sci_mode=sci_mode)  # type: ignore[arg-type]


@method
def __repr__(x: Tensor) -> str:
    batched = None if state.batching is None else state.batching.spelt(x)
    return batched or _spelt(x, x._concrete("repr()"))


@method
def __str__(x: Tensor) -> str:
    return repr(x)


@method
def __format__(x: Tensor, spec: str) -> str:
    if x.ndim == 0 and (spec or not x.requires_grad):
        return format(x.item(), spec)
    return format(repr(x), spec)


def _spelt(x: Tensor, array: Any) -> str:
    """A tensor as text: its values, then what they do not show."""
    body = _values(array, x.dtype)
    notes = [body]
    if x._data.size == 0 and x.ndim != 1:
        notes.append(f"size={x.shape}")
    if x.device is not CPU:
        notes.append(f"device='{x.device}'")
    if _is_worth_saying(x):
        notes.append(f"dtype={x.dtype!r}")
    if x.grad_fn is not None:
        node, index = resolved((x.grad_fn, x._index))
        notes.append(f"grad_fn=<{node.maker(index)}>")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    return PREFIX + ", ".join(notes) + ")"


def _is_worth_saying(x: Tensor) -> bool:
    """Whether the dtype cannot be told from how the elements look."""
    if x.dtype is dt.default_of(x.dtype.kind) and x.dtype.is_inexact:
        return False
    return x.dtype not in (dt.int64, dt.bool_) or x._data.size == 0


def _values(array: Any, dtype: dt.DType) -> str:
    """The elements as text, all of one width."""
    if array.size == 0:
        return "[]"
    shown = _shown(array)
    spell = _speller(shown, dtype)
    if array.ndim == 0:
        return spell(array[()]).strip()
    flat = shown.ravel()
    telling = flat[np.isfinite(flat) & (flat != 0)] if dtype.is_floating_point else flat
    width = max((len(spell(v)) for v in telling), default=1)
    return _rows(array, lambda v: spell(v).rjust(width), len(PREFIX), width)


def _shown(array: Any) -> Any:
    """The elements that will be printed, which alone decide the format."""
    if array.size <= _options.threshold:
        return array
    edge = _options.edgeitems
    for axis, d in enumerate(array.shape):
        if d > 2 * edge:
            array = np.take(array, [*range(edge), *range(d - edge, d)], axis=axis)
    return array


def _rows(array: Any, spell: Any, indent: int, width: int, cut: bool | None = None) -> str:
    """An array as nested lists over several lines; of a large one the edges (`cut`)."""
    cut = array.size > _options.threshold if cut is None else cut
    n = array.shape[0]
    edge = _options.edgeitems
    short = cut and n > 2 * edge
    places = [*range(edge), None, *range(n - edge, n)] if short else list(range(n))
    if array.ndim == 1:
        cells = [" ..." if p is None else spell(array[p]) for p in places]
        per_line = max(1, (_options.linewidth - indent) // (width + 2))
        lines = [", ".join(cells[i : i + per_line]) for i in range(0, len(cells), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = ["..." if p is None else _rows(array[p], spell, indent + 1, width, cut) for p in places]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _speller(values: Any, dtype: dt.DType) -> Any:
    """How each element is written, chosen for all of them together."""
    if dtype.is_complex:
        real, imag = _speller(values.real, dt.float64), _speller(values.imag, dt.float64)
        return lambda v: (
            f"{real(v.real).strip()}{'' if imag(v.imag).strip().startswith('-') else '+'}{imag(v.imag).strip()}j"
        )
    if not dtype.is_floating_point:
        return lambda v: str(v)
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide) & (wide != 0)]
    size = np.abs(finite)
    needed = finite.size and (
        size.max() / size.min() > 1000 or size.max() > 1e8 or size.min() < 1e-4
    )
    digits = _options.precision
    if _options.sci_mode or (needed and _options.sci_mode is None):
        return lambda v: _finite(v, f"{{:.{digits}e}}")
    if bool(np.all(finite == np.floor(finite))):
        return lambda v: _finite(v, "{:.0f}.")
    return lambda v: _finite(v, f"{{:.{digits}f}}")


def _finite(v: Any, form: str) -> str:
    return form.format(float(v)) if np.isfinite(v) else str(float(v))

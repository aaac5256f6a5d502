"""Testing: `assert_close`, with the tolerances and the messages that tests want, under PyTorch's name for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .core.dtypes import DType
from .core.errors import ArgumentError
from .eager import Tensor, asarray

__all__ = ["assert_allclose", "assert_close"]

TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
}
TOLERANCES |= {"complex64": TOLERANCES["float32"], "complex128": TOLERANCES["float64"]}
Message = str | Callable[[str], str] | None


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    msg: Message = None,
) -> None:
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere.

    Tensors, arrays and numbers, and sequences and mappings of them. Without tolerances, those of the less precise dtype
    are taken (float32: 1.3e-6 and 1e-5; whole numbers: none). Shapes have to be equal, and devices and dtypes, unless
    that is not asked for. `msg` is said instead of what was found, or is a function of it.

        >>> dg.testing.assert_close(dg.tensor([1.0, 2.0]), dg.tensor([1.0, 2.000001]))
        >>> dg.testing.assert_close([dg.tensor(1.0)], [dg.tensor(3.0)])
        Traceback (most recent call last):
        ...
        AssertionError: item [0]: 1 of 1 elements are not close
        greatest absolute difference: 2.0 at () (up to 1e-05 allowed)
        greatest relative difference: 0.6666666666666666 at () (up to 1.3e-06 allowed)
    """
    if (rtol is None) is not (atol is None):
        raise ArgumentError("assert_close takes both rtol and atol, or none of them")

    def leaf(x: Tensor, y: Tensor) -> str | None:
        given = _tolerances(x.dtype, y.dtype) if rtol is None or atol is None else (rtol, atol)
        different = _types(x, y, check_device, check_dtype)
        return different or _difference(_values(x), _values(y), *given, equal_nan)

    found = _first(actual, expected, "", leaf)
    if found is not None:
        raise AssertionError(msg(found) if callable(msg) else found if msg is None else msg)


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: Message = "",
) -> None:
    """`assert_close` of values alone: dtypes and devices may differ, NaN is equal to NaN, numbers and lists will do.

    >>> dg.testing.assert_allclose(dg.tensor([1.0, 2.0]), [1, 2])
    """
    x, y = asarray(actual), asarray(expected)
    assert_close(
        x, y, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=False, check_dtype=False, msg=msg or None
    )  # fmt: skip


def _first(x: Any, y: Any, place: str, leaf: Callable[[Tensor, Tensor], str | None]) -> str | None:
    """What is wrong at the first place where something is, by what `leaf` says of two tensors."""
    found: str | None = None
    if isinstance(x, Mapping) and isinstance(y, Mapping):
        if x.keys() == y.keys():
            parts = (_first(x[k], y[k], f"{place}[{k!r}]", leaf) for k in x)
            return next((p for p in parts if p is not None), None)
        found = f"the keys are {sorted(map(str, x))} and {sorted(map(str, y))}"
    elif _is_sequence(x) and _is_sequence(y):
        if len(x) == len(y):
            parts = (_first(x[i], y[i], f"{place}[{i}]", leaf) for i in range(len(x)))
            return next((p for p in parts if p is not None), None)
        found = f"the lengths are {len(x)} and {len(y)}"
    elif x is None or y is None:
        found = None if x is y else f"{x} and {y}"
    else:
        found = leaf(*(v.detach() if isinstance(v, Tensor) else asarray(v) for v in (x, y)))
    return f"item {place}: {found}" if found and place else found


def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, (str, bytes))


def _types(x: Tensor, y: Tensor, device: bool, dtype: bool) -> str | None:
    """How two tensors differ in more than their values."""
    if x.shape != y.shape:
        return f"the shapes are {x.shape} and {y.shape}"
    if device and x.device != y.device:
        return f"the devices are {x.device} and {y.device}"
    if dtype and x.dtype is not y.dtype:
        return f"the dtypes are {x.dtype.name} and {y.dtype.name}"
    return None


def _tolerances(x: DType, y: DType) -> tuple[float, float]:
    """The larger ones of two dtypes."""
    pairs = [TOLERANCES.get(d.name, (0.0, 0.0)) for d in (x, y)]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def _values(x: Tensor) -> Any:
    """The values in a dtype that NumPy computes differences in."""
    wide = "complex128" if x.dtype.is_complex else "float64"
    return x.to(wide).numpy() if x.dtype.is_inexact else x.numpy()


def _difference(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> str | None:
    """What is said of values that are not close."""
    if x.dtype.kind == y.dtype.kind and x.dtype.kind in "bui" and rtol == atol == 0:
        close, gap = x == y, abs(x.astype(object) - y.astype(object)).astype(float)
    else:
        x, y = (v.astype(np.result_type(v, np.float64)) for v in (x, y))
        with np.errstate(all="ignore"):
            gap = abs(x - y)
            close = (x == y) | (np.isfinite(y) & (gap <= atol + rtol * abs(y)))
        if equal_nan:
            close |= np.isnan(x) & np.isnan(y)
    if close.all():
        return None
    size = abs(y.astype(complex))
    with np.errstate(all="ignore"):
        relative = np.where(gap == 0, 0.0, gap / size)
    return "\n".join((
        f"{close.size - close.sum()} of {close.size} elements are not close",
        _greatest("absolute", np.where(close, 0.0, gap), atol),
        _greatest("relative", np.where(close, 0.0, relative), rtol),
    ))  # fmt: skip


def _greatest(what: str, gap: Any, allowed: float) -> str:
    found = np.where(np.isnan(gap), np.inf, gap)
    at = tuple(int(i) for i in np.unravel_index(found.argmax(), found.shape))
    return f"greatest {what} difference: {float(gap[at])} at {at} (up to {allowed} allowed)"

"""Algebra: identities between ops, a rule a line. ``pattern -> replacement  if condition, ...``

A rule holds to the last bit for every operand, or it stands under `FAST_MATH`. So ``add(x, 0.0)`` is
not ``x`` (x may be -0.0) but ``add(x, -0.0)`` is, and signs of NaN are kept too. Letters stand for
operands and parameters, numbers for literals of just that value (0.0 is not -0.0). Rules apply only
where the replacement has the type of what it replaces; commutative ops match in either order.
Lower-case words that are no op are the functions below: they see what the letters stand for.
"""

from __future__ import annotations

from math import frexp, isfinite
from typing import Any

from ..core.dtypes import DType, as_dtype, bool_
from ..core.node import Literal
from . import arithmetic, comparison, cumulative, movement, reduce  # noqa: F401  (the ops named below)

EXACT = """
    copy(x)                                  -> x
    alias(x)                                 -> x
    stop_gradient(x)                         -> x
    written(x, y, taped=t)                   -> x

    add(x, -0.0)                             -> x                        if floating(x)
    add(x, 0)                                -> x                        if integer(x)
    subtract(x, 0.0)                         -> x                        if floating(x)
    subtract(x, 0)                           -> x                        if integer(x)
    multiply(x, 1)                           -> x                        if real(x)
    multiply(x, -1)                          -> negative(x)              if integer(x)
    divide(x, 1)                             -> x                        if floating(x)
    divide(x, c)                             -> multiply(x, inverse(c))  if power_of_two(c, x)
    negative(negative(x))                    -> x
    abs(negative(x))                         -> abs(x)                   if signed(x)
    abs(abs(x))                              -> abs(x)                   if real(x)
    maximum(x, x)                            -> x                        if integer(x)
    minimum(x, x)                            -> x                        if integer(x)

    bitwise_and(x, x)                        -> x
    bitwise_or(x, x)                         -> x
    bitwise_or(x, 0)                         -> x
    bitwise_xor(x, 0)                        -> x
    bitwise_invert(bitwise_invert(x))        -> x
    logical_not(logical_not(x))              -> x                        if boolean(x)
    logical_and(x, True)                     -> x                        if boolean(x)
    logical_or(x, False)                     -> x                        if boolean(x)
    where(c, x, x)                           -> x
    where(True, x, y)                        -> x
    where(False, x, y)                       -> y
    where(logical_not(c), x, y)              -> where(c, y, x)           if boolean(c)

    cast(x, dtype=d)                         -> x
    cast(cast(x, dtype=a), dtype=b)          -> cast(x, dtype=b)         if holds(a, x), inexact(b)
    cast(cast(x, dtype=a), dtype=b)          -> x                        if holds(a, x)

    reshape(x, shape=s)                      -> x
    reshape(reshape(x, shape=a), shape=b)    -> reshape(x, shape=b)
    permute(x, axes=a)                       -> x                        if identity(a)
    permute(permute(x, axes=a), axes=b)      -> permute(x, axes=compose(a, b))
    permute(x, axes=a)                       -> reshape(x, shape=permuted(x, a))  if only_ones_move(x, a)
    add(permute(x, axes=a), permute(y, axes=a))  -> permute(add(x, y), axes=a)
    broadcast_to(x, shape=s)                 -> x
    broadcast_to(broadcast_to(x, shape=a), shape=b)  -> broadcast_to(x, shape=b)
    slice(x, starts=a, stops=b, steps=c)     -> x                        if all_ones(c)
    flip(x, axes=())                         -> x
    flip(flip(x, axes=a), axes=a)            -> x
    pad(x, widths=w, value=v)                -> x
    concat_along(x, axis=a)                  -> x
    reduce_sum(x, axes=(), keepdims=k)       -> x
    reduce_sum(x, axes=a, keepdims=k)        -> reshape(x, shape=reduced(x, a, k))  if floating(x), ones_at(x, a)
    reduce_prod(x, axes=(), keepdims=k)      -> x                        if real(x)
"""

FAST_MATH = """
    add(x, 0.0)                              -> x                        if floating(x)
    multiply(x, -1)                          -> negative(x)              if floating(x)
    divide(x, c)                             -> multiply(x, inverse(c))  if invertible(c)
    subtract(x, negative(y))                 -> add(x, y)
    add(x, negative(y))                      -> subtract(x, y)
    multiply(negative(x), negative(y))       -> multiply(x, y)
    multiply(multiply(x, a), b)              -> multiply(x, product(a, b))  if number(a), number(b)
    maximum(x, x)                            -> x
    minimum(x, x)                            -> x
"""

Ints = tuple[int, ...]
EXPONENTS = {"float16": 14, "bfloat16": 126, "float32": 126, "float64": 1022}

# --- conditions --------------------------------------------------------------------------------


def floating(x: Any) -> bool:
    return bool(x.type.dtype.is_floating_point)


def integer(x: Any) -> bool:
    return bool(x.type.dtype.is_integer)


def real(x: Any) -> bool:
    return floating(x) or integer(x)


def signed(x: Any) -> bool:
    return bool(x.type.dtype.kind in ("float", "int"))


def boolean(x: Any) -> bool:
    return x.type.dtype is bool_


def number(c: Any) -> bool:
    return isinstance(c, Literal)


def inexact(dtype: Any) -> bool:
    return as_dtype(dtype).is_inexact


def power_of_two(c: Any, x: Any) -> bool:
    """c and 1/c are normal powers of two in x's dtype, so that dividing and multiplying round alike."""
    if not number(c) or not floating(x) or isinstance(c.value, complex):
        return False
    mantissa, exponent = frexp(float(c.value))
    return (
        mantissa in (0.5, -0.5)
        and -EXPONENTS[x.type.dtype.name] < exponent - 1 < EXPONENTS[x.type.dtype.name]
    )


def invertible(c: Any) -> bool:
    return number(c) and floating(c) and c.value != 0 and isfinite(c.value)


def holds(dtype: Any, x: Any) -> bool:
    """Whether every value of x's dtype is a value of `dtype`, which stays what it is on later casts."""
    wide, narrow = as_dtype(dtype), x.type.dtype
    if wide.kind == narrow.kind:
        return bool(
            wide.is_inexact and wide.itemsize >= narrow.itemsize and _floats_nest(wide, narrow)
        )
    return bool(
        wide.kind == "float" and narrow.is_integer and 8 * narrow.itemsize <= DIGITS[wide.name]
    )


DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def _floats_nest(wide: DType, narrow: DType) -> bool:
    return wide is narrow or wide.itemsize > narrow.itemsize


def identity(axes: Ints) -> bool:
    return axes == tuple(range(len(axes)))


def only_ones_move(x: Any, axes: Ints) -> bool:
    long = [a for a in axes if x.type.shape[a] != 1]
    return long == sorted(long)


def all_ones(steps: Ints) -> bool:
    return all(s == 1 for s in steps)


def ones_at(x: Any, axes: Ints) -> bool:
    return all(x.type.shape[a] == 1 for a in axes)


# --- replacements ------------------------------------------------------------------------------


def inverse(c: Literal) -> float:
    return float(1 / c.value)


def product(a: Literal, b: Literal) -> Any:
    return a.value * b.value


def compose(a: Ints, b: Ints) -> Ints:
    return tuple(a[i] for i in b)


def permuted(x: Any, axes: Ints) -> Ints:
    return tuple(x.type.shape[a] for a in axes)


def reduced(x: Any, axes: Ints, keepdims: bool) -> Ints:
    return tuple(
        1 if i in axes else d for i, d in enumerate(x.type.shape) if keepdims or i not in axes
    )

"""Elementwise methods: ops under PyTorch's method names."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.composite import together
from ...core.dtypes import get_default_dtype
from ...core.errors import ArgumentError, describe
from ...ops import arithmetic as ar
from ...ops import comparison as cp
from ...ops import transcendental as tr
from ...ops.movement import copy as copy_op
from ...ops.nn import activations as act
from .. import functions as fn
from ..attach import as_method, method, methods
from ..operands import as_operand, astype, result_type
from ..tensor import Tensor

OPS: dict[str, Any] = {
    "abs": ar.abs, "absolute": ar.abs, "neg": ar.negative, "negative": ar.negative, "sign": ar.sign,
    "square": ar.square, "sqrt": ar.sqrt, "rsqrt": ar.rsqrt, "reciprocal": ar.reciprocal,
    "floor": ar.floor, "ceil": ar.ceil, "trunc": ar.trunc, "fix": ar.trunc,
    "exp": tr.exp, "exp2": tr.exp2, "expm1": tr.expm1, "log": tr.log, "log2": tr.log2,
    "log10": tr.log10, "log1p": tr.log1p, "sin": tr.sin, "cos": tr.cos, "tan": tr.tan,
    "asin": tr.asin, "acos": tr.acos, "atan": tr.atan, "arcsin": tr.asin, "arccos": tr.acos,
    "arctan": tr.atan, "sinh": tr.sinh, "cosh": tr.cosh, "tanh": tr.tanh, "asinh": tr.asinh,
    "acosh": tr.acosh, "atanh": tr.atanh, "arcsinh": tr.asinh, "arccosh": tr.acosh,
    "arctanh": tr.atanh, "erf": tr.erf, "erfc": tr.erfc, "sigmoid": tr.sigmoid, "relu": act.relu,
    "isnan": cp.isnan, "isinf": cp.isinf, "isfinite": cp.isfinite, "signbit": cp.signbit,
    "conj": ar.conj, "logical_not": cp.logical_not, "bitwise_not": cp.bitwise_invert,
    "maximum": ar.maximum, "minimum": ar.minimum, "remainder": ar.remainder, "fmod": ar.fmod,
    "floor_divide": ar.floor_divide, "true_divide": ar.divide, "multiply": ar.multiply,
    "mul": ar.multiply, "pow": tr.pow, "atan2": tr.atan2, "arctan2": tr.atan2, "hypot": tr.hypot,
    "logaddexp": tr.logaddexp, "copysign": ar.copysign,
    "eq": cp.equal, "ne": cp.not_equal, "not_equal": cp.not_equal, "lt": cp.less, "less": cp.less,
    "le": cp.less_equal, "less_equal": cp.less_equal, "gt": cp.greater, "greater": cp.greater,
    "ge": cp.greater_equal, "greater_equal": cp.greater_equal,
    "logical_and": cp.logical_and, "logical_or": cp.logical_or, "logical_xor": cp.logical_xor,
    "bitwise_and": cp.bitwise_and, "bitwise_or": cp.bitwise_or, "bitwise_xor": cp.bitwise_xor,
    "bitwise_left_shift": cp.bitwise_left_shift, "bitwise_right_shift": cp.bitwise_right_shift,
}  # fmt: skip
methods(**{name: as_method(op, name) for name, op in OPS.items()})


# --- with more than operands ---------------------------------------------------------------------


@method
def add(x: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``x + alpha * other``."""
    return ar.add(x, other if alpha == 1 else ar.multiply(other, alpha))


@method
def sub(x: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``x - alpha * other``."""
    return ar.subtract(x, other if alpha == 1 else ar.multiply(other, alpha))


@method
def rsub(x: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * x``."""
    return ar.subtract(other, x if alpha == 1 else ar.multiply(x, alpha))


@method
def div(x: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``x / other``; `rounding_mode` "floor" or "trunc" rounds the quotient.

    >>> dg.div(dg.asarray([7.0, -7.0]), 2.0, rounding_mode="trunc")
    tensor([ 3., -3.])
    """
    if rounding_mode is None:
        return ar.divide(x, other)
    if rounding_mode == "floor":
        return ar.floor_divide(x, other)
    if rounding_mode != "trunc":
        raise ArgumentError(
            describe(
                "div",
                str(x.tensor_type),
                f"rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}",
            )
        )
    common = result_type(x, other)
    if not common.is_inexact:  # exact in integers: round the floor up where it fell below 0
        low = ar.floor_divide(x, other)
        rest = ar.subtract(x, ar.multiply(low, other))
        return ar.where(cp.logical_and(cp.less(low, 0), cp.not_equal(rest, 0)), ar.add(low, 1), low)
    return ar.trunc(ar.divide(x, other))


@method
def round(x: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest whole number (or multiple of ``10**-decimals``), halves to even.

    >>> dg.round(dg.tensor([1.26, 2.5]), decimals=1).tolist() == dg.tensor([1.3, 2.5]).tolist()
    True
    """
    if not decimals:
        return ar.round(x)
    scale = 10.0 ** abs_of(decimals)
    if decimals < 0:
        return ar.multiply(ar.round(ar.divide(x, scale)), scale)
    return ar.divide(ar.round(ar.multiply(x, scale)), scale)


@method
def frac(x: Tensor) -> Tensor:
    """x without its whole part.

    >>> dg.frac(dg.asarray([1.5, -1.5]))
    tensor([ 0.5000, -0.5000])
    """
    return ar.subtract(x, ar.trunc(x))


@method
@together
def clamp(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]; None leaves a side open.

    >>> dg.clamp(dg.asarray([-2.0, 0.5, 2.0]), -1.0, 1.0)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min is None and max is None:
        raise ArgumentError(describe("clamp", str(x.tensor_type), "neither min nor max is given"))
    return fn.clip(x, min, max)


@method
def clamp_min(x: Tensor, min: Any) -> Tensor:
    """x, at least `min`.

    >>> dg.clamp_min(dg.asarray([-2.0, 2.0]), 0.0)
    tensor([0., 2.])
    """
    return fn.clip(x, min)


@method
def clamp_max(x: Tensor, max: Any) -> Tensor:
    """x, at most `max`.

    >>> dg.clamp_max(dg.asarray([-2.0, 2.0]), 0.0)
    tensor([-2.,  0.])
    """
    return fn.clip(x, None, max)


@method
@together
def lerp(x: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``x + weight * (end - x)``, as ``end - (end - x) * (1 - weight)`` from weight 0.5 on.

    >>> dg.lerp(dg.asarray([0.0, 10.0]), dg.asarray([10.0, 20.0]), 0.25)
    tensor([ 2.5000, 12.5000])
    """
    gap = ar.subtract(end, x)
    if isinstance(weight, Tensor):
        near = ar.add(x, ar.multiply(weight, gap))
        far = ar.subtract(end, ar.multiply(gap, ar.subtract(1, weight)))
        return ar.where(cp.less(ar.abs(weight), 0.5), near, far)
    if abs_of(weight) < 0.5:
        return ar.add(x, ar.multiply(gap, weight))
    return ar.subtract(end, ar.multiply(gap, 1 - weight))


def abs_of(value: Any) -> Any:
    """Absolute value of a number (``abs`` is an op here)."""
    return -value if value < 0 else value


@method
@together
def addcmul(x: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """``x + value * tensor1 * tensor2``.

    >>> dg.addcmul(dg.ones(2), dg.asarray([1.0, 2.0]), dg.asarray([3.0, 4.0]), value=0.5)
    tensor([2.5000, 5.0000])
    """
    product = ar.multiply(tensor1, tensor2)
    return ar.add(x, product if value == 1 else ar.multiply(product, value))


@method
@together
def addcdiv(x: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """``x + value * tensor1 / tensor2``.

    >>> dg.addcdiv(dg.ones(2), dg.asarray([1.0, 2.0]), dg.asarray([4.0, 4.0]), value=2.0)
    tensor([1.5000, 2.0000])
    """
    return ar.add(x, ar.divide(tensor1 if value == 1 else ar.multiply(tensor1, value), tensor2))


@method
@together
def nan_to_num(
    x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with NaN and infinities replaced: by 0 and the largest finite numbers unless told otherwise.

    >>> dg.nan_to_num(dg.asarray([1.0, float("nan")]), nan=0.0)
    tensor([1., 0.])
    """
    if not x.dtype.is_inexact:
        return copy_op(x)
    top = np.finfo(x.dtype.numpy).max if x.dtype.name != "bfloat16" else 3.3895313892515355e38
    high = float(top) if posinf is None else posinf
    low = -float(top) if neginf is None else neginf
    out = ar.where(cp.equal(x, float("inf")), high, ar.where(cp.equal(x, float("-inf")), low, x))
    return ar.where(cp.isnan(x), nan, out)


@method
@together
def logit(x: Tensor, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, x held in [eps, 1 - eps] if eps is given.

    >>> dg.logit(dg.asarray([0.5]))
    tensor([0.])
    """
    if not x.dtype.is_inexact:  # 1 - x may not fit its dtype
        x = ar.cast(x, dtype=get_default_dtype().name)
    x = x if eps is None else fn.clip(x, eps, 1 - eps)
    if x.dtype.is_complex:
        return tr.log(ar.divide(x, ar.subtract(1, x)))
    return ar.subtract(tr.log(x), tr.log1p(ar.negative(x)))  # infinitely steep at 0 and 1


@method
@together
def xlogy(x: Tensor, other: Any) -> Tensor:
    """``x * log(other)``, 0 where x is 0 (NaN where `other` is).

    >>> dg.xlogy(dg.asarray([0.0, 1.0]), dg.asarray([0.0, 1.0]))
    tensor([0., 0.])
    """
    endless = cp.logical_or(cp.less_equal(other, 0), cp.equal(other, float("inf")))
    held = cp.logical_and(cp.equal(x, 0), endless)  # elsewhere log(other) is the slope at 0
    return ar.where(held, 0.0, ar.multiply(x, tr.log(ar.where(held, 1.0, other))))


@method
@together
def sinc(x: Tensor) -> Tensor:
    """``sin(pi x) / (pi x)``, 1 at 0.

    >>> dg.sinc(dg.asarray([0.0, 0.5]))
    tensor([1.0000, 0.6366])
    """
    zero = cp.equal(x, 0)
    turned = ar.multiply(ar.where(zero, 1.0, x), np.pi)
    return ar.where(zero, 1.0, ar.divide(tr.sin(turned), turned))


@method
def deg2rad(x: Tensor) -> Tensor:
    """Degrees in radians.

    >>> dg.deg2rad(dg.asarray([180.0]))
    tensor([3.1416])
    """
    return ar.multiply(x, np.pi / 180)


@method
def rad2deg(x: Tensor) -> Tensor:
    """Radians in degrees.

    >>> dg.rad2deg(dg.asarray([3.141592653589793]))
    tensor([180.])
    """
    return ar.multiply(x, 180 / np.pi)


@method
def heaviside(x: Tensor, values: Any) -> Tensor:
    """0 below 0, 1 above, `values` at 0.

    >>> dg.heaviside(dg.asarray([-1.0, 0.0, 2.0]), dg.asarray(0.5))
    tensor([0.0000, 0.5000, 1.0000])
    """
    step = ar.cast(cp.greater(x, 0), dtype=x.dtype.name)
    return ar.where(cp.equal(x, 0), values, step)


# --- comparison of whole tensors -----------------------------------------------------------------


@method
def isposinf(x: Tensor) -> Tensor:
    """x is +infinity.

    >>> dg.isposinf(dg.asarray([1.0, float("inf")]))
    tensor([False,  True])
    """
    return cp.equal(x, float("inf"))


@method
def isneginf(x: Tensor) -> Tensor:
    """x is -infinity.

    >>> dg.isneginf(dg.asarray([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return cp.equal(x, float("-inf"))


@method
@together
def fmax(x: Tensor, other: Any) -> Tensor:
    """The larger operand, x if they are equal; where one is NaN, the other.

    >>> dg.fmax(dg.asarray([1.0, float("nan")]), dg.asarray([2.0, 3.0]))
    tensor([2., 3.])
    """
    return ar.where(cp.logical_or(cp.greater_equal(x, other), cp.isnan(other)), x, other)


@method
@together
def fmin(x: Tensor, other: Any) -> Tensor:
    """The smaller operand, x if they are equal; where one is NaN, the other.

    >>> dg.fmin(dg.asarray([1.0, float("nan")]), dg.asarray([2.0, 3.0]))
    tensor([1., 3.])
    """
    return ar.where(cp.logical_or(cp.less_equal(x, other), cp.isnan(other)), x, other)


@method
@together
def float_power(x: Tensor, exponent: Any) -> Tensor:
    """``x ** exponent`` in float64, in complex128 where an operand is complex.

    >>> dg.float_power(dg.asarray([2, 3]), 2)
    tensor([4., 9.], dtype=dualgraph.float64)
    """
    wide = "complex128" if result_type(x, exponent).is_complex else "float64"
    return tr.pow(astype(x, wide, copy=False), exponent)


@method
@together
def isclose(
    x: Tensor, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Where ``|x - other| <= atol + rtol * |other|``, or both are equal.

    >>> dg.isclose(dg.asarray([1.0, 2.0]), dg.asarray([1.0 + 1e-7, 2.1]))
    tensor([ True, False])
    """
    if rtol < 0 or atol < 0:
        problem = f"rtol and atol are 0 or more, not {rtol} and {atol}"
        raise ArgumentError(describe("isclose", str(x.tensor_type), problem))
    gap = [x, other]
    if not result_type(x, other).is_inexact:  # whose differences may not fit their dtype
        gap = [ar.cast(v, dtype="float64") for v in gap]
    size = ar.multiply(ar.abs(gap[1]), rtol)
    near = cp.less_equal(ar.abs(ar.subtract(*gap)), ar.add(size, atol))
    out = cp.logical_or(cp.equal(x, other), cp.logical_and(near, cp.isfinite(other)))
    if equal_nan:
        out = cp.logical_or(out, cp.logical_and(cp.isnan(x), cp.isnan(other)))
    return out


@method
def allclose(
    x: Tensor, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere.

    >>> dg.allclose(dg.asarray([1.0]), dg.asarray([1.0 + 1e-7]))
    True
    """
    return bool(fn.all(isclose(x, other, rtol, atol, equal_nan)))


@method
def equal(x: Tensor, other: Tensor) -> bool:
    """Whether both have one shape and the same elements.

    >>> import dualgraph.compat.torch as torch
    >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
    True
    """
    other = as_operand(other)
    return x.shape == other.shape and bool(fn.all(cp.equal(x, other)))


methods(subtract=sub, divide=div, clip=clamp)

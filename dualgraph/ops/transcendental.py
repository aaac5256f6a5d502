"""Transcendental functions: exponentials, logarithms, trigonometry, hyperbolics, erf, powers."""

from __future__ import annotations

from math import inf, pi
from math import log as _log
from math import sqrt as _sqrt

from ..core.kinds import elementwise, integer, real_float, to_float
from .arithmetic import abs, cube, divide, multiply, negative, nought, sqrt, square, subtract, where
from .arithmetic import conj as conjugate
from .comparison import equal, not_equal

LN2 = _log(2)
LN10 = _log(10)


@elementwise(dtype=to_float)
def exp(s, x):
    """``e**x``."""
    return s.exp(x)


@exp.vjp
def _(ct, out, _x):
    return (ct * conjugate(out),)


@elementwise(dtype=to_float)
def exp2(s, x):
    """``2**x``."""
    return s.exp2(x)


@exp2.vjp
def _(ct, out, _x):
    return (ct * (conjugate(out) * LN2),)


@elementwise(dtype=to_float)
def expm1(s, x):
    """``e**x - 1``, accurate for small x."""
    return s.expm1(x)


@expm1.vjp
def _(ct, out, _x):
    return (ct * (conjugate(out) + 1),)


@elementwise(dtype=to_float, domain=(0.1, 9.0))
def log(s, x):
    """Natural logarithm; -inf at 0, NaN below."""
    return s.log(x)


@log.vjp
def _(ct, _out, x):
    return (divide(ct, conjugate(x)),)


@elementwise(dtype=to_float, domain=(0.1, 9.0))
def log2(s, x):
    """Logarithm to base 2."""
    return s.log2(x)


@log2.vjp
def _(ct, _out, x):
    return (divide(ct, conjugate(x) * LN2),)


@elementwise(dtype=to_float, domain=(0.1, 9.0))
def log10(s, x):
    """Logarithm to base 10."""
    return s.log10(x)


@log10.vjp
def _(ct, _out, x):
    return (divide(ct, conjugate(x) * LN10),)


@elementwise(dtype=to_float, domain=(-0.9, 10.0))
def log1p(s, x):
    """Natural logarithm of ``1 + x``, accurate for small x."""
    return s.log1p(x)


@log1p.vjp
def _(ct, _out, x):
    return (divide(ct, conjugate(x) + 1),)


@elementwise(dtype=to_float)
def sin(s, x):
    """Sine of x radians."""
    return s.sin(x)


@sin.vjp
def _(ct, _out, x):
    return (ct * conjugate(cos(x)),)


@elementwise(dtype=to_float)
def cos(s, x):
    """Cosine of x radians."""
    return s.cos(x)


@cos.vjp
def _(ct, _out, x):
    return (negative(ct * conjugate(sin(x))),)


@elementwise(dtype=to_float, domain=(-1.2, 1.2))
def tan(s, x):
    """Tangent of x radians."""
    return s.tan(x)


@tan.vjp
def _(ct, out, _x):
    return (ct * (square(conjugate(out)) + 1),)


@elementwise(dtype=to_float, domain=(-0.9, 0.9))
def asin(s, x):
    """Arc sine in radians, NaN outside [-1, 1]."""
    return s.asin(x)


@asin.vjp
def _(ct, _out, x):
    return (divide(ct, conjugate(sqrt(subtract(1, square(x))))),)


@elementwise(dtype=to_float, domain=(-0.9, 0.9))
def acos(s, x):
    """Arc cosine in radians, NaN outside [-1, 1]."""
    return s.acos(x)


@acos.vjp
def _(ct, _out, x):
    return (negative(divide(ct, conjugate(sqrt(subtract(1, square(x)))))),)


@elementwise(dtype=to_float)
def atan(s, x):
    """Arc tangent in radians."""
    return s.atan(x)


@atan.vjp
def _(ct, _out, x):
    return (divide(ct, square(conjugate(x)) + 1),)


@elementwise(dtype=real_float, domain=(0.3, 3.0))
def atan2(s, y, x):
    """Angle in radians of the point (x, y), in [-pi, pi]."""
    return s.atan2(y, x)


@atan2.vjp
def _(ct, _out, y, x):
    radius = square(x) + square(y)
    radius = where(equal(radius, 0), 1, radius)  # the gradient at (0, 0) is 0
    return lambda: divide(ct * x, radius), lambda: negative(divide(ct * y, radius))


@elementwise(dtype=to_float)
def sinh(s, x):
    """Hyperbolic sine."""
    return s.sinh(x)


@sinh.vjp
def _(ct, _out, x):
    return (ct * conjugate(cosh(x)),)


@elementwise(dtype=to_float)
def cosh(s, x):
    """Hyperbolic cosine."""
    return s.cosh(x)


@cosh.vjp
def _(ct, _out, x):
    return (ct * conjugate(sinh(x)),)


@elementwise(dtype=to_float)
def tanh(s, x):
    """Hyperbolic tangent."""
    return s.tanh(x)


@tanh.vjp
def _(ct, out, _x):
    return (ct * subtract(1, square(conjugate(out))),)


@elementwise(dtype=to_float)
def asinh(s, x):
    """Inverse hyperbolic sine."""
    return s.asinh(x)


@asinh.vjp
def _(ct, _out, x):
    return (divide(ct, conjugate(sqrt(square(x) + 1))),)


@elementwise(dtype=to_float, domain=(1.2, 9.0))
def acosh(s, x):
    """Inverse hyperbolic cosine, NaN below 1."""
    return s.acosh(x)


@acosh.vjp
def _(ct, _out, x):
    if x.dtype.is_complex:  # the root of the product has the other sign left of the imaginary axis
        return (divide(ct, conjugate(multiply(sqrt(subtract(x, 1)), sqrt(x + 1)))),)
    return (divide(ct, sqrt(subtract(square(x), 1))),)


@elementwise(dtype=to_float, domain=(-0.9, 0.9))
def atanh(s, x):
    """Inverse hyperbolic tangent, NaN outside [-1, 1]."""
    return s.atanh(x)


@atanh.vjp
def _(ct, _out, x):
    return (divide(ct, subtract(1, square(conjugate(x)))),)


@elementwise(dtype=real_float)
def erf(s, x):
    """Error function."""
    return s.erf(x)


@erf.vjp
def _(ct, _out, x):
    return (ct * (exp(negative(square(x))) * (2 / _sqrt(pi))),)


@elementwise(dtype=real_float)
def erfc(s, x):
    """``1 - erf(x)``, accurate for large x."""
    return s.erfc(x)


@erfc.vjp
def _(ct, _out, x):
    return (negative(ct * (exp(negative(square(x))) * (2 / _sqrt(pi)))),)


@elementwise(dtype=to_float)
def sigmoid(s, x):
    """``1 / (1 + e**-x)``."""
    return s.sigmoid(x)


@sigmoid.vjp
def _(ct, out, _x):
    out = conjugate(out)
    return (ct * (out * subtract(1, out)),)


@elementwise(dtype=real_float, domain=(0.1, 9.0))
def cbrt(s, x):
    """Cube root."""
    return s.cbrt(x)


@cbrt.vjp
def _(ct, out, _x):
    return (divide(ct, square(out) * 3),)


@elementwise(dtype=to_float, domain=(0.3, 3.0), name="pow_float")
def pow_float(s, x, y):
    """``x ** y`` of floats."""
    return s.pow(x, y)


@pow_float.vjp
def _(ct, out, x, y):
    def along_x():
        if is_number(y):
            return nought(x) if y == 0 else ct * conjugate(pow_float(x, y - 1) * y)
        safe = where(equal(y, 0), 1, y)
        return ct * conjugate(where(equal(y, 0), 0, y * pow_float(x, safe - 1)))

    def along_y():
        x_ = x if not is_number(x) else where(True, x, out)
        # 0 ** y for y > 0; elsewhere log(0) is right
        flat = equal(x_, 0) & not_equal(abs(out), inf)
        return ct * conjugate(out * where(flat, 0, log(where(flat, 1, x_))))

    return along_x, along_y


@elementwise(dtype=integer, domain=(1, 4), name="pow_int")
def pow_int(s, x, y):
    """``x ** y`` of integers, wrapping around; a negative power gives 0 unless x is 1 or -1."""
    return s.int_pow(x, y)


@elementwise(dtype=real_float, domain=(0.3, 3.0))
def hypot(s, x, y):
    """``sqrt(x*x + y*y)`` without overflow."""
    return s.hypot(x, y)


@hypot.vjp
def _(ct, out, x, y):
    safe = where(equal(out, 0), 1, out)
    return lambda: ct * divide(x, safe), lambda: ct * divide(y, safe)


@elementwise(dtype=real_float)
def logaddexp(s, x, y):
    """``log(e**x + e**y)`` without overflow."""
    return s.logaddexp(x, y)


@logaddexp.vjp
def _(ct, _out, x, y):
    return lambda: ct * sigmoid(subtract(x, y)), lambda: ct * sigmoid(subtract(y, x))


def is_number(x: object) -> bool:
    """x is a Python number, not a tensor."""
    return isinstance(x, (bool, int, float, complex))


def pow(x, y):
    """``x ** y``. Integers stay integers; 2 and 3 as powers are products, 0.5 a square root.

    >>> import dualgraph as dg
    >>> dg.pow(dg.asarray([1., 2., 3.]), 2).tolist()
    [1.0, 4.0, 9.0]
    """
    if is_number(y) and not isinstance(y, bool) and not is_number(x):
        if y == 2:
            return square(x)
        if y == 3 and x.dtype.is_inexact:
            return cube(x)
        if y == 0.5 and x.dtype.is_floating_point:
            return sqrt(x)
        if y == 1:
            return multiply(x, y)
    kinds = [v.dtype.kind if not is_number(v) else _kind(v) for v in (x, y)]
    return pow_int(x, y) if all(k in ("bool", "int", "uint") for k in kinds) else pow_float(x, y)


def _kind(value: object) -> str:
    return (
        "bool"
        if isinstance(value, bool)
        else "int"
        if isinstance(value, int)
        else "float"
        if isinstance(value, float)
        else "complex"
    )

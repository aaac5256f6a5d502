"""Arithmetic: elementwise sums, products, quotients, signs, rounding and casts."""

from __future__ import annotations

from typing import Any

from ..core import dtypes as dt
from ..core.errors import DTypeError
from ..core.kinds import (
    chosen,
    elementwise,
    magnitude,
    movement,
    number,
    numeric,
    opaque,
    real,
    real_float,
    real_number,
    to_float,
)
from ..core.node import Node
from ..core.types import TensorType, broadcast_shapes
from .comparison import equal, greater, less
from .creation import full


def nought(x: Any) -> Any:
    """The gradient of what is flat wherever it is smooth."""
    return full(shape=x.shape, value=0, dtype=x.dtype.name, device=str(x.device))


@elementwise(commutative=True, alpha=True)
def add(s, x, y):
    """Sum ``x + y``; of ``alpha * y`` if `alpha` is given."""
    return x + y


@add.vjp
def _(ct, _out, _x, _y):
    return ct, ct


@elementwise(dtype=number, alpha=True)
def subtract(s, x, y):
    """Difference ``x - y``; from ``alpha * y`` if `alpha` is given."""
    return x - y


@subtract.vjp
def _(ct, _out, _x, _y):
    return ct, lambda: negative(ct)


# Products of complex numbers are rounded in the order of the operands
@elementwise(commutative="real")
def multiply(s, x, y):
    """Product ``x * y``."""
    return x * y


@multiply.vjp
def _(ct, _out, x, y):
    return lambda: multiply(ct, conj(y)), lambda: multiply(ct, conj(x))


@elementwise(dtype=to_float, domain=(0.5, 3.0))
def divide(s, x, y):
    """Quotient ``x / y``; integers become floats."""
    return x / y


@divide.vjp
def _(ct, out, _x, y):
    def along_x():
        return divide(ct, conj(y))

    return along_x, lambda: negative(multiply(divide(ct, conj(y)), conj(out)))


@elementwise(dtype=number)
def negative(s, x):
    """``-x``."""
    return -x


@negative.vjp
def _(ct, _out, _x):
    return (negative(ct),)


@elementwise(dtype=magnitude)
def abs(s, x):
    """Absolute value ``|x|``; its gradient at 0 is 0."""
    return s.abs(x)


@abs.vjp
def _(ct, _out, x):
    return (multiply(ct, sign(x)),)


@elementwise
def sign(s, x):
    """-1, 0 or 1 by the sign of x; NaN stays NaN. A complex x gives ``x / |x|``."""
    return s.sign(x)


@sign.vjp
def _(ct, out, x):
    if not x.dtype.is_complex:
        return (nought(x),)
    size = abs(x)
    across = subtract(ct, multiply(out, real_part(multiply(conj(out), ct))))
    return (where(equal(size, 0), 0, divide(across, where(equal(size, 0), 1, size))),)


@elementwise(domain=(-2.0, 2.0))
def square(s, x):
    """``x * x``."""
    return x * x


@square.vjp
def _(ct, _out, x):
    return (multiply(ct, multiply(conj(x), 2)),)


@elementwise(domain=(-2.0, 2.0))
def cube(s, x):
    """``x * x * x``."""
    return x * x * x


@cube.vjp
def _(ct, _out, x):
    return (multiply(ct, multiply(square(conj(x)), 3)),)


@elementwise(dtype=to_float, domain=(0.1, 9.0))
def sqrt(s, x):
    """Square root, correctly rounded; NaN below 0."""
    return s.sqrt(x)


@sqrt.vjp
def _(ct, out, _x):
    return (divide(ct, multiply(conj(out), 2)),)


@elementwise(dtype=to_float, domain=(0.1, 9.0))
def rsqrt(s, x):
    """``1 / sqrt(x)``."""
    return 1 / s.sqrt(x)


@rsqrt.vjp
def _(ct, out, x):
    return (multiply(ct, conj(divide(multiply(out, -0.5), x))),)


@elementwise(dtype=to_float, domain=(0.3, 3.0))
def reciprocal(s, x):
    """``1 / x``."""
    return 1 / x


@reciprocal.vjp
def _(ct, out, _x):
    return (negative(multiply(ct, multiply(conj(out), conj(out)))),)


@elementwise(dtype=real)
def maximum(s, x, y):
    """The larger operand; NaN if either is. Where they are equal each gets half of the gradient."""
    return s.maximum(x, y)


@maximum.vjp
def _(ct, _out, x, y):
    half = where(equal(x, y), multiply(ct, 0.5), 0)  # chosen, not multiplied: ct may be infinite
    return lambda: where(greater(x, y), ct, half), lambda: where(less(x, y), ct, half)


@elementwise(dtype=real)
def minimum(s, x, y):
    """The smaller operand; NaN if either is. Where they are equal each gets half of the gradient."""
    return s.minimum(x, y)


@minimum.vjp
def _(ct, _out, x, y):
    half = where(equal(x, y), multiply(ct, 0.5), 0)
    return lambda: where(less(x, y), ct, half), lambda: where(greater(x, y), ct, half)


@elementwise(dtype=real_number, domain=(0.7, 5.0))
def floor_divide(s, x, y):
    """``floor(x / y)``; an integer divided by zero gives 0. At infinities it is Python's, NumPy's and PyTorch's, so
    that it goes with `remainder` (the array API standard allows that): ``inf // 2`` is NaN, ``1 // -inf`` is -1.

    >>> dg.floor_divide(dg.asarray([7, -7]), 2)
    tensor([ 3, -4])
    """
    return s.floor_divide(x, y)


@floor_divide.vjp
def _(ct, _out, _x, _y):
    return lambda: nought(_x), lambda: nought(_y)


@elementwise(dtype=real_number, domain=(0.7, 5.0))
def remainder(s, x, y):
    """``x - floor(x / y) * y``: the remainder with the sign of y, as Python's ``%``.

    >>> dg.remainder(dg.asarray([7, -7]), 3)
    tensor([1, 2])
    """
    return s.remainder(x, y)


@remainder.vjp
def _(ct, _out, x, y):
    return ct, lambda: negative(multiply(ct, floor_divide(x, y)))


@elementwise(dtype=real_number, domain=(0.7, 5.0))
def fmod(s, x, y):
    """The remainder with the sign of x, as C's ``fmod``.

    >>> dg.fmod(dg.asarray([7.0, -7.0]), 3.0)
    tensor([ 1., -1.])
    """
    return s.fmod(x, y)


@fmod.vjp
def _(ct, _out, x, y):
    return ct, lambda: negative(multiply(ct, trunc(divide(x, y))))


def _flat(prim: Any) -> None:
    """A gradient that is zero wherever it exists."""

    @prim.vjp
    def _(ct, _out, _x):
        return (nought(_x),)


@elementwise(dtype=real)
def floor(s, x):
    """The largest whole number not above x."""
    return s.floor(x)


@elementwise(dtype=real)
def ceil(s, x):
    """The smallest whole number not below x."""
    return s.ceil(x)


@elementwise(dtype=real)
def trunc(s, x):
    """x without its fraction."""
    return s.trunc(x)


@elementwise(dtype=numeric)
def round(s, x):
    """The nearest whole number, halves to even; each part of a complex number by itself."""
    return s.rint(x)


for _prim in (floor, ceil, trunc, round):
    _flat(_prim)


@elementwise(dtype=real_float)
def copysign(s, x, y):
    """The magnitude of x with the sign of y."""
    return s.copysign(x, y)


@copysign.vjp
def _(ct, _out, x, y):
    return lambda: multiply(
        ct, copysign(sign(x), multiply(sign(x), copysign(1.0, y)))
    ), lambda: nought(y)


@elementwise(dtype=chosen, leading=1)
def where(s, condition, x, y):
    """x where the condition holds, else y.

    >>> dg.where(dg.asarray([True, False]), dg.asarray([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    return s.select(condition, x, y)


@where.vjp
def _(ct, _out, condition, _x, _y):
    return None, lambda: where(condition, ct, 0), lambda: where(condition, 0, ct)


@elementwise(
    dtype=lambda dtypes: (dtypes, dtypes[0]),
    name="cast",
    samples=lambda rng: [((rng.standard_normal(5),), {"dtype": "float64"})],
)
def cast(s, x, dtype):
    """x converted to another dtype (a name); floats lose their fraction on the way to integers."""
    return s.cast(x, dtype)


@cast.vjp
def _(ct, _out, _x, dtype):
    return (cast(ct, dtype=_x.dtype.name) if _x.dtype.is_inexact and ct.dtype.is_inexact else None,)


def conversion(x: Any, out: Any, where: Any) -> Node:
    """The node that makes `out` of `x`, which differ in dtype alone."""
    return Node(cast, (x,), {"dtype": out.type.dtype.name}, (out,), where)


def converts(node: Node) -> bool:
    """Whether a node does nothing but convert to another dtype."""
    return node.prim is cast and node.inputs[0].type.dtype is not node.outputs[0].type.dtype


# --- complex -----------------------------------------------------------------------------------


def _complex_samples(rng: Any) -> list[Any]:
    return [((rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3)),), {})]


@opaque(name="conj_parts", samples=_complex_samples)
def conj_parts(xp, x):
    """Complex conjugate."""
    return xp.conj(x)


@conj_parts.type
def _(x):
    if x.dtype not in dt.PARTS:
        raise DTypeError(f"needs a complex operand, not {x.dtype.name}")
    return x


@conj_parts.vjp
def _(ct, _out, _x):
    return (conj(ct),)


def conj(x: Any) -> Any:
    """Complex conjugate; a real x is returned as it is."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return x.conjugate() if isinstance(x, complex) else x
    return conj_parts(x) if dtype.is_complex else x


@movement(name="real_part", aliases=True, samples=_complex_samples)
def real_part(xp, x):
    """Real part of a complex x. A view."""
    return xp.real(x)


@movement(name="imag_part", aliases=True, samples=_complex_samples)
def imag_part(xp, x):
    """Imaginary part of a complex x. A view."""
    return xp.imag(x)


@real_part.type
@imag_part.type
def _(x):
    if x.dtype not in dt.PARTS:
        raise DTypeError(f"needs a complex operand, not {x.dtype.name}")
    return TensorType(dt.PARTS[x.dtype], x.shape, x.device)


@real_part.vjp
def _(ct, _out, _x):
    return (cast(ct, dtype=_x.dtype.name),)


@imag_part.vjp
def _(ct, _out, _x):
    return (multiply(ct, 1j),)


@real_part.put
def _(base, new):
    return complex_of(new, imag_part(base))


@imag_part.put
def _(base, new):
    return complex_of(real_part(base), new)


def _parts_samples(rng: Any) -> list[Any]:
    return [((rng.standard_normal((2, 3)), rng.standard_normal((2, 3))), {})]


@opaque(name="complex", samples=_parts_samples)
def complex_of(xp, x, y):
    """The complex numbers of real parts x and imaginary parts y, as they are: infinite, or -0.0."""
    out = xp.empty(xp.broadcast_shapes(x.shape, y.shape), xp.result_type(x, xp.complex64))
    out.real, out.imag = x, y
    return out


@complex_of.type
def _(x, y):
    of = {part: whole for whole, part in dt.PARTS.items()}
    if x.dtype is not y.dtype or x.dtype not in of:
        raise DTypeError("the parts must both be float32 or both float64")
    return TensorType(of[x.dtype], broadcast_shapes(x.shape, y.shape), x.device)


@complex_of.vjp
def _(ct, _out, _x, _y):
    return lambda: real_part(ct), lambda: imag_part(ct)


@complex_of.batch
def _(lift, args, batched):
    rank = max(a.ndim - b for a, b in zip(args, batched, strict=True))
    return complex_of(*lift.align_to(args, batched, rank))


def _batched_alone(prim: Any) -> None:
    """The batch is one more axis that an op of single elements does not mind."""

    @prim.batch
    def _(lift, args, batched):
        return prim(args[0])


for _prim in (conj_parts, real_part, imag_part):
    _batched_alone(_prim)

"""Bessel functions of order 0 and 1: first and second kind, modified, and scaled; `erfcx`."""

from __future__ import annotations

from math import pi, sqrt

from ..core.expansions import bessel
from ..core.kinds import elementwise, real_float
from . import arithmetic as ar
from . import comparison as cp


def _over(out, x):
    """``out / x`` of an odd function of slope 1/2 at 0."""
    zero = cp.equal(x, 0)
    return ar.where(zero, 0.5, ar.divide(out, ar.where(zero, 1.0, x)))


@elementwise(dtype=real_float, domain=(-12.0, 12.0))
def bessel_j0(s, x):
    """The Bessel function of the first kind of order 0."""
    return bessel.j0(s, x)


@bessel_j0.vjp
def _(ct, _out, x):
    return (-ct * bessel_j1(x),)


@elementwise(dtype=real_float, domain=(-12.0, 12.0))
def bessel_j1(s, x):
    """The Bessel function of the first kind of order 1."""
    return bessel.j1(s, x)


@bessel_j1.vjp
def _(ct, out, x):
    return (ct * (bessel_j0(x) - _over(out, x)),)


@elementwise(dtype=real_float, domain=(0.5, 12.0))
def bessel_y0(s, x):
    """The Bessel function of the second kind of order 0; -inf at 0, NaN below."""
    return bessel.y0(s, x)


@bessel_y0.vjp
def _(ct, _out, x):
    return (-ct * bessel_y1(x),)


@elementwise(dtype=real_float, domain=(0.5, 12.0))
def bessel_y1(s, x):
    """The Bessel function of the second kind of order 1; -inf at 0, NaN below."""
    return bessel.y1(s, x)


@bessel_y1.vjp
def _(ct, out, x):
    return (ct * (bessel_y0(x) - out / x),)


@elementwise(dtype=real_float, domain=(-9.0, 9.0))
def i0(s, x):
    """The modified Bessel function of the first kind of order 0."""
    return bessel.i0(s, x)


@i0.vjp
def _(ct, _out, x):
    return (ct * i1(x),)


@elementwise(dtype=real_float, domain=(-9.0, 9.0))
def i1(s, x):
    """The modified Bessel function of the first kind of order 1."""
    return bessel.i1(s, x)


@i1.vjp
def _(ct, out, x):
    return (ct * (i0(x) - _over(out, x)),)


@elementwise(dtype=real_float, domain=(0.3, 12.0))
def i0e(s, x):
    """``exp(-|x|) i0(x)``."""
    return bessel.i0e(s, x)


@i0e.vjp
def _(ct, out, x):
    return (ct * (i1e(x) - ar.sign(x) * out),)


@elementwise(dtype=real_float, domain=(0.3, 12.0))
def i1e(s, x):
    """``exp(-|x|) i1(x)``."""
    return bessel.i1e(s, x)


@i1e.vjp
def _(ct, out, x):
    return (ct * (i0e(x) - ar.sign(x) * out - _over(out, x)),)


@elementwise(dtype=real_float, domain=(0.3, 6.0))
def k0(s, x):
    """The modified Bessel function of the second kind of order 0; infinite at 0, NaN below."""
    return bessel.k0(s, x)


@k0.vjp
def _(ct, _out, x):
    return (-ct * k1(x),)


@elementwise(dtype=real_float, domain=(0.3, 6.0))
def k1(s, x):
    """The modified Bessel function of the second kind of order 1; infinite at 0, NaN below."""
    return bessel.k1(s, x)


@k1.vjp
def _(ct, out, x):
    return (-ct * (k0(x) + out / x),)


@elementwise(dtype=real_float, domain=(0.3, 6.0))
def k0e(s, x):
    """``exp(x) k0(x)``."""
    return bessel.k0e(s, x)


@k0e.vjp
def _(ct, out, x):
    return (ct * (out - k1e(x)),)


@elementwise(dtype=real_float, domain=(0.3, 6.0))
def k1e(s, x):
    """``exp(x) k1(x)``."""
    return bessel.k1e(s, x)


@k1e.vjp
def _(ct, out, x):
    return (ct * (out - k0e(x) - out / x),)


@elementwise(dtype=real_float, domain=(-3.0, 12.0))
def erfcx(s, x):
    """``exp(x**2) erfc(x)``, which does not vanish where `erfc` does."""
    return bessel.erfcx(s, x)


@erfcx.vjp
def _(ct, out, x):
    return (ct * (2 * x * out - 2 / sqrt(pi)),)

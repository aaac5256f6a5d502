"""Neighbours: `nextafter`, the floating-point number next to another one."""

from __future__ import annotations

from ..core.kinds import elementwise, real_float
from .arithmetic import where
from .comparison import equal


@elementwise(dtype=real_float, domain=(-3.0, 3.0))
def nextafter(s, x, y):
    """The next floating-point number after x towards y."""
    bits = s.bits(x)
    away = (y > x) == (x > 0)  # from 0 or from it: the bits of a number grow with its size
    stepped = s.from_bits(s.select(away, bits + 1, bits - 1))
    tiny = s.copysign(s.from_bits(bits - bits + 1), y)
    out = s.select(x == 0, tiny, stepped)
    return s.select(s.logical_or(s.isnan(x), s.isnan(y)), x + y, s.select(x == y, y, out))


@nextafter.vjp
def _(ct, _out, x, y):
    return lambda: where(equal(x, y), 0, ct), lambda: where(equal(x, y), ct, 0)

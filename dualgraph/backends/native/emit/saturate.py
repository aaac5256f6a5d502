"""Floats to integers in vectors: toward 0, saturating, NaN to 0. LLVM's own word for it takes vectors apart."""

from __future__ import annotations

from typing import Any

from ....core.expansions.common import FORMATS
from ....core.scalar import UNSIGNED, int_range

Lanes = Any  # a value of the emitter's handler of the scalar language
NEAR = 2.0**51  # below it, whole numbers fit beside the magic one of float64


def to_integer(s: Any, x: Lanes, dtype: str) -> Lanes:
    """A float `x` as an integer `dtype`."""
    x = s.cast(x, "float32") if x.dtype == "float16" else x
    if s.lanes == 1:
        return _each(s, x, dtype)
    if not dtype.endswith("64"):
        return _short(s, x, dtype)
    wide, magic = s.cast(x, "float64"), FORMATS["float64"]
    if dtype in UNSIGNED:
        wide = s.select(wide > 0.0, wide, 0.0)
    near = s.abs(wide) < NEAR
    # the sum has no room for fractions, its low bits are the integer
    out = s.cast(s.bits(s.trunc(wide) + magic.magic) - magic.magic_bits, dtype)
    return s.rarely(~near, _to_uint64 if dtype in UNSIGNED else _to_int64, (x,), (out,))[0]


def _to_int64(s: Any, x: Lanes) -> tuple[Lanes]:
    return (_each(s, x, "int64"),)


def _to_uint64(s: Any, x: Lanes) -> tuple[Lanes]:
    return (_each(s, x, "uint64"),)


def _each(s: Any, x: Lanes, dtype: str) -> Lanes:
    """By LLVM's word."""
    shape, width = "" if s.lanes == 1 else f"v{s.lanes}", dtype.lstrip("uint")
    op = "fptoui.sat" if dtype in UNSIGNED else "fptosi.sat"
    name = f"llvm.{op}.{shape}i{width}.{shape}{x.dtype.replace('loat', '')}"
    return s.wrap(s.call(name, s.type_of(dtype), x.ir), dtype)


def _short(s: Any, x: Lanes, dtype: str) -> Lanes:
    """Through 32 bits, with 0 for what is outside; the ends take its place."""
    low, high = int_range(dtype)
    below, above = x < float(low), x >= float(high + 1)
    inside = s.select((x >= float(low)) & (x < float(high + 1)), x, 0.0)
    convert = s.builder.fptoui if dtype == "uint32" else s.builder.fptosi
    out = s.cast(s.wrap(convert(inside.ir, s.type_of("int32")), "int32"), dtype)
    return s.select(above, high, s.select(below, low, out))

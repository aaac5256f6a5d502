"""512-bit registers: words that AVX-512 has an instruction for, with the bits of their definitions."""

from __future__ import annotations

from collections.abc import Callable

from .. import ir

ROUND_AS_SET = 4  # by the processor's rounding mode
I8, I16, I32 = (ir.IntType(n) for n in (8, 16, 32))
Call = Callable[..., ir.Value]  # name, type of the result, arguments
FORMS = {"float32": ("ps", 16, I16), "float64": ("pd", 8, I8)}


def fill(dtype: str, lanes: int) -> bool:
    """Whether vectors of so many lanes are whole registers."""
    return dtype in FORMS and lanes % FORMS[dtype][1] == 0


def each(
    b: ir.IRBuilder, fn: Callable[..., ir.Value], xs: tuple[ir.Value, ...], lanes: int, width: int
) -> ir.Value:
    """Applies `fn` to vectors register by register."""
    parts = [fn(*(_part(b, x, i, width) for x in xs)) for i in range(0, lanes, width)]
    while len(parts) > 1:
        parts = [_joined(b, x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _part(b: ir.IRBuilder, x: ir.Value, start: int, count: int) -> ir.Value:
    if x.type.count == count:
        return x
    return b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), _lanes(start, count))


def _joined(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    return b.shuffle_vector(x, y, _lanes(0, 2 * x.type.count))


def _lanes(start: int, count: int) -> ir.Constant:
    numbers = [ir.Constant(I32, start + i) for i in range(count)]
    return ir.Constant(ir.VectorType(I32, count), numbers)


def scaled(b: ir.IRBuilder, call: Call, p: ir.Value, n: ir.Value, dtype: str) -> ir.Value:
    """``p * 2**n`` for integers n in the type of p, rounded once."""
    form, width, mask = FORMS[dtype]

    def one(p: ir.Value, n: ir.Value) -> ir.Value:
        all_set = ir.Constant(mask, (1 << width) - 1)
        name = f"llvm.x86.avx512.mask.scalef.{form}.512"
        return call(name, p.type, p, n, p, all_set, ir.Constant(I32, ROUND_AS_SET))

    return each(b, one, (p, n), p.type.count, width)

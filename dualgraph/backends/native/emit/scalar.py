"""The scalar language as LLVM IR: scalar code, or explicit vectors of `lanes` elements.

No fast-math flags and no contraction: ``a * b + c`` is two roundings. Rounding words, sqrt,
copysign and fma are LLVM intrinsics that become instructions, so code from here calls no library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....core.dtypes import to_bfloat16
from ....core.expansions.common import FORMATS
from ....core.scalar import (
    BITS_OF_FLOAT,
    FLOAT_OF_BITS,
    FLOATS,
    SIGNED,
    UNSIGNED,
    Scalar,
    State,
    int_range,
    wrap_int,
)  # fmt: skip
from .. import ir
from . import outlined, saturate, wide

I32 = ir.IntType(32)
FLOAT_TYPES = {"float16": ir.HalfType(), "float32": ir.FloatType(), "float64": ir.DoubleType()}
SUFFIX = {"float16": "f16", "float32": "f32", "float64": "f64"}
BFLOAT16 = "bfloat16"  # a dtype to cast from and to float32, as its bits; nothing else takes it
WIDTH = {"bool": 1, BFLOAT16: 16} | {
    name: int(name.lstrip("uint")) for name in (*SIGNED, *UNSIGNED)
}
Literal = bool | int | float


def element_type(dtype: str) -> ir.Type:
    """The LLVM type of one element in a register; bool is ``i1`` there (``i8`` in memory)."""
    return FLOAT_TYPES.get(dtype) or ir.IntType(WIDTH[dtype])


class Lanes:
    """A value of the scalar language: an LLVM value (`ir`) and the name of its dtype."""

    __slots__ = ("dtype", "ir", "s")

    def __init__(self, s: LLVMScalar, value: ir.Value, dtype: str) -> None:
        self.s = s
        self.ir = value
        self.dtype = dtype

    def __repr__(self) -> str:
        return f"Lanes({self.dtype}, {self.ir})"

    def __bool__(self) -> bool:
        raise TypeError("the body of an elementwise op cannot branch on a value; use s.select")

    def __add__(self, other: Lanes | Literal) -> Lanes:
        return self.s.arithmetic("add", self, other)

    def __radd__(self, other: Literal) -> Lanes:
        return self.s.arithmetic("add", other, self)

    def __sub__(self, other: Lanes | Literal) -> Lanes:
        return self.s.arithmetic("sub", self, other)

    def __rsub__(self, other: Literal) -> Lanes:
        return self.s.arithmetic("sub", other, self)

    def __mul__(self, other: Lanes | Literal) -> Lanes:
        return self.s.arithmetic("mul", self, other)

    def __rmul__(self, other: Literal) -> Lanes:
        return self.s.arithmetic("mul", other, self)

    def __truediv__(self, other: Lanes | Literal) -> Lanes:
        return self.s.divide(self, other)

    def __rtruediv__(self, other: Literal) -> Lanes:
        return self.s.divide(other, self)

    def __neg__(self) -> Lanes:
        return self.s.negate(self)

    def __lt__(self, other: Lanes | Literal) -> Lanes:
        return self.s.compare("<", self, other)

    def __le__(self, other: Lanes | Literal) -> Lanes:
        return self.s.compare("<=", self, other)

    def __gt__(self, other: Lanes | Literal) -> Lanes:
        return self.s.compare(">", self, other)

    def __ge__(self, other: Lanes | Literal) -> Lanes:
        return self.s.compare(">=", self, other)

    def __eq__(self, other: object) -> Any:
        return self.s.compare("==", self, other)

    def __ne__(self, other: object) -> Any:
        return self.s.compare("!=", self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Lanes | Literal) -> Lanes:
        return self.s.bitwise("and_", self, other)

    def __rand__(self, other: Literal) -> Lanes:
        return self.s.bitwise("and_", other, self)

    def __or__(self, other: Lanes | Literal) -> Lanes:
        return self.s.bitwise("or_", self, other)

    def __ror__(self, other: Literal) -> Lanes:
        return self.s.bitwise("or_", other, self)

    def __xor__(self, other: Lanes | Literal) -> Lanes:
        return self.s.bitwise("xor", self, other)

    def __rxor__(self, other: Literal) -> Lanes:
        return self.s.bitwise("xor", other, self)

    def __invert__(self) -> Lanes:
        return self.s.bitwise("xor", self, True if self.dtype == "bool" else -1)

    def __lshift__(self, other: Lanes | Literal) -> Lanes:
        return self.s.shift("<<", self, other)

    def __rlshift__(self, other: Literal) -> Lanes:
        return self.s.shift("<<", other, self)

    def __rshift__(self, other: Lanes | Literal) -> Lanes:
        return self.s.shift(">>", self, other)

    def __rrshift__(self, other: Literal) -> Lanes:
        return self.s.shift(">>", other, self)


class LLVMScalar(Scalar):
    """Emits IR at the place of `builder` for `lanes` elements at once.

    Some words (sin, fmod, int_pow, ...) make basic blocks: after any word the builder may stand in
    another block than before, so a loop around it takes its back edge from ``builder.block``.
    `has_fma` says that the target has a fused multiply-add; without, fma is emulated, bit for bit.
    With `has_avx512` some words take fewer instructions, for the same bits.
    """

    def __init__(
        self,
        builder: ir.IRBuilder,
        lanes: int = 1,
        *,
        has_fma: bool = True,
        has_avx512: bool = False,
    ) -> None:
        self.has_avx512 = has_avx512
        self.builder = builder
        self.lanes = lanes
        self.has_fma = has_fma

    def like(self, builder: ir.IRBuilder, lanes: int | None = None) -> LLVMScalar:
        """Such a handler at another place, of other lanes if given."""
        lanes = self.lanes if lanes is None else lanes
        return LLVMScalar(builder, lanes, has_fma=self.has_fma, has_avx512=self.has_avx512)

    def type_of(self, dtype: str) -> ir.Type:
        """The LLVM type of a value of `dtype`: the element, or a vector of `lanes` of them."""
        element = element_type(dtype)
        return element if self.lanes == 1 else ir.VectorType(element, self.lanes)

    def wrap(self, value: ir.Value, dtype: str) -> Lanes:
        """A value of the language from an LLVM value of ``type_of(dtype)``."""
        return Lanes(self, value, dtype)

    # Operators.

    def operands(self, *xs: Any) -> tuple[Lanes, ...]:
        """`xs` with literals made constants; all must then have one dtype."""
        xs = self.lift(*xs)
        if any(x.dtype != xs[0].dtype for x in xs):
            raise TypeError(f"operands of {', '.join(x.dtype for x in xs)}: use s.cast first")
        return xs

    def arithmetic(self, op: str, x: Any, y: Any) -> Lanes:
        """``add``, ``sub`` or ``mul``."""
        x, y = self.operands(x, y)
        if x.dtype == "bool":
            raise TypeError(f"{op} of bools: use & | ^, or s.cast first")
        if x.dtype not in FLOATS:
            return self.wrap(getattr(self.builder, op)(x.ir, y.ir), x.dtype)
        if op == "mul":
            x, y = self._as_written(x), self._as_written(y)
        return self.wrap(getattr(self.builder, f"f{op}")(x.ir, y.ir), x.dtype)

    def _as_written(self, x: Lanes) -> Lanes:
        """`x`, but -1 as a number like others: a product with it is no change of sign, which NaN would show."""
        minus_one = isinstance(x.ir, ir.Constant) and x.ir.ref == self.const(-1.0, x).ir.ref
        return self._fenced(x) if minus_one else x

    def _fenced(self, x: Lanes) -> Lanes:
        """`x`, told apart from what it was computed from: LLVM combines no operations across this."""
        return self._intrinsic("arithmetic.fence", x)

    def divide(self, x: Any, y: Any) -> Lanes:
        """``x / y`` of floats."""
        x, y = self.operands(x, y)
        if x.dtype not in FLOATS:
            raise TypeError(f"x / y of {x.dtype}: use s.floor_divide, or s.cast to a float first")
        return self.wrap(self.builder.fdiv(x.ir, self._as_written(y).ir), x.dtype)

    def negate(self, x: Lanes) -> Lanes:
        """``-x``."""
        if x.dtype not in FLOATS:
            return self.wrap(self.builder.neg(x.ir), x.dtype)
        return self._fenced(self.wrap(self.builder.fneg(self._fenced(x).ir), x.dtype))

    def compare(self, op: str, x: Any, y: Any) -> Lanes:
        """A comparison, false with NaN but for ``!=``."""
        x, y = self.operands(x, y)
        if x.dtype in FLOATS:
            fcmp = self.builder.fcmp_unordered if op == "!=" else self.builder.fcmp_ordered
            return self.wrap(fcmp(op, x.ir, y.ir), "bool")
        icmp = self.builder.icmp_signed if x.dtype in SIGNED else self.builder.icmp_unsigned
        return self.wrap(icmp(op, x.ir, y.ir), "bool")

    def bitwise(self, op: str, x: Any, y: Any) -> Lanes:
        """``and_``, ``or_`` or ``xor`` of integers or bools."""
        x, y = self.operands(x, y)
        if x.dtype in FLOATS:
            raise TypeError(f"bitwise {op.rstrip('_')} of {x.dtype}: use s.bits first")
        return self.wrap(getattr(self.builder, op)(x.ir, y.ir), x.dtype)

    def shift(self, op: str, x: Any, n: Any) -> Lanes:
        """``x << n`` or ``x >> n``; a count outside the width leaves 0, or the sign."""
        inside_always = isinstance(n, int) and 0 <= n < WIDTH.get(getattr(x, "dtype", "bool"), 0)
        x, n = self.operands(x, n)
        if x.dtype not in SIGNED and x.dtype not in UNSIGNED:
            raise TypeError(f"x {op} n of {x.dtype}: integers only")
        width = WIDTH[x.dtype]
        right = self.builder.ashr if x.dtype in SIGNED else self.builder.lshr
        emit = self.builder.shl if op == "<<" else right
        if inside_always:
            return self.wrap(emit(x.ir, n.ir), x.dtype)
        count = self.const(width - 1, n)
        inside = self.wrap(self.builder.icmp_unsigned("<=", n.ir, count.ir), "bool")
        out = self.wrap(emit(x.ir, (n & (width - 1)).ir), x.dtype)
        zero = self.const(0, x)
        signed_right = op == ">>" and x.dtype in SIGNED
        outside = self.wrap(emit(x.ir, count.ir), x.dtype) if signed_right else zero
        return self.select(inside, out, outside)

    # Primitive words.

    def dtype_of(self, x: Lanes) -> str:
        return x.dtype

    def const(self, value: Literal, like: Lanes) -> Lanes:
        dtype = like.dtype
        if dtype in FLOATS:
            plain: Literal = float(value)
        elif dtype == "bool":
            plain = int(bool(value))
        elif dtype == BFLOAT16:
            plain = int(to_bfloat16(np.float32(value)))
        elif isinstance(value, float):
            raise TypeError(f"the literal {value} met an operand of {dtype}: use s.cast first")
        else:
            plain = wrap_int(int(value), dtype)
        one = ir.Constant(element_type(dtype), plain)
        whole = one if self.lanes == 1 else ir.Constant(self.type_of(dtype), [one] * self.lanes)
        return self.wrap(whole, dtype)

    def select(self, condition: Lanes, x: Any, y: Any) -> Lanes:
        x, y = self.operands(x, y)
        return self.wrap(self.builder.select(condition.ir, x.ir, y.ir), x.dtype)

    def cast(self, x: Lanes, dtype: str) -> Lanes:
        if x.dtype == dtype:
            return x
        if BFLOAT16 in (x.dtype, dtype):
            return self._from_bfloat16(x, dtype) if x.dtype == BFLOAT16 else self._to_bfloat16(x)
        if dtype == "bool":
            return self.compare("!=", x, 0)
        if x.dtype in FLOATS:
            if dtype in FLOATS:
                return self._float_to_float(x, dtype)
            return saturate.to_integer(self, x, dtype)
        if dtype in FLOATS:
            if dtype == "float16" and x.dtype != "bool":
                return self.cast(self.cast(x, "float32"), dtype)
            emit = self.builder.sitofp if x.dtype in SIGNED else self.builder.uitofp
            return self.wrap(emit(x.ir, self.type_of(dtype)), dtype)
        return self._int_to_int(x, dtype)

    def _from_bfloat16(self, x: Lanes, dtype: str) -> Lanes:
        high = self.cast(self.wrap(x.ir, "uint16"), "int32") << 16
        return self.cast(self.from_bits(high), dtype)

    def _to_bfloat16(self, x: Lanes) -> Lanes:
        """The nearest, ties to even; NaN quiet: `core.dtypes.to_bfloat16`."""
        x = self.cast(x, "float32")
        bits = self.cast(self.bits(x), "uint32")
        high = bits >> 16
        rounded = (bits + ((high & 1) + 0x7FFF)) >> 16
        out = self.cast(self.select(x != x, high | 0x40, rounded), "uint16")
        return self.wrap(out.ir, BFLOAT16)

    def _int_to_int(self, x: Lanes, dtype: str) -> Lanes:
        old, new = WIDTH[x.dtype], WIDTH[dtype]
        if old == new:
            return self.wrap(x.ir, dtype)
        widen = self.builder.sext if x.dtype in SIGNED else self.builder.zext
        emit = self.builder.trunc if new < old else widen
        return self.wrap(emit(x.ir, self.type_of(dtype)), dtype)

    def _float_to_float(self, x: Lanes, dtype: str) -> Lanes:
        if FLOATS.index(dtype) > FLOATS.index(x.dtype):
            return self.wrap(self.builder.fpext(x.ir, self.type_of(dtype)), dtype)
        if x.dtype == "float64" and dtype == "float16":
            x = self._float32_to_odd(x)
        return self.wrap(self.builder.fptrunc(x.ir, self.type_of(dtype)), dtype)

    def _float32_to_odd(self, x: Lanes) -> Lanes:
        """float64 to float32, inexact results to odd: one more rounding is then as good as one."""
        near = self._float_to_float(x, "float32")
        back = self.cast(near, "float64")
        i = self.bits(near)
        toward = self.select(self.abs(back) < self.abs(x), i + 1, i - 1)
        inexact = (back != x) & ((i & 1) == 0) & (x == x)
        return self.from_bits(self.select(inexact, toward, i))

    def bits(self, x: Lanes) -> Lanes:
        dtype = BITS_OF_FLOAT[x.dtype]
        return self.wrap(self.builder.bitcast(x.ir, self.type_of(dtype)), dtype)

    def from_bits(self, i: Lanes) -> Lanes:
        dtype = FLOAT_OF_BITS[i.dtype]
        return self.wrap(self.builder.bitcast(i.ir, self.type_of(dtype)), dtype)

    def floor(self, x: Lanes) -> Lanes:
        return self._rounding("floor", x)

    def ceil(self, x: Lanes) -> Lanes:
        return self._rounding("ceil", x)

    def trunc(self, x: Lanes) -> Lanes:
        return self._rounding("trunc", x)

    def rint(self, x: Lanes) -> Lanes:
        return self._rounding("roundeven", x)

    def _rounding(self, op: str, x: Lanes) -> Lanes:
        return self._through_float32(op, x) if x.dtype in FLOATS else x

    def sqrt(self, x: Lanes) -> Lanes:
        return self._through_float32("sqrt", x)

    def _through_float32(self, op: str, x: Lanes) -> Lanes:
        """A word whose float16 result is that of float32, rounded; LLVM would go there one by one."""
        if x.dtype != "float16":
            return self._intrinsic(op, x)
        return self.cast(self._intrinsic(op, self.cast(x, "float32")), "float16")

    def abs(self, x: Lanes) -> Lanes:
        if x.dtype in FLOATS:
            return self._intrinsic("fabs", x)
        return self.select(x < 0, -x, x) if x.dtype in SIGNED else x

    def copysign(self, x: Any, y: Any) -> Lanes:
        return self._intrinsic("copysign", *self.operands(x, y))

    def fma(self, a: Any, b: Any, c: Any) -> Lanes:
        a, b, c = self.operands(a, b, c)
        if self.has_fma and a.dtype != "float16":
            return self._intrinsic("fma", a, b, c)
        if a.dtype == "float16":
            near: Lanes = super().fma(a, b, c)
            return near
        return outlined.called(self, "fma.emulated", Scalar.fma, (a, b, c))

    def scaled(self, p: Lanes, n: Lanes, normal: bool = False) -> Lanes:
        if not self.has_avx512 or not wide.fill(p.dtype, self.lanes):
            out: Lanes = super().scaled(p, n, normal)
            return out
        whole = self.from_bits(n) - FORMATS[p.dtype].whole
        scaled = wide.scaled(self.builder, self.call, p.ir, whole.ir, p.dtype)
        return self.wrap(scaled, p.dtype)

    def quotient(self, x: Lanes, y: Lanes) -> Lanes:
        x, y = self.operands(x, y)
        bad = y == 0
        if x.dtype in SIGNED:
            bad = bad | ((x == int_range(x.dtype)[0]) & (y == -1))
        divide = self.builder.sdiv if x.dtype in SIGNED else self.builder.udiv
        safe = self.select(bad, self.const(1, y), y)
        return self.select(y == 0, self.const(0, x), self.wrap(divide(x.ir, safe.ir), x.dtype))

    def gather_table(self, table: Sequence[float], index: Lanes, like: Lanes) -> Lanes:
        element = element_type(like.dtype)
        array = self._global_table(tuple(table), element)
        if self.lanes == 1:
            return self.wrap(self._load(array, index.ir), like.dtype)
        out: ir.Value = ir.Constant(self.type_of(like.dtype), ir.Undefined)
        for lane in range(self.lanes):
            at = ir.Constant(I32, lane)
            one = self._load(array, self.builder.extract_element(index.ir, at))
            out = self.builder.insert_element(out, one, at)
        return self.wrap(out, like.dtype)

    def _load(self, array: ir.GlobalVariable, index: ir.Value) -> ir.Value:
        zero = ir.Constant(index.type, 0)
        at = self.builder.gep(array, [zero, index], source_etype=array.kind, inbounds=True)
        return self.builder.load(at, typ=array.kind.element)

    def _global_table(self, table: tuple[float, ...], element: ir.Type) -> ir.GlobalVariable:
        module = self.builder.module
        name = "table." + hashlib.sha256(repr((table, str(element))).encode()).hexdigest()[:16]
        if name not in module.globals:
            kind = ir.ArrayType(element, len(table))
            found = ir.GlobalVariable(module, kind, name)
            found.linkage = "internal"
            found.global_constant = True
            found.initializer = ir.Constant(kind, list(table))
        return module.globals[name]

    def any(self, condition: Lanes) -> ir.Value:
        """Whether `condition` holds in any lane, as an ``i1``."""
        if self.lanes == 1:
            return condition.ir
        mask = self.builder.bitcast(condition.ir, ir.IntType(self.lanes))
        return self.builder.icmp_unsigned("!=", mask, ir.Constant(mask.type, 0))

    def rarely(
        self, condition: Lanes, slow: Callable[..., State], given: State, fast: State
    ) -> State:
        return outlined.rarely(self, condition, slow, given, fast)

    def loop(
        self, state: State, more: Callable[[State], Any], step: Callable[[State], State]
    ) -> State:
        """``while more(state): state = step(state)``; lanes that are done keep theirs."""
        builder = self.builder
        before = builder.block
        head, body, after = (
            builder.function.append_basic_block(name) for name in ("head", "body", "after")
        )
        builder.branch(head)
        builder.position_at_end(head)
        phis = [builder.phi(x.ir.type) for x in state]
        current = tuple(self.wrap(phi, x.dtype) for phi, x in zip(phis, state, strict=True))
        active = more(current)
        builder.cbranch(self.any(active), body, after)
        builder.position_at_end(body)
        stepped = [self.select(active, a, b) for a, b in zip(step(current), current, strict=True)]
        for phi, first, next_ in zip(phis, state, stepped, strict=True):
            phi.add_incoming(first.ir, before)
            phi.add_incoming(next_.ir, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return current

    def _intrinsic(self, op: str, *xs: Lanes) -> Lanes:
        shape = "" if self.lanes == 1 else f"v{self.lanes}"
        name = f"llvm.{op}.{shape}{SUFFIX[xs[0].dtype]}"
        return self.wrap(self.call(name, xs[0].ir.type, *(x.ir for x in xs)), xs[0].dtype)

    def call(self, name: str, result: ir.Type, *args: ir.Value) -> ir.Value:
        """Calls an intrinsic."""
        module = self.builder.module
        callee = module.globals.get(name)
        if callee is None:
            callee = ir.Function(module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.builder.call(callee, args)

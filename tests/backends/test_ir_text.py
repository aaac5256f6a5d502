"""The builder of LLVM IR text: what it writes is what LLVM reads."""

from __future__ import annotations

import ctypes
import math
import struct
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llvmlite")

import dualgraph
from dualgraph.backends.native import ir
from dualgraph.backends.native.jit import jit

I64, F64, PTR = ir.IntType(64), ir.DoubleType(), ir.PointerType()


def function(result: ir.Type, *arguments: ir.Type) -> tuple[ir.Module, ir.Function, ir.IRBuilder]:
    module = ir.Module()
    fn = ir.Function(module, ir.FunctionType(result, arguments), "f")
    return module, fn, ir.IRBuilder(fn.append_basic_block("entry"))


def address(module: ir.Module) -> int:
    return jit().compile(str(module), ("f",)).addresses["f"]


@pytest.mark.parametrize(
    ("kind", "code"), [(ir.HalfType(), "e"), (ir.FloatType(), "f"), (F64, "d")]
)
@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, 1e-7, math.inf, -math.inf, math.nan, 65504.0])
def test_a_floating_constant_has_the_bits_of_its_value(
    kind: ir.Type, code: str, value: float
) -> None:
    module, fn, b = function(ir.VoidType(), PTR)
    b.store(ir.Constant(kind, value), fn.args[0], align=2)
    b.ret_void()
    out = ctypes.create_string_buffer(8)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address(module))(ctypes.addressof(out))
    expected = struct.pack(code, value)
    assert out.raw[: len(expected)] == expected


def test_loops_branches_tables_and_calls() -> None:
    """sum over i < n of table[i % 3] * (1 if i is even else -1), called through a helper."""
    module, fn, b = function(I64, I64)
    kind = ir.ArrayType(I64, 3)
    table = ir.GlobalVariable(module, kind, "table")
    table.global_constant, table.initializer = True, ir.Constant(kind, [5, 7, 11])
    helper = ir.Function(module, ir.FunctionType(I64, [I64]), "helper")
    inner = ir.IRBuilder(helper.append_basic_block())
    place = inner.urem(helper.args[0], ir.Constant(I64, 3))
    zero = ir.Constant(I64, 0)
    inner.ret(inner.load(inner.gep(table, [zero, place], source_etype=kind), typ=I64))
    head, body, after = (fn.append_basic_block(n) for n in ("head", "body", "after"))
    slot = b.alloca(I64, align=8)
    b.branch(head)
    entry = b.block
    b.position_at_end(head)
    i, total = b.phi(I64), b.phi(I64)
    b.cbranch(b.icmp_signed("<", i, fn.args[0]), body, after, weights=(1000, 1))
    b.position_at_end(body)
    even = b.icmp_unsigned("==", b.and_(i, ir.Constant(I64, 1)), zero)
    with b.if_else(even) as (then, other):
        with then:
            b.store(ir.Constant(I64, 1), slot)
        with other:
            b.store(b.neg(ir.Constant(I64, 1)), slot)
    step = b.mul(b.call(helper, [i]), b.load(slot, typ=I64))
    for phi, first, next_ in (
        (i, zero, b.add(i, ir.Constant(I64, 1))),
        (total, zero, b.add(total, step)),
    ):
        phi.add_incoming(first, entry)
        phi.add_incoming(next_, b.block)
    b.branch(head)
    b.position_at_end(after)
    b.ret(total)
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address(module))
    assert call(10) == sum((5, 7, 11)[i % 3] * (-1) ** i for i in range(10))
    assert call(0) == 0


def test_lanes_are_shuffled_chosen_and_summed() -> None:
    """The sum of lanes of (x + iota) where x's bits are flipped in lanes below 2."""
    kind = ir.VectorType(I64, 4)
    module, fn, b = function(I64, I64)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), fn.args[0], ir.Constant(I64, 0))
    x = b.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), 4), [0] * 4))
    iota = ir.Constant(kind, range(4))
    low = b.icmp_signed("<", iota, ir.Constant(kind, [ir.Constant(I64, 2)] * 4))
    x = b.add(b.select(low, b.not_(x), x), iota)
    parts = [b.extract_element(x, ir.Constant(I64, i)) for i in range(4)]
    b.ret(b.add(b.add(parts[0], parts[1]), b.add(parts[2], parts[3])))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address(module))
    assert call(9) == ~9 + ~9 + 1 + 9 + 2 + 9 + 3


def test_types_are_one_object_each() -> None:
    assert ir.VectorType(I64, 4) is ir.VectorType(ir.IntType(64), 4)
    assert ir.VectorType(I64, 4) is not ir.ArrayType(I64, 4)
    assert str(ir.FunctionType(ir.VoidType(), [PTR, I64])) == "void (ptr, i64)"


@pytest.mark.parametrize("value", [[1, 2], [1, 2, 3, 4, 5]])
def test_a_constant_of_another_length_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="elements for"):
        ir.Constant(ir.VectorType(I64, 4), value)


def test_bad_ir_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="expected"):
        jit().compile("define void @f() { nonsense }", ("f",))


def test_kernels_are_not_written_through_llvmlite() -> None:
    """Its builder takes five times as long, and its values do not mix with ours."""
    native = Path(dualgraph.__file__).parent / "backends" / "native"
    files = [f for f in native.rglob("*.py") if f.parent.name != "glue"]
    assert not [f for f in files if "from llvmlite import ir" in f.read_text()]


def test_a_module_is_cold_by_its_text_and_computes_the_same() -> None:
    """LLVM takes no pains over it: but what it makes of it gives the same."""

    def sums(cold: bool) -> tuple[str, int]:
        module = ir.Module(cold=cold)
        fn = ir.Function(module, ir.FunctionType(I64, [I64]), "f")
        entry, turn, end = (fn.append_basic_block(n) for n in ("entry", "turn", "end"))
        b = ir.IRBuilder(entry)
        b.branch(turn)
        b.position_at_end(turn)
        i, total = b.phi(I64), b.phi(I64)
        more, after = b.add(i, ir.Constant(I64, 1)), b.add(total, b.mul(i, i))
        i.add_incoming(ir.Constant(I64, 0), entry)
        i.add_incoming(more, turn)
        total.add_incoming(ir.Constant(I64, 0), entry)
        total.add_incoming(after, turn)
        b.cbranch(b.icmp_signed("<", more, fn.args[0]), turn, end)
        b.position_at_end(end)
        b.ret(after)
        f = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address(module))
        return str(module), f(1000)

    (cold, first), (warm, second) = sums(True), sums(False)
    assert first == second == sum(i * i for i in range(1000))
    assert cold == ir.values.COLD + warm
    plain, better = (jit().finished(jit().assemble(text)) for text in (cold, warm))
    assert plain != better


def test_numbers_beyond_a_dtype_are_infinite_in_kernels() -> None:
    f = dualgraph.compile(lambda x: dualgraph.where(x > 0, x, -1e300) + 1, wait=True)
    x = dualgraph.tensor([1.0, -1.0])
    for _ in range(3):
        assert f(x).tolist() == [2.0, -math.inf]
    assert f.programs[0].ready, f.explain()

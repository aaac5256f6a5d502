"""Native kernels give the bits of NumPy, whatever the body, the shapes and the layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dualgraph.backends.native import api
from dualgraph.backends.native.loop_ir import Unsupported
from dualgraph.backends.native.lower import lower
from dualgraph.core import dtypes as dt
from dualgraph.core.node import Literal, Node
from dualgraph.static.graph import Graph
from dualgraph.static.region import fused_region
from tests.backends.native_bodies import Body, check, draw, oracle, same_bits, softmax

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")
SIZES = (0, 1, 2, 15, 16, 17, 31, 100, 511, 512, 513, 1025)


# --- elementwise -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
def test_elementwise_chain_of_any_length(n: int) -> None:
    b = Body()
    x, y = b.input((n,)), b.input((n,))
    t = b.tanh(b.add(b.multiply(x, y), b.multiply(x, 0.5)))
    e = b.exp(b.multiply(b.negative(y), y))
    check(b.build(b.add(b.multiply(t, e), b.sqrt(b.add(b.abs(x), 1.0))), b.less(x, y)))


@pytest.mark.parametrize(
    "dtype", [d for d in dt.ALL if not d.is_complex and d is not dt.bfloat16], ids=str
)
def test_every_dtype(dtype: dt.DType) -> None:
    b = Body()
    x, y = b.input((37,), dtype), b.input((37,), dtype)
    outs = [b.equal(x, y), b.where(b.less(x, y), x, y)]
    if dtype is dt.bool_:
        outs += [b.logical_and(x, y), b.logical_not(x), b.cast(x, dtype="float32"), b.sum(x, 0)]
    else:
        outs += [
            b.multiply(b.add(x, y), x),
            b.cast(x, dtype="float64"),
            b.cast(x, dtype="bool"),
            b.sum(x, 0),
        ]
        outs += [b.sum(x, 0, monoid="max"), b.sum(x, 0, monoid="min"), b.minimum(x, y)]
    check(b.build(*outs))


def test_integer_division_never_traps() -> None:
    b = Body()
    x, y = b.input((4,), dt.int32), b.input((4,), dt.int32)
    least = np.iinfo(np.int32).min
    arrays = [np.array([5, least, -7, 0], "i4"), np.array([0, -1, 2, 0], "i4")]
    check(b.build(b.floor_divide(x, y), b.remainder(x, y)), arrays=arrays)


def test_broadcasting() -> None:
    b = Body()
    x, row, column, one = b.input((7, 5, 33)), b.input((33,)), b.input((5, 1)), b.input(())
    y = b.multiply(b.add(b.add(x, row), column), one)
    check(b.build(y, b.add(row, column), b.sqrt(b.abs(one))))


def test_an_output_may_overwrite_an_input() -> None:
    b = Body()
    x = b.input((100,))
    body = b.build(b.add(b.multiply(x, x), x))
    a = np.random.default_rng(0).standard_normal(100).astype("f4")
    expected = oracle(body, [a.copy()])
    api.compile_group(body).run([a], [a])
    assert same_bits(a, expected[0])


def test_literals_and_inputs_as_outputs() -> None:
    b = Body()
    x = b.input((20,))
    b.exp(x)
    check(b.build(x, Literal(2.5, dt.float32), x))


def test_nest_ranges_can_be_split() -> None:
    b = Body()
    x = b.input((5, 40))
    kernel = api.compile_group(b.build(b.sum(b.exp(x), 1)))
    a = np.random.default_rng(0).standard_normal((5, 40)).astype("f4")
    whole, parts = np.zeros(5, "f4"), np.zeros(5, "f4")
    kernel.run([a], [whole])
    block = kernel.pointers([a.ctypes.data, parts.ctypes.data])
    for begin, end in ((3, 5), (0, 3)):
        kernel.nests[0].run(block, begin, end)
    assert kernel.nests[0].extent == 5 and same_bits(whole, parts)


# --- movement --------------------------------------------------------------------------------------


def test_movement_becomes_indexing() -> None:
    b = Body()
    x = b.input((6, 20, 4))
    p = b.permute(x, axes=(2, 0, 1))
    s = b.slice(p, starts=(0, 5, 19), stops=(4, -1, 1), steps=(2, -2, -3))
    f = b.flip(s, axes=(0, 2))
    check(
        b.build(
            b.exp(f),
            b.reshape(b.negative(p), shape=(4, 2, 60)),
            b.add(b.reshape(x, shape=(480,)), 1.0),
        )
    )


@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (12, 10), (6, 4, 5), (120,), (1, 6, 1, 20), (24, 5)]
)
def test_reshape_splits_and_merges(shape: tuple[int, ...]) -> None:
    b = Body()
    x, y = b.input((6, 20)), b.input((20,))
    z = b.reshape(b.add(x, y), shape=shape)
    check(b.build(b.multiply(z, z)))


def test_transpose_of_itself() -> None:
    b = Body()
    x = b.input((33, 33))
    check(b.build(b.add(x, b.permute(x, axes=(1, 0)))))


# --- reductions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("monoid", ["sum", "max", "min", "any", "all"])
@pytest.mark.parametrize("n", SIZES)
def test_folds_in_canonical_order(monoid: str, n: int) -> None:
    for shape, axes in (((3, n), (1,)), ((n, 3), (0,)), ((n, 40), (0,)), ((n,), (0,))):
        b = Body()
        x = b.input(shape, dt.bool_ if monoid in ("any", "all") else dt.float32)
        body = b.build(b.sum(x, *axes, monoid=monoid))
        if n == 0 and monoid in ("max", "min"):
            with pytest.raises(Unsupported):
                api.compile_group(body)
        else:
            check(body)


def test_long_folds_use_scratch_memory() -> None:
    b = Body()
    x = b.input((5_000_001,))
    check(b.build(b.sum(x, 0)))
    b = Body()
    x = b.input((70_000, 20))
    check(b.build(b.sum(x, 0), b.sum(b.multiply(x, x), 0)))


@pytest.mark.parametrize("axes", [(0, 2), (0, 1), (1, 2), (0, 1, 2), (0, 2, 3), (1, 3), ()])
def test_folds_over_several_axes(axes: tuple[int, ...]) -> None:
    for shape in ((5, 6, 7, 33), (40, 3, 16, 32), (2, 2, 2, 2)):
        b = Body()
        x = b.input(shape)
        check(
            b.build(b.sum(b.multiply(x, 2.0), *axes), b.sum(x, *axes, keepdims=True, monoid="max"))
        )


@pytest.mark.parametrize("n", [1, 5, 16, 100, 513])
def test_softmax_and_its_sum(n: int) -> None:
    for shape, axis in (((6, n), 1), ((n, 20), 0), ((4, n, 3), 1)):
        b = Body()
        check(b.build(softmax(b, b.input(shape), axis)))


def test_layer_norm_with_statistics() -> None:
    b = Body()
    x, w, bias = b.input((12, 100)), b.input((100,)), b.input((100,))
    mean = b.multiply(b.sum(x, 1, keepdims=True), 0.01)
    d = b.subtract(x, mean)
    var = b.multiply(b.sum(b.multiply(d, d), 1), 0.01)
    scale = b.divide(b.reshape(b.sqrt(b.add(var, 1e-5)), shape=(12, 1)), 1.0)
    body = b.build(
        b.add(b.multiply(b.divide(d, scale), w), bias), b.reshape(mean, shape=(12,)), var
    )
    assert len(lower(body).nests) == 1
    check(body)


def test_group_norm_through_reshapes() -> None:
    b = Body()
    x, w = b.input((4, 6, 5, 7)), b.input((6, 1, 1))
    r = b.reshape(x, shape=(4, 3, 70))
    d = b.subtract(r, b.multiply(b.sum(r, 2, keepdims=True), 1 / 70))
    check(b.build(b.multiply(b.reshape(d, shape=(4, 6, 5, 7)), w)))


def test_outputs_of_different_spaces() -> None:
    b = Body()
    x, y = b.input((40, 30)), b.input((40, 30))
    z = b.multiply(b.tanh(x), y)
    check(b.build(z, b.sum(z, 0), b.sum(z, 1), b.sum(z, 0, 1), b.exp(b.input((17,)))))


def test_what_no_kernel_can_express_is_refused() -> None:
    b = Body()
    x = b.input((6, 6))
    nested = b.sum(b.exp(b.sum(x, 1)), 0)
    assert not api.can_lower(b.build(nested))
    b = Body()
    assert not api.can_lower(b.build(b.exp(b.input((3,), dt.complex64))))


def test_overwritable_inputs_are_read_before_they_are_written() -> None:
    b = Body()
    x, row = b.input((6, 40)), b.input((40,))
    e = b.add(softmax(b, x, 1), row)
    body = b.build(e, b.sum(x, 1))
    kernel = api.compile_group(body)
    assert kernel.overwritable == (frozenset({0}), frozenset())
    rng = np.random.default_rng(0)
    arrays = [draw(v.type, rng) for v in body.inputs]
    expected = oracle(body, [a.copy() for a in arrays])
    total = np.zeros(6, "f4")
    kernel.run(arrays, [arrays[0], total])
    assert same_bits(arrays[0], expected[0]) and same_bits(total, expected[1])


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64, dt.uint8, dt.bool_], ids=str)
def test_transposes_go_through_tiles(dtype: dt.DType) -> None:
    b = Body()
    x, y, row = b.input((3, 48, 64), dtype), b.input((3, 64, 48), dtype), b.input((48,), dtype)
    z = b.equal(b.permute(x, axes=(0, 2, 1)), b.where(b.equal(y, row), y, row))
    body = b.build(z, b.permute(b.input((16, 32), dtype), axes=(1, 0)))
    assert "tile" in str(lower(body))
    check(body)


def test_numpy_scalars_are_taken_as_inputs() -> None:
    b = Body()
    x, y = b.input((5,)), b.input(())
    check(b.build(b.multiply(x, y)), arrays=[np.ones(5, "f4"), np.float32(3)])  # type: ignore[list-item]


def test_an_input_that_another_nest_reads_later_is_not_overwritable() -> None:
    b = Body()
    x, y = b.input((40, 30)), b.input((40, 30))
    first = b.add(y, b.sum(x, 1, keepdims=True))
    second = b.add(y, b.sum(x, 0, keepdims=True))
    body = b.build(first, second)
    node = Node(fused_region, body.inputs, {"body": body}, body.outputs)
    kernel = api.compile_group(body)
    assert len(kernel.kernel.nests) == 2 and kernel.overwritable[0] == frozenset()
    assert not api.may_overwrite(node, 0, 1) and api.may_overwrite(node, 1, 1)


# --- compiling -------------------------------------------------------------------------------------


def code_of(body: Graph) -> Any:
    from dualgraph.backends.native.emit.llvm import Code

    return Code(lower(body), header=16)


def test_a_new_batch_size_needs_no_new_code() -> None:
    def rows(n: int) -> Graph:
        b = Body()
        return b.build(softmax(b, b.input((n, 100)), 1))

    def flat(shape: tuple[int, ...]) -> Graph:
        b = Body()
        return b.build(b.exp(b.input(shape)))

    assert code_of(rows(3)).text() == code_of(rows(50)).text()
    assert code_of(flat((32,))).text() == code_of(flat((7, 160))).text()
    assert code_of(flat((32,))).name == code_of(flat((7, 160))).name


def test_equal_nests_share_one_function() -> None:
    b = Body()
    outs = [b.multiply(b.exp(b.input((16 * n, 8))), 0.5) for n in range(1, 6)]
    zeros = [b.multiply(b.input((16 * n,)), zero) for n, zero in ((7, 0.0), (8, -0.0))]
    body = b.build(*outs, *zeros)
    assert [n.symbol for n in code_of(body).nests] == ["body0"] * 5 + ["body1", "body2"]
    check(body)


def test_loop_ir_reads_as_text() -> None:
    b = Body()
    x, w = b.input((4, 100)), b.input((100,))
    text = str(
        lower(b.build(b.multiply(b.subtract(x, b.sum(x, 1, keepdims=True, monoid="max")), w)))
    )
    assert (
        text
        == """\
kernel(b0: f32 in, b1: f32 in, b2: f32 out)
  parallel i0 in 4 {
    fold i1 in 100, vector {
      v0 = load b0[100*i0 + i1]
      v2 = max v0
    }
    for i1 in 100, vector {
      v0 = load b0[100*i0 + i1]
      v1 = load b1[i1]
      v3 = subtract(v0, v2)
      v4 = multiply(v3, v1)
      store b2[100*i0 + i1] = v4
    }
  }"""
    )

"""The primitive words of the scalar language, over arrays and in LLVM code."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dualgraph.backends.scalar_numpy import ArrayScalar, ExactArrayScalar
from dualgraph.core.scalar import DTYPES, FLOATS, SIGNED, UNSIGNED, Scalar, int_range, wrap_int
from tests.core.compiled_loop import Compiled

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

S = ArrayScalar(np)
INTEGERS = (*SIGNED, *UNSIGNED)


def integers(dtype: str, n: int = 256, seed: int = 0) -> np.ndarray:
    low, high = int_range(dtype)
    values = np.random.default_rng(seed).integers(low, high, n, dtype=dtype, endpoint=True)
    values[:4] = low, high, 0, 1
    values[4:8] = np.array([low, 0, low, high], dtype)
    if dtype in SIGNED:
        values[8:12] = -1
    return values


def test_every_word_of_the_language_is_documented() -> None:
    words = [name for name in vars(Scalar) if not name.startswith("_")]
    assert len(words) > 60
    assert all(getattr(Scalar, name).__doc__ for name in words)


def test_wrap_int_is_modulo_the_width() -> None:
    assert wrap_int(200, "int8") == -56
    assert wrap_int(-1, "uint16") == 65535


def test_minimum_and_maximum_propagate_nan() -> None:
    x = np.array([1, np.nan, 2, 0.0, -0.0], np.float32)
    y = np.array([np.nan, 1, 3, -0.0, 0.0], np.float32)
    assert np.isnan(S.minimum(x, y)[:2]).all() and np.isnan(S.maximum(x, y)[:2]).all()
    assert S.minimum(x, y)[2] == 2 and S.maximum(x, y)[2] == 3
    assert np.signbit(S.maximum(x, y)[3:]).tolist() == [True, False]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_division_is_numpys(dtype: str) -> None:
    x, y = integers(dtype), np.random.default_rng(3).permutation(integers(dtype, seed=1) % 7)
    y = y.astype(dtype)
    exact = ExactArrayScalar(np)
    assert (exact.floor_divide(x, y) == np.floor_divide(x, y)).all()
    assert (exact.remainder(x, y) == np.remainder(x, y)).all()
    assert (exact.fmod(x, y) == np.fmod(x, y)).all()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_int_pow_is_numpys_where_numpy_has_one(dtype: str) -> None:
    x = integers(dtype)
    y = np.arange(256).astype(dtype) % np.array(17, dtype)
    y = np.abs(y)
    assert (S.int_pow(x, y) == np.power(x, y)).all()


def test_int_pow_of_negative_exponents_rounds_the_inverse_to_zero() -> None:
    x = np.array([2, 1, -1, -1, 0, -3], np.int32)
    y = np.array([-1, -5, -5, -4, -2, -1], np.int32)
    assert S.int_pow(x, y).tolist() == [0, 1, -1, 1, 0, 0]


def test_cast_saturates_and_sends_nan_to_zero() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 300.7, -300.7, -0.5], np.float32)
    assert S.cast(x, "int8").tolist() == [0, 127, -128, 127, -128, 0]
    assert S.cast(x, "uint8").tolist() == [0, 255, 0, 255, 0, 0]
    assert S.cast(x, "uint64").tolist()[1:3] == [2**64 - 1, 0]
    assert S.cast(x, "bool").tolist() == [True] * 6


def test_sign_keeps_nan_and_gives_plain_zero() -> None:
    out = S.sign(np.array([3.0, -2.0, -0.0, np.nan], np.float32))
    assert out[:3].tolist() == [1, -1, 0] and not np.signbit(out[2]) and np.isnan(out[3])


def test_literals_take_the_dtype_of_the_operand() -> None:
    x = np.array([1.5], np.float32)
    assert S.select(x > 1, x, 2).dtype == np.float32
    assert S.minimum(x, 0.5).dtype == np.float32
    assert S.pow(x, 2).dtype == np.float32


def test_mulhi_u32_is_the_high_word() -> None:
    x = np.array([0xFFFFFFFF, 0xD2511F53], np.uint32)
    assert S.mulhi_u32(x, 0xCD9E8D57).tolist() == [int(v) * 0xCD9E8D57 >> 32 for v in x]


# The LLVM handler against the arrays.


def agree(got: np.ndarray, expected: np.ndarray) -> bool:
    same = got == expected
    if got.dtype.kind == "f":
        same = (same & (np.signbit(got) == np.signbit(expected))) | (
            np.isnan(got) & np.isnan(expected)
        )
    return bool(same.all())


def check(body, xs: tuple[np.ndarray, ...], out_dtype: str) -> None:
    pytest.importorskip("llvmlite")
    expected = body(ExactArrayScalar(np), *xs)
    for lanes in (1, 16):
        got = Compiled(body, tuple(x.dtype.name for x in xs), out_dtype, lanes)(*xs)
        assert agree(got, expected), (
            lanes,
            got[got != expected][:4],
            expected[got != expected][:4],
        )


def sample(dtype: str, seed: int = 0) -> np.ndarray:
    if dtype == "bool":
        return np.arange(256) % 3 == seed % 3
    if dtype in INTEGERS:
        return integers(dtype, seed=seed)
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(256) * np.exp2(rng.integers(-12, 40, 256))).astype(dtype)
    x[:6] = np.inf, -np.inf, np.nan, 0.0, -0.0, 2.5
    return x


@pytest.mark.parametrize("old", DTYPES)
def test_llvm_casts_agree_with_arrays(old: str) -> None:
    for new in DTYPES:
        check(lambda s, x, new=new: s.cast(x, new), (sample(old),), new)


@pytest.mark.parametrize("old", FLOATS)
def test_llvm_casts_to_integers_agree_with_arrays_at_the_ends_of_each_range(old: str) -> None:
    powers = np.exp2(np.array([0, 7, 8, 15, 16, 31, 32, 51, 52, 53, 63, 64], "float64"))
    near = (powers[:, None] + [-1.5, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 2]).astype(old).ravel()
    near = np.concatenate([near, np.nextafter(near, old_zero := np.zeros((), old)), [old_zero]])
    values = np.concatenate([near, -near]).astype(old)
    values = np.concatenate([values, values[: -len(values) % 64]])
    for new in INTEGERS:
        check(lambda s, x, new=new: s.cast(x, new), (values,), new)


@pytest.mark.parametrize("new", INTEGERS)
def test_vectors_of_floats_become_integers_without_being_taken_apart(new: str) -> None:
    compiled = Compiled(
        lambda s, x: s.cast(x, new), ("float32",), new, 16, cpu="x86-64-v3", has_fma=True
    )
    usual = compiled.assembly().split(".LBB0_2:")[0]  # 64 bits: large numbers come later
    assert "vcvttss2si" not in usual and "vcvttsd2si" not in usual


@pytest.mark.parametrize("word", ["sqrt", "floor", "rint"])
def test_vectors_of_float16_are_rounded_without_being_taken_apart(word: str) -> None:
    compiled = Compiled(
        lambda s, x: getattr(s, word)(x), ("float16",), "float16", 16, cpu="x86-64-v3", has_fma=True
    )
    assert not re.search(r"v(sqrt|round)ss", compiled.assembly())


@pytest.mark.parametrize("dtype", INTEGERS)
def test_llvm_integer_words_agree_with_arrays(dtype: str) -> None:
    x, y = sample(dtype), np.random.default_rng(5).permutation(sample(dtype, 1))
    n = (np.arange(256) % 70).astype(dtype)
    for word in ("floor_divide", "remainder", "fmod", "quotient", "minimum", "maximum", "int_pow"):
        check(lambda s, x, y, word=word: getattr(s, word)(x, y), (x, y), dtype)
    check(lambda s, x, n: x << n, (x, n), dtype)
    check(lambda s, x, n: x >> n, (x, n), dtype)
    check(lambda s, x, n: ((x & n) | (x ^ 5)) + (~n << 2) * 3 - (x >> 1), (x, n), dtype)
    check(lambda s, x: s.abs(x) + s.sign(x), (x,), dtype)
    check(lambda s, x, y: (x < y) | (x == 7), (x, y), "bool")


@pytest.mark.parametrize("dtype", FLOATS)
def test_llvm_float_words_agree_with_arrays(dtype: str) -> None:
    x, y = sample(dtype), np.random.default_rng(5).permutation(sample(dtype, 1))
    for word in ("floor", "ceil", "trunc", "rint", "sqrt", "abs", "sign"):
        check(lambda s, x, word=word: getattr(s, word)(x), (x,), dtype)
    for word in ("minimum", "maximum", "copysign", "fmod", "remainder", "floor_divide"):
        check(lambda s, x, y, word=word: getattr(s, word)(x, y), (x, y), dtype)
    for word in ("isnan", "isinf", "isfinite", "signbit"):
        check(lambda s, x, word=word: getattr(s, word)(x), (x,), "bool")
    check(lambda s, x, y: -x * y + (x - 1.5) / y, (x, y), dtype)
    check(lambda s, x, y: s.fma(x, y, 0.1), (x, y), dtype)
    check(lambda s, x, y: (x <= y) ^ ~(x != y), (x, y), "bool")


def test_llvm_values_refuse_to_branch_and_to_mix_dtypes() -> None:
    from dualgraph.backends.native import ir
    from dualgraph.backends.native.emit.scalar import LLVMScalar

    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "f")
    s = LLVMScalar(ir.IRBuilder(function.append_basic_block("entry")), 4)
    x = s.wrap(ir.Constant(s.type_of("float32"), [1.0] * 4), "float32")
    with pytest.raises(TypeError, match="cannot branch"):
        bool(x > 0)
    with pytest.raises(TypeError, match=r"use s\.cast"):
        x + s.cast(x, "float64")
    with pytest.raises(TypeError, match="floor_divide"):
        s.cast(x, "int32") / 2

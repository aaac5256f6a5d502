"""The expanded words: accuracy, special values, and the same bits from every handler and width."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dualgraph.backends.scalar_numpy import BINARY, UNARY, ArrayScalar, ExactArrayScalar
from tests.core.compiled_loop import Compiled

ONE = (*UNARY, "erf", "erfc", "rsqrt", "sigmoid", "softplus", "lgamma", "digamma", "erfinv")
TWO = ("atan2", "pow", "hypot", "logaddexp", "fmod", "remainder", "floor_divide")
FLOATS = ("float32", "float64")
EDGES = (0.0, 1, 0.5, 2, 3, 2.5, math.inf, math.nan, 1e-45, 1.1754944e-38, 3e38, 88.72, 104)
EDGES_64 = (5e-324, 2.3e-308, 1e308, 709.78, 745.1, 1e22, 1e-200, 2.0**1000)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def edges(dtype: str) -> np.ndarray:
    values = np.array(EDGES + (EDGES_64 if dtype == "float64" else ()), dtype=dtype)
    return np.concatenate([values, -values])


def random_floats(dtype: str, n: int, seed: int = 0) -> np.ndarray:
    """Random bit patterns and two normal distributions."""
    rng = np.random.default_rng(seed)
    bits = {"float16": np.int16, "float32": np.int32, "float64": np.int64}[dtype]
    info = np.iinfo(bits)
    patterns = rng.integers(info.min, info.max, n // 2, dtype=bits).view(dtype)
    near, wide = rng.standard_normal(n // 4) * 2, rng.standard_normal(n - n // 2 - n // 4) * 40
    return np.concatenate([patterns, near.astype(dtype), wide.astype(dtype)])


def operands(word: str, dtype: str, n: int = 2048) -> tuple[np.ndarray, ...]:
    values = edges(dtype)
    if word in ONE:
        return (np.concatenate([values, random_floats(dtype, n - len(values))]),)
    x, y = np.repeat(values, len(values)), np.tile(values, len(values))
    rest = -(len(x) + n) % 16 + n
    x = np.concatenate([x, random_floats(dtype, rest, 1)])
    y = np.concatenate([y, np.random.default_rng(2).permutation(random_floats(dtype, rest, 3))])
    return x, y


def same_bits(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where bits agree; one NaN is as good as another."""
    return ((x == y) & (np.signbit(x) == np.signbit(y))) | ((x != x) & (y != y))


def word_body(word: str) -> Callable[..., Any]:
    return lambda s, *xs: getattr(s, word)(*xs)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", ONE + TWO)
def test_llvm_gives_the_bits_of_the_oracle_at_every_width(word: str, dtype: str) -> None:
    jit = pytest.importorskip("dualgraph.backends.native.jit").jit
    xs = operands(word, dtype)
    expected = getattr(ExactArrayScalar(np), word)(*xs)
    wide = [(16, True)] if jit().has_avx512 else []
    for lanes, has_avx512 in ((1, False), (8, False), (16, False), *wide):
        compiled = Compiled(
            word_body(word), (dtype,) * len(xs), dtype, lanes, has_avx512=has_avx512
        )
        got = compiled(*xs)
        bad = ~same_bits(got, expected)
        assert not bad.any(), (lanes, [x[bad][:3] for x in xs], got[bad][:3], expected[bad][:3])


@pytest.mark.parametrize("word", ["exp", "sin", "pow", "erf", "fmod"])
def test_float16_is_float32_rounded_once(word: str) -> None:
    pytest.importorskip("llvmlite")
    count = 2 if word in TWO else 1
    xs = tuple(random_floats("float16", 512, seed) for seed in range(count))
    exact = ExactArrayScalar(np)
    expected = getattr(exact, word)(*(x.astype("float32") for x in xs)).astype("float16")
    assert same_bits(getattr(exact, word)(*xs), expected).all()
    got = Compiled(word_body(word), ("float16",) * count, "float16", 16)(*xs)
    assert same_bits(got, expected).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", ["exp", "log", "sin", "erf", "pow"])
def test_emulated_fma_changes_no_bit(word: str, dtype: str) -> None:
    pytest.importorskip("llvmlite")
    xs = operands(word, dtype, 512)
    dtypes = (dtype,) * len(xs)
    fused = Compiled(word_body(word), dtypes, dtype, 8)(*xs)
    emulated = Compiled(word_body(word), dtypes, dtype, 8, has_fma=False)(*xs)
    assert same_bits(fused, emulated).all()


@pytest.mark.parametrize("cpu", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("word", ["exp", "log", "sin", "tanh", "erf", "pow", "fmod", "rint"])
def test_vector_code_calls_no_library(word: str, cpu: str) -> None:
    binding = pytest.importorskip("llvmlite.binding")
    if not binding.get_process_triple().startswith("x86_64"):
        pytest.skip("the target machine is not an x86-64")
    count = 2 if word in TWO else 1
    has_fma = cpu != "x86-64-v2"
    code = Compiled(word_body(word), ("float32",) * count, "float32", 16, cpu, has_fma).assembly()
    called = set(re.findall(r"(?:call\w*|movabsq)\s+\$?([A-Za-z_][\w.]*)", code))
    ours = set(re.findall(r"^([A-Za-z_][\w.]*):", code, re.MULTILINE))
    assert called <= ours, called - ours


def random_triples(dtype: str, n: int) -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(4)
    a, b, c = (rng.standard_normal(n).astype(dtype) for _ in range(3))
    found = [(a, b, c), (a, b, -(a * b)), tuple(random_floats(dtype, n, k) for k in range(3))]
    if dtype == "float64":
        for e in (-1074, -1060, -1022, -960, 1000, 1020):
            x, y = np.ldexp(a, e // 2), np.ldexp(b, e - e // 2)
            found += [(x, y, np.ldexp(c, e)), (x, y, -(x * y))]
    return found


@pytest.mark.parametrize("dtype", FLOATS)
def test_emulated_fma_is_rounded_once(dtype: str) -> None:
    pytest.importorskip("llvmlite")
    for triple in random_triples(dtype, 4096):
        fma = Compiled(lambda s, a, b, c: s.fma(a, b, c), (dtype,) * 3, dtype, 8)
        assert same_bits(ExactArrayScalar(np).fma(*triple), fma(*triple)).all()


def test_mul_then_add_is_not_contracted() -> None:
    pytest.importorskip("llvmlite")
    a, b, c = random_triples("float32", 4096)[0]
    got = Compiled(lambda s, a, b, c: a * b + c, ("float32",) * 3, "float32", 16)(a, b, c)
    assert same_bits(got, a * b + c).all()


# Accuracy against mpmath.

RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "exp": ((-110, 90), (-1, 1)),
    "exp2": ((-150, 130),),
    "expm1": ((-1, 1), (-30, 80)),
    "log": ((0.5, 2), (0, 100)),
    "log2": ((0.5, 2),),
    "log10": ((0.5, 2),),
    "log1p": ((-1, 1), (0, 100)),
    "sin": ((-4, 4), (-70000, 70000), (-1e30, 1e30)),
    "cos": ((-4, 4), (-70000, 70000), (-1e30, 1e30)),
    "tan": ((-4, 4), (-70000, 70000), (-1e30, 1e30)),
    "asin": ((-1, 1),),
    "acos": ((-1, 1),),
    "atan": ((-2, 2), (-100, 100)),
    "sinh": ((-2, 2), (-89, 89)),
    "cosh": ((-2, 2), (-89, 89)),
    "tanh": ((-1, 1), (-10, 10)),
    "asinh": ((-1, 1), (-1e4, 1e4)),
    "acosh": ((1, 1.1), (1, 1e4)),
    "atanh": ((-1, 1),),
    "cbrt": ((-10, 10), (-1e30, 1e30)),
    "erf": ((-1, 1), (-4, 4), (1, 6)),
    "erfc": ((-1, 1), (0.3, 10)),
    "erfinv": ((-1, 1), (0.99, 1)),
    "rsqrt": ((0, 4),),
    "sigmoid": ((-5, 5), (-80, 20)),
    "lgamma": ((0, 3), (0, 100)),
    "digamma": ((0, 3), (0, 100)),
}
# lgamma and digamma in float64 pass close to their zeros; erfinv takes the errors of erfc along.
LIMITS = {("lgamma", "float64"): 4.0, ("digamma", "float64"): 4.0, ("erfinv", "float64"): 3.0}


def references(mpmath: Any) -> dict[str, Callable[[Any], Any]]:
    mp = mpmath
    named = {word: getattr(mp, word, None) for word in RANGES}
    return named | {
        "exp2": lambda x: mp.mpf(2) ** x,
        "log2": lambda x: mp.log(x) / mp.log(2),
        "log10": lambda x: mp.log(x) / mp.log(10),
        "log1p": lambda x: mp.log(1 + x),
        "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
        "rsqrt": lambda x: 1 / mp.sqrt(x),
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
        "lgamma": mp.loggamma,
    }


def ulps(mpmath: Any, got: float, expected: Any, dtype: str) -> float:
    """The distance of `got` in units in the last place of `expected`."""
    digits, least, top = (24, -149, 128) if dtype == "float32" else (53, -1074, 1024)
    if abs(expected) >= mpmath.mpf(2) ** top:
        return 0.0 if math.isinf(got) else math.inf
    unit = mpmath.mpf(2) ** max(mpmath.frexp(expected)[1] - digits, least)
    if math.isinf(got):
        got = math.copysign(1.0, got) * mpmath.mpf(2) ** top
    return float(abs(mpmath.mpf(got) - expected) / unit)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", RANGES)
def test_errors_stay_within_two_ulps(word: str, dtype: str) -> None:
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(6)
    x = np.concatenate([rng.uniform(a, b, 60) for a, b in RANGES[word]]).astype(dtype)
    reference = references(mpmath)[word]
    got = getattr(ExactArrayScalar(np), word)(x)
    with mpmath.workprec(400):
        errors = [
            ulps(mpmath, float(g), reference(mpmath.mpf(float(v))), dtype)
            for g, v in zip(got, x, strict=True)
            if v != 0
        ]
    assert max(errors) <= LIMITS.get((word, dtype), 2.0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", ["exp", "expm1", "log", "log1p", "sinh", "cosh", "tanh", "asinh"])
def test_errors_of_many_numbers_against_a_wider_type(word: str, dtype: str) -> None:
    wide = np.float64 if dtype == "float32" else np.longdouble
    if np.finfo(wide).eps > np.finfo(dtype).eps / 1000:
        pytest.skip("no wider type here")
    rng = np.random.default_rng(9)
    near = np.exp2(rng.uniform(-6, 2, 20000))  # as many of each magnitude
    x = np.concatenate([near, *(rng.uniform(a, b, 20000) for a, b in RANGES[word])]).astype(dtype)
    got = getattr(ExactArrayScalar(np), word)(x).astype(wide)
    expected = getattr(np, UNARY.get(word, word))(x.astype(wide))
    digits, least = (24, -149) if dtype == "float32" else (53, -1074)
    unit = np.ldexp(wide(1), np.maximum(np.frexp(expected)[1] - digits, least))
    finite = np.isfinite(expected) & np.isfinite(got)
    assert np.max(np.abs(got - expected)[finite] / unit[finite]) <= 2.0


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", ["sin", "cos", "tan"])
def test_angles_next_to_multiples_of_a_right_angle(word: str, dtype: str) -> None:
    mpmath = pytest.importorskip("mpmath")
    turns = np.random.default_rng(8).integers(1, 2**29, 100)
    hardest = {"float32": 16367173 * 2.0**72, "float64": 6381956970095103 * 2.0**797}[dtype]
    x = np.append(np.concatenate([turns % 40000, turns]) * (math.pi / 2), [hardest, 29099.002])
    x = x.astype(dtype)
    got = getattr(ExactArrayScalar(np), word)(x)
    with mpmath.workprec(1300):
        errors = [
            ulps(mpmath, float(g), getattr(mpmath, word)(mpmath.mpf(float(v))), dtype)
            for g, v in zip(got, x, strict=True)
        ]
    assert max(errors) <= 2.0


@pytest.mark.parametrize("dtype", FLOATS)
def test_pow_stays_within_two_ulps(dtype: str) -> None:
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(7)
    x = rng.uniform(0, 10, 300).astype(dtype)
    y = rng.uniform(-37, 37, 300).astype(dtype)
    got = ExactArrayScalar(np).pow(x, y)
    with mpmath.workprec(400):
        errors = [
            ulps(mpmath, float(g), mpmath.mpf(float(a)) ** mpmath.mpf(float(b)), dtype)
            for g, a, b in zip(got, x, y, strict=True)
        ]
    assert max(errors) <= 2.0


# Special values: NumPy follows C99 annex F.


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", [*UNARY, *BINARY])
def test_special_values_are_those_of_c99(word: str, dtype: str) -> None:
    special = np.array([0.0, 1, 0.5, 2, 3, 2.5, np.inf, np.nan, 2.0**40], dtype)
    special = np.concatenate([special, -special])
    if word in UNARY:
        xs, function = (special,), UNARY[word]
    else:
        xs = np.repeat(special, len(special)), np.tile(special, len(special))
        function = BINARY[word]
    got, expected = getattr(ExactArrayScalar(np), word)(*xs), getattr(np, function)(*xs)
    close = np.abs(got - expected) <= 4 * np.spacing(np.abs(expected))
    close &= np.signbit(got) == np.signbit(expected)
    bad = ~(same_bits(got, expected) | close)
    assert not bad.any(), ([x[bad] for x in xs], got[bad], expected[bad])


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values_that_numpy_lacks(dtype: str) -> None:
    s = ExactArrayScalar(np)
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    table = {
        "erf": [0.0, -0.0, 1, -1, np.nan],
        "erfc": [1, 1, 0.0, 2, np.nan],
        "erfinv": [0.0, -0.0, np.nan, np.nan, np.nan],
        "rsqrt": [np.inf, -np.inf, 0.0, np.nan, np.nan],
        "sigmoid": [0.5, 0.5, 1, 0.0, np.nan],
        "softplus": [math.log(2), math.log(2), np.inf, 0.0, np.nan],
        "lgamma": [np.inf, np.inf, np.inf, np.inf, np.nan],
        "digamma": [-np.inf, np.inf, np.inf, np.nan, np.nan],
    }
    for word, expected in table.items():
        assert same_bits(getattr(s, word)(x), np.array(expected, dtype)).all(), word


@pytest.mark.parametrize("dtype", ["float16", *FLOATS])
@pytest.mark.parametrize("word", [*UNARY, *BINARY, "sigmoid", "erf"])
def test_an_element_never_depends_on_its_neighbours(word: str, dtype: str) -> None:
    count = 2 if word in BINARY else 1
    xs = tuple(random_floats(dtype, 400, seed) for seed in range(count))
    function = getattr(ArrayScalar(np), word)
    whole = function(*xs)
    alone = np.concatenate([function(*(x[i : i + 1] for x in xs)) for i in range(len(whole))])
    assert same_bits(alone, whole).all()
    assert same_bits(function(*(x[::2] for x in xs)), whole[::2]).all()
    assert same_bits(function(*(x[::-1] for x in xs)), whole[::-1]).all()
    parts = [function(*(x[i : i + 13] for x in xs)) for i in range(1, 391, 13)]
    assert same_bits(np.concatenate(parts), whole[1:391]).all()


def test_random_nan_payloads_stay_nan() -> None:
    s = ExactArrayScalar(np)
    x = (np.arange(1, 1 << 22, 4097, dtype=np.int32) | 0x7F800000).view(np.float32)
    for word in ONE:
        assert np.isnan(getattr(s, word)(x)).all(), word

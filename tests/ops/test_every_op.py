"""Every op of the registry: values, types, derivatives to order 2, capture and vmap, on its own samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.fft
import dualgraph.linalg
import dualgraph.nn
import dualgraph.special
from dualgraph.core.errors import DTypeError
from dualgraph.core.kinds import ELEMENTWISE, REDUCTION
from dualgraph.core.prim import REGISTRY, Prim
from dualgraph.core.types import TensorType
from tests.ops.oracles import oracle_of

# Ops that stand for graphs (a fused group, the branches of a condition): their bodies are made of ops.
OPS = sorted(n for n, p in REGISTRY.items() if p.__module__.startswith("dualgraph.ops"))
FLOATS = ("float64", "float32", "float16", "bfloat16")
DTYPES = (*FLOATS, "int64", "int32", "uint8", "bool", "complex128", "complex64")
# Constant where NumPy would have a slope: what they are for.
WITHOUT_DERIVATIVE = {"stop_gradient", "nextafter"}
# Their complex vectors are given up to a phase, which a difference of two runs would see.
WITHOUT_COMPLEX_DERIVATIVE = {"eigh", "svd", "qr"}

Arrays = tuple[np.ndarray, ...]


class Sample(NamedTuple):
    """Operands and parameters of one call."""

    args: Arrays
    params: dict[str, Any]


# --- samples -----------------------------------------------------------------------------------


def samples_of(prim: Prim, seed: int = 0) -> list[Sample]:
    """The op's own samples; elementwise ops without any draw theirs from their domain."""
    rng = np.random.default_rng(seed)
    if prim.sample_rule is not None:
        return [
            Sample(tuple(np.asarray(a) for a in args), params)
            for args, params in prim.sample_rule(rng)
        ]
    if prim.kind is not ELEMENTWISE:
        return []
    parameters = list(inspect.signature(prim.kernel).parameters.values())[1:]
    low, high = prim.details["domain"]
    shapes = [(3, 4), (4,), (3, 1)]
    return [Sample(tuple(rng.uniform(low, high, s) for s in shapes[: len(parameters)]), {})]


def as_dtype(x: np.ndarray, dtype: str) -> np.ndarray:
    """Floating sample values in another dtype; other arrays (indexes, states) stay as they are."""
    if x.dtype.kind not in "fc":
        return x
    if dtype == "bfloat16":
        return np.asarray(x.real, np.float32)
    if dtype == "bool":
        return x.real > np.median(x.real)
    if dtype.startswith(("int", "uint")):
        x = np.rint(x.real)
        return (np.abs(x) if dtype.startswith("u") else x).astype(dtype)
    if dtype.startswith("complex"):
        return (x if x.dtype.kind == "c" else x + 0.3j * np.sin(7 * x)).astype(dtype)
    return x.real.astype(dtype)


def tensors(sample: Sample, dtype: str) -> list[dg.Tensor]:
    out = []
    for x in sample.args:
        x = as_dtype(x, dtype)
        if dtype == "bfloat16" and x.dtype == np.float32:
            out.append(dg.tensor(x, dtype=dg.bfloat16))
        else:
            out.append(dg.tensor(x))
    return out


def cases(prim: Prim, dtypes: tuple[str, ...]) -> Iterator[tuple[str, Sample]]:
    """Samples in each dtype that the op takes."""
    for i, sample in enumerate(samples_of(prim)):
        free = any(x.dtype.kind in "fc" for x in sample.args)
        only = dtypes if free else dtypes[:1]
        for dtype in only:
            if i and dtype not in FLOATS[:2]:
                continue  # the other dtypes are seen on the first sample
            try:
                types = tuple(t.tensor_type for t in tensors(sample, dtype))
                if prim.kind in (ELEMENTWISE, REDUCTION):
                    prim.details["dtype"](tuple(t.dtype for t in types))
                prim.infer(types, sample.params)
            except DTypeError:
                continue
            yield dtype, sample


def call(prim: Prim, params: dict[str, Any]) -> Callable[..., tuple[dg.Tensor, ...]]:
    def f(*args: Any) -> tuple[dg.Tensor, ...]:
        out = prim(*args, **params)
        return out if prim.multiple else (out,)

    return f


def array(t: dg.Tensor) -> np.ndarray:
    """Values for comparing: bfloat16 as float32."""
    data = t.detach().numpy()
    return np.asarray(data)


def bits(t: dg.Tensor) -> bytes:
    return np.ascontiguousarray(getattr(t, "_data", t)).tobytes()


@pytest.mark.parametrize("name", OPS)
def test_op_has_samples(name: str) -> None:
    assert samples_of(REGISTRY[name]), f"{name} needs samples=... beside its kernel"


# --- values and types --------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPS)
def test_declared_type_is_the_type_of_the_result(name: str) -> None:
    prim = REGISTRY[name]
    for dtype, sample in cases(prim, DTYPES):
        args = tensors(sample, dtype)
        outs = call(prim, sample.params)(*args)
        if prim.kind is ELEMENTWISE:
            compute, _ = ELEMENTWISE.resolve(prim, tuple(a.dtype for a in args))
            types = tuple(TensorType(d, a.shape) for d, a in zip(compute, args, strict=True))
        elif prim.kind is REDUCTION:
            types = (TensorType(prim.details["dtype"]((args[0].dtype,))[0][0], args[0].shape),)
        else:
            types = tuple(a.tensor_type for a in args)
        for out, declared in zip(outs, prim.infer(types, sample.params), strict=True):
            assert out.tensor_type == declared, (dtype, sample.params)
            assert out._data.dtype == declared.dtype.numpy, (dtype, sample.params)
            assert out._data.shape == declared.shape, (dtype, sample.params)


TOLERANCE = {
    "float64": 1e-13, "float32": 4e-7, "float16": 2e-3, "bfloat16": 1.6e-2, "complex128": 1e-13, "complex64": 2e-6,
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in OPS if oracle_of(REGISTRY[n])])
def test_values_are_those_of_the_oracle(name: str) -> None:
    prim = REGISTRY[name]
    oracle = oracle_of(prim)
    assert oracle is not None
    for dtype, sample in cases(prim, DTYPES):
        args = tensors(sample, dtype)
        wide = [_widened(a, prim) for a in args]
        try:
            with np.errstate(all="ignore"):
                expected = oracle(*wide, **sample.params)
        except TypeError:  # NumPy has no such function for this dtype
            continue
        outs = call(prim, sample.params)(*args)
        for out, want in zip(outs, expected if prim.multiple else (expected,), strict=True):
            tolerance = TOLERANCE.get(out.dtype.name, 0)
            if any(a.dtype.name in ("float16", "bfloat16") for a in args):
                tolerance = max(tolerance, 5 * TOLERANCE[dtype])
            got, want = array(out), np.asarray(want)
            scale = np.abs(want[np.isfinite(want)]).max(initial=1e-30)
            np.testing.assert_allclose(
                got,
                want,
                rtol=tolerance,
                atol=tolerance * scale,
                err_msg=str((dtype, sample.params)),
            )


def _widened(t: dg.Tensor, prim: Prim) -> np.ndarray:
    """An operand as the oracle gets it: inexact ones in double precision."""
    x = array(t)
    if x.dtype.kind == "f" or (prim.kind is ELEMENTWISE and _gives_float(prim, t)):
        return x.astype(np.float64)
    return x.astype(np.complex128) if x.dtype.kind == "c" else x


def _gives_float(prim: Prim, t: dg.Tensor) -> bool:
    arity = len(samples_of(prim)[0].args)
    return (
        not t.dtype.is_complex
        and ELEMENTWISE.resolve(prim, (t.dtype,) * arity)[1].is_floating_point
    )


SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan, 1e-30, -1e30, 2.5)
# Where NumPy has another convention: shifts and whole quotients by 0, the library's own corner cases.
OWN_CONVENTION = {"floor_divide", "remainder", "fmod", "nextafter", "signbit", "copysign"}


@pytest.mark.parametrize(
    "name", [n for n in OPS if REGISTRY[n].kind is ELEMENTWISE and oracle_of(REGISTRY[n])]
)
def test_special_values_are_those_of_the_oracle(name: str) -> None:
    prim = REGISTRY[name]
    oracle, arity = oracle_of(prim), len(samples_of(prim)[0].args)
    assert oracle is not None
    if prim.sample_rule is not None or name in OWN_CONVENTION:
        return
    for dtype in ("float32", "float64"):
        grid = [g.ravel() for g in np.meshgrid(*(np.array(SPECIAL, dtype),) * arity)]
        try:
            out = array(prim(*map(dg.tensor, grid)))
        except DTypeError:
            continue
        with np.errstate(all="ignore"):
            want = oracle(*grid).astype(out.dtype)
        tolerance = TOLERANCE.get(dtype, 0) if out.dtype.kind == "f" else 0
        np.testing.assert_allclose(out, want, rtol=tolerance, atol=0, err_msg=dtype)


@pytest.mark.parametrize("name", [n for n in OPS if REGISTRY[n].kind is ELEMENTWISE])
def test_bits_of_an_element_do_not_depend_on_what_lies_beside_it(name: str) -> None:
    prim = REGISTRY[name]
    if prim.sample_rule is not None:
        return
    arity, (low, high) = len(samples_of(prim)[0].args), prim.details["domain"]
    for dtype in dict.fromkeys(
        d for d, _ in cases(prim, ("float32", "float64", "bfloat16", "int32", "complex64"))
    ):
        rng = np.random.default_rng(3)
        whole = tensors(
            Sample(tuple(rng.uniform(low, high, 40_000) for _ in range(arity)), {}), dtype
        )
        out = prim(*whole)
        for cut in (slice(0, 1), slice(5, 22), slice(None, None, 7), slice(-3, None)):
            part = prim(*(x[cut] for x in whole))
            assert bits(part) == bits(out[cut]), (dtype, cut)


@pytest.mark.parametrize("name", OPS)
def test_the_layout_of_operands_in_memory_does_not_matter(name: str) -> None:
    prim = REGISTRY[name]
    for dtype, sample in cases(prim, ("float32", "int32", "complex64")):
        args = tensors(sample, dtype)
        turned = [dg.asarray(np.asfortranarray(a._data)) for a in args]
        spread = [_every_second(a) for a in args]
        want = [bits(o) for o in call(prim, sample.params)(*args)]
        for other in (turned, spread):
            got = call(prim, sample.params)(*other)
            assert [bits(o) for o in got] == want, (dtype, sample.params)


def _every_second(t: dg.Tensor) -> dg.Tensor:
    """The same values, with gaps in memory, in reverse order."""
    if t.ndim == 0:
        return t
    wide = np.repeat(t._data[..., ::-1], 2, axis=-1)
    return dg.asarray(wide[..., ::-2])


@pytest.mark.parametrize("name", [n for n in OPS if REGISTRY[n].kind in (ELEMENTWISE, REDUCTION)])
def test_tensors_without_elements(name: str) -> None:
    prim = REGISTRY[name]
    if prim.kind is REDUCTION:
        x = dg.zeros(3, 0)
        assert prim(x, axes=(0,), keepdims=False).shape == (0,)
        if name in ("reduce_sum", "reduce_prod", "reduce_any", "reduce_all"):
            want = {"reduce_sum": 0, "reduce_prod": 1, "reduce_any": 0, "reduce_all": 1}[name]
            assert prim(x, axes=(1,), keepdims=True).tolist() == [[want]] * 3
        else:
            with pytest.raises(dg.ShapeError, match="undefined"):
                prim(x, axes=(1,), keepdims=True)
        return
    for dtype in dict.fromkeys(d for d, _ in cases(prim, ("float32", "int32", "complex64"))):
        arity, params = len(samples_of(prim)[0].args), samples_of(prim)[0].params
        args = (
            tensors(Sample((np.zeros((2, 0)),) * arity, params), dtype)
            if dtype != "int32"
            else [dg.zeros(2, 0, dtype=dg.int32) for _ in range(arity)]
        )
        assert prim(*args, **params).shape == (2, 0)


# --- derivatives -------------------------------------------------------------------------------

STEP = 1e-6


def differentiable(prim: Prim) -> Iterator[tuple[list[np.ndarray], Sample]]:
    """Samples with floating operands and results, in double precision."""
    real_only = prim.name in WITHOUT_COMPLEX_DERIVATIVE
    for _dtype, sample in cases(prim, ("float64", "complex128")[: 1 if real_only else 2]):
        args = [array(t) for t in tensors(sample, _dtype)]
        outs = call(prim, sample.params)(*map(dg.asarray, args))
        if any(a.dtype.kind in "fc" for a in args) and any(o.dtype.is_inexact for o in outs):
            yield args, sample


def real_dot(x: Any, y: Any) -> Any:
    """``Re(sum(conj(x) * y))`` of tensors or arrays: the product under which gradients are gradients."""
    if isinstance(x, np.ndarray):
        return float(np.sum(np.conj(x) * y).real)
    product = (dg.conj(x) * y).sum()
    return dg.real(product) if product.dtype.is_complex else product


def random_like(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    out = rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1, 1], x.shape)
    return out + 1j * rng.uniform(-1, 1, x.shape) if x.dtype.kind == "c" else out


def weighted(prim: Prim, params: dict[str, Any], rng: np.random.Generator) -> Callable[..., Any]:
    """A number that depends on all floating results, with random weights."""
    weights: dict[int, Any] = {}

    def f(*args: Any) -> Any:
        total: Any = 0.0
        for i, out in enumerate(call(prim, params)(*args)):
            if out.dtype.is_inexact:
                if i not in weights:
                    weights[i] = dg.asarray(random_like(rng, array(out)))
                total = total + real_dot(weights[i], out)
        return total

    return f


def slope(f: Callable[..., Any], args: list[np.ndarray], direction: list[np.ndarray]) -> float:
    """Central difference of f along a direction."""
    ahead = [
        dg.asarray(a + STEP * d) if a.dtype.kind in "fc" else dg.asarray(a)
        for a, d in zip(args, direction, strict=True)
    ]
    behind = [
        dg.asarray(a - STEP * d) if a.dtype.kind in "fc" else dg.asarray(a)
        for a, d in zip(args, direction, strict=True)
    ]
    return (float(f(*ahead)) - float(f(*behind))) / (2 * STEP)


def check_gradient(
    f: Callable[..., Any], args: list[np.ndarray], rng: np.random.Generator, what: str, rtol: float
) -> Any:
    """Compares the gradient of f with differences along random directions; gives the gradient function."""
    places = [i for i, a in enumerate(args) if a.dtype.kind in "fc"]
    gradient = dg.grad(f, argnums=tuple(places))
    found = gradient(*map(dg.asarray, args))
    for _ in range(2):
        direction = [
            random_like(rng, a) if i in places else np.zeros(1) for i, a in enumerate(args)
        ]
        expected = slope(f, args, direction)
        got = sum(real_dot(array(g), direction[i]) for g, i in zip(found, places, strict=True))
        scale = max(1.0, sum(float(np.abs(array(g)).sum()) for g in found))
        assert abs(got - expected) <= rtol * scale, (
            f"{what}: {got} by its rule, {expected} by differences"
        )
    return gradient


@pytest.mark.parametrize("name", OPS)
def test_derivatives_are_those_of_finite_differences(name: str) -> None:
    prim = REGISTRY[name]
    if name in WITHOUT_DERIVATIVE:
        return
    for args, sample in differentiable(prim):
        assert prim.vjp_rule is not None, (
            f"{name} has floating operands and results, but no vjp rule"
        )
        rng = np.random.default_rng(1)
        f = weighted(prim, sample.params, rng)
        gradient = check_gradient(f, args, rng, f"first order {sample.params}", 1e-7)
        weights = [random_like(rng, a) if a.dtype.kind in "fc" else None for a in args]

        def second(*xs: Any, gradient: Any = gradient, weights: Any = weights) -> Any:
            chosen = [w for w in weights if w is not None]
            return sum(
                real_dot(dg.asarray(w), g) for w, g in zip(chosen, gradient(*xs), strict=True)
            )

        check_gradient(second, args, rng, f"second order {sample.params}", 1e-6)


# --- both modes --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPS)
def test_captured_and_compiled_runs_give_the_bits_of_the_eager_run(name: str) -> None:
    prim = REGISTRY[name]
    for dtype, sample in cases(prim, ("float32", "float64", "bfloat16", "int32", "complex64")):
        args = tensors(sample, dtype)
        f = call(prim, sample.params)
        eager = [bits(o) for o in f(*args)]
        interpreted = dg.capture(f, *args).run(*args)
        assert [bits(o) for o in interpreted] == eager, (dtype, sample.params)
        compiled = dg.compile(f, wait=True)
        compiled(*args)
        assert [bits(o) for o in compiled(*args)] == eager, (dtype, sample.params)


@pytest.mark.parametrize("name", OPS)
def test_compiled_gradients_have_the_bits_of_eager_ones(name: str) -> None:
    prim = REGISTRY[name]
    if prim.vjp_rule is None:
        return
    for dtype, sample in cases(prim, ("float32", "float64")):
        args = tensors(sample, dtype)
        places = [i for i, a in enumerate(args) if a.dtype.is_inexact]
        f = call(prim, sample.params)
        kept = [i for i, o in enumerate(f(*args)) if o.dtype.is_inexact]
        if not places or not kept:
            continue

        def gradients(
            cts: Any, args: Any, f: Any = f, places: Any = places, kept: Any = kept
        ) -> Any:
            def of_floats(*floats: Any) -> Any:
                full = list(args)
                for i, x in zip(places, floats, strict=True):
                    full[i] = x
                outs = f(*full)
                return [outs[i] for i in kept]

            return dg.vjp(of_floats, *(args[i] for i in places))[1](cts)

        rng = np.random.default_rng(4)
        outs = [array(f(*args)[i]) for i in kept]
        cts = [dg.tensor(random_like(rng, out).astype(out.dtype)) for out in outs]
        eager = [bits(g) for g in gradients(cts, args)]
        compiled = dg.compile(gradients, wait=True)
        compiled(cts, args)
        assert compiled.programs, compiled.explain()
        assert [bits(g) for g in compiled(cts, args)] == eager, (dtype, sample.params)


# --- vmap --------------------------------------------------------------------------------------

EXAMPLES = 3


def batches(prim: Prim, wanted: str) -> Iterator[tuple[list[list[dg.Tensor]], dict[str, Any]]]:
    """For each sample of the op, a few examples of the same types (the wanted dtype, if the op takes it)."""
    taken = [dtype for dtype, _ in cases(prim, (wanted, "int32", "complex64", "complex128"))]
    drawn = [samples_of(prim, seed) for seed in range(EXAMPLES)]
    for group in zip(*drawn, strict=True):
        yield [tensors(s, taken[0]) for s in group], group[0].params


@pytest.mark.parametrize("name", OPS)
def test_vmap_is_a_loop(name: str) -> None:
    prim = REGISTRY[name]
    if name == "nonzero_places":
        pytest.skip("how many there are depends on the values")
    for examples, params in batches(prim, "float32"):
        f = call(prim, params)
        arity = len(examples[0])
        patterns = [tuple(range(arity)), *((i,) for i in range(arity) if arity > 1)]
        for pattern in patterns if arity else ():
            args = [
                dg.stack([e[i] for e in examples]) if i in pattern else examples[0][i]
                for i in range(arity)
            ]
            axes = tuple(0 if i in pattern else None for i in range(arity))
            got = dg.vmap(f, axes)(*args)
            rows = [
                f(*(e[i] if i in pattern else examples[0][i] for i in range(arity)))
                for e in examples
            ]
            for g, *parts in zip(got, *rows, strict=True):
                want = dg.stack(parts)
                assert g.tensor_type == want.tensor_type, f"batched operands {pattern}, {params}"
                assert bits(g) == bits(want), f"batched operands {pattern}, {params}"


@pytest.mark.parametrize("name", OPS)
def test_gradients_go_through_vmap(name: str) -> None:
    prim = REGISTRY[name]
    if prim.vjp_rule is None or name == "nonzero_places":
        return
    for examples, params in batches(prim, "float64"):
        places = tuple(i for i, t in enumerate(examples[0]) if t.dtype.is_inexact)
        outs = call(prim, params)(*examples[0])
        if not places or not any(o.dtype.is_inexact for o in outs):
            continue
        f = weighted(prim, params, np.random.default_rng(2))
        f(*examples[0])
        gradient = dg.grad(f, argnums=places)
        loop = [gradient(*e) for e in examples]
        stacked = [dg.stack([e[i] for e in examples]) for i in range(len(examples[0]))]
        inside = dg.vmap(gradient)(*stacked)
        around = dg.grad(lambda *xs, f=f: dg.vmap(f)(*xs).sum(), argnums=places)(*stacked)
        for a, b, *rows in zip(inside, around, *loop, strict=True):
            for got in (a, b):
                np.testing.assert_allclose(
                    array(got), array(dg.stack(rows)), rtol=1e-12, atol=1e-12, err_msg=str(params)
                )

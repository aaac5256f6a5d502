"""Fuzzed nests over trees - axes of all kinds, keywords, aux values - in both modes to the bit, and beside JAX."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.fuzz.random_trees import Trees
from tests.side_by_side import MODES

Names = dict[str, Any]


def helpers(np: Any) -> Names:
    """What the texts use besides, written with either library's functions on arrays."""

    def total(t: Any) -> Any:
        return np.sum(t["a"]) + np.sum(t["b"] * t["b"]) * 0.1

    def pile(x: Any, axis: int) -> Any:
        return np.stack([x, x * 0.5, x - 1], axis=axis)

    def each(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda t, *more: {
            k: f(v, *(m[k] if type(m) is dict else m for m in more)) for k, v in t.items()
        }

    return {
        "np": np, "total": total, "pile": pile, "scale": each(lambda v, c: v * c), "add": each(lambda v, w: v + w),
        "tame": each(np.sin), "pick": each(lambda v, i: v[i]), "heap": each(lambda v: pile(v, 0)),
    }  # fmt: skip


class Arrays:
    """dualgraph's functions under NumPy's names."""

    cumsum = staticmethod(dg.cumulative_sum)

    @staticmethod
    def concatenate(arrays: Any, axis: int) -> Any:
        return dg.concat(arrays, axis=axis)

    def __getattr__(self, name: str) -> Any:
        return getattr(dg, name)


def ours(wrap: Callable[..., Any]) -> Names:
    names = "vmap grad value_and_grad jvp vjp linearize jacfwd jacrev hessian checkpoint cond scan"
    return {
        **{name: getattr(dg, name) for name in names.split()}, **helpers(Arrays()),
        "loop_map": dg.map, "stop": lambda x: x.detach(), "C": wrap,
        "while_loop": lambda test, step, init: dg.while_loop(test, step, init, max_steps=4),
    }  # fmt: skip


def theirs() -> Names:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    names = "vmap grad value_and_grad jvp vjp linearize jacfwd jacrev hessian checkpoint"
    return {
        **{name: getattr(jax, name) for name in names.split()}, **helpers(jax.numpy),
        "cond": jax.lax.cond, "scan": jax.lax.scan, "loop_map": jax.lax.map, "stop": jax.lax.stop_gradient,
        "C": lambda f: f,
        # the texts count three turns; JAX differentiates a loop whose number of turns is known
        "while_loop": lambda _, step, init: jax.lax.fori_loop(0, 3, lambda i, c: step(c), init),
    }  # fmt: skip


def function(nest: Trees, names: Names) -> Callable[..., Any]:
    exec(compile(nest.source, "<trees>", "exec"), names)
    return names[nest.top]  # type: ignore[no-any-return]


def values(seed: int, call: int) -> list[Any]:
    """Arrays a and b of the tree, then s and k."""
    rng = np.random.default_rng([seed, call])
    n = 3 if call < 2 else 4
    return [rng.standard_normal(shape) for shape in ((n,), (n, 2), (), ())]


def of_ours(f: Callable[..., Any], given: list[Any], wanted: bool) -> list[Any]:
    """The result's leaves, and gradients of a sum of it for all that came in."""
    a, b, s, k = leaves = [dg.tensor(v) for v in given]
    for t in leaves:
        t.requires_grad_(wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = f({"a": a, "b": b}, s, k=k)
        loss = y["a"].sum() + (y["b"] * y["b"]).sum()
        if wanted and loss.requires_grad:
            loss.backward()
    grads = [dg.zeros_like(t) if t.grad is None else t.grad for t in leaves if wanted]
    return [np.asarray(t.detach().numpy()) for t in (y["a"], y["b"], *grads)]


def of_theirs(f: Callable[..., Any], given: list[Any], wanted: bool) -> list[Any]:
    import jax

    def loss(a: Any, b: Any, s: Any, k: Any) -> Any:
        y = f({"a": a, "b": b}, s, k=k)
        return y["a"].sum() + (y["b"] * y["b"]).sum(), y

    leaves = [jax.numpy.asarray(v) for v in given]
    y = loss(*leaves)[1]
    grads = jax.grad(loss, (0, 1, 2, 3), has_aux=True)(*leaves)[0] if wanted else ()
    return [np.asarray(t) for t in (y["a"], y["b"], *grads)]


def check_modes(seed: int, depth: int, mode: str) -> None:
    nest, made = Trees(seed, depth), []

    def wrap(f: Any) -> Any:
        made.append(dg.compile(f, **MODES[mode]))
        return made[-1]

    eager, compiled = function(nest, ours(lambda f: f)), wrap(function(nest, ours(wrap)))
    for call in range(4):
        given, wanted = values(seed, call), (seed + call) % 2 == 0
        pairs = zip(of_ours(eager, given, wanted), of_ours(compiled, given, wanted), strict=True)
        for i, (x, y) in enumerate(pairs):
            same = x.dtype == y.dtype and np.array_equal(x, y, equal_nan=True)
            assert same, f"seed {seed}, call {call}: leaf {i}\n{nest.source}\n{x}\n{y}"
    failures = [p.failure for f in made for p in f.programs if p.failure is not None]
    assert not failures, f"seed {seed}: {failures!r}\n{nest.source}"


def check_jax(seed: int, depth: int) -> None:
    nest = Trees(seed, depth)
    f, g = function(nest, ours(lambda f: f)), function(nest, theirs())
    given = values(seed, 0)
    for i, (x, y) in enumerate(
        zip(of_ours(f, given, True), of_theirs(g, given, True), strict=True)
    ):
        near = x.shape == y.shape and np.allclose(x, y, rtol=1e-7, atol=1e-9, equal_nan=True)
        assert near, f"seed {seed}: leaf {i}\n{nest.source}\n{x}\n{y}"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_nests_over_trees_have_the_same_bits_in_both_modes(depth: int) -> None:
    for seed in range((0, 8, 1, 1)[depth]):
        check_modes(seed, depth, "compiled, waiting")


@pytest.mark.parametrize("mode", [m for m in MODES if m != "compiled, waiting"])
def test_nests_over_trees_have_the_same_bits_beside_and_on_numpy(mode: str) -> None:
    for seed in range(100, 108):
        check_modes(seed, 1, mode)


def test_nests_over_trees_have_the_values_and_gradients_of_jax() -> None:
    for seed in range(12):
        check_jax(seed, 1)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(10))
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_many_nests_over_trees(depth: int, block: int) -> None:
    for seed in range(1000 + 10 * block, 1010 + 10 * block):
        for mode in MODES:
            check_modes(seed, depth, mode)
        check_jax(seed, depth)

"""Elementwise chains, Black-Scholes, softmax with layer norm, and the heat stencil."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spec import Build, Call, Workload, compiled, jax_build, torch_like
from . import numba_loops

RNG = np.random.default_rng(0)


def chain_of(ns: Any, x: Any, y: Any) -> Any:
    return ns.tanh(x * y + 0.5 * x) * ns.exp(-y * y) + ns.sqrt(ns.abs(x) + 1)


def _arrays(n: int, dtype: str, count: int) -> list[Any]:
    return [RNG.standard_normal(n).astype(dtype) for _ in range(count)]


def _chain(n: int) -> dict[str, Build]:
    def shared(ns: Any, mode: str) -> Call:
        x, y = (ns.from_numpy(a) for a in _arrays(n, "float32", 2))
        fn = compiled(ns, lambda x, y: chain_of(ns, x, y), mode)
        return lambda: fn(x, y)

    def jax_call() -> Call:
        import jax
        import jax.numpy as jnp

        x, y = (jnp.asarray(a) for a in _arrays(n, "float32", 2))
        fn = jax.jit(lambda x, y: chain_of(jnp, x, y))
        return lambda: fn(x, y).block_until_ready()

    def numpy_call(_: str) -> Call:
        x, y = _arrays(n, "float32", 2)
        return lambda: chain_of(np, x, y)

    def numexpr_call(_: str) -> Call:
        import numexpr

        x, y = _arrays(n, "float32", 2)
        names = {"x": x, "y": y}
        return lambda: numexpr.evaluate("tanh(x*y+0.5*x)*exp(-y*y)+sqrt(abs(x)+1)", names)

    return {
        **torch_like(shared),
        **jax_build(jax_call),
        "numpy": numpy_call,
        "numexpr": numexpr_call,
        "numba": numba_loops.chain(lambda: _arrays(n, "float32", 2)),
    }


def _black_scholes(n: int) -> dict[str, Build]:
    def price(ns: Any, erf: Any, s: Any, k: Any, t: Any) -> Any:
        r, v = 0.02, 0.3
        root = ns.sqrt(t)
        d1 = (ns.log(s / k) + (r + 0.5 * v * v) * t) / (v * root)
        d2 = d1 - v * root
        cdf1, cdf2 = (
            0.5 + 0.5 * erf(d1 * 0.7071067811865476),
            0.5 + 0.5 * erf(d2 * 0.7071067811865476),
        )
        call = s * cdf1 - k * ns.exp(-r * t) * cdf2
        return call, call - s + k * ns.exp(-r * t)

    def data() -> list[Any]:
        return [RNG.uniform(10, 50, n), RNG.uniform(10, 50, n), RNG.uniform(0.5, 2, n)]

    def shared(ns: Any, mode: str) -> Call:
        args = [ns.from_numpy(a) for a in data()]
        fn = compiled(ns, lambda s, k, t: price(ns, ns.erf, s, k, t), mode)
        return lambda: fn(*args)

    def jax_call() -> Call:
        import jax
        import jax.numpy as jnp

        args = [jnp.asarray(a) for a in data()]
        fn = jax.jit(lambda s, k, t: price(jnp, jax.scipy.special.erf, s, k, t))
        return lambda: jax.block_until_ready(fn(*args))

    return {
        **torch_like(shared),
        **jax_build(jax_call),
        "numba": numba_loops.black_scholes(data),
    }


def _softmax_layer_norm(rows: int, columns: int) -> dict[str, Build]:
    def shared(ns: Any, mode: str) -> Call:
        x = ns.from_numpy(RNG.standard_normal((rows, columns)).astype("float32"))
        w, b = ns.ones(columns), ns.zeros(columns)
        F = ns.nn.functional
        fn = compiled(ns, lambda x: F.layer_norm(F.softmax(x, dim=-1), (columns,), w, b), mode)
        return lambda: fn(x)

    def jax_call() -> Call:
        import jax
        import jax.numpy as jnp

        x = jnp.asarray(RNG.standard_normal((rows, columns)).astype("float32"))
        w, b = jnp.ones(columns, "float32"), jnp.zeros(columns, "float32")

        def f(x: Any) -> Any:
            y = jax.nn.softmax(x, axis=-1)
            centred = y - y.mean(-1, keepdims=True)
            return (
                centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * w + b
            )

        fn = jax.jit(f)
        return lambda: fn(x).block_until_ready()

    return {**torch_like(shared), **jax_build(jax_call)}


def _stencil(n: int, steps: int) -> dict[str, Build]:
    def step(u: Any) -> Any:
        return u[1:-1, 1:-1] + 0.1 * (
            u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
        )

    def shared(ns: Any, mode: str) -> Call:
        start = RNG.standard_normal((n, n))

        def heat(u: Any) -> Any:
            u = u.clone()
            for _ in range(steps):
                u[1:-1, 1:-1] = step(u)
            return u

        u = ns.from_numpy(start)
        fn = compiled(ns, heat, mode)
        return lambda: fn(u)

    def jax_call() -> Call:
        import jax
        import jax.numpy as jnp

        u = jnp.asarray(RNG.standard_normal((n, n)))
        fn = jax.jit(
            lambda u: jax.lax.fori_loop(0, steps, lambda _, v: v.at[1:-1, 1:-1].set(step(v)), u)
        )
        return lambda: fn(u).block_until_ready()

    def numpy_call(_: str) -> Call:
        u = RNG.standard_normal((n, n))

        def heat() -> Any:
            v = u.copy()
            for _ in range(steps):
                v[1:-1, 1:-1] = step(v)
            return v

        return heat

    return {
        **torch_like(shared),
        **jax_build(jax_call),
        "numpy": numpy_call,
        "numba": numba_loops.heat(lambda: RNG.standard_normal((n, n)), steps),
    }


WORKLOADS = [
    Workload("elementwise chain, 1e3 float32", _chain(1000), 1.5, 2.5, nbytes=12e3),
    Workload("elementwise chain, 1e5 float32", _chain(100_000), 1.5, 3, nbytes=12e5),
    Workload("elementwise chain, 4e6 float32", _chain(4_000_000), 1.5, 2.5, nbytes=48e6),
    Workload("Black-Scholes, 4e6 float64", _black_scholes(4_000_000), 1.5, 2, nbytes=160e6),
    Workload(
        "softmax then layer norm, 2048 x 1024",
        _softmax_layer_norm(2048, 1024),
        1.5,
        2,
        nbytes=16.8e6,
    ),
    Workload(
        "heat stencil, 2048 x 2048 float64, 100 steps",
        _stencil(2048, 100),
        1.2,
        2,
        nbytes=6.7e9,
        quick=False,
    ),
]

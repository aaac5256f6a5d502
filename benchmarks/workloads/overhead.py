"""Call overhead: tiny ops, eager and compiled."""

from __future__ import annotations

from typing import Any

from ..spec import Build, Call, Workload, compiled, jax_build, torch_like


def _tiny(ns: Any, x: Any) -> Any:
    for _ in range(10):
        x = x * 0.99 + 0.01
    return x


def _tiny_ops() -> dict[str, Build]:
    def shared(ns: Any, mode: str) -> Call:
        x = ns.ones(10)
        fn = compiled(ns, lambda x: _tiny(ns, x), mode)
        return lambda: fn(x)

    def jax_call() -> Call:
        import jax
        import jax.numpy as jnp

        x = jnp.ones(10, "float32")
        fn = jax.jit(lambda x: _tiny(jnp, x))
        return lambda: fn(x).block_until_ready()

    return {**torch_like(shared), **jax_build(jax_call)}


def _eager(make: Any) -> dict[str, Build]:
    return {k: v for k, v in torch_like(make).items() if k in ("dualgraph-eager", "torch")}


def _add(ns: Any, mode: str) -> Call:
    x, y = ns.ones(10), ns.ones(10)
    return lambda: x + y


def _add_with_gradient(ns: Any, mode: str) -> Call:
    x, y = ns.ones(10, requires_grad=True), ns.ones(10)
    return lambda: x + y


def _square_backward(ns: Any, mode: str) -> Call:
    x = ns.ones(10, requires_grad=True)

    def call() -> None:
        x.grad = None
        (x * x).sum().backward()

    return call


WORKLOADS = [
    Workload("20 tiny ops on 10 numbers", _tiny_ops(), 2, 3),
    Workload("eager add of 10 numbers", _eager(_add), 1.0, 1.3, mine="dualgraph-eager"),
    Workload(
        "eager add with gradient", _eager(_add_with_gradient), 1.0, 1.3, mine="dualgraph-eager"
    ),
    Workload(
        "eager (x*x).sum() with backward",
        _eager(_square_backward),
        0.8,
        1.3,
        mine="dualgraph-eager",
    ),
]

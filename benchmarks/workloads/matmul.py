"""Square matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spec import Build, Call, Workload, compiled, jax_build, torch_like

RNG = np.random.default_rng(0)


def _matmul(n: int) -> dict[str, Build]:
    def arrays() -> list[Any]:
        return [RNG.standard_normal((n, n)).astype("float32") for _ in range(2)]

    def shared(ns: Any, mode: str) -> Call:
        x, y = (ns.from_numpy(a) for a in arrays())
        fn = compiled(ns, lambda x, y: x @ y, mode)
        return lambda: fn(x, y)

    def jax_call() -> Call:
        import jax
        import jax.numpy as jnp

        x, y = (jnp.asarray(a) for a in arrays())
        fn = jax.jit(lambda x, y: x @ y)
        return lambda: fn(x, y).block_until_ready()

    def numpy_call(_: str) -> Call:
        x, y = arrays()
        return lambda: x @ y

    return {**torch_like(shared), **jax_build(jax_call), "numpy": numpy_call}


WORKLOADS = [
    Workload(
        f"matmul float32, n = {n}", _matmul(n), 1.0, 1.3, flops=2.0 * n**3,
        against=("torch", "torch.compile", "jax") if n < 128 else ("numpy", "torch", "torch.compile", "jax"),
        quick=n <= 1024,
    )
    for n in (32, 64, 128, 256, 512, 1024, 2048)
]  # fmt: skip

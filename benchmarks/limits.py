"""Limits: what this machine can do at most - memory bandwidth and arithmetic - measured."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import numpy as np


def triad_bandwidth() -> float:
    """Bytes a second of ``a = b + s * c`` over arrays far larger than the caches (the STREAM triad), compiled."""
    import dualgraph as dg

    n = 16_000_000
    b, c = dg.ones(n), dg.ones(n)

    @dg.compile(wait=True)
    def triad(a: Any, b: Any, c: Any) -> None:
        a.copy_(b + 3.0 * c)

    a = dg.zeros(n)
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        triad(a, b, c)
        best = min(best, time.perf_counter() - began)
    return 3 * 4 * n / best


def peak_flops(dtype: str = "float32") -> float:
    """Operations a second of a large matrix product in the cache-friendliest size, best of ours and NumPy's."""
    import dualgraph as dg

    n = 1024
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, n)).astype(dtype) for _ in range(2))
    best = float("inf")
    for call in (lambda: x @ y, lambda: dg.asarray(x) @ dg.asarray(y)):
        for _ in range(8):
            began = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - began)
    return 2 * n**3 / best


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            model = next(
                (line.split(":")[1].strip() for line in f if line.startswith("model name")), model
            )
    except OSError:
        pass
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }

"""The elementwise workloads as loops for numba: parallel over rows, one pass over memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..spec import Build, Call


def _compiled(loop: Callable[..., None]) -> Any:
    import numba

    return numba.njit(parallel=True)(loop)


def chain(arrays: Callable[[], list[Any]]) -> Build:
    """``tanh(x*y + 0.5*x) * exp(-y*y) + sqrt(abs(x) + 1)`` in float32."""

    def build(_: str) -> Call:
        import numba
        import numpy as np

        half, one = np.float32(0.5), np.float32(1)

        def loop(x: Any, y: Any, out: Any) -> None:
            for i in numba.prange(x.size):
                a, b = x[i], y[i]
                out[i] = np.tanh(a * b + half * a) * np.exp(-b * b) + np.sqrt(np.abs(a) + one)

        fast, (x, y) = _compiled(loop), arrays()

        def call() -> Any:
            out = np.empty_like(x)
            fast(x, y, out)
            return out

        return call

    return build


def black_scholes(arrays: Callable[[], list[Any]]) -> Build:
    """Prices of calls and puts in float64."""

    def build(_: str) -> Call:
        import math

        import numba
        import numpy as np

        def loop(s: Any, k: Any, t: Any, call: Any, put: Any) -> None:
            r, v = 0.02, 0.3
            for i in numba.prange(s.size):
                root = math.sqrt(t[i])
                d1 = (math.log(s[i] / k[i]) + (r + 0.5 * v * v) * t[i]) / (v * root)
                d2 = d1 - v * root
                cdf1 = 0.5 + 0.5 * math.erf(d1 * 0.7071067811865476)
                cdf2 = 0.5 + 0.5 * math.erf(d2 * 0.7071067811865476)
                discounted = k[i] * math.exp(-r * t[i])
                call[i] = s[i] * cdf1 - discounted * cdf2
                put[i] = call[i] - s[i] + discounted

        fast, given = _compiled(loop), arrays()

        def run() -> Any:
            out = np.empty_like(given[0]), np.empty_like(given[0])
            fast(*given, *out)
            return out

        return run

    return build


def heat(grid: Callable[[], Any], steps: int) -> Build:
    """Steps of the five-point stencil, between two grids in turn."""

    def build(_: str) -> Call:
        import numba

        def loop(u: Any, v: Any) -> None:
            for i in numba.prange(1, u.shape[0] - 1):
                for j in range(1, u.shape[1] - 1):
                    around = u[i + 1, j] + u[i - 1, j] + u[i, j + 1] + u[i, j - 1]
                    v[i, j] = u[i, j] + 0.1 * (around - 4 * u[i, j])

        fast, start = _compiled(loop), grid()

        def call() -> Any:
            u, v = start.copy(), start.copy()
            for _ in range(steps):
                fast(u, v)
                u, v = v, u
            return u

        return call

    return build

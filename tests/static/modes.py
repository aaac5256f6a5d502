"""Modes side by side: one function run eagerly, by the interpreter and compiled, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dualgraph as dg
from dualgraph.core.trees import flatten
from dualgraph.static.graph import verify_types


def normal(*shape: int, seed: int = 0) -> dg.Tensor:
    return dg.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def bits(tree: Any) -> list[Any]:
    return [
        (x.shape, str(x.dtype), x.detach().numpy().tobytes())
        for x in flatten(tree)[0]
        if x is not None
    ]


def ops(graph: Any) -> list[str]:
    return [n.prim.name for n in graph.nodes]


def check_modes(fn: Callable[..., Any], *args: Any) -> Any:
    """The result of `fn`, which has the same bits eagerly, by the interpreter and compiled."""
    expected = fn(*args)
    graph = dg.capture(fn, *args)
    verify_types(graph)
    assert dg.parse(str(graph)) == graph
    for backend in ("native", "numpy"):
        compiled = dg.compile(fn, wait=True, backend=backend)
        compiled(*args)
        assert bits(compiled(*args)) == bits(expected)
        assert compiled.programs[0].calls == 1, compiled.explain()
        verify_types(compiled.programs[0].graph)
    found = dg.verify(fn, *args)
    assert found, str(found)
    return expected


def unrolled(f: Any, carry: Any, xs: Any, order: Any) -> tuple[Any, Any]:
    """What scan gives, as a loop in Python; `order` are the steps."""
    ys = {}
    for i in order:
        carry, ys[i] = f(carry, xs[i])
    return carry, dg.stack([ys[i] for i in sorted(ys)])

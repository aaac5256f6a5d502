"""Kernels that are compiled beside the calls of large single ops: the bits are those of the calls before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api as native
from dualgraph.core.prim import lookup

pytestmark = pytest.mark.skipif(not native.available(), reason="these kernels are native")


def op(name: str) -> Callable[..., Any]:
    """An elementwise op on its native path for arrays of any layout."""

    def call(*args: dg.Tensor) -> dg.Tensor:
        arrays = [a.numpy() for a in args]
        return dg.asarray(native.elementwise(lookup(name), arrays, (dg.float32,) * len(arrays), {}))

    return call


CASES: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "sum": (lambda x: x.sum(), ((517, 301),)),
    "sum, axes kept": (lambda x: x.sum((0, 1), keepdim=True), ((517, 301),)),
    "sum of one long axis": (lambda x: x.sum(1), ((1, 155617),)),
    "max": (lambda x: x.max(), ((155617,),)),
    "rows": (op("add"), ((211, 1003), (1003,))),
    "columns": (op("multiply"), ((211, 1003), (211, 1))),
    "rows and columns": (op("subtract"), ((1, 1003), (211, 1))),
}


@pytest.mark.parametrize("name", CASES)
def test_kernels_compiled_beside_calls_keep_the_bits(name: str) -> None:
    from dualgraph.backends.native import beside
    from dualgraph.backends.native.aside import aside

    fn, shapes = CASES[name]
    args = [
        dg.tensor(np.random.default_rng(i).standard_normal(s).astype("float32"))
        for i, s in enumerate(shapes)
    ]
    before = dg.get_num_threads()
    try:
        dg.set_num_threads(1)
        expected = fn(*args).numpy()
        beside._kernels.clear()
        dg.set_num_threads(3)
        first = fn(*args).numpy()
        done = threading.Event()
        aside(done.set)
        assert done.wait(60)
        assert beside._kernels and all(beside._kernels.values())
        later = fn(*args).numpy()
    finally:
        dg.set_num_threads(before)
    for out in (first, later):
        assert out.shape == expected.shape and out.tobytes() == expected.tobytes()

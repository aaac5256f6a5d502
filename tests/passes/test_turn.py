"""Turned products: computed in the order in which they are read, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.passes.dce import dce
from dualgraph.passes.turn import turn
from dualgraph.static.graph import Graph, verify_types
from dualgraph.static.text import parse

UPDATE = """graph(%0: f32[7,5], %1: f32[7,3], %2: f32[3,5]) {
  %3: f32[5,7] = permute(%0, axes=(1, 0))
  %4: f32[5,3] = matmul(%3, %1)
  %5: f32[3,5] = permute(%4, axes=(1, 0))
  %6: f32[3,5] = subtract(%2, %5)
  return %6
}"""


def turned(graph: Graph) -> Graph:
    return dce(turn(graph, lambda node: True))


def test_an_update_with_exchanged_axes_gives_the_golden_text(golden: Callable[..., None]) -> None:
    before = parse(UPDATE)
    after = turned(before)
    verify_types(after)
    golden("turn", before, after)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return %6", "return %6, %4"),  # the product leaves
        ("return %6", "return %6, %5"),  # its strides show
        ("= subtract(%2, %5)", "= matmul(%2, %3)"),  # nobody reads it
        ("%6: f32[3,5] = subtract(%2, %5)", "%6: f32[3,3] = matmul(%5, %4)"),  # read by products alone
        ("axes=(1, 0))\n  %6", "axes=(0, 1))\n  %6"),
    ],
)  # fmt: skip
def test_others_are_left(old: str, new: str) -> None:
    text = UPDATE.replace(old, new)
    assert text != UPDATE
    if "axes=(0, 1)" in text:
        text = text.replace("%5: f32[3,5]", "%5: f32[5,3]").replace(
            "f32[3,5] = sub", "f32[5,3] = sub"
        )
        text = text.replace("%2: f32[3,5]", "%2: f32[5,3]")
    if "matmul(%2" in text:
        text = text.replace("%6: f32[3,5]", "%6: f32[3,7]")
    graph = parse(text)
    assert str(turn(graph, lambda node: True)) == str(graph)


def test_only_lawful_contractions_are_turned() -> None:
    graph = parse(UPDATE)
    assert str(turn(graph, lambda node: False)) == str(graph)


def test_batches_are_turned() -> None:
    graph = parse(
        """graph(%0: f32[4,5,7], %1: f32[7,3]) {
  %2: f32[4,5,3] = matmul(%0, %1)
  %3: f32[4,3,5] = permute(%2, axes=(0, 2, 1))
  %4: f32[4,3,5] = exp(%3)
  return %4
}"""
    )
    after = turned(graph)
    verify_types(after)
    assert after.nodes[-2].prim.name == "matmul"
    rng = np.random.default_rng(0)
    given = [rng.standard_normal(t.shape).astype("float32") for t in graph.in_types]
    if api.available():
        (a,), (b,) = graph.run(*given), after.run(*given)
        assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.skipif(not api.available(), reason="no native code")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch", "inner", "outer"), [(33, 70, 50), (64, 20, 10), (5, 300, 257)])
def test_a_weight_is_updated_as_its_gradient_is_made(
    dtype: str, batch: int, inner: int, outer: int
) -> None:
    """One kernel writes the gradient and the weight, which stays in its memory; nothing else holds a copy."""

    def start() -> Any:
        dg.manual_seed(0)
        layer = dg.nn.Linear(inner, outer, dtype=getattr(dg, dtype))
        optimizer = dg.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        x = dg.randn(batch, inner, dtype=getattr(dg, dtype))

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (layer(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return layer, x, step

    layer, x, step = start()
    compiled = dg.compile(step, wait=True)
    other, x2, eager = start()
    for _ in range(4):
        assert compiled(x).numpy().tobytes() == eager(x2).numpy().tobytes()
        for p, q in zip(layer.parameters(), other.parameters(), strict=True):
            assert p.detach().numpy().tobytes() == q.detach().numpy().tobytes()
            assert p.grad.numpy().tobytes() == q.grad.numpy().tobytes()
            assert p.grad.numpy().strides == q.grad.numpy().strides
    program = compiled.programs[-1]
    weight = layer.weight.shape
    kept = [
        b for b in program._executable.plan.temporaries if b.type.shape in (weight, weight[::-1])
    ]
    assert not kept

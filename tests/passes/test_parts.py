"""Parts: what is taken apart and put together again is done part by part, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api as native
from dualgraph.passes.dce import dce
from dualgraph.passes.own import own_results
from dualgraph.passes.parts import join_parts, split_wholes
from dualgraph.passes.trim import trim
from dualgraph.static.graph import Graph, verify_types
from dualgraph.static.text import parse

SUM = """graph(%0: f32[2,2], %1: f32[2,3], %2: f32[2,1]) {
  %3: f32[2,6] = unslice(%0, shape=(2, 6), starts=(0, 4), stops=(2, 6), steps=(1, 1))
  %4: f32[2,6] = unslice(%1, shape=(2, 6), starts=(0, 0), stops=(2, 3), steps=(1, 1))
  %5: f32[2,6] = add(%3, %4)
  %6: f32[2,6] = pad(%2, widths=((0, 0), (3, 2)), value=0.0)
  %7: f32[2,6] = add(%6, %5)
  %8: f32[2,6] = exp(%7)
  return %8
}"""
SPLIT = """graph(%0: f32[3,8], %1: f32[8], %2: f32[3,1]) {
  %3: f32[3,8] = add(%0, %1)
  %4: f32[3,8] = multiply(%3, %2)
  %5: f32[3,8] = maximum(%4, 0.5:f32)
  %6: f32[3,4] = slice(%5, starts=(0, 0), stops=(3, 4), steps=(1, 1))
  %7: f32[3,4] = slice(%5, starts=(0, 4), stops=(3, 8), steps=(1, 1))
  %8: f32[3,4] = sigmoid(%6)
  %9: f32[3,4] = multiply(%8, %7)
  return %9
}"""
CASES = {
    "join_parts": (lambda g: dce(join_parts(g)), SUM),
    "split_wholes": (lambda g: dce(split_wholes(g)), SPLIT),
}


def arrays(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(t.shape).astype(t.dtype.numpy) for t in graph.in_types]
    for v in values:
        v.flat[0] = -0.0
    return values


@pytest.mark.parametrize("name", CASES)
def test_passes_over_parts_give_the_golden_text(name: str, golden: Callable[..., None]) -> None:
    apply, text = CASES[name]
    before = parse(text)
    after = apply(before)
    verify_types(after)
    golden(name, before, after)
    given = arrays(before)
    for a, b in zip(before.run(*given), after.run(*given), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize(
    ("old", "new", "joined"),
    [
        ("starts=(0, 0), stops=(2, 3)", "starts=(0, 2), stops=(2, 5)", ()),  # overlaps
        ("value=0.0", "value=1.0", ("%5",)),  # the sum of the other two, with a gap
        ("value=0.0", "value=-0.0", ("%5",)),
        ("return %8", "return %8, %5", ("%5",)),  # read twice
        ("= add(%3, %4)", "= subtract(%3, %4)", ()),
    ],
)
def test_other_sums_are_left(old: str, new: str, joined: tuple[str, ...]) -> None:
    text = SUM.replace(old, new)
    assert text != SUM
    graph = join_parts(parse(text))
    found = [str(n.outputs[0]) for n in graph.nodes if n.prim.name == "concat_along"]
    assert tuple(found) == joined


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("starts=(0, 4)", "starts=(0, 3)"),  # overlap; the type no longer fits either
        ("return %9", "return %9, %5"),
        ("%8: f32[3,4] = sigmoid(%6)", "%8: f32[3,4] = cumsum_along(%6, axis=1)"),
    ],
)
def test_wholes_that_are_needed_as_such_are_left(old: str, new: str) -> None:
    text = SPLIT.replace(old, new)
    if "3, 8), steps" in text and old.startswith("starts"):
        text = text.replace("stops=(3, 8)", "stops=(3, 7)")
    graph = parse(text)
    assert split_wholes(graph) == graph


def test_signs_of_zeros_are_those_of_the_sum() -> None:
    graph = parse(SUM.replace("%8: f32[2,6] = exp(%7)\n  return %8", "return %7"))
    given = [np.full(t.shape, -0.0, np.float32) for t in graph.in_types]
    (want,), (got,) = graph.run(*given), dce(join_parts(graph)).run(*given)
    assert not np.signbit(want.numpy()).any()
    assert want.numpy().tobytes() == got.numpy().tobytes()


def test_gradients_of_one_slice_that_is_read_twice() -> None:
    def loss(x: Any) -> Any:
        return (x[:2].exp() * x[:2].sin()).sum()

    graph = dg.capture(dg.grad(loss), dg.ones(4))
    assert join_parts(graph) == graph
    step = dg.compile(dg.grad(loss), wait=True)
    step(dg.ones(4))
    assert step.programs[0].failure is None


def test_a_result_that_a_loop_gives_twice_is_made_once() -> None:
    def twice(c: Any, x: Any) -> Any:
        y = c * x
        return c + x, (y, y)

    def run(xs: Any) -> Any:
        c, (a, b) = dg.scan(twice, xs[0], xs)
        return c, a + 1, dg.exp(b)

    graph = trim(dg.capture(run, dg.randn(4, 3)))
    (loop,) = [n for n in graph.nodes if n.prim.name == "scan"]
    assert len(loop.outputs) == 2
    verify_types(graph)


def test_results_of_a_body_are_made_by_nodes_of_their_own() -> None:
    body = parse("graph(%0: f32[3]) {\n  %1: f32[3] = exp(%0)\n  return %1, %0, %1\n}")
    after = own_results(body)
    assert len(set(after.outputs)) == 3
    assert not set(after.outputs) & set(after.inputs)
    assert own_results(after) == after


def test_the_gradient_of_gates_is_put_together() -> None:
    def loss(x: Any) -> Any:
        i, f, g = dg.tanh(x).chunk(3, -1)
        return (i.sigmoid() * f + g).square().sum()

    x = dg.randn(5, 12)
    assert dg.compare(dg.grad(loss), x).bitwise_equal
    text = str(dce(join_parts(dg.capture(dg.grad(loss), x))))
    assert "unslice" not in text
    assert "concat_along" in text


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("T", [1, 7])
def test_recurrent_steps_keep_their_bits(kind: str, T: int) -> None:
    dg.manual_seed(3)
    model, x = getattr(dg.nn, kind)(6, 10, bidirectional=True), dg.randn(T, 4, 6)

    def step(x: Any) -> Any:
        model.zero_grad()
        out, _ = model(x)
        out.square().sum().backward()
        return [out.detach(), *[p.grad for p in model.parameters()]]

    assert dg.compare(step, x).bitwise_equal


def test_a_loop_written_out_keeps_its_bits() -> None:
    dg.manual_seed(4)
    cell, xs = dg.nn.LSTMCell(6, 10), dg.randn(9, 4, 6)

    def step(xs: Any) -> Any:
        cell.zero_grad()
        state, outs = None, []
        for t in range(xs.shape[0]):
            state = cell(xs[t], state)
            outs.append(state[0])
        dg.stack(outs).square().sum().backward()
        return [p.grad for p in cell.parameters()]

    assert dg.compare(step, xs).bitwise_equal


def test_many_turned_arrays_are_added_up_as_they_lie() -> None:
    def run(w: Any, *xs: Any) -> Any:
        total = xs[0].T
        for x in xs[1:]:
            total = total + x.T
        return w - 0.1 * total

    w, *xs = dg.randn(48, 64), *(dg.randn(64, 48) for _ in range(6))
    assert dg.compare(run, w, *xs).bitwise_equal
    compiled = dg.compile(run, wait=True)
    compiled(w, *xs)
    groups = [n for n in compiled.programs[0].graph.nodes if n.prim.name == "fused"]
    if native.available():
        assert len(groups) == 2  # the sum, and what is done with it turned
        assert groups[0].outputs[0].type.shape == (64, 48)

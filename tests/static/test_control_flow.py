"""Control flow: eager, graph and compiled runs of conditions and loops agree to the bit, gradients too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.static.modes import bits, check_modes, normal, ops, unrolled

# --- scan --------------------------------------------------------------------------------------

W, U = normal(4, 4, seed=1), normal(3, 4, seed=2)
H0, XS = normal(5, 4, seed=3), normal(7, 5, 3, seed=4)


def cell(h: Any, x: Any) -> tuple[Any, Any]:
    h = dg.tanh(h @ W + x @ U)
    return h, h.sum()


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_is_the_loop(reverse: bool) -> None:
    found = check_modes(lambda h, xs: dg.scan(cell, h, xs, reverse=reverse), H0, XS)
    order = range(6, -1, -1) if reverse else range(7)
    assert bits(found) == bits(unrolled(cell, H0, XS, order))


def test_a_long_scan_is_one_node() -> None:
    graph = dg.capture(lambda h, xs: dg.scan(cell, h, xs), H0, normal(1000, 5, 3))
    assert ops(graph) == ["scan"]
    assert graph.nodes[0].params["length"] == 1000
    assert len(graph.inputs) == 4  # W and U became operands


def test_scan_takes_trees_and_none() -> None:
    def step(carry: Any, x: Any) -> Any:
        carry = {"n": carry["n"] + 1, "sum": (carry["sum"][0] + x[0] * x[1]["b"],)}
        return carry, (carry["n"], [carry["sum"][0]])

    def run(a: Any, b: Any) -> Any:
        return dg.scan(step, {"n": 0, "sum": (dg.zeros(3),)}, (a, {"b": b}))

    carry, (counts, (sums,)) = check_modes(run, normal(4, 3), normal(4, 3, seed=5))
    assert carry["n"].item() == 4 and counts.tolist() == [1, 2, 3, 4] and sums.shape == (4, 3)
    last, ys = check_modes(lambda x: dg.scan(lambda c, _: (c * 2, None), x, length=5), normal(2))
    assert ys is None and last.shape == (2,)


def test_scan_gives_memory_of_its_own() -> None:
    def run(x: Any, xs: Any) -> Any:
        last, ys = dg.scan(lambda c, row: (row, (c, c)), x, xs)
        return last, ys

    x, xs = normal(3), normal(4, 3)
    last, (a, b) = check_modes(run, x, xs)
    before = bits((x, xs, b))
    last += 1
    a += 1
    assert bits((x, xs, b)) == before


def test_swapped_carries_are_not_overwritten() -> None:
    def run(a: Any, b: Any) -> Any:
        return dg.scan(lambda c, _: ((c[1], c[0] + 1), c[0]), (a, b), length=5)

    check_modes(run, normal(3), normal(3, seed=1))


def test_transposed_carries_and_inputs() -> None:
    def run(a: Any, xs: Any) -> Any:
        return dg.scan(
            lambda c, x: ((c @ x).T, (c @ x).sum(axis=0)), a.T, dg.permute_dims(xs, (1, 0, 2))
        )

    check_modes(run, normal(4, 4), normal(4, 6, 4))


def test_a_scan_of_no_steps() -> None:
    last, ys = check_modes(lambda h, xs: dg.scan(cell, h, xs), H0, normal(0, 5, 3))
    assert bits(last) == bits(H0) and ys.shape == (0,)
    assert dg.grad(lambda h: dg.scan(cell, h, normal(0, 5, 3))[0].sum())(H0).numpy().all()


def test_map_is_a_loop() -> None:
    found = check_modes(lambda xs: dg.map(lambda x: (x @ U).sum(), xs), XS)
    assert bits(found) == bits(dg.stack([(x @ U).sum() for x in XS]))


def test_scan_under_other_dtypes() -> None:
    for dtype in (dg.float64, dg.float16, dg.bfloat16, dg.int32, dg.complex64):
        xs = dg.astype(dg.asarray([1.0, 2.0, 3.0]), dtype)
        check_modes(lambda xs: dg.scan(lambda c, x: (c + x, c * x), xs[0], xs), xs)


# --- cond --------------------------------------------------------------------------------------


def test_only_the_branch_that_is_chosen_runs_in_eager_mode() -> None:
    ran = []

    def branch(name: str) -> Any:
        def run(x: Any) -> Any:
            ran.append(name)
            return x + 1

        return run

    with dg.no_grad():
        dg.cond(dg.asarray(True), branch("yes"), branch("no"), dg.ones(2))
    dg.cond(dg.asarray(False), branch("yes"), branch("no"), dg.ones(2))
    assert ran == ["yes", "no"]


def absolute(x: Any) -> Any:
    return dg.cond(
        x.sum() > 0, lambda x: {"y": x * W[0], "z": x}, lambda x: {"y": -x, "z": x + U[0]}, x
    )


def test_one_program_serves_both_branches() -> None:
    graph = dg.capture(absolute, dg.ones(4))
    assert ops(graph).count("cond") == 1
    compiled = dg.compile(absolute, wait=True)
    for x in (dg.ones(4), dg.ones(4), -dg.ones(4), dg.ones(4)):
        assert bits(compiled(x)) == bits(absolute(x))
    assert len(compiled.programs) == 1 and compiled.programs[0].calls == 3
    for x in (dg.ones(4), -dg.ones(4)):
        check_modes(absolute, x)


def test_gradients_of_cond() -> None:
    def loss(x: Any, w: Any) -> Any:
        y = dg.cond(x.sum() > 0, lambda x: dg.sin(x) * w, lambda x: x * x, x)
        return (y * y * w).sum()

    def plain(x: Any, w: Any) -> Any:
        y = dg.sin(x) * w if x.sum() > 0 else x * x
        return (y * y * w).sum()

    for x in (normal(4).abs(), -normal(4).abs()):
        w = normal(4, seed=3)
        for found, expected in zip(
            check_modes(dg.grad(loss, (0, 1)), x, w), dg.grad(plain, (0, 1))(x, w), strict=True
        ):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
        second = check_modes(dg.grad(lambda x, w: (dg.grad(loss)(x, w) ** 2).sum(), (0, 1)), x, w)
        expected = dg.grad(lambda x, w: (dg.grad(plain)(x, w) ** 2).sum(), (0, 1))(x, w)
        np.testing.assert_allclose(second[0].numpy(), expected[0].numpy(), rtol=1e-5)


def test_a_python_predicate_chooses_at_once() -> None:
    graph = dg.capture(lambda x: dg.cond(True, lambda x: x + 1, lambda x: x - 1, x), dg.ones(2))
    assert ops(graph) == ["add"]


# --- while -------------------------------------------------------------------------------------


def newton(a: Any, **bound: Any) -> Any:
    """The square root, as well as float32 can tell."""

    def unsettled(state: Any) -> Any:
        x, before = state
        return dg.abs(x - before).max() > 1e-6 * a.max()

    def step(state: Any) -> Any:
        x, _ = state
        return 0.5 * (x + a / x), x

    return dg.while_loop(unsettled, step, (a * 1.0, dg.zeros_like(a)), **bound)[0]


@pytest.mark.parametrize("bound", [{}, {"max_steps": 40}, {"max_steps": 3}, {"max_steps": 0}])
def test_while_loops_for_as_long_as_it_takes(bound: Any) -> None:
    compiled = dg.compile(lambda a: newton(a, **bound), wait=True)
    for a in (dg.asarray([2.0, 3.0]), dg.asarray([2.0, 3.0]), dg.asarray([1e6, 1e-3])):
        found = check_modes(lambda a: newton(a, **bound), a)
        assert bits(compiled(a)) == bits(found)
    assert len(compiled.programs) == 1
    if bound.get("max_steps", 40) == 40:
        np.testing.assert_allclose(
            newton(dg.asarray([2.0, 3.0]), **bound).numpy(), np.sqrt([2, 3]), rtol=1e-6
        )


def test_gradients_of_a_bounded_while() -> None:
    slope = check_modes(dg.grad(lambda a: newton(a, max_steps=30).sum()), dg.asarray([2.0, 3.0]))
    np.testing.assert_allclose(slope.numpy(), 0.5 / np.sqrt([2, 3]), rtol=1e-5)
    unbounded = dg.grad(lambda a: newton(a).sum())(dg.asarray([2.0, 3.0]))
    np.testing.assert_allclose(slope.numpy(), unbounded.numpy(), rtol=1e-6)


def test_second_derivatives_of_a_bounded_while() -> None:
    def power(x: Any) -> Any:
        out = dg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x), max_steps=8)
        return out[1]

    assert power(dg.asarray(2.0)).item() == 16.0
    for k, expected in enumerate([32.0, 48.0, 48.0]):
        f = power
        for _ in range(k + 1):
            f = dg.grad(f)
        assert check_modes(f, dg.asarray(2.0)).item() == expected


def test_an_unbounded_captured_while_has_no_gradient() -> None:
    assert dg.grad(lambda a: newton(a).sum())(dg.asarray([2.0])).shape == (1,)
    with pytest.raises(dg.AutogradError, match="max_steps"):
        dg.capture(dg.grad(lambda a: newton(a).sum()), dg.asarray([2.0]))


# --- nests -------------------------------------------------------------------------------------


def nest(x: Any) -> Any:
    def inner(c: Any, y: Any) -> Any:
        c = dg.cond(c.sum() > 1, lambda c: c * W[0], lambda c: c + y, c)
        c = dg.while_loop(lambda c: dg.abs(c).max() > 2, lambda c: c / 2, c, max_steps=10)
        return c, c.sum()

    def outer(c: Any, _: Any) -> Any:
        c, ys = dg.scan(inner, c, x)
        return dg.tanh(c), ys

    return dg.scan(outer, x[0], length=3)


def test_control_flow_nests() -> None:
    x = normal(5, 4)
    check_modes(nest, x)
    assert ops(dg.capture(nest, x)) == ["slice", "reshape", "scan"]
    check_modes(dg.grad(lambda x: nest(x)[1].sum()), x)


def test_a_forward_program_saves_no_carries() -> None:
    w = normal(4, 4).requires_grad_()

    def forward(h: Any) -> Any:
        last, _ = dg.scan(lambda h, x: (dg.tanh(h @ w), (h.sum(), h.max())), h, XS)
        return dg.while_loop(lambda h: h.max() > 0.1, lambda h: h * w[0] / 2, last, max_steps=5)

    check_modes(forward, H0)
    compiled = dg.compile(forward, wait=True)
    compiled(H0)
    saves = [n.params["saves"] for n in compiled.programs[0].captured.nodes if "saves" in n.params]
    left = [n for n in compiled.programs[0].graph.nodes if "saves" in n.params]
    assert saves == [True, True] and [n.params["saves"] for n in left] == [False, False]
    assert [len(n.outputs) for n in left] == [1, 1]


def test_results_may_be_written_in_place_before_the_gradient() -> None:
    x = dg.ones(2).requires_grad_()
    y, _ = dg.scan(lambda c, _: (c * c, None), x, length=3)
    y += 1
    z = dg.while_loop(lambda c: c.max() < 50, lambda c: c * c, y, max_steps=9)
    z *= 2
    dg.cond(z.sum() > 0, lambda z: z * 3, lambda z: z, z).sum().backward()
    assert x.grad.tolist() == [2 * 3 * 8.0 * 8 * 2**7] * 2


def test_threads_may_run_one_compiled_loop() -> None:
    compiled = dg.compile(
        lambda xs: dg.scan(lambda c, x: (dg.tanh(c @ x), c.sum()), dg.ones(8, 8), xs)[1], wait=True
    )
    xs = normal(50, 8, 8)
    expected = bits(compiled(xs))
    wrong: list[int] = []

    def run() -> None:
        wrong.extend(i for i in range(30) if bits(compiled(xs)) != expected)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# --- state -------------------------------------------------------------------------------------


def check_random(fn: Callable[..., Any], *args: Any) -> None:
    """Eager and compiled calls draw the same numbers, one call after the other."""
    compiled = dg.compile(fn, wait=True)
    runs = []
    for f in (fn, compiled):
        dg.manual_seed(3)
        runs.append([bits(f(*args)) for _ in range(3)] + [bits(dg.get_rng_state())])
    assert runs[0] == runs[1] and runs[0][0] != runs[0][1]
    assert compiled.programs[0].calls == 2, compiled.explain()


def noisy(x: Any) -> Any:
    def step(h: Any, _: Any) -> Any:
        h = dg.nn.functional.dropout(h, 0.5) * h
        h = dg.cond(h.sum() > 1, lambda h: h * dg.rand(4), lambda h: h + 1, h)
        h = dg.while_loop(lambda h: h.max() > 1, lambda h: h * dg.rand(4), h, max_steps=9)
        return h, dg.rand(2).sum()

    return dg.scan(step, x, length=4)


def test_random_numbers_inside_of_loops_and_branches() -> None:
    check_random(noisy, dg.ones(4))
    check_random(dg.grad(lambda x: sum(y.sum() for y in noisy(x))), dg.ones(4))

    def loop(x: Any) -> Any:
        for _ in range(5):
            x = dg.nn.functional.dropout(x, 0.5) * x
        return x.sum()

    def scan(x: Any) -> Any:
        return dg.scan(lambda c, _: (dg.nn.functional.dropout(c, 0.5) * c, None), x, length=5)[
            0
        ].sum()

    found = []
    for f in (loop, scan):
        dg.manual_seed(1)
        found.append(dg.grad(f)(dg.ones(4)))
    assert bits(found[0]) == bits(found[1])


def test_a_counter_from_outside_is_carried_and_stored() -> None:
    count = dg.tensor(0)

    def run(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            count.add_(1)
            return c + count, None

        return dg.scan(step, x, length=4)[0]

    compiled = dg.compile(run, wait=True)
    assert [f(dg.zeros(())).item() for f in (run, compiled, compiled)] == [10, 26, 42]
    assert count.item() == 12 and compiled.programs[0].calls == 1


@pytest.mark.parametrize("pred", [True, False])
def test_a_condition_wants_gradients_if_one_of_its_branches_does(pred: bool) -> None:
    w = dg.tensor([1.0, 2.0], requires_grad=True)

    def either(p: Any, x: Any) -> Any:
        return dg.cond(p, lambda z: z * w, lambda z: z * 2, x)

    def neither(p: Any, x: Any) -> Any:
        def stopped(z: Any) -> Any:
            with dg.no_grad():
                return z * w

        return dg.cond(p, stopped, lambda z: z * w.detach(), x)

    for f, wanted in ((either, True), (neither, False)):
        compiled = dg.compile(f, wait=True)
        for g in (f, compiled, compiled):
            assert g(dg.asarray(pred), dg.ones(2)).requires_grad is wanted


def test_a_loop_is_on_the_tape_only_for_what_it_takes_gradients_to() -> None:
    w = dg.tensor([1.0, 2.0], requires_grad=True)

    def f(x: Any) -> Any:
        def step(c: Any, z: Any) -> Any:
            with dg.no_grad():
                s = (w * z).sum()
            return c * 0.5 + s, c

        return dg.scan(step, x, dg.stack([x, x]))

    compiled = dg.compile(f, wait=True)
    for g in (f, compiled, compiled):
        assert not any(t.requires_grad for t in g(dg.ones(2)))

"""Gradients of scan: those of the unrolled loop, of any order, with the same bits in each mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.static.modes import bits, check_modes, normal, ops, unrolled

W, U = normal(4, 4, seed=1), normal(3, 4, seed=2)
H0, XS = normal(5, 4, seed=3), normal(7, 5, 3, seed=4)


def rnn_loss(h: Any, xs: Any, w: Any, u: Any, scan: Any = dg.scan) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = dg.tanh(h @ w + x @ u)
        return h, (h * h).sum() + (w * w).sum()

    last, ys = scan(step, h, xs)
    return (last * last).sum() + ys.sum() + (w * 3).sum()


def test_gradients_of_scan_are_those_of_the_loop() -> None:
    def loop(h: Any, xs: Any, w: Any, u: Any) -> Any:
        return rnn_loss(h, xs, w, u, lambda f, c, xs: unrolled(f, c, xs, range(7)))

    found = check_modes(dg.grad(rnn_loss, (0, 1, 2, 3)), H0, XS, W, U)
    expected = dg.grad(loop, (0, 1, 2, 3))(H0, XS, W, U)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-5)


def test_a_constant_is_summed_in_the_order_of_the_loop() -> None:
    def loss(w: Any, scan: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            return dg.tanh(h @ w) + dg.sin(x @ U @ w), None

        return scan(step, H0, XS)[0].sum()

    def loop(f: Any, c: Any, xs: Any) -> Any:
        for x in xs:
            c, _ = f(c, x)
        return c, None

    found = dg.grad(lambda w: loss(w, dg.scan))(W)
    assert np.array_equal(found.numpy(), dg.grad(lambda w: loss(w, loop))(W).numpy())


def test_second_derivatives_of_scan() -> None:
    def f(x: Any) -> Any:
        last, ys = dg.scan(lambda c, y: (dg.sin(c * x) + y, c * c), x, dg.asarray([0.1, 0.2, 0.3]))
        return last + ys.sum()

    def loop(x: Any) -> Any:
        c, total = x, 0.0
        for y in (0.1, 0.2, 0.3):
            total = total + c * c
            c = dg.sin(c * x) + y
        return c + total

    for order in (dg.grad(dg.grad(f)), dg.grad(dg.grad(dg.grad(f)))):
        check_modes(order, dg.asarray(0.7))
    assert dg.grad(dg.grad(f))(0.7).item() == pytest.approx(
        dg.grad(dg.grad(loop))(0.7).item(), rel=1e-5
    )
    third = dg.grad(dg.grad(dg.grad(f)))(0.7).item()
    assert third == pytest.approx(dg.grad(dg.grad(dg.grad(loop)))(0.7).item(), rel=1e-4)
    _, tangent = dg.jvp(f, (0.7,), (1.0,))
    assert tangent.item() == pytest.approx(dg.grad(f)(0.7).item(), rel=1e-5)


class Lstm(dg.nn.Module):
    """An LSTM over (T, B, inputs), written with scan."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gates = dg.nn.Linear(inputs + hidden, 4 * hidden)
        self.out = dg.nn.Linear(hidden, 1)
        self.hidden = hidden

    def step(self, state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = dg.split(self.gates(dg.concat([x, h], axis=1)), self.hidden, 1)
        c = dg.sigmoid(f) * c + dg.sigmoid(i) * dg.tanh(g)
        h = dg.sigmoid(o) * dg.tanh(c)
        return (h, c), h

    def forward(self, xs: Any) -> Any:
        zero = dg.zeros(xs.shape[1], self.hidden)
        (h, _), _ = dg.scan(self.step, (zero, zero), xs)
        return self.out(h)


def lstm_step() -> tuple[Any, Any]:
    dg.manual_seed(0)
    model = Lstm(3, 8)
    optimizer = dg.optim.Adam(model.parameters(), lr=0.02)

    def step(xs: Any, target: Any) -> Any:
        optimizer.zero_grad()
        loss = ((model(xs) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def test_an_lstm_trains_as_one_program_with_the_bits_of_eager_mode() -> None:
    xs, target = normal(9, 4, 3), normal(4, 1, seed=9)
    eager_model, eager = lstm_step()
    model, step = lstm_step()
    compiled = dg.compile(step, wait=True)
    losses = []
    for _ in range(12):
        a, b = eager(xs, target), compiled(xs, target)
        assert bits(a) == bits(b)
        losses.append(a.item())
    assert bits(list(model.parameters())) == bits(list(eager_model.parameters()))
    assert losses[-1] < losses[0]
    program = compiled.programs[-1]
    assert program.calls >= 8, compiled.explain()
    assert (
        ops(program.captured).count("scan")
        + sum(
            ops(n.params["body"]).count("scan")
            for n in program.captured.nodes
            if n.prim.name == "composite"
        )
        == 2
    )


def test_a_loop_of_gradient_steps_and_the_gradient_through_it() -> None:
    x = normal(20, 3)
    y = x @ dg.asarray([1.0, 2.0, -1.0])

    def loss(w: Any) -> Any:
        return ((x @ w - y) ** 2).mean()

    def train(w: Any) -> Any:
        return dg.scan(lambda w, _: (w - 0.1 * dg.grad(loss)(w), loss(w)), w, length=60)

    w, _ = check_modes(train, dg.zeros(3))
    np.testing.assert_allclose(w.numpy(), [1.0, 2.0, -1.0], atol=0.02)
    check_modes(dg.grad(lambda w: train(w)[1].sum()), dg.ones(3))


def test_a_checkpointed_body_and_a_checkpointed_loop() -> None:
    w = normal(4, 4, seed=5)

    def step(h: Any, x: Any) -> Any:
        return dg.tanh(h @ w + x), h.sum()

    def loss(f: Any) -> Any:
        return lambda x: dg.scan(f, x[0], x)[1].sum()

    plain = dg.grad(loss(step))(w)
    for fn in (loss(dg.checkpoint(step)), dg.checkpoint(loss(step))):
        assert bits(check_modes(dg.grad(fn), w)) == bits(plain)


def test_gradients_taken_after_a_compiled_call() -> None:
    w = normal(4, 4, seed=5).requires_grad_()

    def forward(x: Any) -> Any:
        return dg.scan(lambda h, r: (dg.tanh(h @ w + r), h.sum()), x[0], x)[1].sum()

    x = normal(6, 4)
    forward(x).backward()
    expected, w.grad = w.grad, None
    compiled = dg.compile(forward, wait=True)
    compiled(x)
    compiled(x).backward()
    assert compiled.programs[0].calls == 1 and bits(w.grad) == bits(expected)


# --- products with a constant --------------------------------------------------------------------

WIDE, TALL = normal(48, 40, seed=11) * 0.1, normal(40, 48, seed=12) * 0.1
ROWS, STEPS = normal(3, 40, seed=13), normal(6, 3, 48, seed=14)


def both_ways(loss: Any, *args: Any) -> None:
    """Gradients through scan have the same bits in each mode, and are close to those of the unrolled loop."""
    places = tuple(range(len(args)))
    found = check_modes(dg.grad(lambda *a: loss(dg.scan, *a), places), *args)

    def loop(f: Any, c: Any, xs: Any) -> Any:
        return unrolled(f, c, xs, range(len(xs)))

    expected = dg.grad(lambda *a: loss(loop, *a), places)(*args)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-4, atol=1e-5)


def test_a_matrix_that_steps_multiply_by_gets_its_gradient_from_one_product() -> None:
    def loss(scan: Any, h: Any, xs: Any, w: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = dg.tanh(x @ w + h * 0.5)
            return h, h

        last, ys = scan(step, h, xs)
        return (last * last).sum() + (ys * ys).sum()

    both_ways(loss, ROWS, STEPS, WIDE)
    graph = dg.capture(dg.grad(lambda w: loss(dg.scan, ROWS, STEPS, w)), WIDE)
    back = [n for n in graph.nodes if n.prim.name == "scan"][-1]
    assert not any(v.type.shape == WIDE.shape for v in back.outputs), "no sums from step to step"
    assert not any(
        n.prim.name == "matmul" and n.outputs[0].type.shape == (3, 40)
        for n in back.params["body"].nodes
    ), "what the step forward computed is kept"


def test_a_matrix_used_twice_turned_and_from_the_left() -> None:
    def loss(scan: Any, h: Any, xs: Any, w: Any, v: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            u = dg.tanh(h @ w.T) + x
            left = v @ dg.sin(u).T  # (40, 3)
            h = dg.tanh(u @ w + left.T) + h * 0.1
            return h, (h * left.T).sum()

        last, ys = scan(step, h, xs)
        return (last * last).sum() + ys.sum()

    both_ways(loss, ROWS, STEPS, WIDE, TALL)


def test_products_that_others_read_and_second_derivatives() -> None:
    def loss(scan: Any, h: Any, xs: Any, w: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            y = x @ w
            return dg.sin(y) + h, y

        last, ys = scan(step, h, xs)
        return (last * ys.sum(axis=0)).sum()

    both_ways(loss, ROWS, STEPS, WIDE)

    def slope(scan: Any, h: Any, w: Any) -> Any:
        return (dg.grad(lambda w: loss(scan, h, STEPS, w))(w) ** 2).sum()

    both_ways(slope, ROWS, WIDE)


def test_gradients_of_batches_of_scans() -> None:
    def loss(w: Any, h: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            return dg.tanh(x @ w + h), None

        return dg.scan(step, h, STEPS)[0].sum()

    hs = normal(4, 3, 40, seed=15)
    both = dg.vmap(dg.grad(loss, (0, 1)), in_axes=(None, 0))
    found = check_modes(both, WIDE, hs)
    for i in range(4):
        for a, b in zip(found, dg.grad(loss, (0, 1))(WIDE, hs[i]), strict=True):
            np.testing.assert_allclose(a.numpy()[i], b.numpy(), rtol=1e-4, atol=1e-5)


# --- what steps keep -----------------------------------------------------------------------------


def back_of(loss: Any, *args: Any) -> Any:
    """The scan back through the steps."""
    graph = dg.capture(dg.grad(loss), *args)
    return [n for n in graph.nodes if n.prim.name == "scan"][-1]


def names_in(node: Any) -> list[str]:
    return [n.prim.name for n in node.params["body"].nodes]


def test_steps_keep_activated_gates_and_not_the_sums_they_are_made_of() -> None:
    def loss(scan: Any, h: Any, xs: Any, w: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            gates = x + h @ w
            h = h * gates[:, :20].sigmoid().repeat(1, 2) + gates[:, 20:].tanh().repeat(1, 2)
            return h, h

        last, ys = scan(step, h, xs)
        return (last * last).sum() + (ys * ys).sum()

    xs = normal(6, 3, 40, seed=16)
    w = normal(40, 40, seed=17) * 0.1
    both_ways(loss, ROWS, xs, w)
    back = back_of(lambda w: loss(dg.scan, ROWS, xs, w), w)
    assert not {"sigmoid", "tanh"} & set(names_in(back)), "activations are not computed again"
    read = {v for n in back.params["body"].nodes for v in n.inputs}
    assert read.issuperset(back.params["body"].inputs), "what is not read is not kept"


def test_what_follows_from_the_carry_or_one_slice_is_computed_again() -> None:
    def loss(scan: Any, h: Any, xs: Any, w: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = dg.sin(h * dg.exp(x)) + w
            return h, h[0]

        return (scan(step, h, xs)[0] ** 2).sum()

    xs, w = normal(6, 3, 40, seed=18), normal(40, seed=19)
    both_ways(loss, ROWS, xs, w)
    back = back_of(lambda w: loss(dg.scan, ROWS, xs, w), w)
    assert "exp" in names_in(back) and back.params["slices"] == 2


def test_long_steps_are_worked_out_in_little_time() -> None:
    def loss(h: Any) -> Any:
        def step(h: Any, _: Any) -> Any:
            for _ in range(30):  # each value is read twice by the next
                h = h * 0.5 + h * h * 0.01
            return h, h[0]

        return dg.scan(step, h, dg.zeros(3))[0].sum()

    check_modes(dg.grad(loss), ROWS)


def test_steps_with_ops_that_have_no_gradient_keep_nothing() -> None:
    def step(h: Any, x: Any) -> Any:
        return h + dg.floor(x), dg.argmax(h + x)

    h = normal(4, seed=20).requires_grad_()
    last, found = dg.scan(step, h, normal(3, 4, seed=21))
    last.sum().backward()
    assert h.grad.numpy().tolist() == [1.0] * 4 and found.shape == (3,)

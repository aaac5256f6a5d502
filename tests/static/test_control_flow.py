"""Control flow: eager, graph and compiled runs of conditions and loops agree to the bit, gradients too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

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


# --- scan --------------------------------------------------------------------------------------

W, U = normal(4, 4, seed=1), normal(3, 4, seed=2)
H0, XS = normal(5, 4, seed=3), normal(7, 5, 3, seed=4)


def cell(h: Any, x: Any) -> tuple[Any, Any]:
    h = dg.tanh(h @ W + x @ U)
    return h, h.sum()


def unrolled(f: Any, carry: Any, xs: Any, order: Any) -> tuple[Any, Any]:
    ys = {}
    for i in order:
        carry, ys[i] = f(carry, xs[i])
    return carry, dg.stack([ys[i] for i in sorted(ys)])


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


# --- gradients of scan -------------------------------------------------------------------------


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


# --- vmap --------------------------------------------------------------------------------------


def each(fn: Any, *args: Any) -> Any:
    """`fn` example by example, stacked."""
    return dg.stack([fn(*row) for row in zip(*args, strict=True)])


def assert_close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-5)


def scalar_loss(x: Any, w: Any) -> Any:
    last, ys = dg.scan(lambda c, row: (dg.tanh(c * w + row), c.sum()), w, x)
    return last.sum() + ys.sum()


def branchy(x: Any, w: Any) -> Any:
    y = dg.cond(x.sum() > 0, lambda x: (dg.sin(x) * w, x.sum()), lambda x: (x * x, w.sum()), x)
    return (y[0] * w).sum() + y[1]


def loopy(x: Any, w: Any) -> Any:
    def step(s: Any) -> Any:
        return s[0] + 1, s[1] * 0.7 + 0.01 * w

    return dg.while_loop(lambda s: dg.abs(s[1]).max() > 0.5, step, (0, x[0]), max_steps=30)[1].sum()


@pytest.mark.parametrize("fn", [scalar_loss, branchy, loopy])
def test_vmap_is_example_by_example(fn: Any) -> None:
    xs, w = normal(6, 5, 4), normal(4, seed=8)
    xs = xs[:, 0] if fn is branchy else xs
    one = lambda x: fn(x, w)  # noqa: E731
    assert_close(check_modes(dg.vmap(one), xs), each(one, xs))
    per_example = dg.vmap(dg.grad(fn, (0, 1)), (0, None))
    for i, found in enumerate(check_modes(per_example, xs, w)):
        assert_close(found, each(lambda x, i=i: dg.grad(fn, i)(x, w), xs))
    total = check_modes(dg.grad(lambda xs, w: dg.vmap(fn, (0, None))(xs, w).sum(), (0, 1)), xs, w)
    assert_close(total[1], each(lambda x: dg.grad(fn, 1)(x, w), xs).sum(axis=0))
    assert_close(total[0], each(lambda x: dg.grad(fn)(x, w), xs))
    twice = normal(2, 6, 5, 4)
    twice = twice[:, :, 0] if fn is branchy else twice
    assert_close(dg.vmap(dg.vmap(one))(twice), each(lambda x: each(one, x), twice))


def test_vmap_of_an_unbounded_while() -> None:
    a = dg.asarray([[2.0, 3.0], [1e4, 5.0], [0.5, 0.1]])
    found = check_modes(dg.vmap(newton), a)
    assert bits(found) == bits(each(newton, a))
    slopes = dg.vmap(dg.grad(lambda a: newton(a).sum()))(a)
    assert_close(slopes, 0.5 / dg.sqrt(a))


def test_vmap_inside_of_a_scan() -> None:
    def step(c: Any, x: Any) -> Any:
        c = dg.vmap(lambda a, b: dg.tanh(a @ W) + b.sum())(c, x)
        return c, c.sum()

    check_modes(lambda h, xs: dg.scan(step, h, xs), H0, XS)


# --- what is refused ---------------------------------------------------------------------------

BUFFER = dg.zeros(4)


def test_writes_to_outer_tensors_are_refused() -> None:
    def run(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            BUFFER.add_(1)
            return c + BUFFER, None

        return dg.scan(step, x, length=3)[0]

    with pytest.raises(
        dg.CaptureError, match=r"scan(.|\n)*writes in place(.|\n)*test_control_flow.py:\d+"
    ):
        dg.capture(run, dg.zeros(4))
    compiled = dg.compile(run, wait=True)
    compiled(dg.zeros(4))
    assert "writes in place" in compiled.explain()
    BUFFER.zero_()
    assert run(dg.zeros(4)).tolist() == [6.0] * 4  # eager mode is plain Python


def test_writes_to_tensors_made_inside_are_fine() -> None:
    def run(x: Any) -> Any:
        def step(c: Any, i: Any) -> Any:
            out = c.clone()
            out[0] = i
            out += 1
            return out, out.sum()

        return dg.scan(step, x, dg.arange(3.0))

    check_modes(run, dg.zeros(4))
    check_modes(dg.grad(lambda x: run(x)[1].sum()), dg.zeros(4))


def test_looking_at_values_inside_is_refused() -> None:
    def run(x: Any) -> Any:
        return dg.scan(lambda c, _: (c + 1 if c.sum() > 2 else c * 2, None), x, length=3)[0]

    with pytest.raises(dg.CaptureError, match=r"looks at the value(.|\n)*dg.cond"):
        dg.capture(run, dg.ones(2))
    assert run(dg.ones(2)).tolist() == [4.0, 4.0]
    assert dg.grad(lambda x: run(x).sum())(dg.ones(2)).tolist() == [2.0, 2.0]


def test_a_branch_that_cannot_run_is_named() -> None:
    def run(x: Any) -> Any:
        return dg.cond(x.sum() > 0, lambda x: x + 1, lambda x: x[dg.asarray(9)], x)

    with pytest.raises(dg.CaptureError, match=r"false_fn(.|\n)*BoundsError"):
        dg.capture(run, dg.ones(2))
    assert run(dg.ones(2)).tolist() == [2.0, 2.0]


def test_the_branch_not_taken_leaves_no_trace() -> None:
    def write(x: Any) -> Any:
        BUFFER.fill_(7)
        return x

    BUFFER.zero_()
    with pytest.raises(dg.CaptureError, match="writes in place"):
        dg.capture(lambda x: dg.cond(x.sum() > 0, lambda x: x, write, x), dg.ones(2))
    assert BUFFER.tolist() == [0.0] * 4


@pytest.mark.parametrize("mode", ["eager", "taped", "captured"])
def test_errors_name_op_types_and_line(mode: str) -> None:
    def run(fn: Any) -> Any:
        if mode == "captured":
            return dg.capture(lambda x: fn(x), dg.ones(2))
        x = dg.ones(2)
        if mode == "taped":
            return fn(x.requires_grad_())
        with dg.no_grad():
            return fn(x)

    def fails(error: type[Exception], match: str, fn: Any) -> None:
        with pytest.raises(error, match=rf"(?s){match}.*test_control_flow.py:\d+"):
            run(fn)

    fails(
        dg.ShapeError,
        r"cond\(bool\[2\]\).*predicate",
        lambda x: dg.cond(x > 0, lambda: x, lambda: x),
    )
    fails(
        dg.DTypeError,
        r"cond\(f32\[\]\).*predicate",
        lambda x: dg.cond(x.sum(), lambda: x, lambda: x),
    )
    fails(
        dg.ShapeError,
        r"while_loop\(bool\[2\]\)",
        lambda x: dg.while_loop(lambda c: c > 0, lambda c: c, x),
    )
    grow = lambda x: dg.scan(lambda c, _: (dg.concat([c, c]), None), x, length=2)  # noqa: E731
    fails(dg.ShapeError, r"scan\(f32\[2\], f32\[4\]\).*carry", grow)
    change = lambda x: dg.scan(lambda c, _: (c > 0, None), x, length=2)  # noqa: E731
    fails(dg.DTypeError, r"scan\(f32\[2\], bool\[2\]\).*carry", change)
    fails(
        dg.ArgumentError,
        "scan.*structure",
        lambda x: dg.scan(lambda c, _: ((c, c), None), x, length=2),
    )
    fails(dg.ArgumentError, "scan.*pair", lambda x: dg.scan(lambda c, _: c, x, length=2))
    fails(dg.ShapeError, "scan.*length", lambda x: dg.scan(lambda c, y: (c, y), x, x, length=3))
    fails(dg.ArgumentError, "how many steps", lambda x: dg.scan(lambda c, y: (c, y), x))
    fails(
        dg.DTypeError,
        "while_loop.*carry",
        lambda x: dg.while_loop(lambda c: c.sum() > 0, lambda c: c > 9, x),
    )
    if mode != "eager":  # which runs one branch only
        differ = lambda x: dg.cond(x.sum() > 0, lambda: x, lambda: x.sum())  # noqa: E731
        fails(dg.ShapeError, r"cond\(f32\[2\], f32\[\]\).*false_fn", differ)

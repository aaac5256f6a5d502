"""debug_nans names the op, the operands and the line that made the first NaN, in both modes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn, optim


def f(x: Any) -> Any:
    y = x - 1
    z = dg.log(y)  # here
    return (z * 2).sum()


GOOD, BAD = dg.asarray([2.0, 3.0, 4.0]), dg.asarray([2.0, 0.5, 4.0])
LINE = inspect.getsourcelines(f)[1] + 2


def check(problem: Any) -> None:
    text = str(problem.value)
    assert "log(f32[3]): made the first NaN: 1 of 3 elements" in text
    assert f"test_nans.py:{LINE}" in text and text.count("test_nans.py") == 1
    assert "operand 0: f32[3]  [ 1. , -0.5,  3. ]" in text and "result: f32[3]" in text


def test_eager_mode_names_the_op_and_the_line() -> None:
    with dg.debug_nans():
        f(GOOD)
        with pytest.raises(dg.NanError) as problem:
            f(BAD)
    check(problem)
    f(BAD)  # off again


def test_numbers_are_taken_out_of_tensors_as_ever() -> None:
    with dg.debug_nans():
        x = dg.asarray(2.0) + 1
        assert (x.item(), float(x), int(x), bool(x), f"{x:.1f}") == (3.0, 3.0, 3, True, "3.0")
        assert dg.compile(f, wait=True)(GOOD).item() > 0


def test_hooks_are_set_as_ever() -> None:
    x = dg.ones(2, requires_grad=True)
    seen: list[Any] = []
    with dg.debug_nans():
        y = x * 2
        y.grad_fn.register_hook(lambda operands, results: seen.append(operands[0].tolist()))
        y.register_hook(lambda ct: ct * 3)
        y.sum().backward()
    assert seen == [[6.0, 6.0]] and x.grad.tolist() == [6.0, 6.0]


@pytest.mark.parametrize("calls", [1, 40])
def test_a_compiled_program_names_the_op_and_the_line(calls: int) -> None:
    g = dg.compile(f, wait=True)
    for _ in range(calls):
        g(GOOD)
    with dg.debug_nans():
        assert g(GOOD).item() == f(GOOD).item()
        with pytest.raises(dg.NanError) as problem:
            g(BAD)
        assert len(g.programs) == 1
    check(problem)
    for _ in range(40):
        g(GOOD)
    assert g(BAD).isnan().item()


def test_the_first_call_of_a_compiled_function_is_looked_at_too() -> None:
    g = dg.compile(f, wait=True)
    with dg.debug_nans(), pytest.raises(dg.NanError) as problem:
        g(BAD)
    check(problem)


def test_it_is_a_switch_and_nests() -> None:
    dg.debug_nans()
    try:
        with pytest.raises(dg.NanError), dg.debug_nans(inf=True):
            dg.log(dg.zeros(2))
        dg.log(dg.zeros(2))  # infinity is none of its business any more
        with dg.debug_nans(False):
            f(BAD)
        with pytest.raises(dg.NanError):
            f(BAD)
    finally:
        dg.debug_nans(False)
    f(BAD)


def test_infinities_are_found_where_they_are_asked_for() -> None:
    g = dg.compile(lambda x: 1 / x + 1, wait=True)
    g(dg.ones(2))
    for fn in (g, g._captured_function):
        with dg.debug_nans(inf=True), pytest.raises(dg.NanError, match="first infinity: 1 of 2"):
            fn(dg.asarray([1.0, 0.0]))


def test_what_comes_in_as_nan_is_no_fault() -> None:
    g = dg.compile(lambda x: (x * 2, dg.full((2,), dg.nan)), wait=True)
    with dg.debug_nans():
        for _ in range(3):
            g(dg.asarray([1.0, dg.nan]))
            g._captured_function(dg.asarray([1.0, dg.nan]))


def test_the_step_of_a_loop_is_entered() -> None:
    def walk(x: Any) -> Any:
        return dg.scan(lambda c, v: (dg.sqrt(c - v), c), dg.zeros(()) + 5.0, x)[0]

    def halve(x: Any) -> Any:
        return dg.while_loop(lambda s: s > -1, lambda s: dg.log(s), x)

    for fn, good, bad, op in (
        (walk, dg.zeros(3), dg.asarray([1.0, 10.0, 1.0]), "sqrt"),
        (halve, dg.ones(()) * 3, dg.ones(()) * -0.5, "log"),
    ):
        g = dg.compile(fn, wait=True)
        g(good)
        for call in (g, fn):
            with (
                dg.debug_nans(),
                pytest.raises(dg.NanError, match=rf"^{op}\(f32\[\]\): made the first NaN"),
            ):
                call(bad)


def test_a_training_step_that_diverges_is_stopped_where_it_does() -> None:
    net = nn.Linear(3, 2)
    opt = optim.SGD(net.parameters(), lr=1e30)

    @dg.compile(wait=True)
    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    x = dg.randn(4, 3)
    with (
        dg.debug_nans(),
        pytest.raises(dg.NanError, match=r"matmul\(f32\[4,3\], f32\[3,2\]\)(.|\n)*test_nans.py"),
    ):
        for _ in range(9):
            step(x)


def test_narrow_and_complex_numbers_are_looked_at() -> None:
    with dg.debug_nans():
        for dtype in (dg.float16, dg.bfloat16, dg.float64, dg.complex64):
            zero = dg.zeros(2).to(dtype)
            with pytest.raises(dg.NanError, match="divide"):
                zero / zero
        assert (dg.asarray([1, 2]) + 1).tolist() == [2, 3]


def test_the_switch_is_outside_of_compiled_functions() -> None:
    def inside(x: Any) -> Any:
        with dg.debug_nans():
            return x + 1

    with pytest.raises(dg.CaptureError, match="outside"):
        dg.capture(inside, dg.ones(2))


def hidden(x: Any) -> Any:
    return dg.where(x > 0, dg.log(x), 0.0)


def branching(x: Any) -> Any:
    if x.sum() > 10:
        return x * 2
    return dg.maximum(dg.sqrt(x) * 0, -1.0)


def written(x: Any) -> Any:
    y = dg.log(x)
    x.zero_()
    return (y != y).sum() * 0


@pytest.mark.parametrize("fn", [hidden, branching, written], ids=lambda fn: fn.__name__)
def test_a_nan_that_no_result_shows_is_found_in_both_modes(fn: Any) -> None:
    compiled = dg.compile(fn, wait=True)
    for _ in range(4):
        compiled(dg.ones(2))
        compiled(dg.ones(2) * 9)
    told = []
    for mode in (fn, compiled):
        x = dg.tensor([2.0, -1.0])
        with dg.debug_nans(), pytest.raises(dg.NanError) as caught:
            mode(x)
        told.append(str(caught.value))
        assert x.tolist() == [2.0, -1.0]
    assert told[0] == told[1] and "test_nans.py" in told[0]
    before = [p.calls for p in compiled.programs]
    with dg.debug_nans():
        assert compiled(dg.ones(2)).tolist() == fn(dg.ones(2)).tolist()
    assert sum(p.calls for p in compiled.programs) == sum(before) + 1


def stepped(x: Any) -> Any:
    step = lambda c, v: (c + 1, dg.where(v > 0, dg.log(v), 0.0))  # here  # noqa: E731
    return dg.scan(step, dg.zeros(()), x)[1].sum()


def asked(x: Any) -> Any:
    test = lambda c: dg.sqrt(x[1]) + 3 > c  # here  # noqa: E731
    return dg.while_loop(test, lambda c: c + 1, dg.zeros(()), max_steps=3)


def chosen(x: Any) -> Any:
    yes = lambda v: dg.where(v > 0, dg.log(v), 0.0).sum()  # here  # noqa: E731
    return dg.cond(x[0] > 0, yes, lambda v: v.sum(), x)


def applied(x: Any) -> Any:
    one = lambda v: dg.maximum(dg.log(v) * 0, -1.0)  # here  # noqa: E731
    return dg.map(one, x).sum()


@pytest.mark.parametrize("fn", [stepped, asked, chosen, applied], ids=lambda fn: fn.__name__)
@pytest.mark.parametrize("kind", ["eager", "gradients", "vmap", "compiled", "compiled vmap"])
def test_a_nan_that_a_body_hides_names_the_line_of_the_body(fn: Any, kind: str) -> None:
    lines, start = inspect.getsourcelines(fn)
    line = start + next(i for i, t in enumerate(lines) if "# here" in t)
    good, bad = dg.asarray([2.0, 3.0, 1.0]), dg.tensor([2.0, -1.0, 1.0])
    g = fn
    if "vmap" in kind:
        g, good, bad = dg.vmap(fn), dg.stack([good, good]), dg.stack([bad, bad])
    if "compiled" in kind:
        g = dg.compile(g, wait=True)
        for _ in range(3):
            g(good)
    if kind == "gradients":
        bad.requires_grad_()
    with dg.debug_nans():
        g(good)
        with pytest.raises(dg.NanError, match=rf"test_nans.py:{line}\b"):
            g(bad)


def until(x: Any) -> Any:
    step = lambda s: dg.log(s) + 1  # what it makes of the last carry, 0, is not run  # noqa: E731
    return dg.while_loop(lambda s: s > 0, lambda s: dg.where(s > 1, s - 1, step(s) * 0), x)


def test_a_loop_that_has_ended_runs_its_body_no_more() -> None:
    g = dg.compile(until, wait=True)
    assert g(dg.asarray(2.5)).item() == g(dg.asarray(2.5)).item() == 0.0
    for fn in (until, g):
        with dg.debug_nans(inf=True):
            fn(dg.asarray(2.5))
        with dg.no_grad(), dg.debug_nans(inf=True):
            fn(dg.asarray(3.5))

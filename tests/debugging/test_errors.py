"""Errors of compiled calls point to the user's line, with the op and its operand types; nothing is half done."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import pytest

import dualgraph as dg


def picked(total: Any, x: Any, i: Any) -> Any:
    total += x.sum()
    y = x * 2
    return dg.take(y, i, axis=0).sum()  # here


def walked(x: Any, i: Any) -> Any:
    step = lambda c, v: (c + dg.take(v, i, axis=0).sum(), c)  # here  # noqa: E731
    return dg.scan(step, dg.zeros(()), x)[0]


def checked(x: Any) -> Any:
    assert (x > 0).all(), "must be positive"
    return x.sqrt()


def line(fn: Any) -> str:
    lines, start = inspect.getsourcelines(fn)
    return f"test_errors.py:{start + next(i for i, t in enumerate(lines) if '# here' in t)}"


@pytest.mark.parametrize("calls", [1, 3, 40])
def test_an_index_out_of_range_names_op_types_and_line(calls: int) -> None:
    f = dg.compile(picked, wait=True)
    total, x = dg.zeros(()), dg.ones(4, 3)
    for _ in range(calls):
        f(total, x, dg.asarray([0, 1]))
    assert f.programs
    with pytest.raises(dg.BoundsError) as problem:
        f(total, x, dg.asarray([0, 9]))
    text = str(problem.value)
    assert "index(f32[4,3], i64[2]): index 9 is out of range for an axis of 4" in text
    assert line(picked) in text and text.count("test_errors.py") == 1
    # As eager mode leaves it: the write comes before the error
    assert total.item() == 12.0 * (calls + 1)
    assert f(total, x, dg.asarray([0, 1])).item() == 12.0


def test_an_error_in_the_step_of_a_loop_names_its_line() -> None:
    f = dg.compile(walked, wait=True)
    x = dg.ones(3, 4)
    assert f(x, dg.asarray([0, 1])).item() == f(x, dg.asarray([0, 1])).item() == 6.0
    with pytest.raises(dg.BoundsError, match=r"index\(f32\[4\], i64\[2\]\): index 7") as problem:
        f(x, dg.asarray([0, 7]))
    assert line(walked) in str(problem.value)


def mapped(x: Any, i: Any) -> Any:
    one = lambda v: dg.take(v * 2, i, axis=0).sum()  # here  # noqa: E731
    return dg.map(one, x).sum()


def looped(x: Any, i: Any) -> Any:
    step = lambda s: (s[0] + 1, s[1] + x[s[0], i].sum())  # here  # noqa: E731
    return dg.while_loop(lambda s: s[0] < 2, step, (dg.asarray(0), dg.zeros(())), max_steps=3)[1]


def chosen(x: Any, i: Any) -> Any:
    yes = lambda v: v[:, i].sum()  # here  # noqa: E731
    return dg.cond(x.sum() > 0, yes, lambda v: v.sum(), x)


def nested(x: Any, i: Any) -> Any:
    pick = lambda c, v: dg.cond(c >= 0, lambda a: a + v[i].sum(), lambda a: a, c)  # here  # noqa: E731
    return dg.map(
        lambda row: dg.scan(lambda c, v: (pick(c, v), None), dg.zeros(()), row)[0], x[None]
    )


@pytest.mark.parametrize("fn", [walked, mapped, looped, chosen, nested], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["eager", "gradients", "vmap", "compiled", "compiled vmap"])
def test_an_index_out_of_range_in_a_body_names_the_line_of_the_body(fn: Any, kind: str) -> None:
    g: Any = dg.vmap(fn) if "vmap" in kind else fn
    x, good, bad = dg.ones(3, 4), dg.asarray([0, 1]), dg.asarray([0, 7])
    if "vmap" in kind:
        x, good, bad = (dg.stack([t, t]) for t in (x, good, bad))
    if "compiled" in kind:
        g = dg.compile(g, wait=True)
        for _ in range(3):
            g(x, good)
    if kind == "gradients":
        x.requires_grad_()
    g(x, good)
    with pytest.raises(dg.BoundsError, match=r"(7|9) is out of range") as problem:
        g(x, bad)
    assert line(fn) in str(problem.value)


class Pair(NamedTuple):
    x: Any
    n: Any


def test_a_carry_that_changes_is_named_by_its_place_in_the_tree() -> None:
    init = {"a": dg.zeros(3), "b": [None, Pair(dg.zeros(2), dg.asarray(0))]}

    def step(c: Any, v: Any) -> Any:
        return {"a": c["a"], "b": [None, Pair(c["b"][1].x, c["b"][1].n + 0.5)]}, v

    for make in (lambda f: f, lambda f: dg.compile(f, wait=True)):
        f = make(lambda x: dg.scan(step, init, x))
        with pytest.raises(
            dg.DTypeError, match=r"changes in a step at \['b'\]\[1\].n: f32\[\], not i64"
        ):
            f(dg.ones(2))
        g = make(
            lambda x: dg.while_loop(lambda c: c[1] < 3, lambda c: (c[0][:1], c[1] + 1), (x, 0))
        )
        with pytest.raises(dg.ShapeError, match=r"at \[0\]: f32\[1\], not f32\[2\]"):
            g(dg.ones(2))


def test_an_assertion_of_the_user_fails_as_in_eager_mode() -> None:
    f = dg.compile(checked, wait=True)
    for _ in range(5):
        f(dg.ones(3))
    with pytest.raises(AssertionError, match="must be positive"):
        f(-dg.ones(3))
    assert f(dg.ones(3)).tolist() == [1, 1, 1]


MISTAKES = [
    (lambda x, i: x.gather(1, i), r"gather: take_along\(f32\[4,3\], i64\[1,2\]\): index 7"),
    (lambda x, i: x.expand(4, 5), r"expand: broadcast_to\(f32\[4,3\]\): cannot broadcast"),
    (lambda x, i: dg.nn.functional.cross_entropy(x, i[0, 1:].expand(4)), r"cross_entropy: .*index 7"),
    (lambda x, i: dg.nn.functional.pad(x, (1, 1, 1)), r"pad: \(1, 1, 1\) does not give"),
    (lambda x, i: x[dg.ones(3, dtype=bool)], r"a mask of shape \(3,\) does not fit axes of \(4,\)"),
    (lambda x, i: x.to("float33"), r"to\(f32\[4,3\]\): 'float33' is not a device.* or the name of a dtype"),
    (lambda x, i: dg.nn.BatchNorm1d(2)(x), r"batch_norm: .*has 3 channels on axis 1.*not \(2,\)"),
    (lambda x, i: dg.nn.BatchNorm1d(2).eval()(x[:, :1]), r"batch_norm: .*has 1 channels"),
    (lambda x, i: dg.nn.Sequential([dg.nn.ReLU()]), r"write nn.Sequential\(\*modules\)"),
    (lambda x, i: dg.optim.SGD(dg.nn.Linear(2, 2)), r"pass module.parameters\(\)"),
    (lambda x, i: dg.optim.SGD([]), r"got no parameters .*nn.ModuleList"),
]  # fmt: skip


@pytest.mark.parametrize(("fn", "text"), MISTAKES)
def test_a_mistake_is_named_by_what_was_called(fn: Any, text: str) -> None:
    x, i = dg.ones(4, 3), dg.tensor([[0, 7]])
    for called in fn, dg.compile(fn, wait=True):
        with pytest.raises((dg.DualgraphError, TypeError), match=text):
            called(x, i)


def test_losses_of_two_shapes_warn_at_the_users_line() -> None:
    x, y = dg.ones(4, 1), dg.ones(4)
    for loss in dg.nn.MSELoss(), dg.nn.L1Loss(), dg.nn.SmoothL1Loss(), dg.nn.HuberLoss():
        with pytest.warns(UserWarning, match=r"\(4, 1\) and target of shape \(4,\)") as seen:
            loss(x, y)
        assert seen[0].filename == __file__
    assert dg.device("cpu") != "gpu"

"""What control flow refuses: bodies that a graph cannot repeat, and types that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

import dualgraph as dg
from tests.static.modes import check_modes

BUFFER = dg.zeros(4)


def test_writes_to_outer_tensors_are_refused() -> None:
    def run(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            BUFFER.add_(1)
            return c + BUFFER, None

        return dg.scan(step, x, length=3)[0]

    with pytest.raises(
        dg.CaptureError, match=r"scan(.|\n)*writes in place(.|\n)*test_control_flow_limits.py:\d+"
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
        with pytest.raises(error, match=rf"(?s){match}.*test_control_flow_limits.py:\d+"):
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

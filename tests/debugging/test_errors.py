"""Errors of compiled calls point to the user's line, with the op and its operand types; nothing is half done."""

from __future__ import annotations

import inspect
from typing import Any

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
    assert total.item() == 12.0 * (
        calls + 1
    )  # as eager mode leaves it: the write comes before the error
    assert f(total, x, dg.asarray([0, 1])).item() == 12.0


def test_an_error_in_the_step_of_a_loop_names_its_line() -> None:
    f = dg.compile(walked, wait=True)
    x = dg.ones(3, 4)
    assert f(x, dg.asarray([0, 1])).item() == f(x, dg.asarray([0, 1])).item() == 6.0
    with pytest.raises(dg.BoundsError, match=r"index\(f32\[4\], i64\[2\]\): index 7") as problem:
        f(x, dg.asarray([0, 7]))
    assert line(walked) in str(problem.value)


def test_an_assertion_of_the_user_fails_as_in_eager_mode() -> None:
    f = dg.compile(checked, wait=True)
    for _ in range(5):
        f(dg.ones(3))
    with pytest.raises(AssertionError, match="must be positive"):
        f(-dg.ones(3))
    assert f(dg.ones(3)).tolist() == [1, 1, 1]

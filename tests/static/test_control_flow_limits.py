"""What control flow refuses: bodies that a graph cannot repeat, and types that do not fit."""

from __future__ import annotations

from collections import defaultdict
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


def test_branches_of_other_types_are_python_in_both_modes() -> None:
    def run(x: Any) -> Any:
        return dg.cond(x.sum() > 0, lambda: x * 2, lambda: x.sum())

    compiled = dg.compile(run, wait=True)
    for x in (dg.ones(2), -dg.ones(2)):
        expected = [2.0, 2.0] if x[0] > 0 else -2.0
        for f in (run, compiled, compiled):
            assert f(x).tolist() == expected
            assert f(x.clone().requires_grad_()).tolist() == expected
    assert "false_fn gives other types than true_fn: f32[], not f32[2]" in compiled.explain()
    with pytest.raises(dg.CaptureError, match=r"(?s)cond at .*_limits.py:\d+: .*other types"):
        dg.capture(run, dg.ones(2))
    with pytest.raises(dg.ShapeError, match="false_fn"):  # both run
        dg.vmap(run)(dg.asarray([[1.0, 1.0], [-1.0, -1.0]]))


def test_a_loop_that_is_not_entered_may_change_its_carry() -> None:
    def run(x: Any) -> Any:
        return dg.while_loop(lambda c: c.sum() > 2, lambda c: dg.concat([c, c]), x)

    compiled = dg.compile(run, wait=True)
    assert [f(dg.ones(2)).tolist() for f in (run, compiled, compiled)] == [[1.0, 1.0]] * 3
    for f in (run, compiled):
        with pytest.raises(dg.ShapeError, match="carry"):
            f(dg.ones(3))


SEEN: list[Any] = []
COUNT = 0


class Counter:
    """Counts in an attribute, in a method that its call calls."""

    def __init__(self) -> None:
        self.count = 0

    def more(self) -> None:
        self.count += 1

    def __call__(self, c: Any, x: Any) -> Any:
        self.more()
        return c + x, c


def appending(c: Any, x: Any) -> Any:
    SEEN.append(len(SEEN))
    return c + x, c


def counting(c: Any, x: Any) -> Any:
    global COUNT
    COUNT += 1
    return c + x, c


def printing(c: Any, x: Any) -> Any:
    print("a step")
    return c + x, c


def steps_seen(out: str, counter: Counter) -> int:
    return len(SEEN) + COUNT + counter.count + out.count("a step")


@pytest.mark.parametrize("body", [appending, counting, printing, Counter()])
@pytest.mark.parametrize("mode", ["plain", "taped", "compiled"])
def test_python_state_changes_in_each_step(body: Any, mode: str, capsys: Any) -> None:
    counter = body if isinstance(body, Counter) else Counter()

    def run(x: Any) -> Any:
        return dg.scan(body, x.sum(), x)[0]

    f = dg.compile(run, wait=True) if mode == "compiled" else run
    x = dg.ones(5, requires_grad=mode == "taped")
    before = steps_seen("", counter)
    for _ in range(3):
        assert f(x).item() == 10
    known = steps_seen(capsys.readouterr().out, counter) - before
    if mode == "compiled":
        assert "in a body of scan" in f.explain() or "print" in f.explain()
    assert known == 15


@pytest.mark.parametrize("mode", ["taped", "compiled"])
def test_a_branch_that_is_not_taken_leaves_python_state_as_it_was(mode: str) -> None:
    state = {"taken": 0, "other": [0]}
    kinds: Any = defaultdict(list)
    count = 0

    def taken(x: Any) -> Any:
        state["taken"] += 1
        return x + 1

    def other(x: Any) -> Any:
        nonlocal count
        state["other"].append(1)
        state["new"] = 1
        kinds["of"].append(1)
        count += 1
        return x - 1

    def run(x: Any) -> Any:
        return dg.cond(x.sum() > 0, taken, other, x)

    f = dg.compile(run, wait=True) if mode == "compiled" else run
    for i in range(3):
        f(dg.ones(2, requires_grad=mode == "taped"))
        assert (state, count, kinds) == ({"taken": i + 1, "other": [0]}, 0, {})


def test_what_a_body_makes_on_its_first_run_settles() -> None:
    tables: dict[str, Any] = {}

    def step(c: Any, x: Any) -> Any:
        if "table" not in tables:
            tables["table"] = dg.asarray(2.0)
        return c * tables["table"] + x, c

    compiled = dg.compile(lambda x: dg.scan(step, x.sum(), x)[0], wait=True)
    assert [compiled(dg.ones(3)).item() for _ in range(3)] == [31.0] * 3
    assert compiled.programs[0].calls == 1, compiled.explain()


def test_bodies_inside_of_others_are_seen_too(capsys: Any) -> None:
    x, seen = dg.ones(3, requires_grad=True), [0]

    def noted(v: Any) -> Any:
        seen.append(1)
        return v * 2

    dg.switch(dg.asarray(1), [noted, lambda v: v, noted], x)
    assert seen == [0]
    dg.map(noted, x)
    dg.fori_loop(0, 4, lambda _, c: noted(c), x)
    assert len(seen) == 1 + 3 + 4
    dg.fori_loop(0, 4, lambda i, c: (print("step"), c * 2)[1], x)
    assert capsys.readouterr().out == "step\n" * 4

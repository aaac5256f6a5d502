"""Numbers that change, in functions whose statements print, log and keep: one program, all effects as in eager mode."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from datetime import timedelta
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.jit import promotion
from tests.side_by_side import frozen

WHOLE = (3, 4, 5, 6, 7, 8, 9)
BROKEN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


class Meter:
    def __init__(self) -> None:
        self.sum, self.count, self.last = 0.0, 0, None

    def update(self, v: Any, n: Any) -> None:
        self.sum += v * n
        self.count += n
        self.last = n


def printing() -> Any:
    def f(x: Any, v: Any) -> Any:
        print(f"rate {v}", v + 1, [v] * 2, isinstance(v, int))
        return x * v

    return f, None


def appending() -> Any:
    log: list[Any] = []

    def f(x: Any, v: Any) -> Any:
        y = x * v
        log.append(v)
        return y

    return f, log


def kind_of(v: Any) -> Any:
    return v, "whole" if type(v) is int else "broken"


def appending_kinds() -> Any:
    log: list[Any] = []

    def f(x: Any, v: Any) -> Any:
        y = x * v
        log.append(kind_of(v))
        return y

    return f, log


def appending_tuples() -> Any:
    log: list[Any] = []

    def f(x: Any, v: Any) -> Any:
        y = (x * v).mean()
        log.append((v, y.item(), {"twice": v * 2, "both": (v, [v])}))
        return y

    return f, log


def sometimes() -> Any:
    def f(x: Any, v: Any) -> Any:
        if v % 2 == 0:
            print("even", v)
        return x * v

    return f, None


def metering() -> Any:
    meter = Meter()

    def f(x: Any, v: Any) -> Any:
        y = (x * v).mean()
        meter.update(y.item(), v)
        return y

    return f, vars(meter)


def keyed() -> Any:
    held: dict[Any, Any] = {}

    def f(x: Any, v: Any) -> Any:
        y = x * (v * 0.5)
        held[v] = y.sum().item()
        return y

    return f, held


def made_of_it() -> Any:
    def f(x: Any, v: Any) -> Any:
        m = v * 3
        print(m, f"{m:.3f}")
        return x * m, m

    return f, None


def branching() -> Any:
    def f(x: Any, v: Any) -> Any:
        y = x * v if v < 0.35 else x - v
        print(f"{v:.2f}", y.sum().item())
        return y

    return f, None


def telling() -> Any:
    def f(x: Any, v: Any) -> Any:
        print(type(v).__name__, v)
        return x * v

    return f, None


def follow(make: Any, values: Any) -> Any:
    """Calls what `make` gives with these values in both modes; what is printed, kept and given is the same."""
    seen = []
    for compiled in (False, True):
        f, state = make()
        f = dg.compile(f, wait=True) if compiled else f
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            results = [frozen(f(dg.ones(4, 3) * i, v)) for i, v in enumerate(values)]
        seen.append((results, out.getvalue(), repr(state)))
    assert seen[0] == seen[1]
    return f


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no statements are set apart there")
@pytest.mark.parametrize(
    ("make", "values", "most"),
    [
        (printing, WHOLE, 1),
        (printing, BROKEN, 1),
        (appending, WHOLE, 1),
        (appending_tuples, WHOLE, 1),
        (appending_kinds, WHOLE, 7 if sys.version_info < (3, 11) else 1),
        (sometimes, WHOLE, 1),
        (metering, WHOLE, 1),
        (keyed, WHOLE, 1),
        (made_of_it, BROKEN, 1),
        (branching, BROKEN, 2),
        (telling, WHOLE, 7 if sys.version_info < (3, 11) else 1),
        (printing, (1, 1.0, True, float("nan"), -0.0, 0.0, 2, 3, 4), 4),
        (appending, (1, 1.0, True, float("nan"), -0.0, 0.0, 2, 3, 4), 4),
    ],
)
def test_effects_have_the_numbers_of_their_call(make: Any, values: Any, most: int) -> None:
    compiled = follow(make, values)
    assert 1 <= len(compiled.programs) <= most, compiled.explain()


def test_what_a_capture_keeps_are_plain_numbers() -> None:
    f, log = appending_tuples()
    compiled = dg.compile(f, wait=True)
    for v in WHOLE:
        compiled(dg.ones(2), v)
    kinds = {type(n) for row in log for n in (row[0], *row[2]["both"][:1], row[2]["both"][1][0])}
    assert kinds == {int} and len(compiled.programs) == 1


def test_code_that_takes_plain_numbers_alone_gets_no_others() -> None:
    lines: list[str] = []

    def told(**values: Any) -> None:
        lines.append(json.dumps(values))

    def rate(x: Any, lr: float) -> Any:
        y = x * lr
        told(lr=lr, y=y.sum().item())
        return y

    def taken(x: Any, lr: float) -> Any:
        n = x.sum().item()
        told(n=n, twice=2 * n)
        return x * n

    def size(x: Any, lr: float) -> Any:
        y = x * 2
        told(rows=x.shape[0], y=y.sum().item())
        return y

    def spell(x: Any, lr: float) -> Any:
        y = x * lr
        lines.append(f"{timedelta(seconds=lr)} {y.sum().item()}")
        return y

    for fn in (rate, taken, size, spell):
        seen = []
        for step in (fn, dg.compile(fn, wait=True)):
            lines.clear()
            out = [step(dg.ones(2 + i % 3) * i, 0.5 + i).tolist() for i in range(16)]
            seen.append((out, [*lines]))
        assert seen[0] == seen[1]


def test_an_error_of_code_that_takes_no_live_numbers_comes_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(promotion, "ANYWHERE", frozenset())
    lines: list[str] = []

    def rate(x: Any, lr: float) -> Any:
        y = x * lr
        lines.append(json.dumps({"lr": lr, "y": y.sum().item()}))
        return y

    f = dg.compile(rate, wait=True)
    raised = 0
    for i in range(10):
        try:
            assert f(dg.ones(2), 0.5 + i).tolist() == [0.5 + i] * 2
        except TypeError:
            raised += 1
    assert raised == 1 and len(lines) == 9, f.explain()
    assert "not JSON serializable" in f.explain()


def test_numbers_that_a_callback_keeps_are_inputs_where_it_is_set_apart() -> None:
    def make() -> Any:
        log: list[Any] = []

        def at(step: Any, loss: Any) -> None:
            if step % 3 == 0:
                log.append((step, round(loss, 4)))

        def f(x: Any, step: Any) -> Any:
            loss = (x * x).mean()
            at(step, loss.item())
            return loss

        return f, log

    compiled = follow(make, range(1, 13))
    assert len(compiled.programs) == 1, compiled.explain()
    assert compiled.programs[0].calls > 6, compiled.explain()


def test_what_logs_each_nth_call_is_set_apart_in_all_of_them() -> None:
    def make() -> Any:
        log: list[Any] = []

        def f(x: Any, step: Any) -> Any:
            loss = (x * x).mean()
            if step % 4 == 0:
                log.append((f"run {step}", loss.item()))
            return loss

        return f, log

    compiled = follow(make, range(18))
    assert len(compiled.programs) <= 3, compiled.explain()
    assert sum(p.calls for p in compiled.programs) > 9, compiled.explain()

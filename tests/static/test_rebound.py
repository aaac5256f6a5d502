"""Places in Python state that a call gives other tensors: inputs and results of a program, as in eager mode."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn
from tests.side_by_side import Wrap, both_modes
from tests.static.modes import normal

H: Any = None


class Holder:
    """Anything with attributes."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


class Slotted:
    __slots__ = ("h",)


def attribute(wrap: Any) -> Any:
    r = Holder(h=dg.zeros(3))

    def f(x: Any) -> Any:
        r.h = (x + r.h).tanh()
        return r.h

    return wrap(f), lambda: r.h


def slot(wrap: Any) -> Any:
    r = Slotted()
    r.h = dg.zeros(3)

    def f(x: Any) -> Any:
        r.h = r.h * 0.5 + x
        return r.h.sum()

    return wrap(f), lambda: r.h


def variable_of_the_module(wrap: Any) -> Any:
    global H
    H = dg.zeros(3)

    def f(x: Any) -> Any:
        global H
        H = H * 0.9 + x
        return H.sum()

    return wrap(f), lambda: H


def variables_of_a_closure(wrap: Any) -> Any:
    h, c = dg.zeros(3), dg.ones(3)

    def f(x: Any) -> Any:
        nonlocal h, c
        h, c = c * 0.5 + x, h * 2
        return h + c

    return wrap(f), lambda: (h, c)


def entries(wrap: Any) -> Any:
    state = {"h": dg.zeros(3), "all": [dg.zeros(3), dg.ones(3)]}

    def f(x: Any) -> Any:
        state["h"] = state["h"] + x
        for i in range(2):
            state["all"][i] = x = state["all"][i] * 0.5 + x
        return x

    return wrap(f), lambda: (state["h"], list(state["all"]))


def frames(wrap: Any) -> Any:
    held = deque([dg.zeros(3) for _ in range(4)], maxlen=4)

    def f(x: Any) -> Any:
        held.append(x * 2)
        return dg.stack(list(held)).sum(0)

    return wrap(f), lambda: list(held)


def trees(wrap: Any) -> Any:
    r = Holder(state=(dg.zeros(1, 3), dg.zeros(1, 3)), ema={"a": dg.zeros(3), "b": dg.ones(3)})
    cell = nn.LSTMCell(3, 3)

    def f(x: Any) -> Any:
        r.state = tuple(t.detach() for t in cell(x[None], r.state))
        r.ema = {k: v * 0.9 + x for k, v in r.ema.items()}
        return r.state[0]

    return wrap(f), lambda: (r.state, dict(r.ema))


def exchanged(wrap: Any) -> Any:
    r = Holder(a=dg.zeros(3), b=dg.ones(3))

    def f(x: Any) -> Any:
        r.a, r.b = r.b, r.a
        return r.a + x

    return wrap(f), lambda: (r.a, r.b)


def views_of_one(wrap: Any) -> Any:
    r = Holder(h=dg.zeros(3), g=dg.zeros(3))

    def f(x: Any) -> Any:
        y = dg.stack([x + r.h, x * r.g, x])
        r.h, r.g = y[0], y[1:].sum(0)
        return y[2]

    compiled = wrap(f)

    def call(x: Any) -> Any:
        y = compiled(x)
        y.add_(1)
        r.h.mul_(0.5)
        return y

    call.compiled = compiled  # type: ignore[attr-defined]
    return call, lambda: (r.h, r.g)


def trained(wrap: Any) -> Any:
    r, cell = Holder(h=dg.zeros(1, 3)), nn.GRUCell(3, 3)
    optimizer = dg.optim.Adam(cell.parameters(), lr=0.01)

    def f(x: Any) -> Any:
        h = cell(x[None], r.h)
        r.h = h.detach()
        loss = (h * h).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return wrap(f), lambda: (r.h, list(cell.parameters()))


def logged(wrap: Any) -> Any:
    r, log = Holder(h=dg.zeros(3)), []

    def f(x: Any) -> Any:
        h = r.h + x
        r.h = h
        log.append(h.sum().item())
        return h * 2

    return wrap(f), lambda: (r.h, list(log))


def input_kept(wrap: Any) -> Any:
    r = Holder(before=dg.zeros(3))

    def f(x: Any) -> Any:
        change = x - r.before
        r.before = x
        return change

    return wrap(f), lambda: r.before


def one_of_two_ways(wrap: Any) -> Any:
    r = Holder(best=dg.zeros(3), value=dg.tensor(-1.0))

    def f(x: Any) -> Any:
        total = (x * x).sum() % 7
        if total > r.value:
            r.best, r.value = x * 1, total * 0.8
        return x + r.best

    return wrap(f), lambda: (r.best, r.value)


def exchanged_by_another(wrap: Any) -> Any:
    r = Holder(batch=dg.zeros(3), number=0)

    def f(x: Any) -> Any:
        return x * r.batch

    compiled = wrap(f)

    def call(x: Any) -> Any:
        r.batch = dg.ones(3) * r.number
        r.number += 1
        return compiled(x)

    call.compiled = compiled  # type: ignore[attr-defined]
    return call, lambda: r.batch


def counter(wrap: Any) -> Any:
    r = Holder(n=0, rate=1.0)

    def f(x: Any) -> Any:
        r.n += 1
        r.rate = max(0.2, r.rate * 0.9)
        return x * r.rate / (1 - 0.9**r.n)

    return wrap(f), lambda: (r.n, r.rate)


def learning_rate(wrap: Any) -> Any:
    model = nn.Linear(3, 1)
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    groups = optimizer.param_groups
    steps = {"done": 0}

    def f(x: Any) -> Any:
        steps["done"] += 1
        for group in groups:
            group["lr"] = 0.1 * min(1.0, steps["done"] / 4)
        for _ in range(2):
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            groups[0]["lr"] *= 0.5
        return loss.detach()

    return wrap(f), lambda: (groups[0]["lr"], steps["done"], list(model.parameters()))


def number_of_the_class(wrap: Any) -> Any:
    class Counted:
        calls = 0

        def __call__(self, x: Any) -> Any:
            type(self).calls += 1
            return x * type(self).calls

    return wrap(Counted()), lambda: Counted.calls


def the_same_number_again(wrap: Any) -> Any:
    r = Holder(rate=0.5, n=7)

    def f(x: Any) -> Any:
        y = x * r.rate + r.n
        r.rate, r.n = 0.5, 7
        return y

    compiled = wrap(f)

    def call(x: Any) -> Any:
        if x.sum() > 4:
            r.rate, r.n = 0.1 * float(x[0]), int(x[0])
        return compiled(x)

    call.compiled = compiled  # type: ignore[attr-defined]
    return call, lambda: (r.rate, r.n)


PROGRAMS = [
    attribute, slot, variable_of_the_module, variables_of_a_closure, entries, frames, trees, exchanged, trained,
    views_of_one, counter, learning_rate,
    # What is done with `type` is known from Python 3.11 on
    pytest.param(number_of_the_class, marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="runs eagerly")),
    the_same_number_again,
    logged, input_kept, one_of_two_ways, exchanged_by_another,
]  # fmt: skip


def seen(make: Callable[[Any], Any], wrap: Any, calls: int = 10) -> tuple[list[str], Any]:
    """What calls gave and left, and which of what was there before stayed whole, as text; and the function."""
    dg.manual_seed(0)
    fn, state = make(wrap)
    told, kept = [], []
    for i in range(calls):
        kept.append(state())
        out = fn(dg.tensor([1.0, -2.0, 3.0]) * (i % 5 + 1))
        told += [repr(out), repr(state()), repr(kept), str(out is state())]
    return told, getattr(fn, "compiled", fn)


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("wait", [True, False])
def test_places_are_read_afresh_and_left_as_in_eager_mode(make: Any, wait: bool) -> None:
    expected, _ = seen(make, lambda f: f)
    given, fn = seen(make, lambda f: dg.compile(f, wait=wait))
    assert given == expected
    fn.wait()
    assert fn.programs, fn.explain()
    if wait:
        assert sum(p.calls for p in fn.programs) >= 4, fn.explain()
        assert len(fn.programs) <= 3, fn.explain()


def alike(make: Callable[[Any], Any]) -> Any:
    """The compiled function, after it was seen to do what the function does."""
    expected, _ = seen(make, lambda f: f, 16)
    given, fn = seen(make, lambda f: dg.compile(f, wait=True), 16)
    assert given == expected
    return fn


def test_a_tensor_that_something_else_is_too_is_told_apart() -> None:
    def make(wrap: Any) -> Any:
        start = dg.zeros(3)
        r = Holder(h=start, start=start, calls=0)

        def f(x: Any) -> Any:
            r.start.add_(1)  # seen through `h`, as long as that is the same tensor
            r.h = r.h + x
            return r.h * (2 if r.h is r.start else 3)

        compiled = wrap(f)

        def call(x: Any) -> Any:
            r.calls += 1
            if r.calls % 4 == 0:
                r.h = r.start
            return compiled(x)

        call.compiled = compiled  # type: ignore[attr-defined]
        return call, lambda: (r.h, r.start)

    assert alike(make).programs


def test_an_argument_that_is_the_state_is_told_apart() -> None:
    def make(wrap: Any) -> Any:
        r = Holder(h=dg.zeros(3), calls=0)

        def f(x: Any) -> Any:
            x.add_(1)
            r.h = r.h + x
            return r.h * 1

        compiled = wrap(f)

        def call(x: Any) -> Any:
            r.calls += 1
            return compiled(r.h if r.calls % 4 == 3 else x)

        call.compiled = compiled  # type: ignore[attr-defined]
        return call, lambda: r.h

    assert alike(make).programs


def test_a_statement_that_reads_the_place_is_not_put_off() -> None:
    def make(wrap: Any) -> Any:
        r, log = Holder(h=dg.zeros(3)), []

        def f(x: Any) -> Any:
            log.append(getattr(r, "h").sum().item())  # noqa: B009
            r.h = r.h + x
            log.append(r.h.sum().item())
            return r.h * 2

        return wrap(f), lambda: list(log)

    alike(make)


def test_an_error_leaves_the_place_as_it_was_before() -> None:
    r = Holder(h=dg.zeros(3))

    @dg.compile(wait=True)
    def f(x: Any, index: Any) -> Any:
        y = (r.h + x)[index]
        r.h = r.h + x
        return y

    for _ in range(3):
        f(dg.ones(3), dg.tensor([0, 1]))
    with pytest.raises(IndexError):
        f(dg.ones(3), dg.tensor([0, 7]))
    assert r.h.tolist() == [3.0] * 3
    assert f.programs[0].calls == 2


def test_sizes_that_change_with_them() -> None:
    def make(wrap: Any) -> Any:
        r = Holder(h=dg.zeros(3), n=0)

        def f(x: Any) -> Any:
            r.n += 1
            r.h = r.h + x.mean(0) / r.n
            return x + r.h

        compiled = wrap(f)

        def call(x: Any) -> Any:
            return compiled(dg.stack([x] * (2 + r.n // 3 % 3)))

        call.compiled = compiled  # type: ignore[attr-defined]
        return call, lambda: (r.h, r.n)

    assert alike(make).programs
    expected, _ = seen(make, lambda f: f, 16)
    given, _ = seen(make, lambda f: dg.compile(f, wait=True, dynamic={"x": {0: "n"}}), 16)
    assert given == expected


def test_an_error_leaves_plain_numbers() -> None:
    r = Holder(n=4)

    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        r.n -= 1
        return x * (1 / r.n)

    for _ in range(3):
        f(dg.ones(3))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            f(dg.ones(3))
        assert type(r.n) is int
        r.n = 1


def test_it_is_told() -> None:
    make, _ = attribute(lambda f: dg.compile(f, wait=True))
    make(dg.ones(3))
    assert "r.h = 'any f32[3]'" in make.explain()
    assert "puts a result at r.h" in make.explain()


@both_modes(at_least=12)
def test_a_flag_that_each_call_turns_has_a_program_for_each_of_its_values(wrap: Wrap) -> Any:
    class Turns:
        def __init__(self) -> None:
            self.flag = False
            self.seen = 0

        def step(self, x: Any) -> Any:
            self.flag = not self.flag
            return x * 2 if self.flag else x - 1

    held = Turns()
    step = wrap(held.step)
    for i in range(20):
        yield step(normal(4, seed=i)), held.flag
    held.flag = not held.flag  # by someone else
    for i in range(4):
        yield step(normal(4, seed=i)), held.flag


@both_modes(at_least=12)
def test_a_flag_that_follows_from_values_leads_the_next_call(wrap: Wrap) -> Any:
    class Held:
        high = False

    held = Held()
    held.high = False

    @wrap
    def step(x: Any) -> Any:
        y = x * 0.5 if held.high else x + 0.25
        held.high = bool((y * y).mean() > 0.5)
        return y

    for i in range(40):
        yield step(normal(4, seed=i)), held.high

"""Footguns: functions and objects that statements at the end of a call use are exchanged between calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import x


class Meter:
    def __init__(self) -> None:
        self.total = 0.0

    def update(self, value: float) -> None:
        self.total += value


class Spoiling(Meter):
    """One that writes a tensor."""

    def __init__(self, w: Any) -> None:
        super().__init__()
        self.w = w

    def update(self, value: float) -> None:
        self.w.mul_(0.5)


class Holder:
    def __init__(self, each: list[Any], meter: Any = None) -> None:
        self.all, self.meter, self.log = each, meter, []


def training(told: Holder, w: Any) -> Callable[[Any], Any]:
    def f(a: Any) -> Any:
        y = a * w
        for one in told.all:
            one(y.sum().item())
        told.meter.update(y.mean().item())
        return y + w

    return f


@both_modes(4)
def test_a_callback_is_exchanged_for_one_that_writes_a_tensor(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3)
    seen: list[float] = []
    told = Holder([seen.append], Meter())
    f = wrap(training(told, w))
    for i in range(12):
        if i == 7:
            told.all = [lambda value: w.mul_(0.5)]
        yield f(x() * i), w, list(seen)


@both_modes(4)
def test_a_callback_that_writes_a_tensor_joins_others(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3)
    seen: list[float] = []
    told = Holder([seen.append], Meter())
    f = wrap(training(told, w))
    for i in range(12):
        if i == 7:
            told.all.append(lambda value: w.mul_(0.5))
        yield f(x() * i), w, list(seen)


@both_modes(4)
def test_the_first_of_some_callbacks_changes_what_other_code_reads(wrap: Wrap) -> Iterator[Any]:
    seen: list[Any] = []
    log: list[float] = []

    def see(y: Any) -> None:
        seen.append(y.shape)

    def write(y: Any) -> None:
        log.append(1.0)

    callbacks = [see]

    @wrap
    def step(v: Any) -> Any:
        y = v * 2
        for call in callbacks:
            call(y)
        for n in log[-2:]:
            y = y + n
        return y

    for i in range(12):
        if i == 5:
            callbacks.clear()
        if i == 9:
            callbacks.append(write)
        yield step(x() * i), len(seen), list(log)


@both_modes(4)
def test_a_meter_is_exchanged(wrap: Wrap) -> Iterator[Any]:
    w, told = dg.ones(3), Holder([], Meter())
    f = wrap(training(told, w))
    for i in range(15):
        if i in (5, 7):
            told.meter = Meter()
        if i == 9:
            told.meter = Spoiling(w)
        if i == 11:
            told.meter = Meter()
            told.meter.update = lambda value: w.add_(1)  # type: ignore[method-assign]
        yield f(x() * i), w, told.meter.total


class Knowing(Meter):
    """One that holds itself, and a list that holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.me, self.all = self, list[Any]()
        self.all.append(self.all)


@both_modes(4)
def test_a_meter_that_holds_itself_is_exchanged(wrap: Wrap) -> Iterator[Any]:
    w, told = dg.ones(3), Holder([], Knowing())
    f = wrap(training(told, w))
    for i in range(9):
        if i in (5, 7):
            told.meter = Knowing()
        yield f(x() * i), told.meter.total


@both_modes(2)
def test_a_method_is_exchanged(wrap: Wrap) -> Iterator[Any]:
    class Own(Meter):
        pass

    w, told = dg.ones(3), Holder([], Own())
    f = wrap(training(told, w))
    for i in range(12):
        if i == 6:
            Own.update = lambda self, value: w.mul_(0.5)  # type: ignore[method-assign]
        if i == 9:
            del Own.update
        yield f(x() * i), w, told.meter.total


@both_modes(2)
def test_a_list_is_exchanged_for_one_that_is_read(wrap: Wrap) -> Iterator[Any]:
    read: list[float] = []
    told = Holder([])

    @wrap
    def f(a: Any) -> Any:
        told.log.append(a.sum().item())
        return a * len(read)

    for i in range(12):
        if i == 5:
            told.log = []
        if i == 8:
            told.log = read
        yield f(x() * i), list(told.log), list(read)


def test_meters_made_anew_need_no_capture() -> None:
    w, told = dg.ones(3), Holder([], Meter())
    f = dg.compile(training(told, w), wait=True)
    for _ in range(40):
        f(x())
        told.meter = Meter()
    assert len(f.programs) == 1 and f.programs[0].calls > 30


@both_modes(3)
def test_an_argument_that_is_written_is_what_a_statement_reads(wrap: Wrap) -> Iterator[Any]:
    held, log = {"k": dg.ones(2)}, list[float]()

    def f(a: Any) -> Any:
        log.append(held["k"].sum().item())
        a.add_(1)
        return a * 2

    f = wrap(f)
    for i in range(9):
        yield f(held["k"] if i in (5, 7) else dg.ones(2) * i), list(log)


@both_modes(3)
def test_a_tensor_that_is_written_comes_where_a_statement_reads(wrap: Wrap) -> Iterator[Any]:
    told, held, log = Holder([]), {"k": dg.ones(2)}, list[float]()
    told.meter = dg.ones(2)

    def f(a: Any) -> Any:
        log.append(held["k"].sum().item())
        told.meter.add_(a)
        return told.meter * 2

    f = wrap(f)
    for i in range(12):
        if i in (5, 11):
            held["k"] = told.meter if i == 5 else told.meter[:1]
        if i == 7:
            held["k"] = dg.ones(2)
        if i in (9, 10):
            told.meter = held["k"] if i == 9 else dg.zeros(2)
        yield f(dg.ones(2) * i), list(log)


@both_modes(3)
def test_a_tensor_that_is_written_comes_into_a_list_that_a_statement_reads(
    wrap: Wrap,
) -> Iterator[Any]:
    told, held, log = Holder([]), {"k": [dg.ones(2)]}, list[float]()
    told.meter = dg.ones(2)

    def f(a: Any) -> Any:
        log.append(held["k"][0].sum().item())
        told.meter.mul_(a)
        told.all = told.meter + 1
        return told.all

    f = wrap(f)
    for i in range(12):
        if i in (5, 7):
            held["k"] = [told.meter] if i == 5 else [dg.ones(2)]
        if i in (9, 10):
            held["k"][0] = told.meter if i == 9 else told.meter.view(2)
        yield f(dg.ones(2) * (i + 1)), list(log)


class Trainer:
    """One whose counter has the name of a method that it calls."""

    def __init__(self) -> None:
        self.step, self.rate, self.h = 0, 0.5, dg.zeros(3)
        self.log: list[Any] = []
        self.w = dg.ones(3, requires_grad=True)
        self.opt = dg.optim.SGD([self.w], lr=0.1)

    def fit(self, a: Any) -> Any:
        loss = (a * self.w * self.rate).square().mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        if self.step % 2 == 0:
            self.log.append((self.step, self.rate, loss.item()))
        self.step += 1
        self.rate *= 0.9
        self.log.append((self.step, self.rate))
        return loss.detach()

    def shown(self) -> Any:
        return self.step, self.rate, list(self.log), self.w.detach(), self.h


@both_modes(8)
def test_what_a_statement_tells_before_and_after_it_is_moved_on(wrap: Wrap) -> Iterator[Any]:
    t = Trainer()
    f = wrap(t.fit)
    for i in range(16):
        yield f(x() + i), t.shown()


@both_modes(6)
def test_a_tensor_is_told_of_before_another_takes_its_place(wrap: Wrap) -> Iterator[Any]:
    t = Trainer()

    @wrap
    def f(a: Any) -> Any:
        t.log.append(t.h.sum().item())
        t.h = t.h * 0.5 + a.sum(0)
        return t.h * 2

    for i in range(12):
        yield f(x() + i), t.shown()


@both_modes(6)
def test_an_error_of_a_statement_leaves_what_comes_after_it_as_it_was(wrap: Wrap) -> Iterator[Any]:
    t = Trainer()
    limits = {"first": 0, "then": 0}

    @wrap
    def f(a: Any) -> Any:
        y = a * (1 + t.step)
        t.log.append(1 / (limits["first"] - t.step))
        t.step += 1
        t.log.append(1 / (limits["then"] - t.step))
        return y

    for i in range(16):
        limits["first"] = t.step if i == 9 else -1
        limits["then"] = t.step + 1 if i == 12 else -1
        yield attempt(lambda: f(x())), t.shown()

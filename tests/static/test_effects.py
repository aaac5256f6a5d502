"""Effects inside of compiled functions: they happen on each call, once, in order, with real values."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import sys
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn import functional as F
from dualgraph.static.code.statements import SEEN
from tests.side_by_side import frozen

Program = Callable[[Any], tuple[Any, Callable[[], Any]]]
LOSSES: list[float] = []
TOTAL = 0.0


def seen(make: Program, wrap: Any, calls: int = 10) -> tuple[Any, Any]:
    """What the calls of a function gave and did, as text; and the function."""
    dg.manual_seed(0)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        fn, state = make(wrap)
        told = []
        for i in range(calls):
            try:
                told.append(repr(fn(dg.tensor([1.0, 2.0, 3.0]) * (i % 5 + 1))))
            except (ValueError, StopIteration) as error:
                told.append(f"{type(error).__name__}: {error}")
            told.append(repr(state()))
    return (told, out.getvalue()), fn


def numbers_into_a_list(wrap: Any) -> Any:
    LOSSES.clear()

    def step(x: Any) -> Any:
        LOSSES.append((x * 2).sum().item())
        return x + 1

    return wrap(step), lambda: LOSSES


@dataclasses.dataclass(frozen=True)
class Told:
    """What a call tells: it is watched while it is made."""

    loss: float
    row: list[float]
    y: dg.Tensor


def a_dataclass_of_values(wrap: Any) -> Any:
    def step(x: Any) -> Any:
        y = x * 2
        return Told(y.sum().item(), y.tolist(), y + 1)

    return wrap(step), lambda: None


def prints(wrap: Any) -> Any:
    def step(x: Any) -> Any:
        y = (x * 2).sum()
        print("loss", y.item(), f"{y.item():.2f} {y}", x.shape, sep=" | ")
        return x + 1

    return wrap(step), lambda: None


class Trainer:
    def __init__(self) -> None:
        self.steps = 0
        self.log: dict[str, float] = {}
        self.history: list[Any] = []
        self.last: Any = None
        self.model = nn.Linear(3, 1)
        self.optimiser = dg.optim.Adam(self.model.parameters(), lr=0.1)

    def step(self, x: Any) -> Any:
        self.steps += 1
        self.optimiser.zero_grad()
        loss = (self.model(x) ** 2).mean()
        loss.backward()
        self.optimiser.step()
        self.log["loss"] = loss.item()
        self.history.append(loss.detach())
        value = loss.item()
        self.last = value
        print(f"step {self.steps}: {value:.4f}")
        return value


def a_training_step(wrap: Any) -> Any:
    t = Trainer()
    return wrap(t.step), lambda: (t.steps, t.log, t.history, t.last, list(t.model.parameters()))


class Meter:
    def __init__(self) -> None:
        self.sum = self.count = self.average = 0.0

    def update(self, value: float, n: int = 1) -> None:
        self.sum += value * n
        self.count += n
        self.average = self.sum / self.count


def meters_and_totals(wrap: Any) -> Any:
    meter, total, right = Meter(), 0.0, 0

    def step(x: Any) -> Any:
        global TOTAL
        nonlocal total, right
        y = (x * 2).sum()
        meter.update(y.item(), x.shape[0])
        total += y.item() * 2
        TOTAL += y.item()
        right += (x > 3).sum().item()
        return y

    return wrap(step), lambda: (vars(meter), total, right)


def callbacks(wrap: Any) -> Any:
    known: list[Any] = []

    def callback(loss: Any, at: int) -> None:
        known.append((float(loss), at))

    def step(x: Any) -> Any:
        y = (x * 2).sum()
        callback(y, 3)
        return y * 2

    return wrap(step), lambda: known


def logs(wrap: Any) -> Any:
    out = io.StringIO()
    log = logging.getLogger("tests.effects")
    log.handlers, log.propagate = [logging.StreamHandler(out)], False
    log.setLevel(logging.INFO)

    def step(x: Any) -> Any:
        y = (x * 2).sum()
        log.info("loss %.3f", y.item())
        log.debug("not %s", y)
        return y * 2

    return wrap(step), out.getvalue


def whole_tensors(wrap: Any) -> Any:
    kept: list[Any] = []
    groups: Any = defaultdict(list)
    recent: Any = deque(maxlen=2)

    def step(x: Any) -> Any:
        y = x * 2
        kept.extend(y.tolist())
        groups["a"].append(y.numpy().copy())
        groups["b"].append((y.argmax(0).item(), {"y": y}))
        recent.appendleft(y)
        best = y.max().item() / 3
        kept.append(round(best, 3))
        return y * 2

    return wrap(step), lambda: (kept, dict(groups), recent)


def in_a_loop(wrap: Any) -> Any:
    layers: list[Any] = []

    def step(x: Any) -> Any:
        layers.clear()
        for i in range(3):
            x = (x * 2).tanh()
            layers.append((i, x))
        return x.sum()

    return wrap(step), lambda: layers


def numbers_kept_and_returned(wrap: Any) -> Any:
    known: list[Any] = []

    def step(x: Any) -> Any:
        loss, most = x.sum().item(), x.max()
        entry = {"loss": loss, "most": float(most)}
        known.append(loss)
        print(entry["loss"])
        return loss, most

    return wrap(step), lambda: known


def after_a_branch(wrap: Any) -> Any:
    known: list[Any] = []

    def step(x: Any) -> Any:
        known.append("begins")
        if x.sum() > 15:
            known.append(x.mean().item())
            return x.exp()
        print("low", x.sum().item())
        return x.sin()

    return wrap(step), lambda: known


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.calls = 0
        self.norms: list[float] = []

    def forward(self, x: Any) -> Any:
        self.calls += 1
        y = self.lin(x)
        self.norms.append(y.norm().item())
        return y.relu().detach()


def in_a_module(wrap: Any) -> Any:
    m = Counting()
    return wrap(m), lambda: (m.calls, m.norms)


COMPILED = [
    numbers_into_a_list, prints, a_training_step, meters_and_totals, callbacks, logs, whole_tensors, in_a_loop,
    numbers_kept_and_returned, after_a_branch, in_a_module,
]  # fmt: skip


# --- blocks --------------------------------------------------------------------------------------


class Span:
    """Counts how often it is entered, and left."""

    def __init__(self) -> None:
        self.entered = self.left = 0

    def __enter__(self) -> Span:
        self.entered += 1
        return self

    def __exit__(self, *error: Any) -> None:
        self.left += 1


def in_context_managers(wrap: Any) -> Any:
    known: list[Any] = []
    lock, span = threading.Lock(), Span()

    def step(x: Any) -> Any:
        with dg.no_grad():
            y = (x * 2).sum()
            known.append(y.item())
        with span as s, lock:
            known.append((y.item(), s.entered))
        return y + 1

    return wrap(step), lambda: (known, span.entered, span.left)


def on_a_counter(wrap: Any) -> Any:
    trainer = Trainer()
    every = 0

    def step(x: Any) -> Any:
        nonlocal every
        y = (x * 2).sum()
        trainer.steps += 1
        every += 1
        if trainer.steps % 3 == 0:
            print("step", trainer.steps, y.item())
        elif every % 2:
            trainer.history.append(y.item())
        return y + 1

    return wrap(step), lambda: (trainer.steps, trainer.history, every)


def in_try_and_finally(wrap: Any) -> Any:
    table: dict[Any, int] = {}
    trainer = Trainer()

    def step(x: Any) -> Any:
        y = (x * 2).sum()
        trainer.last = "busy"
        try:
            trainer.history.append(y.item())
        finally:
            trainer.last = "idle"
            trainer.steps += 1
        try:
            table[y.item()] += 1
        except KeyError:
            table[y.item()] = 1
        return y

    return wrap(step), lambda: (table, trainer.last, trainer.steps, trainer.history)


def python_values_returned(wrap: Any) -> Any:
    def step(x: Any) -> Any:
        y = (x * 2).tanh()
        return y, y.numpy(), y.tolist(), float(y.sum()), f"{y.mean().item():.3f}", x.shape

    return wrap(step), lambda: None


def in_a_file(wrap: Any) -> Any:
    handle, path = tempfile.mkstemp()
    os.close(handle)

    def step(x: Any) -> Any:
        y = (x * 2).sum()
        with open(path, "a") as f:
            f.write(f"{y.item()} ")
        return y + 1

    def read() -> str:
        with open(path) as f:
            return f.read()

    return wrap(step), read


def the_best_so_far(wrap: Any) -> Any:
    best, epochs = float("inf"), []

    def step(x: Any) -> Any:
        nonlocal best
        loss = (x * 2).sum()
        value = loss.item()
        if value < best:
            best = value
            epochs.append(value)
        for name, v in {"loss": value, "best": best}.items():
            if v > 20:
                print(name, v)
        return loss + 1

    return wrap(step), lambda: (best, epochs)


class Bar:
    """As of a progress bar."""

    def __init__(self) -> None:
        self.n, self.postfix = 0, ""

    def update(self, n: int = 1) -> None:
        self.n += n

    def set_postfix(self, **values: float) -> None:
        self.postfix = ", ".join(f"{k}={v:.2f}" for k, v in values.items())


def comprehensions_and_progress(wrap: Any) -> Any:
    bar = Bar()
    model = nn.Linear(3, 1)
    norms: list[Any] = []

    def step(x: Any) -> Any:
        ys = [x * i for i in range(3)]
        norms.extend([y.sum().item() for y in ys])
        norms.append({name: p.norm().item() for name, p in model.named_parameters()})
        bar.update(1)
        y = x.tanh()
        bar.set_postfix(first=y.sum().item(), n=bar.n)
        return y + 1

    return wrap(step), lambda: (norms, bar.n, bar.postfix)


BLOCKS = [
    comprehensions_and_progress,
    in_context_managers, on_a_counter, in_try_and_finally, python_values_returned, in_a_file, the_best_so_far,
]  # fmt: skip


seen_only = pytest.mark.skipif(not SEEN, reason="statements are not set apart on this Python")


@seen_only
@pytest.mark.parametrize("make", COMPILED + BLOCKS, ids=lambda f: f.__name__)
def test_effects_happen_on_each_compiled_call(make: Program) -> None:
    expected, _ = seen(make, lambda f: f, 14)
    got, fn = seen(make, lambda f: dg.compile(f, wait=True), 14)
    assert got == expected
    if make in BLOCKS and sys.version_info < (3, 11):  # handlers are not followed there
        return
    assert sum(p.calls for p in fn.programs) >= 4, fn.explain()
    told = fn.explain()
    assert "at the end of each call" in told or "puts a result at" in told


# --- what must stay where it is ------------------------------------------------------------------


def read_again(wrap: Any) -> Any:
    known: list[Any] = []

    def step(x: Any) -> Any:
        known.append(x.sum().item())
        return x * len(known)

    return wrap(step), lambda: known


def written_later(wrap: Any) -> Any:
    known: list[Any] = []
    weight = dg.ones(3)

    def step(x: Any) -> Any:
        known.append(weight.sum().item())
        known.append(weight)
        weight.add_(x)
        print(weight)
        return weight * 2

    return wrap(step), lambda: known


def a_flag_of_the_value(wrap: Any) -> Any:
    state = {"high": True}

    def step(x: Any) -> Any:
        state["high"] = x.sum().item() > 10
        return x * 2 if state["high"] else x * 3

    return wrap(step), lambda: state


def a_container_that_grows(wrap: Any) -> Any:
    known: list[Any] = []

    def step(x: Any) -> Any:
        entry = {"a": x.sum()}
        known.append(entry)
        entry["b"] = x.max()
        return entry

    return wrap(step), lambda: known


def an_error_half_way(wrap: Any) -> Any:
    known: list[Any] = []

    def step(x: Any) -> Any:
        known.append(x.sum().item())
        if x.sum() > 20:
            raise ValueError(f"too much: {x.sum().item()}")
        known.append("fine")
        return x * 2

    return wrap(step), lambda: known


def an_error_of_the_effect(wrap: Any) -> Any:
    table = {6.0: "a", 12.0: "b", 18.0: "c"}
    known: list[Any] = []

    def stop(value: float) -> None:
        known.append(value)
        if value > 20:
            raise StopIteration("enough")

    def step(x: Any) -> Any:
        stop(x.sum().item())
        known.append(table.get(x.sum().item()))
        return x * 2

    return wrap(step), lambda: known


def a_handler(wrap: Any) -> Any:
    table: dict[Any, list[Any]] = {}

    def step(x: Any) -> Any:
        key = int(x[0].item())
        try:
            table[key].append(x.sum().item())
        except KeyError:
            table[key] = [0.0]
        return x * 2

    return wrap(step), lambda: table


def drawn_numbers(wrap: Any) -> Any:
    known: list[Any] = []

    def step(x: Any) -> Any:
        known.append(dg.rand(1).item())
        return x * dg.rand(3)

    return wrap(step), lambda: known


def a_mode_that_comes_and_goes(wrap: Any) -> Any:
    class Model:
        mode = "idle"

        def __call__(self, x: Any) -> Any:
            self.mode = "busy" if x.ndim == 1 else "odd"
            print(self.mode)
            y = self.inner(x)
            self.mode = "idle"
            return y

        def inner(self, x: Any) -> Any:
            return x * (2 if self.mode == "busy" else 3)

    m = Model()
    return wrap(m), lambda: m.mode


def every_third_call(wrap: Any) -> Any:
    class Model:
        def __init__(self) -> None:
            self.n, self.scale = 0, dg.ones(3)

        def tick(self, v: float) -> None:
            self.n += 1
            if self.n % 3 == 0:
                self.scale.mul_(2.0)

        def __call__(self, x: Any) -> Any:
            self.tick(x.sum().item())
            return x * self.scale

    m = Model()
    return wrap(m), lambda: (m.n, m.scale)


def made_anew(wrap: Any) -> Any:
    known: list[Any] = []

    def logger(to: list[Any]) -> Any:
        def log(v: Any) -> None:
            to.append(v)

        return log

    other = logger([])
    other(0)

    def step(x: Any) -> Any:
        local: list[Any] = []
        log = logger(local if x.sum() > 10 else known)
        log(x.sum().item())
        return x * (1 + len(local))

    return wrap(step), lambda: known


KEPT = [
    a_dataclass_of_values,
    read_again, written_later, a_flag_of_the_value, a_container_that_grows, an_error_half_way, an_error_of_the_effect,
    a_handler, drawn_numbers, a_mode_that_comes_and_goes, every_third_call, made_anew,
]  # fmt: skip


@pytest.mark.parametrize("make", KEPT, ids=lambda f: f.__name__)
def test_what_cannot_be_set_apart_is_as_in_eager_mode(make: Program) -> None:
    expected, _ = seen(make, lambda f: f, 14)
    got, fn = seen(make, lambda f: dg.compile(f, wait=True), 14)
    assert got == expected, fn.explain()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_callback_that_stops_the_call_stops_it_before_later_writes(at_once: bool) -> None:
    def run(wrap: Any) -> Any:
        known: list[Any] = []
        weight = dg.zeros(3)

        def stop(value: float) -> None:
            known.append(value)
            if value > 50:
                raise StopIteration("enough")

        def step(x: Any) -> Any:
            y = (x * 2).sum()
            if not at_once:
                weight.mul_(0.5)
            stop(y.item())
            weight.add_(x)
            known.append("done")
            return y

        return wrap(step), lambda: (weight, known)

    expected, _ = seen(run, lambda f: f, 14)
    got, fn = seen(run, lambda f: dg.compile(f, wait=True), 14)
    assert got == expected, fn.explain()


@seen_only
def test_an_error_of_an_effect_does_not_run_the_call_again() -> None:
    known: list[Any] = []

    def step(x: Any) -> Any:
        known.append(x.sum().item())
        print(1 / (x.sum().item() - 6))
        return x * 2

    compiled = dg.compile(step, wait=True)
    with contextlib.redirect_stdout(io.StringIO()):
        for i in range(2, 8):
            compiled(dg.tensor([1.0, 2.0, 3.0]) * i)
        assert sum(p.calls for p in compiled.programs) > 2, compiled.explain()
        del known[:]
        with pytest.raises(ZeroDivisionError) as caught:
            compiled(dg.tensor([1.0, 2.0, 3.0]))
    assert known == [6.0]
    assert caught.traceback[-1].name == "step"
    assert "print(1" in str(caught.traceback[-1].statement)


def test_nothing_is_lost_where_another_trace_function_takes_over():
    """As the tracers written in C do that measure coverage: called once, they put themselves in the first place."""
    seen = []

    def takes_over(frame: Any, event: str, arg: Any) -> Any:
        sys.settrace(takes_over)
        return takes_over

    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        y = (x * 2).sum()
        seen.append(y.item())
        return y

    before = sys.gettrace()
    try:
        for i in range(6):
            sys.settrace(takes_over)
            f(dg.ones(3) * i)
    finally:
        sys.settrace(before)
    assert seen == [6.0 * i for i in range(6)]
    if hasattr(sys, "monitoring"):  # nobody can take that away
        assert len(f.programs) == 1 and f.programs[0].calls >= 3, f.explain()
    else:
        assert not f.programs and "took over" in f.explain(), f.explain()


def test_effects_are_seen_from_several_threads_at_once() -> None:
    def make(known: list[float]) -> Any:
        def step(x: Any) -> Any:
            y = (x * 2).sum()
            known.append(y.item())
            return y + 1

        return dg.compile(step, wait=True)

    def run(known: list[float], fn: Any) -> None:
        for i in range(12):
            fn(dg.ones(3) * i)

    lists: list[list[float]] = [[] for _ in range(4)]
    fns = [make(known) for known in lists]
    shared: list[float] = []
    one = make(shared)
    threads = [threading.Thread(target=run, args=pair) for pair in zip(lists, fns, strict=True)]
    threads += [threading.Thread(target=run, args=(shared, one)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(known == [6.0 * i for i in range(12)] for known in lists)
    assert sorted(shared) == sorted([6.0 * i for i in range(12)] * 4)
    assert all(f.programs for f in fns)


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="as of Python 3.12")
def test_nothing_is_monitored_while_nothing_is_captured() -> None:
    f, _ = numbers_into_a_list(lambda f: dg.compile(f, wait=True))
    for i in range(4):
        f(dg.ones(3) * i)
    watch = sys.monitoring  # type: ignore[attr-defined]
    (tool,) = [i for i in range(6) if watch.get_tool(i) == "dualgraph"]
    assert f.programs and watch.get_events(tool) == 0
    assert watch.get_local_events(tool, f.__wrapped__.__code__) == 0


@seen_only
@pytest.mark.parametrize("make", [numbers_into_a_list, python_values_returned])
def test_a_program_with_effects_is_not_saved_without_them(make: Program, tmp_path: Any) -> None:
    _, fn = seen(make, lambda f: dg.compile(f, wait=True))
    for obj in (fn, fn.programs[0]):
        with pytest.raises(dg.CaptureError, match="at the end of each call"):
            dg.save(obj, tmp_path / "program.dg")


def test_a_statement_that_may_draw_in_another_call_is_not_set_apart() -> None:
    """Out of training it draws nothing; at the end of a call it would draw after what the program draws."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.last = nn.Parameter(dg.ones(3, 4)), None

        def step(self, x: Any) -> Any:
            self.last = F.dropout(self.w, 0.3, training=self.training) + 1
            noise = dg.rand(3, 4)
            print(end="")
            return x * noise

    def play(compiled: bool) -> list[Any]:
        dg.manual_seed(0)
        net = Net()
        run = dg.compile(net.step, wait=True) if compiled else net.step
        seen = []
        for i in range(8):
            net.train(i % 5 == 4)
            seen.append((frozen(run(dg.ones(3, 4) * i)), frozen(net.last)))
        return seen

    assert play(True) == play(False)


def test_texts_that_only_statements_set_apart_read_are_made_there() -> None:
    state, lines = {"step": 0}, []

    def step(x: Any) -> Any:
        state["step"] += 1
        loss = x.square().mean()
        name = f"step {state['step']:04d}"
        lines.append(name + f" loss {loss.item():.3f}")
        return loss

    f = dg.compile(step, wait=True)
    for i in range(8):
        f(dg.ones(3) * i)
    assert lines == [f"step {i + 1:04d} loss {float(i * i):.3f}" for i in range(8)]
    assert len(f.programs) == 1 and f.programs[0].calls >= 4, f.explain()

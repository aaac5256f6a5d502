"""Numbers taken out of tensors that Python goes on with and gives back - sums, lists, texts, best so far."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.jit.growing import MAX_PROGRAMS
from dualgraph.static.code.statements import SEEN
from tests.side_by_side import frozen

Step = Callable[["State", Any], Any]
STEPS: list[Step] = []


class State:
    def __init__(self) -> None:
        self.best, self.bad, self.ema, self.history = 1e9, 0, 0.0, list[float]()
        net = nn.Linear(3, 1)
        sgd = dg.optim.SGD(net.parameters(), lr=0.01)

        def train(x: Any) -> Any:
            loss = net(x).square().mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            return loss

        self.train = train


@dataclasses.dataclass
class Told:
    loss: float
    rows: int


def step(fn: Step) -> Step:
    STEPS.append(fn)
    return fn


@step
def a_total_over_a_loop(s: State, x: Any) -> Any:
    total = 0.0
    for _ in range(3):
        loss = s.train(x)
        total += loss.item()
    return total / 3


@step
def a_list_over_a_loop(s: State, x: Any) -> Any:
    losses = []
    for _ in range(3):
        loss = s.train(x)
        losses.append(loss.item())
    return losses


@step
def a_list_of_numbers_and_others(s: State, x: Any) -> Any:
    found: list[Any] = []
    for k in range(2):
        loss = s.train(x * k)
        found.append(loss.item())
        found.append(k)
    found.extend([1, 2])
    return found


@step
def a_total_in_a_branch(s: State, x: Any) -> Any:
    total = 0.0
    for k in range(3):
        loss = s.train(x * k)
        if loss.item() > 0.5:
            total += loss.item()
    return total


@step
def a_text_in_a_variable(s: State, x: Any) -> Any:
    loss = s.train(x)
    text = f"{loss.item():.3f}"
    return text.rjust(12)


@step
def a_rounded_number(s: State, x: Any) -> Any:
    loss = s.train(x)
    value = round(loss.item(), 3)
    return value


@step
def a_dict_that_grows(s: State, x: Any) -> Any:
    log: dict[str, Any] = {}
    loss = s.train(x)
    value = loss.item()
    log["loss"] = value
    log["ppl"] = math.exp(min(value, 20))
    if value > 0.5:
        log["large"] = True
    return log


@step
def a_dataclass(s: State, x: Any) -> Any:
    loss = s.train(x)
    told = Told(loss.item(), len(x))
    return told


@step
def a_dataclass_at_once(s: State, x: Any) -> Any:
    loss = s.train(x)
    return Told(loss.item(), len(x))


@step
def json_text(s: State, x: Any) -> Any:
    loss = s.train(x)
    text = json.dumps({"loss": loss.item()})
    return text


@step
def the_best_so_far(s: State, x: Any) -> Any:
    loss = s.train(x)
    value = loss.item()
    if value < s.best:
        s.best, s.bad = value, 0
    else:
        s.bad += 1
    return value, s.bad


@step
def an_average_that_is_returned(s: State, x: Any) -> Any:
    loss = s.train(x)
    s.ema = 0.9 * s.ema + 0.1 * loss.item()
    return s.ema


@step
def a_history_that_is_summed(s: State, x: Any) -> Any:
    loss = s.train(x)
    s.history.append(loss.item())
    return sum(s.history) / len(s.history)


@step
def the_largest_and_where(s: State, x: Any) -> Any:
    largest, at = -1.0, None
    for k in range(3):
        loss = s.train(x * k)
        value = loss.item()
        if value > largest:
            largest = value
            at = k
    return at, largest


@step
def a_choice_in_an_expression(s: State, x: Any) -> Any:
    loss = s.train(x)
    a = loss.item()
    b = a + 1 if a > 0.5 else a - 1
    text = f"{b:.2f}"
    return text, b


@step
def totals_that_begin_together(s: State, x: Any) -> Any:
    correct = total = 0
    for _ in range(3):
        loss = s.train(x)
        correct += loss.item()
        total += x.size(0)
    return correct / total


@step
def totals_from_one_tuple(s: State, x: Any) -> Any:
    running, seen = 0.0, 0
    for _ in range(3):
        loss = s.train(x)
        running += loss.item() * x.size(0)
        seen += x.size(0)
    return {"loss": running / seen, "seen": seen}


def play(step: Step, wrap: Any, calls: int = 14) -> tuple[list[Any], Any]:
    dg.manual_seed(0)
    s, shown = State(), []
    run = wrap(lambda x: step(s, x))
    for i in range(calls):
        if i == 9:
            s.best, s.ema = 0.5, 2.0
        x = dg.tensor([1.0, -2.0, 3.0]) * (0.1 + i % 4)
        shown.append(frozen([run(x), s.best, s.bad, s.ema, s.history]))
    return shown, run


@pytest.mark.skipif(not SEEN, reason="byte code that is not known")
@pytest.mark.parametrize("step", STEPS, ids=lambda fn: fn.__name__)
def test_numbers_that_python_goes_on_with_need_one_program(step: Step) -> None:
    found, run = play(step, lambda fn: dg.compile(fn, wait=True))
    assert found == play(step, lambda fn: fn)[0]
    assert len(run.programs) == 1, run.explain()
    assert run.programs[0].calls >= 6, run.explain()


@pytest.mark.skipif(not SEEN, reason="byte code that is not known")
def test_whole_numbers_that_lead_many_ways_are_set_apart() -> None:
    """Three counts of 0 to 3 have 64 paths, and each of them fewer values than a number may have."""

    def hits(x: Any) -> float:
        correct = total = 0
        for row in x:
            correct += (row > 0).sum().item()
            total += row.size(0)
        return correct / total

    f = dg.compile(hits, wait=True)
    for i in range(48):
        k = i * 187 % 512  # other signs each time
        x = dg.tensor([1.0 if k >> n & 1 else -1.0 for n in range(9)]).view(3, 3)
        assert f(x) == hits(x)
    assert len(f.programs) == 1 and f.programs[0].calls > 10, f.explain()


def test_functions_with_all_programs_they_may_have_are_called_at_little_cost() -> None:
    f = dg.compile(lambda x, key: x * len(key), wait=True)
    for i in range(2 * MAX_PROGRAMS):
        assert f(dg.ones(1), f"{i:0{1 + i % 5}}").item() == len(f"{i:0{1 + i % 5}}")
    assert len(f.programs) == MAX_PROGRAMS
    f._promotion.notice = None  # which looks through all that is known
    assert f(dg.ones(1), "another").item() == 7


def stays_a_list(s: State, x: Any) -> Any:
    found = []
    found.append(x.sum().item())
    return x * len(found), found


def has_two_names(s: State, x: Any) -> Any:
    log: dict[str, float] = {}
    same = log
    log["sum"] = x.sum().item()
    return same


def is_unknown_in_some_calls(s: State, x: Any) -> Any:
    if x.sum().item() > 4:
        value = x.sum().item()
    try:
        return value
    except UnboundLocalError:
        return None


def is_gone_in_some_calls(s: State, x: Any) -> Any:
    value = 1.5
    if x.sum().item() > 4:
        del value
    return value


def goes_on_to_a_tensor(s: State, x: Any) -> Any:
    loss = s.train(x)
    value = min(max(loss.item(), 0.1), 0.9)
    return x * value


@pytest.mark.parametrize(
    "step", [stays_a_list, has_two_names, is_unknown_in_some_calls, goes_on_to_a_tensor]
)
def test_numbers_that_go_elsewhere_are_right(step: Step) -> None:
    assert play(step, lambda fn: dg.compile(fn, wait=True))[0] == play(step, lambda fn: fn)[0]


def test_a_variable_that_is_gone_is_an_error_as_in_eager_mode() -> None:
    for wrap in (lambda fn: fn, lambda fn: dg.compile(fn, wait=True)):
        run = wrap(lambda x: is_gone_in_some_calls(State(), x))
        for i in range(6):
            if i % 3 == 2:
                with pytest.raises(UnboundLocalError):
                    run(dg.ones(3) * i)
            else:
                assert run(dg.ones(3) * (i % 3)) == 1.5

"""Statements that compute a tensor and do something with its number: the program computes it, the rest is set apart."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.static.code.pieces import function_of
from dualgraph.static.code.statements import candidates, cut_of
from tests.side_by_side import Wrap, both_modes
from tests.static.modes import normal

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="no statements are set apart there"
)


class World:
    def __init__(self) -> None:
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.log: list[Any] = []
        self.table: dict[str, Any] = {"sum": 0.0}
        self.total = 0.0


def calls(step: Any, count: int = 14) -> Any:
    for i in range(count):
        yield step(normal(2, 3, seed=i))


@both_modes(at_least=8)
def test_a_module_in_the_statement_runs_in_the_program(wrap: Wrap) -> Any:
    w = World()

    @wrap
    def step(x: Any) -> Any:
        w.log.append(w.net(x).mean().item())
        return x * 2

    yield from calls(step)
    yield w.log


@both_modes(at_least=8)
def test_losses_of_a_training_step_are_told_in_one_expression(wrap: Wrap) -> Any:
    w = World()
    adam = optim.Adam(w.net.parameters(), lr=0.01)

    @wrap
    def step(x: Any) -> Any:
        adam.zero_grad()
        loss = (w.net(x) ** 2).mean()
        loss.backward()
        adam.step()
        w.log.append(("mean", w.net(x).mean().item()))
        return loss

    yield from calls(step)
    yield w.log, w.net.state_dict()


@both_modes(at_least=8)
def test_sums_and_texts(wrap: Wrap) -> Any:
    w = World()

    @wrap
    def step(x: Any) -> Any:
        w.total += w.net(x).sum().item()
        w.log.append(f"{w.net(x * 2).sum().item():.3f} of {w.net.training}")
        return x.sum()

    for out in calls(step):
        yield out, w.total
    yield w.log


@both_modes(at_least=4)
def test_a_sum_over_a_loop(wrap: Wrap) -> Any:
    w = World()

    @wrap
    def evaluate(x: Any) -> Any:
        total = 0.0
        for row in range(2):
            total += w.net(x[row]).sum().item()
        return total, x + 1

    yield from calls(evaluate)


@both_modes(at_least=8)
def test_lists_of_numbers(wrap: Wrap) -> Any:
    w = World()

    @wrap
    def step(x: Any) -> Any:
        w.log.extend(w.net(x).flatten().tolist())
        return w.net(x * 2).argsort(0).tolist()

    yield from calls(step)
    yield w.log


@both_modes()
def test_the_tensor_may_follow_from_a_number_that_is_told_as_well(wrap: Wrap) -> Any:
    w = World()

    @wrap
    def step(x: Any) -> Any:
        n = x.sum().item()
        w.log.append(w.net(x * n).mean().item())
        w.log.append(n)
        return x

    yield from calls(step, 24)
    yield w.log


@both_modes(at_least=0)
def test_the_log_may_change_while_the_tensor_is_computed(wrap: Wrap) -> Any:
    w = World()
    logs: list[Any] = [[], []]

    def other(x: Any) -> Any:
        w.log = logs[len(logs[0]) % 2]
        return w.net(x)

    @wrap
    def step(x: Any) -> Any:
        w.log.append(other(x).mean().item())
        return x

    yield from calls(step)
    yield logs


@both_modes(at_least=0)
def test_a_tensor_that_is_written_later_is_read_in_time(wrap: Wrap) -> Any:
    w = World()
    state = dg.zeros(2, 3)

    @wrap
    def step(x: Any) -> Any:
        w.log.append(state.add_(x).sum().item())
        state.mul_(0.5)
        return state + 1

    yield from calls(step)
    yield w.log, state


class Doubled:
    """Has an `item` of its own."""

    def __init__(self, t: Any) -> None:
        self.t = t

    def item(self) -> Any:
        return 2 * self.t.item()


@both_modes(at_least=0)
def test_other_objects_with_an_item_are_asked_themselves(wrap: Wrap) -> Any:
    w = World()

    @wrap
    def step(x: Any) -> Any:
        w.log.append(Doubled(w.net(x).sum()).item())
        return x

    yield from calls(step)
    yield w.log


def test_a_cut_statement_is_a_function_of_its_tensor() -> None:
    def step(w: Any, x: Any) -> None:
        w.log.append((w.total, w.net(x).sum().item(), -1))

    statement = candidates(step.__code__)[0]
    cut = cut_of(statement)
    assert cut is not None and cut.stand_in == "x" and cut.reads == ("w", "x")
    run = function_of(cut, step)
    w = World()
    assert run is not None
    run(w, dg.ones(1) * 3)
    assert w.log == [(0.0, 3.0, -1)]


def test_nothing_is_cut_where_something_runs_before_or_no_variable_is_left() -> None:
    def before(w: Any, x: Any) -> None:
        print(len(w.log), w.net(x).sum().item())

    def used(x: Any) -> None:
        x.log.append(x.net(x).sum().item())

    def at_hand(w: Any, x: Any) -> None:
        w.log.append(x.item())

    for fn in (before, used, at_hand):
        assert not any(cut_of(s) for s in candidates(fn.__code__))


CELL = """
def step(x):
    log.append(net(x).mean().item())
    return x * 2
"""


@pytest.mark.parametrize("file", ["<cell 1>", "<cell 2>"])
def test_a_cell_that_is_run_again_is_compiled_as_before(file: str) -> None:
    # Its code is equal to that of the first run, and not the same
    for name in ("<cell 1>", file):
        names: dict[str, Any] = {"net": nn.Linear(3, 1), "log": []}
        exec(compile(CELL, name, "exec"), names)
        step = dg.compile(names["step"], wait=True)
        for i in range(4):
            step(normal(2, 3, seed=i))
        assert len(names["log"]) == 4
        assert f"runs the statement at {name}:3" in step.explain()

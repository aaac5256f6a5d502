"""Statements that may be set apart, and that write what the program reads in some calls: told by a flag, or by a value.

At the end of a call they would write after what the program has read, so they have to stay where they are.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn import functional as F
from tests.side_by_side import frozen


class Held:
    """What a program reads and writes; the flag changes from call to call."""

    def __init__(self) -> None:
        self.flag, self.last = False, None
        self.buf, self.mean, self.spread = dg.ones(3), dg.zeros(3), dg.ones(3)
        self.by_name = {"buf": self.buf}
        self.array = self.buf.numpy()
        self.bound, self.partial = self.buf.add_, functools.partial(dg.Tensor.add_, self.buf, 1)
        self.numbers = [1.0]
        self.same_numbers = self.numbers

    @property
    def grown(self) -> float:
        if self.flag:
            _ = self.buf.add_(1)
        return 1.5

    def __str__(self) -> str:
        return str(self.grown)


Note = Callable[[Held, Any], Any]
NOTES: list[Note] = []


def note(fn: Note) -> Note:
    NOTES.append(fn)
    return fn


@note
def a_result_that_is_used(s: Held, x: Any) -> Any:
    if s.flag:
        _ = s.buf.add_(1)
    return x.sum().item()


@note
def one_side_of_an_expression(s: Held, x: Any) -> Any:
    return (s.flag and s.buf.add_(1).sum().item()) or x.sum().item()


@note
def a_sum_in_place_of_a_variable(s: Held, x: Any) -> Any:
    b = s.buf
    if s.flag:
        b += 1
    return x.sum().item()


@note
def a_sum_in_place_of_an_entry(s: Held, x: Any) -> Any:
    if s.flag:
        s.by_name["buf"] += 1
    return x.sum().item()


@note
def the_array_of_a_tensor(s: Held, x: Any) -> Any:
    a = s.buf.numpy()
    if s.flag:
        a += 5
    return x.sum().item()


@note
def an_array_filled(s: Held, x: Any) -> Any:
    if s.flag:
        s.array.fill(5)
    return x.sum().item()


@note
def an_array_given_as_out(s: Held, x: Any) -> Any:
    a = s.buf.numpy()
    if s.flag:
        np.add(a, 1, out=a)
    return x.sum().item()


@note
def an_array_given_as_the_third(s: Held, x: Any) -> Any:
    a = s.buf.numpy()
    _ = np.multiply(a, 2, a) if s.flag else None
    return x.sum().item()


@note
def an_initialiser(s: Held, x: Any) -> Any:
    if s.flag:
        _ = nn.init.constant_(s.buf, 7.0)
    return x.sum().item()


@note
def told_to_work_in_place(s: Held, x: Any) -> Any:
    return F.relu(s.buf - 2 if not s.flag else s.buf, inplace=s.flag).sum().item()


@note
def running_statistics(s: Held, x: Any) -> Any:
    F.batch_norm(x.reshape(1, 3).repeat(2, 1), s.buf, s.spread, training=s.flag)
    return x.sum().item()


def deeper(s: Held) -> Any:
    return s.buf.mul_(2) if s.flag else 0


@note
def a_function_further_down(s: Held, x: Any) -> Any:
    deeper(s)
    return x.sum().item()


@note
def a_bound_method(s: Held, x: Any) -> Any:
    if s.flag:
        _ = s.bound(1)
    return x.sum().item()


@note
def a_partial(s: Held, x: Any) -> Any:
    if s.flag:
        _ = s.partial()
    return x.sum().item()


@note
def a_function_of_operator(s: Held, x: Any) -> Any:
    if s.flag:
        operator.setitem(s.buf, 0, 9)
    return x.sum().item()


@note
def a_loop_of_no_turns(s: Held, x: Any) -> Any:
    k = 2 if s.flag else 0
    while k:
        k -= 1
        _ = s.buf.add_(1)
    return x.sum().item()


@note
def a_comprehension_of_nothing(s: Held, x: Any) -> Any:
    return [s.buf.add_(1).sum().item() for _ in range(2 if s.flag else 0)]


@note
def told_by_a_value(s: Held, x: Any) -> Any:
    v = x.sum().item()
    if v > 15:
        _ = s.buf.add_(1)
    return v


@note
def a_property(s: Held, x: Any) -> Any:
    return s.grown, x.sum().item()


@note
def a_text(s: Held, x: Any) -> Any:
    return str(s), x.sum().item()


@note
def a_slice_of_an_array(s: Held, x: Any) -> Any:
    a = s.buf.numpy().reshape(-1)[:2]
    a *= 3 if s.flag else 1
    return x.sum().item()


@note
def a_list_that_has_two_names(s: Held, x: Any) -> Any:
    numbers = s.numbers
    numbers += [x.sum().item()]
    return len(numbers)


@pytest.mark.parametrize("note", NOTES, ids=lambda fn: fn.__name__)
def test_what_is_written_in_some_calls_is_written_in_order(note: Note) -> None:
    def play(wrap: Any) -> list[Any]:
        s = Held()

        def step(x: Any) -> Any:
            s.last = note(s, x)
            return x * s.buf + len(s.same_numbers)

        run, shown = wrap(step), []
        for i in range(8):
            s.flag = i in (3, 4, 7)
            shown.append(frozen([run(dg.arange(3.0) * (i % 4 + 1)), s.buf, s.last]))
        return shown

    assert play(lambda fn: dg.compile(fn, wait=True)) == play(lambda fn: fn)


def test_a_variable_that_is_written_twice_is_not_taken_for_what_it_held() -> None:
    def play(wrap: Any) -> list[Any]:
        other: list[float] = [1.0]
        log: list[float] = []
        flags: list[int] = []

        def step(x: Any) -> Any:
            into = log
            for _ in range(2):
                if flags:
                    into = other
                into.append(x.sum().item())
            return x * len(other)

        run, shown = wrap(step), []
        for i in range(8):
            flags[:] = [1] if i in (3, 4, 7) else []
            shown.append((run(dg.ones(2) * i).tolist(), [*other], [*log]))
        return shown

    assert play(lambda fn: dg.compile(fn, wait=True)) == play(lambda fn: fn)


def test_a_comprehension_hides_a_variable_only_while_it_runs() -> None:
    told: list[Any] = []

    @dg.compile(wait=True)
    def step(x: Any) -> Any:
        y = x * 2
        told.append(([x + 1 for x in (0, 1)], x.sum().item()))
        return y

    for i in range(4):
        step(dg.ones(2) * i)
    assert told == [([1, 2], 2.0 * i) for i in range(4)]

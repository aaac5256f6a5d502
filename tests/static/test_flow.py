"""Numbers that only flow into the result need one program, whatever they are; numbers used otherwise need more."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from typing import Any

import pytest

import dualgraph as dg
from tests.side_by_side import frozen
from tests.static.modes import normal


def total(x: Any) -> Any:
    return float((x * 2).sum())


def in_a_dict(x: Any) -> Any:
    loss, most = x.sum(), x.max()
    return {"loss": loss.item(), "most": int(most * 10), "three": 3, "y": x * 2}


def kept_first(x: Any) -> Any:
    n = x.sum().item()
    low = bool(x.min() < 0)
    y = [x * 3, 4]
    return [n, y, low, n]


def of_a_helper(x: Any) -> Any:
    n, y = total(x), 3
    return n, y, x.cos()


def small_whole_numbers(x: Any) -> Any:
    return int((x > 0).sum()), 2, (x > 1).sum().item(), 1


def through_float(x: Any) -> Any:
    for _ in range(2):
        x = x * 2
    return total((x + 1) * x), float(x.max().item())


def before_blocks(x: Any) -> Any:
    n = x.sum().item()
    with dg.no_grad():
        y = x * 2
    try:
        y = y + 1
    finally:
        y = y * 3
    return n, y


def before_a_loop(x: Any) -> Any:
    n = x.sum().item()
    for k in range(3):
        x = x * k + 1
        if k > 5:
            break
    for k, row in enumerate(x):
        x = x + row * k
    return {"n": n, "x": x}


def beside_stack_and_eval(x: Any) -> Any:
    """Methods have the names of functions that look at variables."""
    parts = []
    for _ in range(3):
        parts.append(x)
    loss = dg.stack(parts).sum()
    dg.nn.Identity().eval()
    return loss.item()


def a_returned_text(x: Any) -> Any:
    y = x * 2
    return f"{y.sum().item():.3f}", y


def a_returned_mean(x: Any) -> Any:
    y = x * 2
    return y.sum().item() / len(x), round(y.max().item(), 2)


TOLD = {"text": a_returned_text, "mean": a_returned_mean}
FLOWS = {
    "item": lambda x: x.sum().item(), "float": lambda x: float(x.sum()), "int": lambda x: int(x.sum() * 10),
    "bool": lambda x: bool(x.sum() > 0), "bfloat16": lambda x: x.sum().bfloat16().item(),
    "a shape of one": lambda x: (x * 2)[:1].item(), "of a helper": of_a_helper, "dict": in_a_dict,
    "kept": kept_first, "small": small_whole_numbers, "names": beside_stack_and_eval, "converted": through_float,
    "before blocks": before_blocks, "before a loop": before_a_loop,
    "not returned": lambda x: (x.sum().item(), x * 2)[1:],
}  # fmt: skip
SEES_ALL = {"not returned"}  # a subscript takes the container of the number
if sys.version_info < (3, 11):
    SEES_ALL.add("before blocks")


@pytest.mark.parametrize("before", [0, 40])  # calls: the interpreter makes its byte code special
@pytest.mark.parametrize("what", FLOWS)
def test_a_number_that_is_only_returned_needs_one_program(what: str, before: int) -> None:
    fn = FLOWS[what]
    for i in range(before):
        fn(normal(5, seed=i))
    compiled = dg.compile(fn, wait=True)
    for i in range(6):
        x = normal(5, seed=i)
        assert frozen(compiled(x)) == frozen(fn(x))
    if what not in SEES_ALL:
        assert [p.calls for p in compiled.programs] == [5], compiled.explain()


@pytest.mark.parametrize("what", TOLD)
def test_numbers_told_by_the_last_statement_need_one_program(what: str) -> None:
    fn = TOLD[what]
    compiled = dg.compile(fn, wait=True)
    for i in range(9):
        x = normal(5, seed=i)
        assert frozen(compiled(x)) == frozen(fn(x))
    (program,) = compiled.programs
    assert program.calls > 2, compiled.explain()


def looked_up(x: Any) -> Any:
    n = x.sum().item()
    return locals()["n"], n


def of_what_swallows(x: Any) -> Any:
    n = x.sum().item()
    with contextlib.suppress(KeyError):
        y = {"no": n}["n" if x.max() > 9 else "no"]
        return y
    return x


def of_a_later_handler(x: Any) -> Any:
    n = x.sum().item()
    try:
        y = [x][1 if x.max() > 0 else 0]
    except IndexError:
        y = x + n
    return y, n


def cut(x: Any) -> Any:
    return int(x.sum().item())


def halved_if_low(x: Any) -> Any:
    n = x.sum().item()
    return n if n > 0 else n / 2


def of_a_handler(x: Any) -> Any:
    n = x.sum().item()
    table: dict[str, Any] = {}
    try:
        return table["no"]
    except KeyError:
        return x * n


def of_a_closure(x: Any) -> Any:
    n = x.sum().item()

    def scale(y: Any) -> Any:
        return y * n

    return scale(x), n


def in_a_list_that_grows(x: Any) -> Any:
    kept = [x.sum().item()]
    kept.append(sum(kept))
    return kept


class Odd:
    """Its ``item`` is not the number that is taken out."""

    def __init__(self, x: Any) -> None:
        self.item = functools.partial(math.atan, x.sum())


USES = {
    "its variables": looked_up, "converted to another": lambda x: int(x.sum().item() * 0 + 2.5), "cut": cut,
    "swallowed": of_what_swallows, "later": of_a_later_handler,
    "arithmetic": lambda x: x.sum().item() + 1, "another function": lambda x: math.atan(x.sum()),
    "compared": halved_if_low, "handler": of_a_handler, "closure": of_a_closure, "grows": in_a_list_that_grows,
    "sorted": lambda x: sorted(map(dg.Tensor.item, x)), "text": lambda x: f"{x.sum().item():.3f}",
    "or": lambda x: x.sum().item() or 3, "rounded": lambda x: round(x.sum().item(), 1),
    "mapped": lambda x: list(map(total, [x])), "an odd item": lambda x: Odd(x).item(),
    "a default": lambda x, float=abs: float(x.sum().item()), "most": lambda x: float(max(float(x[0]), 0.5)),
    "splat": lambda x: [x.sum().item(), *[x.max().item() + 1]], "named": lambda x: x * (n := x.sum().item()) + n,
}  # fmt: skip


@pytest.mark.parametrize("what", USES)
def test_a_number_that_is_used_is_what_it_is_on_each_call(what: str) -> None:
    fn = USES[what]
    compiled = dg.compile(fn, wait=True)
    for i in range(7):
        x = normal(5, seed=i)
        assert frozen(compiled(x)) == frozen(fn(x)), compiled.explain()


def test_a_training_step_that_returns_its_loss_runs_compiled_on_every_call() -> None:
    model = dg.nn.Linear(3, 1)
    optimiser = dg.optim.SGD(model.parameters(), lr=0.1)

    @dg.compile(wait=True)
    def step(x: Any, y: Any) -> Any:
        optimiser.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimiser.step()
        return loss.item()

    losses = [step(normal(8, 3), normal(8, 1, seed=1)) for _ in range(20)]
    assert losses == sorted(losses, reverse=True)
    assert isinstance(losses[-1], float)
    assert [p.calls for p in step.programs] == [19]

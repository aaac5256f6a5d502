"""Random numbers of Python's and NumPy's generators: programs draw them, each once and in the order of eager mode."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from random import random as drawn
from typing import Any

import numpy as np
import pytest
from numpy.random import mtrand

import dualgraph as dg
from dualgraph import nn, optim
from tests.side_by_side import frozen
from tests.static.modes import normal

CALLS = 40
Make = Callable[[Any], Any]  # a function of a tensor and the number of a call, given what wraps it


class Generators:
    """One of each sort, at places where code finds them."""

    def __init__(self) -> None:
        self.python = random.Random(2)
        self.numpy = np.random.default_rng(3)
        self.older = np.random.RandomState(4)
        self.count = 0

    def state(self) -> str:
        inner = self.older.get_state()[1].tolist()  # type: ignore[index, union-attr]
        return repr((self.python.getstate(), self.numpy.bit_generator.state, inner))


def run(make: Callable[..., Any], compiled: bool, calls: int) -> tuple[list[Any], Any]:
    random.seed(0)
    np.random.seed(0)
    dg.manual_seed(0)
    made: list[Any] = []

    def wrap(fn: Any) -> Any:
        made.append(dg.compile(fn, wait=True) if compiled else fn)
        return made[-1]

    generators = Generators()
    f, seen = make(wrap, generators), []
    for i in range(calls):
        try:
            seen.append(frozen(f(normal(4, 3, seed=i), i)))
        except IndexError:
            seen.append("no such index")
        seen.append((random.getstate(), np.random.get_state()[1].tolist(), generators.state()))  # type: ignore[index, union-attr]
    return seen, made[0]


def both(make: Callable[..., Any], calls: int = CALLS) -> Any:
    """Both modes give the same, to the bit, and leave all generators as the other does after each call."""
    (eager, _), (seen, f) = run(make, False, calls), run(make, True, calls)
    for i, (a, b) in enumerate(zip(eager, seen, strict=True)):
        assert a == b, (i, f.explain())
    return f


def scaled(wrap: Make, g: Generators) -> Any:
    return wrap(lambda x, i: x * random.random() + np.random.rand() * drawn() - mtrand.rand())


def branching(wrap: Make, g: Generators) -> Any:
    def f(x: Any, i: int) -> Any:
        return x * 2 if random.random() < 0.5 else x + random.uniform(-1.0, 1.0)

    return wrap(f)


def exploring(wrap: Make, g: Generators) -> Any:
    net = nn.Linear(3, 4)

    def act(x: Any, eps: float) -> Any:
        return g.python.randrange(4) if g.python.random() < eps else net(x).argmax().item()

    act = wrap(act)
    return lambda x, i: act(x, 0.95**i)


def mixup(wrap: Make, g: Generators) -> Any:
    net = nn.Linear(3, 2)
    optimiser = optim.SGD(net.parameters(), lr=0.1)

    def step(x: Any, i: int) -> Any:
        share = g.older.beta(0.4, 0.4)
        mixed = share * x + (1 - share) * x.flip(0)
        optimiser.zero_grad()
        loss = net(mixed).square().mean()
        loss.backward()
        optimiser.step()
        return loss.item()

    return wrap(step)


def of_a_counter(wrap: Make, g: Generators) -> Any:
    def f(x: Any, i: int) -> Any:
        g.count += 1
        return x + (0.1 + g.count * 0.01) * g.numpy.standard_normal(), g.numpy.random()

    return wrap(f)


def from_an_argument(wrap: Make, g: Generators) -> Any:
    def f(x: Any, parts: Any) -> Any:
        return x * parts["rng"].normal(0.0, 2.0)

    f = wrap(f)
    return lambda x, i: f(x, {"rng": g.numpy})


def chosen(wrap: Make, g: Generators) -> Any:
    def f(x: Any, i: int) -> Any:
        way = g.python.choice(["up", "down"])
        return x + 1 if way == "up" else x - 1, way

    return wrap(f)


def with_a_log(wrap: Make, g: Generators) -> Any:
    log: list[float] = []

    def f(x: Any, i: int) -> Any:
        log.append(random.random())
        y = x * random.random()
        log.append(y.sum().item())
        return y

    f = wrap(f)
    return lambda x, i: (f(x, i), list(log))


def taken_between(wrap: Make, g: Generators) -> Any:
    def f(x: Any, i: int) -> Any:
        a, top, b = random.random(), x.max().item(), random.gauss(0, 1)
        return x * a if top > b else x / (1 + top * top) + b

    return wrap(f)


@pytest.mark.parametrize(
    "make",
    [scaled, branching, exploring, mixup, of_a_counter, from_an_argument, chosen, with_a_log, taken_between],
)  # fmt: skip
def test_programs_draw_what_eager_mode_draws(make: Any) -> None:
    f = both(make)
    assert sum(p.calls for p in f.programs) > CALLS // 4 or make is with_a_log, f.explain()


def test_a_call_that_is_left_draws_nothing_twice() -> None:
    def failing(wrap: Make, g: Generators) -> Any:
        def f(x: Any, i: int) -> Any:
            y = x * random.random()
            return y[dg.asarray([i % 6])] * g.numpy.random()  # there are four rows

        return wrap(f)

    both(failing)


def test_paths_of_many_draws_grow_together() -> None:
    """Two captures have to take one path until its numbers are inputs: every other one is made with plain numbers."""

    def augmented(wrap: Make, g: Generators) -> Any:
        def f(x: Any, i: int) -> Any:
            if g.python.random() < 0.5:
                x = x.flip(-1)
            if g.python.random() < 0.5:
                x = x * (0.8 + 0.4 * g.python.random())
            n = int(g.numpy.integers(0, 2))
            return x[n : n + 2]

        return wrap(f)

    f = both(augmented, 80)
    assert sum(p.calls for p in f.programs) > 20, f.explain()


def eager_for(make: Callable[..., Any], why: str) -> None:
    f = both(make, 4)
    assert not f.programs and why in f.explain(), f.explain()


def test_what_is_not_followed_runs_eagerly() -> None:
    def shuffled(x: Any, i: int) -> Any:
        order = [0, 1, 2, 3]
        random.shuffle(order)
        return x[order]

    def seeded(x: Any, i: int) -> Any:
        random.seed(i)
        return x * random.random()

    eager_for(lambda wrap, g: wrap(shuffled), "shuffle() changes or reads a generator")
    eager_for(lambda wrap, g: wrap(seeded), "seed() changes or reads a generator")
    eager_for(
        lambda wrap, g: wrap(lambda x, i: x + len(str(g.numpy.random(3)))),
        "looks into an array that it draws",
    )

    def of_a_tuple(wrap: Make, g: Generators) -> Any:
        held = (g.python,)
        return wrap(lambda x, i: x * held[0].random())

    eager_for(of_a_tuple, "a capture cannot see what is drawn from it here")


def test_bodies_of_loops_and_branches_draw_each_time_they_are_run() -> None:
    def cell(c: Any, x: Any) -> Any:
        return c * random.random() + x * np.random.rand(), c

    def stepping(wrap: Make, g: Generators) -> Any:
        def f(x: Any, i: int) -> Any:
            y = dg.scan(cell, x[0], x * g.numpy.random())[0]
            return dg.cond(
                y.sum() > 0, lambda v: v * g.older.rand(), lambda v: v + g.python.random(), y
            )

        return wrap(f)

    both(stepping, 4)
    x = normal(4, 3).requires_grad_()
    random.seed(0)
    last, _ = dg.scan(lambda c, v: (c * random.random() + v, c), x[0], x)
    random.seed(0)
    c = x[0]
    for v in x:
        c = c * random.random() + v
    assert frozen(last) == frozen(c)


def test_a_generator_that_the_code_keeps_is_the_users() -> None:
    class Holder:
        rng: Any = None

    def keeping(wrap: Make, g: Generators) -> Any:
        holder = Holder()

        def f(x: Any, rng: Any) -> Any:
            holder.rng = rng
            return x * rng.random()

        f = wrap(f)
        return lambda x, i: (f(x, g.numpy), holder.rng is g.numpy)

    both(keeping, 4)
    rng = np.random.default_rng(0)
    f = dg.compile(lambda x, r: (x * r.random(), r), wait=True)
    assert all(f(dg.ones(2), rng)[1] is rng for _ in range(6))


def test_one_graph_has_no_place_for_draws(tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        return x * random.random()

    with pytest.raises(dg.CaptureError, match="gives others on each call"):
        dg.capture(f, dg.ones(2))
    assert dg.verify(f, dg.ones(2))
    compiled = dg.compile(f, wait=True)
    compiled(dg.ones(2))
    with pytest.raises(dg.CaptureError, match="another generator"):
        dg.save(compiled, tmp_path / "f.dg")


def test_generators_among_the_arguments_are_those_of_each_call() -> None:
    def f(x: Any, a: Any, b: Any) -> Any:
        y = x * a.random() + (b.gauss(0, 1) if a is not b else 1.0)
        return y if b.choice([True, False]) else -y

    def fresh(i: int) -> tuple[Any, Any]:
        a = random.Random(i)
        return (a, random.Random(i + 1)) if i % 3 else (a, a)

    compiled = dg.compile(f, wait=True)
    for i in range(CALLS):
        x, mine, theirs = normal(2, seed=i), fresh(i), fresh(i)
        assert frozen(f(x, *mine)) == frozen(compiled(x, *theirs)), compiled.explain()
        assert [g.getstate() for g in mine] == [g.getstate() for g in theirs]
    assert sum(p.calls for p in compiled.programs) > CALLS // 4, compiled.explain()


def test_methods_of_generators_among_the_arguments_are_called_eagerly() -> None:
    def f(x: Any, draw: Any) -> Any:
        return x * draw()

    compiled = dg.compile(f, wait=True)
    a, b = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(4):
        eager = [f(dg.ones(2), a.random), f(dg.ones(2), a.standard_normal)]
        assert frozen(
            [compiled(dg.ones(2), b.random), compiled(dg.ones(2), b.standard_normal)]
        ) == frozen(eager)


def test_code_that_could_tell_stand_ins_gets_none() -> None:
    def typed(wrap: Make, g: Generators) -> Any:
        return wrap(lambda x, i: x * (g.python.random() if type(g.python) is random.Random else 2))

    def known(wrap: Make, g: Generators) -> Any:
        f = wrap(lambda x, r: x * (r.random() if r is g.python else 2))
        return lambda x, i: f(x, g.python)

    def made(wrap: Make, g: Generators) -> Any:
        return wrap(lambda x, i: x * np.random.default_rng(g.numpy).random())

    eager_for(typed, "asks for a `type`")
    eager_for(known, "may be the one that the code finds in its state")
    eager_for(made, "default_rng() changes or reads a generator")


def test_paths_share_what_they_do_before_they_part() -> None:
    """A program that has drawn one more number behind the branch is found by calls that set out with the other."""

    def mixed(wrap: Make, g: Generators) -> Any:
        def f(x: Any, i: int) -> Any:
            y = x * random.random()
            return y + random.random() if random.random() < 0.5 else y

        return wrap(f)

    f = both(mixed)
    assert len(f.programs) == 2 and f._captures < 10, f.explain()

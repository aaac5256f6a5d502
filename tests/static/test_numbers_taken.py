"""Numbers that Python takes out of tensors and that flow back into them: one program for all of them."""

from __future__ import annotations

import math
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim
from tests.static.modes import bits, normal

CALLS = 24


def batch(i: int) -> dg.Tensor:
    return normal(8, 4, seed=i) * (1 + i % 3)


def both(make: Callable[[], Any], calls: int = CALLS, of: Callable[[int], Any] = batch) -> Any:
    """`make` gives a function and what tells its state: both do the same eagerly and compiled, to the bit."""
    told = []
    for compiled in (False, True):
        fn, state = make()
        f = dg.compile(fn, wait=True) if compiled else fn
        seen = []
        for i in range(calls):
            try:
                seen.append((bits(f(of(i))), repr(state())))
            except ArithmeticError as problem:
                seen.append((repr(problem), repr(state())))
        told.append(seen)
    assert told[0] == told[1], f.explain()
    return f


def plain(fn: Any) -> Callable[[], Any]:
    return lambda: (fn, lambda: None)


def one_program(f: Any) -> None:
    assert len(f.programs) == 1, f.explain()
    assert f.programs[0].calls > CALLS // 2, f.explain()


def test_a_number_that_comes_back_as_a_factor_needs_one_program() -> None:
    def scaled(x: Any) -> Any:
        scale = (x * x).mean().item()
        return x * scale + scale

    f = both(plain(scaled))
    one_program(f)
    assert "taken[0] = 'any float'" in f.explain()
    assert "any number, " in f.explain()


def test_arithmetic_of_python_is_done_by_python() -> None:
    def scaled(x: Any) -> Any:
        norm = (x * x).sum().item() ** 0.5
        factor = min(1.0, 2.0 / (norm + 1e-6)) + math.log1p(norm) * 1e-3
        return x * factor

    one_program(both(plain(scaled)))


def test_both_sides_of_a_condition_have_a_program() -> None:
    def halved(x: Any) -> Any:
        loss = (x * x).mean()
        if loss.item() < 3:
            return x - loss
        return x / loss.item()

    f = both(plain(halved))
    assert len(f.programs) == 2, f.explain()
    assert "taken[0] < 3 = True" in f.explain() and "taken[0] < 3 = False" in f.explain()
    before = f._eager_calls, [s.left for e in f._entries.values() for s in e.tree]
    for i in range(CALLS, 2 * CALLS):
        assert bits(f(batch(i))) == bits(halved(batch(i)))
    assert before == (f._eager_calls, [s.left for e in f._entries.values() for s in e.tree])


def test_norms_of_gradients_clip_them_in_a_loop() -> None:
    def make() -> Any:
        dg.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        sgd = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any) -> Any:
            sgd.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            total = 0.0
            for p in net.parameters():
                total += (p.grad**2).sum().item()
            if total**0.5 > 0.25:
                for p in net.parameters():
                    p.grad.mul_(0.25 / (total**0.5 + 1e-6))
            sgd.step()
            return loss

        return step, lambda: [p.tolist() for p in net.parameters()]

    f = both(make, 48)
    assert len(f.programs) <= 2, f.explain()
    assert sum(p.calls for p in f.programs) > 24, f.explain()


def test_a_running_mean_in_python_is_read_and_written() -> None:
    class Baseline:
        value = 0.0

    def make() -> Any:
        held = Baseline()
        held.value = 0.5

        def advantage(x: Any) -> Any:
            reward = x.sum()
            held.value = 0.9 * held.value + 0.1 * reward.item()
            return (x - held.value) * reward

        return advantage, lambda: held.value

    one_program(both(make, 48))


def test_a_loop_that_ends_when_the_error_is_small_has_a_program_for_each_length() -> None:
    def root(x: Any) -> Any:
        y, error = x, 1.0
        while error > 1e-3:
            z = 0.5 * (y + x / y)
            error = (z - y).abs().max().item()
            y = z * (1 + 0 * error)
        return y

    f = both(plain(root), 40, lambda i: batch(i).abs() + 0.5)
    assert sum(p.calls for p in f.programs) > 10, f.explain()


def test_an_error_that_the_number_leads_to_is_raised_as_in_eager_mode() -> None:
    def inverse(x: Any) -> Any:
        return x * (1 / x.sum().item())

    def numbers(i: int) -> dg.Tensor:
        return dg.zeros(3) if i % 7 == 6 else dg.ones(3) * (i + 1)

    both(plain(inverse), 40, numbers)


def test_a_number_that_is_looked_at_gets_paths_as_before() -> None:
    def told(x: Any) -> Any:
        n = x.sum().item()
        return x * len(f"{n:.3f}") + n

    f = both(plain(told))
    assert 1 < len(f.programs) <= 16, f.explain()


def test_numbers_that_are_kept_leave_no_program_for_any() -> None:
    def make() -> Any:
        kept: list[Any] = []

        def keeping(x: Any) -> Any:
            n = x.sum().item()
            kept.append(n)
            return x * n + len(kept[-1:])

        return keeping, lambda: kept

    both(make)


def test_whole_numbers_count() -> None:
    def mean_of_positive(x: Any) -> Any:
        count = (x > 0).sum().item()
        return (x.relu()).sum() / max(count, 1)

    def numbers(i: int) -> dg.Tensor:
        return normal(64, seed=i) + 0.01 * i

    one_program(both(plain(mean_of_positive), 60, numbers))


def test_gradients_that_flow_through_leave_it_as_it_was() -> None:
    w = normal(4, seed=1).requires_grad_()

    def weighted(x: Any) -> Any:
        y = x * w
        return (y * y.mean().item()).sum()

    def gradient(fn: Any, i: int) -> Any:
        w.grad = None
        fn(batch(i)).backward()
        return bits(w.grad)

    f = dg.compile(weighted, wait=True)
    assert [gradient(weighted, i) for i in range(CALLS)] == [gradient(f, i) for i in range(CALLS)]


def test_a_statement_set_apart_gets_the_number_and_what_follows_from_it() -> None:
    def make() -> Any:
        log: list[Any] = []

        def step(x: Any) -> Any:
            norm = (x * x).sum().item()
            scale = 1.0 / (1.0 + norm)
            y = x * scale
            log.append((norm, scale, y.sum().item()))
            return y

        return step, lambda: log

    one_program(both(make))


def test_two_places_and_a_branch_on_a_bool() -> None:
    def step(x: Any) -> Any:
        a = x.mean().item()
        y = x * a
        if (y > 0).all():
            y = y + 1
        b = y.abs().sum().item()
        return y / (b + 1)

    def numbers(i: int) -> dg.Tensor:
        return batch(i).abs() if i % 2 else batch(i)

    f = both(plain(step), 60, numbers)
    assert len(f.programs) == 2, f.explain()


def test_other_shapes_are_served_as_well() -> None:
    def step(x: Any) -> Any:
        return x / (x.abs().sum().item() + 1)

    f = both(plain(step), 60, lambda i: normal(5 if i % 10 == 9 else 8, 4, seed=i))
    assert sum(p.calls for p in f.programs) > 20, f.explain()


def test_state_that_changes_is_noticed() -> None:
    class State:
        factor = 2.0
        name = "a"

    state = State()

    def step(x: Any) -> Any:
        n = x.sum().item()
        return x * (n * state.factor) + (1 if state.name == "a" else 2)

    f = dg.compile(step, wait=True)
    for i in range(60):
        state.factor = 2.0 if i < 20 else 2.0 + i
        state.name = "b" if 30 <= i < 40 else "a"
        assert bits(f(batch(i))) == bits(step(batch(i)))


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_threads_may_call_it_at_once(backend: str) -> None:
    def step(x: Any) -> Any:
        n = x.sum().item()
        return x * n if n > 0 else x - n

    f = dg.compile(step, backend=backend)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in range(seed, seed + 40):
            if bits(f(batch(i))) != bits(step(batch(i))):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(100 * k,)) for k in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code does not tell calls of globals")
def test_float_and_int_take_numbers_out_as_item_does() -> None:
    def scaled(x: Any) -> Any:
        factor = float((x * x).mean())
        return x * factor + int(x.abs().sum() * 0 + 2)

    one_program(both(plain(scaled)))


def test_a_schedule_that_waits_for_a_plateau_is_a_part_of_the_step() -> None:
    def make() -> Any:
        dg.manual_seed(0)
        net = nn.Linear(4, 1)
        sgd = optim.SGD(net.parameters(), lr=0.5)
        plateau = optim.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=2)

        def step(x: Any) -> Any:
            sgd.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            sgd.step()
            plateau.step(loss)
            return loss

        return step, lambda: (plateau.state_dict(), sgd.param_groups[0]["lr"])

    f = both(make, 120)
    assert sum(p.calls for p in f.programs) > 60, f.explain()


def test_programs_can_be_looked_into_and_kept(tmp_path: Any) -> None:
    def scaled(x: Any) -> Any:
        return (x * (x * x).sum().item() ** 0.5).tanh()

    f = both(plain(scaled))
    one_program(f)
    program = f.programs[0]
    assert f.would_compile(batch(1)).reason == "a program fits"
    assert len(program.graph.inputs) == 2 and program.memory.arena_bytes > 0
    assert dg.verify(f, batch(1)) and dg.compare(f, batch(1)).bitwise_equal
    with pytest.raises(dg.StateError, match="found out in the call itself"):
        program.replay(batch(1))
    dg.save(f, tmp_path / "scaled.dg")
    with pytest.raises(dg.ArgumentError, match="taken out of a tensor differs"):
        dg.load(tmp_path / "scaled.dg")(batch(99))


def test_a_number_that_each_call_moves_on_by_one_that_it_is_given() -> None:
    state = {"mean": 0.0}

    def step(x: Any, total: float) -> Any:
        state["mean"] = 0.9 * state["mean"] + 0.1 * total
        return x * (total - state["mean"])

    def shown(fn: Any) -> Any:
        state["mean"] = 0.0
        return [(bits(fn(batch(i), math.sin(i + 1))), state["mean"]) for i in range(CALLS)]

    f = dg.compile(step, wait=True)
    assert shown(f) == shown(step)
    one_program(f)


def test_counters_that_losses_lead_have_a_program_for_each_way() -> None:
    class Stage:
        """Goes on after three good losses."""

        level, good = 1, 0

        def report(self, loss: float) -> None:
            if loss < 1.0:
                self.good += 1
            if self.good >= 3:
                self.level, self.good = self.level + 1, 0

    def make() -> Any:
        stage, w = Stage(), dg.tensor([1.0, 2.0])
        stage.level, stage.good = 1, 0

        def step(x: Any) -> Any:
            loss = (x * stage.level * w).pow(2).mean()
            w.sub_(0.01 * loss)
            stage.report(loss.item())
            return loss

        return step, lambda: (vars(stage), w.tolist())

    f = both(make, 60, lambda i: normal(2, seed=i) * (0.2 + i % 3) / (1 + i // 9))
    assert len(f.programs) <= 4, f.explain()
    assert sum(p.calls for p in f.programs) > 30, f.explain()


def test_gradients_flow_through_calls_that_take_numbers() -> None:
    """The numbers are constants to the derivative, and others on each call, some of them exponents."""

    def make() -> Any:
        weight = dg.asarray(np.array([0.5, -1.0, 2.0, 1.5], np.float32)).requires_grad_()
        rng = random.Random(3)

        def f(x: Any) -> Any:
            y = x * weight
            share = rng.random()
            if share < 0.3:
                y = y * weight
            y = (y.square() + 1) ** (1 + y.mean().item() ** 2)
            return y * share + y.detach() * y.max().item()

        f.weight = weight  # type: ignore[attr-defined]
        return f

    told = []
    for compiled in (False, True):
        fn = make()
        f = dg.compile(fn, wait=True) if compiled else fn
        seen = []
        for i in range(CALLS):
            x = batch(i).requires_grad_(i % 3 > 0)
            y = f(x)
            if i % 4 == 3:
                (slope,) = dg.autograd.grad(y.sum(), fn.weight, create_graph=True)
                slope.sum().backward()
            else:
                y.square().sum().backward()
            seen.append(bits((y, x.grad, fn.weight.grad)))
        told.append(seen)
    assert told[0] == told[1], f.explain()
    assert sum(p.calls for p in f.programs) > CALLS // 2, f.explain()

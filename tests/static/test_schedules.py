"""Training steps that take their schedule's step, too, or count their calls: one program for each way they go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn

S = dg.optim.lr_scheduler
SCHEDULES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "step": (lambda o: S.StepLR(o, 3, 0.5), 3),
    "milestones": (lambda o: S.MultiStepLR(o, [4, 9]), 3),
    "exponential": (lambda o: S.ExponentialLR(o, 0.9), 1),
    "polynomial": (lambda o: S.PolynomialLR(o, 30, 2.0), 1),
    "lambda": (lambda o: S.LambdaLR(o, lambda epoch: min(1.0, (epoch + 1) / 9)), 2),
    "cosine": (lambda o: S.CosineAnnealingLR(o, 40), 1),
    "restarts": (lambda o: S.CosineAnnealingWarmRestarts(o, 7), 1),
    "one cycle": (lambda o: S.OneCycleLR(o, 0.5, total_steps=40), 2),
    "warm-up": (lambda o: S.SequentialLR(o, [S.LinearLR(o), S.CosineAnnealingLR(o, 40)], [4]), 4),
}


def losses(wrap: Callable[[Any], Any], make: Callable[[Any, Any, Any], Any], calls: int) -> Any:
    """What so many calls of a step give, and the rates and numbers that were there then."""
    dg.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step, seen = make(model, optimizer, wrap)
    out = []
    for i in range(calls):
        if i == 14:
            optimizer.param_groups[0]["lr"] = 0.01  # as users may at any time
        dg.manual_seed(i)
        loss = step(dg.randn(3, 4), dg.randn(3, 2))
        weights = [p.detach().numpy().tobytes() for p in model.parameters()]
        out.append((loss.item(), weights, optimizer.param_groups[0]["lr"], seen()))
    return out, step


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_steps_inside_is_followed(name):
    schedule, most = SCHEDULES[name]

    def make(model, optimizer, wrap):
        scheduler = schedule(optimizer)

        @wrap
        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            return loss

        return step, lambda: (scheduler.last_epoch, scheduler.get_last_lr())

    expected, _ = losses(lambda f: f, make, 18)
    out, step = losses(lambda f: dg.compile(f, wait=True), make, 18)
    assert out == expected
    assert len(step.programs) <= most and not step.explain().count("eagerly because"), (
        step.explain()
    )


def test_gradients_that_are_accumulated_over_calls_and_a_counter_are_followed():
    def make(model, optimizer, wrap):
        count = {"i": 0}
        scheduler = S.StepLR(optimizer, 2)

        @wrap
        def step(x, y):
            loss = nn.functional.mse_loss(model(x), y) / 4
            loss.backward()
            count["i"] += 1
            if count["i"] % 4 == 0:
                optimizer.step()
                optimizer.zero_grad()
                scheduler.step()
            return loss

        return step, lambda: (count["i"], scheduler.last_epoch)

    expected, _ = losses(lambda f: f, make, 32)
    out, step = losses(lambda f: dg.compile(f, wait=True), make, 32)
    assert out == expected
    assert not step.explain().count("eagerly because"), step.explain()
    assert sum(p.calls for p in step.programs) > 12, step.explain()


def test_what_get_last_lr_gave_stays_as_it_was():
    scheduler = S.ExponentialLR(dg.optim.SGD([nn.Parameter(dg.ones(1))], lr=1.0), 0.5)
    before, state = scheduler.get_last_lr(), scheduler.state_dict()
    scheduler.step()
    assert (before, state["_last_lr"], scheduler.get_last_lr()) == ([1.0], [1.0], [0.5])
    scheduler.load_state_dict(state)
    scheduler.step()
    assert state["_last_lr"] == [1.0]

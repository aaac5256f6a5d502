"""Steps of small parameters that are alike: a capture records one of them, and its graph holds all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.static import twins

OPTIONS: dict[str, dict[str, Any]] = {
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "AdamW": {"maximize": True},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "ASGD": {},
    "NAdam": {},
    "Rprop": {},
    "RMSprop": {"centered": True, "momentum": 0.5},
}


def captured(name: str) -> tuple[list[str], list[bytes]]:
    """Three compiled steps: graph with source lines, assumptions, and the parameters after each."""
    dg.manual_seed(0)
    params = [dg.randn(*s, requires_grad=True) for s in ((3,), (5,), (3,), (3,), (5,), (2, 3))]
    optimiser = getattr(dg.optim, name)(params[:4], **OPTIONS[name])
    optimiser.add_param_group({"params": params[4:], "lr": 0.01})
    scale = dg.arange(3.0)

    def step(x: dg.Tensor) -> dg.Tensor:
        optimiser.zero_grad()
        loss = sum((p * p * x).sum() for p in params) + (params[0] * params[2] * scale).sum()
        loss.backward()
        optimiser.step()
        return (loss + (params[3] * x).sum()).detach()

    fn, made = dg.compile(step, wait=True), []
    for i in range(3):
        optimiser.param_groups[0]["lr"] = 0.1 / (i + 1)
        made += [fn(dg.tensor(float(i + 1))).detach().numpy().tobytes()]
        made += [p.detach().numpy().tobytes() for p in params]
    (program,) = fn.programs
    told = [str(program.captured), *(str(n.where) for n in program.captured.nodes)]
    return [*told, *map(str, program.assumptions)], made


@pytest.mark.parametrize("name", OPTIONS)
def test_a_capture_holds_what_it_would_hold_if_it_had_heard_each(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = captured(name)
    monkeypatch.setattr(twins, "hears", lambda: False)
    assert captured(name) == found


def test_what_reads_other_tensors_is_heard_each_time() -> None:
    """The second call must not be told to read what the first one read."""
    x, y = dg.zeros(2), dg.zeros(2)
    others = iter([dg.ones(2), dg.ones(2) * 5])

    def step(a: dg.Tensor) -> dg.Tensor:
        with dg.no_grad():
            for t, other in ((x, a), (y, a * 3)):
                call = functools.partial(t.add_, other)
                twins.run("add", [t], call) if twins.hears() else call()
        return x + y

    fn: Callable[..., dg.Tensor] = dg.compile(step, wait=True)
    assert [fn(next(others)).tolist() for _ in range(2)] == [[4.0, 4.0], [24.0, 24.0]]


def test_one_elementwise_update_is_heard_for_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def watched(tensors: Any, fn: Any) -> Any:
        heard.append(tensors[0].shape)
        return hear(tensors, fn)

    hear = twins._heard
    monkeypatch.setattr(twins, "_heard", watched)
    captured("Adam")
    assert heard == [(3,), (2, 3)]  # of each number of axes one, though (5,) has another rate

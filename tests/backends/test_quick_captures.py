"""Captures hear of native calls what Python's path tells them: the same graphs, results and gradients."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.backends.native import api
from dualgraph.eager.quick import told
from dualgraph.static.capture import Tracer, finish

if not api.available() or os.environ.get("DUALGRAPH_QUICK") == "0":
    pytest.skip("there is no quick path", allow_module_level=True)

from dualgraph.backends.native.quick import plans, recipes


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are made in the call that asks for them."""
    monkeypatch.setattr(plans, "aside", lambda make: make())
    monkeypatch.setattr(recipes, "aside", lambda make: make())


def training() -> Any:
    dg.manual_seed(3)
    net = nn.Sequential(
        nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 3), nn.Softmax(-1)
    )
    optimizer = dg.optim.AdamW(net.parameters(), lr=0.1)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean() + x.exp().sum(0, keepdim=True).max() * 0.5
        loss.backward()
        optimizer.step()
        return loss

    return step


def slopes() -> Any:
    def fn(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = (x.exp() * x.sqrt().tanh()).sum()
        (slope,) = dg.autograd.grad(y, [x], create_graph=True)
        (curve,) = dg.autograd.grad((slope / 3.0).sum(), [x])
        return slope, curve

    return fn


def shapes() -> Any:
    def fn(x: Any) -> Any:
        rows = x.transpose(0, 1).reshape(-1)[2:9]
        with dg.no_grad():
            most, at = dg.topk(rows, 3)
        rows = rows.clone()
        rows += most.sum() - 1
        return rows, at, dg.cat([rows, most]), dg.where(x > 1, x, 2), dg.arange(4) // 3

    return fn


def test_graphs_are_those_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    natively: list[bool] = []
    record = Tracer.record

    def noting(self: Tracer, *args: Any) -> None:
        teller, caller = sys._getframe(1).f_code, sys._getframe(2).f_code
        natively.append(teller is told.__code__ and caller.co_filename != teller.co_filename)
        record(self, *args)

    monkeypatch.setattr(Tracer, "record", noting)
    for make in (training, slopes, shapes):
        x = dg.rand(4, 5) + 0.5
        fn = make()
        for _ in range(plans.HOT + 6):
            fn(x)
        found = []
        for hears in (True, False):
            fn = make()
            fn(x)
            natively.clear()
            with Tracer() as tracer:
                tracer.hears_after = hears
                out = fn(x)
            assert (sum(natively) > 4) is hears
            results = flat(out)
            graph = finish(tracer, results).graph
            found.append((str(graph), [t.detach().numpy().tobytes() for t in results]))
        assert found[0] == found[1]


def test_a_program_of_native_calls_gives_what_eager_mode_gives() -> None:
    for make in (training, slopes, shapes):
        x = dg.rand(4, 5) + 0.5
        warm = make()
        for _ in range(plans.HOT + 6):
            warm(x)
        eager, compiled = make(), dg.compile(make(), wait=True)
        for _ in range(4):
            for a, b in zip(*map(flat, (eager(x), compiled(x))), strict=True):
                assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
        assert compiled.programs[0].calls == 3


def flat(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple) else [out]

"""Stopgaps: small eager calls do not wait for code that is not there, and have its bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends import stopgap
from dualgraph.backends.array import NumpyBackend
from dualgraph.backends.native import api, eager, jit
from dualgraph.core.prim import REGISTRY

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGRAPH_CACHE", "0")
    monkeypatch.setattr(jit, "_jit", [jit.Jit()])
    monkeypatch.setattr(eager, "_kernels", {})
    monkeypatch.setattr(eager, "_plain", {})


def run(name: str, *arrays: Any) -> Any:
    return NumpyBackend().run(REGISTRY[name], arrays, {})


def begun() -> list[bool]:
    return [machine.begun for machine in jit.jit().cache.values()]


def test_code_is_begun_when_it_was_asked_for_some_times() -> None:
    x = np.linspace(-90, 90, 1000, dtype=np.float32)
    outs = []
    for _ in range(jit.ENOUGH):
        outs.append(run("exp", x))
        assert begun() == [False]
    outs.append(run("exp", x))
    assert begun() == [True]
    outs.append(api.elementwise(REGISTRY["exp"], [x], (dg.float32,), {}))
    assert len({out.tobytes() for out in outs}) == 1


def test_what_takes_numpy_long_waits_for_code(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(1, 2, 10_000, dtype=np.float32)
    run("exp", x)
    assert begun() == [False]
    monkeypatch.setattr(stopgap, "_has_nan", lambda _: pytest.fail("was computed on NumPy"))
    run("erf", x)
    assert begun() == [False, True]


def test_the_sign_of_nan_is_that_of_native_code() -> None:
    x = np.array([np.nan, -np.nan], np.float32)
    wanted = api.elementwise(REGISTRY["sin"], [x], (dg.float32,), {})
    jit.jit().cache.clear()
    eager._kernels.clear()
    eager._plain.clear()
    assert run("sin", x).tobytes() == wanted.tobytes()


def test_code_left_unmade_is_made_for_others() -> None:
    run("tanh", np.ones(5, np.float32))
    assert begun() == [False]
    jit.jit().make_all()
    assert begun() == [True]


def test_whoever_waits_gets_the_code() -> None:
    x = np.ones(5, np.float32)
    run("log", x)
    api.elementwise(REGISTRY["log"], [x], (dg.float32,), {})
    assert begun() == [True]

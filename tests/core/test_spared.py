"""Optional work beside the calls: failures that it names are ignored, any other is shown."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.backends import quicken
from dualgraph.backends.native import api
from dualgraph.core.errors import MemoryBudgetError
from dualgraph.core.prim import Dispatch
from dualgraph.core.process import spared as spared_module
from dualgraph.core.process.spared import spared, survived
from dualgraph.jit import program


@pytest.fixture
def shown(monkeypatch: Any) -> list[Any]:
    """The exceptions that are shown meanwhile."""
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))
    return seen


def test_a_refusal_is_dropped_and_a_fault_is_shown(shown: list[Any]) -> None:
    fault = TypeError("a fault")
    for problem in (KeyError("refused"), fault):
        with spared(LookupError):
            raise problem
    assert shown == [fault]
    with pytest.raises(KeyboardInterrupt), spared(LookupError):
        raise KeyboardInterrupt


@pytest.mark.skipif(not api.available(), reason="needs llvmlite")
def test_a_quick_path_that_cannot_be_there_is_no_fault(shown: list[Any], monkeypatch: Any) -> None:
    from dualgraph.backends.native.quick import install

    monkeypatch.setattr(Dispatch, "quicken", Dispatch.quicken)
    fault = RuntimeError("no structure has this field")
    for problem in (install.LayoutError("an interpreter that glue does not know"), fault):

        def fails(problem: Exception = problem) -> None:
            raise problem

        monkeypatch.setattr(install, "install", fails)
        quicken.install()
    assert shown == [fault]


def test_a_failure_that_calls_survive_is_shown_unless_it_was_meant(
    shown: list[Any], monkeypatch: Any
) -> None:
    fault = TypeError("a fault")
    for problem in (MemoryBudgetError("it takes more"), fault):
        assert survived(problem) is problem
    assert shown == [fault]
    monkeypatch.setattr(spared_module, "SHOWN", False)
    survived(fault)
    assert shown == [fault]


def test_a_program_that_cannot_be_made_is_a_fault_that_calls_survive(
    shown: list[Any], monkeypatch: Any
) -> None:
    fault = RuntimeError("a pass is wrong")

    def fails(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(program, "ready", fails)
    f = dg.compile(lambda x: x * 2 + 1, wait=True)
    assert [f(dg.ones(2)).tolist() for _ in range(2)] == [[3.0, 3.0]] * 2
    assert shown == [fault] and "a pass is wrong" in f.explain()

"""Optional work beside the calls: failures that it names are ignored, any other is shown."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dualgraph.backends import quicken
from dualgraph.backends.native import api
from dualgraph.core.prim import Dispatch
from dualgraph.core.process.spared import spared


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

"""compare and verify: both modes side by side, and every node against the eager run."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import notebook
from dualgraph.backends import quicken
from dualgraph.backends.native import api
from dualgraph.core.prim import Dispatch
from dualgraph.core.ulp import ulp_distance
from dualgraph.jit.compile import serving
from dualgraph.jit.hot import Guard


def scaled_in_place(x: Any) -> Any:
    x.mul_(2.0)
    x.add_(x.sum())
    return x.sum()


def test_a_comparison_says_what_was_measured() -> None:
    c = dg.compare(lambda x: (x * x).sum(), dg.ones(64), seconds=0.001)
    assert c.captured and c.bitwise_equal and c.max_ulp == 0
    assert c.eager_seconds > 0 and c.compiled_seconds > 0
    assert c.speedup == c.eager_seconds / c.compiled_seconds
    assert "bitwise equal  yes" in str(c)
    assert "&lt;lambda&gt;" in c._repr_html_()
    shown = str(c._replace(eager_seconds=4.1e-7, compiled_seconds=0.0123))
    assert "0.41 us a call" in shown and "12.3 ms a call" in shown


def test_eager_mode_is_timed_with_its_native_path(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[bool] = []
    monkeypatch.setattr(quicken, "install", lambda: installed.append(True))
    monkeypatch.setattr(Dispatch, "quicken", staticmethod(quicken.quicken))
    assert dg.compare(dg.exp, dg.ones(4), seconds=0.001).captured
    assert installed == [True] * api.available()


@pytest.mark.skipif(not api.available(), reason="needs native code")
def test_compiled_calls_are_timed_as_they_are_made() -> None:
    program: Any = dg.compile(lambda x: x * 2 + 1, wait=True)
    x = dg.ones(3)
    program(x)
    serve = serving(program.programs[0], program._captured_function, None, (x,), {})
    for _ in range(20):
        assert serve(x).tolist() == [3.0, 3.0, 3.0]
    assert serve._hot or not Guard.installed  # by machine code, after some
    assert serve.programs == program.programs


@pytest.mark.parametrize("transposed", [False, True])
def test_written_tensors_of_any_layout_are_compared_and_put_back(transposed: bool) -> None:
    x = dg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    x = x.T if transposed else x
    before = x.tolist()
    assert dg.verify(scaled_in_place, x)
    assert dg.compare(scaled_in_place, x, seconds=0.001).bitwise_equal
    assert x.tolist() == before
    compiled = dg.compile(scaled_in_place, wait=True)
    for _ in range(3):
        compiled(x)
    assert sum(p.calls for p in compiled.programs) == 2


def test_verify_says_why_a_function_cannot_be_captured() -> None:
    with pytest.raises(dg.CaptureError, match="verify"):
        dg.verify(lambda x: (x, object()), dg.ones(2))


def test_distances_count_the_floats_between() -> None:
    for kind in (np.float16, np.float32, np.float64):
        one, zero, nan = (kind([v]) for v in (1.0, 0.0, np.nan))
        after = np.nextafter(one, kind(2))
        assert ulp_distance(one, one) == ulp_distance(nan, nan) == 0
        assert ulp_distance(one, after) == ulp_distance(-after, -one) == 1
        assert ulp_distance(zero, -zero) == 1  # other bits
        assert ulp_distance(np.nextafter(zero, -one), np.nextafter(zero, one)) == 2
        assert ulp_distance(one, nan) == float("inf")
        assert ulp_distance(kind([-np.inf]), kind([np.inf])) > 1000
    assert ulp_distance(np.array([2**60]), np.array([2**60 + 1])) == 1


class Shell:
    """What a notebook is to an extension: names, and a place for magics."""

    def __init__(self, **names: Any) -> None:
        self.user_ns = names

    def register_magic_function(self, fn: Any, kind: str, name: str) -> None:
        assert (kind, name) == ("line_cell", "modes")
        self.modes = fn


def test_a_magic_compares_the_modes_on_a_line_or_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "compare", functools.partial(dg.compare, seconds=0.01))
    shell = Shell(
        dg=dg, x=dg.randn(100), w=dg.randn(100, requires_grad=True), f=lambda x: (x.exp() * x).sum()
    )
    dg.load_ipython_extension(shell)
    assert shell.modes("f(x)").bitwise_equal
    cell = "y = x\nfor i in range(3):\n    y = y.tanh() + x\n(w * y).sum().backward()\ny.sum()\n"
    found = shell.modes("", cell)
    assert found.captured and found.bitwise_equal
    assert shell.user_ns["w"].grad is None and "y" not in shell.user_ns
    with pytest.raises(dg.ArgumentError, match="ends in an expression"):
        shell.modes("y = x")
    with pytest.raises(dg.ShapeError, match=r"matmul.*\n.*at <modes \d+>:2, in cell"):
        shell.modes("", "y = x * 2\ny @ dg.ones(3)")

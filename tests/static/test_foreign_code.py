"""Code of other libraries that a function mentions: odd classes, objects that answer to any name, large modules."""

from __future__ import annotations

import types

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.process import spared
from dualgraph.static.footprint import ENOUGH, Footprint


class OddlyNamed:
    """As some classes written in C: what tells the module of the objects is no text where the class is asked."""

    __module__ = property(lambda self: "elsewhere")
    scale = 2.0


class OddlyMatched:
    """As classes of some binding generators."""

    __match_args__ = property(lambda self: ())
    scale = 3.0


class Proxy:
    """Hands on what it is asked for to what it may not have yet."""

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __call__(self, x):
        return x


odd, matched = OddlyNamed(), OddlyMatched()


def reads_odd(x):
    return x * odd.scale + OddlyNamed.scale


def reads_matched(x):
    return x * matched.scale if isinstance(matched, OddlyMatched) else x


@pytest.mark.parametrize("fn", [reads_odd, reads_matched])
def test_calls_get_past_classes_that_answer_strangely(fn):
    compiled = dg.compile(fn, wait=True)
    for n in range(4):
        x = dg.arange(3.0) + n
        np.testing.assert_array_equal(compiled(x).numpy(), fn(x).numpy())


def test_calls_get_past_objects_that_answer_to_any_name():
    proxy, kept = Proxy(), []

    def logs(x):
        kept.append(proxy(x.shape))
        return x + 1

    compiled = dg.compile(logs, wait=True)
    for n in range(4):
        np.testing.assert_array_equal(compiled(dg.ones(n)).numpy(), [2.0] * n)
    assert kept == [(0,), (1,), (2,), (3,)]


def test_changes_of_odd_objects_are_seen(monkeypatch):
    compiled = dg.compile(reads_odd, wait=True)
    for scale in (2.0, 5.0, 7.0):
        monkeypatch.setattr(OddlyNamed, "scale", scale)
        assert compiled(dg.ones(1)).item() == 2 * scale


def large_module(count: int) -> types.ModuleType:
    """Functions that call each other in a row, the first of which prints."""
    module = types.ModuleType("large_module_of_somebody")
    lines = ["def f0(x):\n    print(f1)"]
    lines += [f"def f{i}(x):\n    return f{i + 1}(x), x.a{i}" for i in range(1, count)]
    exec("\n".join(lines), vars(module))
    return module


def test_no_more_is_looked_into_than_is_needed_to_refuse():
    large = large_module(3 * ENOUGH)

    def reads_large(x):
        if x.shape[0] > 5:
            large.f0(x)
        return x * 2

    footprint = Footprint([(reads_large, "reads_large")])
    assert footprint.refusals and footprint.ended
    assert len(footprint.found()) < 2 * ENOUGH
    compiled = dg.compile(reads_large, wait=True)
    for n in range(3):
        np.testing.assert_array_equal(compiled(dg.ones(3) + n).numpy(), [2 + 2 * n] * 3)
    assert "Python objects and more" in compiled.explain()


def test_all_is_looked_into_where_nothing_is_refused():
    large = large_module(2 * ENOUGH)
    del large.f0

    def reads_large(x):
        return x * 2 if x.shape[0] < 5 else large.f1(x)

    footprint = Footprint([(reads_large, "reads_large")])
    assert not footprint.ended and len(footprint.found()) > 2 * ENOUGH


def test_calls_get_past_objects_that_fail_when_they_are_looked_into(monkeypatch):
    # It would be a fault of the package, were it not asked for
    monkeypatch.setattr(spared, "SHOWN", False)
    monkeypatch.setattr(Footprint, "_list", lambda *_: 1 / 0)
    scales = [2.0]
    compiled = dg.compile(lambda x: x * scales[0], wait=True)
    for n in range(3):
        scales[0] = float(n)
        np.testing.assert_array_equal(compiled(dg.ones(2)).numpy(), [n, n])
    assert "looking into what it reads fails: ZeroDivisionError" in compiled.explain()


def test_large_functions_that_print_compile(capsys):
    scales = [[float(i)] for i in range(2 * ENOUGH)]

    def prints(x):
        y = x * scales[1][0]
        print(len(scales))
        return y + 1

    compiled = dg.compile(prints, wait=True)
    for n in range(4):
        np.testing.assert_array_equal(compiled(dg.ones(2) + n).numpy(), [2 + n] * 2)
    assert capsys.readouterr().out == f"{2 * ENOUGH}\n" * 4
    assert compiled.programs and compiled.programs[0].calls

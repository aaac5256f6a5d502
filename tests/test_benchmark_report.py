"""What benchmarks print: the table, the plot, and who could not take part."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import notes, table
from benchmarks.plot import plot
from benchmarks.runner import summary
from benchmarks.workloads import WORKLOADS


def row(ratio: float | None, **more: Any) -> dict[str, Any]:
    return {
        "workload": "a < b & c", "ours": 1e-3, "best_peer": "torch", "peer_value": 2e-3, "ratio": ratio, "must": 1.0,
        "aim": 2.0, "unit": "seconds", "nbytes": 1e6, "flops": 0.0, "all": {}, **more,
    }  # fmt: skip


@pytest.mark.parametrize("ratios", [[], [None], [0.1, 1.0, 50.0], [2.0]])
def test_the_plot_is_an_image_with_a_bar_for_each_ratio(ratios: list[float | None]) -> None:
    root = ElementTree.fromstring(plot([row(r) for r in ratios]))
    bars = [e for e in root if e.tag.endswith("rect") and e.get("fill") != "white"]
    assert len(bars) == sum(r is not None for r in ratios)
    assert all(float(b.get("width", "0")) > 0 for b in bars)


def test_contestants_that_failed_are_named_once_with_the_reason() -> None:
    failed = {"torch.compile": {"error": "no C++ compiler"}, "torch": {"value": 1.0}}
    text = notes([row(1.0, all=failed), row(2.0, all=failed)])
    assert text.count("no C++ compiler") == 1 and "2 rows" in text
    assert notes([row(1.0)]) == ""


def test_the_table_has_a_line_for_each_row() -> None:
    assert table([row(None), row(2.0)], 1e9, 1e9).count("\n") == 3


def test_a_row_may_hold_one_of_our_modes_against_the_other() -> None:
    workload = next(w for w in WORKLOADS if w.measure == "start")
    found = summary(workload, {"dualgraph": {"value": 2.0}, "dualgraph-eager": {"value": 1.0}})
    assert found["best_peer"] == "dualgraph-eager" and found["ratio"] == 0.5
    call = next(w for w in WORKLOADS if w.measure == "call")
    best = {"dualgraph": {"value": 2.0}, "dualgraph-eager": {"value": 1.0}, "torch": {"value": 4.0}}
    assert summary(call, best)["best_peer"] in ("torch", None)


def test_names_of_workloads_are_their_own() -> None:
    names = [w.name for w in WORKLOADS]
    assert len(set(names)) == len(names)

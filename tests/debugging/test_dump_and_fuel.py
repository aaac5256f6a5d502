"""DUALGRAPH_DUMP writes what became of a program; DUALGRAPH_FUEL and bisect find the rewrite that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.backends.native import api as native
from dualgraph.passes import cse as cse_module
from dualgraph.passes import fuse as fuse_module
from dualgraph.passes import pipeline
from dualgraph.passes.fuel import FUEL
from dualgraph.passes.simplify import Simplifier
from tests.debugging.seeds import swapped

ROOT = Path(dg.__file__).parents[1]


def model(x: Any) -> Any:
    y = (x * 1 - 2.0) * (x - 2.0)
    return (y / (x + 3)).sum(0) - y.T.T.sum(1)


def test_a_dump_has_every_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGRAPH_DUMP", str(tmp_path / "out"))
    f = dg.compile(model, wait=True)
    f(dg.ones(4, 4))
    (folder,) = (tmp_path / "out").glob("model-*")  # what other threads compile is there, too
    files = {p.name: p.read_text() for p in folder.iterdir()}
    assert dg.parse(files["00-captured.txt"]) == f.programs[0].captured
    passes = sorted(n for n in files if n[:2].isdigit())
    assert len(passes) == 1 + len(f.programs[0].passes)
    graph = files[passes[-1]].partition("graph(")
    assert dg.parse("graph(" + graph[2]) == f.programs[0].graph
    assert "fused" in files["schedule.txt"] or "subtract" in files["schedule.txt"]
    assert "lower bound" in files["memory.txt"]
    if native.available():
        (code, *_) = [t for n, t in files.items() if n.endswith(".ll")]
        assert "define" in code and "; graph(" in code
    monkeypatch.delenv("DUALGRAPH_DUMP")
    dg.compile(model, wait=True)(dg.ones(4, 4))
    assert len(list((tmp_path / "out").glob("model-*"))) == 1


def test_fuel_bounds_what_is_applied_and_keeps_the_bits() -> None:
    x = dg.randn(4, 4)
    wanted = model(x).tolist()
    used = []
    for limit in (0, 1, 3, 5, 8, 10**6):
        with FUEL.limited(limit) as fuel:
            f = dg.compile(model, wait=True)
            f(x)
            assert f(x).tolist() == wanted and fuel.used <= limit
            used.append(fuel.used)
    assert used == sorted(used) and used[-1] > 15
    assert FUEL.limit is None


def test_the_variable_sets_the_fuel_of_a_process() -> None:
    code = (
        "import dualgraph as dg\nfrom dualgraph.passes.fuel import FUEL\n"
        "f = dg.compile(lambda x: (x * 1 + x * 1).sum(), wait=True)\nf(dg.ones(3)); assert f(dg.ones(3)).item() == 6\n"
        "print(FUEL.limit, FUEL.used)"
    )
    env = {**os.environ, "DUALGRAPH_FUEL": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "2"]


def test_bisect_names_a_wrong_pass_and_a_wrong_rewrite(monkeypatch: pytest.MonkeyPatch) -> None:
    x = dg.randn(4, 4)
    clean = dg.bisect(model, x)
    assert not clean and "keep the bits" in str(clean) and clean.units > 15
    with monkeypatch.context() as patched:
        trim = pipeline.trim
        patched.setattr(pipeline, "trim", lambda g: swapped("divide")(trim(g)))
        found = dg.bisect(model, x)
        assert found and found.what == "pass trim" and str(found).endswith("pass trim")
    with monkeypatch.context() as patched:
        replace = Simplifier.replace

        def faulty(self: Any, rule: Any, node: Any, bound: Any) -> bool:
            if str(rule).startswith("permute(permute"):
                self.mapping[node.outputs[0]] = node.inputs[0]
                return True
            return replace(self, rule, node, bound)

        patched.setattr(Simplifier, "replace", faulty)
        found = dg.bisect(model, x)
        assert (
            found.what
            and found.what.startswith("rule permute(permute(")
            and "test_dump_and_fuel" in found.what
        )
    with monkeypatch.context() as patched:
        patched.setattr(cse_module, "_key", lambda node: node.prim.name)
        patched.setattr(
            cse_module.Sharing, "may_replace", lambda self, old, new: old.type == new.type
        )
        found = dg.bisect(model, x)
        assert found.what and found.what.startswith("merge of")


def test_bisect_takes_a_check_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = pipeline.fold
    monkeypatch.setattr(pipeline, "fold", lambda g: swapped("divide")(fold(g)))
    x = dg.randn(4, 4)

    def check() -> bool:
        f = dg.compile(model, wait=True)
        f(x)
        return bool(f(x).tolist() == model(x).tolist())

    assert dg.bisect(None, check=check).what == "pass fold"


@pytest.mark.skipif(not native.available(), reason="nothing is fused without llvmlite")
def test_bisect_names_the_one_fusion_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    replace = fuse_module.replace_groups

    def faulty(graph: Any, extractor: Any, groups: Any) -> Any:
        for members in groups:
            if {"tanh", "divide"} <= {graph.nodes[i].prim.name for i in members}:
                graph = swapped("divide")(graph)
                extractor.graph = graph
                extractor._cuts.clear()
        return replace(graph, extractor, groups)

    monkeypatch.setattr(fuse_module, "replace_groups", faulty)
    x = dg.randn(40)
    found = dg.bisect(lambda x: (x.exp() + 2) / (x.tanh() + 3) * x.cos(), x)
    assert found and found.what is not None, str(found)
    assert found.what.startswith("fusion of"), found.what

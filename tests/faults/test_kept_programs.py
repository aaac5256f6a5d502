"""A program that an earlier process compiled is found again, with the same bits; a bad file is only a miss."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends import kept
from dualgraph.backends.native import api, disk_cache
from dualgraph.backends.native.aside import aside
from dualgraph.merge import running
from tests.faults.processes import run

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")

STEP = """
import hashlib
import dualgraph as dg
from dualgraph import nn
from dualgraph.passes import pipeline

ran = []
plain = pipeline.pipeline
pipeline.pipeline = lambda *a: ran.append(1) or plain(*a)

dg.manual_seed(0)
model = nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 3))
optimizer = dg.optim.Adam(model.parameters(), lr=1e-2)
x, y = dg.randn(5, 12), dg.randint(0, 3, (5,))

def step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y) * FACTOR
    start = dg.zeros(3)
    last, seen = dg.scan(lambda c, v: (c * 0.5 + v.sum(), c), start, model(x).detach())
    loss.backward()
    optimizer.step()
    return loss, last, seen

compiled = dg.compile(step, wait=True, memory="1GB")  # with a budget programs are used, whether they pay or not
digest = hashlib.sha256()
for _ in range(3):
    for out in compiled(x, y):
        digest.update(out.detach().numpy().tobytes())
for p in model.parameters():
    digest.update(p.detach().numpy().tobytes())
(program,) = compiled.programs
assert program.calls == 2, compiled.explain()
print(len(ran), digest.hexdigest())
assert len(program.passes) > 10 and str(program.passes[-1].graph) == str(program.graph)
"""


def step(place: Path | None, factor: str = "1.0", **more: str) -> tuple[int, str]:
    """How many times passes ran before the program was used, and what it computed."""
    where = {"DUALGRAPH_CACHE": "0"} if place is None else {"DUALGRAPH_CACHE_DIR": str(place)}
    ran, digest = run(STEP.replace("FACTOR", factor), **where, **more).split()
    return int(ran), digest


def test_passes_run_once_for_equal_programs_and_bits_stay(tmp_path: Path) -> None:
    ran, bits = step(tmp_path)
    assert ran > 0 and step(tmp_path) == (0, bits)
    assert step(None) == (ran, bits)


def test_another_number_or_another_processor_is_another_program(tmp_path: Path) -> None:
    ran, bits = step(tmp_path)
    again, others = step(tmp_path, factor="2.0")
    assert again == ran and others != bits
    assert step(tmp_path, factor="-0.0")[0] == ran == step(tmp_path, factor="0.0")[0]
    assert step(tmp_path, DUALGRAPH_CPU="x86-64-v3") == (ran, bits)


def test_damaged_files_are_made_again(tmp_path: Path) -> None:
    ran, bits = step(tmp_path)
    for i in range(2):
        for entry in (*(tmp_path / "kernels").iterdir(), *(tmp_path / "programs").iterdir()):
            data = entry.read_bytes()
            entry.write_bytes(data[: len(data) // 2] if i else data[:-1] + b"?")
        assert step(tmp_path) == (ran, bits)
        assert step(tmp_path) == (0, bits)


@pytest.mark.parametrize("junk", [b"junk", b"\x80\x05N.", b"\x80\x05)."])
def test_whole_files_that_are_no_programs_are_made_again(tmp_path: Path, junk: bytes) -> None:
    """As of a version that wrote something else under the name."""
    ran, bits = step(tmp_path)
    whole = [
        (e, disk_cache.whole(e.read_bytes()) or b"") for e in (tmp_path / "programs").iterdir()
    ]
    (program,) = (e for e, data in whole if data[:2] == b"\x80\x05")
    program.write_bytes(hashlib.sha256(junk).digest() + junk)
    assert step(tmp_path) == (ran, bits)


HEAVY = """
import numpy as np
import dualgraph as dg
table = np.linspace(0, 1, 400_000)
f = dg.compile(lambda x: (((x + table) * 2 - table).exp().sin() + x * table).cos().sum(), wait=True, memory="1GB")
x = dg.ones(400_000, dtype=dg.float64)
assert f(x).item() == f(x).item() and f.programs[0].ready
print(len(f.programs[0].captured.nodes))
"""


def test_programs_that_hold_large_arrays_are_not_kept(tmp_path: Path) -> None:
    assert int(run(HEAVY, DUALGRAPH_CACHE_DIR=str(tmp_path))) >= 8
    sizes = [e.stat().st_size for e in (tmp_path / "programs").iterdir()]
    assert sizes and max(sizes) < 1 << 20


def test_programs_of_eager_composites_and_sweeps_are_kept_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DUALGRAPH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "ENABLED", True)
    ran = []
    plain = kept.optimise
    monkeypatch.setattr(kept, "optimise", lambda *a, **k: ran.append(1) or plain(*a, **k))
    x = dg.randn(6, 5)

    def chain(x):
        for k in range(8):
            x = dg.softmax(x * (k + 1.5), axis=-1) - x
        return x

    graph = dg.capture(chain, x)
    first = running.compiled(graph)
    aside(lambda: None).result()  # the file is written
    again = running.compiled(graph)
    outs = [np.asarray(running.run(p, [x.numpy()])[0]) for p in (first, again)]
    assert ran == [1] and outs[0].tobytes() == outs[1].tobytes() == chain(x).numpy().tobytes()

"""Object code is kept on disk between processes, and a bad entry is only a miss."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dualgraph.backends.native import api, disk_cache

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")

PROGRAM = """
import time
import numpy as np
from dualgraph.backends.native.jit import Jit, jit
from dualgraph.backends.native.kernel import RUN

assembled = []
whole = Jit.assemble
Jit.assemble = lambda self, text: assembled.append(text) or whole(self, text)
text = 'define void @run(ptr %p, ptr %q) { store float 2.5, ptr %p\\n ret void }'
machine = jit().compile(text, ("run",))
out = np.zeros(1, "f4")
RUN(machine.addresses["run"])(out.ctypes.data, None)
assert out[0] == 2.5
print(len(assembled))
"""


def compilations(place: Path, switch: str = "1") -> int:
    """How often a fresh process had to compile one kernel."""
    env = {**os.environ, "DUALGRAPH_CACHE_DIR": str(place), "DUALGRAPH_CACHE": switch}
    env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_second_process_loads_what_the_first_compiled(tmp_path: Path) -> None:
    assert [compilations(tmp_path), compilations(tmp_path)] == [1, 0]


def test_a_corrupt_entry_is_compiled_again(tmp_path: Path) -> None:
    compilations(tmp_path)
    (entry,) = (tmp_path / "kernels").iterdir()
    entry.write_bytes(entry.read_bytes()[:-7])
    assert compilations(tmp_path) == 1
    assert compilations(tmp_path) == 0


def test_the_cache_can_be_switched_off(tmp_path: Path) -> None:
    assert compilations(tmp_path, switch="0") == 1
    assert not list(tmp_path.iterdir())


def test_the_oldest_entries_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGRAPH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("DUALGRAPH_CACHE", "1")
    monkeypatch.setattr(disk_cache, "LIMIT", 10_000)
    code = np.random.default_rng(0).bytes(3000)
    for i in range(8):
        disk_cache.write(f"entry{i}", code)
        os.utime(tmp_path / "kernels" / f"entry{i}", (i, i))
    kept = sorted(p.name for p in (tmp_path / "kernels").iterdir())
    assert "entry7" in kept and "entry0" not in kept
    assert disk_cache.read("entry7") == code

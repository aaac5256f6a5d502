"""Whatever is the matter with the folder of kept kernels, programs run and give the right result."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualgraph.backends.native import api, disk_cache
from tests.faults.processes import KEPT, environment, run

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")

PROGRAM = """
import dualgraph as dg
f = dg.compile(lambda x: (dg.tanh(x @ x) * dg.exp(-x)).sum(axis=1), wait=True)
x = dg.reshape(dg.arange(64, dtype=dg.float32), (8, 8)) / 64
y = dg.tanh(x @ x) * dg.exp(-x)
assert f(x).tolist() == f(x).tolist() == y.sum(axis=1).tolist()
print(f(x).tolist())
"""


def expected() -> str:
    return run(PROGRAM, DUALGRAPH_CACHE="0")


def entries(place: Path) -> list[Path]:
    return sorted((place / "kernels").iterdir())


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert run(PROGRAM, DUALGRAPH_CACHE_DIR=str(tmp_path / "cache")) == expected()
    (tmp_path / "kernels").write_text("in the way")
    assert run(PROGRAM, DUALGRAPH_CACHE_DIR=str(tmp_path)) == expected()


@pytest.mark.skipif(os.name == "nt", reason="modes of folders are POSIX")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert run(PROGRAM, DUALGRAPH_CACHE_DIR=str(tmp_path)) == expected()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null"])
def test_a_home_that_cannot_be_written(home: str) -> None:
    assert run(PROGRAM, DUALGRAPH_CACHE_DIR=None, XDG_CACHE_HOME=None, HOME=home) == expected()


def test_no_home_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", refuse)
    for name in ("DUALGRAPH_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DUALGRAPH_CACHE", "1")
    assert disk_cache.directory() is None
    disk_cache.write("name", b"code")
    assert disk_cache.read("name") is None


@pytest.mark.parametrize("moment", ["open", "write", "rename"])
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("DUALGRAPH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("DUALGRAPH_CACHE", "1")
    owner, name = {
        "open": (disk_cache.tempfile, "mkstemp"),
        "write": (disk_cache, "_fill"),
        "rename": (os, "replace"),
    }[moment]
    with monkeypatch.context() as m:
        m.setattr(owner, name, full)
        disk_cache.write("name", b"code")
    assert disk_cache.read("name") is None
    assert not list(tmp_path.rglob("*")) or not entries(tmp_path)


def test_truncated_and_flipped_entries_are_made_again(tmp_path: Path) -> None:
    place = str(tmp_path)
    assert run(PROGRAM + KEPT, DUALGRAPH_CACHE_DIR=place) == expected()
    names = entries(tmp_path)
    assert len(names) > 3
    for i, entry in enumerate(names):
        data = bytearray(entry.read_bytes())
        if i % 3 == 0:
            entry.write_bytes(data[: len(data) // 2])
        elif i % 3 == 1:
            data[len(data) // 2] ^= 4
            entry.write_bytes(data)
        else:
            entry.write_bytes(b"")
    assert run(PROGRAM + KEPT, DUALGRAPH_CACHE_DIR=place) == expected()
    assert entries(tmp_path) == names
    assert all(disk_cache.whole(e.read_bytes()) for e in names)


def test_entries_of_another_version_are_not_looked_at(tmp_path: Path) -> None:
    assert disk_cache.key("text", "llvmlite 1") != disk_cache.key("text", "llvmlite 2")
    assert disk_cache.key("text", "a\nb") != disk_cache.key("b\ntext", "a")


def test_many_processes_fill_one_folder(tmp_path: Path) -> None:
    env = environment(DUALGRAPH_CACHE_DIR=str(tmp_path))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    outs = [p.communicate(timeout=120)[0] for p in running]
    assert outs == [expected()] * 4
    assert all(disk_cache.whole(e.read_bytes()) for e in entries(tmp_path))

"""Examples: the main job runs, keeps its promises, and says what is wrong with bad data."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import train_digits

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "train_digits.py"
TWO_MODES = ROOT / "examples" / "two_modes.py"


WITHOUT_LLVMLITE = """
import runpy, sys
sys.modules["llvmlite"] = None  # as if it were not installed
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(
    *arguments: object,
    cwd: Path,
    timeout: int = 300,
    llvmlite: bool = True,
    example: Path = EXAMPLE,
) -> subprocess.CompletedProcess[str]:
    start = [] if llvmlite else ["-c", WITHOUT_LLVMLITE]
    command = [sys.executable, "-W", "error", *start, str(example), *map(str, arguments)]
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(cwd / ".matplotlib")
    }  # fmt: skip
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    """A folder in Fashion-MNIST's form, of few and random pictures."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "fashion"
    folder.mkdir()
    for part, n in (("train", 64), ("t10k", 16)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28)))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", rng.integers(0, 10, n))
    return folder


def test_a_short_run_has_equal_bits_and_prints_every_figure(tmp_path: Path) -> None:
    done = run("--limit", 256, "--epochs", 2, "--out", "curves.png", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every parameter bitwise equal: yes (10 tensors" in done.stdout
    for figure in (
        "final loss",
        "test accuracy",
        "seconds per epoch",
        "first call",
        "speed-up",
        "arena, as planned",
        "lower bound",
        "every value by itself",
        "nodes before and after each pass",
    ):
        assert figure in done.stdout
    assert re.search(r"^ +\w+ +\d+ -> +\d+$", done.stdout, re.MULTILINE)
    assert "captured: 100%" in done.stderr  # the progress bar
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_main_job_learns_to_read_digits(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (accuracies,) = re.findall(r"test accuracy +([\d.]+) +([\d.]+)", done.stdout)
    assert accuracies[0] == accuracies[1]
    assert float(accuracies[0]) >= 0.98
    assert (tmp_path / "train_digits.png").exists()


def test_fashion_mnist_files_are_read_and_run_without_llvmlite(
    fashion: Path, tmp_path: Path
) -> None:
    files = ("--data", "fashion-mnist", "--path", fashion)
    done = run(*files, "--epochs", 2, cwd=tmp_path, llvmlite=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "64 images to train on and 16 to test on, 28x28" in done.stdout
    assert "bitwise equal: yes" in done.stdout


# --- what is wrong is one message (in this process: a traceback would end the test) ----------------


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the example says on standard error when it refuses its arguments."""
    try:
        status = train_digits.main([*map(str, arguments)])
    except SystemExit as end:  # argparse
        status = end.code
    assert status == 2
    return capsys.readouterr().err


def test_a_missing_file_is_named(fashion: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fashion / "t10k-labels-idx1-ubyte.gz").unlink()
    said = refused(capsys, "--data", "fashion-mnist", "--path", fashion)
    assert said.startswith("error: ")
    assert "t10k-labels-idx1-ubyte" in said
    assert "expected" in said


def test_a_folder_that_does_not_exist_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "--data", "fashion-mnist", "--path", tmp_path / "nowhere")
    assert "nowhere" in said
    assert "train-images-idx3-ubyte" in said


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: raw[: len(raw) // 2], id="cut short"),
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: gzip.compress(b"\x7fELF" + bytes(40)), id="not IDX"),
        pytest.param(lambda raw: gzip.compress(gzip.decompress(raw)[:-7]), id="pixels missing"),
    ],
)
def test_a_damaged_file_says_what_was_expected(
    damage: Any, fashion: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fashion / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    said = refused(capsys, "--data", "fashion-mnist", "--path", fashion)
    assert path.name in said
    assert re.search("expected|damaged", said)


@pytest.mark.parametrize("what", ["images", "labels"])
def test_files_that_do_not_belong_together_are_refused(
    what: str, fashion: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = {"images": "train-images-idx3-ubyte.gz", "labels": "train-labels-idx1-ubyte.gz"}[what]
    write_idx(fashion / name, np.zeros((7, 28, 28) if what == "images" else 7))
    said = refused(capsys, "--data", "fashion-mnist", "--path", fashion)
    assert "expected one label an image" in said


def test_fashion_mnist_without_a_path_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--path DIR" in refused(capsys, "--data", "fashion-mnist")


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        train_digits.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    for option in ("--data", "--path", "--epochs", "--batch-size", "--seed", "--limit", "--out"):
        assert option in said


def test_the_two_modes_are_equal_cell_by_cell(tmp_path: Path) -> None:
    done = run(cwd=tmp_path, example=TWO_MODES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bitwise equal  yes") == 2
    assert "2 programs" in done.stdout

"""Without llvmlite the engine runs everything on plain NumPy, with the same promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = (
    "linear_regression or stencil or closure_number or tree_of_branches or writes_to_views or follow_the_seed or "
    "double_and_triple or grad_present or threads or trees_as"
)
BLOCKED = "import sys; sys.modules['llvmlite'] = sys.modules['llvmlite.binding'] = None\n"
CHECK = (
    "from dualgraph.backends.native import api; assert not api.available(); "
    "import dualgraph as dg; print(dg.exp(dg.ones(2)).tolist())"
)
RUN = (
    "import pytest, sys; sys.exit(pytest.main(['-q', '-x', '-p', 'no:randomly', '-p', 'no:cacheprovider', "
    f"'tests/test_modes.py', 'tests/static/footguns', '-k', {CORE!r}]))"
)


def run(code: str, **env: str) -> str:
    """The output of a fresh Python; an error if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_native_code_is_off_where_asked_or_impossible() -> None:
    switched_off = run(CHECK, DUALGRAPH_NATIVE="0")
    impossible = run(BLOCKED + CHECK)
    assert switched_off == impossible


def test_the_modes_agree_with_native_code_switched_off() -> None:
    assert " passed" in run(RUN, DUALGRAPH_NATIVE="0")


def test_fuzzed_programs_agree_without_llvmlite() -> None:
    code = (
        "from tests.fuzz.test_programs import check\nprint(sum(check(seed) for seed in range(8)))"
    )
    assert int(run(BLOCKED + code)) > 5


@pytest.mark.slow
def test_the_modes_agree_without_llvmlite() -> None:
    assert " passed" in run(BLOCKED + RUN)

"""Without llvmlite the engine runs everything on plain NumPy, with the same promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = (
    "linear_regression or perceptron or weights_shared or stencil or k_means or closure or branches or views or "
    "random_numbers or double_and_triple or grad_present or dtypes or threads or trees"
)
BLOCKED = "import sys; sys.modules['llvmlite'] = sys.modules['llvmlite.binding'] = None\n"
CHECK = "from dualgraph.backends.native import api; assert not api.available(); import dualgraph as dg; print(dg.exp(dg.ones(2)).tolist())"
RUN = (
    "import pytest; sys.exit(pytest.main(['-q', '-x', '-p', 'no:randomly', '-p', 'no:cacheprovider', "
    f"'tests/test_modes.py', 'tests/static', '-k', {CORE!r}]))"
)


def run(code: str, **env: str) -> str:
    """The output of a fresh Python; an error if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_native_code_is_off_where_asked_or_impossible() -> None:
    switched_off = run(CHECK, DUALGRAPH_NATIVE="0")
    impossible = run(BLOCKED + CHECK)
    assert switched_off == impossible


@pytest.mark.parametrize("how", ["switched off", "not installed"])
def test_the_modes_agree_without_native_code(how: str) -> None:
    if how == "switched off":
        out = run("import sys\n" + RUN, DUALGRAPH_NATIVE="0")
    else:
        out = run(BLOCKED + RUN)
    assert " passed" in out


def test_fuzzed_programs_agree_without_native_code() -> None:
    code = "from tests.fuzz.test_programs import check\nprint(sum(check(seed) for seed in range(20)))"
    assert int(run(BLOCKED + code)) > 20

"""Python programs run in processes of their own, for the tests of faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# At the end of a program: all its kernels are made, and kept for other processes.
KEPT = """
from dualgraph.backends.native.aside import aside
from dualgraph.backends.native.entry import jit
jit().make_all()
assert all(machine.addresses for machine in list(jit().cache.values()))
aside(lambda: None).result()
"""


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment with changes; None takes a variable away."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, value in changes.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value
    return env


def run(program: str | Path, *arguments: str, timeout: float = 120, **changes: str | None) -> str:
    """What a program prints; fails with what it says on standard error if it does not end well."""
    start = [str(program)] if isinstance(program, Path) else ["-c", program]
    done = subprocess.run(
        [sys.executable, "-W", "error", *start, *arguments],
        env=environment(**changes), capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

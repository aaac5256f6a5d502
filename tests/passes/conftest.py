"""Shared by the tests of passes: golden text files, and a backend where the package installs none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import dualgraph  # noqa: F401  (installs ops and backends)
from dualgraph.backends.array import NumpyBackend
from dualgraph.core.backend import backend_for, register_backend
from dualgraph.core.devices import CPU
from dualgraph.core.errors import DeviceError
from dualgraph.static.graph import Graph
from dualgraph.static.text import to_text

GOLDEN = Path(__file__).parent / "golden"

try:
    backend_for(CPU)
except DeviceError:
    register_backend("cpu", NumpyBackend)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-golden", action="store_true", help="rewrite the golden files of the passes"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``golden(name, before, after)`` compares both texts with a file; ``--refresh-golden`` rewrites it."""

    def check(name: str, before: Graph, after: Graph | str) -> None:
        text = after if isinstance(after, str) else to_text(after, where=False)
        content = f"{to_text(before, where=False)}\n\n=>\n\n{text}\n"
        path = GOLDEN / f"{name}.txt"
        if request.config.getoption("--refresh-golden", default=False):
            GOLDEN.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == content, (
            "refresh with: pytest tests/passes --refresh-golden"
        )

    return check

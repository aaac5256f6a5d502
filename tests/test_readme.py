"""README, CONTRIBUTING and docs: their code runs, their commands and links exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dualgraph.backends.native import api
from tests.markdown import Block, blocks, section

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def commands(readme: str) -> list[Block]:
    return [b for b in blocks(section(readme, "Quick start")) if b.language == "sh"]


@page
def test_code_blocks_run_and_print_what_the_page_states(path: Path, tmp_path: Path) -> None:
    if (
        re.search(r"fused\(%|\[\"fused\"\]", path.read_text(encoding="utf-8"))
        and not api.available()
    ):
        pytest.skip("shows what native kernels make of a graph")
    command = [
        sys.executable,
        "-W",
        "error",
        str(ROOT / "tests" / "markdown.py"),
        "check",
        str(path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@page
def test_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", path.read_text(encoding="utf-8"))
    tops = [ROOT, ROOT / "dualgraph", ROOT / "dualgraph" / "backends"]
    assert not [name for name in named if not any((top / name).exists() for top in tops)]


@page
def test_links_to_files_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_quick_start_is_two_commands_of_one_line(commands: list[Block]) -> None:
    assert len(commands) == 2
    for block in commands:
        assert len(block.text.strip().splitlines()) == 1


def test_quick_start_commands_install_extras_that_exist(commands: list[Block]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for block in commands:
        (extra,) = re.findall(r'pip install -e "\.\[(\w+)\]"', block.text)
        assert extra in project["optional-dependencies"]


def test_quick_start_commands_run_the_main_job_and_the_tests(commands: list[Block]) -> None:
    first, second = (block.text.strip() for block in commands)
    assert first.endswith("&& python examples/train_digits.py")
    assert (ROOT / "examples" / "train_digits.py").exists()
    assert re.search(r"&& pytest( -\S+| auto)*$", second)


def test_a_page_that_states_a_wrong_output_fails(tmp_path: Path) -> None:
    bad = tmp_path / "bad.md"
    bad.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n", encoding="utf-8")
    command = [sys.executable, str(ROOT / "tests" / "markdown.py"), "check", str(bad)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "bad.md:2 prints" in done.stderr

"""Architecture: layers, cycles, private names, file sizes and what importing the package costs."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from statistics import median
from typing import NamedTuple

import networkx as nx
import pytest

import dualgraph
from dualgraph.core.prim import REGISTRY

PACKAGE = Path(dualgraph.__file__).resolve().parent

# Lower layers never import higher ones. Packages of one row are siblings: they do not import each
# other, but for the pairs in SIBLINGS. A module stands in the row of its first name.
LAYERS = [
    {"core"},
    {"ops"},
    {"eager", "static", "transforms"},
    {"control"},
    {"passes"},
    {"backends", "container", "reader"},
    {"merge", "effects"},
    {"jit", "sweeps"},
    {"comparison", "debugging", "artefact"},
    {
        "nn",
        "optim",
        "data",
        "linalg",
        "signal",
        "fft",
        "special",
        "testing",
        "distributed",
        "distributions",
        "masked",
        "notebook",
        "summaries",
        "func",
        "autograd",
        "serialise",
        "threads",
        "amp",
        "cuda",
        "determinism",
        "profiler",
        "quantization",
    },
    {"__init__"},
    {"compat"},
]
SIBLINGS = {
    ("transforms", "eager"),  # transforms run the tape
    ("debugging", "comparison"),
    ("distributions", "special"),  # densities are made of such functions
    ("distributions", "linalg"),
    ("signal", "fft"),
    ("signal", "nn"),
    ("distributions", "nn"),
    ("func", "nn"),  # calls modules
    ("nn", "distributed"),  # gradients averaged over processes
    ("data", "distributed"),  # which part a process has
    ("optim", "nn"),  # an optimiser holds parameters
    ("nn", "serialise"),
    ("nn", "linalg"),  # orthogonal weights are solutions and exponentials
    ("quantization", "nn"),
}
# Imported where they are first needed, so that the package starts fast; it runs without most of them.
LAZY = {"llvmlite", "cupy", "networkx", "matplotlib", "tqdm", "IPython", "safetensors", "torch"} | {
    "concurrent"
}
MAX_LINES = 500


class Import(NamedTuple):
    module: str  # absolute
    names: tuple[str, ...]
    line: int
    function: str  # the enclosing function, or ""
    typing_only: bool


class Source(NamedTuple):
    name: str  # absolute module name
    path: Path
    tree: ast.Module

    @property
    def part(self) -> str:
        return part_of(self.name)


def part_of(module: str) -> str:
    """The first name below the package: what the layer table lists."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _is_typing_only(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _imports(source: Source) -> Iterator[Import]:
    package = source.name.split(".")
    if source.path.name != "__init__.py":
        package = package[:-1]

    def walk(node: ast.AST, function: str, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, (), child.lineno, function, typing_only)
            elif isinstance(child, ast.ImportFrom):
                above = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*above, *([child.module] if child.module else [])])
                names = tuple(a.name for a in child.names)
                yield Import(module, names, child.lineno, function, typing_only)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from walk(child, getattr(child, "name", "lambda"), typing_only)
            elif isinstance(child, ast.If) and _is_typing_only(child.test):
                for statement in child.body:
                    yield from walk(ast.Module([statement], []), function, True)
            else:
                yield from walk(child, function, typing_only)

    yield from walk(source.tree, "", False)


@functools.cache
def sources() -> dict[str, Source]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = [PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Source(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


@functools.cache
def imports_of(name: str) -> tuple[Import, ...]:
    return tuple(_imports(sources()[name]))


def targets(item: Import) -> Iterator[str]:
    """The modules of the package that an import statement loads."""
    if item.module.split(".")[0] != PACKAGE.name:
        return
    submodules = [f"{item.module}.{n}" for n in item.names if f"{item.module}.{n}" in sources()]
    yield from submodules
    if len(submodules) < len(item.names) or not item.names:
        yield item.module


def level(part: str) -> int:
    return next(i for i, row in enumerate(LAYERS) if part in row)


def where(source: Source, line: int) -> str:
    return f"{source.path.relative_to(PACKAGE.parent)}:{line}"


def test_every_module_has_a_layer() -> None:
    homeless = sorted({s.part for s in sources().values()} - set().union(*LAYERS))
    assert not homeless, f"say in LAYERS where these belong: {homeless}"


def test_imports_of_the_package_name_modules_that_exist() -> None:
    wrong = [
        f"{where(source, item.line)}: there is no {target}"
        for source in sources().values()
        for item in imports_of(source.name)
        for target in targets(item)
        if target not in sources()
    ]
    assert not wrong, "\n".join(wrong)


def _imported_by_name(source: Source) -> Iterator[tuple[int, str]]:
    """Modules that ``import_module(".name", __package__)`` loads."""
    package = source.name if source.path.name == "__init__.py" else source.name.rpartition(".")[0]
    for node in ast.walk(source.tree):
        name = node.args[0] if isinstance(node, ast.Call) and len(node.args) == 2 else None
        if isinstance(name, ast.Constant) and str(name.value).startswith("."):
            assert isinstance(node, ast.Call)
            if "import_module" in ast.unparse(node.func):
                yield node.lineno, resolve_name(name.value, package)


def test_modules_imported_by_name_exist() -> None:
    found = [(s, *each) for s in sources().values() for each in _imported_by_name(s)]
    assert len(found) > 10
    wrong = [f"{where(s, line)}: there is no {m}" for s, line, m in found if m not in sources()]
    assert not wrong, "\n".join(wrong)


def test_imports_go_down_only() -> None:
    wrong = []
    for source in sources().values():
        for item in imports_of(source.name):
            for target in targets(item):
                part = part_of(target)
                if part == source.part or (source.part, part) in SIBLINGS:
                    continue
                if level(part) >= level(source.part):
                    wrong.append(f"{where(source, item.line)}: {source.part} imports {part}")
    assert not wrong, "\n".join(wrong)


def test_modules_import_each_other_without_cycles() -> None:
    graph = nx.DiGraph()
    for source in sources().values():
        for item in imports_of(source.name):
            if not item.typing_only:
                graph.add_edges_from((source.name, t) for t in targets(item) if t != source.name)
    cycles = [sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1]
    assert not cycles, cycles


@functools.cache
def optional_modules() -> frozenset[str]:
    """Modules of the package that need an optional third party as soon as they are imported."""
    found: set[str] = set()
    before = -1
    while len(found) != before:
        before = len(found)
        for name in sources():
            top = [i for i in imports_of(name) if not i.function and not i.typing_only]
            loaded = {t for i in top for t in targets(i)}
            if any(i.module.split(".")[0] in LAZY for i in top) or loaded & found:
                found.add(name)
    return frozenset(found)


def test_imports_stand_at_the_top_but_for_optional_third_parties() -> None:
    def may_wait(item: Import) -> bool:
        loaded = list(targets(item)) or [item.module.split(".")[0]]
        return all(name in LAZY or name in optional_modules() for name in loaded)

    wrong = [
        f"{where(source, item.line)}: {item.function} imports {item.module}"
        for source in sources().values()
        for item in imports_of(source.name)
        if item.function and not may_wait(item)
    ]
    assert not wrong, "\n".join(wrong)


@functools.cache
def loaded_modules() -> tuple[str, ...]:
    code = "import sys, json, dualgraph; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    return tuple(json.loads(done.stdout))


def test_importing_the_package_loads_no_optional_third_party() -> None:
    loaded = loaded_modules()
    assert not {name.split(".")[0] for name in loaded} & LAZY
    assert not optional_modules() & set(loaded)
    assert "dualgraph.backends.native.loop_ir" not in loaded  # nor what else is behind `native.api`


def test_nobody_imports_private_names_of_another_package() -> None:
    wrong = []
    for source in sources().values():
        for item in imports_of(source.name):
            if item.module.split(".")[0] != PACKAGE.name:
                continue
            if all(part_of(target) == source.part for target in targets(item)):
                continue
            names = (*item.module.split("."), *item.names)
            private = [n for n in names if n[0] == "_" and not n.endswith("__")]
            wrong += [f"{where(source, item.line)} imports {item.module}.{n}" for n in private]
    assert not wrong, "\n".join(wrong)


def test_files_are_one_concept_long() -> None:
    long = {
        where(s, 1): n
        for s in sources().values()
        if (n := len(s.path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long


def test_every_file_says_its_concept_first() -> None:
    silent = [
        where(s, 1)
        for s in sources().values()
        if s.tree.body and not (ast.get_docstring(s.tree) or "").strip()
    ]
    assert not silent, silent


MAPPED = """core core.numbers core.process ops eager eager.methods control transforms static static.code passes
backends backends.native backends.native.emit effects jit
backends.native.contract backends.native.guard backends.native.movers backends.native.quick
backends.native.team merge sweeps
nn nn.functional nn.utils optim.lr_scheduler debugging artefact distributions compat compat.torch"""


@pytest.mark.parametrize("package", MAPPED.split())
def test_the_map_of_a_package_shows_every_module(package: str) -> None:
    top = sources()[f"{PACKAGE.name}.{package}"]
    shown = re.findall(r"\w+", ast.get_docstring(top.tree) or "")
    below = {s.removeprefix(f"{top.name}.") for s in sources() if s.startswith(f"{top.name}.")}
    missing = {name for name in below if "." not in name} - set(shown)
    assert not missing, f"say in {where(top, 1)} what these are for: {sorted(missing)}"


# --- passes ask ops, they do not list them -------------------------------------------------------

HOMONYMS = {"constant"}  # also the role of a buffer in a schedule


def _docstrings(tree: ast.Module) -> set[int]:
    """Ids of the string constants that are docstrings."""
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def _ops_named_in(source: Source) -> Iterator[tuple[int, str]]:
    """Ops that a module names: as a string, or by importing them."""
    modules = {
        alias.asname or alias.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "") in {"", "ops"} and node.level
        for alias in node.names
        if node.module == "ops" or alias.name == "ops"
    }
    skip = _docstrings(source.tree)
    for item in imports_of(source.name):
        if item.module.startswith(f"{PACKAGE.name}.ops"):
            yield from ((item.line, n) for n in item.names if n in REGISTRY)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and id(node) not in skip and node.value in REGISTRY:
            yield node.lineno, node.value
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in modules and node.attr in REGISTRY:
                yield node.lineno, node.attr


def test_passes_name_no_ops() -> None:
    wrong = [
        f"{where(source, line)} names the op {name!r}; ask a trait of the op"
        for source in sources().values()
        if source.part == "passes"
        for line, name in _ops_named_in(source)
        if name not in HOMONYMS
    ]
    assert not wrong, "\n".join(wrong)


def test_the_checks_see_what_they_look_for() -> None:
    text = (
        '"""A pass."""\n'
        "from ..ops.arithmetic import add\n"
        "from ..ops import movement\n"
        "def f(node):\n"
        "    import os\n"
        "    return node.prim.name == 'multiply' or movement.permute\n"
    )
    name = "dualgraph.passes.example"
    source = Source(name, PACKAGE / "passes" / "example.py", ast.parse(text))
    found = tuple(_imports(source))
    assert [i.module for i in found] == ["dualgraph.ops.arithmetic", "dualgraph.ops", "os"]
    assert [i.function for i in found] == ["", "", "f"]
    assert list(targets(found[1])) == ["dualgraph.ops.movement"]


# --- what importing costs ------------------------------------------------------------------------

IMPORT_SECONDS = """
import time
began = time.thread_time()
import numpy
between = time.thread_time()
import dualgraph
print(between - began, time.thread_time() - between)
"""
# Seconds that importing NumPy takes where the limit is meant; more on a slower machine
NUMPYS_OWN = 0.045


@pytest.mark.slow
def test_import_takes_at_most_60_ms_over_numpy(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}  # the first run compiles
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def seconds() -> list[float]:
        command = [sys.executable, "-c", IMPORT_SECONDS]
        done = subprocess.run(
            command, env=environment, cwd=PACKAGE.parent, capture_output=True, text=True, check=True
        )
        return [float(part) for part in done.stdout.split()]

    seconds()
    # Processor time of the thread, beside NumPy's in the same run: others on these cores slow both.
    runs = [seconds() for _ in range(15)]
    assert median(ours / max(numpys, NUMPYS_OWN) for numpys, ours in runs) < 0.060 / NUMPYS_OWN

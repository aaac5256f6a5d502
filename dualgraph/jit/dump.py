"""Dumps: each compiled program as text - the graph after every pass, the schedule, the memory plan, the LLVM code.

``DUALGRAPH_DUMP=directory`` writes a folder for each program.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..backends.executor import Executable
from ..passes.pipeline import PassRecord
from ..static.graph import Graph
from ..static.region import bodies

VARIABLE = "DUALGRAPH_DUMP"
_numbers = itertools.count()


def dumping() -> bool:
    """Whether programs are written as text."""
    return bool(os.environ.get(VARIABLE))


def dump_program(
    name: str, captured: Graph, records: Sequence[PassRecord], executable: Executable
) -> None:
    """Writes what became of a program, if ``DUALGRAPH_DUMP`` names a directory."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        return
    plain = re.sub(r"[^\w.-]+", "_", name).strip("_") or "program"
    folder = os.path.join(directory, f"{plain}-{os.getpid()}-{next(_numbers)}")
    os.makedirs(folder)
    for file, text in texts(captured, records, executable):
        with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
            out.write(text + "\n")


def texts(
    captured: Graph, records: Sequence[PassRecord], executable: Executable
) -> Iterator[tuple[str, str]]:
    """File names and contents."""
    yield "00-captured.txt", str(captured)
    before = str(captured)
    for i, record in enumerate(records, 1):
        after = str(record.graph)
        note = "# nothing changed\n" if after == before else ""
        yield f"{i:02}-{record.name.replace(' ', '-')}.txt", f"# {record}\n{note}{after}"
        before = after
    yield "schedule.txt", str(executable.plan)
    yield "memory.txt", str(executable.memory)
    for i, code in enumerate(kernel_texts(executable)):
        yield f"kernel-{i:03}.ll", code


def kernel_texts(executable: Executable, inner: str = "") -> Iterator[str]:
    """LLVM code of each kernel, with the graph that it computes as a comment; those of bodies follow."""
    for i, kernel in executable.kernels.items():
        code: Any = getattr(kernel, "code", None)
        if code is None:
            continue
        node = executable.plan.steps[i].node
        graph = "\n".join(
            f"; {line}" for g in bodies(node).values() for line in str(g).splitlines()
        )
        yield f"; step {inner}{i} at {node.where}\n{graph}\n{code.text()}"
    for i, programs in executable.bodies.items():
        for key, program in programs.items():
            yield from kernel_texts(program, f"{inner}{i}.{key}.")

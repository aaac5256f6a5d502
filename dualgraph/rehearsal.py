"""Rehearsal: a symbolic program is made ready for sample sizes, so that what these compile is there when they come.

Kernels of contractions are made for the rows that are left when a tile is full, and there is one for each number
of these. Small sizes, and those that are just over some tiles, leave all that there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from .core.kinds import CONTRACTION, OPAQUE
from .core.symbolic import plain
from .core.workers import Job, Workers
from .dynamic import Template
from .program import Program
from .static.graph import Graph
from .static.region import bodies, is_region

SAMPLES = (
    *range(57, 71),
    *range(14, 0, -1),
)  # at most four tiles, of 14 rows at most; then one by one


def rehearsals(template: Program) -> Iterator[None]:
    """Makes a template ready for a sample size in each turn; keeps nothing of it but what was compiled."""
    if not isinstance(template, Template) or not template.ready or not _compiles(template.graph):
        return
    first = plain(template.symbols)
    for i in range(len(first)):
        for size in SAMPLES:
            values = (*first[:i], size, *first[i + 1 :])
            if template.same_capture(values) and template.compiled_for(values):
                template.sized(values).build()
            yield


def rehearse(
    program: Program, jobs: list[Job[None]] | None = None, workers: Workers | None = None,
    turns: Iterator[None] | None = None,
) -> None:  # fmt: skip
    """Makes ready what calls of other sizes would have to compile: now, or with `workers` turn by turn.

    The next turn is taken when the workers have done all else, and none when the interpreter ends.
    """
    turns = rehearsals(program) if turns is None else turns
    if jobs is None or workers is None:
        for _ in turns:
            pass
    elif next(turns, workers) is None and workers.count:
        jobs.insert(0, workers.submit(lambda: rehearse(program, jobs, workers, turns)))


def _compiles(graph: Graph) -> bool:
    """Whether a graph has ops whose kernels are made for sizes."""
    return any(
        not is_region(n)
        and (n.prim.kind in (CONTRACTION, OPAQUE) or any(map(_compiles, bodies(n).values())))
        for n in graph.nodes
    )

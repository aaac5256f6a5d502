"""Rehearsal: a symbolic program is made ready for sample sizes, so that what these compile is there when they come.

Kernels of contractions are made for the rows that are left when a tile is full, and there is one for each number
of these. Small sizes, and those that are just over some tiles, leave all that there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from ..backends.ground import Ground
from ..backends.native import api
from ..core.context import as_before
from ..core.kinds import CONTRACTION, OPAQUE
from ..core.numbers.symbolic import plain
from ..core.process.heap import give_back
from ..core.process.settings import undisturbed
from ..core.process.workers import Job, Workers
from ..static.graph import Graph
from ..static.region import bodies
from .dynamic import Template
from .program import Program

# Few tiles are made alike, and may have any number of rows; from five on all but the last are full (14 rows at most).
SAMPLES = (*range(57, 71), *range(14, 0, -1), *range(56, 14, -1))
AT_ONCE = 0.3  # seconds that a call which waits for its program gives to samples
MUCH = 1 << 23  # bytes of values from which freed memory is worth giving back


def make_ready(program: Program) -> None:
    """Makes a program ready, and gives back the memory that the eager run, and then compiling, has left."""
    much = sum(v.type.nbytes for n in program.captured.nodes for v in n.outputs) > MUCH
    if much and program.waits:  # else the calls beside it take that memory again
        give_back()
    with as_before(), undisturbed:
        program.build()
    if api.available():
        api.make_all()
    if much:
        give_back()


def rehearsals(template: Program) -> Iterator[None]:
    """Writes the program of all sizes, then makes a template ready for a sample size in each turn.

    Of these it keeps nothing but what was compiled.
    """
    if not isinstance(template, Template) or not template.ready:
        return
    template.follow()
    if template.most != plain(template.symbols) and template.compiled_for(template.most):
        # takes the memory that calls will need at most
        template.sized(template.most, template.ground).build()
    yield
    if not _compiles(template.graph):
        return
    first = plain(template.symbols)
    for i in range(len(first)):
        for size in SAMPLES:
            values = (*first[:i], size, *first[i + 1 :])
            if template.same_capture(values) and template.compiled_for(values):
                template.sized(values, Ground()).build()
            yield


def rehearse(
    program: Program, jobs: list[Job[None]], workers: Workers, seconds: float = 0.0,
    turns: Iterator[None] | None = None,
) -> None:  # fmt: skip
    """Makes ready what calls of other sizes would have to compile, for so long and for one turn at least.

    The workers take the other turns, one when all else is done, and none when the interpreter ends.
    """
    turns = rehearsals(program) if turns is None else turns
    if getattr(turns, "gi_running", False):
        return  # by a thread that this process, made by a fork, has not
    until = perf_counter() + seconds
    while next(turns, workers) is None:
        if perf_counter() >= until:
            if workers.count:
                jobs.insert(0, workers.submit(lambda: rehearse(program, jobs, workers, 0.0, turns)))
            return


def _compiles(graph: Graph) -> bool:
    """Whether a graph has ops whose kernels are made for sizes."""
    return any(
        n.prim.kind in (CONTRACTION, OPAQUE) or any(map(_compiles, bodies(n).values()))
        for n in graph.nodes
    )

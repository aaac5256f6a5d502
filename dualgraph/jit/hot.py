"""Hot calls: calls of a compiled function that were made before and go to their program natively.

`Compiled.__call__` finds a program in some microseconds of Python. When a program was run a few times, what that call
looked like is written into a table (`backends.native.guard`), and the same call later is told by machine code in
well under a microsecond. The table holds all that the slow way compares; calls that it does not tell go the slow way.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from ..backends.native import api
from ..core.errors import NOWHERE
from ..core.hooks import hooked
from ..core.process import forks
from ..core.process.spared import survived
from ..core.trees import flatten
from ..static.checks import DictCheck, NumberCheck
from .outright import run_of
from .program import Program
from .promoted import Place
from .rebound import FormCheck
from .slots import fetch, fits

OFTEN = 4  # calls of a program until its calls are told natively
AGAIN = 16  # calls after which another kind of call is looked at
PATIENT = True  # whether calls are told natively only once it is known that the program pays
BATCH = 250  # calls that native code sees to, until Python looks whether that is still right
MOST = 4  # calls of one function that are told natively
UNLIKE = object()  # what a call gives that was told, and is not for its program after all


class Guard:
    """Whether native code tells calls: not tried yet, on its way, there, or impossible here."""

    asked = False
    installed = False
    problem: Exception | None = None  # why there is none, as `explain()` says
    lock = forks.lock()  # of `asked`; held for an instant, as calls wait for it
    installing = forks.lock()  # held while code is made


def ready(owner: type, run: Any, later: Callable[[Callable[[], None]], Any]) -> bool:
    """Whether calls of the objects of `owner` can be told natively; when first asked, sees to it `later`."""
    if Guard.installed or not api.available():
        return Guard.installed
    with Guard.lock:
        asked, Guard.asked = Guard.asked, True
    if not asked:
        later(lambda: install(owner, run))
    return Guard.installed


def install(owner: type, run: Any) -> None:
    """Installs the guard. Where that cannot be, as in an interpreter that glue does not know, Python tells calls."""
    with Guard.installing:
        if Guard.installed:
            return
        try:
            guard = importlib.import_module("..backends.native.guard.install", __package__)
            guard.install(owner, run, UNLIKE)
            Guard.asked = Guard.installed = True
        except Exception as problem:
            Guard.problem = survived(problem)


def due(program: Program) -> bool:
    """Whether it is time to have a look at how this program is called."""
    return program.calls % AGAIN == OFTEN % AGAIN


def record_of(program: Program, args: Any, kwargs: Any, leaves: Sequence[Any]) -> Any:
    """The record of a call of a program, or None where a table cannot tell such calls."""
    table = importlib.import_module("..backends.native.guard.table", __package__)
    known = program.footprint.tensors
    if program.taps or program._contents or program._same or any(id(x) in known for x in leaves):
        return None
    tree = None if leaves is args else flatten((args, kwargs))[1]
    if tree is not None and program.trace.concrete:  # one that leaves the tree needs its arguments
        return None
    strangers = [c.holder for c in program.footprint.checks if id(c.holder) in known]
    try:
        memory = table.Memory()
        checks = [c for c in program.footprint.checks if not isinstance(c, FormCheck)]
        rows = [memory.row(c) for c in checks] + _conditions(program, memory, table)
        run = run_of(program, leaves, table)
        if program.places and run is None:
            return None
        nested = tree is not None and any(t.kind for held in tree.children for t in held.children)
        given = table.Given(len(args), tuple(kwargs), tree if nested else None)
        record = table.Record(memory, program, leaves, given, rows, strangers, run)
    except table.Unlike:
        return None
    return record if program.footprint.failing() is None else None


def _conditions(program: Program, memory: Any, table: Any) -> list[Any]:
    """What a program relies on besides its footprint and the types of its arguments, as rows."""
    rows = [memory.row(s.with_number(n)) for s, n in program.as_sizes if isinstance(s, Place)]
    for owner, had in program._entry:
        if isinstance(owner, int):
            raise table.Unlike("the gradient of an argument")
        rows.append(memory.gradient(owner, had))
    for slot in program._unhooked:
        if slot.kind == "tensor":
            rows.append(memory.unhooked(slot.key, lambda t=slot.key: not hooked(t._node)))
        elif slot.kind == "leaf":
            raise table.Unlike("hooks of an argument")
        else:
            rows.append(memory.asked(lambda slot=slot: not hooked(fetch(slot, [])._node)))
    for slot in program.trace.slots:
        if slot.kind == "leaf grad":
            raise table.Unlike("the gradient of an argument")
        # the program looks at its numbers itself, and the form of what is at places is told
        known = slot.kind in ("leaf", "computed", "place", "worked")
        if slot.kind == "number":
            rows.append(memory.row(NumberCheck(DictCheck(*slot.key, 0.0, "number", NOWHERE))))
        elif not known and id(slot.key) not in program.footprint.tensors:
            rows.append(memory.asked(lambda slot=slot: fits(slot, fetch(slot, []))))
    return rows


def straight(fn: Any) -> Any:
    """What has the next `BATCH` calls go straight to `fn`, whatever they are."""
    table = importlib.import_module("..backends.native.guard.table", __package__)
    return table.Straight(fn, BATCH)


def unseen(program: Program, records: Any) -> int:
    """How many calls of a program native code has run since it was last asked, in whole batches; it may run as many."""
    own = [r for r in records if r.program is program] if type(records) is tuple else ()
    return sum(BATCH for r in own if r.renew(BATCH))

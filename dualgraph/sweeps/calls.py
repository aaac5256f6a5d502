"""Calls of ``backward``: which tapes came often enough to have a program, and its runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.executor import Executable
from ..core import dtypes as dt
from ..core.context import grad_mode
from ..core.devices import CPU
from ..core.errors import DualgraphError
from ..core.node import TapeNode
from ..core.numbers.live import mode
from ..core.process.spared import spared
from ..core.process.workers import Workers
from ..core.sweep import Whole
from ..eager.tensor import Edge, Tensor
from ..merge.running import FAILURES, run
from .program import program_of
from .template import Template, match, may_have_template, template_of

SELDOM = 32  # sweeps over tapes without a template, of which the last gets one, as the 1st, 2nd, 4th, 8th ... do
OFTEN = 32  # sweeps over tapes of a template until it gets a program,
HEAVY = 1 << 27  # or as many as go through so many bytes,
AGAIN = 6  # or so many, where others have taken the place of
ROW = 24  # tapes in a row that were swept by programs
CHANGES = 6  # times that they may take it
MOST = 8  # templates of tapes that end alike
SITES = 1024  # ops that tapes with templates end in
_background = Workers("dualgraph-sweeps", 1)


def wait() -> None:
    """Blocks until what was asked for is compiled."""
    _background.submit(lambda: None).result()


class Again:
    """A template, how often a tape was like it, and its program as soon as there is one."""

    __slots__ = ("calls", "dtypes", "index", "leaves", "often", "program", "template", "turned")

    def __init__(self, template: Template, index: int, most: int) -> None:
        self.template = template
        self.index = index
        self.leaves = template.leaves
        self.dtypes = [template.entries[k].outputs[0].dtype for k in self.leaves]
        self.turned = [(i, order) for i, order in enumerate(template.orders) if order is not None]
        self.calls, self.often = 0, min(most, 2 + HEAVY // max(1, template.nbytes))
        self.program: Executable | None = None

    def seen(self) -> None:
        """One more tape like this; after some the program is made, beside the caller."""
        self.calls += 1
        if self.calls == self.often:
            _background.submit(self._build)

    def _build(self) -> None:
        with spared(DualgraphError):  # sweeps go on op by op
            self.program = program_of(self.template, self.index)


class Site:
    """The templates of tapes that end in the same op, the latest found first."""

    __slots__ = ("known", "missed")

    def __init__(self) -> None:
        self.known: list[Again] = []
        self.missed = 0

    def find(self, root: TapeNode) -> tuple[Again, Any] | None:
        """The template that the tape behind `root` is like, its entries and the arrays that they saved."""
        search = Whole.match or match
        for again in self.known:
            found = search(again.template, root)
            if found is not None:
                if again is not self.known[0]:
                    self.known = [again, *(a for a in self.known if a is not again)]
                return again, found
        return None

    def miss(self, root: TapeNode, index: int) -> None:
        """A tape that is like no template; one in some becomes one."""
        soon = _row.changed()
        self.missed = 1 if soon else self.missed + 1
        if self.missed % SELDOM == 0 or self.missed & (self.missed - 1) == 0:
            template = template_of(root)
            if template is not None and template.pays:
                again = Again(template, index, AGAIN if soon else OFTEN)
                self.known = [again, *self.known[: MOST - 1]]


class Row:
    """Sweeps by programs, one after the other, of all sites.

    A tape changes when composites on it get programs. So the first few others that follow a long row are worth a
    template at once, and a program soon.
    """

    __slots__ = ("changes", "length")

    def __init__(self) -> None:
        self.length = self.changes = 0

    def goes_on(self) -> None:
        """A sweep by a program."""
        self.length += 1
        if self.length >= ROW:
            self.changes = CHANGES

    def changed(self) -> bool:
        """A tape without a template; whether it is one of the first after a long row."""
        self.length, self.changes = 0, self.changes - 1
        return self.changes >= 0


_row = Row()
_sites: dict[Any, Site] = {}
dt.changed.append(_sites.clear)  # what numbers become hangs on the default dtype


def serve(
    root: tuple[Edge, Tensor], arrive: Callable[[TapeNode, list[Any]], None], retain: bool
) -> bool:
    """Whether a sweep was run as a whole: `arrive` has then got the gradients of all leaves."""
    (node, index), ct = root
    if not may_have_template(node.prim) or mode.formulas is not None or ct.device is not CPU:
        return False
    site = _sites.get((node.prim, index))
    if site is None:
        if len(_sites) >= SITES:
            oldest, *_ = list(_sites)  # made at once: other threads change it
            _sites.pop(oldest, None)
        site = _sites[node.prim, index] = Site()
    hit = site.find(node)
    if hit is None:
        site.miss(node, index)
        return False
    again, (nodes, arrays) = hit
    if again.program is None:
        again.seen()
        return False
    if ct._data.shape != again.template.entries[0].outputs[index].shape:
        return False
    for i, order in again.turned:  # one that lies otherwise this time is copied
        if arrays[i] is None:
            return False  # a capture keeps the tensor itself
        arrays[i] = arrays[i].transpose(order)
    arrays.append(ct._data)
    _row.goes_on()
    try:
        made = run(again.program, arrays)
    except FAILURES:
        return False
    with grad_mode(False):
        for k, array, dtype in zip(again.leaves, made, again.dtypes, strict=True):
            arrive(nodes[k], [Tensor(array, dtype, CPU)])
    if not retain:
        for entry in nodes:
            if entry.prim is not None:
                entry.saved = None
                entry.released = True
    return True

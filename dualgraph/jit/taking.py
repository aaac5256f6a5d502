"""Taking: numbers that Python takes out of tensors as inputs of what follows, in the place of a path for each value.

``scale = loss.item(); y = x * scale`` leads along another path for each number. When some were seen at one place, the
function is captured once more, with live numbers for what is taken out. The new program serves for any number where it
does what those that were captured without live numbers do; what the code finds out about a number
(``if loss.item() < limit``) is a condition, and another capture serves where it fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..core.errors import Location
from ..core.numbers.live import LIVE_OF
from ..static.trace import Concrete
from .alike import other_number
from .program import Program
from .promoted import KEPT, LEADS
from .promotion import Promotion, told_apart

MAX_TRIES = 3  # captures for numbers at one place that nothing came of
MAX_DRAWN = 12  # the same where they are random: calls take one path now, another one then


class Taking:
    """Which numbers that a compiled function takes out of tensors may be any."""

    def __init__(self, promotion: Promotion) -> None:
        self.active = False  # whether captures get live numbers
        self._promotion = promotion
        self._refused = False
        self._tries: Counter[Location] = Counter()
        self._known = 0  # places whose numbers may be any
        # A program of random numbers that nothing has confirmed yet
        self._last: Program | None = None

    def allows(self, where: Location) -> bool:
        """Whether a capture gets a live number for one that is taken out there."""
        return ("taken", where) not in self._promotion.never

    def may_help(self, program: Program, where: Location | None, value: object) -> bool:
        """Whether a capture with live numbers may serve for what `program` takes out there; it has to be made if so."""
        if where is None or self._refused or type(value) not in LIVE_OF:
            return False
        if not self.allows(where) or told_apart(program.footprint) is not None:
            return False
        if not self._promotion.confirmed_at(where, type(value)):
            drawn = any(c.draw is not None and c.where == where for c in program.trace.concrete)
            if self._tries[where] == (MAX_DRAWN if drawn else MAX_TRIES):
                return False
            self._tries[where] += 1
        self.active = True
        return True

    def captured(self, program: Program) -> None:
        """Takes in a new program: one with live numbers for random ones is to be confirmed by the next capture."""
        taken = () if program.promoted is None else program.promoted.takes
        self._last = program if any(i in taken for i in self._passing(program)) else None

    def to_confirm(self, programs: Sequence[Program]) -> Program | None:
        """The program that the next capture shall confirm, so that it gets plain numbers: no two calls draw the same
        ones, so every other capture is one, until two took one path."""
        last, self._last = self._last, None
        return last if last in programs else None

    def superseded(self, programs: Sequence[Program], new: Program | None) -> list[Program]:
        """Those that are for random numbers which will not come again, once after it was found out of some such numbers
        that others may serve for any."""
        known, self._known = self._known, self._promotion.confirmed_places
        if known == self._known:
            return []
        confirmed = self._promotion.confirmed_at
        return [
            p
            for p in programs
            if p is not new
            and any(confirmed(c.where, type(c.value)) for c in self._passing(p).values())
        ]

    @staticmethod
    def _passing(program: Program) -> dict[int, Concrete]:
        """The random numbers of a program that have to be what they were, and will not be."""
        return {
            i: c
            for i, c in enumerate(program.trace.concrete)
            if c.draw is not None
            and i not in program.any_taken
            and (isinstance(c.value, (float, np.floating)) or c.draw.of_clock)
        }

    def notice(self, program: Program, other: Program) -> None:
        """Two captures differ; it may be that they do in what they took out of tensors alone."""
        number = other_number(program, other)
        if number is not None:
            self.may_help(program, number.where, number.value)

    def may_do_better(self, program: Program) -> bool:
        """Whether there may be a program for any of the numbers that this one takes out of tensors, but it is not."""
        taken = () if program.promoted is None else program.promoted.takes
        return self.active and any(
            i not in taken and type(c.value) in LIVE_OF and self.allows(c.where)
            for i, c in enumerate(program.trace.concrete)
        )

    def refuse(self, refusals: Sequence[str]) -> bool:
        """Whether a capture with live numbers cannot be a program because of these; there will be none then."""
        why = next((r for r in refusals if r.startswith((KEPT, LEADS))), None)
        if why is not None:
            self._refused, self.active = True, False
            self._promotion.told.append(f"numbers taken out of tensors are no inputs: {why}")
        return why is not None

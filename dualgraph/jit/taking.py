"""Taking: numbers that Python takes out of tensors as inputs of what follows, in the place of a path for each value.

``scale = loss.item(); y = x * scale`` leads along another path for each number. When some were seen at one place, the
function is captured once more, with live numbers for what is taken out. The new program serves for any number where it
does what those that were captured without live numbers do; what the code finds out about a number
(``if loss.item() < limit``) is a condition, and another capture serves where it fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..core.errors import Location
from .alike import other_number
from .program import Program
from .promoted import FLOWS, KEPT, LEADS
from .promotion import Promotion, told_apart

MAX_TRIES = 3  # captures for numbers at one place that nothing came of


class Taking:
    """Which numbers that a compiled function takes out of tensors may be any."""

    def __init__(self, promotion: Promotion) -> None:
        self.active = False  # whether captures get live numbers
        self._promotion = promotion
        self._refused = False
        self._tries: Counter[Location] = Counter()

    def allows(self, where: Location) -> bool:
        """Whether a capture gets a live number for one that is taken out there."""
        return ("taken", where) not in self._promotion.never

    def may_help(self, program: Program, where: Location | None, value: object) -> bool:
        """Whether a capture with live numbers may serve for what `program` takes out there; it has to be made if so."""
        if where is None or self._refused or type(value) not in (int, float):
            return False
        if not self.allows(where) or told_apart(program.footprint) is not None:
            return False
        if not self._promotion.confirmed_at(where, type(value)):
            if self._tries[where] == MAX_TRIES:
                return False
            self._tries[where] += 1
        self.active = True
        return True

    def notice(self, program: Program, other: Program) -> None:
        """Two captures differ; it may be that they do in what they took out of tensors alone."""
        number = other_number(program, other)
        if number is not None:
            self.may_help(program, number.where, number.value)

    def may_do_better(self, program: Program) -> bool:
        """Whether there may be a program for any of the numbers that this one takes out of tensors, but it is not."""
        taken = () if program.promoted is None else program.promoted.takes
        return self.active and any(
            i not in taken and type(c.value) in (int, float) and self.allows(c.where)
            for i, c in enumerate(program.trace.concrete)
        )

    def refuse(self, refusals: Sequence[str]) -> bool:
        """Whether a capture with live numbers cannot be a program because of these; there will be none then."""
        why = next((r for r in refusals if r.startswith((KEPT, FLOWS, LEADS))), None)
        if why is not None:
            self._refused, self.active = True, False
            self._promotion.told.append(f"numbers taken out of tensors are no inputs: {why}")
        return why is not None

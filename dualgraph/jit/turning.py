"""Turning: a symbolic program whose numbers change from call to call, as one that native code tells and runs.

At other numbers the tables of its native program are filled anew, in the call itself. That goes where nothing that
calls take or give changes with the numbers: they are places and offsets, or the sizes of what is in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import hot
from .dynamic import Sized, Template
from .program import MISMATCH, Program
from .promoted import Leaf


class Turning(Sized):
    """A template at whatever its numbers are in a call; its other sizes are those of `values`."""

    def __init__(self, template: Template, values: tuple[int, ...]) -> None:
        vars(self).update(vars(Sized.of(template, values, template.ground)))
        self.as_sizes = ()
        self.seen = 0
        self._executable: Any = template.resizing
        self._known: tuple[int, ...] = ()  # sizes for which the program was found to be right
        self._fixed = list(values)
        self._places = [
            (s, -1 if n.value < 0 else 1, template.place_of(n)) for s, n in template.as_sizes
        ]
        self.turned = self._turned

    def is_free(self, leaf: int) -> bool:
        numbers = (s for s, _, _ in self._places)
        turned = any(isinstance(s, Leaf) and s.index == leaf for s in numbers)
        return turned or super().is_free(leaf)

    def due(self, program: Program) -> bool:
        """Whether it is time to have a look at a call that `program`, one of it, has served."""
        self.meter = program.meter
        self.seen += 1
        return self.seen % hot.AGAIN == hot.OFTEN % hot.AGAIN

    def values_in(self, leaves: Sequence[Any]) -> tuple[int, ...] | None:
        """The sizes of a call; None where the program is not made for such."""
        found: dict[int, int] = {}
        for source, sign, place in self._places:
            n = source.read(leaves)
            if type(n) is not int or (n < 0) is not (sign < 0):
                return None
            if found.setdefault(place, sign * n) != sign * n:
                return None
        values = tuple([found.get(i, n) for i, n in enumerate(self._fixed)])
        if values != self._known:
            template = self.template
            if not template.same_capture(values) or not template.compiled_for(values):
                return None
            self._known = values
        return values

    def _turned(self, *leaves: Any) -> bool:
        """Takes the native program for a call with these arguments and fills its tables; the call gives it back."""
        values = self.values_in(leaves)
        return values is not None and self._executable.turned(values)

    def start(self, leaves: list[Any]) -> Any:
        values = self.values_in(leaves)
        if values is None:
            return MISMATCH
        sized = self.template.at(values)
        return sized.start(leaves) if sized.made_ready() else MISMATCH


def turning(program: Program) -> Turning | None:
    """The program at any number, where it is one at some and can be; else None."""
    template: Any = program.template
    if template is None or template.resizing is None or not template.turns:
        return None
    if template.turning is None:
        template.turning = Turning(template, program.values)  # type: ignore[attr-defined]
    return template.turning  # type: ignore[no-any-return]

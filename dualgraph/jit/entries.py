"""Entries: what a compiled function knows of each kind of arguments, and what `explain()` says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .cached import CachedCalls
from .pay import Meter
from .program import Program
from .stages import Stage, tree_text

MAX_SIZED = 8  # programs that are one at several numbers, which are looked through on each call


@dataclass(slots=True)
class Entry:
    """All that is known for one kind of arguments."""

    programs: list[Program] = field(default_factory=list)
    eager_because: list[str] = field(default_factory=list)
    refused: str = ""  # why the last capture gave no program, where another one may
    kept: Any = None  # objects whose identity is part of the key
    measuring: bool = False
    came: bool = False  # a symbolic program would have served a call, which ran eagerly
    record: Any = None  # of a call that native code can tell
    meter: Meter = field(default_factory=Meter)
    cached: CachedCalls = field(default_factory=CachedCalls)
    tree: list[Stage] = field(default_factory=list)  # first stages of the programs that are cut

    def add(self, sized: Program) -> None:
        """Takes in a symbolic program at some sizes; of those at other numbers a few stay."""
        others = [p for p in self.programs if p.template is sized.template and p.as_sizes]
        for p in others[: len(others) + 1 - MAX_SIZED]:
            self.programs.remove(p)
        self.programs.append(sized)

    def passes(self) -> bool:
        """Whether no call uses a program, for now."""
        return not self.programs or (self.meter.settled and not self.meter.used)

    def start_over(self) -> None:
        """Drops the programs: the function is captured in another way from now on."""
        self.programs.clear()
        self.tree.clear()
        self.record = None
        self.meter.start()  # what it timed is gone

    def forecast(self, leaves: list[Any]) -> Forecast:
        """Whether one of the programs would serve a call now."""
        reasons = list(self.eager_because)
        for program in self.programs:
            broken = program.broken(leaves) or program.unfit(leaves)
            if not broken and program.ready:
                free, every = program.any_taken, enumerate(program.trace.concrete)
                taken = [c.where for i, c in every if i not in free]
                some = [f", if the number taken out at {w} was seen before" for w in taken[:1]]
                return Forecast(True, "".join(["a program fits", *some]))
            failed = f"compiling failed: {program.failure!r}" if program.failure else "it compiles"
            reasons.insert(0, broken or failed)
        return Forecast(False, reasons[0])


def sized_forecast(sized: Program | None, leaves: list[Any]) -> Forecast | None:
    """That a program of symbolic sizes would serve a call, where it would."""
    if sized is None or not sized.ready or sized.broken(leaves):
        return None
    return Forecast(True, "a program of symbolic sizes fits")


class Forecast(NamedTuple):
    """What a call would do: whether it would use a compiled program, and why (not). True if it would."""

    hit: bool
    reason: str

    def __bool__(self) -> bool:
        return self.hit


def explanation(programs: Sequence[Program], entries: Sequence[Entry], log: Sequence[str]) -> str:
    """What happened so far, what the programs assume, the trees of numbers, and what runs eagerly, as lines."""
    lines = [f"  {line}" for line in _counted(log)]
    for i, program in enumerate(programs):
        lines += program.text(i)
    for entry in entries:
        if entry.tree:
            lines += ["numbers taken out of tensors, and how many calls each led:"]
            lines += tree_text(entry.tree)
    lines += [f"  {e.meter}" for e in entries if e.meter.times]
    reasons = [f"eagerly because {why}" for entry in entries for why in entry.eager_because]
    lines += [f"  {line}" for line in _counted(reasons)]
    return "\n".join(lines)


def _counted(lines: Sequence[str]) -> list[str]:
    """Each line once, with how often it came."""
    often = Counter(lines)
    return [line if n == 1 else f"{line} ({n} times)" for line, n in often.items()]

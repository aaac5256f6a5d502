"""Pay: whether compiled calls are faster than eager ones, found by timing a few of each."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from ..core.prim import Dispatch

WARM = 24  # calls that ran compiled before any is timed
SAMPLES = 9  # timed calls of each way, taking turns
ROUNDS = 3  # times that a program has to be slower before it is not used
MARGIN = 1.05  # how much slower than eager mode is slower
# Eager calls that take CLEARLY times as long settle it early: after FEW of them, as the first ones are slow, or after
# a single one that takes LONG seconds.
CLEARLY = 3.0
FEW = 4
LONG = 0.02
# Eager calls of less than SHORT seconds are made WARM_UP times before they count.
SHORT = 0.001
WARM_UP = 45
# An answer against the program is looked at again after AGAIN calls: after more each time, up to SELDOM times as many.
AGAIN = 5000
SELDOM = 16
FEW_WARM = 4  # calls that run compiled before the program is timed again
# Calls that no program serves to the end settle it early where they are more than this share of all.
MANY = 0.3
# Calls and seconds after which an answer for the program is looked at again; the last over and over.
LATER = ((500, 0.02), (5000, 0.5), (50_000, 2.0))


def median(times: list[float]) -> float:
    """The one in the middle (the later of two): `statistics` takes longer to import than much of the package."""
    return sorted(times)[len(times) // 2]


class Meter:
    """Times calls of one kind until it is settled which way is faster.

    Both ways give the same bits, so nobody can tell which one a call took. A round is `SAMPLES` calls each
    way; a program is used unless it was slower by `MARGIN` in `ROUNDS` rounds. No answer stands for good: it may
    have been found while the machine was busy, or memory fresh. An answer against the program stands unless one
    more round is for it.
    """

    __slots__ = (
        "answered",
        "calls",
        "compiled",
        "eager",
        "left",
        "looks",
        "lost",
        "refused",
        "settled",
        "times",
        "used",
    )

    def __init__(self) -> None:
        self.times: tuple[float, float] | None = None  # seconds of a compiled and of an eager call
        self.looks = 0
        self.refused = 0  # times that the program was found not to pay
        self.answered = 0.0
        self.start()

    def start(self) -> None:
        """Begins anew."""
        self.settled = False
        self.used = True
        self.calls = WARM - FEW_WARM if self.refused else 0
        self.lost = 0
        self.left = 0  # calls that left their program, or that no program fits, or that ran once more for gradients
        self.compiled: list[float] = []
        self.eager: list[float] = []

    def settle(self) -> None:
        """The program is used, as long as nothing else is found out."""
        self.settled = self.used = True
        self.looks, self.answered = len(LATER), perf_counter()

    def use(self, calls: int = 1) -> None:
        """Counts compiled calls after the question was settled; now and then it is asked again."""
        self.calls += calls
        wanted, seconds = LATER[min(self.looks, len(LATER) - 1)]
        if self.calls >= wanted:
            if perf_counter() - self.answered < seconds:
                self.calls = 0
                return
            self.looks += 1
            self.start()

    def warm(self) -> bool:
        """Counts a call that ran compiled; whether it is time to measure."""
        self.calls += 1
        if (self.calls == WARM or self.left == FEW) and not self.looks:
            Dispatch.quicken()  # eager mode at its best is what counts
        return self.calls > WARM or self._leave()

    def _leave(self) -> bool:
        """Whether many calls are not served to the end: what they do instead may be slow, so that an answer is due."""
        return self.left >= FEW and self.left >= MANY * self.calls

    def turn(self) -> bool:
        """Whether the next timed call is an eager one."""
        return len(self.eager) < len(self.compiled) - 2 or len(self.compiled) >= self._wanted()

    def _wanted(self) -> int:
        """How many calls are timed in a round. The last `SAMPLES` count; short ones take more to warm up."""
        if self._leave():
            return FEW
        last = self.eager[-1:]  # none where another thread begins anew
        short = self.looks and last and last[0] < SHORT
        return WARM_UP if short else SAMPLES

    def time(self, eager: bool, call: Callable[[], Any]) -> Any:
        """Runs one call and notes how long it took."""
        began = perf_counter()
        result = call()
        (self.eager if eager else self.compiled).append(perf_counter() - began)
        return result

    def decide(self, extra: float) -> None:
        """Settles the question if it can be; `extra` are seconds that each compiled call costs later on."""
        ours, theirs = self.compiled[:], self.eager[:]  # other threads may begin anew at any time
        if not ours or not theirs:
            return
        compiled, eager = median(ours[-SAMPLES:]) + extra, median(theirs[-SAMPLES:])
        self.times = compiled, eager
        self.answered = perf_counter()
        few = len(theirs) < (FEW if not self.looks else self._wanted()) and min(theirs) < LONG
        if not few and min(theirs) > CLEARLY * compiled:
            self.settled = True
        elif len(theirs) >= self._wanted():
            if compiled <= MARGIN * eager:
                self.settled = True
            else:
                self.lost += 1
                self.settled = self.lost >= (1 if self.refused or self._leave() else ROUNDS)
                self.used = not self.settled
                self.refused += self.settled
                self.compiled, self.eager = [], []
                self.calls = 0

    def skip(self, calls: int = 1) -> bool:
        """Counts eager calls; whether the question is to be asked again."""
        self.calls += calls
        if self.calls < AGAIN * min(4 ** (self.refused - 1), SELDOM):
            return False
        self.start()
        return True

    def __str__(self) -> str:
        if self.times is None:
            return ""
        compiled, eager = (f"{1e6 * t:.1f} us" for t in self.times)
        end = "" if self.used else ": the program does not pay and is not used"
        return f"a compiled call takes {compiled}, an eager one {eager}{end}"

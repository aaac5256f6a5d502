"""Reach: which code of functions runs in captures. What no capture came to is not among what a program reads.

A branch that is not taken may mention what no program can do: ``if verbose: print(x)``. What decides on the branch is
read, and so checked on each call; as long as it stays, what is behind it does not run. This is asked only where a
capture was refused: the next one sees which code runs, the one after it leaves the rest out, and sees that it does not
run.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from types import CodeType

from .handlers import entries
from .steps import ends, jumps, steps


@functools.lru_cache(maxsize=4096)
def basic_blocks(code: CodeType) -> tuple[range, ...]:
    """The offsets of instructions that always run one after another, errors aside."""
    ops = steps(code)
    starts = {0, *(op.offset for op in ops if op.target), *(e.handler for e in entries(code))}
    starts |= {op.end for op in ops if jumps(op) or ends(op)}
    at = sorted(s for s in starts if s < len(code.co_code))
    return tuple(map(range, at, [*at[1:], len(code.co_code)]))


class Reach:
    """What ran, by basic blocks, of the code that is looked at."""

    def __init__(self) -> None:
        self.wanted = False  # whether the last capture was refused for what some code mentions
        self._ran: dict[CodeType, frozenset[range]] = {}

    @property
    def codes(self) -> Collection[CodeType]:
        """The code of which some is left out."""
        return self._ran

    def left_out(self, code: CodeType) -> tuple[range, ...]:
        """The offsets in `code` that no capture came to, as far as that is known."""
        ran = self._ran.get(code)
        return () if ran is None else tuple(b for b in basic_blocks(code) if b not in ran)

    def learn(self, ran: Mapping[CodeType, Iterable[int]]) -> tuple[list[CodeType], bool]:
        """Takes in the offsets that a capture came to: the code in which that is more than was left in, and whether
        the next capture leaves out other code."""
        beyond, other = [], False
        for code, offsets in ran.items():
            known, every = self._ran.get(code), frozenset(offsets)
            now = frozenset(b for b in basic_blocks(code) if not every.isdisjoint(b))
            if known is None:
                other = other or len(now) < len(basic_blocks(code))
                self._ran[code] = now
            elif not now <= known:
                beyond.append(code)
                other = True
                self._ran[code] = known | now
        return beyond, other

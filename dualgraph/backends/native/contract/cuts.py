"""Cuts: how a product is cut into units for threads, and which operands are packed whole before.

The search is over times as they look like: that of a tile is 1, packing a panel takes so many times that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

CUTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)  # numbers of parts that are tried
AWAIT = 0.2  # of a unit's time: what a thread waits for the last unit of another, which some neighbour may slow down
BETTER = 0.995  # of the best time so far is worth another cut


class Cut(NamedTuple):
    """How a product is cut: rows and columns of a unit, and which operands are packed whole before."""

    rows: int
    columns: int
    whole_x: bool = False
    whole_y: bool = False


class Packing(NamedTuple):
    """What packing an operand takes, in tiles for a panel."""

    own: float  # if each unit does it for itself (0: it is read in place)
    whole: float  # for all units, before
    far: float  # to read such a panel then
    sharable: bool  # whether it may be packed whole
    ready: bool  # whether it is in any case, at another time

    @property
    def ways(self) -> tuple[bool, ...]:
        """Whether it is packed whole: what is to be tried."""
        return (True,) if self.ready else (False, True) if self.sharable else (False,)


@lru_cache(maxsize=4096)
def quickest(
    tiles: tuple[int, int],
    height: int,
    batch: int,
    blocks: int,
    threads: int,
    turn: tuple[int, int],
    x: Packing,
    y: Packing,
) -> tuple[int, int, bool, bool]:
    """The cut that looks quickest: tiles down and across of a unit, and whether x and y are packed whole.

    `tiles` are those of a matrix, down and across, of `height` rows each, and `blocks` those of k. A block of rows
    goes through ``turn[whole_y]`` tiles across at a time.
    """
    ways = []
    for wide in _lengths(tiles[1]):
        parts = batch * -(-tiles[1] // wide)
        for whole_x in x.ways:
            once_x = whole_x and not x.ready
            for whole_y in y.ways:
                once_y = whole_y and not y.ready
                turns = -(-wide // turn[whole_y])
                by_row = wide + (0.1 + (x.far if whole_x else x.own)) * turns
                by_unit = wide * (0.3 + (y.far if whole_y else y.own)) + 1 / blocks
                before = x.whole * once_x + y.whole * once_y
                before = before / threads + (once_x + once_y) / blocks
                least = parts * (tiles[0] * by_row + by_unit) / threads + before
                ways.append((least, parts, by_row, by_unit, before, (wide, whole_x, whole_y)))
    wait = AWAIT * (threads > 1)
    wanted, choice = float("inf"), (tiles[0], tiles[1], False, False)
    for rows in _lengths(tiles[0]):
        count = -(-tiles[0] // rows)
        even = -(-height * tiles[0] // (count * rows))  # rows of as many tiles that are alike
        tall = rows * ((even + 0.5) / (height + 0.5))
        found = None
        for _, parts, by_row, by_unit, before, way in ways:
            time = (-(-count * parts // threads) + wait) * (tall * by_row + by_unit) + before
            if time < wanted:
                wanted, found = BETTER * time, way
        if found:
            choice = rows, *found
            ways = [way for way in ways if way[0] < wanted]
    return choice


@lru_cache(maxsize=1024)
def _lengths(tiles: int) -> tuple[int, ...]:
    """How many of so many tiles a unit may have, the most first."""
    return tuple(sorted({-(-tiles // c) for c in CUTS}, reverse=True))

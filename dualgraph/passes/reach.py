"""Reachability between groups of nodes, kept up to date while groups merge: sets as bits of an int."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core.node import Node, Var


class Reach:
    """A DAG over ``0..n-1`` whose nodes merge into groups, as long as the groups stay a DAG.

    A node's row is a bit set of nodes. `networkx` gives the same answers (the tests ask it), far slower.
    """

    def __init__(self, predecessors: Sequence[Iterable[int]]) -> None:
        """``predecessors[i]``: the nodes that i reads, all below i."""
        n = len(predecessors)
        self.group = list(range(n))
        self.members = [1 << i for i in range(n)]  # by group, as all that follows
        self.above = [0] * n  # what it depends on: whole groups
        self.below = [0] * n  # what depends on it: whole groups
        self.leaders = (1 << n) - 1  # the nodes that give groups their numbers
        for i, before in enumerate(predecessors):
            for j in before:
                self.above[i] |= self.above[j] | 1 << j
        successors: list[int] = [0] * n
        for i in range(n - 1, -1, -1):
            self.below[i] = successors[i]
            for j in predecessors[i]:
                successors[j] |= successors[i] | 1 << i

    def can_merge(self, a: int, b: int) -> bool:
        """Whether no path leads out of the two groups and back in: they are convex together."""
        between = self.below[a] & self.above[b] | self.below[b] & self.above[a]
        return not between & ~(self.members[a] | self.members[b])

    def independent(self, a: int, b: int) -> bool:
        """Whether no path leads from one group to the other."""
        return not (self.below[a] & self.members[b] or self.below[b] & self.members[a])

    def merge(self, a: int, b: int) -> int:
        """Makes groups a and b one; gives its number (a's).

        Who is above (or below) both knows all that is below (above) them already.
        """
        up, down = self.above[a] ^ self.above[b], self.below[a] ^ self.below[b]
        members = self.members[a] | self.members[b]
        above = (self.above[a] | self.above[b]) & ~members
        below = (self.below[a] | self.below[b]) & ~members
        for i in bits(self.members[b]):
            self.group[i] = a
        self.members[a], self.above[a], self.below[a] = members, above, below
        self.leaders &= ~(1 << b)
        for g in bits(up & above & self.leaders):
            self.below[g] |= members | below
        for g in bits(down & below & self.leaders):
            self.above[g] |= members | above
        return a


def predecessors(nodes: Sequence[Node]) -> list[set[int]]:
    """For each node the numbers of those whose results it reads."""
    producer = {v: i for i, n in enumerate(nodes) for v in n.outputs}
    return [{producer[v] for v in n.inputs if isinstance(v, Var) and v in producer} for n in nodes]


def bits(row: int) -> Iterable[int]:
    """The numbers in a bit set, in order."""
    while row:
        low = row & -row
        yield low.bit_length() - 1
        row ^= low

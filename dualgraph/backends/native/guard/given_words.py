"""Words that say how a call gives its arguments: by position, by keyword, in containers."""

from __future__ import annotations

from typing import Any, NamedTuple

from ....core.trees import TreeDef
from .outcome_words import OF_DICT, OF_LIST, OF_TUPLE
from .words import Memory, Unlike

FIELDS = "POSITIONAL", "NAMES", "CONTAINERS", "CONTAINER_COUNT", "ORDER"
MOST = 128  # arguments, what containers among them hold, and leaves


class Given(NamedTuple):
    """How a call gives its arguments: how many by position, the names of the others, and what holds the leaves (None:
    the arguments are the leaves)."""

    positional: int
    names: tuple[str, ...] = ()
    tree: TreeDef | None = None

    def words(self, memory: Memory) -> list[int]:
        """The fields of a record that say so."""
        names = memory.object(self.names) if self.names else 0
        if self.tree is None:
            return [self.positional, names, 0, 0, 0]
        rows: list[list[int]] = []
        order: list[int] = []
        given = [child for holder in self.tree.children for child in holder.children]
        used = len(given)

        def open(tree: TreeDef, place: int) -> None:
            nonlocal used
            if tree.kind is None:
                return order.append(place)
            first, used = used, used + len(tree.children)
            rows.append([place, *_layout(memory, tree), len(tree.children)])
            for i, child in enumerate(tree.children):
                open(child, first + i)

        for i, child in enumerate(given):
            open(child, i)
        if used + len(order) > MOST:
            raise Unlike("too many arguments")
        containers = memory.words(w for row in rows for w in row)
        return [self.positional, names, containers, len(rows), memory.words(order)]


def _layout(memory: Memory, tree: TreeDef) -> list[int]:
    """Class, layout and keys of a container."""
    kind: Any = tree.kind
    if kind is list:
        return [memory.object(kind), OF_LIST, 0]
    if issubclass(kind, tuple):
        return [memory.object(kind), OF_TUPLE, 0]
    if kind is dict:
        return [memory.object(kind), OF_DICT, memory.object(tuple(tree.data))]
    raise Unlike(f"a {kind.__name__}")

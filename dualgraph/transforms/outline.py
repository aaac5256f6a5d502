"""Outline: a tree without its values, in which None stands for nothing to differentiate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..core.trees import TreeDef, flatten, unflatten


class Outline(NamedTuple):
    """The structure of a tree and which of its leaves hold values; the others are None."""

    tree: TreeDef
    held: tuple[int, ...]

    def fill(self, values: Iterable[Any]) -> Any:
        """The tree with these values in place of those it had."""
        leaves: list[Any] = [None] * self.tree.num_leaves
        for place, value in zip(self.held, values, strict=True):
            leaves[place] = value
        return unflatten(self.tree, leaves)

    @property
    def is_single(self) -> bool:
        """Whether the tree is one value."""
        return self.tree.kind is None and bool(self.held)

    def __repr__(self) -> str:
        return str(self.fill("*" for _ in self.held))


def outline(tree: Any) -> tuple[list[Any], Outline]:
    """The values of a tree, None left out, and its outline."""
    leaves, treedef = flatten(tree)
    held = tuple(i for i, v in enumerate(leaves) if v is not None)
    return [leaves[i] for i in held], Outline(treedef, held)

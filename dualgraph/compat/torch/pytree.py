"""``torch.utils._pytree``: trees of lists, tuples, dicts and named tuples, and their leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...core.trees import TreeDef, flatten, map_leaves, unflatten


def tree_flatten(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], TreeDef]:
    """The leaves of a tree, and its structure.

    >>> from dualgraph.compat.torch.utils._pytree import tree_flatten, tree_unflatten
    >>> leaves, spec = tree_flatten({"a": 1, "b": (2, 3)})
    >>> tree_unflatten([x * 2 for x in leaves], spec)
    {'a': 2, 'b': (4, 6)}
    """
    return flatten(tree, is_leaf)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeDef) -> Any:
    """The tree of such a structure with these leaves."""
    return unflatten(treespec, leaves)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves of a tree, in order."""
    return flatten(tree, is_leaf)[0]


def tree_map(
    func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """The tree with `func` of each leaf, and of the leaves of `rests` at its place.

    >>> from dualgraph.compat.torch.utils._pytree import tree_map
    >>> tree_map(lambda a, b: a + b, [1, (2,)], [10, (20,)])
    [11, (22,)]
    """
    if is_leaf is None:
        return map_leaves(func, tree, *rests)
    leaves, spec = flatten(tree, is_leaf)
    others = [flatten(r, is_leaf)[0] for r in rests]
    return unflatten(spec, [func(*xs) for xs in zip(leaves, *others, strict=True)])


def tree_map_only(kind: Any, func: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `func` of each leaf of a type, or of one of several; other leaves are as they were."""
    return map_leaves(lambda x: func(x) if isinstance(x, kind) else x, tree)


__all__ = ["tree_flatten", "tree_leaves", "tree_map", "tree_map_only", "tree_unflatten"]

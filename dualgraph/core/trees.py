"""Trees: nested tuples, lists, dicts, named tuples and dataclasses, taken apart and put together again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .constant import exact
from .numbers.symbolic import SymShape


class TreeDef:
    """The shape of a tree without its leaves; equal for trees of equal structure."""

    __slots__ = ("_hash", "children", "data", "kind")

    def __init__(self, kind: Any, data: Any = None, children: tuple[TreeDef, ...] = ()) -> None:
        self.kind = kind
        self.data = data
        self.children = children
        self._hash = hash((kind, data, children))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TreeDef)
            and self._hash == other._hash
            and (self.kind, self.data, self.children) == (other.kind, other.data, other.children)
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return str(unflatten(self, ["*"] * self.num_leaves))

    @property
    def num_leaves(self) -> int:
        return 1 if self.kind is None else sum(c.num_leaves for c in self.children)


LEAF = TreeDef(None)


class Keys(tuple[Any, ...]):
    """The keys of a dict, equal where they are exactly the same: ``{1: x}`` is not ``{True: x}``."""

    __slots__ = ()
    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and exact(tuple(self)) == exact(tuple(other))


def _keys(tree: dict[Any, Any]) -> tuple[Any, ...]:
    return tuple(tree) if all(type(k) is str for k in tree) else Keys(tree)


def _parts(tree: Any) -> tuple[Any, Any, list[Any]] | None:
    """The kind, the data (keys or field names) and the children of a container; None for a leaf."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return kind, None, list(tree)
    if kind is SymShape:  # to the user a tuple
        return tuple, None, list(tree)
    if isinstance(tree, dict):
        return (kind, _keys(tree), list(tree.values())) if _is_plain_dict(tree) else None
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return kind, "namedtuple", list(tree)
    if isinstance(getattr(kind, "__dataclass_fields__", None), dict):  # some metaclasses have all
        names = tuple(f.name for f in dataclasses.fields(tree))
        whole = (
            all(f.init and hasattr(tree, f.name) for f in dataclasses.fields(tree))
            and set(names) >= getattr(tree, "__dict__", {}).keys()
        )
        return (kind, names, [getattr(tree, n) for n in names]) if whole else None
    return None


def _is_plain_dict(tree: dict[Any, Any]) -> bool:
    """Whether a dict is its entries and nothing else (a ``defaultdict`` is more)."""
    return type(tree).__init__ in (dict.__init__, OrderedDict.__init__) and not getattr(
        tree, "__dict__", None
    )


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeDef]:
    """Leaves in order, and the structure that `unflatten` needs to put them back.

    >>> flatten({"a": 1, "b": (2, 3)})[0]
    [1, 2, 3]
    """
    leaves: list[Any] = []
    return leaves, _take(tree, leaves, is_leaf)


def _take(node: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> TreeDef:
    """Adds the leaves to `leaves`. No function inside of `flatten`: one that calls itself is a cycle, and would hold
    the leaves, and their memory, until the next search for cycles."""
    parts = None if is_leaf is not None and is_leaf(node) else _parts(node)
    if parts is None:
        leaves.append(node)
        return LEAF
    kind, data, children = parts
    return TreeDef(kind, data, tuple([_take(c, leaves, is_leaf) for c in children]))


def paths(treedef: TreeDef) -> list[str]:
    """Where each leaf is, as Python says it after the name of the tree.

    >>> paths(flatten({"a": 1, "b": (2, 3)})[1])
    ["['a']", "['b'][0]", "['b'][1]"]
    """
    if treedef.kind is None:
        return [""]
    fields = treedef.data == "namedtuple" and treedef.kind._fields
    names = fields or treedef.data or range(len(treedef.children))
    named = fields or (treedef.data and not issubclass(treedef.kind, dict))
    steps = [f".{n}" if named else f"[{n!r}]" for n in names]
    return [s + p for s, c in zip(steps, treedef.children, strict=True) for p in paths(c)]


def unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Any:
    """Inverse of `flatten`."""
    return _build(treedef, iter(leaves))


def _build(treedef: TreeDef, leaves: Iterator[Any]) -> Any:
    if treedef.kind is None:
        return next(leaves)
    children = [_build(c, leaves) for c in treedef.children]
    kind, data = treedef.kind, treedef.data
    if kind is tuple or kind is list:
        return kind(children)
    if data == "namedtuple":
        return kind(*children)
    pairs = dict(zip(data, children, strict=True))
    if issubclass(kind, dict):
        return kind(pairs) if kind.__init__ is dict.__init__ else _fill(kind, pairs)
    return kind(**pairs)


def _fill(kind: Any, pairs: dict[Any, Any]) -> Any:
    out = kind()
    out.update(pairs)
    return out


def containers(tree: Any) -> list[Any]:
    """The containers of a tree, outermost first."""
    parts = _parts(tree)
    return [] if parts is None else [tree, *(c for child in parts[2] for c in containers(child))]


def map_leaves(fn: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Applies `fn` to each leaf (and the leaves of `rest` at the same place)."""
    leaves, treedef = flatten(tree)
    others = [flatten(r)[0] for r in rest]
    return unflatten(treedef, [fn(*group) for group in zip(leaves, *others, strict=True)])


Undo = Callable[[], None]


def with_leaves(tree: Any, new: Mapping[int, Any], undo: list[Undo]) -> Any:
    """The tree with other leaves at some places; lists, dicts and dataclasses are changed until `undo` is called.

    >>> undo = []
    >>> tree = (1, [2, 3])
    >>> with_leaves(tree, {0: "a", 2: "c"}, undo), tree
    (('a', [2, 'c']), (1, [2, 'c']))
    >>> for back in undo: back()
    >>> tree
    (1, [2, 3])
    """
    count = -1

    def walk(node: Any) -> Any:
        nonlocal count
        parts = _parts(node)
        if parts is None:
            count += 1
            return new.get(count, node)
        kind, data, children = parts
        made = [walk(c) for c in children]
        if all(a is b for a, b in zip(made, children, strict=True)):
            return node
        if kind is tuple:
            return tuple(made)
        if data == "namedtuple":
            return kind(*made)
        for name, old, value in zip(data or range(len(made)), children, made, strict=True):
            if value is not old:
                exchange(node, name, value, undo)
        return node

    return walk(tree)


def _own(cls: type, name: Any) -> Any:
    return vars(cls)[name]


def exchange(holder: Any, name: Any, value: Any, undo: list[Undo]) -> None:
    """Puts `value` into a list, a dict or an object, until `undo` is called and nothing else is there by then."""
    get: Any
    put: Any
    if isinstance(holder, list):
        get, put = list.__getitem__, list.__setitem__
    elif isinstance(holder, dict):
        get, put = dict.__getitem__, dict.__setitem__
    elif isinstance(holder, deque):
        get, put = deque.__getitem__, deque.__setitem__
    elif isinstance(holder, type):
        get, put = _own, type.__setattr__
    else:
        get, put = getattr, object.__setattr__
    old = get(holder, name)
    put(holder, name, value)

    def back() -> None:
        with contextlib.suppress(LookupError, AttributeError):
            if get(holder, name) is value:
                put(holder, name, old)

    undo.append(back)

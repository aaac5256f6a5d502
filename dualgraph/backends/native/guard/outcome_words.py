"""Outcome words: what calls leave behind, and what lies at places, as memory that `guard.outcome` and `places` read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ....core.trees import LEAF, TreeDef, containers, unflatten
from ....eager.tensor import Tensor
from ....static.checks import Check
from .words import KEYS, NUMBER, TENSOR, Memory, Unlike

MOST_LEAVES = 64
# A new tensor, its array, an object, another leaf, a tensor that was there, a number that formulas give, a number in
# an array that the next run writes.
LEAVES = ("MADE", "BARE", "CONSTANT", "SAME", "GIVEN", "COMPUTED", "TAKEN")
PARTS = ("OF_LEAF", "OF_TUPLE", "OF_LIST", "OF_DICT", "OF_CALL")
OF_LEAF, OF_TUPLE, OF_LIST, OF_DICT, OF_CALL = range(len(PARTS))
FIELDS = (
    "LEAVES", "LEAF_COUNT", "TREE", "STORES", "STORE_COUNT", "APART", "APART_COUNT", "GRADS", "GRAD_COUNT",
    "MOVES", "MOVE_COUNT", "EFFECT", "EFFECT_FIRST", "EFFECT_COUNT",
)  # fmt: skip


class Leaf(NamedTuple):
    """A leaf of what a call gives: its kind (of `LEAVES`), and what that takes.

    MADE: number among the new arrays, dtype. BARE, SAME, GIVEN, COMPUTED: number among new arrays, leaves, tensors,
    numbers. CONSTANT: the object. TAKEN: the array, and what takes the number as another type (None: as it is).
    ``then``: what is called with it when it is there.
    """

    kind: str
    what: Any
    more: Any = None
    then: Any = None


class Outcome(NamedTuple):
    """What a call leaves behind.

    ``leaves``: of its result, and of all else; ``tree``: its result. ``stores``: tensors that it writes, and for each
    the array that is copied to it (None: it is written already). ``apart``: pairs of tensors that may not share memory,
    and how many bytes they have. ``grads``: tensors, and for each the leaf that becomes its gradient (None: it has none
    then). ``moves``: places, what is put there, and its first leaf. ``effect``: what is called in the end with the
    result and the leaves from a number on, and gives the result.
    """

    leaves: Sequence[Leaf]
    tree: TreeDef
    stores: Sequence[tuple[int, Any]] = ()
    apart: Sequence[tuple[int, int, int, int]] = ()
    grads: Sequence[tuple[int, int | None]] = ()
    moves: Sequence[tuple[Check, TreeDef, int]] = ()
    effect: Any = None
    effect_leaves: tuple[int, int] = (0, 0)


def outcome_words(memory: Memory, out: Outcome) -> int:
    """The address of what `outcome.leave` reads."""

    def rows(values: Sequence[Sequence[int]]) -> tuple[int, int]:
        return memory.words(w for row in values for w in row), len(values)

    moves = [
        (*_place(memory, check), _tree_words(memory, tree, first))
        for check, tree, first in out.moves
    ]
    stores = [(i, 0 if array is None else memory.object(array)) for i, array in out.stores]
    return memory.words(
        [
            *rows([_leaf_words(memory, leaf) for leaf in out.leaves]), _tree_words(memory, out.tree, 0),
            *rows(stores), *rows(out.apart), *rows([(i, -1 if k is None else k) for i, k in out.grads]),
            *rows(moves), 0 if out.effect is None else memory.object(out.effect), *out.effect_leaves,
        ]
    )  # fmt: skip


def _leaf_words(memory: Memory, leaf: Leaf) -> tuple[int, int, int, int]:
    objects = leaf.kind in ("CONSTANT", "TAKEN")
    more, then = (0 if x is None else memory.object(x) for x in (leaf.more, leaf.then))
    what = memory.object(leaf.what) if objects else leaf.what
    return LEAVES.index(leaf.kind), what, more, then


def _tree_words(memory: Memory, tree: TreeDef, first: int) -> int:
    """A tree, its leaves from number `first` on, in the order in which it is built."""
    rows: list[int] = []

    def write(node: TreeDef, leaf: int) -> int:
        if node.kind is None:
            rows.extend((OF_LEAF, leaf, 0))
            return leaf + 1
        for child in node.children:
            leaf = write(child, leaf)
        kind, data = OF_CALL, 0
        if node.kind is tuple or node.kind is list:
            kind = OF_TUPLE if node.kind is tuple else OF_LIST
        elif node.kind is dict:
            kind, data = OF_DICT, memory.object(node.data)
        else:
            flat = TreeDef(node.kind, node.data, (LEAF,) * len(node.children))
            data = memory.object(lambda *parts: unflatten(flat, parts))
        rows.extend((kind, len(node.children), data))
        return leaf

    write(tree, first)
    return memory.words([len(rows) // 3, *rows])


def _place(memory: Memory, check: Check) -> tuple[int, int, int]:
    kind, key = memory.place(check)
    return kind, memory.object(check.holder), key


def place_words(memory: Memory, checks: Sequence[Check]) -> list[int]:
    """Places that hold tensors, and their forms."""
    met: dict[int, int] = {}
    return [
        w for c in checks
        for w in (*_place(memory, c), memory.words(_form(memory, c.expected, met)))
    ]  # fmt: skip


def _form(memory: Memory, value: Any, met: dict[int, int]) -> list[int]:
    """What lies at a place, in rows of three words; `met` has the numbers of tensors, by identity."""
    if isinstance(value, Tensor):
        if vars(value) or value.requires_grad:
            raise Unlike("a tensor at a place that has attributes, or wants gradients")
        again = met.get(id(value), -1)
        met.setdefault(id(value), len(met))
        return [TENSOR, memory.tensor(value), again]
    if not containers(value):
        return [NUMBER, memory.object(value), 0]
    parts = value.values() if isinstance(value, dict) else value
    inner = [w for part in parts for w in _form(memory, part, met)]
    if type(value) is dict:
        return [KEYS, memory.object(tuple(value)), len(value), *inner]
    if not isinstance(value, (tuple, list)):
        raise Unlike("a container of another kind")
    return [0, memory.object(type(value)), len(value), *inner]


def numbers() -> dict[str, int]:
    """The numbers that the glue of `outcome` and `places` uses."""
    return {
        **{name: i for i, name in enumerate(LEAVES)},
        **{name: i for i, name in enumerate(PARTS)},
        **{f"L_{name}": 8 * i for i, name in enumerate(FIELDS)},
        "LEAF_ROOM": 8 * (MOST_LEAVES + 1),
    }  # fmt: skip

"""Keys: what a compiled function tells apart before it looks at any state - kinds of arguments (its cache key)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core import dtypes as dt
from ..core.constant import exact
from ..core.context import state
from ..core.numbers.draws import is_source
from ..core.numbers.live import LIVE_OF
from ..core.numbers.symbolic import plain
from ..core.trees import LEAF, TreeDef, paths
from ..eager.tensor import Tensor
from ..static.checks import by_value
from ..static.trace import Slot

FIRST = 4  # parts of a key before those of the argument leaves


class Whole(NamedTuple):
    """The structure of a call's arguments, and of what goes along with them from places in Python state."""

    own: TreeDef | int
    held: tuple[TreeDef, ...]
    names: tuple[str, ...]  # of the places


def modes() -> tuple[Any, ...]:
    """What holds for all ops of a call unless it says otherwise: gradient mode, default dtype, default device."""
    return state.grad, dt.get_default_dtype(), state.device


def call_key(
    leaves: Sequence[Any], tree: TreeDef | int | Whole, promoted: Collection[int] | None = None
) -> tuple[Any, ...]:
    """What all calls that one program may serve have in common; of `promoted` leaves that is the type of the number."""
    seen: dict[int, int] = {}
    parts = [leaf_key(leaf, seen, i) for i, leaf in enumerate(leaves)]
    for i in promoted or ():
        parts[i] = any_number(leaves[i], parts[i])
    return tree, *modes(), *parts


def describes(key: tuple[Any, ...], slots: Sequence[Slot]) -> bool:
    """Whether arguments that are inputs of a program are tensors of the types that the key of its call says."""
    return all(
        key[FIRST + s.key[0]][:2] == (s.type.dtype, plain(s.type.shape))
        for s in slots
        if s.kind == "leaf" and isinstance(s.key[1], Tensor)
    )


def leaf_key(leaf: Any, seen: dict[int, int], i: int) -> Any:
    """What a capture is specialised on for one argument leaf."""
    if isinstance(leaf, Tensor):
        data = leaf._data
        layout = None if data.flags.c_contiguous else data.strides
        return (
            leaf.dtype,
            data.shape,
            leaf.device,
            leaf.requires_grad,
            layout,
            seen.setdefault(id(leaf), i),
            type(leaf),
            tuple(leaf.__dict__),  # names of what the user has put there
        )
    if isinstance(leaf, np.ndarray):
        place = seen.setdefault(id(leaf), i)
        return ("array", leaf.dtype, leaf.shape, leaf.strides, place, type(leaf))
    if isinstance(leaf, np.generic):
        return (type(leaf), exact(leaf))
    if is_source(leaf):  # programs draw from the one that they are given
        return type(leaf), seen.setdefault(id(leaf), i)
    return exact(leaf) if by_value(leaf) else (type(leaf), id(leaf))


def any_number(leaf: Any, part: Any) -> Any:
    """The part of a key for a leaf that may be any number of its type."""
    return type(leaf) if type(leaf) in LIVE_OF else part


def without_sizes(part: Any) -> Any:
    """A part of a key with ranks for shapes."""
    if type(part) is not tuple:
        return part
    if type(part[0]) is dt.DType and part[4] is None:
        return (*part[:1], len(part[1]), *part[2:])
    if part[0] == "array":
        return (*part[:2], len(part[2]), *part[4:])
    return part


def leaves_to_keep(leaves: Sequence[Any]) -> list[Any]:
    """Objects known by identity, which must live as long as the key does."""
    return [v for v in leaves if not (isinstance(v, (Tensor, np.ndarray)) or by_value(v))]


def labels(fn: Any, tree: TreeDef | int | Whole) -> list[str]:
    """What the code of `fn` calls each argument leaf: ``x``, ``batch['y'][0]``; a number where it has no name."""
    if isinstance(tree, Whole):
        pairs = zip(tree.names, tree.held, strict=True)
        return [*labels(fn, tree.own), *(name + path for name, t in pairs for path in paths(t))]
    called = getattr(fn, "forward", fn)  # a module's
    code = getattr(getattr(called, "__func__", called), "__code__", None)
    bound = int(hasattr(called, "__self__"))
    names = code.co_varnames[bound : code.co_argcount] if code is not None else ()
    if isinstance(tree, int):
        positional, keywords = (LEAF,) * tree, None
    else:
        positional, keywords = tree.children[0].children, tree.children[1]
    heads = [*names, *map(str, range(len(names), len(positional)))][: len(positional)]
    out = [
        head + path for head, part in zip(heads, positional, strict=True) for path in paths(part)
    ]
    if keywords is not None:
        for word, part in zip(keywords.data or (), keywords.children, strict=True):
            out += [f"{word}{path}" for path in paths(part)]
    return out


def difference(key: tuple[Any, ...], known: Sequence[tuple[Any, ...]], names: Sequence[str]) -> str:
    """In what a kind of arguments differs from the one most like it among those known; `names` of their leaves."""
    if not known:
        return "it was never called"
    like = [k for k in known if k[0] == key[0] and len(k) == len(key)]
    if not like:
        return "it was never called with arguments of this structure"
    differ = [[i for i, (a, b) in enumerate(zip(k, key, strict=True)) if a != b] for k in like]
    places = min(differ, key=len)
    first = ["the structure", "the gradient mode", "the default dtype", "the default device"]
    before = like[differ.index(places)]
    told = [
        first[i] if i < FIRST else f"argument {names[i - FIRST]} ({_change(before[i], key[i])})"
        for i in places
    ]
    return f"{' and '.join(told)} {'was' if len(told) == 1 else 'were'} not seen before"


OF_TENSOR = "dtype shape device requires_grad strides place class attributes".split()
OF_ARRAY = "kind dtype shape strides place class".split()


def _change(before: Any, now: Any) -> str:
    """What is new in a part of a key."""
    fields = next(
        (f for f in (OF_TENSOR, OF_ARRAY) if type(now) is tuple and len(now) == len(f)), None
    )
    if fields is None or type(before) is not tuple or len(before) != len(now):
        return "another value"
    new = [(f, a, b) for f, a, b in zip(fields, before, now, strict=True) if a != b]
    place = "now one object with another argument, or no longer"
    return ", ".join(place if f == "place" else f"{f} {b}, not {a}" for f, a, b in new)

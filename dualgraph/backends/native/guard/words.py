"""Words: checks of Python state, arguments, and forms of objects, as memory that glue reads."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ....core.devices import Device
from ....core.dtypes import DType
from ....eager.tensor import Tensor
from ....static.checks import (
    MISSING,
    AttributeCheck,
    BuiltinCheck,
    CellCheck,
    Check,
    ClassCheck,
    ContentCheck,
    DictCheck,
    ItemCheck,
    LengthCheck,
    MembersCheck,
    NumberCheck,
    RegistryCheck,
    TensorCheck,
    TypeCheck,
    by_value,
)
from ..addresses import address_of
from ..glue import HEADER, slot_offset

KINDS = {
    name: i
    for i, name in enumerate(
        ("ENTRY", "WORD", "ITEM", "TENSOR", "HOOKS", "BYTES", "ATTRIBUTE", "CLASS", "KEYS", "ASK",
         "UNLESS", "NUMBER", "ARRAY", "ANY", "EMPTY", "GIVES")
    )
}  # fmt: skip
TYPED = 32  # on top of a kind of place: the type of what is there is compared
(
    ENTRY,
    WORD,
    ITEM,
    TENSOR,
    HOOKS,
    BYTES,
    ATTRIBUTE,
    CLASS,
    KEYS,
    ASK,
    UNLESS,
    NUMBER,
    ARRAY,
    ANY,
    EMPTY,
    GIVES,
) = KINDS.values()
# Where this Python keeps the attributes of an object that has slots, too: in a dict once that is there; before, some
# versions have values in another place, which say how many they are.
ATTRIBUTES = {
    "DICT": -3 * 8,
    "VALUES": 0,
    "TAGGED": int(sys.version_info[:2] == (3, 12)),
    "USED": -2,
}
if sys.version_info < (3, 11):
    ATTRIBUTES["DICT"] = Tensor.__dictoffset__
elif sys.version_info < (3, 12):
    ATTRIBUTES["VALUES"] = -4 * 8


class Unlike(Exception):
    """This call cannot be told again by a table."""


class Ask:
    """A check that Python sees to: ``holds()``."""

    __slots__ = ("holds",)

    def __init__(self, holds: Any) -> None:
        self.holds = holds


class Memory:
    """Words that glue reads, and the objects that they speak of, kept alive."""

    def __init__(self) -> None:
        self.keep: list[Any] = []

    def object(self, x: Any) -> int:
        """The address of an object."""
        self.keep.append(x)
        return id(x)

    def words(self, values: Iterable[int]) -> int:
        """The address of words."""
        made = np.array([*values, 0], dtype=np.int64)
        self.keep.append(made)
        return address_of(made)

    def layout(self, array: Any, more: Sequence[int] = ()) -> list[int]:
        """What `rows.same_layout` compares an array with."""
        if type(array) is not np.ndarray or not (array.flags.c_contiguous and array.flags.aligned):
            raise Unlike("an array that does not lie row by row")
        return [self.object(array.dtype), array.ndim, *array.shape, *more]

    def tensor(self, x: Tensor) -> int:
        """What `rows.same_tensor` compares a tensor with."""
        told = int(x.requires_grad), int(not vars(x))
        return self.words(
            [self.object(type(x)), self.object(x.dtype), *told, *self.layout(x._data)]
        )

    # --- rows ---

    def row(self, check: Check) -> list[int]:
        """One row of the table; what glue does not know how to compare is asked of the check."""
        try:
            kind, key, want = self._compared(check)
        except Unlike:
            kind, key, want = ASK, 0, 0
        return [kind, self.object(check.holder), key, want, self.object(check)]

    def _compared(self, check: Check) -> tuple[int, int, int]:
        """The kind of row that a check becomes, its key, and what is expected; Unlike where Python is to be asked."""
        holder, expected = check.holder, check.expected
        kind = type(check)
        if kind is NumberCheck:
            place, key = self.place(check.place)
            return TYPED + place, key, id(type(expected))
        if isinstance(check, (BuiltinCheck, DictCheck, CellCheck, ItemCheck)):
            return *self.place(check), 0 if expected is MISSING else id(expected)
        if kind is TypeCheck:
            return WORD, HEADER - 8, id(expected)
        if kind is LengthCheck and type(holder) is list:
            return WORD, HEADER, int(expected)
        if kind is TensorCheck and type(holder._data) is np.ndarray:
            return TENSOR, 0, self.tensor(holder)
        if kind is ContentCheck and holder.dtype == expected.dtype:
            self.keep.append(expected)
            follows = self.layout(holder, [address_of(np.ascontiguousarray(expected))])
            return BYTES, holder.nbytes, self.words(follows)
        if isinstance(check, AttributeCheck) and expected is not MISSING:
            return ATTRIBUTE, self.object(check.key), id(expected)
        if kind is ClassCheck:
            return CLASS, self.object(check.key), 0 if expected is MISSING else id(expected)
        if kind is MembersCheck and isinstance(holder, dict):
            return KEYS, 0, self.object(tuple(holder))
        if kind is MembersCheck and isinstance(holder, (set, frozenset)) and not expected:
            return EMPTY, 0, 0
        if kind is RegistryCheck:
            return GIVES, self.object(holder.get_cache_token), self.object(expected)
        raise Unlike("another kind of check")

    def place(self, check: Check) -> tuple[int, int]:
        """The kind and key by which glue finds what is at a place."""
        holder, key = check.holder, check.key
        plain = isinstance(holder, dict) and type(holder).get is dict.get
        quick = type(key) is str or type(key).__hash__ is object.__hash__
        if isinstance(check, (BuiltinCheck, DictCheck)) and plain and quick:
            return ENTRY, self.object(key)
        if isinstance(check, CellCheck):
            return WORD, HEADER
        if isinstance(check, ItemCheck) and type(holder) is list:
            return ITEM, key
        raise Unlike("a place of another kind")

    def gradient(self, x: Tensor, there: bool) -> list[int]:
        """A row: whether a tensor has a ``.grad``."""
        kind = UNLESS if there else WORD
        return [kind, self.object(x), slot_offset(Tensor, "_grad"), id(None), 0]

    def unhooked(self, x: Tensor, ask: Any) -> list[int]:
        """A row: that nothing is called when a gradient reaches a tensor; `ask` says it where glue does not know."""
        return [HOOKS, self.object(x), 0, 0, self.object(Ask(ask))]

    def asked(self, ask: Any) -> list[int]:
        """A row that Python sees to."""
        return [ASK, 0, 0, 0, self.object(Ask(ask))]

    # --- arguments ---

    def argument(self, x: Any, first: int, free: bool = False) -> list[int]:
        """What an argument is compared with; `first`: where among the arguments this object comes first.

        One that is `free` may be any number of its type.
        """
        if free:
            return [ANY, self.object(type(x)), first]
        if isinstance(x, Tensor):
            if x.__dict__:
                raise Unlike("a tensor with attributes of the user's")
            return [TENSOR, self.tensor(x), first]
        if type(x) is np.ndarray:
            return [ARRAY, self.words(self.layout(x)), first]
        one = type(x) in (bool, int, float, str, type(None), DType, Device)
        if one or not by_value(x):  # these are told by identity
            return [NUMBER, self.object(x), first]
        raise Unlike(f"an argument of type {type(x).__name__}")


def numbers() -> dict[str, int]:
    """The numbers by which glue reads these words."""
    return {**KINDS, **ATTRIBUTES, "TYPED": TYPED}

"""Guard tables: checks of Python state, and the arguments of a call, as memory that glue reads.

`Record` is what a call is compared with. All objects that it points to are kept alive beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ....core.context import state
from ....core.dtypes import Defaults, DType, get_default_dtype
from ....eager.tensor import Tensor
from ....static.checks import (
    MISSING,
    AttributeCheck,
    CellCheck,
    Check,
    ClassCheck,
    ContentCheck,
    DictCheck,
    ItemCheck,
    LengthCheck,
    MembersCheck,
    TensorCheck,
    TypeCheck,
)
from ..addresses import address_of
from ..glue import HEADER, slot_offset
from ..quick import run_words

KINDS = {
    name: i
    for i, name in enumerate(
        ("ENTRY", "WORD", "ITEM", "TENSOR", "HOOKS", "BYTES", "ATTRIBUTE", "CLASS", "KEYS", "ASK",
         "UNLESS", "NUMBER", "ARRAY", "ANY")
    )
}  # fmt: skip
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
) = KINDS.values()
FIELDS = (
    "COUNT", "ARGUMENTS", "ROWS", "ROW_COUNT", "TAPE", "DEVICE", "TENSORS", "TENSOR_COUNT",
    "DTYPES", "WIDTH", "STATES", "STATE_COUNT", "TALLY", "LEFT", "NUMBERS",
    "RUN",  # from here on those of `run_words`
)  # fmt: skip
LEFT = FIELDS.index("LEFT")
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
MOST_STRANGERS = 256  # tensors that no argument may be


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
        holder, expected = check.holder, check.expected
        kind = type(check)
        if kind is DictCheck and isinstance(holder, dict) and type(check.key) is str:
            return ENTRY, self.object(check.key), 0 if expected is MISSING else id(expected)
        if kind is CellCheck and expected is not MISSING:
            return WORD, HEADER, id(expected)
        if kind is TypeCheck:
            return WORD, HEADER - 8, id(expected)
        if kind is ItemCheck and type(holder) is list:
            return ITEM, check.key, id(expected)
        if kind is LengthCheck and type(holder) is list:
            return WORD, HEADER, int(expected)
        if kind is TensorCheck and type(holder._data) is np.ndarray:
            return TENSOR, 0, self.tensor(holder)
        if kind is ContentCheck and holder.dtype == expected.dtype:
            self.keep.append(expected)
            follows = self.layout(holder, [address_of(np.ascontiguousarray(expected))])
            return BYTES, holder.nbytes, self.words(follows)
        if kind is AttributeCheck and expected is not MISSING:
            return ATTRIBUTE, self.object(check.key), id(expected)
        if kind is ClassCheck:
            return CLASS, self.object(check.key), 0 if expected is MISSING else id(expected)
        if kind is MembersCheck and isinstance(holder, dict):
            return KEYS, 0, self.object(tuple(holder))
        raise Unlike("another kind of check")

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
        if type(x) in (bool, int, float, str, type(None)):
            return [NUMBER, self.object(x), first]
        raise Unlike(f"an argument of type {type(x).__name__}")


class Record:
    """A call of a compiled function, to be told again: its arguments, and the state that its program relies on."""

    __slots__ = ("_alone", "keep", "program", "words")

    def __init__(
        self, memory: Memory, program: Any, args: Sequence[Any], rows: list[list[int]],
        strangers: Sequence[Any], run: Run | None = None,
    ) -> None:  # fmt: skip
        """`rows`, from `memory`; `strangers`: tensors that no argument may be; `run`: how the program is run where that
        takes no Python."""
        if len(strangers) > MOST_STRANGERS:
            raise Unlike("too many tensors")
        places: dict[int, int] = {}
        free = (lambda i: False) if program.promoted is None else program.promoted.is_free
        arguments = [
            memory.argument(x, places.setdefault(id(x), i), free(i)) for i, x in enumerate(args)
        ]
        default = memory.object("floating"), id(get_default_dtype())
        rows = [*rows, [CLASS, memory.object(Defaults), *default, 0]]
        self.program = program
        self._alone = run is not None
        self.words = np.array(
            [
                len(args), memory.words(w for a in arguments for w in a), memory.words(w for r in rows for w in r),
                len(rows), int(state.grad), id(state.device),
                memory.words(map(memory.object, strangers)), len(strangers),
                *_run_words(memory, run),
            ],
            dtype=np.int64,
        )  # fmt: skip
        self.keep = memory.keep

    def renew(self, calls: int) -> bool:
        """Lets `calls` more be run without Python if those granted before are used up; whether they were."""
        used = self._alone and self.words[LEFT] == 0
        if used:
            self.words[LEFT] = calls
        return bool(used)


class Straight:
    """Says that a compiled function hands `left` calls straight to the function that it was made of."""

    __slots__ = ("fn", "left")

    def __init__(self, fn: Any, calls: int) -> None:
        self.fn = fn
        self.left = np.array([calls], dtype=np.int64)


class Run(NamedTuple):
    """How a program makes new tensors of its arguments and of tensors that it always takes, without Python.

    That is what `Executable.direct` says, for each operand its argument or, numbered after these, its state (-1, -2
    and so on: the results, then the promoted numbers), the states, the results' dtypes, whether the result is a tensor
    and no tuple, a word that counts the calls, and what gives the numbers for arguments, as arrays in a tuple (None
    where it takes none).
    """

    direct: Any
    operands: tuple[int, ...]
    states: Sequence[Tensor]
    dtypes: Sequence[DType]
    single: bool
    tally: Any
    numbers: Any = None


def room_for(arguments: int, inputs: int, results: int) -> bool:
    """Whether glue runs programs of so many inputs and results, for calls with so many arguments."""
    operands = max(arguments + inputs, inputs + results)
    return operands <= run_words.MOST_OPERANDS and results <= run_words.MOST_RESULTS


def _run_words(memory: Memory, run: Run | None) -> list[int]:
    """The last fields of a record, then those of its run."""
    if run is None:
        return [0] * (len(FIELDS) - FIELDS.index("DTYPES") - 1 + len(run_words.FIELDS))
    memory.keep.append(run)
    words = run_words.run_words(run.direct, run.operands, memory.keep)
    return [
        memory.words(map(memory.object, run.dtypes)), 0 if run.single else len(run.dtypes),
        memory.words(map(memory.object, run.states)), len(run.states),
        address_of(run.tally), 0, 0 if run.numbers is None else id(run.numbers), *words,
    ]  # fmt: skip


def numbers() -> dict[str, int]:
    """The numbers that the glue of the guard uses."""
    fields = {f"H_{name}": 8 * i for i, name in enumerate(FIELDS)}
    return {
        **KINDS,
        **ATTRIBUTES,
        **fields,
        **run_words.numbers(),
        "HOT_RECORD": slot_offset(Record, "words"),
        "HOT_PROGRAM": slot_offset(Record, "program"),
        "STRAIGHT_FN": slot_offset(Straight, "fn"),
        "STRAIGHT_LEFT": slot_offset(Straight, "left"),
    }

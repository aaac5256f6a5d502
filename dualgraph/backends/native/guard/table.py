"""Guard tables: what a call of a compiled function is compared with, and how its program is run, as memory.

All objects that a `Record` points to are kept alive beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ....core.context import state
from ....core.dtypes import Defaults, DType, get_default_dtype
from ....eager.tensor import Tensor
from ....static.checks import Check
from ..addresses import address_of
from ..glue import slot_offset
from ..quick import run_words
from .given_words import FIELDS as GIVEN_FIELDS
from .given_words import MOST as MOST_GIVEN
from .given_words import Given
from .outcome_words import MOST_LEAVES, Outcome, outcome_words, place_words
from .outcome_words import numbers as outcome_numbers
from .words import CLASS, Memory, Unlike
from .words import numbers as words_numbers

FIELDS = (
    "COUNT", "ARGUMENTS", "ROWS", "ROW_COUNT", "TAPE", "DEVICE", "TENSORS", "TENSOR_COUNT",
    *GIVEN_FIELDS,
    "DTYPE", "AFTER", "STATES", "STATE_COUNT", "PLACES", "PLACE_COUNT", "FOUND_COUNT", "TALLY", "LEFT", "NUMBERS",
    "TAKEN",
    "RUN",  # from here on those of `run_words`
)  # fmt: skip
LEFT = FIELDS.index("LEFT")
MOST_STRANGERS = 256  # tensors that no argument may be


class Record:
    """A call of a compiled function, to be told again: its arguments, and the state that its program relies on."""

    __slots__ = ("_alone", "keep", "program", "words")

    def __init__(
        self, memory: Memory, program: Any, args: Sequence[Any], given: Given,
        rows: list[list[int]], strangers: Sequence[Any], run: Run | None = None,
    ) -> None:  # fmt: skip
        """`args`: the leaves of those `given`; `rows`, from `memory`; `strangers`: tensors that no argument may be;
        `run`: how the program is run where that takes no Python."""
        if len(strangers) > MOST_STRANGERS:
            raise Unlike("too many tensors")
        places: dict[int, int] = {}
        arguments = [
            memory.argument(x, places.setdefault(id(x), i), program.is_free(i))
            for i, x in enumerate(args)
        ]
        default = memory.object("floating"), id(get_default_dtype())
        rows = [*rows, [CLASS, memory.object(Defaults), *default, 0]]
        self.program = program
        self._alone = run is not None
        self.words = np.array(
            [
                len(args), memory.words(w for a in arguments for w in a), memory.words(w for r in rows for w in r),
                len(rows), int(state.grad), id(state.device),
                memory.words(map(memory.object, strangers)), len(strangers), *given.words(memory),
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


class Rows(np.ndarray[Any, Any]):
    """Words that say where a table of rows is, and how many these are; `keep` has the objects that they speak of."""

    keep: list[Any]


def rows_of(checks: Sequence[Check]) -> Rows:
    """What `rows.rows_hold` takes: checks, which hold now, as rows."""
    memory = Memory()
    made = memory.words(w for check in checks for w in memory.row(check))
    words = np.array([made, len(checks)], dtype=np.int64).view(Rows)
    words.keep = memory.keep
    return words


class Straight:
    """Says that a compiled function hands `left` calls straight to the function that it was made of."""

    __slots__ = ("fn", "left")

    def __init__(self, fn: Any, calls: int) -> None:
        self.fn = fn
        self.left = np.array([calls], dtype=np.int64)


class Run(NamedTuple):
    """How a program makes new tensors of its arguments and of tensors that it always takes, without Python.

    That is what `Executable.direct` says; for each operand its argument or, numbered after these, its state and then
    the tensor that is at a place (-1, -2 and so on: the new arrays, then the promoted numbers); the states; the places,
    and how many tensors are there; a word that counts the calls; what gives the numbers for arguments in a tuple, those
    that the program takes, as arrays, first (None where there are none); and what the call leaves behind (a `DType`:
    one new tensor of this dtype, and nothing else).
    """

    direct: Any
    operands: tuple[int, ...]
    states: Sequence[Tensor]
    places: Sequence[Any]
    found: int
    tally: Any
    numbers: Any
    outcome: DType | Outcome
    taken: bool = False  # whether what gives the numbers takes the program for the call


def room_for(run: Run, arguments: int) -> bool:
    """Whether glue runs such programs, for calls with so many arguments."""
    tensors = arguments + len(run.states) + run.found
    leaves = run.outcome.leaves if isinstance(run.outcome, Outcome) else ()
    return (
        max(tensors, len(run.operands)) <= run_words.MOST_OPERANDS
        and len(run.direct.types) <= run_words.MOST_RESULTS
        and len(leaves) < MOST_LEAVES
    )


def _run_words(memory: Memory, run: Run | None) -> list[int]:
    """The last fields of a record, then those of its run."""
    if run is None:
        return [0] * (len(FIELDS) - FIELDS.index("DTYPE") - 1 + len(run_words.FIELDS))
    memory.keep.append(run)
    words = run_words.run_words(run.direct, run.operands, memory.keep)
    plain = isinstance(run.outcome, DType)
    places = place_words(memory, run.places)
    return [
        id(run.outcome) if plain else 0, 0 if plain else outcome_words(memory, run.outcome),
        memory.words(map(memory.object, run.states)), len(run.states),
        memory.words(places), len(run.places), run.found,
        address_of(run.tally), 0, 0 if run.numbers is None else id(run.numbers),
        run_words.TAKEN if run.taken else 0, *words,
    ]  # fmt: skip


def numbers() -> dict[str, int]:
    """The numbers that the glue of the guard uses."""
    fields = {f"H_{name}": 8 * i for i, name in enumerate(FIELDS)}
    return {
        **words_numbers(),
        **fields,
        "GIVEN_ROOM": 8 * MOST_GIVEN,
        **run_words.numbers(),
        **outcome_numbers(),
        "HOT_RECORD": slot_offset(Record, "words"),
        "HOT_PROGRAM": slot_offset(Record, "program"),
        "STRAIGHT_FN": slot_offset(Straight, "fn"),
        "STRAIGHT_LEFT": slot_offset(Straight, "left"),
    }

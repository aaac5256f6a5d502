"""Records of programs that are run without Python, as `runs` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..addresses import address_of

FIELDS = (
    "FUNCTION", "TEAM", "SIZE", "CODE", "WORDS", "STRIDE", "THREADS", "BRIEF", "BUSY", "OPERANDS", "OPERAND_COUNT",
    "CHECKS", "CHECK_COUNT", "RESULTS", "RESULT_COUNT",
)  # fmt: skip
TAKEN = 2  # in the word that is 1 while a call runs: a call is about to
MOST_OPERANDS = 62  # there are masks of them
MOST_RESULTS = 24


def run_words(direct: Any, arguments: Sequence[int], keep: list[Any]) -> list[int]:
    """The fields of a program (an `executor.Direct`); what they point to goes to `keep`.

    ``arguments``: for each operand which of the call's arguments it is (-1: the first result, -2: the second, ...;
    then its numbers).
    """

    def words(values: Sequence[int]) -> int:
        made = np.array([*values, 0], dtype=np.int64)
        keep.append(made)
        return address_of(made)

    keep.append(direct)
    results = [
        w for t in direct.types for w in (id(t.dtype.numpy), len(t.shape), words(t.shape), t.nbytes)
    ]
    return [
        *direct.place, int(direct.brief), address_of(direct.busy), words(arguments), len(arguments),
        words([address_of(cell) for cell in direct.checks]), len(direct.checks), words(results), len(direct.types),
    ]  # fmt: skip


def numbers() -> dict[str, int]:
    """The numbers that the glue of `runs` uses."""
    return {f"R_{name}": 8 * i for i, name in enumerate(FIELDS)} | {
        "OPERAND_ROOM": 8 * MOST_OPERANDS, "MOST_OPERANDS": MOST_OPERANDS,
        "CALL_ROOM": 8 * (2 * MOST_OPERANDS + 2), "RESULT_ROOM": 8 * MOST_RESULTS, "RESULT_WORDS": 32,
    }  # fmt: skip

"""Records of programs that are run without Python, as `runs` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of

FIELDS = (
    "FUNCTION", "TEAM", "SIZE", "CODE", "WORDS", "STRIDE", "THREADS", "BRIEF", "BUSY", "OPERANDS", "OPERAND_COUNT",
    "DESCR", "NDIM", "DIMS", "BYTES", "CHECKS", "CHECK_COUNT",
)  # fmt: skip
MOST_OPERANDS = 16


def run_words(direct: Any, arguments: Sequence[int], keep: list[Any]) -> list[int]:
    """The fields of a program (an `executor.Direct`); what they point to goes to `keep`.

    ``arguments``: for each operand which of the call's arguments it is (-1: the result; -2, -3 ...: its numbers).
    """

    def words(values: Sequence[int]) -> int:
        made = np.array([*values, 0], dtype=np.int64)
        keep.append(made)
        return address_of(made)

    dtype = np.dtype(direct.dtype)
    keep += [direct, dtype]
    return [
        *direct.place, int(direct.brief), address_of(direct.busy), words(arguments), len(arguments),
        id(dtype), len(direct.shape), words(direct.shape), prod(direct.shape) * dtype.itemsize,
        words([address_of(cell) for cell in direct.checks]), len(direct.checks),
    ]  # fmt: skip


def numbers() -> dict[str, int]:
    """The numbers that the glue of `runs` uses."""
    return {f"R_{name}": 8 * i for i, name in enumerate(FIELDS)} | {
        "OPERAND_ROOM": 8 * MOST_OPERANDS, "MOST_OPERANDS": MOST_OPERANDS,
    }  # fmt: skip

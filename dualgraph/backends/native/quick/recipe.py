"""Recipe: the record of how a call of an op goes, which `follow` reads."""

from __future__ import annotations

import ctypes
from typing import Any

GENERIC, VIEW, FOLD, PROGRAM, SAME, CALL = 0, 1, 2, 3, 4, 5


class Recipe(ctypes.Structure):
    """What `follow` reads; what it points to is in `keep`."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("calls", ctypes.c_int64),
        ("dtype", ctypes.c_void_p),
        ("types", ctypes.c_void_p),  # of the results, a tuple
        ("taped", ctypes.c_int64),
        ("reads", ctypes.c_int64),
        ("reads_out", ctypes.c_int64),
        ("flags", ctypes.c_int64),  # of a view: writeable or not
        ("offset", ctypes.c_int64),
        ("ndim", ctypes.c_int64),
        ("dims", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("descr", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("kernel", ctypes.c_void_p),  # of a reduction
        ("sizes", ctypes.c_void_p),
        ("extent", ctypes.c_int64),
        ("scratch", ctypes.c_int64),
        ("run", ctypes.c_void_p),  # of a program, see `run_words`
        ("op", ctypes.c_void_p),  # of the tape entries of a composite; null: it wants no gradient
        # a tuple of arrays for operands that the gradient does not read
        ("blanks", ctypes.c_void_p),
        ("dtypes", ctypes.c_void_p),  # of the values that are kept for it, a tuple
        ("names", ctypes.c_void_p),  # of the parameters of a call of ``op``, a tuple
        ("values", ctypes.c_void_p),  # and what they are, a tuple
        ("several", ctypes.c_int64),  # how many results a call gives in a tuple; 0: one alone
        (
            "widened",
            ctypes.c_int64,
        ),  # whether what no program makes is Python's, which widens operands
        ("writes", ctypes.c_int64),  # of a program: operands that it writes, as a mask
        ("source", ctypes.c_void_p),  # the elements of a result that is always the same
    )
    keep: tuple[Any, ...]
    inner = False  # whether a program was put off, as a composite called this one


OFFSETS = {f"RECIPE_{name.upper()}": getattr(Recipe, name).offset for name, _ in Recipe._fields_}

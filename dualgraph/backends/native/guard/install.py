"""Installing the guard: `call_compiled` becomes the way that a compiled function is called."""

from __future__ import annotations

from typing import Any

from ..glue import FASTCALL, KEYWORDS, Library, possible, present, slot_offset
from ..quick import apply, memory, objects, place, place_slow, runs, spread, tape
from ..quick.install import CheckError, glue_numbers, glue_objects
from . import calls, rows, table


def install(owner: type, run: Any) -> None:
    """Gives `owner` a native ``__call__``. Its objects keep records of calls in a tuple in the slot ``_hot``,
    or there a `table.Straight`.

    A call like one of them is ``run(self, program, args)``; another one is what ``__call__`` was. Raises where
    this interpreter is not as glue expects.
    """
    if not possible() or not present("_PyType_Lookup"):
        raise CheckError("this interpreter is not CPython with its lock, or not one that is known")
    where = place if present("PyFrame_GetLasti") else place_slow
    words = {
        "CALL": owner.__call__, "RUN": run, "S_HOLDS": "holds", "S_DEVICE": "device", "STR": str,
        "STRAIGHT": table.Straight,
    }  # fmt: skip
    library = Library(
        objects, memory, spread, tape, where, apply, runs, rows, calls,
        objects=glue_objects() | words,
        numbers=glue_numbers() | table.numbers() | {"C_HOT": slot_offset(owner, "_hot")},
    )  # fmt: skip
    doc = owner.__call__.__doc__ or ""
    call = library.method(owner, "__call__", "call_compiled", FASTCALL | KEYWORDS, doc=doc)
    owner.__call__ = call  # type: ignore[method-assign]

"""Installing the guard: `call_compiled` becomes the way that a compiled function is called."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ....eager.tensor import Tensor
from ....static.checks import Checklist
from ..glue import FASTCALL, KEYWORDS, ONE, LayoutError, Library, possible, present, slot_offset
from ..quick.install import glue_modules, glue_numbers, glue_objects
from . import table

GLUE = [f"{__package__}.{name}" for name in ("rows", "given", "places", "outcome", "calls")]


def install(owner: type, run: Any, unlike: Any) -> None:
    """Gives `owner` a native ``__call__``. Its objects keep records of calls in a tuple in the slot ``_hot``,
    or there a `table.Straight`.

    A call like one of them is ``run(self, program, leaves)``, by the leaves of its arguments; another one, or one
    for which that gives `unlike`, is what ``__call__`` was. Raises where this interpreter is not as glue expects.
    """
    if not possible() or not present("_PyType_Lookup"):
        raise LayoutError("this interpreter is not CPython with its lock, or not one that is known")
    words = {
        "CALL": owner.__call__, "RUN": run, "UNLIKE": unlike, "S_HOLDS": "holds", "S_DEVICE": "device", "STR": str,
        "STRAIGHT": table.Straight, "S_ITEM": "item", "LIST": list, "DICT": dict, "INDEX_ERROR": IndexError,
        "GONE": "the element that the call puts a result at is gone",
    }  # fmt: skip
    library = Library(
        glue_modules("objects", "memory", "spread", "tape", "apply", "runs") + GLUE,
        entries=("call_compiled", "probe_bare", "rows_hold"),
        objects=glue_objects() | words,
        numbers=glue_numbers() | table.numbers() | {"C_HOT": slot_offset(owner, "_hot")},
    )  # fmt: skip
    _check(library)
    doc = owner.__call__.__doc__ or ""
    call = library.method(owner, "__call__", "call_compiled", FASTCALL | KEYWORDS, doc=doc)
    owner.__call__ = call  # type: ignore[method-assign]
    says = library.builtin("rows_hold", "rows_hold", ONE)
    Checklist.natively = lambda checks: partial(says, table.rows_of(checks))


def _check(library: Library) -> None:
    """Compares what glue sees of the attributes of tensors with what Python says."""
    says = library.builtin("probe_bare", "probe_bare", ONE)
    for x in (Tensor(np.zeros(1)), type("Other", (Tensor,), {"__slots__": ("more",)})(np.zeros(1))):
        for _ in range(2):
            if not says(x):
                raise LayoutError("a tensor without attributes is not told")
            x.sum = None
            if says(x):
                raise LayoutError("an attribute of a tensor is not seen")
            del x.sum
            vars(x)  # from now on there is a dict

"""Installing the quick path: the glue is built, checked on live objects, and put in the place of Python's methods."""

from __future__ import annotations

import ctypes
from itertools import accumulate
from typing import Any

import numpy as np

from ....core import dtypes as dt
from ....core.composite import Merge
from ....core.context import state
from ....core.devices import CPU
from ....core.errors import INSIDE, user_place
from ....core.node import Node, TapeNode, sequence
from ....core.prim import REGISTRY, Dispatch, Prim, lookup
from ....core.process.silence import prepare
from ....core.sweep import Whole
from ....core.types import TensorType
from ....eager.operators import ELEMENTWISE_OPERATORS
from ....eager.quick import told
from ....eager.tensor import Tensor
from ..glue import (
    FASTCALL,
    HEADER,
    KEYWORDS,
    NOARGS,
    ONE,
    TYPE,
    LayoutError,
    Library,
    array_offsets,
    pointer_at,
    possible,
    present,
    slot_offset,
)
from . import blocks, composing, plans, recipe, recipes, updating

GLUE = (
    "objects", "memory", "spread", "tape", "apply", "store", "runs", "keys", "data", "follow", "composites", "updates",
    "items", "calls", "match", "probe",
)  # fmt: skip
ENTRIES = (
    "store", "overwrite", "serve_composite", "serve_same", "serve_view", "serve_update", "match_tape", "getitem",
    "call_op", "probe",
)  # fmt: skip

LONG = 1 << 15  # elements from which the interpreter's lock is given up
AXES = 8  # of results that `spread` makes, and of operands of `items`
VIEW_WORDS = {  # how many words of what `items` knows of a view are for what
    "STARTS": AXES, "STOPS": AXES, "STEPS": AXES, "DIMS": AXES, "STRIDES": AXES,  # of the slice
    "SHAPE": 3 * AXES, "SHAPE_STRIDES": 3 * AXES, "PLACES": 1,  # of the reshape of it, and its number of axes
    "OFFSET": 1,  # bytes to the first element
    "SLICED": 1, "RESHAPED": 1,  # whether there is a slice, and a reshape
    "RANGE": 4,  # start, stop, step and number of elements of one axis
}  # fmt: skip


def _trampolines() -> tuple[str, dict[str, Any]]:
    """A glue function for each operator, and the objects that it speaks of."""
    parts, objects = [], {}
    for name, (op, arity, reflected) in ELEMENTWISE_OPERATORS.items():
        objects |= {f"OP{name}": op, f"PYTHON{name}": getattr(Tensor, name)}
        if arity == 1:
            parts.append(
                f"def operator{name}(x: ptr, _: ptr) -> ptr:\n"
                f"    return operate_alone(o.OP{name}, x, o.PYTHON{name})\n"
            )
        else:
            x, y = ("y", "x") if reflected else ("x", "y")
            parts.append(
                f"def operator{name}(x: ptr, y: ptr) -> ptr:\n"
                f"    return operate(o.OP{name}, {x}, {y}, o.PYTHON{name}, x, y)\n"
            )
    return "\n".join(parts), objects


def _view_offsets() -> dict[str, int]:
    """Where the words of a view begin, in bytes, and the room for them all."""
    ends = [8 * end for end in accumulate(VIEW_WORDS.values(), initial=0)]
    return dict(zip([*VIEW_WORDS, "BYTES"], ends, strict=True))


def glue_modules(*names: str) -> list[str]:
    """Modules of glue of this package by their full names, and how the user's line is found in this interpreter."""
    where = "place" if present("PyFrame_GetLasti") else "place_slow"
    return [f"{__package__}.{name}" for name in (*names, where)]


def glue_numbers() -> dict[str, int]:
    """What ``n.NAME`` means in the glue of this package."""
    tensor = {
        "T_DATA": "_data", "T_DTYPE": "dtype", "T_DEVICE": "device", "T_REQUIRES": "_requires_grad",
        "T_NODE": "_node", "T_INDEX": "_index", "T_GRAD": "_grad", "T_CELL": "_cell", "T_PARENT": "_parent",
        "T_STAMP": "_stamp",
    }  # fmt: skip
    entry = {
        "N_PRIM": (Node, "prim"), "N_INPUTS": (Node, "inputs"), "N_PARAMS": (Node, "params"),
        "N_OUTPUTS": (Node, "outputs"), "N_AT": (TapeNode, "_at"), "N_SAVED": (TapeNode, "saved"),
        "N_SEQ": (TapeNode, "seq"), "N_HOOKS": (TapeNode, "hooks"), "N_RELEASED": (TapeNode, "released"),
    }  # fmt: skip
    return {
        **blocks.numbers(),
        **{name: slot_offset(Tensor, slot) for name, slot in tensor.items()},
        **{name: slot_offset(owner, slot) for name, (owner, slot) in entry.items()},
        **{f"A_{name}": offset for name, offset in array_offsets().items()},
        **plans.OFFSETS,
        **recipes.numbers(),
        "P_RECIPES": slot_offset(Prim, "recipes"),
        "BLOCK": HEADER,  # where a ctypes structure points to its memory
        "TYPE": TYPE,
        "ITEMS": tuple.__basicsize__,
        "LIST_ITEMS": HEADER + 8,
        "VAR_SIZE": HEADER,
        "F_VALUE": HEADER,
        "P_TABLE": slot_offset(Prim, "table"),
        "D_CODE": slot_offset(dt.DType, "code"),
        "D_ITEMSIZE": slot_offset(dt.DType, "itemsize"),
        "WRITEABLE": 0x400,
        "AXES": AXES,
        **{f"V_{name}": offset for name, offset in _view_offsets().items()},
        "ALIGNED": 0x100,
        "PLAIN": 0x101,  # C-contiguous and aligned
        "HOT": plans.HOT,
        "FEW_ELEMENTS": composing.FEW_ELEMENTS,
        "VIEW_ROOM": 8 * (1 + composing.MOST_PARAMS),
        "WANTED": 128,  # on top of the code of an operand that wants a gradient
        "LONG": LONG,
        "F32": 1,
        "F64": 2,
        "I64": 3,
        "I32": 4,
        "BOOL": 5,
    }


def glue_objects() -> dict[str, Any]:
    """What ``o.NAME`` means in the glue of this package."""
    return {
        "BLOCKS": blocks.STATE, "HANDLER": blocks.CAPSULE,
        "TENSOR": Tensor, "NDARRAY": np.ndarray, "TENSOR_TYPE": TensorType, "TAPE_NODE": TapeNode,
        "FLOAT": float, "INT": int, "BOOL": bool, "NONE": None, "TRUE": True, "FALSE": False, "ZERO": 0,
        "CPU": CPU, "STATE": state, "DECLINE": object(), "MEMORY": np.zeros(4, dtype=np.int64),
        "NO_PARAMS": {}, "SEQUENCE": sequence, "INSIDE": INSIDE, "USER_PLACE": user_place,
        "GROW": plans.grow, "BIND": Dispatch.bind, "VALUE_ERROR": ValueError,
        "S_DICT": "__dict__", "S_TRACER": "tracer", "S_BATCHING": "batching", "S_GRAD": "grad", "S_DEVICE": "device",
        "S_HEARS": "hears_after", "TELL": told,
        "SLICE": slice, "TUPLE": tuple, "ELLIPSIS": ..., "PYTHON__getitem__": Tensor.__getitem__,
        "SLICE_OP": lookup("slice"), "RESHAPE_OP": lookup("reshape"),
        "S_STARTS": "starts", "S_STOPS": "stops", "S_STEPS": "steps", "S_SHAPE": "shape",
        "COMPOSITES": composing.KNOWN, "NOTICE": composing.notice, "NOTICE_VIEW": composing.notice_view,
        "VIEWS": composing.VIEWS, "SAMES": composing.SAME, "NOTICE_SAME": composing.notice_same,
        "UPDATES": updating.KNOWN, "NOTICE_UPDATE": updating.notice,
        "NOT_IMPLEMENTED": NotImplemented,
        "CAST": lookup("cast"), "CAST_NAMES": ("dtype",),
        "S_EDGE": "_edge", "S_FILENAME": "co_filename", **recipes.objects(),
    }  # fmt: skip


def install() -> None:
    """Puts the quick path in place. Raises LayoutError where this interpreter or NumPy is not as glue expects."""
    if not possible():
        raise LayoutError("this interpreter is not CPython with its lock")
    text, of_operators = _trampolines()
    operators = [f"operator{name}" for name in ELEMENTWISE_OPERATORS]
    library = Library(
        glue_modules(*GLUE), text, entries=(*ENTRIES, *blocks.ENTRIES, *operators),
        objects=glue_objects() | of_operators, numbers=glue_numbers(),
    )  # fmt: skip
    _check(library)
    prepare(blocks.install(library))
    for prim in REGISTRY.values():
        for key, plan in prim.plans.items():
            plans.enter(prim, key, plan)
    Dispatch.planned = staticmethod(plans.enter)
    Merge.quick = staticmethod(library.builtin("quick", "serve_composite"))
    Merge.same = staticmethod(library.builtin("same", "serve_same"))
    Merge.view = staticmethod(library.builtin("view", "serve_view"))
    Merge.update = staticmethod(library.builtin("update", "serve_update"))
    Dispatch.store = staticmethod(library.builtin("store", "store"))
    Dispatch.overwrite = staticmethod(library.builtin("overwrite", "overwrite"))
    Dispatch.forgot = staticmethod(plans.forget)
    dt.changed += [composing.KNOWN.clear, composing.SAME.clear, updating.KNOWN.clear]
    Whole.match = staticmethod(library.builtin("match", "match_tape"))
    for name, (_, arity, _) in ELEMENTWISE_OPERATORS.items():
        flags = NOARGS if arity == 1 else ONE
        doc = getattr(Tensor, name).__doc__ or ""
        setattr(Tensor, name, library.method(Tensor, name, f"operator{name}", flags=flags, doc=doc))
    doc = Tensor.__getitem__.__doc__ or ""
    item = library.method(Tensor, "__getitem__", "getitem", flags=ONE, doc=doc)
    Tensor.__getitem__ = item  # type: ignore[method-assign]
    call = library.method(
        Prim, "__call__", "call_op", FASTCALL | KEYWORDS, doc="Runs the op, in whatever mode."
    )
    Prim.__call__ = call  # type: ignore[method-assign]


def _check(library: Library) -> None:
    """Compares what glue makes with what Python makes."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = Tensor(array, dt.float32)
    x._requires_grad = True
    made, of_type, edge, switch = library.builtin("probe", "probe")(array, dt.float32, x)
    plain = Tensor(array, dt.float32)
    fields = Tensor.__slots__
    same = all(
        getattr(made, f, None) is getattr(plain, f, None) for f in fields if not f.startswith("__")
    )
    if type(made) is not Tensor or not same or made.__dict__ or made.shape != (2, 3):
        raise LayoutError("a tensor is not made as it should be")
    if type(of_type) is not TensorType or of_type != x.tensor_type:
        raise LayoutError("the type of a tensor is not made as it should be")
    record = recipe.Recipe()
    if pointer_at(id(record) + HEADER) != ctypes.addressof(record):
        raise LayoutError("structures of ctypes do not lie as they should")
    if edge != (x._node, 0) or switch is not (state.grad and state.tracer is None):
        raise LayoutError("the tape or the switches are not read as they should be")

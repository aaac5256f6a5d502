"""The C functions that glue may call: CPython's and NumPy's, by name, with what they take and give.

A name says ``ptr`` for any object or address, ``i64`` for ``Py_ssize_t`` and ``long long``, ``i32`` for C's
``int``. Which results are owned and which are borrowed is as the manuals of CPython and NumPy say.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

import numpy as np

TABLE = "glue_table"  # the symbol of the addresses that a library fills in,
NAMES = "glue_names"  # and that of what they are the addresses of


class GlueError(Exception):
    """A glue function says what the language lacks."""


class Signature(NamedTuple):
    """What a C function gives and takes, by the names of types of the glue language."""

    result: str
    operands: tuple[str, ...]


# CPython: the stable part of its C API, and a few functions that all versions from 3.10 on export.
_PYTHON = """
Py_IncRef(ptr) void | Py_DecRef(ptr) void | PyErr_Occurred() ptr | PyErr_Clear() void
PyErr_SetString(ptr, ptr) void | PyErr_ExceptionMatches(ptr) i32 | PyErr_SetObject(ptr, ptr) void
PyTuple_New(i64) ptr | PyList_New(i64) ptr | PyList_Append(ptr, ptr) i32 | PyDict_New() ptr
PyDict_GetItemWithError(ptr, ptr) ptr | PyDict_SetItem(ptr, ptr, ptr) i32 | PyDict_Size(ptr) i64
PyLong_FromSsize_t(i64) ptr | PyLong_FromVoidPtr(ptr) ptr | PyLong_AsSsize_t(ptr) i64
PyLong_AsLongLong(ptr) i64 | PyLong_AsVoidPtr(ptr) ptr | PyLong_AsLongLongAndOverflow(ptr, ptr) i64
PyLong_AsDouble(ptr) f64 | PyFloat_FromDouble(f64) ptr | PyFloat_AsDouble(ptr) f64
PyBool_FromLong(i64) ptr | PyObject_IsTrue(ptr) i32 | PyObject_RichCompareBool(ptr, ptr, i32) i32
PyObject_GetAttr(ptr, ptr) ptr | PyObject_SetAttr(ptr, ptr, ptr) i32 | PyObject_Hash(ptr) i64
PyObject_GenericGetDict(ptr, ptr) ptr
PyObject_VectorcallDict(ptr, ptr, i64, ptr) ptr | PyObject_VectorcallMethod(ptr, ptr, i64, ptr) ptr
PyObject_CallObject(ptr, ptr) ptr | PyObject_Call(ptr, ptr, ptr) ptr
PyType_IsSubtype(ptr, ptr) i32 | PyType_GenericAlloc(ptr, i64) ptr
PyThreadState_Get() ptr | PyThreadState_GetID(ptr) i64 | PyEval_SaveThread() ptr
PyEval_RestoreThread(ptr) void | PyEval_GetFrame() ptr | PyFrame_GetCode(ptr) ptr | PyFrame_GetBack(ptr) ptr
PyFrame_GetLasti(ptr) i32 | PyCapsule_GetPointer(ptr, ptr) ptr | PyMem_Malloc(i64) ptr | PyMem_Free(ptr) void
PyMem_RawMalloc(i64) ptr | PyMem_RawCalloc(i64, i64) ptr | PyMem_RawRealloc(ptr, i64) ptr | PyMem_RawFree(ptr) void
PyErr_NoMemory() ptr | PyTraceMalloc_Track(i32, i64, i64) i32
PyObject_GC_Track(ptr) void | PyObject_GC_UnTrack(ptr) void | PyContext_Enter(ptr) i32 | PyContext_Exit(ptr) i32
PySlice_Unpack(ptr, ptr, ptr, ptr) i32 | PySlice_AdjustIndices(i64, ptr, ptr, i64) i64
PyIter_Next(ptr) ptr | PyDict_Next(ptr, ptr, ptr, ptr) i32 | PySet_Size(ptr) i64 | _PyType_Lookup(ptr, ptr) ptr
"""
# NumPy: places in the table of its C API, which never change.
_NUMPY = """
PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr) ptr 94 | PyArray_CopyInto(ptr, ptr) i32 50
PyArray_NewLikeArray(ptr, i32, ptr, i32) ptr 277 | PyArray_SetBaseObject(ptr, ptr) i32 282
PyDataMem_SetHandler(ptr) ptr 304 | PyDataMem_GetHandler() ptr 305
"""


def _read(text: str) -> dict[str, tuple[Signature, str]]:
    found = {}
    for line in (part.strip() for row in text.strip().splitlines() for part in row.split("|")):
        name, _, rest = line.partition("(")
        operands, _, result = rest.partition(")")
        kind, _, place = result.strip().partition(" ")
        taken = tuple(o.strip() for o in operands.split(",") if o.strip())
        found[name] = Signature(kind, taken), place
    return found


_FUNCTIONS = _read(_PYTHON) | _read(_NUMPY)


def signature(name: str) -> Signature:
    """What a C function gives and takes; KeyError for one that is not listed."""
    return _FUNCTIONS[name][0]


@cache
def _numpy_table() -> Any:
    """NumPy's table of C functions, as addresses."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.cast(
        get(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p)
    )


def listed(name: str) -> bool:
    """Whether a C function can be called from glue."""
    return name in _FUNCTIONS


def address(name: str) -> int:
    """Where a C function is in this process; AttributeError where this interpreter lacks it."""
    place = _FUNCTIONS[name][1]
    if place:
        return int(_numpy_table()[int(place)])
    return int(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0)


def present(name: str) -> bool:
    """Whether this interpreter has a C function."""
    try:
        return bool(address(name))
    except AttributeError:
        return False


class _Names:
    """A word of the language, for those who read the text as Python: linters, type checkers."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name}: glue functions are translated, not run")


_word: Any = _Names()
c = o = n = _word  # C functions, the library's Python objects, its numbers
ptr = i64 = i32 = i8 = f64 = f32 = _word
load_ptr = load_i64 = load_i32 = load_i8 = load_f64 = load_f32 = _word
store_ptr = store_i64 = store_i32 = store_i8 = store_f64 = store_f32 = _word
call_ptr = call_i64 = call_i32 = call_f64 = call_void = _word
stack = address_of = bits = pointer = swap_i64 = _word

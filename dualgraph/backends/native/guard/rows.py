"""Glue: a table of places in Python state, and what is expected there.

A row is five words: kind, holder, key, what is expected, and what to ask where that is not there (an object
with ``holds()``, or null). `guard.table` writes them. Identity is all that is compared here, so what is equal but
another object is asked of Python.
"""

from __future__ import annotations

from ..glue.capi import (
    bits,
    c,
    i64,
    load_i8,
    load_i32,
    load_i64,
    load_ptr,
    n,
    o,
    pointer,
    ptr,
    stack,
    store_i64,
    store_ptr,
)
from ..quick.objects import held, item


def same_layout(array: ptr, record: ptr) -> i64:
    """Whether an array is a NumPy array of the recorded dtype and shape whose elements lie row by row."""
    if array is None or load_ptr(array, n.TYPE) != o.NDARRAY:
        return 0
    if load_ptr(array, n.A_DESCR) != load_ptr(record, 0):
        return 0
    if (load_i32(array, n.A_FLAGS) & n.PLAIN) != n.PLAIN:
        return 0
    count = load_i64(record, 8)
    if load_i32(array, n.A_NDIM) != count:
        return 0
    dims = load_ptr(array, n.A_DIMS)
    for i in range(count):
        if load_i64(dims, 8 * i) != load_i64(record, 16 + 8 * i):
            return 0
    return 1


def bare(x: ptr) -> i64:
    """Whether nobody has put attributes on a tensor. Where Python keeps them, `table.ATTRIBUTES` says."""
    if n.VALUES:  # 3.11: values of their own, until something asks for the dict
        values = load_ptr(x, n.VALUES)
        if values:
            return load_i8(values, n.USED) == 0
    word = load_i64(x, n.DICT)
    if n.TAGGED and word & 1:  # 3.12: the same in one word
        return load_i8(pointer(word + 1), n.USED) == 0
    return word == 0 or load_i64(pointer(word), n.VAR_SIZE) == 0


def probe_bare(self: ptr, x: ptr) -> ptr:
    """What `bare` says of a tensor."""
    return held(o.TRUE if bare(x) else o.FALSE)


def same_tensor(x: ptr, record: ptr) -> i64:
    """Whether a tensor is of the recorded type, device and layout, no stale view, and wants gradients as recorded.

    The record: type, dtype, whether gradients are wanted, whether it has no attributes of the user's (with others it
    may have any), then that of `same_layout`.
    """
    if load_ptr(x, n.TYPE) != load_ptr(record, 0) or load_ptr(x, n.T_DTYPE) != load_ptr(record, 8):
        return 0
    if load_ptr(x, n.T_DEVICE) != o.CPU:
        return 0
    if load_ptr(x, n.T_PARENT) != o.NONE:
        written = c.PyLong_AsSsize_t(item(load_ptr(x, n.T_CELL), 0))
        if written != c.PyLong_AsSsize_t(load_ptr(x, n.T_STAMP)):
            return 0
    wanted = load_ptr(x, n.T_REQUIRES) != o.FALSE or load_ptr(x, n.T_NODE) != o.NONE
    if wanted != load_i64(record, 16):
        return 0
    if load_i64(record, 24) and not bare(x):
        return 0
    return same_layout(load_ptr(x, n.T_DATA), record + 32)


def unhooked(x: ptr) -> i64:
    """Whether nothing can be called when a gradient reaches this tensor."""
    node = load_ptr(x, n.T_NODE)
    return node == o.NONE or load_ptr(node, n.N_HOOKS) == o.NONE


def same_number(x: ptr, want: ptr) -> i64:
    """Whether a Python value is the expected one: the same object, float, int or str."""
    if x == want:
        return 1
    kind = load_ptr(want, n.TYPE)
    if load_ptr(x, n.TYPE) != kind:
        return 0
    if kind == o.FLOAT:
        return load_i64(x, n.F_VALUE) == load_i64(want, n.F_VALUE)
    if kind == o.INT or kind == o.STR:
        return c.PyObject_RichCompareBool(x, want, 2) == 1
    return 0


def found_at(kind: i64, holder: ptr, key: ptr) -> ptr:
    """What is at a place, borrowed; null where nothing is."""
    if kind == n.ENTRY:
        found = c.PyDict_GetItemWithError(holder, key)
        if found is None:
            c.PyErr_Clear()
        return found
    if kind == n.WORD:
        return load_ptr(holder, bits(key))
    if load_i64(holder, n.VAR_SIZE) > bits(key):  # an element of a list
        return load_ptr(load_ptr(holder, n.LIST_ITEMS), 8 * bits(key))
    return None


def as_expected(row: ptr) -> i64:
    """Whether a row's place holds what is expected, as far as identity tells."""
    kind = load_i64(row, 0)
    holder = load_ptr(row, 8)
    want = load_ptr(row, 24)
    key = load_i64(row, 16)
    if kind <= n.ITEM:
        return found_at(kind, holder, load_ptr(row, 16)) == want
    if kind >= n.TYPED:
        found = found_at(kind - n.TYPED, holder, load_ptr(row, 16))
        return found and load_ptr(found, n.TYPE) == want
    if kind == n.UNLESS:
        return load_ptr(holder, key) != want
    if kind == n.TENSOR:
        return same_tensor(holder, want)
    if kind == n.HOOKS:
        return unhooked(holder)
    if kind == n.BYTES:
        return same_layout(holder, want) and same_bytes(
            load_ptr(holder, n.A_DATA), pointer_after(want), key
        )
    if kind == n.CLASS:
        return class_attribute(holder, load_ptr(row, 16)) == want
    if kind == n.KEYS:
        return same_keys(holder, want)
    if kind == n.ATTRIBUTE:
        found = c.PyObject_GetAttr(holder, load_ptr(row, 16))
        if found is None:
            c.PyErr_Clear()
            return 0
        c.Py_DecRef(found)
        return found == want
    if kind == n.EMPTY:
        return c.PySet_Size(holder) == 0
    if kind == n.GIVES:
        return gives(load_ptr(row, 16), want)
    return 0


def gives(fn: ptr, want: ptr) -> i64:
    """Whether a function without arguments gives what is equal to an object."""
    found = c.PyObject_CallObject(fn, None)
    like = 0
    if found:
        like = c.PyObject_RichCompareBool(found, want, 2) == 1
        c.Py_DecRef(found)
    else:
        c.PyErr_Clear()
    return like


def class_attribute(kind: ptr, name: ptr) -> ptr:
    """The raw attribute of a class or its bases, borrowed."""
    return c._PyType_Lookup(kind, name)


def same_keys(holder: ptr, want: ptr) -> i64:
    """Whether the keys of a dict are those of a tuple, in order."""
    count = load_i64(want, n.VAR_SIZE)
    if c.PyDict_Size(holder) != count:
        return 0
    position = stack(8)
    key = stack(8)
    store_i64(position, 0, 0)
    for i in range(count):
        if not c.PyDict_Next(holder, position, key, None):
            return 0
        if load_ptr(key, 0) != load_ptr(want, n.ITEMS + 8 * i):
            return 0
    return 1


def pointer_after(record: ptr) -> ptr:
    """What follows the dims of a layout record."""
    return load_ptr(record, 16 + 8 * load_i64(record, 8))


def same_bytes(x: ptr, y: ptr, count: i64) -> i64:
    """Whether `count` bytes are alike."""
    words = count // 8
    for i in range(words):
        if load_i64(x, 8 * i) != load_i64(y, 8 * i):
            return 0
    for i in range(8 * words, count):
        if load_i8(x, i) != load_i8(y, i):
            return 0
    return 1


def holds(rows: ptr, count: i64) -> i64:
    """Whether all rows of a table hold: 1, or 2 where Python had to say so; 0, or -1 with an error set."""
    good = 1
    for i in range(count):
        row = rows + 40 * i
        if not as_expected(row):
            check = load_ptr(row, 32)
            if check is None:
                return 0
            given = stack(8)
            store_ptr(given, 0, check)
            said = c.PyObject_VectorcallMethod(o.S_HOLDS, given, 1, None)
            if said is None:
                return -1
            c.Py_DecRef(said)
            if said != o.TRUE:
                return 0
            good = 2
    return good


def tensors_hold(rows: ptr, count: i64) -> i64:
    """Whether the tensors in a table have the recorded memory, whatever Python says of them."""
    for i in range(count):
        row = rows + 40 * i
        if load_i64(row, 0) == n.TENSOR and not as_expected(row):
            return 0
    return 1


def rows_hold(self: ptr, words: ptr) -> ptr:
    """Whether all rows of a table hold; an array says where it is, and how many rows there are."""
    table = load_ptr(words, n.A_DATA)
    good = holds(load_ptr(table, 0), load_i64(table, 8))
    if good < 0:
        return None
    return held(o.TRUE if good else o.FALSE)

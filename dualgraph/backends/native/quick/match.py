"""Glue: whether a tape is like a template. What `sweeps.template.match` does in Python."""

from __future__ import annotations

from ..glue.capi import c, i64, load_i32, load_i64, load_ptr, n, o, ptr, stack, store_i64, store_ptr
from .objects import held, item, pair


def equal(x: ptr, y: ptr) -> i64:
    """Whether two objects are the same, or equal; -1 with an error set."""
    if x == y:
        return 1
    return c.PyObject_RichCompareBool(x, y, 2)


def exactly(x: ptr, y: ptr) -> i64:
    """Whether two numbers, strings or tuples are of one type and equal, floats to the bit; -1 with an error set."""
    if x == y:
        return 1
    if load_ptr(x, n.TYPE) != load_ptr(y, n.TYPE):
        return 0
    if load_ptr(x, n.TYPE) == o.FLOAT:
        return load_i64(x, n.F_VALUE) == load_i64(y, n.F_VALUE)
    return c.PyObject_RichCompareBool(x, y, 2)


def same_params(x: ptr, y: ptr) -> i64:
    """Whether two dicts have the same parameters in the same order; -1 with an error set."""
    if x == y:
        return 1
    if c.PyDict_Size(x) != c.PyDict_Size(y):
        return 0
    places = stack(16)
    store_i64(places, 0, 0)
    store_i64(places, 8, 0)
    found = stack(32)
    while c.PyDict_Next(x, places, found, found + 8):
        if not c.PyDict_Next(y, places + 8, found + 16, found + 24):
            return 0
        same = equal(load_ptr(found, 0), load_ptr(found, 16))
        if same > 0:
            same = exactly(load_ptr(found, 8), load_ptr(found, 24))
        if same <= 0:
            return same
    return 1


def same_edges(edges: ptr, expected: ptr, nodes: ptr) -> i64:
    """Whether operands come from the entries that they should; those that were not met before are noted."""
    count = load_i64(edges, n.VAR_SIZE)
    if count != load_i64(expected, n.VAR_SIZE):
        return 0
    for i in range(count):
        edge = load_ptr(edges, n.ITEMS + 8 * i)
        wanted = load_ptr(expected, n.ITEMS + 8 * i)
        if edge == o.NONE or wanted == o.NONE:
            if edge != wanted:
                return 0
        else:
            place = 8 * c.PyLong_AsSsize_t(load_ptr(wanted, n.ITEMS))
            node = load_ptr(edge, n.ITEMS)
            known = load_ptr(load_ptr(nodes, n.LIST_ITEMS), place)
            if known is None:
                store_ptr(load_ptr(nodes, n.LIST_ITEMS), place, held(node))
            elif known != node:
                return 0
            index = c.PyLong_AsSsize_t(load_ptr(edge, n.ITEMS + 8))
            if index != c.PyLong_AsSsize_t(load_ptr(wanted, n.ITEMS + 8)):
                return 0
    return 1


def note_array(array: ptr, place: i64, arrays: ptr, types: ptr) -> i64:
    """Notes an array that was saved; 0 where it is another than elsewhere on the tape, or has another shape."""
    known = item(arrays, place)
    if known:
        return known == array
    if load_ptr(array, n.TYPE) != o.NDARRAY:
        return 0
    shape = load_ptr(load_ptr(types, n.ITEMS + 8 * place), n.ITEMS + 8)
    ndim = load_i32(array, n.A_NDIM)
    if load_i64(shape, n.VAR_SIZE) != ndim:
        return 0
    for i in range(ndim):
        size = c.PyLong_AsSsize_t(load_ptr(shape, n.ITEMS + 8 * i))
        if load_i64(load_ptr(array, n.A_DIMS), 8 * i) != size:
            return 0
    store_ptr(load_ptr(arrays, n.LIST_ITEMS), 8 * place, held(array))
    return 1


def same_operand(kept: ptr, wanted: ptr, arrays: ptr, types: ptr) -> i64:
    """Whether what was saved of an operand is as it should be, and was not written since; -1 with an error set."""
    if wanted == o.NONE:
        return 1
    if load_ptr(wanted, n.TYPE) == o.TENSOR_TYPE:
        return equal(kept, wanted)
    if load_ptr(wanted, n.TYPE) != o.TUPLE:
        return exactly(kept, wanted)
    if load_ptr(kept, n.TYPE) != o.TUPLE:
        return 0
    t = load_ptr(kept, n.ITEMS)
    if load_ptr(t, n.TYPE) != o.TENSOR and not c.PyType_IsSubtype(load_ptr(t, n.TYPE), o.TENSOR):
        return 0
    cell = load_ptr(t, n.T_CELL)
    now = o.ZERO
    if cell != o.NONE:
        now = item(cell, 0)
    version = load_ptr(kept, n.ITEMS + 8)
    if now != version and c.PyLong_AsSsize_t(now) != c.PyLong_AsSsize_t(version):
        return 0
    place = c.PyLong_AsSsize_t(load_ptr(wanted, n.ITEMS))
    if load_ptr(t, n.T_DTYPE) != load_ptr(load_ptr(types, n.ITEMS + 8 * place), n.ITEMS):
        return 0
    return note_array(load_ptr(t, n.T_DATA), place, arrays, types)


def same_results(kept: ptr, wanted: ptr, arrays: ptr, types: ptr) -> i64:
    """Whether the results that were saved are as they should be, and were not written since."""
    if wanted == o.NONE:
        return 1
    if kept == o.NONE:
        return 0
    for i in range(load_i64(wanted, n.VAR_SIZE)):
        one = load_ptr(kept, n.ITEMS + 8 * i)
        now = item(load_ptr(one, n.ITEMS + 8), 0)
        version = load_ptr(one, n.ITEMS + 16)
        if now != version and c.PyLong_AsSsize_t(now) != c.PyLong_AsSsize_t(version):
            return 0
        place = c.PyLong_AsSsize_t(load_ptr(wanted, n.ITEMS + 8 * i))
        if not note_array(load_ptr(one, n.ITEMS), place, arrays, types):
            return 0
    return 1


def same_entry(entry: ptr, node: ptr, nodes: ptr, arrays: ptr, types: ptr) -> i64:
    """Whether an entry is as the template says, as far as it does not hang on others; -1 with an error set."""
    prim = load_ptr(entry, n.ITEMS)
    if load_ptr(node, n.N_PRIM) != prim or load_ptr(node, n.N_HOOKS) != o.NONE:
        return 0
    if load_ptr(node, n.N_RELEASED) != o.FALSE:
        return 0
    same = equal(load_ptr(node, n.N_OUTPUTS), load_ptr(entry, n.ITEMS + 16))
    if same <= 0 or prim == o.NONE:
        return same
    same = same_params(load_ptr(node, n.N_PARAMS), load_ptr(entry, n.ITEMS + 8))
    if same <= 0:
        return same
    if not same_edges(load_ptr(node, n.N_INPUTS), load_ptr(entry, n.ITEMS + 24), nodes):
        return 0
    saved = load_ptr(node, n.N_SAVED)
    kept = load_ptr(saved, n.ITEMS)
    wanted = load_ptr(entry, n.ITEMS + 32)
    for i in range(load_i64(wanted, n.VAR_SIZE)):
        one = load_ptr(kept, n.ITEMS + 8 * i)
        same = same_operand(one, load_ptr(wanted, n.ITEMS + 8 * i), arrays, types)
        if same <= 0:
            return same
    return same_results(load_ptr(saved, n.ITEMS + 8), load_ptr(entry, n.ITEMS + 40), arrays, types)


def same_tape(entries: ptr, types: ptr, nodes: ptr, arrays: ptr) -> i64:
    """Whether the tape behind the first of `nodes` is as the template says; -1 with an error set."""
    before = o.NONE
    for k in range(load_i64(entries, n.VAR_SIZE)):
        node = item(nodes, k)
        if node is None:
            return 0
        time = load_ptr(node, n.N_SEQ)
        if before != o.NONE:
            later = c.PyObject_RichCompareBool(before, time, 4)
            if later <= 0:
                return later
        before = time
        same = same_entry(load_ptr(entries, n.ITEMS + 8 * k), node, nodes, arrays, types)
        if same <= 0:
            return same
    return 1


def match_tape(self: ptr, args: ptr, count: i64) -> ptr:
    """``match(template, root)``: the entries of the tape behind `root` and the arrays that they saved, or None."""
    entries = load_ptr(load_ptr(args, 0), n.ITEMS)
    types = load_ptr(load_ptr(args, 0), n.ITEMS + 8)
    nodes = c.PyList_New(load_i64(entries, n.VAR_SIZE))
    arrays = c.PyList_New(load_i64(types, n.VAR_SIZE))
    same = -1
    if nodes and arrays:
        store_ptr(load_ptr(nodes, n.LIST_ITEMS), 0, held(load_ptr(args, 8)))
        same = same_tape(entries, types, nodes, arrays)
    if same > 0:
        return pair(nodes, arrays)
    c.Py_DecRef(nodes)
    c.Py_DecRef(arrays)
    return held(o.NONE) if same == 0 else None

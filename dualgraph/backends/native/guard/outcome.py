"""Glue: what a call leaves behind when its program has run - written tensors, results, gradients, and places.

As `jit.outcome` has it, in that order. `guard.outcome_words` writes the tables, and says what their words are.
"""

from __future__ import annotations

from ..glue.capi import (
    bits,
    c,
    i64,
    load_i32,
    load_i64,
    load_ptr,
    n,
    o,
    ptr,
    stack,
    store_ptr,
)
from ..quick.objects import copy_into, held
from ..quick.runs import drop
from ..quick.tape import count_write, new_tensor
from .places import put_at


def may_be_written(after: ptr, tensors: ptr) -> i64:
    """Whether the tensors that the call writes may be, and share no memory with others."""
    rows = load_ptr(after, n.L_APART)
    for i in range(load_i64(after, n.L_APART_COUNT)):
        row = rows + 32 * i
        x = load_ptr(load_ptr(tensors, 8 * load_i64(row, 0)), n.T_DATA)
        y = load_ptr(load_ptr(tensors, 8 * load_i64(row, 8)), n.T_DATA)
        first = bits(load_ptr(x, n.A_DATA))
        second = bits(load_ptr(y, n.A_DATA))
        if first < second + load_i64(row, 24) and second < first + load_i64(row, 16):
            return 0
    stores = load_ptr(after, n.L_STORES)
    for i in range(load_i64(after, n.L_STORE_COUNT)):
        target = load_ptr(load_ptr(tensors, 8 * load_i64(stores, 16 * i)), n.T_DATA)
        if not load_i32(target, n.A_FLAGS) & n.WRITEABLE:
            return 0
    return 1


def take_numbers(after: ptr, leaves: ptr) -> i64:
    """The leaves that are numbers in arrays which the next run writes; -1 with an error set."""
    row = load_ptr(after, n.L_LEAVES)
    for i in range(load_i64(after, n.L_LEAF_COUNT)):
        store_ptr(leaves, 8 * i, None)
    for i in range(load_i64(after, n.L_LEAF_COUNT)):
        if load_i64(row, 0) == n.TAKEN:
            given = stack(8)
            store_ptr(given, 0, load_ptr(row, 8))
            value = c.PyObject_VectorcallMethod(o.S_ITEM, given, 1, None)
            if value and load_ptr(row, 16):
                store_ptr(given, 0, value)
                taken = c.PyObject_VectorcallDict(load_ptr(row, 16), given, 1, None)
                c.Py_DecRef(value)
                value = taken
            if value is None:
                return -1
            store_ptr(leaves, 8 * i, value)
        row = row + 32
    return 0


def store_back(after: ptr, tensors: ptr) -> i64:
    """Sees to the tensors that the call writes; -1 with an error set."""
    stores = load_ptr(after, n.L_STORES)
    for i in range(load_i64(after, n.L_STORE_COUNT)):
        target = load_ptr(tensors, 8 * load_i64(stores, 16 * i))
        value = load_ptr(stores, 16 * i + 8)
        if value and copy_into(load_ptr(target, n.T_DATA), value) < 0:
            return -1
        if count_write(target) < 0:
            return -1
    return 0


def leaf(row: ptr, leaves: ptr, tensors: ptr, numbers: ptr, made: ptr) -> ptr:
    """One leaf of what the call gives, owned."""
    kind = load_i64(row, 0)
    if kind == n.MADE:
        return new_tensor(held(load_ptr(made, 8 * load_i64(row, 8))), load_ptr(row, 16))
    if kind == n.CONSTANT:
        return held(load_ptr(row, 8))
    if kind == n.SAME:
        return held(load_ptr(leaves, 8 * load_i64(row, 8)))
    if kind == n.GIVEN:
        return held(load_ptr(tensors, 8 * load_i64(row, 8)))
    if kind == n.COMPUTED:
        return held(load_ptr(numbers, n.ITEMS + 8 * load_i64(row, 8)))
    return held(load_ptr(made, 8 * load_i64(row, 8)))  # the array itself


def make_leaves(after: ptr, leaves: ptr, tensors: ptr, numbers: ptr, made: ptr) -> i64:
    """The other leaves; -1 with an error set."""
    row = load_ptr(after, n.L_LEAVES)
    for i in range(load_i64(after, n.L_LEAF_COUNT)):
        if load_i64(row, 0) != n.TAKEN:
            value = leaf(row, leaves, tensors, numbers, made)
            if value is None:
                return -1
            store_ptr(leaves, 8 * i, value)
            if load_ptr(row, 24):
                done = c.PyObject_VectorcallDict(load_ptr(row, 24), leaves + 8 * i, 1, None)
                if done is None:
                    return -1
                c.Py_DecRef(done)
        row = row + 32
    return 0


def container(kind: i64, parts: ptr, count: i64, data: ptr) -> ptr:
    """A container of parts, whose references it takes over; null with an error set."""
    made = None
    if kind == n.OF_TUPLE or kind == n.OF_LIST:
        made = c.PyTuple_New(count) if kind == n.OF_TUPLE else c.PyList_New(count)
        if made is None:
            drop(parts, count)
            return None
        items = made + n.ITEMS if kind == n.OF_TUPLE else load_ptr(made, n.LIST_ITEMS)
        for i in range(count):
            store_ptr(items, 8 * i, load_ptr(parts, 8 * i))
        return made
    if kind == n.OF_DICT:
        made = c.PyDict_New()
        for i in range(count):
            key = load_ptr(data, n.ITEMS + 8 * i)
            if made and c.PyDict_SetItem(made, key, load_ptr(parts, 8 * i)) < 0:
                c.Py_DecRef(made)
                made = None
    else:
        made = c.PyObject_VectorcallDict(data, parts, count, None)
    drop(parts, count)
    return made


def grown(tree: ptr, leaves: ptr) -> ptr:
    """A tree of leaves, owned: rows of three words, in the order in which it is built; null with an error set."""
    parts = stack(n.LEAF_ROOM)
    top = 0
    for i in range(load_i64(tree, 0)):
        row = tree + (8 + 24 * i)
        kind = load_i64(row, 0)
        count = load_i64(row, 8)
        value = None
        if kind == n.OF_LEAF:
            value = held(load_ptr(leaves, 8 * count))
        else:
            top = top - count
            value = container(kind, parts + 8 * top, count, load_ptr(row, 16))
            if value is None:
                drop(parts, top)
                return None
        store_ptr(parts, 8 * top, value)
        top = top + 1
    return load_ptr(parts, 0)


def put_results(after: ptr, leaves: ptr) -> i64:
    """Puts results at places; what was there lives until all are put. -1 with an error set."""
    moves = load_ptr(after, n.L_MOVES)
    count = load_i64(after, n.L_MOVE_COUNT)
    values = stack(n.LEAF_ROOM)
    done = 0
    for i in range(count):
        value = grown(load_ptr(moves, 32 * i + 24), leaves)
        if value is None:
            drop(values, i)
            return -1
        store_ptr(values, 8 * i, value)
    for i in range(count):
        value = load_ptr(values, 8 * i)
        row = moves + 32 * i
        before = put_at(load_i64(row, 0), load_ptr(row, 8), load_ptr(row, 16), value)
        c.Py_DecRef(value)
        store_ptr(values, 8 * i, before)
        if before is None:
            done = -1
    drop(values, count)
    return done


def put_gradients(after: ptr, leaves: ptr, tensors: ptr) -> None:
    """Gives tensors their gradients."""
    rows = load_ptr(after, n.L_GRADS)
    for i in range(load_i64(after, n.L_GRAD_COUNT)):
        owner = load_ptr(tensors, 8 * load_i64(rows, 16 * i))
        which = load_i64(rows, 16 * i + 8)
        before = load_ptr(owner, n.T_GRAD)
        value = o.NONE
        if which >= 0:
            value = load_ptr(leaves, 8 * which)
        store_ptr(owner, n.T_GRAD, held(value))
        c.Py_DecRef(before)


def leave(after: ptr, tensors: ptr, numbers: ptr, made: ptr) -> ptr:
    """Sees to all that a call leaves behind, and gives its result; null with an error set."""
    leaves = stack(n.LEAF_ROOM)
    count = load_i64(after, n.L_LEAF_COUNT)
    out = None
    good = take_numbers(after, leaves)
    if good == 0:
        good = store_back(after, tensors)
    if good == 0:
        good = make_leaves(after, leaves, tensors, numbers, made)
    if good == 0:
        out = grown(load_ptr(after, n.L_TREE), leaves)
    if out:
        put_gradients(after, leaves, tensors)
        good = put_results(after, leaves)
        if good == 0 and load_ptr(after, n.L_EFFECT):
            out = perform(after, leaves, out)
    if good < 0:
        c.Py_DecRef(out)
        out = None
    drop(leaves, count)
    return out


def perform(after: ptr, leaves: ptr, result: ptr) -> ptr:
    """Runs the statements that stand at the end of the call, which may give another result; takes `result` over."""
    first = load_i64(after, n.L_EFFECT_FIRST)
    given = stack(n.LEAF_ROOM)
    store_ptr(given, 0, result)
    count = load_i64(after, n.L_EFFECT_COUNT)
    for i in range(count):
        store_ptr(given, 8 * (i + 1), load_ptr(leaves, 8 * (first + i)))
    out = c.PyObject_VectorcallDict(load_ptr(after, n.L_EFFECT), given, count + 1, None)
    c.Py_DecRef(result)
    return out

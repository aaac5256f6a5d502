"""Glue: places in Python state whose tensors a program takes, and where a call puts its results.

A place is three words: kind, holder, key. What lies there is told by its form, rows of three words in the order in
which trees are walked: TENSOR (its record; which of those met before it is, -1 for none of them), NUMBER (the object),
or a container (its type, how many parts it has).
`guard.outcome_words` writes both.
"""

from __future__ import annotations

from ..glue.capi import bits, c, i64, load_i64, load_ptr, n, o, ptr, stack, store_i64, store_ptr
from ..quick.objects import held
from .rows import found_at, same_keys, same_number, same_tensor


def put_at(kind: i64, holder: ptr, key: ptr, value: ptr) -> ptr:
    """Puts an object at a place, and gives what was there, owned (None: nothing); null with an error set."""
    before = found_at(kind, holder, key)
    before = held(before if before else o.NONE)
    if kind == n.ENTRY:
        if c.PyDict_SetItem(holder, key, value) < 0:
            c.Py_DecRef(before)
            return None
        return before
    at = bits(key)
    if kind == n.ITEM:
        if at >= load_i64(holder, n.VAR_SIZE):
            c.Py_DecRef(before)
            c.PyErr_SetString(o.INDEX_ERROR, o.GONE)
            return None
        holder = load_ptr(holder, n.LIST_ITEMS)
        at = 8 * at
    old = load_ptr(holder, at)
    store_ptr(holder, at, held(value))
    c.Py_DecRef(old)  # `before` keeps it
    return before


def like_form(x: ptr, cursor: ptr) -> i64:
    """Whether an object has the form that `cursor` points to; it goes on to the next one, and its tensors are noted
    where they were not met before."""
    row = load_ptr(cursor, 0)
    store_ptr(cursor, 0, row + 24)
    kind = load_i64(row, 0)
    want = load_ptr(row, 8)
    if kind == n.NUMBER:
        return same_number(x, want)
    if kind == n.TENSOR:
        again = load_i64(row, 16)
        if again >= 0:
            return x == load_ptr(load_ptr(cursor, 16), 8 * again)
        to = load_ptr(cursor, 8)
        store_ptr(to, 0, x)
        store_ptr(cursor, 8, to + 8)
        return same_tensor(x, want)
    if kind == n.KEYS:
        if load_ptr(x, n.TYPE) != o.DICT or not same_keys(x, want):
            return 0
        position = stack(8)
        value = stack(8)
        store_i64(position, 0, 0)
        while c.PyDict_Next(x, position, None, value):
            if not like_form(load_ptr(value, 0), cursor):
                return 0
        return 1
    count = load_i64(row, 16)
    if load_ptr(x, n.TYPE) != want or load_i64(x, n.VAR_SIZE) != count:
        return 0
    parts = load_ptr(x, n.LIST_ITEMS) if want == o.LIST else x + n.ITEMS
    for i in range(count):
        if not like_form(load_ptr(parts, 8 * i), cursor):
            return 0
    return 1


def found_places(record: ptr, args: ptr, count: i64, found: ptr) -> i64:
    """Whether places hold what they should, each tensor another one than all else but where it was one; writes the
    tensors, borrowed."""
    places = load_ptr(record, n.H_PLACES)
    cursor = stack(24)
    store_ptr(cursor, 8, found)
    store_ptr(cursor, 16, found)
    for i in range(load_i64(record, n.H_PLACE_COUNT)):
        place = places + 32 * i
        x = found_at(load_i64(place, 0), load_ptr(place, 8), load_ptr(place, 16))
        store_ptr(cursor, 0, load_ptr(place, 24))
        if x is None or not like_form(x, cursor):
            return 0
    strangers = load_ptr(record, n.H_TENSORS)
    for i in range(load_i64(record, n.H_FOUND_COUNT)):
        x = load_ptr(found, 8 * i)
        for j in range(count):
            if load_ptr(args, 8 * j) == x:
                return 0
        for j in range(i):
            if load_ptr(found, 8 * j) == x:
                return 0
        for j in range(load_i64(record, n.H_TENSOR_COUNT)):
            if load_ptr(strangers, 8 * j) == x:
                return 0
    return 1

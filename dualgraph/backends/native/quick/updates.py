"""Glue: updates, functions that only write some of their tensors, by one program each. `updating` makes these."""

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
    store_i64,
    store_ptr,
)
from .apply import operand_code, size_of, tape_switch
from .composites import show
from .data import run_aligned
from .keys import counted, known, put_operand
from .objects import held, item
from .place import user_place
from .tape import count_write


def update_key(how: ptr, tensors: ptr) -> ptr:
    """What programs of updates are found by; o.DECLINE, borrowed, where they have none; null with an error set."""
    count = load_i64(tensors, n.VAR_SIZE)
    if count > n.MOST_OPERANDS:
        return o.DECLINE
    for i in range(count):
        x = item(tensors, i)
        if operand_code(x) < 4 or (load_i32(load_ptr(x, n.T_DATA), n.A_FLAGS) & n.PLAIN) != n.PLAIN:
            return o.DECLINE
    key = c.PyTuple_New(1 + 2 * count)
    if key is None:
        return None
    store_ptr(key, n.ITEMS, held(how))
    for i in range(count):
        if not put_operand(key, n.ITEMS + 8 + 16 * i, item(tensors, i), 0):
            c.Py_DecRef(key)
            return None
    return key


def writes_apart(writes: i64, tensors: ptr) -> i64:
    """Whether the tensors that are written may be, and share no memory with others."""
    count = load_i64(tensors, n.VAR_SIZE)
    begins = stack(n.OPERAND_ROOM)
    ends = stack(n.OPERAND_ROOM)
    for i in range(count):
        x = item(tensors, i)
        array = load_ptr(x, n.T_DATA)
        if (writes >> i) & 1:
            if load_ptr(x, n.T_PARENT) != o.NONE or not load_i32(array, n.A_FLAGS) & n.WRITEABLE:
                return 0
        begin = bits(load_ptr(array, n.A_DATA))
        size = size_of(array) * c.PyLong_AsSsize_t(load_ptr(load_ptr(x, n.T_DTYPE), n.D_ITEMSIZE))
        store_i64(begins, 8 * i, begin)
        store_i64(ends, 8 * i, begin + size)
    for i in range(count):
        if (writes >> i) & 1:
            begin = load_i64(begins, 8 * i)
            end = load_i64(ends, 8 * i)
            for j in range(count):
                if load_i64(begins, 8 * j) < end and begin < load_i64(ends, 8 * j) and i != j:
                    return 0
    return 1


def note_writes(writes: i64, tensors: ptr) -> i64:
    """Counts writes to tensors, and notes the user's line; -1 with an error set."""
    place = user_place()
    if place is None:
        return -1
    good = 0
    for i in range(load_i64(tensors, n.VAR_SIZE)):
        if (writes >> i) & 1 and good == 0:
            good = count_write(item(tensors, i))
            if good == 0:
                cell = load_ptr(load_ptr(item(tensors, i), n.T_CELL), n.LIST_ITEMS)
                before = load_ptr(cell, 8)
                store_ptr(cell, 8, held(place))
                c.Py_DecRef(before)
    c.Py_DecRef(place)
    return good


def run_update(block: ptr, tensors: ptr) -> i64:
    """Runs an update by its program; 0 where that cannot be, -1 with an error set."""
    writes = load_i64(block, n.RECIPE_WRITES)
    if not writes_apart(writes, tensors):
        return 0
    count = load_i64(tensors, n.VAR_SIZE)
    done = run_aligned(block, load_ptr(tensors, n.LIST_ITEMS), count, stack(8))
    if done is None:
        return -1
    if done == o.DECLINE:
        return 0
    return -1 if note_writes(writes, tensors) < 0 else 1


def find_update(args: ptr, key: ptr) -> i64:
    """Runs an update by the program that is found by a key; 0 where there is none, -1 with an error set."""
    recipe = known(o.UPDATES, key)
    if recipe == o.DECLINE:
        return 0
    calls = 0
    if recipe:
        block = load_ptr(recipe, n.BLOCK)
        if load_i64(block, n.RECIPE_KIND) == n.PROGRAM:
            c.Py_IncRef(recipe)
            done = run_update(block, load_ptr(args, 16))
            c.Py_DecRef(recipe)
            return done
        calls = counted(block)
    if calls == 0 or calls == n.HOT:
        return show(o.NOTICE_UPDATE, load_ptr(args, 0), key, load_ptr(args, 8), load_ptr(args, 16))
    return 0


def serve_update(self: ptr, args: ptr, count: i64) -> ptr:
    """``update(fn, how, tensors)``: whether a program has run ``fn(how, *tensors)``; `tensors` is a list."""
    if tape_switch() != 0:  # it would show on the tape, or a capture runs
        return held(o.FALSE)
    key = update_key(load_ptr(args, 8), load_ptr(args, 16))
    if key is None:
        return None
    if key == o.DECLINE:
        return held(o.FALSE)
    done = find_update(args, key)
    c.Py_DecRef(key)
    if done < 0:
        return None
    return held(o.TRUE) if done else held(o.FALSE)

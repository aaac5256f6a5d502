"""Glue: references, tuples and lists."""

from __future__ import annotations

from ..glue.capi import c, i64, load_i8, load_ptr, n, ptr, store_ptr


def held(x: ptr) -> ptr:
    """The same object, owned."""
    c.Py_IncRef(x)
    return x


def pair(x: ptr, y: ptr) -> ptr:
    """``(x, y)``, which takes both references over; null, and both dropped, where one of them is null."""
    made = c.PyTuple_New(2) if x and y else None
    if made is None:
        c.Py_DecRef(x)
        c.Py_DecRef(y)
        return None
    store_ptr(made, n.ITEMS, x)
    store_ptr(made, n.ITEMS + 8, y)
    return made


def single_tuple(x: ptr) -> ptr:
    """``(x,)``, which takes the reference over."""
    made = c.PyTuple_New(1) if x else None
    if made is None:
        c.Py_DecRef(x)
        return None
    store_ptr(made, n.ITEMS, x)
    return made


def item(x: ptr, i: i64) -> ptr:
    """Item of a list, borrowed."""
    return load_ptr(load_ptr(x, n.LIST_ITEMS), 8 * i)


def tuple_of(items: ptr, count: i64) -> ptr:
    """A new tuple of objects."""
    made = c.PyTuple_New(count)
    if made:
        for i in range(count):
            store_ptr(made, n.ITEMS + 8 * i, held(load_ptr(items, 8 * i)))
    return made


def copy_into(to: ptr, of: ptr) -> i64:
    """Puts the elements of an array into another one; -1 with an error set. NumPy gives up the interpreter's lock
    meanwhile, so other threads may exchange those of tensors."""
    c.Py_IncRef(to)
    c.Py_IncRef(of)
    done = c.PyArray_CopyInto(to, of)
    c.Py_DecRef(of)
    c.Py_DecRef(to)
    return done


def hold(plan: ptr, arrays: ptr, count: i64, more: ptr) -> None:
    """Keeps the arrays that a plan takes, and one `more`, from now on: while the interpreter's lock is given up, other
    threads may exchange those of tensors."""
    c.Py_IncRef(more)
    for i in range(count):
        if not load_i8(plan, n.PLAN_NUMBERS + i):
            c.Py_IncRef(load_ptr(arrays, 8 * i))


def let_go(plan: ptr, arrays: ptr, count: i64, more: ptr) -> None:
    """Until here."""
    c.Py_DecRef(more)
    for i in range(count):
        if not load_i8(plan, n.PLAN_NUMBERS + i):
            c.Py_DecRef(load_ptr(arrays, 8 * i))

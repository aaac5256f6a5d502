"""Glue: whether a call gives its arguments as the recorded one did, and the leaves of containers among them.

`guard.given_words` writes the tables.
"""

from __future__ import annotations

from ..glue.capi import (
    c,
    i64,
    load_i64,
    load_ptr,
    n,
    o,
    ptr,
    stack,
    store_i64,
    store_ptr,
)
from ..quick.objects import tuple_of
from .rows import same_keys


def same_names(names: ptr, want: ptr) -> i64:
    """Whether keywords are those expected, in order; without any there is no tuple."""
    if names is None or want is None:
        return names == want
    count = load_i64(names, n.VAR_SIZE)
    if count != load_i64(want, n.VAR_SIZE):
        return 0
    for i in range(count):
        if load_ptr(names, n.ITEMS + 8 * i) != load_ptr(want, n.ITEMS + 8 * i):
            return 0
    return 1


def opened(record: ptr, args: ptr, count: i64) -> ptr:
    """A new tuple of the leaves of arguments, if containers are like those recorded; else o.DECLINE.

    A container: its place, class, layout, keys, and how many it holds, which take the next places.
    """
    places = stack(n.GIVEN_ROOM)
    for i in range(count):
        store_ptr(places, 8 * i, load_ptr(args, 8 * i))
    used = count
    row = load_ptr(record, n.H_CONTAINERS)
    for _ in range(load_i64(record, n.H_CONTAINER_COUNT)):
        x = load_ptr(places, 8 * load_i64(row, 0))
        if load_ptr(x, n.TYPE) != load_ptr(row, 8):
            return o.DECLINE
        size = load_i64(row, 32)
        if load_i64(row, 16) == n.OF_DICT:
            if not same_keys(x, load_ptr(row, 24)):
                return o.DECLINE
            values_of(x, places + 8 * used, size)
        else:
            if load_i64(x, n.VAR_SIZE) != size:
                return o.DECLINE
            items = x + n.ITEMS
            if load_i64(row, 16) == n.OF_LIST:
                items = load_ptr(x, n.LIST_ITEMS)
            for i in range(size):
                store_ptr(places, 8 * (used + i), load_ptr(items, 8 * i))
        used = used + size
        row = row + 40
    order = load_ptr(record, n.H_ORDER)
    for i in range(load_i64(record, n.H_COUNT)):
        leaf = load_ptr(places, 8 * load_i64(order, 8 * i))
        store_ptr(places, 8 * (used + i), leaf)
    return tuple_of(places + 8 * used, load_i64(record, n.H_COUNT))


def values_of(x: ptr, to: ptr, count: i64) -> None:
    """Writes the values of a dict, which has so many, in order."""
    position = stack(8)
    value = stack(8)
    store_i64(position, 0, 0)
    for i in range(count):
        c.PyDict_Next(x, position, None, value)
        store_ptr(to, 8 * i, load_ptr(value, 0))

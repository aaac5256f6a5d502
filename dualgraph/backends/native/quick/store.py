"""Glue: values and results of elementwise ops written into the memory of tensors that nobody has to be told of."""

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
    ptr,
    stack,
    store_i8,
    store_i64,
    store_ptr,
)
from .apply import (
    fill,
    lay_out,
    missing,
    operand_code,
    plan_for,
    same_shape,
    single_elements,
    size_of,
    tape_switch,
    tracked,
)
from .objects import copy_into, held
from .place import user_place
from .tape import count_write, outdated, version_cell


def copy_bytes(target: ptr, source: ptr, size: i64) -> None:
    """Copies bytes between places that do not overlap."""
    for i in range(size // 8):
        store_i64(target, 8 * i, load_i64(source, 8 * i))
    for i in range(size // 8 * 8, size):
        store_i8(target, i, load_i8(source, i))


def written(t: ptr) -> i64:
    """Counts a write to the memory of a tensor, and notes the user's line; -1 with an error set."""
    cell = version_cell(t)
    place = user_place() if cell else None
    if place is None:
        return -1
    items = load_ptr(cell, n.LIST_ITEMS)
    before = load_ptr(items, 8)
    store_ptr(items, 8, place)
    c.Py_DecRef(before)
    return count_write(t)


def wanted(t: ptr) -> i64:
    """Whether a gradient may be wanted of a tensor, or of one that it is a view of."""
    while 1:
        if load_ptr(t, n.T_NODE) != o.NONE or load_ptr(t, n.T_REQUIRES) != o.FALSE:
            return 1
        parent = load_ptr(t, n.T_PARENT)
        if parent == o.NONE:
            return 0
        t = load_ptr(parent, n.ITEMS)
    return 1


def store_part(t: ptr, new: ptr) -> ptr:
    """`store` for a view, by NumPy: it may lie in any way, but not in the same place twice."""
    if outdated(t) and wanted(t):  # its history is to be settled before its memory changes
        return held(o.FALSE)
    to = load_ptr(t, n.T_DATA)
    of = load_ptr(new, n.T_DATA)
    if not load_i32(to, n.A_FLAGS) & n.WRITEABLE or not same_shape(to, of):
        return held(o.FALSE)
    if size_of(to) > n.LONG:
        return held(o.FALSE)
    for i in range(load_i32(to, n.A_NDIM)):
        if load_i64(load_ptr(to, n.A_STRIDES), 8 * i) == 0:
            return held(o.FALSE)
    if copy_into(to, of) < 0 or written(t) < 0:
        return None
    return held(o.TRUE)


def store(self: ptr, args: ptr, count: i64) -> ptr:
    """``store(t, new)``: True if new values, of the type of t, were written into its memory; False leaves it alone."""
    t = load_ptr(args, 0)
    new = load_ptr(args, 8)
    code = operand_code(t)
    if code < 4 or operand_code(new) != code:
        return held(o.FALSE)
    tape = tape_switch()
    if tape < 0 or (tape and (wanted(t) or tracked(args + 8, 1))):
        return held(o.FALSE)
    if load_ptr(t, n.T_PARENT) != o.NONE:
        return store_part(t, new)
    to = load_ptr(t, n.T_DATA)
    of = load_ptr(new, n.T_DATA)
    writeable = n.PLAIN | n.WRITEABLE
    if (load_i32(to, n.A_FLAGS) & writeable) != writeable or not same_shape(to, of):
        return held(o.FALSE)
    if (load_i32(of, n.A_FLAGS) & n.PLAIN) != n.PLAIN:
        return held(o.FALSE)
    if size_of(to) > n.LONG:  # for several threads
        return held(o.FALSE)
    size = size_of(to) * c.PyLong_AsSsize_t(load_ptr(load_ptr(t, n.T_DTYPE), n.D_ITEMSIZE))
    target = load_ptr(to, n.A_DATA)
    source = load_ptr(of, n.A_DATA)
    if target != source:
        apart = bits(target) - bits(source)
        if apart < size and apart > 0 - size:
            return held(o.FALSE)
        copy_bytes(target, source, size)
    if written(t) < 0:
        return None
    return held(o.TRUE)


def apart(plan: ptr, arrays: ptr, count: i64, to: ptr, mask: i64, size: i64) -> i64:
    """Whether no operand has memory of `to` but at the places of its own elements."""
    begin = bits(load_ptr(to, n.A_DATA))
    end = begin + size * load_i64(plan, n.PLAN_ITEMSIZE)
    for i in range(count):
        first = bits(load_ptr(load_ptr(arrays, 8 * i), n.A_DATA))
        each = load_i64(plan, n.PLAN_ITEMSIZES + 8 * i)
        alone = (mask >> i) & 1
        last = first + (each if alone else size * each)
        same = first == begin and not alone and each == load_i64(plan, n.PLAN_ITEMSIZE)
        if not same and first < end and begin < last:
            return 0
    return 1


def overwrite(self: ptr, args: ptr, count: i64) -> ptr:
    """``overwrite(op, t, ...)``: True if t has become the op's result for the operands; False leaves it alone.

    The result has the type of t, which may be one of the operands.
    """
    t = load_ptr(args, 8)
    operands = args + 16
    count = count - 2
    plan = plan_for(load_ptr(args, 0), operands, count)
    if plan is None or load_i8(plan, n.PLAN_CASTS) or operand_code(t) < 4:
        return held(o.FALSE)
    tape = tape_switch()
    if tape < 0 or (tape and (tracked(args + 8, 1) or tracked(operands, count))):
        return held(o.FALSE)
    to = load_ptr(t, n.T_DATA)
    writeable = n.PLAIN | n.WRITEABLE
    if load_ptr(t, n.T_PARENT) != o.NONE or (load_i32(to, n.A_FLAGS) & writeable) != writeable:
        return held(o.FALSE)
    arrays = stack(24)
    widest = lay_out(plan, operands, count, arrays, stack(96))
    if widest is None or not same_shape(widest, to):
        return held(o.FALSE)
    if load_ptr(plan, n.PLAN_DTYPE) != load_ptr(t, n.T_DTYPE):
        return held(o.FALSE)
    mask = single_elements(plan, arrays, count, widest)
    size = size_of(to)
    if mask < 0 or size > load_i64(plan, n.PLAN_LIMIT):
        return held(o.FALSE)
    if not apart(plan, arrays, count, to, mask, size):
        return held(o.FALSE)
    kernel = load_ptr(plan, n.PLAN_KERNELS + 8 * mask)
    if kernel is None:
        if load_i8(plan, n.PLAN_NATIVE) and missing(plan, mask) is None:
            return None
        return held(o.FALSE)
    fill(plan, kernel, arrays, count, to, size)
    if written(t) < 0:
        return None
    return held(o.TRUE)

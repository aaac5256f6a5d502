"""Glue: kernels over operands that broadcast, or of which only the last axes lie row by row.

A kernel takes operands that lie row by row, or are one element. The last axes on which every operand is either are one
turn of it; the axes before them are counted here.
"""

from __future__ import annotations

from ..glue.capi import (
    c,
    call_void,
    i64,
    load_i8,
    load_i32,
    load_i64,
    load_ptr,
    n,
    ptr,
    stack,
    store_i64,
    store_ptr,
)
from .memory import new_array
from .objects import hold, let_go


def broadcast_dims(plan: ptr, arrays: ptr, count: i64, dims: ptr) -> i64:
    """Writes the common shape of the operands to `dims`; the number of axes, or -1 where there is none."""
    ndim = 0
    for i in range(count):
        if not load_i8(plan, n.PLAN_NUMBERS + i):
            array = load_ptr(arrays, 8 * i)
            if load_i32(array, n.A_NDIM) > ndim:
                ndim = load_i32(array, n.A_NDIM)
            if not load_i32(array, n.A_FLAGS) & n.ALIGNED:
                return -1
    if ndim > n.AXES:
        return -1
    for axis in range(ndim):
        size = 1
        for i in range(count):
            if not load_i8(plan, n.PLAN_NUMBERS + i):
                own = size_at(load_ptr(arrays, 8 * i), ndim, axis)
                if own != 1 and size != 1 and own != size:
                    return -1
                size = own if own != 1 else size
        store_i64(dims, 8 * axis, size)
    return ndim


def size_at(array: ptr, ndim: i64, axis: i64) -> i64:
    """The length of an array along an axis of the result, which has `ndim` axes."""
    own = axis - ndim + load_i32(array, n.A_NDIM)
    return load_i64(load_ptr(array, n.A_DIMS), 8 * own) if own >= 0 else 1


def stride_at(array: ptr, ndim: i64, axis: i64) -> i64:
    """The bytes from one element to the next along an axis of the result: 0 where there is but one."""
    if size_at(array, ndim, axis) == 1:
        return 0
    own = axis - ndim + load_i32(array, n.A_NDIM)
    return load_i64(load_ptr(array, n.A_STRIDES), 8 * own)


def turn_of(plan: ptr, strides: ptr, count: i64, ndim: i64, dims: ptr, found: ptr) -> i64:
    """The elements of one turn. Writes to `found` the number of axes before it, and the operands that are single."""
    size = 1
    singles = 0
    axis = ndim
    while axis > 0:
        length = load_i64(dims, 8 * (axis - 1))
        mask = 0
        if length != 1:
            fits = 1
            for i in range(count):
                stride = load_i64(strides, 8 * (n.AXES * i + axis - 1))
                if load_i8(plan, n.PLAN_NUMBERS + i) or stride == 0:
                    mask = mask | (1 << i)
                elif stride != size * load_i64(plan, n.PLAN_ITEMSIZES + 8 * i):
                    fits = 0
            if not fits or (size != 1 and mask != singles):
                break
            singles = mask
            size = size * length
        axis -= 1
    store_i64(found, 0, axis)
    store_i64(found, 8, singles)
    return size


def run_turns(
    kernel: ptr, places: ptr, strides: ptr, count: i64, dims: ptr, axes: i64, size: i64, total: i64
) -> None:
    """Calls a kernel for each turn. `places` are like arrays: the operands, then the result's, whose stride is last."""
    turns = stack(64)
    for axis in range(axes):
        store_i64(turns, 8 * axis, 0)
    x = places
    y = places + 32
    z = places + 64
    out = places + 96
    step = load_i64(strides, 8 * n.AXES * 3) * size
    for _ in range(total // size):
        if count == 1:
            call_void(kernel, x, out, 0, size)
        elif count == 2:
            call_void(kernel, x, y, out, 0, size)
        else:
            call_void(kernel, x, y, z, out, 0, size)
        store_ptr(out, n.A_DATA, load_ptr(out, n.A_DATA) + step)
        axis = axes - 1
        while axis >= 0:
            turn = load_i64(turns, 8 * axis) + 1
            more = turn < load_i64(dims, 8 * axis)
            store_i64(turns, 8 * axis, turn if more else 0)
            ahead = 1 if more else 1 - load_i64(dims, 8 * axis)
            for i in range(count):
                place = places + 32 * i
                moved = ahead * load_i64(strides, 8 * (n.AXES * i + axis))
                store_ptr(place, n.A_DATA, load_ptr(place, n.A_DATA) + moved)
            if more:
                break
            axis -= 1


def spread(plan: ptr, arrays: ptr, count: i64, missing: ptr) -> ptr:
    """A new array filled by a kernel turn by turn; null, without an error, where that is not the way.

    What kernel was missing is written to `missing`, else -1.
    """
    store_i64(missing, 0, -1)
    dims = stack(64)
    # for each operand those of all axes; the last one is the bytes of an element of the result
    strides = stack(200)
    found = stack(16)
    places = stack(128)
    ndim = broadcast_dims(plan, arrays, count, dims)
    if ndim < 0:
        return None
    total = 1
    for axis in range(ndim):
        total = total * load_i64(dims, 8 * axis)
    for i in range(count):
        number = load_i8(plan, n.PLAN_NUMBERS + i)
        array = load_ptr(arrays, 8 * i)
        store_ptr(places + 32 * i, n.A_DATA, load_ptr(array, n.A_DATA))
        for axis in range(ndim):
            stride = 0 if number else stride_at(array, ndim, axis)
            store_i64(strides, 8 * (n.AXES * i + axis), stride)
    size = turn_of(plan, strides, count, ndim, dims, found)
    if total == 0 or total > load_i64(plan, n.PLAN_LIMIT) or (size < 4 and total > 64):
        return None
    singles = load_i64(found, 8)
    kernel = load_ptr(plan, n.PLAN_KERNELS + 8 * singles)
    if kernel is None:
        store_i64(missing, 0, singles)
        return None
    itemsize = load_i64(plan, n.PLAN_ITEMSIZE)
    out = new_array(load_ptr(plan, n.PLAN_DESCR), ndim, dims, total * itemsize)
    if out is None:
        c.PyErr_Clear()
        return None
    store_ptr(places, 96 + n.A_DATA, load_ptr(out, n.A_DATA))
    store_i64(strides, 8 * n.AXES * 3, itemsize)
    thread = None
    if total > n.LONG:
        hold(plan, arrays, count, out)
        thread = c.PyEval_SaveThread()
    run_turns(kernel, places, strides, count, dims, load_i64(found, 0), size, total)
    if thread:
        c.PyEval_RestoreThread(thread)
        let_go(plan, arrays, count, out)
    return out

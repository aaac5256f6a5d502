"""Glue: ``x[key]`` for keys of whole numbers, rising slices, None and Ellipsis: the views of `eager.indexing.getitem`.

A slice of all axes, and where numbers drop axes or None adds some, a reshape of it. Other keys are Python's.
What is known of a view lies in words of memory, ``n.V_...``; `install.VIEW_WORDS` says which.
"""

from __future__ import annotations

from ..glue.capi import (
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
from .apply import operand_code, tape_switch, tracked
from .follow import become_view
from .objects import held
from .tape import new_tensor, record


def getitem(self: ptr, key: ptr) -> ptr:
    """``self[key]``."""
    tape = tape_switch()
    if tape >= 0 and operand_code(self) >= 4:
        done = part_of(self, key, tape)
        if done != o.DECLINE:
            return done
    given = stack(16)
    store_ptr(given, 0, self)
    store_ptr(given, 8, key)
    return c.PyObject_VectorcallDict(o.PYTHON__getitem__, given, 2, None)


def consumed(keys: ptr, count: i64) -> i64:
    """How many axes keys are about; -1 where they are not all numbers, slices, None and at most one Ellipsis."""
    axes = 0
    dots = 0
    for i in range(count):
        k = load_ptr(keys, 8 * i)
        kind = load_ptr(k, n.TYPE)
        if kind == o.INT or kind == o.SLICE:
            axes += 1
        elif k == o.ELLIPSIS:
            dots += 1
        elif k != o.NONE:
            return -1
    return -1 if dots > 1 else axes


def plain_bound(x: ptr) -> i64:
    """Whether a bound of a slice is a whole number or None."""
    return x == o.NONE or load_ptr(x, n.TYPE) == o.INT


def read_range(k: ptr, length: i64, found: ptr) -> i64:
    """Writes start, stop, step and number of elements of a key of one axis; 0 where Python is to see to it."""
    if load_ptr(k, n.TYPE) == o.INT:
        at = c.PyLong_AsSsize_t(k)
        if at == -1 and c.PyErr_Occurred():
            c.PyErr_Clear()
            return 0
        if at < 0:
            at = at + length
        if at < 0 or at >= length:
            return 0
        store_i64(found, 0, at)
        store_i64(found, 8, at + 1)
        store_i64(found, 16, 1)
        store_i64(found, 24, 1)
        return 1
    for i in range(3):
        if not plain_bound(load_ptr(k, n.BLOCK + 8 * i)):
            return 0
    if c.PySlice_Unpack(k, found, found + 8, found + 16) < 0:
        c.PyErr_Clear()
        return 0
    if load_i64(found, 16) < 1:
        return 0
    count = c.PySlice_AdjustIndices(length, found, found + 8, load_i64(found, 16))
    store_i64(found, 24, count)
    return count > 0


def numbers_of(words: ptr, count: i64) -> ptr:
    """A tuple of words."""
    made = c.PyTuple_New(count)
    if made is None:
        return None
    for i in range(count):
        store_ptr(made, n.ITEMS + 8 * i, c.PyLong_FromSsize_t(load_i64(words, 8 * i)))
    return made


def put_numbers(params: ptr, name: ptr, words: ptr, count: i64) -> i64:
    """``params[name] = (words ...)``; -1 with an error set."""
    made = numbers_of(words, count)
    if made is None:
        return -1
    done = c.PyDict_SetItem(params, name, made)
    c.Py_DecRef(made)
    return done


def view_of(
    x: ptr, prim: ptr, params: ptr, ndim: i64, dims: ptr, strides: ptr, offset: i64, tape: i64
) -> ptr:
    """The tensor that is a view of x, made by an op whose gradient reads no values; takes over `params`."""
    array = load_ptr(x, n.T_DATA)
    writeable = load_i32(array, n.A_FLAGS) & n.WRITEABLE
    descr = held(load_ptr(array, n.A_DESCR))
    at = load_ptr(array, n.A_DATA) + offset
    data = c.PyArray_NewFromDescr(o.NDARRAY, descr, ndim, dims, strides, at, writeable, None)
    if data is None or c.PyArray_SetBaseObject(data, held(array)) < 0:
        c.Py_DecRef(data)
        c.Py_DecRef(params)
        return None
    out = new_tensor(data, load_ptr(x, n.T_DTYPE))
    given = stack(8)
    store_ptr(given, 0, x)
    done = -1
    if out:
        done = become_view(out, x, prim, params)
        if done == 0 and tape and tracked(given, 1):
            done = record(prim, given, 1, params, 0, 0, out, None)
    c.Py_DecRef(params)
    if done < 0:
        c.Py_DecRef(out)
        return None
    return out


def slice_params(view: ptr, ndim: i64) -> ptr:
    """The parameters of a slice."""
    params = c.PyDict_New()
    if params is None:
        return None
    if (
        put_numbers(params, o.S_STARTS, view + n.V_STARTS, ndim) < 0
        or put_numbers(params, o.S_STOPS, view + n.V_STOPS, ndim) < 0
        or put_numbers(params, o.S_STEPS, view + n.V_STEPS, ndim) < 0
    ):
        c.Py_DecRef(params)
        return None
    return params


def add_place(view: ptr, size: i64, stride: i64) -> None:
    """Adds an axis of the result."""
    places = load_i64(view, n.V_PLACES)
    store_i64(view, n.V_SHAPE + 8 * places, size)
    store_i64(view, n.V_SHAPE_STRIDES + 8 * places, stride)
    store_i64(view, n.V_PLACES, places + 1)


def take_axis(view: ptr, array: ptr, axis: i64, k: ptr) -> i64:
    """Adds what a key (Ellipsis: all) takes of an axis of an array; 0 where Python is to see to it."""
    length = load_i64(load_ptr(array, n.A_DIMS), 8 * axis)
    stride = load_i64(load_ptr(array, n.A_STRIDES), 8 * axis)
    found = view + n.V_RANGE
    store_i64(found, 0, 0)
    store_i64(found, 8, length)
    store_i64(found, 16, 1)
    store_i64(found, 24, length)
    if k != o.ELLIPSIS and not read_range(k, length, found):
        return 0
    start = load_i64(found, 0)
    step = load_i64(found, 16)
    size = load_i64(found, 24)
    if start != 0 or step != 1 or size != length:
        store_i64(view, n.V_SLICED, 1)
    store_i64(view, n.V_STARTS + 8 * axis, start)
    store_i64(view, n.V_STOPS + 8 * axis, load_i64(found, 8))
    store_i64(view, n.V_STEPS + 8 * axis, step)
    store_i64(view, n.V_DIMS + 8 * axis, size)
    store_i64(view, n.V_STRIDES + 8 * axis, stride * step)
    store_i64(view, n.V_OFFSET, load_i64(view, n.V_OFFSET) + start * stride)
    if load_ptr(k, n.TYPE) == o.INT:
        store_i64(view, n.V_RESHAPED, 1)
    else:
        add_place(view, size, stride * step)
    return 1


def read_keys(view: ptr, array: ptr, keys: ptr, count: i64, axes: i64) -> i64:
    """Works out the view that keys about so many axes ask for; 0 where Python is to see to it."""
    store_i64(view, n.V_OFFSET, 0)
    store_i64(view, n.V_PLACES, 0)
    store_i64(view, n.V_SLICED, 0)
    store_i64(view, n.V_RESHAPED, 0)
    ndim = load_i32(array, n.A_NDIM)
    axis = 0
    for i in range(count + 1):  # after the last key an Ellipsis is meant, unless there was one
        k = o.ELLIPSIS
        if i < count:
            k = load_ptr(keys, 8 * i)
        if k == o.NONE:
            add_place(view, 1, 0)
            store_i64(view, n.V_RESHAPED, 1)
        else:
            more = 1
            if k == o.ELLIPSIS:
                more = ndim - axes
                axes = ndim
            for _ in range(more):
                if not take_axis(view, array, axis, k):
                    return 0
                axis += 1
    return 1


def slice_and_reshape(x: ptr, view: ptr, tape: i64) -> ptr:
    """A view of x: a slice, a reshape where axes are dropped or added, or both; null with an error set."""
    offset = load_i64(view, n.V_OFFSET)
    reshaped = load_i64(view, n.V_RESHAPED)
    base = x
    if load_i64(view, n.V_SLICED) or not reshaped:
        ndim = load_i32(load_ptr(x, n.T_DATA), n.A_NDIM)
        params = slice_params(view, ndim)
        base = None
        if params:
            dims = view + n.V_DIMS
            base = view_of(x, o.SLICE_OP, params, ndim, dims, view + n.V_STRIDES, offset, tape)
        if base is None:
            return None
        offset = 0
    else:
        c.Py_IncRef(base)
    if not reshaped:
        return base
    places = load_i64(view, n.V_PLACES)
    shape = view + n.V_SHAPE
    params = c.PyDict_New()
    if params is None or put_numbers(params, o.S_SHAPE, shape, places) < 0:
        c.Py_DecRef(params)
        c.Py_DecRef(base)
        return None
    strides = view + n.V_SHAPE_STRIDES
    out = view_of(base, o.RESHAPE_OP, params, places, shape, strides, offset, tape)
    c.Py_DecRef(base)
    return out


def part_of(x: ptr, key: ptr, tape: i64) -> ptr:
    """The view that a key asks for; o.DECLINE, borrowed, where that is Python's; null with an error set."""
    array = load_ptr(x, n.T_DATA)
    ndim = load_i32(array, n.A_NDIM)
    keys = stack(8)
    store_ptr(keys, 0, key)
    count = 1
    if load_ptr(key, n.TYPE) == o.TUPLE:
        count = load_i64(key, n.VAR_SIZE)
        keys = key + n.ITEMS
    axes = consumed(keys, count)
    if axes < 0 or axes > ndim or ndim > n.AXES or count > 2 * n.AXES or ndim == 0:
        return o.DECLINE
    view = stack(n.V_BYTES)
    if not read_keys(view, array, keys, count, axes):
        return o.DECLINE
    return slice_and_reshape(x, view, tape)

"""Glue: the keys that recipes are found by - parameters, and the dtype, shape and layout of each operand."""

from __future__ import annotations

from ..glue.capi import c, i64, load_i32, load_i64, load_ptr, n, o, ptr, store_i64, store_ptr
from .apply import operand_code
from .objects import held


def shape_of(array: ptr, strided: i64) -> ptr:
    """The shape of an array as a tuple; with its strides where it is `strided`."""
    ndim = load_i32(array, n.A_NDIM)
    shape = c.PyTuple_New(2 * ndim if strided else ndim)
    if shape is None:
        return None
    for i in range(ndim):
        size = c.PyLong_FromSsize_t(load_i64(load_ptr(array, n.A_DIMS), 8 * i))
        store_ptr(shape, n.ITEMS + 8 * i, size)
        if strided:
            stride = c.PyLong_FromSsize_t(load_i64(load_ptr(array, n.A_STRIDES), 8 * i))
            store_ptr(shape, n.ITEMS + 8 * (ndim + i), stride)
    return shape


def put_operand(key: ptr, at: i64, x: ptr, more: i64) -> i64:
    """Writes what recipes know of an operand, its code and shape, to a key; 0 with an error set.

    Arrays that do not lie row by row, or may not be written, have codes of their own, and strides. `more` goes on top.
    """
    array = load_ptr(x, n.T_DATA)
    code = load_ptr(load_ptr(x, n.T_DTYPE), n.D_CODE)
    flags = load_i32(array, n.A_FLAGS)
    strided = (flags & (n.PLAIN | n.WRITEABLE)) != (n.PLAIN | n.WRITEABLE)
    if strided:
        more = more + (32 if flags & n.WRITEABLE else 64)
    if more:
        code = c.PyLong_FromSsize_t(c.PyLong_AsSsize_t(code) + more)
    else:
        code = held(code)
    store_ptr(key, at, code)
    shape = shape_of(array, strided)
    store_ptr(key, at + 8, shape)
    return 1 if code and shape else 0


def key_of(args: ptr, count: i64, names: ptr) -> ptr:
    """What recipes are found by: (names, values of parameters ..., code and shape of each operand ...).

    o.DECLINE, borrowed, for operands that have none; null with an error set.
    """
    params = load_i64(names, n.VAR_SIZE) if names else 0
    for i in range(count):
        if operand_code(load_ptr(args, 8 * i)) < 4:
            return o.DECLINE
    key = c.PyTuple_New(1 + params + 2 * count)
    if key is None:
        return None
    store_ptr(key, n.ITEMS, held(names) if names else held(o.NONE))
    for i in range(params):
        store_ptr(key, n.ITEMS + 8 * (1 + i), held(load_ptr(args, 8 * (count + i))))
    for i in range(count):
        at = n.ITEMS + 8 * (1 + params + 2 * i)
        if not put_operand(key, at, load_ptr(args, 8 * i), 0):
            c.Py_DecRef(key)
            return None
    return key


def has_minus_zero(args: ptr, count: i64, names: ptr) -> i64:
    """Whether a parameter is -0.0, which is found under 0."""
    for i in range(load_i64(names, n.VAR_SIZE) if names else 0):
        param = load_ptr(args, 8 * (count + i))
        if load_ptr(param, n.TYPE) == o.FLOAT and load_i64(param, n.F_VALUE) == 1 << 63:
            return 1
    return 0


def known(recipes: ptr, key: ptr) -> ptr:
    """The recipe of calls like this; null where there is none yet, o.DECLINE where there will be none."""
    recipe = c.PyDict_GetItemWithError(recipes, key)
    if recipe is None and c.PyErr_Occurred():  # an argument that cannot be hashed
        c.PyErr_Clear()
        return o.DECLINE
    return o.DECLINE if recipe == o.NONE else recipe


def counted(block: ptr) -> i64:
    """How many calls a recipe has seen, this one included."""
    calls = load_i64(block, n.RECIPE_CALLS) + 1
    store_i64(block, n.RECIPE_CALLS, calls)
    return calls

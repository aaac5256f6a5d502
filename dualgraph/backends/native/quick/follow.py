"""Glue: calls of other ops - reductions, movement, products - by the recipe that such a call left.

A recipe is found by the op's parameters and the dtypes, shapes and layouts of its operands. What
`eager.dispatch.quick_other` does, for what was done before; else the answer is ``o.DECLINE``.
"""

from __future__ import annotations

from ..glue.capi import (
    c,
    call_void,
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
from .memory import new_array
from .objects import held, item
from .runs import drop, free_threads, run_program
from .store import copy_bytes
from .tape import new_tensor, record, version_cell


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


def params_of(args: ptr, count: i64, names: ptr) -> ptr:
    """The parameters of a call as a dictionary."""
    params = c.PyDict_New()
    if params and names:
        for i in range(load_i64(names, n.VAR_SIZE)):
            name = load_ptr(names, n.ITEMS + 8 * i)
            if c.PyDict_SetItem(params, name, load_ptr(args, 8 * (count + i))) < 0:
                c.Py_DecRef(params)
                return None
    return params


def operands_of(args: ptr, count: i64) -> ptr:
    """The operands of a call as a tuple."""
    operands = c.PyTuple_New(count)
    if operands:
        for i in range(count):
            store_ptr(operands, n.ITEMS + 8 * i, held(load_ptr(args, 8 * i)))
    return operands


def see(recipe: ptr, x: ptr) -> ptr:
    """The view of an array."""
    array = load_ptr(x, n.T_DATA)
    writeable = load_i64(recipe, n.RECIPE_FLAGS) & load_i32(array, n.A_FLAGS)
    out = c.PyArray_NewFromDescr(
        o.NDARRAY,
        held(load_ptr(array, n.A_DESCR)),
        load_i64(recipe, n.RECIPE_NDIM),
        load_ptr(recipe, n.RECIPE_DIMS),
        load_ptr(recipe, n.RECIPE_STRIDES),
        load_ptr(array, n.A_DATA) + load_i64(recipe, n.RECIPE_OFFSET),
        writeable,
        None,
    )
    if out and c.PyArray_SetBaseObject(out, held(array)) < 0:
        c.Py_DecRef(out)
        return None
    return out


def fold(recipe: ptr, x: ptr) -> ptr:
    """A reduction of an array that lies row by row, by the kernel of the recipe."""
    array = load_ptr(x, n.T_DATA)
    if (load_i32(array, n.A_FLAGS) & n.PLAIN) != n.PLAIN:
        return o.DECLINE
    out = new_array(
        load_ptr(recipe, n.RECIPE_DESCR),
        load_i64(recipe, n.RECIPE_NDIM),
        load_ptr(recipe, n.RECIPE_DIMS),
        load_i64(recipe, n.RECIPE_BYTES),
    )
    if out is None:
        return None
    scratch = c.PyMem_Malloc(load_i64(recipe, n.RECIPE_SCRATCH))
    given = stack(24)
    store_ptr(given, 0, load_ptr(array, n.A_DATA))
    store_ptr(given, 8, load_ptr(out, n.A_DATA))
    store_ptr(given, 16, scratch)
    kernel = load_ptr(recipe, n.RECIPE_KERNEL)
    sizes = load_ptr(recipe, n.RECIPE_SIZES)
    call_void(kernel, given, sizes, 0, load_i64(recipe, n.RECIPE_EXTENT))
    c.PyMem_Free(scratch)
    return out


def has_minus_zero(args: ptr, count: i64, names: ptr) -> i64:
    """Whether a parameter is -0.0, which is found under 0."""
    for i in range(load_i64(names, n.VAR_SIZE) if names else 0):
        param = load_ptr(args, 8 * (count + i))
        if load_ptr(param, n.TYPE) == o.FLOAT and load_i64(param, n.F_VALUE) == 1 << 63:
            return 1
    return 0


def again(recipe: ptr) -> ptr:
    """A copy of a result that is always the same."""
    size = load_i64(recipe, n.RECIPE_BYTES)
    descr = load_ptr(recipe, n.RECIPE_DESCR)
    ndim = load_i64(recipe, n.RECIPE_NDIM)
    out = new_array(descr, ndim, load_ptr(recipe, n.RECIPE_DIMS), size)
    if out:
        copy_bytes(load_ptr(out, n.A_DATA), load_ptr(recipe, n.RECIPE_SOURCE), size)
    return out


def run_aligned(recipe: ptr, args: ptr, count: i64, made: ptr) -> ptr:
    """`run_program` on operands that lie as it expects; o.DECLINE, borrowed, where they do not or it is running."""
    run = load_ptr(recipe, n.RECIPE_RUN)
    threads = free_threads(run)
    if not threads:
        return o.DECLINE
    for i in range(count):
        if not load_i32(load_ptr(load_ptr(args, 8 * i), n.T_DATA), n.A_FLAGS) & n.ALIGNED:
            return o.DECLINE
    return run_program(run, args, None, threads, made)


def run_backend(prim: ptr, args: ptr, count: i64, params: ptr) -> ptr:
    """What the backend gives; o.DECLINE, borrowed, where the long way says what is wrong; null with an error set."""
    arrays = c.PyTuple_New(count)
    if arrays is None:
        return None
    for i in range(count):
        store_ptr(arrays, n.ITEMS + 8 * i, held(load_ptr(load_ptr(args, 8 * i), n.T_DATA)))
    given = stack(24)
    store_ptr(given, 0, prim)
    store_ptr(given, 8, arrays)
    store_ptr(given, 16, params)
    out = c.PyObject_VectorcallDict(o.RUN, given, 3, None)
    c.Py_DecRef(arrays)
    if out is None and c.PyErr_ExceptionMatches(o.EXPECTED):
        c.PyErr_Clear()
        return o.DECLINE
    return out


def as_array(out: ptr) -> ptr:
    """What a kernel gives, which may be an array scalar, as an array; takes it over."""
    if out is None or out == o.DECLINE or load_ptr(out, n.TYPE) == o.NDARRAY:
        return out
    given = stack(8)
    store_ptr(given, 0, out)
    made = c.PyObject_VectorcallDict(o.ASARRAY, given, 1, None)
    c.Py_DecRef(out)
    return made


def several_tensors(types: ptr, arrays: ptr, count: i64) -> ptr:
    """A tuple of tensors around arrays, which it holds, too."""
    outs = c.PyTuple_New(count)
    if outs is None:
        return None
    for i in range(count):
        dtype = load_ptr(load_ptr(types, n.ITEMS + 8 * i), n.ITEMS)
        one = new_tensor(held(load_ptr(arrays, 8 * i)), dtype)
        store_ptr(outs, n.ITEMS + 8 * i, one)
        if one is None:
            c.Py_DecRef(outs)
            return None
    return outs


def are_arrays(out: ptr, count: i64) -> i64:
    """Whether a kernel gave a tuple of so many arrays."""
    if load_ptr(out, n.TYPE) != o.TUPLE or load_i64(out, n.VAR_SIZE) != count:
        return 0
    for i in range(count):
        if load_ptr(load_ptr(out, n.ITEMS + 8 * i), n.TYPE) != o.NDARRAY:
            return 0
    return 1


def cook_several(prim: ptr, recipe: ptr, args: ptr, count: i64, names: ptr, tape: i64) -> ptr:
    """As `cook`, for ops that give several results: those that are to go on the tape are Python's."""
    if tape and load_i64(recipe, n.RECIPE_TAPED) and tracked(args, count):
        return o.DECLINE
    types = load_ptr(recipe, n.RECIPE_TYPES)
    results = load_i64(recipe, n.RECIPE_SEVERAL)
    if load_i64(recipe, n.RECIPE_KIND) == n.PROGRAM and not has_minus_zero(args, count, names):
        made = stack(n.RESULT_ROOM)
        data = run_aligned(recipe, args, count, made)
        if data is None:
            return None
        if data != o.DECLINE:
            outs = several_tensors(types, made, results)
            drop(made, results)
            return outs
    params = params_of(args, count, names)
    if params is None:
        return None
    out = run_backend(prim, args, count, params)
    c.Py_DecRef(params)
    if out is None or out == o.DECLINE:
        return out
    outs = o.DECLINE
    if are_arrays(out, results):
        outs = several_tensors(types, out + n.ITEMS, results)
    c.Py_DecRef(out)
    return outs


def become_view(out: ptr, parent: ptr, prim: ptr, params: ptr) -> i64:
    """Notes what a result is a view of; -1 with an error set."""
    cell = version_cell(parent)
    whole = c.PyTuple_New(3) if cell else None
    if whole is None:
        return -1
    store_ptr(whole, n.ITEMS, held(parent))
    store_ptr(whole, n.ITEMS + 8, held(prim))
    store_ptr(whole, n.ITEMS + 16, held(params))
    c.Py_DecRef(load_ptr(out, n.T_PARENT))
    store_ptr(out, n.T_PARENT, whole)
    c.Py_DecRef(load_ptr(out, n.T_CELL))
    store_ptr(out, n.T_CELL, held(cell))
    c.Py_DecRef(load_ptr(out, n.T_STAMP))
    store_ptr(out, n.T_STAMP, held(item(cell, 0)))
    return 0


def finish(
    prim: ptr, recipe: ptr, args: ptr, count: i64, params: ptr, data: ptr, taped: i64
) -> ptr:
    """The tensor around a result, whose reference it takes over: a view if it is one, on the tape if it must."""
    out = new_tensor(data, load_ptr(recipe, n.RECIPE_DTYPE))
    if out is None:
        return None
    if load_i64(recipe, n.RECIPE_KIND) == n.VIEW:
        if become_view(out, load_ptr(args, 0), prim, params) < 0:
            c.Py_DecRef(out)
            return None
    if taped:
        reads = load_i64(recipe, n.RECIPE_READS)
        reads_out = load_i64(recipe, n.RECIPE_READS_OUT)
        types = load_ptr(recipe, n.RECIPE_TYPES)
        if record(prim, args, count, params, reads, reads_out, out, types) < 0:
            c.Py_DecRef(out)
            return None
    return out


def cook(prim: ptr, recipe: ptr, args: ptr, count: i64, names: ptr, tape: i64) -> ptr:
    """The result of a call by its recipe; o.DECLINE, borrowed; null with an error set."""
    if load_i64(recipe, n.RECIPE_SEVERAL):
        return cook_several(prim, recipe, args, count, names, tape)
    kind = load_i64(recipe, n.RECIPE_KIND)
    data = o.DECLINE
    if kind == n.PROGRAM and not has_minus_zero(args, count, names):
        data = run_aligned(recipe, args, count, stack(8))
    elif kind == n.SAME and not has_minus_zero(args, count, names):
        data = again(recipe)
        if data is None:
            return None
    elif kind == n.FOLD:
        data = fold(recipe, load_ptr(args, 0))
        if data == o.DECLINE:
            return data
    taped = tape and load_i64(recipe, n.RECIPE_TAPED) and tracked(args, count)
    params = o.NO_PARAMS
    if taped or data == o.DECLINE:
        params = params_of(args, count, names)
        if params is None:
            if data != o.DECLINE:
                c.Py_DecRef(data)
            return None
    else:
        c.Py_IncRef(params)
    if kind == n.VIEW:
        data = see(recipe, load_ptr(args, 0))
    elif data == o.DECLINE:
        data = as_array(run_backend(prim, args, count, params))
    if data and data != o.DECLINE:
        data = finish(prim, recipe, args, count, params, data, taped)
    c.Py_DecRef(params)
    return data


def tell(prim: ptr, key: ptr, args: ptr, count: i64, names: ptr, out: ptr) -> i64:
    """Shows Python a call that has no recipe, or one that is used often; -1 with an error set."""
    operands = operands_of(args, count)
    params = params_of(args, count, names)
    told = None
    if operands and params:
        given = stack(40)
        store_ptr(given, 0, prim)
        store_ptr(given, 8, key)
        store_ptr(given, 16, operands)
        store_ptr(given, 24, params)
        store_ptr(given, 32, out)
        told = c.PyObject_VectorcallDict(o.LEARN, given, 5, None)
    c.Py_DecRef(operands)
    c.Py_DecRef(params)
    c.Py_DecRef(told)
    return 0 if told else -1


def bind(prim: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """The call by Python's path."""
    operands = operands_of(args, count)
    params = params_of(args, count, names)
    done = None
    if operands and params:
        given = stack(24)
        store_ptr(given, 0, prim)
        store_ptr(given, 8, operands)
        store_ptr(given, 16, params)
        done = c.PyObject_VectorcallDict(o.BIND, given, 3, None)
    c.Py_DecRef(operands)
    c.Py_DecRef(params)
    return done


def follow(prim: ptr, recipes: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """The result of a call of an op that is not elementwise, or has parameters."""
    tape = tape_switch()
    if tape < 0:
        return bind(prim, args, count, names)
    key = key_of(args, count, names)
    if key is None:
        return None
    if key == o.DECLINE:
        return bind(prim, args, count, names)
    recipe = c.PyDict_GetItemWithError(recipes, key)
    if recipe is None and c.PyErr_Occurred():  # a parameter that cannot be hashed
        c.PyErr_Clear()
        c.Py_DecRef(key)
        return bind(prim, args, count, names)
    done = o.DECLINE
    learn = recipe is None
    if recipe and recipe != o.NONE:
        c.Py_IncRef(recipe)
        block = load_ptr(recipe, n.BLOCK)
        done = cook(prim, block, args, count, names, tape)
        calls = load_i64(block, n.RECIPE_CALLS) + 1
        store_i64(block, n.RECIPE_CALLS, calls)
        learn = (calls == 2 or calls == n.HOT or calls == n.OFTEN) and done and done != o.DECLINE
        c.Py_DecRef(recipe)
    if done == o.DECLINE:
        done = bind(prim, args, count, names)
    if done and learn and tell(prim, key, args, count, names, done) < 0:
        c.Py_DecRef(done)
        done = None
    c.Py_DecRef(key)
    return done

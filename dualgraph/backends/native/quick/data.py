"""Glue: the elements of a result by its recipe: a view, a reduction, a copy, or what a program or backend makes."""

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
    store_ptr,
)
from .keys import has_minus_zero
from .memory import new_array
from .objects import held
from .runs import free_threads, run_program
from .store import copy_bytes


def view_data(recipe: ptr, x: ptr) -> ptr:
    """The view of an array."""
    array = load_ptr(x, n.T_DATA)
    writeable = load_i64(recipe, n.RECIPE_FLAGS) & load_i32(array, n.A_FLAGS)
    out = c.PyArray_NewFromDescr(
        o.NDARRAY,
        held(load_ptr(recipe, n.RECIPE_DESCR)),
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


def fold_data(recipe: ptr, x: ptr) -> ptr:
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


def copy_data(recipe: ptr) -> ptr:
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


def made_data(recipe: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """What is made without Python; o.DECLINE, borrowed, where that cannot be; null with an error set."""
    kind = load_i64(recipe, n.RECIPE_KIND)
    if kind == n.VIEW:
        return view_data(recipe, load_ptr(args, 0))
    if kind == n.FOLD:
        return fold_data(recipe, load_ptr(args, 0))
    if has_minus_zero(args, count, names):
        return o.DECLINE
    if kind == n.PROGRAM:
        return run_aligned(recipe, args, count, stack(8))
    if kind == n.SAME:
        return copy_data(recipe)
    return o.DECLINE


def run_backend(prim: ptr, args: ptr, count: i64, params: ptr) -> ptr:
    """What the backend gives; o.DECLINE, borrowed, where Python's path says what is wrong; null with an error set."""
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

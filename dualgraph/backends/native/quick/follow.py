"""Glue: calls of other ops - reductions, movement, products - by the recipe that such a call left.

What `eager.dispatch.quick_other` does, for what was done before; else the answer is ``o.DECLINE``.
"""

from __future__ import annotations

from ..glue.capi import c, i64, load_i64, load_ptr, n, o, ptr, stack, store_ptr
from .apply import call_switch, tell, tracked
from .data import as_array, made_data, run_aligned, run_backend
from .keys import counted, has_minus_zero, key_of, known
from .objects import held, item, tuple_of
from .runs import drop
from .tape import new_tensor, record, version_cell


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


def results_of(prim: ptr, recipe: ptr, args: ptr, count: i64, names: ptr, tape: i64) -> ptr:
    """As `result_of`, for ops that give several results: those that are to go on the tape are Python's."""
    if tape & 1 and load_i64(recipe, n.RECIPE_TAPED) and tracked(args, count):
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
    """The tensor around a result, whose reference it takes over: a view if it is one, on the tape if it must.

    `taped` is what `call_switch` says, or 0.
    """
    out = new_tensor(data, load_ptr(recipe, n.RECIPE_DTYPE))
    if out is None:
        return None
    if load_i64(recipe, n.RECIPE_KIND) == n.VIEW:
        if become_view(out, load_ptr(args, 0), prim, params) < 0:
            c.Py_DecRef(out)
            return None
    if taped:
        reads = load_i64(recipe, n.RECIPE_READS)
        reads_out = load_i64(recipe, n.RECIPE_READS_OUT) << (taped >> 1)
        types = load_ptr(recipe, n.RECIPE_TYPES)
        if record(prim, args, count, params, reads, reads_out, out, types) < 0:
            c.Py_DecRef(out)
            return None
    return out


def result_of(prim: ptr, recipe: ptr, args: ptr, count: i64, names: ptr, tape: i64) -> ptr:
    """The result of a call by its recipe; o.DECLINE, borrowed; null with an error set."""
    if load_i64(recipe, n.RECIPE_SEVERAL):
        return results_of(prim, recipe, args, count, names, tape)
    kind = load_i64(recipe, n.RECIPE_KIND)
    data = made_data(recipe, args, count, names)
    if data is None:
        return None
    if data == o.DECLINE and (kind == n.FOLD or load_i64(recipe, n.RECIPE_WIDENED)):
        return data
    taped = 0
    if tape & 1 and load_i64(recipe, n.RECIPE_TAPED) and tracked(args, count):
        taped = tape
    params = o.NO_PARAMS
    if taped or data == o.DECLINE or kind == n.VIEW:
        params = params_of(args, count, names)
        if params is None:
            if data != o.DECLINE:
                c.Py_DecRef(data)
            return None
    else:
        c.Py_IncRef(params)
    if data == o.DECLINE:
        data = as_array(run_backend(prim, args, count, params))
    if data and data != o.DECLINE:
        data = finish(prim, recipe, args, count, params, data, taped)
    c.Py_DecRef(params)
    return data


def learn_from(prim: ptr, key: ptr, args: ptr, count: i64, names: ptr, out: ptr) -> i64:
    """Shows Python a call that has no recipe, or one that is used often; -1 with an error set."""
    operands = tuple_of(args, count)
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
    operands = tuple_of(args, count)
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


def heard(prim: ptr, args: ptr, count: i64, names: ptr, done: ptr) -> ptr:
    """The results of a call, of which the capture that runs is told; null with an error set."""
    params = params_of(args, count, names)
    if params is None or tell(prim, args, count, params, done) < 0:
        c.Py_DecRef(done)
        done = None
    c.Py_DecRef(params)
    return done


def follow(prim: ptr, recipes: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """The result of a call of an op that is not elementwise, or has parameters."""
    tape = call_switch()
    if tape < 0:
        return bind(prim, args, count, names)
    key = key_of(args, count, names)
    if key is None:
        return None
    if key == o.DECLINE:
        return bind(prim, args, count, names)
    recipe = known(recipes, key)
    if recipe == o.DECLINE:
        c.Py_DecRef(key)
        return bind(prim, args, count, names)
    done = o.DECLINE
    learn = recipe is None and tape < 2
    if recipe:
        c.Py_IncRef(recipe)
        block = load_ptr(recipe, n.BLOCK)
        done = result_of(prim, block, args, count, names, tape)
        if done and done != o.DECLINE and tape & 2:
            done = heard(prim, args, count, names, done)
        calls = counted(block)
        often = calls == 2 or calls == n.HOT or calls == n.OFTEN
        learn = often and tape < 2 and done
        c.Py_DecRef(recipe)
    if done == o.DECLINE:
        done = bind(prim, args, count, names)
    if done and learn and learn_from(prim, key, args, count, names, done) < 0:
        c.Py_DecRef(done)
        done = None
    c.Py_DecRef(key)
    return done

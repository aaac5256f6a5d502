"""Glue: calls of composites on few elements, by one program each. `composing` has what Python does for that."""

from __future__ import annotations

from ..glue.capi import c, i64, load_i64, load_ptr, n, o, ptr, stack, store_i64, store_ptr
from .apply import operand_code, size_of, tape_switch, tracked
from .follow import put_operand, run_aligned
from .objects import held
from .tape import edge_of, new_tensor


def put_argument(key: ptr, at: i64, x: ptr, tape: i64, operands: ptr, count: ptr) -> i64:
    """Writes what is known of an argument to two places of a key; tensors are noted as operands, too.

    0: this call is not for programs; -1 with an error set.
    """
    if operand_code(x) >= 4:
        known = load_i64(count, 0)
        if known >= n.MOST_OPERANDS or size_of(load_ptr(x, n.T_DATA)) > n.FEW_ELEMENTS:
            return 0
        store_ptr(operands, 8 * known, x)
        if tape and tracked(operands + 8 * known, 1):
            edge = edge_of(x)
            c.Py_DecRef(edge)
            if edge != o.NONE:
                return 0 if edge else -1
        store_i64(count, 0, known + 1)
        return 1 if put_operand(key, at, x) else -1
    kind = load_ptr(x, n.TYPE)
    if kind == o.FLOAT and load_i64(x, n.F_VALUE) == 1 << 63:  # -0.0, which is found under 0
        return 0
    store_ptr(key, at, held(kind))
    store_ptr(key, at + 8, held(x))
    return 1


def composite_key(fn: ptr, given: ptr, named: ptr, tape: i64, operands: ptr, count: ptr) -> ptr:
    """What programs of composites are found by; o.DECLINE, borrowed; null with an error set."""
    number = load_i64(given, n.VAR_SIZE)
    key = c.PyTuple_New(1 + 2 * number + 3 * c.PyDict_Size(named))
    if key is None:
        return None
    store_ptr(key, n.ITEMS, held(fn))
    at = n.ITEMS + 8
    done = 1
    for i in range(number):
        if done > 0:
            x = load_ptr(given, n.ITEMS + 8 * i)
            done = put_argument(key, at, x, tape, operands, count)
            at = at + 16
    place = stack(8)
    store_i64(place, 0, 0)
    found = stack(16)
    while done > 0 and c.PyDict_Next(named, place, found, found + 8):
        store_ptr(key, at, held(load_ptr(found, 0)))
        done = put_argument(key, at + 8, load_ptr(found, 8), tape, operands, count)
        at = at + 24
    if done > 0:
        return key
    c.Py_DecRef(key)
    return None if done < 0 else o.DECLINE


def show(fn: ptr, key: ptr, given: ptr, named: ptr) -> i64:
    """Shows Python a call that is new, or comes often; -1 with an error set."""
    shown = stack(32)
    store_ptr(shown, 0, fn)
    store_ptr(shown, 8, key)
    store_ptr(shown, 16, given)
    store_ptr(shown, 24, named)
    done = c.PyObject_Vectorcall(o.NOTICE, shown, 4, None)
    c.Py_DecRef(done)
    return 0 if done else -1


def serve_composite(self: ptr, args: ptr, count: i64) -> ptr:
    """``quick(fn, args, kwargs)``: the result of a composite's call by its program, or NotImplemented."""
    fn = load_ptr(args, 0)
    given = load_ptr(args, 8)
    named = load_ptr(args, 16)
    tape = tape_switch()
    if tape < 0:
        return held(o.NOT_IMPLEMENTED)
    operands = stack(n.OPERAND_ROOM)
    number = stack(8)
    store_i64(number, 0, 0)
    key = composite_key(fn, given, named, tape, operands, number)
    if key is None:
        return None
    if key == o.DECLINE:
        return held(o.NOT_IMPLEMENTED)
    recipe = c.PyDict_GetItemWithError(o.COMPOSITES, key)
    out = held(o.NOT_IMPLEMENTED)
    fresh = 0
    if recipe is None:
        fresh = 1
        if c.PyErr_Occurred():  # an argument that cannot be hashed
            c.PyErr_Clear()
            fresh = 0
    elif recipe != o.NONE:
        c.Py_IncRef(recipe)
        block = load_ptr(recipe, n.BLOCK)
        calls = load_i64(block, n.RECIPE_CALLS) + 1
        store_i64(block, n.RECIPE_CALLS, calls)
        fresh = calls == n.OFTEN
        if load_i64(block, n.RECIPE_KIND) == n.PROGRAM:
            fresh = 0
            data = run_aligned(block, operands, load_i64(number, 0))
            if data != o.DECLINE:
                c.Py_DecRef(out)
                out = None
                if data:
                    out = new_tensor(data, load_ptr(block, n.RECIPE_DTYPE))
        c.Py_DecRef(recipe)
    if fresh and show(fn, key, given, named) < 0:
        c.Py_DecRef(out)
        out = None
    c.Py_DecRef(key)
    return out

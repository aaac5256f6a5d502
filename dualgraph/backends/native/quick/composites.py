"""Glue: calls of composites on few elements, by one program each. `composing` has what Python does for that."""

from __future__ import annotations

from ..glue.capi import c, i64, load_i64, load_ptr, n, o, ptr, stack, store_i64, store_ptr
from .apply import operand_code, size_of, tape_switch, thread_switches, tracked
from .data import copy_data, run_aligned
from .follow import follow
from .keys import counted, known, put_operand
from .objects import held, pair
from .runs import drop
from .tape import edge_of, kept_operand, new_node, new_tensor, version_cell

# What is known of the operands of a call: tensors, then where gradients of them go (owned), then how many there are,
# and how many elements they may have.


def put_tensor(key: ptr, at: i64, x: ptr, tape: i64, call: ptr) -> i64:
    """Writes what is known of a tensor to a key, and notes it. As `put_argument`."""
    count = load_i64(call, 2 * n.OPERAND_ROOM)
    most = load_i64(call, 2 * n.OPERAND_ROOM + 8)
    if count >= n.MOST_OPERANDS or size_of(load_ptr(x, n.T_DATA)) > most:
        return 0
    edges = call + n.OPERAND_ROOM
    store_ptr(call, 8 * count, x)
    edge = o.NONE
    if tape and tracked(call + 8 * count, 1):
        edge = edge_of(x)
        if edge is None:
            return -1
    else:
        c.Py_IncRef(edge)
    store_ptr(edges, 8 * count, edge)
    store_i64(call, 2 * n.OPERAND_ROOM, count + 1)
    if edge == o.NONE:
        return 1 if put_operand(key, at, x, 0) else -1
    for i in range(count):  # the sweep would begin one sum twice
        other = load_ptr(edges, 8 * i)
        if other != o.NONE and load_ptr(other, n.ITEMS) == load_ptr(edge, n.ITEMS):
            if c.PyObject_RichCompareBool(other, edge, 2):
                return 0
    return 1 if put_operand(key, at, x, n.WANTED) else -1


def put_argument(key: ptr, at: i64, x: ptr, tape: i64, call: ptr) -> i64:
    """Writes what is known of an argument to two places of a key.

    0: this call is not for programs; -1 with an error set.
    """
    if operand_code(x) >= 4:
        return put_tensor(key, at, x, tape, call)
    kind = load_ptr(x, n.TYPE)
    if kind == o.FLOAT and load_i64(x, n.F_VALUE) == 1 << 63:  # -0.0, which is found under 0
        return 0
    store_ptr(key, at, held(kind))
    store_ptr(key, at + 8, held(x))
    return 1


def composite_key(fn: ptr, given: ptr, named: ptr, tape: i64, call: ptr) -> ptr:
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
            done = put_argument(key, at, load_ptr(given, n.ITEMS + 8 * i), tape, call)
            at = at + 16
    place = stack(8)
    store_i64(place, 0, 0)
    found = stack(16)
    while done > 0 and c.PyDict_Next(named, place, found, found + 8):
        store_ptr(key, at, held(load_ptr(found, 0)))
        done = put_argument(key, at + 8, load_ptr(found, 8), tape, call)
        at = at + 24
    if done > 0:
        return key
    c.Py_DecRef(key)
    return None if done < 0 else o.DECLINE


def unread(x: ptr, edge: ptr, blank: ptr) -> ptr:
    """A stand-in for an operand whose values the gradient does not read, at the operand's place on the tape."""
    out = new_tensor(held(blank), load_ptr(x, n.T_DTYPE))
    if out and edge != o.NONE:
        c.Py_DecRef(load_ptr(out, n.T_NODE))
        store_ptr(out, n.T_NODE, held(load_ptr(edge, n.ITEMS)))
        c.Py_DecRef(load_ptr(out, n.T_INDEX))
        store_ptr(out, n.T_INDEX, held(load_ptr(edge, n.ITEMS + 8)))
    return out


def same_memory(out: ptr) -> ptr:
    """``(a tensor of the memory of `out`, its version)``."""
    cell = version_cell(out)
    if cell is None:
        return None
    same = new_tensor(held(load_ptr(out, n.T_DATA)), load_ptr(out, n.T_DTYPE))
    if same is None:
        return None
    c.Py_DecRef(load_ptr(same, n.T_CELL))
    store_ptr(same, n.T_CELL, held(cell))
    return pair(same, held(load_ptr(load_ptr(cell, n.LIST_ITEMS), 0)))


def tape_composite(block: ptr, call: ptr, made: ptr, out: ptr) -> i64:
    """Puts a composite on the tape, as `merge.entry.MergedOp.record` does; -1 with an error set."""
    count = load_i64(call, 2 * n.OPERAND_ROOM)
    edges = call + n.OPERAND_ROOM
    dtypes = load_ptr(block, n.RECIPE_DTYPES)
    kept = load_i64(dtypes, n.VAR_SIZE)
    results = load_i64(block, n.RECIPE_READS_OUT)
    reads = load_i64(block, n.RECIPE_READS)
    blanks = load_ptr(block, n.RECIPE_BLANKS)
    whole = count + kept + results
    inputs = c.PyTuple_New(whole)
    saved = c.PyTuple_New(whole)
    done = 1 if inputs and saved else 0
    for i in range(whole):
        if done:
            edge = o.NONE
            one = None
            if i < count:
                edge = load_ptr(edges, 8 * i)
                x = load_ptr(call, 8 * i)
                if (reads >> i) & 1:
                    one = kept_operand(x, 1)
                else:
                    one = unread(x, edge, load_ptr(blanks, n.ITEMS + 8 * i))
            elif i < count + kept:
                array = held(load_ptr(made, 8 * (1 + i - count)))
                dtype = load_ptr(dtypes, n.ITEMS + 8 * (i - count))
                one = pair(new_tensor(array, dtype), held(o.ZERO))
            else:
                one = same_memory(out)
            store_ptr(inputs, n.ITEMS + 8 * i, held(edge))
            store_ptr(saved, n.ITEMS + 8 * i, one)
            done = 1 if one else 0
    if not done:
        c.Py_DecRef(inputs)
        c.Py_DecRef(saved)
        return -1
    op = load_ptr(block, n.RECIPE_OP)
    types = held(load_ptr(block, n.RECIPE_TYPES))
    node = new_node(op, inputs, o.NO_PARAMS, types, pair(saved, held(o.NONE)))
    if node is None:
        return -1
    c.Py_DecRef(load_ptr(out, n.T_NODE))
    store_ptr(out, n.T_NODE, node)
    return 0


def run_composite(block: ptr, call: ptr) -> ptr:
    """The result of a call by its program; o.DECLINE, borrowed; null with an error set."""
    made = stack(n.RESULT_ROOM)
    data = run_aligned(block, call, load_i64(call, 2 * n.OPERAND_ROOM), made)
    if data is None or data == o.DECLINE:
        return data
    out = new_tensor(data, load_ptr(block, n.RECIPE_DTYPE))
    if load_ptr(block, n.RECIPE_OP):
        if out and tape_composite(block, call, made, out) < 0:
            c.Py_DecRef(out)
            out = None
        drop(made + 8, load_i64(load_ptr(block, n.RECIPE_DTYPES), n.VAR_SIZE))
    return out


def show(notice: ptr, fn: ptr, key: ptr, given: ptr, named: ptr) -> i64:
    """Shows a Python function a call that is new, or comes often; -1 with an error set."""
    shown = stack(32)
    store_ptr(shown, 0, fn)
    store_ptr(shown, 8, key)
    store_ptr(shown, 16, given)
    store_ptr(shown, 24, named)
    done = c.PyObject_VectorcallDict(notice, shown, 4, None)
    c.Py_DecRef(done)
    return 0 if done else -1


def serve_composite(self: ptr, args: ptr, count: i64) -> ptr:
    """``quick(fn, args, kwargs)``: the result of a composite's call by its program, or NotImplemented."""
    tape = tape_switch()
    if tape < 0:
        return held(o.NOT_IMPLEMENTED)
    call = stack(n.CALL_ROOM)
    store_i64(call, 2 * n.OPERAND_ROOM, 0)
    store_i64(call, 2 * n.OPERAND_ROOM + 8, n.FEW_ELEMENTS)
    key = composite_key(load_ptr(args, 0), load_ptr(args, 8), load_ptr(args, 16), tape, call)
    out = key
    if key == o.DECLINE:
        out = held(o.NOT_IMPLEMENTED)
    elif key:
        out = look_up(args, key, call)
        c.Py_DecRef(key)
    drop(call + n.OPERAND_ROOM, load_i64(call, 2 * n.OPERAND_ROOM))
    return out


def look_up(args: ptr, key: ptr, call: ptr) -> ptr:
    """The result by the program that is found by a key, or NotImplemented; null with an error set."""
    recipe = known(o.COMPOSITES, key)
    if recipe == o.DECLINE:
        return held(o.NOT_IMPLEMENTED)
    calls = 0
    if recipe:
        block = load_ptr(recipe, n.BLOCK)
        if load_i64(block, n.RECIPE_KIND) == n.PROGRAM:
            c.Py_IncRef(recipe)
            out = run_composite(block, call)
            c.Py_DecRef(recipe)
            return held(o.NOT_IMPLEMENTED) if out == o.DECLINE else out
        calls = counted(block)
    if calls == 0 or calls == n.HOT or calls == n.WHOLE:
        if show(o.NOTICE, load_ptr(args, 0), key, load_ptr(args, 8), load_ptr(args, 16)) < 0:
            return None
    return held(o.NOT_IMPLEMENTED)


def serve_view(self: ptr, args: ptr, count: i64) -> ptr:
    """``view(fn, args, kwargs)``: the result of a call by the one op that it comes down to, or NotImplemented."""
    if tape_switch() < 0:
        return held(o.NOT_IMPLEMENTED)
    call = stack(n.CALL_ROOM)
    store_i64(call, 2 * n.OPERAND_ROOM, 0)
    store_i64(call, 2 * n.OPERAND_ROOM + 8, 1 << 62)
    fn = load_ptr(args, 0)
    given = load_ptr(args, 8)
    named = load_ptr(args, 16)
    key = composite_key(fn, given, named, 0, call)
    operands = load_i64(call, 2 * n.OPERAND_ROOM)
    drop(call + n.OPERAND_ROOM, operands)
    if key is None:
        return None
    if key == o.DECLINE:
        return held(o.NOT_IMPLEMENTED)
    out = held(o.NOT_IMPLEMENTED) if operands == 0 else look_up_view(fn, key, given, named, call)
    c.Py_DecRef(key)
    return out


def look_up_view(fn: ptr, key: ptr, given: ptr, named: ptr, call: ptr) -> ptr:
    """The result by the op that is found by a key, or NotImplemented; null with an error set."""
    recipe = known(o.VIEWS, key)
    if recipe == o.DECLINE:
        return held(o.NOT_IMPLEMENTED)
    calls = 0
    if recipe:
        block = load_ptr(recipe, n.BLOCK)
        if load_i64(block, n.RECIPE_KIND) == n.CALL:
            c.Py_IncRef(recipe)
            out = view_again(block, call)
            c.Py_DecRef(recipe)
            return out
        calls = counted(block)
    if calls == 0 or calls == n.HOT:
        if show(o.NOTICE_VIEW, fn, key, given, named) < 0:
            return None
    return held(o.NOT_IMPLEMENTED)


def serve_same(self: ptr, args: ptr, count: i64) -> ptr:
    """``same(fn, args, kwargs)``: a copy of what a call without tensors gave before, or NotImplemented."""
    if tape_switch() < 0:
        return held(o.NOT_IMPLEMENTED)
    if c.PyDict_GetItemWithError(thread_switches(), o.S_DEVICE) != o.CPU:
        return held(o.NOT_IMPLEMENTED)
    call = stack(n.CALL_ROOM)
    store_i64(call, 2 * n.OPERAND_ROOM, 0)
    store_i64(call, 2 * n.OPERAND_ROOM + 8, -1)  # no tensor is so small
    fn = load_ptr(args, 0)
    given = load_ptr(args, 8)
    named = load_ptr(args, 16)
    key = composite_key(fn, given, named, 0, call)
    if key is None:
        return None
    if key == o.DECLINE:
        return held(o.NOT_IMPLEMENTED)
    out = look_up_same(fn, key, given, named)
    c.Py_DecRef(key)
    return out


def look_up_same(fn: ptr, key: ptr, given: ptr, named: ptr) -> ptr:
    """A copy of the result that is found by a key, or NotImplemented; null with an error set."""
    recipe = known(o.SAMES, key)
    if recipe == o.DECLINE:
        return held(o.NOT_IMPLEMENTED)
    calls = 0
    if recipe:
        block = load_ptr(recipe, n.BLOCK)
        if load_i64(block, n.RECIPE_KIND) == n.SAME:
            data = copy_data(block)
            return new_tensor(data, load_ptr(block, n.RECIPE_DTYPE)) if data else None
        calls = counted(block)
    if calls == 0 or calls == n.HOT:
        if show(o.NOTICE_SAME, fn, key, given, named) < 0:
            return None
    return held(o.NOT_IMPLEMENTED)


def view_again(block: ptr, call: ptr) -> ptr:
    """The first operand through the op of a recipe, or itself."""
    x = load_ptr(call, 0)
    prim = load_ptr(block, n.RECIPE_OP)
    if prim is None:
        return held(x)
    given = stack(n.VIEW_ROOM)
    store_ptr(given, 0, x)
    values = load_ptr(block, n.RECIPE_VALUES)
    for i in range(load_i64(values, n.VAR_SIZE)):
        store_ptr(given, 8 + 8 * i, load_ptr(values, n.ITEMS + 8 * i))
    return follow(prim, load_ptr(prim, n.P_RECIPES), given, 1, load_ptr(block, n.RECIPE_NAMES))

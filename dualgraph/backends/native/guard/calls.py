"""Glue: a call of a compiled function that is like the last one goes straight to its program.

What the record of a call holds is said in `guard.table`.
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
from ..quick.apply import tape_switch, thread_switches
from ..quick.objects import held, tuple_of
from ..quick.runs import drop, free_threads, run_program
from ..quick.tape import new_tensor
from .given import opened, same_names
from .outcome import leave, may_be_written
from .places import found_places
from .rows import holds, same_layout, same_number, same_tensor, tensors_hold


def same_argument(x: ptr, record: ptr) -> i64:
    """Whether an argument is like the recorded one."""
    kind = load_i64(record, 0)
    if kind == n.TENSOR:
        return same_tensor(x, load_ptr(record, 8))
    if kind == n.NUMBER:
        return same_number(x, load_ptr(record, 8))
    if kind == n.ANY:
        return load_ptr(x, n.TYPE) == load_ptr(record, 8)
    return same_layout(x, load_ptr(record, 8))


def same_arguments(hot: ptr, args: ptr, count: i64) -> i64:
    """Whether all arguments are like the recorded ones, and are one object where those were."""
    if count != load_i64(hot, n.H_COUNT):
        return 0
    table = load_ptr(hot, n.H_ARGUMENTS)
    strangers = load_ptr(hot, n.H_TENSORS)
    for i in range(count):
        x = load_ptr(args, 8 * i)
        record = table + 24 * i
        if not same_argument(x, record):
            return 0
        if load_i64(record, 0) != n.NUMBER and load_i64(record, 0) != n.ANY:
            first = load_i64(record, 16)
            for j in range(i):
                if (load_ptr(args, 8 * j) == x) and j < first:
                    return 0
            if first < i and load_ptr(args, 8 * first) != x:
                return 0
            for j in range(load_i64(hot, n.H_TENSOR_COUNT)):
                if load_ptr(strangers, 8 * j) == x:
                    return 0
    return 1


def like_before(hot: ptr, args: ptr, count: i64, found: ptr) -> i64:
    """Whether a call is like the recorded one: 1, or 2 where Python ran to say so; 0, or -1 with an error set.

    The tensors at places that the program reads are written to `found`, borrowed.
    """
    if tape_switch() != load_i64(hot, n.H_TAPE):
        return 0
    switches = thread_switches()
    if switches is None or c.PyDict_GetItemWithError(switches, o.S_DEVICE) != load_ptr(
        hot, n.H_DEVICE
    ):
        return 0
    if not same_arguments(hot, args, count):
        return 0
    good = holds(load_ptr(hot, n.H_ROWS), load_i64(hot, n.H_ROW_COUNT))
    if good > 0 and load_i64(hot, n.H_PLACE_COUNT) and not found_places(hot, args, count, found):
        return 0
    return good


def still(hot: ptr, args: ptr, count: i64, found: ptr) -> i64:
    """Whether memory is as recorded and the tensors at places are those `found`, now that Python ran: in other threads,
    too, which may have given tensors other memory."""
    if not same_arguments(hot, args, count):
        return 0
    if not tensors_hold(load_ptr(hot, n.H_ROWS), load_i64(hot, n.H_ROW_COUNT)):
        return 0
    if load_i64(hot, n.H_PLACE_COUNT):
        now = stack(n.OPERAND_ROOM)
        if not found_places(hot, args, count, now):
            return 0
        for i in range(load_i64(hot, n.H_FOUND_COUNT)):
            if load_ptr(now, 8 * i) != load_ptr(found, 8 * i):
                return 0
    return 1


def call_compiled(self: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """``compiled(*args, **kwargs)``."""
    known = load_ptr(self, n.C_HOT)
    if known and load_ptr(known, n.TYPE) == o.STRAIGHT:
        left = load_ptr(load_ptr(known, n.STRAIGHT_LEFT), n.A_DATA)
        if load_i64(left, 0) > 0:
            store_i64(left, 0, load_i64(left, 0) - 1)
            return call_straight(load_ptr(known, n.STRAIGHT_FN), args, count, names)
        return call_slowly(self, args, count, names)
    if known:
        c.Py_IncRef(known)
        for i in range(load_i64(known, n.VAR_SIZE)):
            done = call_hot(self, load_ptr(known, n.ITEMS + 8 * i), args, count, names)
            if done != o.DECLINE:
                c.Py_DecRef(known)
                return done
        c.Py_DecRef(known)
    return call_slowly(self, args, count, names)


def call_hot(self: ptr, hot: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """The call, if it is like the recorded one; else o.DECLINE."""
    record = load_ptr(load_ptr(hot, n.HOT_RECORD), n.A_DATA)
    if count != load_i64(record, n.H_POSITIONAL):
        return o.DECLINE
    if not same_names(names, load_ptr(record, n.H_NAMES)):
        return o.DECLINE
    given = count
    if names:
        given = count + load_i64(names, n.VAR_SIZE)
    if load_ptr(record, n.H_CONTAINERS) is None:
        return call_with(self, hot, args, given)
    leaves = opened(record, args, given)
    if leaves is None or leaves == o.DECLINE:
        return leaves
    done = call_with(self, hot, leaves + n.ITEMS, load_i64(record, n.H_COUNT))
    c.Py_DecRef(leaves)
    return done


def call_with(self: ptr, hot: ptr, args: ptr, count: i64) -> ptr:
    """The same, by the leaves of the arguments."""
    found = stack(n.OPERAND_ROOM)
    like = like_before(load_ptr(load_ptr(hot, n.HOT_RECORD), n.A_DATA), args, count, found)
    if like < 0:
        return None
    return run_hot(self, hot, args, count, found, like) if like else o.DECLINE


def run_hot(self: ptr, hot: ptr, args: ptr, count: i64, found: ptr, like: i64) -> ptr:
    """Runs the program of a call that is `like` the recorded one; `found` are the tensors at places.

    o.DECLINE where it is for another program after all.
    """
    record = load_ptr(load_ptr(hot, n.HOT_RECORD), n.A_DATA)
    threads = free_threads(record + n.H_RUN)
    left = load_i64(record, n.H_LEFT)
    if threads and left > 0 and (like == 1 or still(record, args, count, found)):
        store_i64(record, n.H_LEFT, left - 1)
        done = run_natively(record, args, count, found, threads)
        if done != o.DECLINE:
            return done
    leaves = tuple_of(args, count)
    if leaves is None:
        return None
    given = stack(24)
    store_ptr(given, 0, self)
    store_ptr(given, 8, load_ptr(hot, n.HOT_PROGRAM))
    store_ptr(given, 16, leaves)
    done = c.PyObject_VectorcallDict(o.RUN, given, 3, None)
    c.Py_DecRef(leaves)
    if done == o.UNLIKE:
        c.Py_DecRef(done)
        return o.DECLINE
    return done


def run_natively(record: ptr, args: ptr, count: i64, found: ptr, threads: i64) -> ptr:
    """Runs a program and sees to what it leaves behind; o.DECLINE where numbers or memory are for another path, or a
    check fails."""
    states = load_i64(record, n.H_STATE_COUNT)
    places = load_i64(record, n.H_FOUND_COUNT)
    tensors = args
    if states + places:
        tensors = stack(n.OPERAND_ROOM)
        for i in range(count):
            store_ptr(tensors, 8 * i, load_ptr(args, 8 * i))
        for i in range(states):
            store_ptr(tensors, 8 * (count + i), load_ptr(load_ptr(record, n.H_STATES), 8 * i))
        for i in range(places):  # other threads may put others there meanwhile
            store_ptr(tensors, 8 * (count + states + i), held(load_ptr(found, 8 * i)))
    out = run_on(record, args, count, tensors, threads)
    for i in range(places):
        c.Py_DecRef(load_ptr(tensors, 8 * (count + states + i)))
    return out


def run_on(record: ptr, args: ptr, count: i64, tensors: ptr, threads: i64) -> ptr:
    """`run_natively` on tensors: the arguments, those that the program always takes, and those at places."""
    after = load_ptr(record, n.H_AFTER)
    numbers = None
    if load_ptr(record, n.H_NUMBERS):
        numbers = c.PyObject_VectorcallDict(load_ptr(record, n.H_NUMBERS), args, count, None)
        if numbers is None:
            return None
        if numbers == o.NONE:
            c.Py_DecRef(numbers)
            return o.DECLINE
        if load_i64(load_ptr(record + n.H_RUN, n.R_BUSY), 0) != load_i64(record, n.H_TAKEN):
            c.Py_DecRef(numbers)  # another thread runs it since, or a call in between has run
            return o.DECLINE
    good = 1
    if numbers:
        states = load_i64(record, n.H_STATE_COUNT)
        good = still(record, args, count, tensors + 8 * (count + states))
    if good and after:
        good = may_be_written(after, tensors)
    if not good:
        if load_i64(record, n.H_TAKEN):
            store_i64(load_ptr(record + n.H_RUN, n.R_BUSY), 0, 0)
        c.Py_DecRef(numbers)
        return o.DECLINE
    made = stack(n.RESULT_ROOM)
    out = run_program(record + n.H_RUN, tensors, numbers, threads, made)
    if out and out != o.DECLINE:
        tally = load_ptr(record, n.H_TALLY)
        store_i64(tally, 0, load_i64(tally, 0) + 1)
        if after:
            out = leave(after, tensors, numbers, made)
            drop(made, load_i64(record + n.H_RUN, n.R_RESULT_COUNT))
        else:
            out = new_tensor(out, load_ptr(record, n.H_DTYPE))
    c.Py_DecRef(numbers)
    return out


def call_slowly(self: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """The call as Python makes it."""
    operands = c.PyTuple_New(count + 1)
    if operands is None:
        return None
    store_ptr(operands, n.ITEMS, held(self))
    for i in range(count):
        store_ptr(operands, n.ITEMS + 8 * (i + 1), held(load_ptr(args, 8 * i)))
    params = named(args + 8 * count, names)
    done = c.PyObject_Call(o.CALL, operands, params)
    c.Py_DecRef(operands)
    c.Py_DecRef(params)
    return done


def call_straight(fn: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """``fn(*args, **kwargs)``."""
    params = named(args + 8 * count, names)
    c.Py_IncRef(fn)
    done = c.PyObject_VectorcallDict(fn, args, count, params)
    c.Py_DecRef(fn)
    c.Py_DecRef(params)
    return done


def named(values: ptr, names: ptr) -> ptr:
    """A new dict of `values` by `names`; null without names, or with an error set."""
    if names is None:
        return None
    params = c.PyDict_New()
    if params:
        for i in range(load_i64(names, n.VAR_SIZE)):
            c.PyDict_SetItem(params, load_ptr(names, n.ITEMS + 8 * i), load_ptr(values, 8 * i))
    return params

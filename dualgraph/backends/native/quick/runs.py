"""Glue: programs of one native segment that make new arrays, run without Python. `run_words` has their records."""

from __future__ import annotations

from ..glue.capi import (
    c,
    call_void,
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
from .memory import new_array
from .objects import held


def free_threads(run: ptr) -> i64:
    """How many threads a program may have that is run without Python; 0 where it is not, or is running."""
    if load_ptr(run, n.R_FUNCTION) is None or load_i64(load_ptr(run, n.R_BUSY), 0):
        return 0
    threads = load_i64(run, n.R_THREADS)
    wanted = load_i64(load_ptr(run, n.R_SIZE), 0)
    if wanted < threads:
        threads = wanted
    if load_i64(load_ptr(run, n.R_TEAM), 8) < threads:  # not started, as after a fork
        return 0
    return threads


def fails(run: ptr) -> i64:
    """Whether a check of the program that has run failed; all are made ready for the next run."""
    cells = load_ptr(run, n.R_CHECKS)
    failed = 0
    for i in range(load_i64(run, n.R_CHECK_COUNT)):
        cell = load_ptr(cells, 8 * i)
        if load_i64(cell, 0) == 0:
            store_i64(cell, 0, 1)
            failed = 1
    return failed


def drop(arrays: ptr, count: i64) -> None:
    """Gives up references."""
    for i in range(count):
        c.Py_DecRef(load_ptr(arrays, 8 * i))


def new_results(run: ptr, made: ptr) -> i64:
    """Writes a new array for each result to `made`; 0 with an error set."""
    table = load_ptr(run, n.R_RESULTS)
    for i in range(load_i64(run, n.R_RESULT_COUNT)):
        array = new_array(
            load_ptr(table, 0), load_i64(table, 8), load_ptr(table, 16), load_i64(table, 24)
        )
        if array is None:
            drop(made, i)
            return 0
        store_ptr(made, 8 * i, array)
        table = table + n.RESULT_WORDS
    return 1


def run_program(run: ptr, args: ptr, numbers: ptr, threads: i64, made: ptr) -> ptr:
    """The first of the arrays that a program makes of tensors, and of numbers as arrays in a tuple (null without any).

    The references of all it makes are written to `made` (o.NONE, borrowed, where it makes none). o.DECLINE, borrowed,
    where a check fails; null with an error.
    """
    store_ptr(made, 0, o.NONE)
    busy = load_ptr(run, n.R_BUSY)
    if not new_results(run, made):
        store_i64(busy, 0, 0)
        return None
    places = load_ptr(run, n.R_OPERANDS)
    operands = stack(n.OPERAND_ROOM)
    count = load_i64(run, n.R_OPERAND_COUNT)
    for i in range(count):
        which = load_i64(places, 8 * i)
        number = 0 - which - 1 - load_i64(run, n.R_RESULT_COUNT)
        array = None
        if which >= 0:
            array = load_ptr(load_ptr(args, 8 * which), n.T_DATA)
        elif number >= 0:
            array = load_ptr(numbers, n.ITEMS + 8 * number)
        else:
            array = load_ptr(made, 8 * (0 - which - 1))
        store_ptr(operands, 8 * i, held(array))  # another thread may exchange a tensor's array
    thread = None
    if not load_i64(run, n.R_BRIEF):
        store_i64(busy, 0, 1)
        thread = c.PyEval_SaveThread()
    call_void(
        load_ptr(run, n.R_FUNCTION),
        load_ptr(load_ptr(run, n.R_TEAM), 0),
        load_ptr(run, n.R_CODE),
        load_ptr(run, n.R_WORDS),
        load_i64(run, n.R_STRIDE),
        operands,
        threads,
    )
    if thread:
        c.PyEval_RestoreThread(thread)
    failed = fails(run)
    store_i64(busy, 0, 0)
    drop(operands, count)
    if failed:
        drop(made, load_i64(run, n.R_RESULT_COUNT))
        return o.DECLINE
    return load_ptr(made, 0)

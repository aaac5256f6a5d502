"""Glue: the caching allocator - freed blocks of large arrays wait here for the next array of about their size.

Fresh memory costs more than the op that fills it: the system gives and takes it page by page. The functions are those
of a memory handler of NumPy's (``PyDataMem_Handler``), so an array takes its block back here whoever frees it.

The state is an array of i64: LOCK, CACHED (bytes that wait), LIMIT (bytes that may), HITS, MISSES, FREED
(since the last look), READY (whether the handler is filled in), then for each class of sizes its first free block
and whether it was of use since the last look. Blocks have a header of 64 bytes: their size, their class (-1: not
kept) and the address that the system gave. A free block keeps the next one in its first bytes. There are 8
classes for each doubling, so that at most an eighth is wasted.
"""

from __future__ import annotations

from ..glue.capi import (
    bits,
    c,
    i64,
    load_i32,
    load_i64,
    load_ptr,
    n,
    o,
    pointer,
    ptr,
    store_i32,
    store_i64,
    store_ptr,
    swap_i64,
)


def class_of(size: i64) -> i64:
    """The class of a size; -1 where blocks are not kept."""
    if size <= n.SMALL:
        return -1
    doublings = 0
    eighths = (size - 1) >> 13
    while eighths >= 16:
        eighths = eighths >> 1
        doublings += 1
    found = doublings * 8 + eighths - 8
    return found if found < n.CLASSES else -1


def class_size(kind: i64) -> i64:
    """The bytes that blocks of a class have."""
    return (kind % 8 + 9) << (kind // 8 + 13)


def fresh(kind: i64, size: i64, zeroed: i64) -> ptr:
    """A block of the system's, with its header; null where there is no memory."""
    whole = size + 136
    raw = c.PyMem_RawCalloc(1, whole) if zeroed else c.PyMem_RawMalloc(whole)
    if raw is None:
        return None
    block = pointer((bits(raw) + 127) & (0 - 64))
    store_i64(block, -24, size)
    store_i64(block, -16, kind)
    store_ptr(block, -8, raw)
    return block


def bin_of(state: ptr, kind: i64) -> ptr:
    """Where a class has its first free block, and its mark of use."""
    return state + (n.BINS + 16 * kind)


def lock(state: ptr) -> None:
    while swap_i64(state, 1):
        pass


def unlock(state: ptr) -> None:
    swap_i64(state, 0)


def take(state: ptr, kind: i64) -> ptr:
    """A free block of a class, or null."""
    lock(state)
    place = bin_of(state, kind)
    block = load_ptr(place, 0)
    store_i64(place, 8, 1)
    if block:
        store_ptr(place, 0, load_ptr(block, 0))
        store_i64(state, n.CACHED, load_i64(state, n.CACHED) - class_size(kind))
        store_i64(state, n.HITS, load_i64(state, n.HITS) + 1)
    else:
        store_i64(state, n.MISSES, load_i64(state, n.MISSES) + 1)
    unlock(state)
    return block


def memory_malloc(state: ptr, size: i64) -> ptr:
    """Memory of at least `size` bytes."""
    kind = class_of(size)
    if kind < 0:
        return fresh(kind, size, 0)
    block = take(state, kind)
    return block if block else fresh(kind, class_size(kind), 0)


def memory_calloc(state: ptr, count: i64, each: i64) -> ptr:
    """Memory of zeros."""
    kind = class_of(count * each)
    if kind < 0:
        return fresh(kind, count * each, 1)
    block = take(state, kind)
    if block is None:
        return fresh(kind, class_size(kind), 1)
    for i in range((count * each + 7) // 8):
        store_i64(block, 8 * i, 0)
    return block


def release_idle(state: ptr, everything: i64) -> None:
    """Gives the blocks of classes that were of no use since the last look back to the system; or those of all."""
    for kind in range(n.CLASSES):
        lock(state)
        place = bin_of(state, kind)
        block = None
        if everything or not load_i64(place, 8):
            block = load_ptr(place, 0)
            store_ptr(place, 0, None)
        store_i64(place, 8, 0)
        unlock(state)
        while block:
            following = load_ptr(block, 0)
            lock(state)
            store_i64(state, n.CACHED, load_i64(state, n.CACHED) - class_size(kind))
            unlock(state)
            c.PyMem_RawFree(load_ptr(block, -8))
            block = following


def memory_free(state: ptr, block: ptr, size: i64) -> None:
    """Takes memory back."""
    if block is None:
        return
    kind = load_i64(block, -16)
    if kind < 0:
        c.PyMem_RawFree(load_ptr(block, -8))
        return
    lock(state)
    total = load_i64(state, n.CACHED) + class_size(kind)
    kept = total <= load_i64(state, n.LIMIT)
    if kept:
        place = bin_of(state, kind)
        store_ptr(block, 0, load_ptr(place, 0))
        store_ptr(place, 0, block)
        store_i64(state, n.CACHED, total)
    freed = load_i64(state, n.FREED) + 1
    store_i64(state, n.FREED, 0 if freed >= n.LOOK else freed)
    unlock(state)
    if not kept:
        c.PyMem_RawFree(load_ptr(block, -8))
    if freed >= n.LOOK:
        release_idle(state, 0)


def memory_realloc(state: ptr, block: ptr, size: i64) -> ptr:
    """The same bytes in memory of another size."""
    made = memory_malloc(state, size)
    if made is None or block is None:
        return made
    held = load_i64(block, -24)
    copy_words(made, block, size if size < held else held)
    memory_free(state, block, held)
    return made


def copy_words(target: ptr, source: ptr, size: i64) -> None:
    """Copies bytes, rounded up to words: blocks have room for that."""
    for i in range((size + 7) // 8):
        store_i64(target, 8 * i, load_i64(source, 8 * i))


def new_array(descr: ptr, ndim: i64, dims: ptr, size: i64) -> ptr:
    """A new array of `size` bytes, its elements row by row; `descr` is borrowed."""
    c.Py_IncRef(descr)
    state = load_ptr(o.BLOCKS, n.A_DATA)
    if size <= n.SMALL or load_i64(state, n.READY) == 0:
        return c.PyArray_NewFromDescr(o.NDARRAY, descr, ndim, dims, None, None, 0, None)
    block = memory_malloc(state, size)
    if block is None:
        c.Py_DecRef(descr)
        return c.PyErr_NoMemory()
    out = c.PyArray_NewFromDescr(o.NDARRAY, descr, ndim, dims, None, block, n.OWN_ROWS, None)
    if out is None:
        memory_free(state, block, size)
        return None
    c.PyTraceMalloc_Track(n.TRACE_DOMAIN, bits(block), size)
    store_i32(out, n.A_FLAGS, load_i32(out, n.A_FLAGS) | n.OWNED)
    c.Py_IncRef(o.HANDLER)
    store_ptr(out, n.A_HANDLER, o.HANDLER)
    return out

"""Glue: new tensors, and their entries on the tape. What `eager.dispatch` does in Python."""

from __future__ import annotations

from ..glue.capi import c, i64, load_i32, load_i64, load_ptr, n, o, ptr, stack, store_ptr
from .objects import held, item, pair, single_tuple
from .place import user_place


def new_tensor(data: ptr, dtype: ptr) -> ptr:
    """A tensor around an array, whose reference it takes over."""
    out = c.PyType_GenericAlloc(o.TENSOR, 0)
    if out is None:
        c.Py_DecRef(data)
        return None
    store_ptr(out, n.T_DATA, data)
    store_ptr(out, n.T_DTYPE, held(dtype))
    store_ptr(out, n.T_DEVICE, held(o.CPU))
    store_ptr(out, n.T_REQUIRES, held(o.FALSE))
    store_ptr(out, n.T_NODE, held(o.NONE))
    store_ptr(out, n.T_GRAD, held(o.NONE))
    store_ptr(out, n.T_CELL, held(o.NONE))
    store_ptr(out, n.T_PARENT, held(o.NONE))
    store_ptr(out, n.T_INDEX, held(o.ZERO))
    store_ptr(out, n.T_STAMP, held(o.ZERO))
    return out


def new_type(x: ptr) -> ptr:
    """The type of a tensor on the CPU: (dtype, shape, device)."""
    array = load_ptr(x, n.T_DATA)
    count = load_i32(array, n.A_NDIM)
    shape = c.PyTuple_New(count)
    if shape is None:
        return None
    for i in range(count):
        store_ptr(
            shape, n.ITEMS + 8 * i, c.PyLong_FromSsize_t(load_i64(load_ptr(array, n.A_DIMS), 8 * i))
        )
    made = c.PyType_GenericAlloc(o.TENSOR_TYPE, 3)
    if made is None:
        c.Py_DecRef(shape)
        return None
    store_ptr(made, n.ITEMS, held(load_ptr(x, n.T_DTYPE)))
    store_ptr(made, n.ITEMS + 8, shape)
    store_ptr(made, n.ITEMS + 16, held(o.CPU))
    return made


def outdated(t: ptr) -> i64:
    """Whether the memory of a view was written since its place on the tape was set."""
    version = c.PyLong_AsSsize_t(item(load_ptr(t, n.T_CELL), 0))
    return version != c.PyLong_AsSsize_t(load_ptr(t, n.T_STAMP))


def edge_of(x: ptr) -> ptr:
    """Where a cotangent of a tensor goes: ``(node, index)`` or None, owned. Tensor._edge is asked where it matters."""
    parent = load_ptr(x, n.T_PARENT)
    node = load_ptr(x, n.T_NODE)
    ask = 0
    if parent != o.NONE:
        ask = outdated(x)
    if not ask:
        if node != o.NONE:
            return pair(held(node), held(load_ptr(x, n.T_INDEX)))
        if load_ptr(x, n.T_REQUIRES) == o.FALSE:
            return held(o.NONE)
    given = stack(8)
    store_ptr(given, 0, x)
    return c.PyObject_VectorcallMethod(o.S_EDGE, given, 1, None)


def is_number(x: ptr) -> i64:
    """Whether an operand is a Python number."""
    kind = load_ptr(x, n.TYPE)
    return kind == o.FLOAT or kind == o.INT or kind == o.BOOL


def kept_operand(x: ptr, read: i64) -> ptr:
    """What the entry keeps of an operand: a number, a tensor with its version, or a type. Owned."""
    if is_number(x):
        return held(x)
    if not read:
        return new_type(x)
    cell = load_ptr(x, n.T_CELL)
    version = o.ZERO if cell == o.NONE else item(cell, 0)
    return pair(held(x), held(version))


def version_cell(x: ptr) -> ptr:
    """The list ``[version, line]`` of a tensor, made if there is none; borrowed."""
    cell = load_ptr(x, n.T_CELL)
    if cell == o.NONE:
        cell = c.PyList_New(2)
        if cell:
            store_ptr(load_ptr(cell, n.LIST_ITEMS), 0, held(o.ZERO))
            store_ptr(load_ptr(cell, n.LIST_ITEMS), 8, held(o.NONE))
            c.Py_DecRef(load_ptr(x, n.T_CELL))
            store_ptr(x, n.T_CELL, cell)
    return cell


def count_write(t: ptr) -> i64:
    """Counts a write to the memory of a tensor; -1 with an error set."""
    cell = version_cell(t)
    if cell is None:
        return -1
    version = c.PyLong_FromSsize_t(c.PyLong_AsSsize_t(item(cell, 0)) + 1)
    if version is None:
        return -1
    items = load_ptr(cell, n.LIST_ITEMS)
    before = load_ptr(items, 0)
    store_ptr(items, 0, version)
    c.Py_DecRef(before)
    before = load_ptr(t, n.T_STAMP)
    store_ptr(t, n.T_STAMP, held(version))
    c.Py_DecRef(before)
    return 0


def kept_result(out: ptr, itself: i64) -> ptr:
    """What the entry keeps of a result that its rule reads: ``((array, cell, version, dtype, device, None),)``.

    A capture knows results by identity: for one the entry keeps the result `itself`, last, and no array.
    """
    cell = version_cell(out)
    made = c.PyTuple_New(6) if cell else None
    if made is None:
        return None
    store_ptr(made, n.ITEMS, held(o.NONE if itself else load_ptr(out, n.T_DATA)))
    store_ptr(made, n.ITEMS + 8, held(cell))
    store_ptr(made, n.ITEMS + 16, held(item(cell, 0)))
    store_ptr(made, n.ITEMS + 24, held(load_ptr(out, n.T_DTYPE)))
    store_ptr(made, n.ITEMS + 32, held(o.CPU))
    store_ptr(made, n.ITEMS + 40, held(out if itself else o.NONE))
    return single_tuple(made)


def new_node(prim: ptr, edges: ptr, params: ptr, types: ptr, saved: ptr) -> ptr:
    """A tape entry; takes over `edges`, `types` and `saved`."""
    place = user_place()
    time = c.PyIter_Next(o.SEQUENCE)
    node = None
    if edges and saved and types and place and time:
        node = c.PyType_GenericAlloc(o.TAPE_NODE, 0)
    if node is None:
        c.Py_DecRef(edges)
        c.Py_DecRef(saved)
        c.Py_DecRef(types)
        c.Py_DecRef(place)
        c.Py_DecRef(time)
        return None
    store_ptr(node, n.N_PRIM, held(prim))
    store_ptr(node, n.N_INPUTS, edges)
    store_ptr(node, n.N_PARAMS, held(params))
    store_ptr(node, n.N_OUTPUTS, types)
    store_ptr(node, n.N_AT, place)
    store_ptr(node, n.N_SAVED, saved)
    store_ptr(node, n.N_SEQ, time)
    store_ptr(node, n.N_HOOKS, held(o.NONE))
    store_ptr(node, n.N_RELEASED, held(o.FALSE))
    return node


def edges_of(args: ptr, count: i64) -> ptr:
    """The edges of operands; o.NONE (borrowed) where no gradient is wanted of any; null with an error set."""
    edges = c.PyTuple_New(count)
    if edges is None:
        return None
    wanted = 0
    for i in range(count):
        x = load_ptr(args, 8 * i)
        edge = held(o.NONE) if is_number(x) else edge_of(x)
        if edge is None:
            c.Py_DecRef(edges)
            return None
        if edge != o.NONE:
            wanted = 1
        store_ptr(edges, n.ITEMS + 8 * i, edge)
    if not wanted:
        c.Py_DecRef(edges)
        return o.NONE
    return edges


def kept_operands(args: ptr, count: i64, reads: i64) -> ptr:
    """What the entry keeps of its operands; those in the mask `reads` with their values."""
    kept = c.PyTuple_New(count)
    if kept is None:
        return None
    for i in range(count):
        one = kept_operand(load_ptr(args, 8 * i), (reads >> i) & 1)
        store_ptr(kept, n.ITEMS + 8 * i, one)
        if one is None:
            c.Py_DecRef(kept)
            return None
    return kept


def record(
    prim: ptr, args: ptr, count: i64, params: ptr, reads: i64, reads_out: i64, out: ptr, types: ptr
) -> i64:
    """Puts an op on the tape if one of its operands wants a gradient; -1 with an error set.

    `types` are those of the results; null: to be made. `reads_out`: 1 where its rule reads the result, 2 where that is
    to be kept itself.
    """
    edges = edges_of(args, count)
    if edges is None:
        return -1
    if edges == o.NONE:
        return 0
    results = kept_result(out, reads_out == 2) if reads_out else held(o.NONE)
    saved = pair(kept_operands(args, count, reads), results)
    node = new_node(
        prim, edges, params, held(types) if types else single_tuple(new_type(out)), saved
    )
    if node is None:
        return -1
    before = load_ptr(out, n.T_NODE)
    store_ptr(out, n.T_NODE, node)
    c.Py_DecRef(before)
    return 0

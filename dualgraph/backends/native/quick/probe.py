"""Glue: what the check at installation looks at."""

from __future__ import annotations

from ..glue.capi import c, i64, load_ptr, n, o, ptr, stack, store_i64, store_ptr
from .apply import tape_switch
from .memory import new_array
from .objects import held
from .tape import edge_of, new_tensor, new_type


def probe(self: ptr, args: ptr, count: i64) -> ptr:
    """``probe(array, dtype, x)``: a tensor around the array, the type and the edge of x, the tape's switch."""
    made = c.PyTuple_New(4)
    if made is None:
        return None
    x = load_ptr(args, 16)
    store_ptr(made, n.ITEMS, new_tensor(held(load_ptr(args, 0)), load_ptr(args, 8)))
    store_ptr(made, n.ITEMS + 8, new_type(x))
    store_ptr(made, n.ITEMS + 16, edge_of(x))
    store_ptr(made, n.ITEMS + 24, held(o.TRUE if tape_switch() == 1 else o.FALSE))
    return made


def probe_memory(self: ptr, dtype: ptr) -> ptr:
    """A large array of a NumPy dtype of 8 bytes."""
    dims = stack(8)
    store_i64(dims, 0, n.SMALL)
    return new_array(dtype, 1, dims, 8 * n.SMALL)

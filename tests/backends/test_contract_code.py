"""The code that contractions are written with: masks of lanes, and vectors of which some lanes are stored."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from dualgraph.backends.native import ir
from dualgraph.backends.native.addresses import address_of
from dualgraph.backends.native.contract.code import ELEMENTS, Writer, i64
from dualgraph.backends.native.emit.parts import I64, PTR
from dualgraph.backends.native.jit import jit

COUNTS = (-(2**40), -1, 2**31, 2**32, 2**40)  # beside all from 0 to one more than there are lanes


def compiled(emit, *arguments):
    """A function of the addresses of two arrays, and of as many int64 as there are more arguments."""
    w = Writer(ir.Module(name="code"), "code", (PTR, PTR, *arguments))
    emit(w, *w.fn.args)
    w.b.ret_void()
    machine = jit().compile(str(w.module), ("code",))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * len(arguments))
    call = function(machine.addresses["code"])
    return lambda x, y, *values: call(address_of(x), address_of(y), *values), machine


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nbytes", [16, 32, 64])
def test_the_first_lanes_are_stored_and_nothing_beside_them(dtype, nbytes):
    element = {"float32": "float", "float64": "double"}[dtype]
    lanes = nbytes // np.dtype(dtype).itemsize
    kind = ir.VectorType(ELEMENTS[element], lanes)
    store, _kept = compiled(lambda w, x, y, n: w.store_first(w.load(x, kind), y, n), I64)
    x = np.arange(1, lanes + 1, dtype=dtype)
    for count in (*range(lanes + 2), *COUNTS):
        out = np.full(lanes + 2, -1, dtype)
        store(x, out[1:], count)
        used = min(max(count, 0), lanes)
        assert out.tolist() == [-1, *x[:used], *[-1] * (lanes + 1 - used)], count


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_masks_hold_the_lanes_between_two_counts(lanes):
    def emit(w, out, _, low, high):
        bits = w.b.bitcast(w.between(low, high, lanes), ir.IntType(lanes))
        wide = bits if bits.type == I64 else w.b.zext(bits, I64)
        w.b.store(wide, w.at(out, i64(0)), align=8)

    mask, _kept = compiled(emit, I64, I64)
    found = np.zeros(1, np.int64)
    counts = (*range(lanes + 2), *COUNTS)
    for low in counts:
        for high in counts:
            mask(found, found, low, high)
            assert found[0] == sum(1 << l for l in range(lanes) if low <= l < high), (low, high)

"""Philox4x32-10: random words, sixteen blocks of four at a time; and states of generators that go on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....ops.random import FACTORS, ROUNDS, STEPS
from .. import ir
from ..contract.code import Writer, i64
from ..emit.parts import I32, I64
from ..team.spots import Spot
from .kernels import LANES, address_of, dense, in_order, kernel, share

WORDS = 4  # of a block


def random_bits(state: Any, size: int, out: Any = None) -> Any:
    """`size` words of 32 random bits for the generator state (seed, counter), or for each of several."""
    if state.dtype != np.uint64 or not (out is None or dense(out)):
        return None
    lead = state.shape[:-1]
    out = np.empty((*lead, size), np.uint32) if out is None else out
    call, blocks = words_code(), -(-size // WORDS)
    if type(state) is Spot:
        state = in_order(state)
        for i, row in enumerate(_rows(out, size)):
            own = Spot(state.at + 16 * i, (2,), state.dtype)
            share(
                states_code(),
                (row.at, own.at, size),
                blocks,
                8 * row.nbytes,
                LANES,
                spots=((own,), (row,)),
            )
        return out
    rows = out.reshape((-1, size)) if size else ()
    for (seed, counter), row in zip(state.reshape((-1, 2)).tolist(), rows, strict=False):
        fixed = address_of(row), size, seed, counter
        share(call, fixed, blocks, 8 * row.nbytes, LANES)
    return out


def advance(state: Any, blocks: int, out: Any = None) -> Any:
    """The states with their counters moved on, in a native program."""
    if type(state) is not Spot or not dense(out):
        return None
    state = in_order(state)
    fixed, count = (out.at, state.at, blocks), state.size // 2
    share(advance_code(), fixed, count, state.nbytes, spots=((state,), (out,)))
    return out


@kernel(pointers=2, numbers=3)
def advance_code(w: Writer) -> None:
    """``(out, state, blocks, begin, end)``: states are pairs of seed and counter."""
    out, state, blocks, begin, end = w.fn.args
    b = w.b
    with w.loop(end, begin) as turn:
        seed, counter = (b.add(w.scaled(turn.i, 2), i64(i)) for i in range(2))
        b.store(w.word(state, seed), w.at(out, w.scaled(seed, 8)), align=8)
        value = b.add(w.word(state, counter), blocks)
        b.store(value, w.at(out, w.scaled(counter, 8)), align=8)


def _rows(out: Spot, size: int) -> list[Spot]:
    flat = out.reshape((-1, size))
    return [Spot(flat.at + i * flat.strides[0], (size,), out.dtype) for i in range(flat.shape[0])]


@kernel(pointers=1, numbers=5)
def words_code(w: Writer) -> None:
    """``(out, size, seed, counter, begin, end)``: blocks `begin`, a multiple of 16, to `end`."""
    _write_words(w, *w.fn.args)


@kernel(pointers=2, numbers=3)
def states_code(w: Writer) -> None:
    """``(out, state, size, begin, end)``: the same, with the seed and the counter in memory."""
    out, state, size, begin, end = w.fn.args
    _write_words(w, out, size, w.word(state, i64(0)), w.word(state, i64(1)), begin, end)


def _write_words(
    w: Writer,
    out: ir.Value,
    size: ir.Value,
    seed: ir.Value,
    counter: ir.Value,
    begin: ir.Value,
    end: ir.Value,
) -> None:
    """Writes blocks of four words, LANES counters at a time, from `begin` to `end`."""
    b = w.b
    narrow, wide = ir.VectorType(I32, LANES), ir.VectorType(I64, LANES)
    half = ir.Constant(wide, [32] * LANES)
    iota = ir.Constant(wide, list(range(LANES)))
    factors = [ir.Constant(wide, [f] * LANES) for f in FACTORS]
    keys = [b.trunc(seed, I32), b.trunc(b.lshr(seed, i64(32)), I32)]
    none = ir.Constant(narrow, [0] * LANES)
    with w.loop(end, begin, LANES) as turn:
        counters = b.add(w.splat(b.add(counter, turn.i), LANES), iota)
        parts = [b.trunc(counters, narrow), b.trunc(b.lshr(counters, half), narrow)]
        with w.loop(i64(ROUNDS), carried=[parts[0], none, parts[1], none, *keys]) as round_:
            even, odd, own = round_.carried[:2], round_.carried[2:4], round_.carried[4:]
            products = [b.mul(b.zext(e, wide), f) for e, f in zip(even, factors, strict=True)][::-1]
            high = [b.trunc(b.lshr(p, half), narrow) for p in products]
            mixed = [b.xor(h, o) for h, o in zip(high, odd, strict=True)]
            round_.carried = [
                *(b.xor(m, w.splat(k, LANES)) for m, k in zip(mixed, own, strict=True)),
                *(b.trunc(p, narrow) for p in products),
                *(b.add(k, ir.Constant(I32, s)) for k, s in zip(own, STEPS, strict=True)),
            ]
        even, odd = round_.carried[:2], round_.carried[2:4]
        halves = [
            b.shuffle_vector(e, o, _indexes(2 * LANES)) for e, o in zip(even, odd, strict=True)
        ]
        order = [
            h * 2 * LANES + p * LANES + i for i in range(LANES) for h in range(2) for p in range(2)
        ]
        words = b.shuffle_vector(*halves, ir.Constant(ir.VectorType(I32, len(order)), order))
        first = b.mul(turn.i, i64(WORDS))
        w.store_first(words, w.at(out, b.mul(first, i64(4))), b.sub(size, first))


def _indexes(count: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, count), list(range(count)))

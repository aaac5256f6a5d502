"""Plans: the search for a cut finds what trying all cuts would, units are as small as costs nothing; tables of batches
are beginnings of longer ones; what a plan needs is made at once."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from dualgraph.backends.native.contract import convolution, cuts, kernels, plan, tables, tiling
from dualgraph.backends.native.contract.cuts import Packing, quickest
from dualgraph.backends.native.contract.operands import Product, Strided
from dualgraph.backends.native.contract.shape import geometry
from dualgraph.core.numbers.worked import Working


def time_of(down, across, whole_x, whole_y, tiles, height, batch, blocks, threads, turn, x, y):
    parts = -(-tiles[0] // down)
    units = batch * parts * -(-tiles[1] // across)
    even = -(-height * tiles[0] // (parts * down))
    turns = -(-across // turn[whole_y])
    unit = down * across + 0.1 * down * turns + down * (x.far if whole_x else x.own) * turns
    unit *= (even + 0.5) / (height + 0.5)
    unit += 0.3 * across + 1 / blocks + across * (y.far if whole_y else y.own)
    once = [p for p, whole in ((x, whole_x), (y, whole_y)) if whole and not p.ready]
    before = sum(p.whole for p in once) / threads + len(once) / blocks
    return (-(-units // threads) + cuts.AWAIT * (threads > 1)) * unit + before


def test_the_search_for_a_cut_leaves_out_nothing_that_wins():
    rng = random.Random(0)
    for _ in range(150):
        tiles = rng.randint(1, 300), rng.randint(1, 100)
        given = (tiles, 14, rng.choice((1, 3)), rng.randint(1, 9), rng.choice((1, 2, 8)))
        turn = (rng.randint(1, 32), tiles[1])
        x, y = (
            Packing(rng.random(), 300 * rng.random(), rng.random(), rng.random() < 0.7, False)
            for _ in "xy"
        )
        parts = [{-(-t // c) for c in cuts.CUTS} for t in tiles]
        all_times = [time_of(*way, *given, turn, x, y) for way in product(*parts, x.ways, y.ways)]
        found = time_of(*quickest(*given, turn, x, y), *given, turn, x, y)
        # each cut that is taken is better than the one before by so much
        assert min(all_times) <= found <= min(all_times) / cuts.BETTER * (1 + 1e-12)


@pytest.fixture
def planned(monkeypatch):
    """``planned(threads, m, k, n)``: the plan of a product on low tiles whose operands both lie along k."""

    def make(threads, m, k, n):
        monkeypatch.setattr(plan.pool, "size", threads)
        start = np.zeros(1, np.int64)
        along = Strided(4 * k, 4)
        sizes = Product("float32", m, n, k, along, along, 4 * n, (start, start, start))
        return plan.Plan(sizes, shape=geometry("float32", 32)).tiling

    return make


@pytest.mark.parametrize("m", [32, 64, 128])
def test_columns_that_one_unit_alone_reads_are_packed_by_it(planned, m):
    found = planned(2, m, 784, 512)
    assert found.cut.rows >= m and not found.cut.whole_y
    assert found.units == 16  # small ones: threads end together
    assert planned(1, m, 784, 512).units == 1


def test_columns_are_packed_a_few_at_a_time_where_rows_are_read_in_place(planned):
    alone = planned(1, 32, 784, 512)
    assert not alone.pack_x and alone.nc == tiling.FEWER
    assert planned(1, 512, 784, 512).nc == tiling.NC  # rows would be packed again for each few


@pytest.mark.parametrize("n", [384, 511, 512, 513])
def test_units_that_pack_their_own_rows_are_small(planned, n):
    found = planned(2, n, n, n)
    assert found.cut.whole_y and not found.cut.whole_x
    assert found.units > 10
    assert planned(1, n, n, n).units == 1


@pytest.mark.parametrize("nbytes", [16, 32, 64])
def test_columns_that_many_tiles_read_are_packed(nbytes):
    shape = geometry("float32", nbytes)
    assert not shape.rather_packed(2 * shape.rows, 256)  # packing takes longer than it saves
    assert not shape.rather_packed(1000, 16)  # a few lines stay near anyhow
    assert shape.rather_packed(32 * shape.rows, 256)
    assert shape.rather_packed(32 * shape.rows, 10_000)


def test_tables_of_batches_are_beginnings_of_one():
    for n in (5, 3, 0, 9, 10, 2, 1, 40):
        found = tables.table((n, 1000), (3, 10), (2, 1), start=7)
        wanted = [1000 * i + 10 * j + k + 7 for i in range(n) for j in range(3) for k in range(2)]
        assert found.tolist() == wanted
        with pytest.raises(ValueError, match="read-only"):
            found[:] = 0
    longest = tables.table((40, 1000), (3, 10), (2, 1), start=7)
    assert np.shares_memory(longest, tables.table((12, 1000), (3, 10), (2, 1), start=7))


def test_equal_questions_about_sizes_are_asked_once():
    work, asked = Working(), []
    n, m = work.size(6), work.size(6)

    def double(x):
        asked.append(x)
        return (2 * x,)

    found = [work.once("double", (x, 4), lambda x=x: work.call(double, x)) for x in (n, n, m)]
    cells = np.zeros(3, dtype=np.int64)
    for i, (number,) in enumerate(found):
        work.put(cells, i, number)
    assert asked == [6, 6]
    assert work.function()(5, 8)
    assert cells.tolist() == [10, 10, 16]
    assert asked == [6, 6, 5, 8]


class Recorded:
    """Stands for the JIT: code that is asked for is made when its addresses are."""

    def __init__(self, jit):
        self.jit, self.heard = jit, []

    def __getattr__(self, name):
        return getattr(self.jit, name)

    def compile(self, *_):
        self.heard.append("begun")
        return type("Code", (), {"addresses": property(self.made)})()

    def made(self, _):
        self.heard.append("waited for")
        return defaultdict(lambda: 1)


@pytest.mark.parametrize(
    ("kind", "y"), [("Forward", (8, 3, 3, 3)), ("WeightGradient", (40, 8, 9, 9))]
)
def test_kernels_of_a_convolution_are_begun_before_one_is_waited_for(monkeypatch, kind, y):
    places = *vars(kernels).values(), *vars(tiling).values()
    caches = [f for f in places if hasattr(f, "cache_clear")]
    recorded = Recorded(kernels.jit())
    monkeypatch.setattr(kernels, "jit", lambda: recorded)
    x = np.zeros((40, 3, 9, 9), "f4"), np.zeros(y, "f4"), *([(3, 3)] if kind != "Forward" else [])
    how = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    try:
        for f in caches:
            f.cache_clear()
        getattr(convolution, kind)(*x, **how)
    finally:
        for f in caches:
            f.cache_clear()
    first = recorded.heard.index("waited for")
    assert first >= 4 and "begun" not in recorded.heard[first:]


def test_products_that_are_alike_are_decided_once():
    start = np.full(1, 640, np.int64)
    along = Strided(4 * 61, 4)
    first, other = (
        plan.Plan(Product("float32", 700, 64, 61, along, along, 256, (at, start, at)), slots=slots)
        for at, slots in ((np.zeros(1, np.int64), (0, 1, 2)), (start, (2, 0, 1)))
    )
    assert first.tiling is other.tiling
    assert first.record.words != other.record.words


def test_a_full_cache_drops_the_oldest_alone():
    kept = dict.fromkeys(range(5))
    tables.make_room(kept, 5)
    assert list(kept) == [1, 2, 3, 4]
    tables.make_room(kept, 5)
    assert list(kept) == [1, 2, 3, 4]

"""Movers: native kernels of ops that move, pick and add have the bits of the ops' NumPy kernels."""

from __future__ import annotations

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api, claims
from dualgraph.backends.native.threads import get_num_threads, set_num_threads
from dualgraph.core.errors import BoundsError
from dualgraph.core.prim import REGISTRY
from dualgraph.ops import pooling  # noqa: F401 (its ops are known once it is loaded)

pytestmark = pytest.mark.skipif(not api.available(), reason="native code needs llvmlite")

FLOATS = ("float32", "float64")
ELEMENTS = (
    "bool",
    "int8",
    "uint8",
    "float16",
    "int32",
    "float32",
    "int64",
    "float64",
    "complex128",
)
POOLS = [
    ((2, 3, 8, 9), (2, 2), (2, 2), (1, 1)),
    ((3, 50), (3,), (1,), (1,)),
    ((40,), (4,), (3,), (2,)),
    ((1, 1, 40, 37), (3, 3), (1, 1), (1, 1)),
    ((4, 5, 19, 40), (3, 2), (2, 3), (2, 1)),
    ((2, 6, 7, 36), (2, 2, 2), (2, 1, 2), (1, 2, 1)),
    ((70, 5, 5), (5, 5), (1, 1), (1, 1)),
]


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request, monkeypatch):
    """All arrays count as large, so that two threads share each."""
    from dualgraph.backends.native.movers import indexing, kernels, moving, ordering, strided

    before = get_num_threads()
    set_num_threads(request.param)
    monkeypatch.setattr(kernels, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(indexing, "SMALL", 0)
    monkeypatch.setattr(ordering, "SMALL", 0)
    monkeypatch.setattr(moving, "SMALL", 0)
    monkeypatch.setattr(moving, "LARGE", 0)
    monkeypatch.setattr(strided, "SMALL", 0)
    monkeypatch.setattr(strided, "LONG", 0)
    strided._plan.cache_clear()
    yield
    strided._plan.cache_clear()
    set_num_threads(before)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def special(rng, shape, dtype):
    """Numbers with many ties, zeros of both signs and NaN."""
    x = rng.integers(-3, 4, shape).astype(dtype)
    if x.dtype.kind == "f":
        x[x == 0] = -0.0
        x[rng.random(shape) < 0.03] = np.nan
    return x


def agree(name, *arrays, **params):
    """The native kernel, into new and into given memory, gives what the op's own kernel gives."""
    kernel = claims.claimed(name, *[a.dtype for a in arrays])
    with np.errstate(all="ignore"):
        expected = REGISTRY[name].kernel(np, *arrays, **params)
    multiple = isinstance(expected, tuple)
    wanted = expected if multiple else (expected,)
    given = tuple(np.full(e.shape, 7, e.dtype) for e in wanted)
    for out in (None, given if multiple else given[0]):
        result = kernel(*arrays, out=out, **params)
        if result is None:
            assert name in (
                "reshape",
                "copy",
            )  # views and copies are NumPy's where it makes the memory
            continue
        for got, want in zip(result if multiple else (result,), wanted, strict=True):
            assert got.shape == want.shape and got.dtype == want.dtype
            assert got.tobytes() == np.array(want, order="C").tobytes(), (name, params)
    return expected


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("shape", "sizes", "steps", "dilations"), POOLS)
def test_pooling_keeps_the_bits(rng, shape, sizes, steps, dilations, dtype):
    how = {"sizes": sizes, "steps": steps, "dilations": dilations}
    x = special(rng, shape, dtype)
    values, places = agree("max_pool", x, **how)
    ct = special(rng, values.shape, dtype) * rng.standard_normal(values.shape).astype(dtype)
    extent = shape[len(shape) - len(sizes) :]
    agree("pool_put", ct, places, extent=extent, **how)
    agree("pool_pick", x, places, **how)
    wrong = np.where(rng.random(places.shape) < 0.2, 1000, places)  # in no window: not looked at
    agree("pool_put", ct, wrong, extent=extent, **how)
    agree("pool_pick", x, np.where(wrong == 1000, -1, wrong), **how)


@pytest.mark.parametrize("dtype", (*FLOATS, "int32", "int64"))
@pytest.mark.parametrize(("shape", "sizes", "steps", "dilations"), POOLS)
def test_windows_and_their_sum_keep_the_bits(rng, shape, sizes, steps, dilations, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    cut = agree("windows", x, sizes=sizes, steps=steps, dilations=dilations)
    extent = shape[len(shape) - len(sizes) :]
    parts = (rng.standard_normal(cut.shape) * 10).astype(dtype)
    agree("fold_windows", parts, extent=extent, steps=steps, dilations=dilations)


def test_pools_take_operands_of_any_layout(rng):
    how = {"sizes": (2, 2), "steps": (2, 2), "dilations": (1, 1)}
    x = special(rng, (9, 8, 3), "float32").transpose(2, 1, 0)[:, ::-1]
    values, places = agree("max_pool", x, **how)
    ct = np.broadcast_to(np.float32(1.5), values.shape)
    agree("pool_put", ct, places, extent=(8, 9), **how)


@pytest.mark.parametrize("dtype", ELEMENTS)
def test_copies_between_any_layouts(rng, dtype):
    from dualgraph.backends.native.movers.strided import move

    for trial in range(60):
        ndim = int(rng.integers(1, 5))
        shape = tuple(int(n) for n in rng.integers(1, (300, 40, 20, 12)[ndim - 1], ndim))
        source, target = (_layout(rng, shape, dtype) for _ in range(2))
        source[...] = rng.integers(0, 100, shape)
        if trial % 5 == 0:
            source = np.broadcast_to(source[:1], shape)
        if trial % 7 == 0:
            source = np.broadcast_to(source[..., :1], shape)
        whole = target.base
        move(target, source)
        assert np.array_equal(target, source), (shape, source.strides, target.strides)
        target[...] = 0
        assert not whole.any()  # nothing beside it was touched


def _layout(rng, shape, dtype):
    """A view of an array of zeros: axes permuted, reversed, with gaps."""
    axes = rng.permutation(len(shape))
    whole = np.zeros(tuple(2 * shape[a] for a in axes), dtype)
    kinds = (slice(None, None, 2), slice(None, None, -2))
    cuts = tuple(
        slice(0, shape[a]) if rng.random() < 0.5 else kinds[int(rng.integers(2))] for a in axes
    )
    return whole[cuts].transpose(np.argsort(axes))


@pytest.mark.parametrize("dtype", ELEMENTS)
def test_joins_and_paddings_keep_the_bits(rng, dtype):
    x = rng.integers(0, 2, (5, 6, 7)).astype(dtype)
    y = rng.integers(0, 2, (7, 3, 5)).astype(dtype).transpose(2, 1, 0)
    agree("concat_along", x, y, x, axis=1)
    agree("concat_along", x[:0], x, axis=0)
    agree("pad", y, widths=((1, 0), (2, 3), (0, 0)), value=1)
    part = {"starts": (1, 0, 2), "stops": (4, 6, 5), "steps": (1, 1, 1)}
    agree("unslice", x[:3, :, :3], shape=(5, 6, 7), **part)
    agree("slice_update", x, x[:3, :, :3], **part)
    part = {"starts": (4, 0, 6), "stops": (-1, 6, -1), "steps": (-2, 3, -1)}
    agree("unslice", x[:3, :2], shape=(5, 6, 7), **part)
    agree("slice_update", x, x[:3, :2], **part)
    agree("copy", y)
    agree("reshape", y, shape=(21, 5))
    agree("full", shape=(3, 50), value=1, dtype=dtype, device="cpu")


@pytest.mark.parametrize("dtype", ELEMENTS)
@pytest.mark.parametrize("axis", (0, 1, 2))
@pytest.mark.parametrize("shape", ((6, 7, 100), (9, 1, 5), (1, 30, 1)))
def test_gather_and_scatter_keep_the_bits(rng, shape, axis, dtype):
    n = shape[axis]
    x = abs(rng.standard_normal(shape) * 20).astype(dtype)
    kernel = x.dtype.str[1:] in ("f2", "u1", "f4", "i4", "f8", "i8")  # has sums
    modes = ("set", "add") if kernel else ("set",)
    if dtype == "complex128":
        return
    at = rng.integers(-n, n, (*shape[:axis], 11, *shape[axis + 1 :]))
    agree("take_along", x, at, axis=axis)
    values = abs(rng.standard_normal(at.shape) * 20).astype(dtype)
    for mode in modes:
        agree("scatter_along", x, at, values, axis=axis, mode=mode)
    for places in (
        rng.integers(-n, n, (4, 5)),
        rng.integers(-n, n, 9).astype(np.int32),
        np.array(0),
    ):
        taken = agree("index", x, places, dims=(axis,))
        values = abs(rng.standard_normal(taken.shape) * 20).astype(dtype)
        for mode in modes:
            agree("index_put", x, values, places, dims=(axis,), mode=mode)


@pytest.mark.parametrize("bad", (5, -6))
def test_bad_indexes_are_named(bad):
    x = dg.asarray(np.arange(10.0).reshape(5, 2))
    at = dg.asarray(np.array([0, bad, -1]))
    message = f"index {bad} is out of range for an axis of 5"
    calls = (
        lambda x, at: x[at],
        lambda x, at: dg.take_along_axis(x, at.reshape(3, 1).repeat(1, 2), axis=0),
    )
    for call in calls:
        for f in (call, dg.compile(call, wait=True)):
            with pytest.raises((BoundsError, IndexError), match=message):
                f(x, at)
    kernel = claims.claimed("scatter_along", np.dtype("f8"), np.dtype("i8"), np.dtype("f8"))
    ones, places = np.ones((3, 2)), np.array([[0, 1], [bad, 0], [1, 1]])
    with pytest.raises(BoundsError, match=message):
        kernel(np.zeros((5, 2)), places, ones, axis=0, mode="add")


@pytest.mark.parametrize("dtype", ("bool", "uint8", "float16", *FLOATS, "int32", "int64"))
@pytest.mark.parametrize("axis", (0, 1, 2))
@pytest.mark.parametrize("shape", ((3, 17, 40), (20, 5, 1), (1, 1, 9)))
def test_scans_go_from_the_first_element_on(rng, shape, axis, dtype):
    x = special(rng, shape, dtype)
    if dtype not in ("bool", "uint8"):
        agree("running_best", x, axis=axis)
        agree("running_best", x, axis=axis, least=True)
        x = x * rng.standard_normal(shape).astype(dtype)
    agree("cumsum_along", x, axis=axis)
    agree("cumprod_along", x, axis=axis)
    if dtype in FLOATS:
        agree("recurrence_along", special(rng, shape, dtype), x, axis=axis)


@pytest.mark.parametrize("dtype", ("float16", *FLOATS, "int32", "int64"))
@pytest.mark.parametrize("axes", ((0,), (1,), (0, 1)))
def test_the_first_of_equals_is_found(rng, axes, dtype):
    x = special(rng, (6, 9, 50), dtype)
    for name in ("reduce_argmax", "reduce_argmin"):
        agree(name, x, axes=axes, keepdims=False)
        agree(name, x, axes=axes, keepdims=True)


@pytest.mark.parametrize("dtype", (*FLOATS, "int32", "int64"))
@pytest.mark.parametrize("n", (1, 2, 7, 15, 16, 17, 33, 100, 255))
def test_the_first_of_equals_is_found_along_rows(rng, n, dtype):
    for rows in (1, 16, 37):
        x = rng.integers(-4, 5, (rows, n)).astype(dtype)
        if dtype in FLOATS:
            x[rng.random(x.shape) < 0.03] = np.nan
            x[rng.random(x.shape) < 0.1] = -0.0
        for name in ("reduce_argmax", "reduce_argmin"):
            agree(name, x, axes=(1,), keepdims=False)


@pytest.mark.parametrize("first", (None, 1, 5, 16))
@pytest.mark.parametrize("dtype", (*FLOATS, "int32", "int64"))
def test_lines_in_order(rng, dtype, first):
    """Stable among equals, NaNs last, zeros of both signs and infinities; long rows for few elements."""
    shapes = [((17,), 0), ((5, 33), 1), ((5, 33), 0), ((2, 128, 3), 1), ((70, 16), 1)]
    if first is not None:
        shapes += [((129,), 0), ((3, 1000), 1)]
    for shape, axis in shapes:
        x = special(rng, shape, dtype)
        if dtype in FLOATS:
            x[rng.random(shape) < 0.05], x[rng.random(shape) < 0.05] = np.inf, -np.inf
            x[rng.random(shape) < 0.05] = 0.0
        else:
            x[rng.random(shape) < 0.05] = np.iinfo(dtype).min
        for descending in (False, True):
            count = None if first is None else min(first, shape[axis])
            agree("sort_along", x, axis=axis, descending=descending, first=count)
            if count is not None and shape[axis] <= 128:
                agree(
                    "sort_along", x, axis=axis, descending=descending, first=count, skip=count - 1
                )


@pytest.mark.parametrize("side", ("left", "right"))
@pytest.mark.parametrize("dtype", (*FLOATS, "int32", "int64"))
@pytest.mark.parametrize("n", (1, 2, 3, 16, 17, 1023, 1024))
def test_places_in_ascending_sequences(rng, n, dtype, side):
    """Beside equals, infinities, zeros of both signs, and NaN, which comes last."""
    for shape in ((1,), (33,), (3, 700)):
        edges = (9 * rng.standard_normal((*shape[:-1], n))).astype(dtype)
        values = (12 * rng.standard_normal(shape)).astype(dtype)
        values[..., ::2] = edges[..., rng.integers(0, n, values[..., ::2].shape[-1])]
        if dtype in FLOATS:
            values[..., 1::7], values[..., 2::9], values[..., 3::5] = np.nan, np.inf, -0.0
            edges[..., n // 2 :: 11], edges[..., n - n // 8 :] = 0.0, np.nan
        agree("search_sorted", np.sort(edges, axis=-1), values, side=side)
    agree("search_sorted", np.sort(edges[0]), values, side=side)


@pytest.mark.parametrize("size", (0, 1, 3, 64, 257, 9001))
def test_random_words_are_the_same(size):
    for state in ([7, 3], [2**63 + 12345678901, 2**64 - 5], [[1, 2**32 - 3], [2**40, 9]]):
        agree("random_bits", np.array(state, np.uint64), size=size)


def test_kernels_leave_arrays_without_code_to_the_op(rng):
    x = rng.standard_normal((4, 6)).astype(np.float16)
    pool = claims.claimed("max_pool", x.dtype)
    assert pool(x, sizes=(2,), steps=(2,), dilations=(1,)) is None
    at = np.array([0, 1])
    assert claims.claimed("index", x.dtype, at.dtype, at.dtype)(x, at, at, dims=(0, 1)) is None


def test_both_modes_run_the_same_kernels(rng):
    x = dg.asarray(rng.standard_normal((4, 3, 12, 12)).astype(np.float32))
    at = dg.asarray(rng.integers(0, 4, 9))

    def step(x, at):
        pooled = dg.nn.functional.max_pool2d(x, 2)
        rows = x[at]
        return pooled.sum() + (rows * rows).cumsum(1).sum(), dg.concat([rows, x], axis=0)

    assert dg.compare(step, x, at).bitwise_equal
    assert dg.compare(dg.grad(lambda x, at: step(x, at)[0]), x, at).bitwise_equal


def test_written_copies_take_the_memory_of_what_dies(rng):
    x, new = (dg.asarray(rng.standard_normal(s).astype(np.float32)) for s in ((6, 40), (2, 40)))
    at = dg.asarray(np.array([5, -5]))

    def step(x, new, at):
        y = x * 2
        y[:2] = new
        y[at] += new
        return y

    assert dg.compare(step, x, new, at).bitwise_equal
    program = dg.compile(step, wait=True)
    program(x, new, at)
    # All else happens in the result
    assert program.programs[0].memory.arena_bytes <= 2 * new.nbytes
    with pytest.raises((BoundsError, IndexError), match="index 6 is out of range"):
        program(x, new, at + 1)


def test_a_value_written_into_itself_is_read_first(rng):
    x = dg.asarray(rng.standard_normal((40, 40)).astype(np.float32))
    at = dg.asarray(np.arange(40)[::-1].copy())

    def step(x, at):
        y = x * 2
        y[at] = y
        return y

    assert dg.compare(step, x, at).bitwise_equal


@pytest.mark.parametrize("op", ["index", "add", "set"])
def test_indexing_of_nothing_writes_nothing(op):
    key = (slice(None, -9), dg.tensor([[1], [-1]]))

    @dg.compile(wait=True)
    def f(x):
        part = x[key]
        if op == "index":
            return part
        out = x[:0].clone()
        return (
            out.index_add(1, key[1][:, 0], out)
            if op == "add"
            else out.index_fill(1, key[1][:, 0], 3.0)
        )

    x = dg.ones(3, 2, 3, 3)
    for _ in range(30):  # memory that was written by mistake belongs to something else
        assert f(x).size == 0
        assert all(not np.zeros(n).any() for n in range(1, 200, 3))

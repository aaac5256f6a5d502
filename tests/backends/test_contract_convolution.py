"""Native convolutions and their gradients: the bits of the documented order of sums, near the op's NumPy kernel."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from dualgraph.backends.native.contract import convolution, images, product, shape
from dualgraph.backends.native.threads import pool
from dualgraph.backends.scalar_numpy import ExactArrayScalar
from dualgraph.ops import contraction as ops

exact = ExactArrayScalar(np)
if not product.available():
    pytest.skip("this processor has no fused multiply-add", allow_module_level=True)

CASES = [  # x, w, stride, padding, dilation, groups
    ((2, 3, 9), (4, 3, 3), (1,), ((1, 1),), (1,), 1),
    ((2, 4, 7, 8), (6, 2, 3, 2), (2, 1), ((1, 0), (1, 1)), (1, 2), 2),
    ((1, 5, 6, 19), (5, 1, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 5),
    ((3, 2, 8, 8), (3, 2, 2, 2), (3, 2), ((0, 0), (2, 1)), (1, 1), 1),
    ((2, 2, 4, 5, 4), (3, 2, 2, 3, 1), (1, 2, 3), ((0, 1), (1, 1), (0, 0)), (2, 1, 1), 1),
    ((1, 40, 5, 5), (17, 40, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 3, 21, 21), (2, 3, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((2, 19, 13, 12), (19, 1, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 19),
    ((3, 5, 9, 11), (10, 1, 3, 2), (2, 1), ((1, 2), (0, 1)), (1, 2), 5),
    ((2, 18, 7, 17), (9, 2, 5, 7), (1, 2), ((2, 2), (3, 3)), (1, 1), 9),
    ((2, 6, 300), (6, 1, 4), (1,), ((2, 1),), (1,), 6),
    ((1, 4, 4, 5, 6), (4, 1, 3, 3, 3), (1, 1, 2), ((1, 1), (0, 2), (1, 1)), (1, 1, 1), 4),
    ((2, 4, 3, 9, 9), (6, 2, 2, 3, 2), (1, 1, 1), ((1, 0), (1, 1), (0, 1)), (1, 2, 1), 2),  # planes
    ((3, 6, 4, 3), (10, 3, 4, 3), (2, 1), ((0, 0), (0, 0)), (1, 1), 2),  # a kernel covers the image
    ((2, 3, 4, 3), (300, 3, 4, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    # weight gradients that read windows in place; long ones by blocks of k
    ((2, 3, 24, 25), (5, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((3, 2, 31, 40), (36, 1, 2, 8), (1, 2), ((1, 0), (2, 1)), (1, 1), 2),
    ((1, 4, 1700), (6, 4, 15), (1,), ((0, 3),), (2,), 1),
    # planes read in place: bundles of rows, remainders of strides, two planes read or written for each
    ((2, 4, 15, 37), (8, 1, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 4),
    ((1, 8, 14, 33), (4, 2, 5, 4), (1, 2), ((2, 2), (3, 0)), (2, 1), 4),
    ((2, 4, 7, 6, 18), (4, 1, 3, 2, 3), (3, 2, 1), ((1, 1), (0, 1), (1, 1)), (1, 1, 2), 4),
]


def chain(terms, dtype):
    """Pairs of arrays multiplied and summed by fma in order, in blocks of KC."""
    out = total = None
    for i, (a, b) in enumerate(terms):
        if i % shape.KC == 0:
            out = total if out is None else out + total
            total = np.zeros(np.broadcast_shapes(a.shape, b.shape), dtype)
        total = exact.fma(*np.broadcast_arrays(a, b), total)
    return total if out is None else out + total


def padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), *padding))


def apart(a, axis, groups):
    """With an axis for the groups before the channels' of each."""
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def forward(x, w, stride, padding, dilation, groups):
    view = apart(ops.columns(np, x, w.shape[2:], stride, padding, dilation), 1, groups)
    own = apart(w, 0, groups)
    terms = [
        (
            own[(None, ..., c, *t)][(..., *[None] * len(stride))],
            view[(slice(None), slice(None), c, None, ..., *t)],
        )
        for c in range(w.shape[1])
        for t in np.ndindex(*w.shape[2:])
    ]
    out = chain(terms, x.dtype)
    return out.reshape(x.shape[0], w.shape[0], *out.shape[3:])


def input_gradient(ct, w, extent, stride, padding, dilation, groups):
    own, cts = apart(w, 0, groups), apart(ct, 1, groups)
    # a kernel that covers the input once reaches each position with one tap
    once = ct[0, 0].size == 1 and w.shape[2:] == extent and not any(map(any, padding))
    out = np.zeros((ct.shape[0], w.shape[1] * groups, *extent), ct.dtype)
    # Positions at one remainder of the stride are reached by the same taps: all of them at once, or one by one.
    for first in np.ndindex(*(extent if once else map(min, stride, extent))):
        step = extent if once else stride
        every = [np.arange(f, n, s) for f, n, s in zip(first, extent, step, strict=True)]
        places = np.ix_(*every)
        reach = []
        for t in np.ndindex(*w.shape[2:]):
            back = [
                h + p[0] - o * d for h, p, o, d in zip(places, padding, t, dilation, strict=True)
            ]
            if any((b % s).any() for b, s in zip(back, stride, strict=True)):
                continue
            q = [b // s for b, s in zip(back, stride, strict=True)]
            inside = np.ones((), bool)
            for i, n in zip(q, ct.shape[2:], strict=True):
                inside = inside & (i >= 0) & (i < n)
            if inside.all() or not once:
                q = [np.clip(i, 0, n - 1) for i, n in zip(q, ct.shape[2:], strict=True)]
                reach.append((t, np.where(inside, cts[(..., *q)], ct.dtype.type(0))))
        terms = [
            (
                own[(None, slice(None), o, slice(None), *t)][(..., *[None] * len(q))],
                c[:, :, o, None],
            )
            for o in range(own.shape[1])
            for t, c in reach
        ]
        if terms:
            found = chain(terms, ct.dtype)
            out[(slice(None), slice(None), *places)] = found.reshape(
                *out.shape[:2], *found.shape[3:]
            )
    return out


def weight_gradient(x, ct, kernel, stride, padding, dilation, groups):
    view = apart(ops.columns(np, x, kernel, stride, padding, dilation), 1, groups)
    cts = apart(ct, 1, groups)
    terms = [
        (
            cts[(n, ..., *at)][(..., *[None] * (1 + len(kernel)))],
            view[(n, slice(None), slice(None), *at)][:, None],
        )
        for n in range(x.shape[0])
        for at in np.ndindex(*ct.shape[2:])
    ]
    out = chain(terms, x.dtype)
    return out.reshape(ct.shape[1], *out.shape[2:])


def operands(case, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x_shape, w_shape, stride, padding, dilation, groups = case
    out = ops.conv_extent(x_shape[2:], w_shape[2:], stride, padding, dilation)
    shapes = (x_shape, w_shape, (x_shape[0], w_shape[0], *out))
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return *(rng.standard_normal(s).astype(dtype) for s in shapes), how


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_convolution_follows_the_law(case, dtype):
    x, w, _, how = operands(case, dtype)
    assert same_bits(convolution.conv(x, w, **how), forward(x, w, **how))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_the_input_gradient_follows_the_law(case, dtype):
    x, w, ct, how = operands(case, dtype)
    want = input_gradient(ct, w, x.shape[2:], **how)
    assert same_bits(convolution.conv_input(ct, w, extent=x.shape[2:], **how), want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_the_weight_gradient_follows_the_law(case, dtype):
    x, w, ct, how = operands(case, dtype)
    want = weight_gradient(x, ct, w.shape[2:], **how)
    assert same_bits(convolution.conv_weight(x, ct, kernel=w.shape[2:], **how), want)


@pytest.mark.parametrize("seed", range(4))
def test_convolutions_are_those_of_the_ops(seed):
    rng = np.random.default_rng(seed)
    for _ in range(10):
        rank, groups = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        draw = lambda low, high, rank=rank: tuple(int(v) for v in rng.integers(low, high, rank))  # noqa: E731
        (n, c, o), padding = draw(1, 5, 3), tuple(zip(draw(0, 3), draw(0, 3), strict=True))
        case = (
            (n, c * groups, *draw(5, 12)),
            (o * groups, c, *draw(1, 4)),
            draw(1, 4),
            padding,
            draw(1, 3),
            groups,
        )
        x, w, ct, how = operands(case, "float64", seed)
        for name, a, b, extra in [
            ("conv", x, w, {}),
            ("conv_input", ct, w, {"extent": x.shape[2:]}),
            ("conv_weight", x, ct, {"kernel": w.shape[2:]}),
        ]:
            got = getattr(convolution, name)(a, b, **extra, **how)
            want = getattr(ops, name).kernel(np, a, b, **extra, **how)
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
            turned = [np.asfortranarray(v) for v in (a, b)]
            assert same_bits(getattr(convolution, name)(*turned, **extra, **how), got)


def test_an_image_does_not_depend_on_its_batch_nor_on_threads(monkeypatch):
    case = ((6, 16, 30, 30), (24, 16, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    x, w, ct, how = operands(case, "float32")
    out = convolution.conv(x, w, **how)
    back = convolution.conv_input(ct, w, extent=(30, 30), **how)
    weight = convolution.conv_weight(x, ct, kernel=(3, 3), **how)
    for threads in (1, 2, 3):
        monkeypatch.setattr(pool, "size", threads)
        assert same_bits(convolution.conv(x, w, **how), out)
        assert same_bits(convolution.conv(x[2:3], w, **how), out[2:3])
        assert same_bits(convolution.conv_input(ct, w, extent=(30, 30), **how), back)
        assert same_bits(convolution.conv_input(ct[2:3], w, extent=(30, 30), **how), back[2:3])
        assert same_bits(convolution.conv_weight(x, ct, kernel=(3, 3), **how), weight)


@pytest.mark.parametrize("case", CASES)
def test_images_one_by_one_are_as_all_at_once(case, monkeypatch):
    x, w, ct, how = operands(case, "float32")

    def results():
        return convolution.conv(x, w, **how), convolution.conv_input(
            ct, w, extent=x.shape[2:], **how
        )

    monkeypatch.setattr(images, "LARGE", 2**62)
    at_once = results()
    monkeypatch.setattr(images, "LARGE", 0)
    assert all(map(same_bits, results(), at_once))


def test_operands_may_be_broadcast_views():
    case = ((3, 4, 9, 9), (5, 4, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    x, w, ct, how = operands(case, "float32")
    for a in (
        np.broadcast_to(x[:1], x.shape),
        np.broadcast_to(x[..., :1, :], x.shape),
        np.broadcast_to(x[..., :1], x.shape),
    ):
        assert same_bits(convolution.conv(a, w, **how), convolution.conv(a.copy(), w, **how))
        assert same_bits(
            convolution.conv_weight(a, ct, kernel=(3, 3), **how),
            convolution.conv_weight(a.copy(), ct, kernel=(3, 3), **how),
        )
    a = np.broadcast_to(ct[..., :1, :1], ct.shape)
    assert same_bits(
        convolution.conv_input(a, w, extent=(9, 9), **how),
        convolution.conv_input(a.copy(), w, extent=(9, 9), **how),
    )


def test_empty_batches():
    case = ((0, 2, 5, 5), (3, 2, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    x, w, ct, how = operands(case, "float32")
    assert convolution.conv(x, w, **how).shape == (0, 3, 3, 3)
    assert convolution.conv_input(ct, w, extent=(5, 5), **how).shape == x.shape
    assert same_bits(convolution.conv_weight(x, ct, kernel=(3, 3), **how), np.zeros_like(w))


def test_windows_of_each_image_are_packed_where_they_are_used():
    x, w = np.ones((2, 16, 12, 32, 32), np.float32), np.ones((32, 16, 3, 3, 3), np.float32)
    sides = {"stride": (1,) * 3, "padding": ((1, 1),) * 3, "dilation": (1,) * 3, "groups": 1}
    plan = convolution.Forward(x, w, **sides)
    assert plan.recipe.bytes <= 2 * plan.windows.layout.sample + 4 * 2 * 32 * 12 * 32 * 34 + 256

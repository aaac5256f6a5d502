"""Edges: empty, 0-d, bool and unsigned operands give what NumPy and PyTorch give, or a named error."""

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F

EMPTY = dg.zeros(0, 4)
BYTES = np.array([[3, 1], [0, 200]], dtype="uint8")


def both(f, *args):
    """The result of `f`, which is the same compiled."""
    eager = f(*args)
    compiled = dg.compile(f, wait=True)
    for _ in range(2):
        assert np.array_equal(np.asarray(compiled(*args)), np.asarray(eager), equal_nan=True)
    return np.asarray(eager)


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda x: x.softmax(0), (0, 4)),
        (lambda x: x.log_softmax(0), (0, 4)),
        (lambda x: x.diff(dim=0), (0, 4)),
        (lambda x: x.unique(), (0,)),
        (lambda x: x.unique(dim=0), (0, 4)),
    ],
)
def test_nothing_in_nothing_out(f, shape):
    assert f(EMPTY).shape == shape


def test_the_logarithm_of_no_sum_is_minus_infinity():
    assert both(lambda x: x.logsumexp(0), EMPTY).tolist() == [-np.inf] * 4


def test_the_median_of_nothing_is_an_error():
    with pytest.raises(dg.ArgumentError, match=r"median\(f32\[0,4\]\): there is no element"):
        EMPTY.median()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.softmax(1),
        lambda x: x.log_softmax(1),
        lambda x: x.logsumexp(1),
        lambda x: x.norm(),
        lambda x: x.logit(),
        lambda x: dg.nn.functional.softmin(x, dim=1),
    ],
)
def test_unsigned_integers_are_computed_as_floats(f):
    assert np.allclose(
        both(f, dg.asarray(BYTES)), f(dg.asarray(BYTES).float()).numpy(), equal_nan=True
    )


def test_bytes_are_close_to_their_neighbours_on_both_sides():
    x, y = dg.tensor(np.uint8([3, 4])), dg.tensor(np.uint8([4, 3]))
    assert dg.isclose(x, y, atol=1).all() and not dg.isclose(x, y, atol=0.5).any()
    assert dg.tensor([True]).allclose(dg.tensor([True]))


def test_totals_of_unsigned_integers():
    x = dg.asarray(BYTES)
    assert x.sum().dtype is x.cumsum(0).dtype is x.prod(1).dtype is dg.int64  # PyTorch
    assert dg.sum(x).dtype is dg.uint64  # the standard


def test_differences_of_bools():
    assert dg.tensor([True, False, False]).diff().tolist() == [True, False]
    with pytest.raises(dg.ArgumentError, match="n is -1"):
        dg.ones(3).diff(-1)


def test_the_mode_of_a_number():
    value, place = dg.tensor(1.5).mode()
    assert value.item() == 1.5 and place.item() == 0


def test_a_dtype_as_view_reads_the_bits():
    x = dg.tensor([[1.0, -2.0], [0.5, 3.0]])
    for dtype in ("int32", "uint8", "float64", "complex64"):
        assert np.array_equal(
            both(lambda v, d=dtype: v.view(getattr(dg, d)), x), x.numpy().view(dtype)
        )
    assert x.bfloat16().view(dg.int16).tolist() == [[16256, -16384], [16128, 16448]]
    with pytest.raises(dg.DTypeError, match="whole number of float64"):
        dg.ones(3).view(dg.float64)


def test_numbers_with_gradients_are_formatted():
    x = dg.tensor(1.25, requires_grad=True)
    assert f"{x:.1f} {x * 2:.2f} {dg.nn.Parameter(dg.tensor(3.0)):g}" == "1.2 2.50 3"


@pytest.mark.parametrize("op", ["floor", "ceil", "trunc", "round", "sign"])
def test_the_gradient_of_a_step_is_zero(op):
    x = dg.tensor([1.2, -0.7], requires_grad=True)
    getattr(dg, op)(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    assert both(dg.grad(lambda v: getattr(dg, op)(v).sum()), x.detach()).tolist() == [0.0, 0.0]


def test_the_larger_operand_alone_gets_an_infinite_gradient():
    x, y = (dg.tensor(v, requires_grad=True) for v in ([2.0, 1.0], [1.0, 1.0]))
    dg.maximum(x, y).backward(dg.tensor([dg.inf, 1.0]))
    assert x.grad.tolist() == [dg.inf, 0.5] and y.grad.tolist() == [0.0, 0.5]
    z = dg.tensor([3.0, 1.0], requires_grad=True)
    dg.minimum(x.detach(), z).backward(dg.tensor([dg.inf, 1.0]))
    assert z.grad.tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: x.acos(1), "acos(f32[3], 1): takes 1 operand, 2 were given"),
        (lambda x: dg.exp(x, where=x), "exp(f32[3]): has no parameter 'where'"),
        (lambda x: dg.exp(), "exp(): needs an operand"),
        (lambda x: dg.where(x > 0), "where(bool[3]): needs two operands"),
        (lambda x: x.mm(2), "mm(f32[3], i64[]): needs operands of 2 and 2 axes"),
        (lambda x: x.view(dg.int64), "reinterpret(f32[3])"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(dg.DualgraphError) as caught:
        call(dg.ones(3))
    assert words in str(caught.value) and "test_edges.py" in str(caught.value)


def test_arrays_are_taken_wherever_tensors_are():
    x, y = dg.ones(2, 3), np.ones((3, 2), dtype="float32")
    assert x.mm(y).tolist() == [[3.0, 3.0]] * 2
    assert x.equal(np.ones((2, 3))) and not x.equal(2)
    assert x.view_as(y).shape == x.reshape_as(y).shape == (3, 2)
    assert dg.tensordot(x, y, dims=1).shape == (2, 2)


def test_numbers_too_large_for_the_dtype_are_infinite_without_a_warning() -> None:
    x, most = dg.ones(2), 1e39
    filled = x.clone()
    filled[0] = most
    made = [
        x * most, x + -most, dg.tensor([most, 1.0]), dg.tensor(most), dg.where(x > 0, x * 0 + most, most), filled,
        x.masked_fill(x > 0, -most), dg.clamp(x, max=most) * most, x.add(x, alpha=most), x.to(dg.complex64) * most,
    ]  # fmt: skip
    half = dg.ones(2, dtype=dg.float16)
    made += [half * most, half.clamp(min=most), dg.full((2,), most, dtype=dg.float16)]
    for t in made:
        assert not dg.isfinite(t).all()
    assert (dg.tensor([most], dtype=dg.float64) * most).isfinite().all()


ONE, MATRIX, BATCH = dg.tensor(1.0), dg.ones(4, 4), dg.ones(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ONE.narrow(0, 0, 1), dg.AxisError, "narrow"),
        (lambda: MATRIX.narrow(0, dg.tensor([0, 1]), 1), dg.ArgumentError, "one whole number"),
        (lambda: dg.unbind(ONE), dg.AxisError, "no axis"),
        (lambda: ONE.split(1), dg.AxisError, "split"),
        (lambda: MATRIX.chunk(0), dg.ArgumentError, "0 parts"),
        (lambda: MATRIX.hsplit(3), dg.ShapeError, "equal parts"),
        (lambda: MATRIX.vsplit(0), dg.ShapeError, "equal parts"),
        (lambda: dg.vsplit(dg.ones(4), 2), dg.ShapeError, "two axes"),
        (lambda: MATRIX.dsplit("ab"), dg.ArgumentError, "list of places"),
        (lambda: dg.roll(ONE, 0, 0), dg.AxisError, "roll"),
        (lambda: dg.roll(MATRIX, (1, 2), 0), dg.ArgumentError, "one shift an axis"),
        (lambda: dg.rot90(MATRIX, 1, (0,)), dg.ShapeError, "rot90"),
        (lambda: dg.rot90(MATRIX, 1, (0, 0)), dg.AxisError, "twice"),
        (lambda: dg.movedim(MATRIX, (0, 1), (0,)), dg.AxisError, "one place for each"),
        (lambda: dg.movedim(MATRIX, (0, 0), (0, 1)), dg.AxisError, "none twice"),
        (lambda: dg.tril(dg.ones(4)), dg.ShapeError, "tril"),
        (lambda: dg.triu(dg.ones(4)), dg.ShapeError, "triu"),
        (lambda: dg.trace(BATCH), dg.ShapeError, "matrix"),
        (lambda: dg.flipud(ONE), dg.AxisError, "flipud"),
        (lambda: dg.fft.fft(ONE), dg.AxisError, "no axis"),
        (lambda: dg.kthvalue(MATRIX, 5), dg.ArgumentError, "k is 5"),
        (lambda: dg.kthvalue(ONE, 2), dg.ArgumentError, "k is 2"),
        (lambda: dg.hstack([]), dg.ArgumentError, "nothing to join"),
        (lambda: dg.isclose(ONE, ONE, atol=-1.0), dg.ArgumentError, "0 or more"),
        (lambda: MATRIX.masked_fill(MATRIX > 0, 1j), dg.DTypeError, "does not fit"),
        (lambda: MATRIX.masked_fill(MATRIX > 0, dg.ones(4)), dg.ShapeError, "one number"),
        (lambda: MATRIX.masked_scatter(MATRIX, MATRIX), dg.DTypeError, "mask is bool"),
        (
            lambda: MATRIX.index_add(0, dg.tensor([0]), dg.ones(4)),
            dg.ShapeError,
            "source has 1 axes",
        ),
        (lambda: F.gelu(ONE, "fast"), dg.ArgumentError, "fast"),
        (lambda: F.softshrink(ONE, -1.0), dg.ArgumentError, "below 0"),
        (lambda: F.hardtanh(ONE, 1.0, -1.0), dg.ArgumentError, "above max_val"),
        (lambda: F.rrelu(ONE, 0.3, 0.1), dg.ArgumentError, "above upper"),
        (lambda: F.prelu(MATRIX, dg.ones(2, 2)), dg.ShapeError, "2 axes"),
        (lambda: F.huber_loss(ONE, ONE, delta=0.0), dg.ArgumentError, "delta"),
        (
            lambda: F.triplet_margin_loss(MATRIX, MATRIX, MATRIX, margin=-1.0),
            dg.ArgumentError,
            "margin",
        ),
        (lambda: F.avg_pool2d(BATCH, 2, divisor_override=0), dg.ArgumentError, "divisor"),
        (lambda: F.adaptive_avg_pool2d(BATCH, ()), dg.ArgumentError, "2 sizes"),
    ],
)
def test_what_cannot_be_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_splits_cut_before_places_too():
    assert [tuple(p.shape) for p in MATRIX.hsplit([1, 3])] == [(4, 1), (4, 2), (4, 1)]
    assert [tuple(p.shape) for p in BATCH.dsplit(2)] == [(1, 1, 2, 4)] * 2


def test_tens_and_hundreds_are_rounded_exactly():
    x = dg.tensor([12345.0, -160.0], dtype=dg.float64)
    assert dg.round(x, decimals=-2).tolist() == [12300.0, -200.0]


def test_the_spread_takes_pytorchs_word_for_its_correction():
    x = dg.tensor([1.0, 2.0, 3.0, 6.0])
    assert dg.var(x, unbiased=True).item() == dg.var(x, correction=1).item() == x.var().item()
    assert dg.std(x, axis=0, unbiased=False).item() == dg.std(x).item()


def test_output_padding_beyond_the_stride():
    x, w = dg.arange(4.0).reshape(1, 1, 4), dg.tensor([[[1.0, 2.0]]])
    y = F.conv_transpose1d(x, w, stride=2, padding=1, output_padding=3, dilation=4)
    # the whole transpose: x at 0, 2, 4, 6 and 2x at 4, 6, 8, 10; then 1 cut at the front, 2 put behind
    assert y.tolist() == [[[0, 1, 0, 2, 0, 5, 0, 4, 0, 6, 0, 0]]]


def test_pytorchs_words_for_operands():
    x, y = dg.tensor([1.0, 5.0]), dg.tensor([4.0, 2.0])
    assert both(lambda a, b: dg.max(a, b), x, y).tolist() == [4.0, 5.0]
    assert both(lambda a, b: dg.min(a, b), x, y).tolist() == [1.0, 2.0]
    assert both(lambda a, b: dg.add(a, b, alpha=2), x, y).tolist() == [9.0, 9.0]
    assert both(lambda a, b: dg.subtract(input=a, other=b, alpha=0.5), x, y).tolist() == [-1, 4]
    assert both(lambda a: dg.exp(input=a), x).tolist() == x.exp().tolist()
    assert dg.sum(input=x, dim=0).item() == dg.clamp(input=x, max=3.0).sum().item() + 2
    assert dg.stack(tensors=[x, y], dim=1).tolist() == [[1.0, 4.0], [5.0, 2.0]]
    assert dg.repeat_interleave(dg.tensor([2, 0, 1])).tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: dg.max(x, 1), "x.max(1)"),
        (lambda x: dg.sort(x, 1, True), "dg.sort(x, axis=...)"),
        (lambda x: dg.std(x, 0), "dg.std(x, axis=...)"),
        (lambda x: dg.multiply(x, x, alpha=2), "has no parameter 'alpha'"),
        (lambda x: dg.clamp(min=0), "needs a tensor"),
    ],
)
def test_what_pytorch_means_by_it_is_named(call, words):
    with pytest.raises(dg.DualgraphError) as caught:
        call(dg.ones(2, 2))
    assert words in str(caught.value)


def test_a_view_whose_base_got_other_memory_is_written_alone():
    base = dg.arange(6.0).reshape(2, 3)
    row = base[1]
    base.data = dg.ones(3, 3)
    row.mul_(dg.ones(3, requires_grad=True))
    assert row.requires_grad and not base.requires_grad
    assert base.tolist() == [[1.0] * 3] * 3 and row.tolist() == [3.0, 4.0, 5.0]


REALS, COMPLEX, WHOLES = [[1.5, 2.5], [3.5, 4.5]], [[1 + 2j]], [[1, 2], [3, 4]]
NEW_MEMORY = {
    "flip": (lambda x: x.flip(0), REALS),
    "dg.flip": (lambda x: dg.flip(x, axis=1), REALS),
    "fliplr": (dg.fliplr, REALS),
    "rot90": (lambda x: x.rot90(4), REALS),
    "a roll by nothing": (lambda x: x.roll(0, 0), REALS),
    "pads of nothing": (lambda x: F.pad(x, (0, 0)), REALS),
    "pads that cut": (lambda x: F.pad(x, (0, -1)), REALS),
    "a diagonal": (dg.diag, REALS),
    "no differences": (lambda x: x.diff(n=0), REALS),
    "once": (lambda x: x.repeat(1, 1), REALS),
    "rows again": (lambda x: x[:1].repeat(2, 1), REALS),
    "each once": (lambda x: x.repeat_interleave(1, 0), REALS),
    "windows of one": (lambda x: F.unfold(x[None, None], 1), REALS),
    "pixels of one": (lambda x: F.pixel_shuffle(x[None, None], 1), REALS),
    "means of one": (lambda x: F.adaptive_avg_pool2d(x[None, None], 2), REALS),
    "largest of one": (lambda x: F.adaptive_max_pool2d(x[None, None], 2), REALS),
    "whole numbers rounded": (lambda x: x.round(), WHOLES),
    "whole numbers below": (lambda x: x.floor(), WHOLES),
    "the real part in its dtype": (lambda x: x.float(), COMPLEX),
}


@pytest.mark.parametrize("f, values", NEW_MEMORY.values(), ids=NEW_MEMORY.keys())
def test_results_that_are_new_do_not_share_memory_with_operands(f, values):
    @dg.compile(wait=True)
    def written(x):
        y = f(x)
        y.fill_(7)
        return y * 1

    x = dg.tensor(values)
    for _ in range(3):
        f(x).fill_(7)
        written(x)
        assert x.tolist() == values


def test_errors_are_what_python_numpy_and_pytorch_raise() -> None:
    kinds = {
        dg.ShapeError: ValueError,
        dg.DTypeError: TypeError,
        dg.BoundsError: IndexError,
        dg.AxisError: IndexError,
        dg.NanError: FloatingPointError,
    }
    for kind, builtin in kinds.items():
        assert issubclass(kind, builtin) and issubclass(kind, RuntimeError)
    with pytest.raises(RuntimeError, match="do not broadcast"):
        dg.ones(2) + dg.ones(3)

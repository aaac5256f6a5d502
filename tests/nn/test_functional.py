"""nn.functional against NumPy formulas, at edges, and its errors."""

import math

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn import functional as F

RNG = np.random.default_rng(2)


def normal(*shape):
    return RNG.standard_normal(shape).astype("float32")


def gradient(fn, x):
    x = dg.tensor(x).requires_grad_()
    fn(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    "fn,expected",
    [
        (F.relu, [0, 0, 1]),
        (F.relu6, [0, 0, 1]),
        (F.hardtanh, [0, 1, 0]),
        (lambda x: F.leaky_relu(x, 0.5), [0.5, 0.5, 1]),
        (F.elu, [math.exp(-1), 1, 1]),
        (lambda x: F.l1_loss(x, dg.zeros(3), reduction="none"), [-1, 0, 1]),
    ],
)
def test_gradients_at_kinks(fn, expected):
    np.testing.assert_allclose(gradient(fn, [-1.0, 0.0, 1.0]), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "fn",
    [F.elu, F.selu, F.celu, F.softplus, F.silu, F.gelu, F.logsigmoid, F.mish, F.sigmoid, F.tanh],
)
def test_activations_and_their_gradients_stay_finite(fn):
    x = [-1e4, -100.0, 0.0, 100.0, 1e4]
    assert np.isfinite(fn(dg.tensor(x)).numpy()).all()
    assert np.isfinite(gradient(fn, x)).all()


def test_nan_passes_through_clamping_activations():
    for fn in (F.relu, F.relu6, F.hardtanh, F.leaky_relu):
        assert math.isnan(fn(dg.tensor([float("nan")])).item())


def test_softmax_does_not_overflow_and_sums_to_one():
    x = dg.tensor([[1e4, 0.0, -1e4], [5.0, 5.0, float("-inf")]])
    np.testing.assert_array_equal(F.softmax(x, 1).numpy(), [[1, 0, 0], [0.5, 0.5, 0]])
    assert F.log_softmax(x, 1).tolist()[0][2] == -2e4
    assert dg.logsumexp(dg.full((3,), float("-inf")), 0).item() == -math.inf


def test_layer_norm_and_its_gradient_sum():
    x = normal(3, 5)
    out = F.layer_norm(dg.tensor(x), (5,)).numpy()
    np.testing.assert_allclose(
        out,
        (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5),
        rtol=1e-4,
        atol=1e-6,
    )
    np.testing.assert_allclose(gradient(lambda v: F.layer_norm(v, (5,)), x), 0, atol=1e-5)


def test_layer_norm_shapes_are_checked():
    with pytest.raises(dg.ShapeError, match=r"does not end in the normalised shape \(4,\)"):
        F.layer_norm(dg.zeros(2, 3), 4)
    with pytest.raises(dg.ShapeError, match=r"must have the normalised shape \(3,\), not \(1,\)"):
        F.layer_norm(dg.zeros(2, 3), (3,), dg.ones(1))


def test_batch_norm_uses_the_batch_in_training_and_running_moments_after():
    x, layer = normal(6, 2, 4), nn.BatchNorm1d(2)
    out = layer(dg.tensor(x)).detach().numpy()
    np.testing.assert_allclose(out.mean((0, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * x.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(
        layer.running_var.numpy(), 0.9 + 0.1 * x.var((0, 2), ddof=1), rtol=1e-5
    )
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    mean, var = (b.numpy()[:, None] for b in (layer.running_mean, layer.running_var))
    np.testing.assert_allclose(
        layer(dg.tensor(x)).detach().numpy(), (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(dg.ShapeError, match="more than 1 value"):
        layer.train()(dg.ones(1, 2))
    with pytest.raises(dg.ShapeError, match="2 or 3 axes"):
        layer(dg.ones(1, 2, 3, 4))


def test_cross_entropy_of_classes():
    x, target = normal(4, 3), np.array([0, 2, -100, 1])
    rows = x - np.log(np.exp(x).sum(1, keepdims=True))
    kept = [-rows[i, t] for i, t in enumerate(target) if t >= 0]
    loss = F.cross_entropy(dg.tensor(x), dg.tensor(target))
    np.testing.assert_allclose(loss.item(), np.mean(kept), rtol=1e-5)
    smooth = F.cross_entropy(dg.tensor(x), dg.tensor(target), label_smoothing=0.3).item()
    even = [-rows[i].mean() for i, t in enumerate(target) if t >= 0]
    np.testing.assert_allclose(smooth, 0.7 * np.mean(kept) + 0.3 * np.mean(even), rtol=1e-5)


@pytest.mark.parametrize("target", [[0, 3], [0, -1]])
def test_a_class_out_of_range_is_an_error(target):
    with pytest.raises(dg.BoundsError, match="out of range"):
        F.cross_entropy(dg.zeros(2, 3), dg.tensor(target))


def test_mistaken_targets_are_explained():
    with pytest.raises(dg.ShapeError, match=r"class indices of shape \(2,\), not \(3,\)"):
        F.cross_entropy(dg.zeros(2, 3), dg.tensor([0, 1, 2]))
    with pytest.raises(dg.DTypeError, match="must be integers"):
        F.cross_entropy(dg.zeros(2, 3), dg.zeros(2))
    with pytest.raises(dg.ArgumentError, match="'mean', 'sum' or 'none'"):
        F.mse_loss(dg.zeros(2), dg.zeros(2), reduction="average")
    with pytest.raises(dg.ShapeError, match="one shape"):
        F.binary_cross_entropy(dg.zeros(2), dg.zeros(2, 1))


def test_binary_losses_are_finite_at_certainty():
    x, y = dg.tensor([0.0, 1.0, 0.0, 1.0]), dg.tensor([0.0, 1.0, 1.0, 0.0])
    assert F.binary_cross_entropy(x, y, reduction="none").tolist() == [0.0, 0.0, 100.0, 100.0]
    logits = dg.tensor([-1e4, 1e4, -1e4, 1e4])
    assert F.binary_cross_entropy_with_logits(logits, y, reduction="none").tolist() == [
        0,
        0,
        1e4,
        1e4,
    ]


def test_embedding_rows_and_gradients():
    table = dg.tensor(normal(5, 2)).requires_grad_()
    out = F.embedding(dg.tensor([[1, 1], [4, 0]]), table, padding_idx=4)
    assert np.array_equal(out.detach().numpy(), table.detach().numpy()[[[1, 1], [4, 0]]])
    out.sum().backward()
    assert table.grad.tolist() == [[1, 1], [2, 2], [0, 0], [0, 0], [0, 0]]
    for bad in ([5], [-1]):
        with pytest.raises(dg.BoundsError, match="out of range"):
            F.embedding(dg.tensor(bad), table)
    with pytest.raises(dg.DTypeError, match="cast with"):
        F.embedding(dg.tensor([1.0]), table)


def test_embedding_rows_are_limited_in_norm_in_place():
    layer = nn.Embedding(
        3, 2, max_norm=1.0, _weight=dg.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    )
    np.testing.assert_allclose(
        layer(dg.tensor([0, 1])).tolist(), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-5
    )
    assert layer.weight.tolist()[2] == [6.0, 8.0]


def test_one_hot():
    assert F.one_hot(dg.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(dg.BoundsError):
        F.one_hot(dg.tensor([3]), 3)
    with pytest.raises(dg.BoundsError):
        F.one_hot(dg.tensor([-1]), 3)


def test_dropout_keeps_the_mean_and_is_decided_by_the_seed():
    x = dg.ones(200, 100)
    dg.manual_seed(3)
    a = F.dropout(x, 0.25)
    dg.manual_seed(3)
    b = F.dropout(x, 0.25)
    assert np.array_equal(a.numpy(), b.numpy())
    assert set(np.unique(a.numpy())) == {0.0, np.float32(1 / 0.75)}
    assert abs(a.numpy().mean() - 1) < 0.02
    assert F.dropout(x, 0.25, training=False) is x
    assert not F.dropout(x, 1.0).any()
    channels = F.dropout2d(dg.ones(50, 20, 2, 2), 0.5).numpy()
    assert (channels == channels[:, :, :1, :1]).all() and 0.4 < (channels == 0).mean() < 0.6
    selu = F.alpha_dropout(dg.randn(300, 300), 0.2, training=True).numpy()
    assert abs(selu.mean()) < 0.03 and abs(selu.std() - 1) < 0.03


def test_convolution_mistakes_are_explained():
    with pytest.raises(dg.ShapeError, match="4 axes"):
        F.conv2d(dg.zeros(3, 4), dg.zeros(2, 3, 1, 1))
    with pytest.raises(dg.ArgumentError, match="stride 1"):
        F.conv2d(dg.zeros(1, 1, 4, 4), dg.zeros(1, 1, 2, 2), stride=2, padding="same")
    with pytest.raises(dg.ArgumentError, match="groups"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(dg.ShapeError, match="last axis"):
        F.linear(dg.zeros(2, 3), dg.zeros(4, 5))


def test_pooling_of_known_windows():
    x = dg.arange(16, dtype=dg.float32).reshape(1, 1, 4, 4)
    out, at = F.max_pool2d(x, 2, return_indices=True)
    assert out.tolist() == [[[[5, 7], [13, 15]]]] and at.tolist() == [[[[5, 7], [13, 15]]]]
    assert F.avg_pool2d(x, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert F.adaptive_avg_pool2d(x, 1).tolist() == [[[[7.5]]]]
    (step,) = dg.capture(lambda v: F.adaptive_avg_pool2d(v, 1), x).nodes  # one mean of both axes
    assert step.params["name"] == "mean"
    with pytest.raises(dg.ArgumentError, match="half of the kernel"):
        F.max_pool2d(x, 2, padding=2)


def test_gumbel_softmax_is_one_hot_on_request_and_differentiable():
    logits = dg.randn(20, 5).requires_grad_()
    hard = F.gumbel_softmax(logits, hard=True)
    np.testing.assert_allclose(np.sort(hard.detach().numpy(), 1), [[0, 0, 0, 0, 1]] * 20, atol=1e-6)
    (hard * dg.arange(5)).sum().backward()
    assert logits.grad.any()


def test_gradients_of_composites_are_differentiable_again():
    x = dg.tensor([0.3, -0.7, 1.2], dtype=dg.float64).requires_grad_()
    for fn in (
        lambda v: F.softmax(v, 0),
        F.gelu,
        F.silu,
        F.softplus,
        lambda v: F.layer_norm(v, (3,)),
    ):
        weight = dg.tensor([1.0, 2.0, -1.0], dtype=dg.float64)
        (g,) = dg.autograd.grad((fn(x) * weight).sum(), x, create_graph=True)
        (second,) = dg.autograd.grad((g * g).sum(), x)
        step = 1e-5
        for i in range(3):
            moved = []
            for sign in (1, -1):
                y = x.detach().clone()
                y[i] += sign * step
                y.requires_grad_()
                (gy,) = dg.autograd.grad((fn(y) * weight).sum(), y)
                moved.append((gy * gy).sum().item())
            np.testing.assert_allclose(
                second[i].item(), (moved[0] - moved[1]) / (2 * step), rtol=1e-4, atol=1e-7
            )


def test_initialisers_have_their_spread():
    dg.manual_seed(0)
    weight = dg.zeros(400, 300)
    nn.init.xavier_normal_(weight)
    assert abs(weight.numpy().std() / math.sqrt(2 / 700) - 1) < 0.02
    nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    assert abs(weight.numpy().max() / math.sqrt(6 / 300) - 1) < 0.01
    nn.init.trunc_normal_(weight, mean=0.5, std=2.0, a=-1.0, b=3.0)
    assert (
        weight.numpy().min() >= -1
        and weight.numpy().max() <= 3
        and abs(weight.numpy().mean() - 0.855) < 0.02
    )
    nn.init.orthogonal_(weight)
    np.testing.assert_allclose(weight.numpy().T @ weight.numpy(), np.eye(300), atol=1e-5)
    nn.init.sparse_(weight, 0.25)
    assert ((weight.numpy() == 0).sum(0) == 100).all()
    nn.init.eye_(weight)
    assert weight.numpy().sum() == 300
    kernel = nn.init.dirac_(dg.ones(2, 2, 3))
    x = dg.randn(1, 2, 5)
    assert np.array_equal(F.conv1d(x, kernel, padding=1).numpy(), x.numpy())


def test_a_variance_for_each_row():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    var = rng.uniform(0.5, 2.0, 3)
    expected = np.mean(0.5 * (np.log(var[:, None]) + (x - y) ** 2 / var[:, None]))
    for loss in (F.gaussian_nll_loss, dg.nn.GaussianNLLLoss()):
        ours = loss(dg.asarray(x), dg.asarray(y), dg.asarray(var)).item()
        np.testing.assert_allclose(ours, expected)


def test_divergence_from_what_is_no_probability_is_nan():
    x, target = dg.asarray([[-1.0, -2.0]]), dg.asarray([[0.0, -0.5]])
    out = F.kl_div(x, target, reduction="none")
    assert out[0, 0].item() == 0.0 and math.isnan(out[0, 1].item())

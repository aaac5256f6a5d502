"""nn.functional gives PyTorch's values and gradients (run where torch is installed)."""

# ruff: noqa: E501 - a table reads best with one case a line

import numpy as np
import pytest

RNG = np.random.default_rng(3)
KINKS = np.array([-8, -6, -3, -1, -0.5, -0.0, 0.0, 0.5, 1, 3, 6, 8, 25, 110], "float32")


def normal(*shape):
    return RNG.standard_normal(shape).astype("float32")


def ints(high, *shape):
    return RNG.integers(0, high, shape)


ACTIVATIONS = {
    "relu": {}, "leaky_relu": {"negative_slope": 0.2}, "relu6": {}, "hardtanh": {"min_val": -0.5, "max_val": 3.0},
    "threshold": {"threshold": 0.5, "value": 2.0}, "elu": {"alpha": 1.3}, "selu": {}, "celu": {"alpha": 1.7}, "silu": {},
    "mish": {}, "hardsigmoid": {}, "hardswish": {}, "gelu": {}, "softplus": {"beta": 2.0, "threshold": 10.0},
    "logsigmoid": {}, "softsign": {}, "tanhshrink": {}, "hardshrink": {}, "softshrink": {"lambd": 1.0}, "tanh": {},
    "sigmoid": {}, "softmax": {"dim": 0}, "log_softmax": {"dim": 0}, "softmin": {"dim": 0}, "glu": {"dim": 0},
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_agree_also_at_their_kinks(against_torch, name):
    against_torch(
        lambda F, x: getattr(F, name)(x, **ACTIVATIONS[name]), np.concatenate([KINKS, normal(50)])
    )


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "silu", "hardtanh"])
def test_activations_in_place_overwrite_their_input(against_torch, name):
    def fn(F, x):
        y = x * 2
        out = getattr(F, name)(y, inplace=True)
        return out + y

    against_torch(fn, normal(30))


CASES = {
    "gelu tanh": (lambda F, x: F.gelu(x, approximate="tanh"), normal(40)),
    "prelu one": (lambda F, x, w: F.prelu(x, w), normal(2, 3, 4), np.array([0.3], "float32")),
    "prelu channels": (lambda F, x, w: F.prelu(x, w), normal(2, 3, 4), normal(3)),
    "softmax axis": (lambda F, x: F.softmax(x, dim=1), normal(2, 5, 3) * 20),
    "log_softmax": (lambda F, x: F.log_softmax(x, dim=-1), normal(2, 5, 3) * 20),
    "softmax of infinities": (lambda F, x: F.softmax(x, -1), np.array([[1, -np.inf, 2]], "float32")),
    "linear": (lambda F, x, w, b: F.linear(x, w, b), normal(2, 3, 4), normal(5, 4), normal(5)),
    "linear one row": (lambda F, x, w, b: F.linear(x, w, b), normal(4), normal(5, 4), normal(5)),
    "bilinear": (lambda F, x, y, w, b: F.bilinear(x, y, w, b), normal(2, 3), normal(2, 4), normal(5, 3, 4), normal(5)),
    "layer_norm": (lambda F, x, w, b: F.layer_norm(x, (3, 4), w, b), normal(2, 3, 4), normal(3, 4), normal(3, 4)),
    "rms_norm": (lambda F, x, w: F.rms_norm(x, (4,), w), normal(2, 3, 4), normal(4)),
    "group_norm": (lambda F, x, w, b: F.group_norm(x, 2, w, b), normal(2, 4, 3, 3), normal(4), normal(4)),
    "instance_norm": (lambda F, x: F.instance_norm(x), normal(2, 4, 5)),
    "local_response_norm": (lambda F, x: F.local_response_norm(x, 3, alpha=0.1), normal(2, 7, 4)),
    "normalize": (lambda F, x: F.normalize(x, dim=1), normal(3, 4)),
    "normalize p=3": (lambda F, x: F.normalize(x, p=3.0, dim=1), normal(3, 4)),
    "cosine_similarity": (lambda F, x, y: F.cosine_similarity(x, y, dim=1), normal(3, 4), normal(3, 4)),
    "pairwise_distance": (lambda F, x, y: F.pairwise_distance(x, y), normal(3, 4), normal(3, 4)),
    "embedding": (lambda F, i, w: F.embedding(i, w), ints(5, 2, 3), normal(5, 4)),
    "embedding padded": (lambda F, i, w: F.embedding(i, w, padding_idx=1), np.array([0, 1, 1, 2]), normal(5, 4)),
    "one_hot": (lambda F, i: F.one_hot(i, 5), ints(5, 2, 3)),
    "one_hot counted": (lambda F, i: F.one_hot(i), ints(5, 2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_functions_agree(against_torch, name):
    fn, *arrays = CASES[name]
    against_torch(fn, *arrays)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_agrees_and_moves_running_moments_alike(against_torch, training):
    def fn(F, x, w, b, mean, var):
        mean, var = mean.detach().clone(), var.detach().clone()
        out = F.batch_norm(x, mean, var, w, b, training=training, momentum=0.3)
        return out, mean, var

    against_torch(fn, normal(4, 3, 5), normal(3), normal(3), normal(3), normal(3) ** 2 + 0.1)


CONVOLUTIONS = {
    "conv1d": ((2, 3, 9), (4, 3, 3), [{}, {"stride": 2, "padding": 1}, {"padding": "same"}, {"dilation": 2}]),
    "conv2d": (
        (2, 4, 7, 6), (6, 2, 3, 2),
        [{"groups": 2}, {"groups": 2, "stride": (2, 1), "padding": (1, 0)}, {"groups": 2, "padding": "same", "dilation": 2}],
    ),
    "conv3d": ((1, 2, 4, 5, 4), (3, 2, 2, 3, 2), [{}, {"stride": 2, "padding": 1}]),
    "conv_transpose1d": ((2, 3, 5), (3, 2, 3), [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"dilation": 2}]),
    "conv_transpose2d": ((2, 4, 4, 3), (4, 3, 3, 2), [{"groups": 2, "stride": (2, 1)}, {"padding": 1}]),
    "conv_transpose3d": ((1, 2, 3, 2, 3), (2, 2, 2, 2, 2), [{"stride": 2}]),
}  # fmt: skip


@pytest.mark.parametrize(
    "name,how", [(name, how) for name, (_, _, options) in CONVOLUTIONS.items() for how in options]
)
def test_convolutions_agree(against_torch, name, how):
    x, w, _ = CONVOLUTIONS[name]
    out = w[0] if "transpose" not in name else w[1] * how.get("groups", 1)
    arrays = normal(*x), normal(*w), normal(out)
    against_torch(
        lambda F, x, w, b: getattr(F, name)(x, w, b, **how), *arrays, rtol=1e-4, atol=2e-5
    )
    against_torch(
        lambda F, x, w: getattr(F, name)(x[0], w, **how), *arrays[:2], rtol=1e-4, atol=2e-5
    )


POOLS = [
    ("max_pool1d", (2, 3, 9), {"kernel_size": 3}),
    ("max_pool1d", (2, 3, 9), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("max_pool2d", (2, 3, 7, 6), {"kernel_size": 2}),
    (
        "max_pool2d",
        (3, 7, 6),
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "return_indices": True},
    ),
    (
        "max_pool2d",
        (2, 3, 8, 9),
        {"kernel_size": 2, "dilation": (2, 3), "ceil_mode": True, "return_indices": True},
    ),
    ("max_pool3d", (1, 2, 4, 5, 4), {"kernel_size": 2, "return_indices": True}),
    ("avg_pool1d", (2, 3, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool2d", (2, 3, 7, 6), {"kernel_size": 2}),
    ("avg_pool2d", (2, 3, 7, 6), {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "divisor_override": 5}),
    ("avg_pool3d", (1, 2, 4, 5, 4), {"kernel_size": 2}),
    ("adaptive_avg_pool1d", (2, 3, 7), {"output_size": 3}),
    ("adaptive_avg_pool2d", (2, 3, 8, 7), {"output_size": (4, 3)}),
    ("adaptive_avg_pool2d", (2, 3, 8, 7), {"output_size": (None, 1)}),
    ("adaptive_avg_pool2d", (2, 3, 8, 7), {"output_size": 1}),
    ("adaptive_avg_pool3d", (2, 3, 4, 4, 5), {"output_size": 2}),
    ("adaptive_avg_pool3d", (2, 3, 4, 4, 5), {"output_size": (1, 3, 1)}),
    ("adaptive_max_pool1d", (2, 3, 7), {"output_size": 3}),
    ("adaptive_max_pool2d", (2, 3, 8, 7), {"output_size": (4, 3)}),
    ("adaptive_max_pool2d", (2, 3, 8, 6), {"output_size": (4, 3)}),
    ("adaptive_max_pool3d", (2, 3, 4, 4, 5), {"output_size": (2, 2, 5)}),
]


@pytest.mark.parametrize("name,shape,how", POOLS)
def test_pooling_agrees(against_torch, name, shape, how):
    against_torch(lambda F, x: getattr(F, name)(x, **how), normal(*shape))


def test_max_pooling_gives_the_gradient_to_the_first_of_equals(against_torch):
    against_torch(lambda F, x: F.max_pool2d(x, 2), np.zeros((1, 1, 4, 4), "float32"))
    against_torch(lambda F, x: F.adaptive_max_pool2d(x, 2), np.zeros((1, 1, 4, 4), "float32"))
    across = np.fliplr(np.eye(10, dtype="float32"))[None, None]
    against_torch(lambda F, x: F.adaptive_max_pool2d(x, 5), across)


VISION = {
    "pad": (lambda F, x: F.pad(x, (1, 2, 0, 3), value=1.5), (2, 3, 4)),
    "pad cuts": (lambda F, x: F.pad(x, (-1, 2, 1, -1)), (2, 3, 4)),
    "pad reflect": (lambda F, x: F.pad(x, (1, 2), mode="reflect"), (2, 3, 4)),
    "pad replicate": (lambda F, x: F.pad(x, (1, 2, 2, 0), mode="replicate"), (1, 2, 3, 4)),
    "pad circular": (lambda F, x: F.pad(x, (1, 2), mode="circular"), (2, 3, 4)),
    "nearest": (lambda F, x: F.interpolate(x, scale_factor=2), (2, 3, 4, 5)),
    "nearest to size": (lambda F, x: F.interpolate(x, size=(3, 7)), (2, 3, 4, 5)),
    "bilinear": (lambda F, x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), (2, 3, 4, 5)),
    "bilinear corners": (lambda F, x: F.interpolate(x, (7, 3), mode="bilinear", align_corners=True), (2, 3, 4, 5)),
    "linear": (lambda F, x: F.interpolate(x, 9, mode="linear"), (2, 3, 4)),
    "pixel_shuffle": (lambda F, x: F.pixel_shuffle(x, 2), (2, 8, 3, 4)),
    "pixel_unshuffle": (lambda F, x: F.pixel_unshuffle(x, 2), (2, 3, 4, 6)),
    "unfold": (lambda F, x: F.unfold(x, (2, 3), padding=1, stride=2), (2, 3, 5, 6)),
    "fold": (lambda F, x: F.fold(x, (4, 5), (2, 2), padding=1, stride=2), (2, 12, 9)),
}  # fmt: skip


@pytest.mark.parametrize("name", VISION)
def test_image_functions_agree(against_torch, name):
    fn, shape = VISION[name]
    against_torch(fn, normal(*shape))


def attend(**how):
    return lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, **how)


ATTENTION = {
    "plain": (attend(), (2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7)),
    "causal": (attend(is_causal=True), (2, 5, 4), (2, 5, 4), (2, 5, 4)),
    "scaled": (attend(scale=0.7), (5, 4), (6, 4), (6, 4)),
    "grouped": (attend(enable_gqa=True), (2, 6, 5, 4), (2, 2, 6, 4), (2, 2, 6, 4)),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_agrees(against_torch, name):
    fn, *shapes = ATTENTION[name]
    against_torch(fn, *(normal(*s) for s in shapes))


def test_masked_attention_agrees_also_where_nothing_is_seen(against_torch):
    seen = np.array([[True, False, True], [False, False, False]])
    arrays = normal(2, 4), normal(3, 4), normal(3, 5)
    against_torch(lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), *arrays, seen)
    against_torch(
        lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), *arrays, normal(2, 3)
    )

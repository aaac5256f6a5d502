"""Losses give PyTorch's values and gradients (run where torch is installed)."""

# ruff: noqa: E501 - a table reads best with one case a line

import numpy as np
import pytest

RNG = np.random.default_rng(4)


def normal(*shape):
    return RNG.standard_normal(shape).astype("float32")


def uniform(*shape):
    return RNG.random(shape).astype("float32")


def signs(*shape):
    return np.where(RNG.random(shape) < 0.5, -1.0, 1.0).astype("float32")


EDGES = np.array([0.0, 1.0, 0.0, 1.0, 0.3], "float32")
EDGE_TARGETS = np.array([0.0, 0.0, 1.0, 1.0, 0.4], "float32")

PAIRS = {
    "mse": (lambda F, x, y, **k: F.mse_loss(x, y, **k), normal(3, 4), normal(3, 4)),
    "l1": (lambda F, x, y, **k: F.l1_loss(x, y, **k), np.append(normal(11), 0).astype("float32"), np.append(normal(11), 0).astype("float32")),
    "smooth_l1": (lambda F, x, y, **k: F.smooth_l1_loss(x, y, beta=0.7, **k), normal(3, 4), normal(3, 4)),
    "huber": (lambda F, x, y, **k: F.huber_loss(x, y, delta=0.7, **k), normal(3, 4), normal(3, 4)),
    "bce": (lambda F, x, y, **k: F.binary_cross_entropy(x, y, **k), uniform(3, 4), uniform(3, 4)),
    "bce at edges": (lambda F, x, y, **k: F.binary_cross_entropy(x, y.detach(), **k), EDGES, EDGE_TARGETS),
    "bce weighted": (lambda F, x, y, w, **k: F.binary_cross_entropy(x, y, w.detach(), **k), uniform(3, 4), uniform(3, 4), uniform(4)),
    "bce logits": (lambda F, x, y, **k: F.binary_cross_entropy_with_logits(x, y, **k), normal(3, 4) * 60, uniform(3, 4)),
    "bce logits at 0": (lambda F, x, y, **k: F.binary_cross_entropy_with_logits(x, y, **k), np.zeros(3, "float32"), uniform(3)),
    "bce logits weighted": (
        lambda F, x, y, w, p, **k: F.binary_cross_entropy_with_logits(x, y, w.detach(), pos_weight=p.detach(), **k),
        normal(3, 4), uniform(3, 4), uniform(3, 4), uniform(4) * 3,
    ),
    "kl_div": (lambda F, x, y, **k: F.kl_div(F.log_softmax(x, 1), F.softmax(y, 1), **k), normal(3, 4), normal(3, 4)),
    "kl_div log": (lambda F, x, y, **k: F.kl_div(F.log_softmax(x, 1), F.log_softmax(y, 1), log_target=True, **k), normal(3, 4), normal(3, 4)),
    "kl_div zeros": (lambda F, x, y, **k: F.kl_div(F.log_softmax(x, 0), y.detach(), **k), normal(4), np.array([0, 0.5, 0.5, 0], "float32")),
    "poisson": (lambda F, x, y, **k: F.poisson_nll_loss(x, y.detach(), full=True, **k), normal(6), np.array([0, 1, 2, 3, 5, 9], "float32")),
    "gaussian": (lambda F, x, y, v, **k: F.gaussian_nll_loss(x, y, v, **k), normal(6), normal(6), uniform(6) + 0.1),
    "soft_margin": (lambda F, x, y, **k: F.soft_margin_loss(x, y.detach(), **k), normal(6) * 10, signs(6)),
    "margin_ranking": (lambda F, x, y, t, **k: F.margin_ranking_loss(x, y, t.detach(), margin=0.2, **k), normal(6), normal(6), signs(6)),
    "hinge": (lambda F, x, t, **k: F.hinge_embedding_loss(x, t.detach(), **k), normal(6), signs(6)),
    "cosine": (lambda F, x, y, t, **k: F.cosine_embedding_loss(x, y, t.detach(), margin=0.1, **k), normal(5, 4), normal(5, 4), signs(5)),
    "triplet": (lambda F, x, y, z, **k: F.triplet_margin_loss(x, y, z, swap=True, **k), normal(5, 4), normal(5, 4), normal(5, 4)),
    "multilabel": (lambda F, x, y, **k: F.multilabel_soft_margin_loss(x, y, **k), normal(5, 4), (uniform(5, 4) > 0.5).astype("float32")),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", PAIRS)
def test_losses_agree(against_torch, name, reduction):
    fn, *arrays = PAIRS[name]
    against_torch(lambda F, *xs: fn(F, *xs, reduction=reduction), *arrays, rtol=1e-4, atol=1e-5)


TARGETS = np.array([0, 3, -100, 2, 2])
CLASSES = {
    "plain": (lambda F, x, t, w, **k: F.cross_entropy(x, t, **k), normal(5, 4), TARGETS),
    "weight": (lambda F, x, t, w, **k: F.cross_entropy(x, t, w.detach(), **k), normal(5, 4), TARGETS),
    "smoothing": (lambda F, x, t, w, **k: F.cross_entropy(x, t, label_smoothing=0.2, **k), normal(5, 4), TARGETS),
    "both": (lambda F, x, t, w, **k: F.cross_entropy(x, t, w.detach(), label_smoothing=0.2, **k), normal(5, 4), TARGETS),
    "ignore": (lambda F, x, t, w, **k: F.cross_entropy(x, t * 0 + 2, ignore_index=3, **k), normal(5, 4), TARGETS),
    "images": (lambda F, x, t, w, **k: F.cross_entropy(x, t, w.detach(), **k), normal(2, 4, 3, 3), RNG.integers(0, 4, (2, 3, 3))),
    "one sample": (lambda F, x, t, w, **k: F.cross_entropy(x, t, **k), normal(4), np.array(2)),
    "nll": (lambda F, x, t, w, **k: F.nll_loss(F.log_softmax(x, 1), t, w.detach(), **k), normal(5, 4), TARGETS),
    "probabilities": (lambda F, x, t, w, **k: F.cross_entropy(x, F.softmax(t, 1), **k), normal(5, 4), normal(5, 4)),
    "probabilities both": (
        lambda F, x, t, w, **k: F.cross_entropy(x, F.softmax(t, 1), w.detach(), label_smoothing=0.1, **k),
        normal(5, 4, 3), normal(5, 4, 3),
    ),
    "multi_margin": (lambda F, x, t, w, **k: F.multi_margin_loss(x, t * 0 + 1, p=2, margin=0.7, weight=w.detach(), **k), normal(5, 4), TARGETS),
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", CLASSES)
def test_class_losses_agree(against_torch, name, reduction):
    fn, x, t = CLASSES[name]
    against_torch(lambda F, x, t, w: fn(F, x, t, w, reduction=reduction), x, t, uniform(4) + 0.1)

"""Losses: how far predictions are from targets. ``reduction`` is "mean", "sum" or "none"."""

from __future__ import annotations

from math import log as _log
from math import pi
from typing import Any

import numpy as np

from ...core.composite import composite
from ...core.errors import ArgumentError, DTypeError, ShapeError
from ...core.kinds import elementwise, real_float
from ..arithmetic import abs, cast, divide, maximum, minimum, multiply, square, subtract, where
from ..comparison import equal, logical_and, not_equal
from ..composites import accumulating, cosine_similarity, log_softmax, mean, pairwise_distance
from ..creation import arange_op
from ..cumulative import cumprod_along
from ..indexing import take_along
from ..movement import reshape, stop_gradient
from ..reduce import reduce_sum
from ..transcendental import exp, log, log1p, logaddexp
from .activations import relu


def reduced(loss: Any, reduction: str) -> Any:
    """The mean, the sum, or the loss of each element as it is."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return total(loss)
    if reduction == "none":
        return loss
    raise ArgumentError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")


@accumulating
def total(x: Any) -> Any:
    """Sum of all elements."""
    return reduce_sum(x, axes=tuple(range(x.ndim)), keepdims=False)


def _same_shape(op: str, x: Any, y: Any) -> None:
    if x.shape != y.shape:
        raise ShapeError(
            f"{op}: input of shape {x.shape} and target of shape {y.shape} must have one shape"
        )


# --- regression --------------------------------------------------------------------------------


def _weighted(loss: Any, weight: Any, reduction: str) -> Any:
    """The reduction of a loss whose elements are weighted; the mean divides by the weights' sum."""
    if weight is None:
        return reduced(loss, reduction)
    weighted = multiply(loss, weight)
    return (
        divide(total(weighted), total(weight))
        if reduction == "mean"
        else reduced(weighted, reduction)
    )


@composite
def mse_loss(x: Any, y: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """``(x - y)**2``.

    >>> import dualgraph as dg
    >>> dg.nn.functional.mse_loss(dg.asarray([1., 2.]), dg.asarray([1., 4.])).item()
    2.0
    """
    return _weighted(square(subtract(x, y)), weight, reduction)


@composite
def l1_loss(x: Any, y: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """``|x - y|``."""
    return _weighted(abs(subtract(x, y)), weight, reduction)


@composite
def smooth_l1_loss(x: Any, y: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """``d**2 / (2 beta)`` where ``d = |x - y|`` is below beta, ``d - beta / 2`` elsewhere."""
    if beta == 0:
        return l1_loss(x, y, reduction)
    difference = subtract(x, y)
    d = abs(difference)
    near = divide(square(difference) * 0.5, beta)  # not of d, which is not smooth at 0
    return reduced(where(d < beta, near, d - 0.5 * beta), reduction)


@composite
def huber_loss(
    x: Any, y: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """``d**2 / 2`` where ``d = |x - y|`` is at most delta, ``delta (d - delta / 2)`` elsewhere."""
    difference = subtract(x, y)
    d = abs(difference)
    near = square(difference) * 0.5  # not of d, which is not smooth at 0
    return _weighted(where(d <= delta, near, (d - 0.5 * delta) * delta), weight, reduction)


# --- binary classes ----------------------------------------------------------------------------


@elementwise(dtype=real_float, domain=(0.1, 0.9))
def binary_cross_entropy_terms(s, x, y):
    """``-(y log x + (1 - y) log(1 - x))``, each logarithm held at or above -100."""
    return (y - 1) * s.maximum(s.log1p(-x), -100.0) - y * s.maximum(s.log(x), -100.0)


@binary_cross_entropy_terms.vjp
def _(ct, _out, x, y):
    def along_x():
        return divide(multiply(ct, subtract(x, y)), maximum(multiply(subtract(1, x), x), 1e-12))

    return along_x, lambda: multiply(ct, maximum(log1p(-x), -100.0) - maximum(log(x), -100.0))


@binary_cross_entropy_terms.reference
def _(x, y):
    return -(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log1p(-x), -100))


@composite
def binary_cross_entropy(x: Any, y: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """Cross entropy of probabilities x for targets y in [0, 1]; finite also at 0 and 1."""
    _same_shape("binary_cross_entropy", x, y)
    loss = binary_cross_entropy_terms(x, y)
    return reduced(loss if weight is None else multiply(loss, weight), reduction)


@composite
def binary_cross_entropy_with_logits(
    x: Any, y: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """Cross entropy of ``sigmoid(x)`` for targets y in [0, 1], without overflow."""
    _same_shape("binary_cross_entropy_with_logits", x, y)
    below = logaddexp(-x, 0)  # -log(sigmoid(x))
    if pos_weight is not None:
        below = multiply(below, multiply(pos_weight - 1, y) + 1)
    loss = multiply(subtract(1, y), x) + below
    return reduced(loss if weight is None else multiply(loss, weight), reduction)


# --- classes -----------------------------------------------------------------------------------


def _class_axis(op: str, x: Any, target: Any) -> int:
    """The axis of the classes; raises unless `target` has a class index for each other place."""
    axis = 1 if x.ndim > 1 else 0
    expected = x.shape[:axis] + x.shape[axis + 1 :]
    if target.shape != expected:
        raise ShapeError(
            f"{op}: input of shape {x.shape} has its classes on axis {axis} and takes class indices of "
            f"shape {expected}, not {target.shape}"
        )
    if not target.dtype.is_integer:
        raise DTypeError(
            f"{op}: class indices must be integers, not {target.dtype.name}; cast with .long()"
        )
    return axis


def _at(values: Any, target: Any, axis: int) -> Any:
    """The value of each target's class."""
    shape = (*target.shape[:axis], 1, *target.shape[axis:])
    return reshape(take_along(values, reshape(target, shape=shape), axis=axis), shape=target.shape)


def _classes(target: Any, ignore_index: int, count: int) -> tuple[Any, Any]:
    """(class indices with 0 where ignored, whether each one counts). Negative ones must not wrap around."""
    counts = not_equal(target, ignore_index)
    indices = where(counts, target, 0)
    return where(indices < 0, indices - count, indices), counts


@composite
def nll_loss(
    log_probs: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """``-log_probs[target]`` along the class axis (axis 1), weighted by class; the mean is over the weights."""
    axis = _class_axis("nll_loss", log_probs, target)
    indices, counts = _classes(target, ignore_index, log_probs.shape[axis])
    each = where(counts, -_at(log_probs, indices, axis), 0)
    shares = cast(counts, dtype=log_probs.dtype.name)
    if weight is not None:
        shares = multiply(shares, _class_weights(weight, indices))
        each = multiply(each, shares)
    if reduction == "mean":
        return divide(total(each), total(shares))
    return reduced(each, reduction)


def _class_weights(weight: Any, indices: Any) -> Any:
    flat = take_along(weight, reshape(indices, shape=(indices.size,)), axis=0)
    return reshape(flat, shape=indices.shape)


@composite
def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """``-log(softmax(x))`` of the target class (axis 1 has the classes), or averaged over class probabilities.

    `target` holds class indices, or probabilities in the shape of x. ``weight`` has one entry a
    class; ``label_smoothing`` spreads that share of each target evenly over all classes.

    >>> import dualgraph as dg
    >>> logits = dg.asarray([[0., 0.]])
    >>> round(dg.nn.functional.cross_entropy(logits, dg.asarray([1])).item(), 4)
    0.6931
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(f"label_smoothing must be in [0, 1], not {label_smoothing}")
    axis = 1 if x.ndim > 1 else 0
    if weight is not None and weight.shape != (x.shape[axis],):
        raise ShapeError(
            f"cross_entropy: weight needs one entry for each of {x.shape[axis]} classes, not {weight.shape}"
        )
    log_probs = log_softmax(x, axis=axis)
    if target.shape == x.shape and target.dtype.is_floating_point:
        return _soft_cross_entropy(log_probs, target, weight, axis, reduction, label_smoothing)
    loss = nll_loss(log_probs, target, weight, ignore_index, reduction)
    if label_smoothing == 0:
        return loss
    smooth = _even_loss(log_probs, target, weight, axis, ignore_index, reduction)
    return multiply(loss, 1 - label_smoothing) + multiply(smooth, label_smoothing / x.shape[axis])


def _along(weight: Any, axis: int, ndim: int) -> Any:
    return reshape(weight, shape=tuple(weight.shape[0] if i == axis else 1 for i in range(ndim)))


def _even_loss(
    log_probs: Any, target: Any, weight: Any, axis: int, ignore_index: int, reduction: str
) -> Any:
    """The loss of all classes together, where the target counts."""
    indices, counts = _classes(target, ignore_index, log_probs.shape[axis])
    weighted = (
        log_probs if weight is None else multiply(log_probs, _along(weight, axis, log_probs.ndim))
    )
    each = where(counts, -reduce_sum(weighted, axes=(axis,), keepdims=False), 0)
    if reduction != "mean":
        return reduced(each, reduction)
    shares = cast(counts, dtype=log_probs.dtype.name)
    shares = shares if weight is None else multiply(shares, _class_weights(weight, indices))
    return divide(total(each), total(shares))


def _soft_cross_entropy(
    log_probs: Any, target: Any, weight: Any, axis: int, reduction: str, label_smoothing: float
) -> Any:
    """`cross_entropy` of targets that are probabilities of the classes."""
    classes = log_probs.shape[axis]
    if label_smoothing > 0:
        target = multiply(target, 1 - label_smoothing) + label_smoothing / classes
    terms = multiply(log_probs, target)
    terms = terms if weight is None else multiply(terms, _along(weight, axis, terms.ndim))
    each = -reduce_sum(terms, axes=(axis,), keepdims=False)
    return (
        divide(total(each), each.size if axis else 1)
        if reduction == "mean"
        else reduced(each, reduction)
    )


@composite
def kl_div(log_probs: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """``target * (log(target) - log_probs)``; "batchmean" divides the sum by the length of axis 0."""
    if log_target:
        loss = multiply(exp(target), subtract(target, log_probs))
    else:
        none = equal(target, 0)
        own = where(none, 0, multiply(target, log(where(none, 1, target))))  # 0 log 0 = 0
        loss = subtract(own, multiply(target, log_probs))
    if reduction == "batchmean":
        return divide(total(loss), log_probs.shape[0] if log_probs.ndim else 1)
    return reduced(loss, reduction)


@composite
def multilabel_soft_margin_loss(x: Any, y: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """Mean over the last axis of the binary cross entropy of ``sigmoid(x)`` for labels y."""
    each = binary_cross_entropy_with_logits(x, y, weight, "none")
    return reduced(mean(each, axis=-1), reduction)


@composite
def multi_margin_loss(
    x: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """Mean over other classes j of ``max(0, margin - x[target] + x[j])**p``."""
    axis = _class_axis("multi_margin_loss", x, target)
    classes = x.shape[axis]
    own = reshape(_at(x, target, axis), shape=(*target.shape, 1))
    hinge = relu(subtract(x, own) + margin) ** p
    hinge = (
        hinge
        if weight is None
        else multiply(hinge, reshape(_class_weights(weight, target), shape=own.shape))
    )
    others = reduce_sum(hinge, axes=(axis,), keepdims=False) - _at(hinge, target, axis)
    return reduced(divide(others, classes), reduction)


def multilabel_margin_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """Sums of ``max(0, 1 - (x[i] - x[j])) / C`` over classes i that the target lists before -1 and others j."""
    _same_shape("multilabel_margin_loss", x, target)
    lead, classes = x.shape[:-1], x.shape[-1]
    listed = cumprod_along(cast(target >= 0, dtype="int64"), axis=target.ndim - 1) != 0
    own = take_along(x, where(listed, target, 0), axis=x.ndim - 1)
    numbers = arange_op(start=0, step=1, size=classes, dtype="int64", device=str(x.device))
    names = logical_and(
        reshape(target, shape=(*lead, classes, 1)) == numbers,
        reshape(listed, shape=(*lead, classes, 1)),
    )
    free = reduce_sum(cast(names, dtype="int64"), axes=(x.ndim - 1,), keepdims=True) == 0
    gap = (
        subtract(reshape(x, shape=(*lead, 1, classes)), reshape(own, shape=(*lead, classes, 1))) + 1
    )
    counted = logical_and(free, reshape(listed, shape=(*lead, classes, 1)))
    hinge = where(counted, relu(gap), 0)
    return reduced(
        divide(reduce_sum(hinge, axes=(x.ndim - 1, x.ndim), keepdims=False), classes), reduction
    )


# --- pairs and margins -------------------------------------------------------------------------


def _hinge(x: Any) -> Any:
    """``max(x, 0)`` whose gradient at 0 is 1."""
    return where(x < 0, 0, x)


@composite
def margin_ranking_loss(
    x: Any, y: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """``max(0, -target * (x - y) + margin)``; target 1 wants x above y, -1 below."""
    return reduced(_hinge(multiply(-target, subtract(x, y)) + margin), reduction)


@composite
def hinge_embedding_loss(x: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """x where the target is 1, ``max(0, margin - x)`` where it is -1; the sum of both where it is neither."""
    near = where(target == -1, 0, x)
    far = where(target == 1, 0, _hinge(subtract(margin, x)))
    return reduced(near + far, reduction)


@composite
def soft_margin_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """``log(1 + e**(-target * x))`` without overflow."""
    return reduced(logaddexp(multiply(-target, x), 0), reduction)


@composite
def cosine_embedding_loss(
    x: Any, y: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """``1 - cos(x, y)`` where the target is 1, ``max(0, cos(x, y) - margin)`` where it is -1."""
    similarity = cosine_similarity(x, y, axis=-1)
    near = where(target == 1, subtract(1, similarity), 0)
    return reduced(near + where(target == -1, _hinge(similarity - margin), 0), reduction)


@composite
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` for the p-norm distance d."""
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(_hinge(pairwise_distance(anchor, positive, p, eps) - far + margin), reduction)


@composite
def poisson_nll_loss(
    x: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """Negative log likelihood of counts under a Poisson law of rate ``e**x`` (or x)."""
    loss = (
        subtract(exp(x), multiply(target, x))
        if log_input
        else subtract(x, multiply(target, log(x + eps)))
    )
    if full:  # Stirling's formula for log(target!)
        many = target > 1
        t = where(many, target, 2)
        factorial = multiply(t, log(t)) - t + log(t * (2 * pi)) * 0.5
        loss = loss + where(many, factorial, 0)
    return reduced(loss, reduction)


@composite
def gaussian_nll_loss(
    x: Any,
    target: Any,
    variance: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Negative log likelihood of the target under normal laws of mean x and the given variance (at least eps)."""
    below = stop_gradient(maximum(variance, eps) - variance)  # the gradient ignores the floor
    floored = variance + below
    loss = (log(floored) + divide(square(subtract(x, target)), floored)) * 0.5
    return reduced(loss + 0.5 * _log(2 * pi) if full else loss, reduction)

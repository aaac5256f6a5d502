"""Losses under PyTorch's names and signatures, with its outdated ``size_average`` and ``reduce``."""

from __future__ import annotations

import warnings
from typing import Any

from ...core.errors import ArgumentError, describe, user_location
from ...eager import Tensor
from ...eager.operands import as_operand
from ...ops import composites
from ...ops.arithmetic import maximum, minimum
from ...ops.nn import losses
from .texts import says

Flag = bool | None


def mode(size_average: Flag, reduce: Flag, reduction: str) -> str:
    """`reduction`, unless one of the outdated flags says otherwise."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _warn_of_stretching(op: str, input: Tensor, target: Tensor) -> None:
    """A warning where the two differ in shape: (N, 1) and (N,) make N * N differences, which is hardly ever meant."""
    if input.shape != target.shape:
        at = user_location()
        shapes = f"input of shape {tuple(input.shape)} and target of shape {tuple(target.shape)}"
        text = f"{op}: {shapes} are stretched to one shape; give both the same"
        warnings.warn_explicit(text, UserWarning, at.file, at.line)


def _positive_margin(op: str, margin: float) -> None:
    if margin <= 0:
        raise ArgumentError(describe(op, "", f"margin {margin} is not above 0"))


@says(losses.mse_loss)
def mse_loss(
    input: Tensor, target: Tensor, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.mse_loss(dg.asarray([1.0, 2.0]), dg.asarray([1.0, 4.0]))
    tensor(2.)
    """
    _warn_of_stretching("mse_loss", input, target)
    return losses.mse_loss(input, target, mode(size_average, reduce, reduction), weight)


@says(losses.l1_loss)
def l1_loss(
    input: Tensor, target: Tensor, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.l1_loss(dg.asarray([1.0, 2.0]), dg.asarray([1.0, 4.0]))
    tensor(1.)
    """
    _warn_of_stretching("l1_loss", input, target)
    return losses.l1_loss(input, target, mode(size_average, reduce, reduction), weight)


@says(losses.smooth_l1_loss)
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.smooth_l1_loss(dg.asarray([0.0]), dg.asarray([0.5]))
    tensor(0.1250)
    """
    _warn_of_stretching("smooth_l1_loss", input, target)
    return losses.smooth_l1_loss(input, target, mode(size_average, reduce, reduction), beta)


@says(losses.huber_loss)
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """
    >>> dg.nn.functional.huber_loss(dg.asarray([0.0]), dg.asarray([3.0]))
    tensor(2.5000)
    """
    if delta <= 0:
        raise ArgumentError(
            describe("huber_loss", str(input.tensor_type), f"delta {delta} is not above 0")
        )
    _warn_of_stretching("huber_loss", input, target)
    return losses.huber_loss(input, target, reduction, delta, weight)


@says(losses.binary_cross_entropy)
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Flag = None, reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.binary_cross_entropy(dg.asarray([0.5]), dg.asarray([1.0]))
    tensor(0.6931)
    """
    return losses.binary_cross_entropy(input, target, weight, mode(size_average, reduce, reduction))


@says(losses.binary_cross_entropy_with_logits)
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Flag = None, reduce: Flag = None,
    reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.binary_cross_entropy_with_logits(dg.zeros(1), dg.ones(1))
    tensor(0.6931)
    """
    how = mode(size_average, reduce, reduction)
    return losses.binary_cross_entropy_with_logits(input, target, weight, how, pos_weight)


@says(losses.cross_entropy)
def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Flag = None, ignore_index: int = -100,
    reduce: Flag = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """
    >>> logits = dg.tensor([[0.0, 0.0], [0.0, 100.0]])
    >>> round(dg.nn.functional.cross_entropy(logits, dg.tensor([1, 1])).item(), 4)
    0.3466
    """
    how = mode(size_average, reduce, reduction)
    return losses.cross_entropy(input, target, weight, ignore_index, how, label_smoothing)


@says(losses.nll_loss)
def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Flag = None, ignore_index: int = -100,
    reduce: Flag = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.nll_loss(dg.asarray([[-0.5, -1.0]]), dg.asarray([1]))
    tensor(1.)
    """
    return losses.nll_loss(
        input, target, weight, ignore_index, mode(size_average, reduce, reduction)
    )


def kl_div(
    input: Tensor, target: Tensor, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:  # fmt: skip
    """``target * (log(target) - x)`` for log probabilities x.

    >>> p = dg.asarray([0.5, 0.5])
    >>> dg.nn.functional.kl_div(dg.log(p), p, reduction="sum")
    tensor(0.)
    """
    return losses.kl_div(input, target, mode(size_average, reduce, reduction), log_target)


@says(losses.poisson_nll_loss)
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: Flag = None,
    eps: float = 1e-8, reduce: Flag = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.poisson_nll_loss(dg.zeros(2), dg.ones(2))
    tensor(1.)
    """
    return losses.poisson_nll_loss(
        input, target, log_input, full, eps, mode(size_average, reduce, reduction)
    )


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood of the target under a normal law; `var` is a variance each, or one for each last axis.

    >>> dg.nn.functional.gaussian_nll_loss(dg.zeros(2), dg.ones(2), dg.ones(2))
    tensor(0.5000)
    """
    var = as_operand(var)
    if var.ndim and var.shape == input.shape[:-1]:
        var = var.unsqueeze(-1)
    return losses.gaussian_nll_loss(input, target, var, full, eps, reduction)


@says(losses.margin_ranking_loss)
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, size_average: Flag = None,
    reduce: Flag = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.margin_ranking_loss(dg.asarray([1.0]), dg.asarray([3.0]), dg.asarray([1.0]))
    tensor(2.)
    """
    return losses.margin_ranking_loss(
        input1, input2, target, margin, mode(size_average, reduce, reduction)
    )


@says(losses.hinge_embedding_loss)
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: Flag = None, reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.hinge_embedding_loss(dg.asarray([0.5]), dg.asarray([-1.0]))
    tensor(0.5000)
    """
    return losses.hinge_embedding_loss(input, target, margin, mode(size_average, reduce, reduction))


@says(losses.soft_margin_loss)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """
    >>> dg.nn.functional.soft_margin_loss(dg.zeros(2), dg.ones(2))
    tensor(0.6931)
    """
    return losses.soft_margin_loss(input, target, mode(size_average, reduce, reduction))


@says(losses.multilabel_soft_margin_loss)
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Flag = None, reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> x, labels = dg.zeros(1, 3), dg.tensor([[1.0, 0.0, 1.0]])
    >>> round(dg.nn.functional.multilabel_soft_margin_loss(x, labels).item(), 4)  # log(2)
    0.6931
    """
    return losses.multilabel_soft_margin_loss(
        input, target, weight, mode(size_average, reduce, reduction)
    )


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean"
) -> Tensor:  # fmt: skip
    """Sums of ``max(0, 1 - (x[i] - x[j])) / C`` over classes i in the target and j that are not.

    Each row of the target lists its classes, then -1 and anything.

    >>> x, classes = dg.tensor([[0.1, 0.2, 0.4, 0.8]]), dg.tensor([[3, 0, -1, 1]])
    >>> round(dg.nn.functional.multilabel_margin_loss(x, classes).item(), 4)
    0.85
    """
    if not input.ndim:  # a row of one class
        input, target = input.reshape(1), target.reshape(1)
    return losses.multilabel_margin_loss(input, target, mode(size_average, reduce, reduction))


@says(losses.multi_margin_loss)
def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: Flag = None, reduce: Flag = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> dg.nn.functional.multi_margin_loss(dg.asarray([[0.5, 0.5]]), dg.asarray([0]))
    tensor(0.5000)
    """
    if input.ndim < 2 and target.numel() == 1:  # one row, and its class
        input, target = input.reshape(-1), target.reshape(())
    return losses.multi_margin_loss(
        input, target, p, margin, weight, mode(size_average, reduce, reduction)
    )


@says(losses.cosine_embedding_loss)
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, size_average: Flag = None,
    reduce: Flag = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> x = dg.asarray([[1.0, 0.0]])
    >>> dg.nn.functional.cosine_embedding_loss(x, x, dg.asarray([1.0]))
    tensor(0.)
    """
    return losses.cosine_embedding_loss(
        input1, input2, target, margin, mode(size_average, reduce, reduction)
    )


@says(losses.triplet_margin_loss)
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """
    >>> a = dg.zeros((1, 2))
    >>> dg.nn.functional.triplet_margin_loss(a, a, a + 9.0)
    tensor(0.)
    """
    _positive_margin("triplet_margin_loss", margin)
    how = mode(size_average, reduce, reduction)
    return losses.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, how)


@says(losses.cosine_similarity)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """
    >>> dg.nn.functional.cosine_similarity(dg.asarray([1.0, 0.0]), dg.asarray([0.0, 2.0]), dim=0)
    tensor(0.)
    """
    return composites.cosine_similarity(x1, x2, dim, eps)


@says(losses.pairwise_distance)
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """
    >>> dg.nn.functional.pairwise_distance(dg.zeros((1, 2)), dg.asarray([[3.0, 4.0]]))
    tensor([5.0000])
    """
    return composites.pairwise_distance(x1, x2, p, eps, keepdim)


def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *, distance_function: Any = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """`triplet_margin_loss` with a distance of one's own (`pairwise_distance` by default).

    >>> def city(x, y):
    ...     return (x - y).abs().sum(-1)
    >>> a, near, far = dg.zeros(1, 2), dg.ones(1, 2), 3 * dg.ones(1, 2)
    >>> F = dg.nn.functional
    >>> F.triplet_margin_with_distance_loss(a, near, far, distance_function=city, margin=5.0).item()  # 2 - 6 + 5
    1.0
    """
    _positive_margin("triplet_margin_with_distance_loss", margin)
    if reduction not in ("none", "sum", "mean"):
        problem = f"reduction is 'none', 'sum' or 'mean', not {reduction!r}"
        raise ArgumentError(describe("triplet_margin_with_distance_loss", "", problem))
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    out = maximum(near - far + margin, 0.0)
    return out if reduction == "none" else out.sum() if reduction == "sum" else out.mean()

"""Normalisation under PyTorch's names and signatures."""

from __future__ import annotations

from typing import Any

from ...eager import Tensor
from ...ops import composites
from ...ops.nn import normalisation as norms
from .texts import says


@says(norms.layer_norm)
def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """
    >>> x = dg.tensor([[1.0, 3.0]])
    >>> dg.nn.functional.layer_norm(x, (2,), eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    return norms.layer_norm(input, normalized_shape, weight, bias, eps)


@says(norms.rms_norm)
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """
    >>> dg.nn.functional.rms_norm(dg.asarray([[3.0, 4.0]]), (2,))
    tensor([[0.8485, 1.1314]])
    """
    return norms.rms_norm(input, normalized_shape, weight, eps)


@says(norms.batch_norm)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """
    >>> x = dg.randn(8, 3)
    >>> dg.nn.functional.batch_norm(x, dg.zeros(3), dg.ones(3), training=True).shape
    (8, 3)
    """
    return norms.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@says(norms.group_norm)
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """
    >>> dg.nn.functional.group_norm(dg.ones((2, 4, 3)), 2).shape
    (2, 4, 3)
    """
    return norms.group_norm(input, num_groups, weight, bias, eps)


@says(norms.instance_norm)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """
    >>> dg.nn.functional.instance_norm(dg.ones((2, 4, 3))).shape
    (2, 4, 3)
    """
    return norms.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


@says(norms.local_response_norm)
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """
    >>> dg.nn.functional.local_response_norm(dg.ones((1, 4, 3)), 2).shape
    (1, 4, 3)
    """
    return norms.local_response_norm(input, size, alpha, beta, k)


def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None
) -> Tensor:
    """``x / max(norm(x), eps)`` along `dim`.

    >>> dg.nn.functional.normalize(dg.asarray([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    result = composites.normalize(input, p, dim, eps)
    return result if out is None else out.copy_(result)

"""Clipping: gradients held to a norm or a range, in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.errors import NanError
from ...eager import Tensor, no_grad, stack, zeros
from ...ops.arithmetic import maximum, minimum
from ...ops.composites import norm


def _grads(parameters: Any) -> list[Tensor]:
    given: Iterable[Any] = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in given if p.grad is not None]


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all elements of the tensors together: a 0-d tensor.

    >>> dg.nn.utils.get_total_norm([dg.asarray([3.0]), dg.asarray([4.0])])
    tensor(5.)
    """
    norms = [
        norm(t, float(norm_type)) for t in ([tensors] if isinstance(tensors, Tensor) else tensors)
    ]
    total = norm(stack(norms), float(norm_type)) if norms else zeros(())
    if error_if_nonfinite and not abs(float(total)) < float("inf"):
        raise NanError(
            f"the norm of order {norm_type} of the gradients is {float(total)}, which cannot be clipped"
        )
    return total


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scales gradients, in place, so that all together have at most the norm `max_norm`; gives the norm before.

    >>> p = dg.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = dg.tensor([3.0, 4.0])
    >>> dg.nn.utils.clip_grad_norm_([p], 1.0).item()
    5.0
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    with no_grad():
        total = get_total_norm(_grads(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales gradients, in place, as `clip_grad_norm_` does where their norm is known: `total_norm`, a 0-d tensor.

    >>> p = dg.nn.Parameter(dg.zeros(2))
    >>> p.grad = dg.tensor([3.0, 4.0])
    >>> dg.nn.utils.clip_grads_with_norm_([p], 1.0, dg.tensor(5.0))
    >>> p.grad
    tensor([0.6000, 0.8000])
    """
    with no_grad():
        factor = minimum(max_norm / (total_norm + 1e-6), 1.0)
        for grad in _grads(parameters):
            grad.copy_(grad * factor)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Holds each element of the gradients in ``[-clip_value, clip_value]``, in place.

    >>> p = dg.nn.Parameter(dg.ones(2))
    >>> (p * dg.asarray([5.0, 0.1])).sum().backward()
    >>> dg.nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([1.0000, 0.1000])
    """
    with no_grad():
        for grad in _grads(parameters):
            grad.copy_(minimum(maximum(grad, -float(clip_value)), float(clip_value)))

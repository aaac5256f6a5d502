"""Activations under PyTorch's names and signatures (``dim``, ``inplace``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import ArgumentError, ShapeError, describe
from ...eager import Tensor, arange, rand
from ...eager.functions import argmax
from ...ops import composites, transcendental
from ...ops.arithmetic import maximum, where
from ...ops.nn import activations as act
from .texts import says


def _maybe_in_place(fn: Callable[[Any], Any], x: Tensor, inplace: bool) -> Tensor:
    """``fn(x)``, or x overwritten with it; the clone keeps what the gradient reads."""
    return x.copy_(fn(x.clone())) if inplace else fn(x)


@says(act.relu)
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.relu(dg.asarray([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return input.copy_(act.relu(input)) if inplace else act.relu(input)


@says(act.leaky_relu)
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.leaky_relu(dg.asarray([-1.0, 2.0]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return _maybe_in_place(lambda x: act.leaky_relu(x, negative_slope), input, inplace)


@says(act.prelu)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """
    >>> dg.nn.functional.prelu(dg.asarray([-2.0, 2.0]), dg.asarray([0.25]))
    tensor([-0.5000,  2.0000])
    """
    if weight.ndim > 1:
        problem = f"the weight has {weight.ndim} axes, not one or none"
        raise ShapeError(describe("prelu", f"{input.tensor_type}, {weight.tensor_type}", problem))
    return act.prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """`leaky_relu` with slopes drawn uniformly in training, their mean otherwise.

    >>> dg.nn.functional.rrelu(dg.tensor([-1.0, 2.0]), 0.1, 0.3)  # the mean slope, 0.2
    tensor([-0.2000,  2.0000])
    """
    if lower > upper:
        problem = f"lower {lower} is above upper {upper}"
        raise ArgumentError(describe("rrelu", str(input.tensor_type), problem))
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = _uniform_like(input) * (upper - lower) + lower
    return _maybe_in_place(lambda x: where(x > 0, x, x * slope), input, inplace)


@says(act.relu6)
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.relu6(dg.asarray([-1.0, 3.0, 9.0]))
    tensor([0., 3., 6.])
    """
    return _maybe_in_place(act.relu6, input, inplace)


@says(act.hardtanh)
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """
    >>> dg.nn.functional.hardtanh(dg.asarray([-3.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        problem = f"min_val {min_val} is above max_val {max_val}"
        raise ArgumentError(describe("hardtanh", str(input.tensor_type), problem))
    return _maybe_in_place(lambda x: act.hardtanh(x, min_val, max_val), input, inplace)


@says(act.threshold)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.threshold(dg.asarray([0.2, 2.0]), 1.0, 0.0)
    tensor([0., 2.])
    """
    return _maybe_in_place(lambda x: act.threshold(x, threshold, value), input, inplace)


@says(act.elu)
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.elu(dg.asarray([0.0, 2.0]))
    tensor([0., 2.])
    """
    return _maybe_in_place(lambda x: act.elu(x, alpha), input, inplace)


@says(act.selu)
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.selu(dg.asarray([0.0, 1.0]))
    tensor([0.0000, 1.0507])
    """
    return _maybe_in_place(act.selu, input, inplace)


@says(act.celu)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.celu(dg.asarray([0.0, 1.0]))
    tensor([0., 1.])
    """
    return _maybe_in_place(lambda x: act.celu(x, alpha), input, inplace)


@says(act.silu)
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.silu(dg.asarray([0.0, 1.0]))
    tensor([0.0000, 0.7311])
    """
    return _maybe_in_place(act.silu, input, inplace)


@says(act.mish)
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.mish(dg.asarray([0.0, 1.0]))
    tensor([0.0000, 0.8651])
    """
    return _maybe_in_place(act.mish, input, inplace)


@says(act.hardsigmoid)
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.hardsigmoid(dg.asarray([-4.0, 0.0]))
    tensor([0.0000, 0.5000])
    """
    return _maybe_in_place(act.hardsigmoid, input, inplace)


@says(act.hardswish)
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """
    >>> dg.nn.functional.hardswish(dg.asarray([-4.0, 3.0]))
    tensor([0., 3.])
    """
    return _maybe_in_place(act.hardswish, input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * P(Z <= x)`` for a normal Z; ``approximate="tanh"`` for the approximation.

    >>> dg.nn.functional.gelu(dg.asarray([0.0, 1.0]))
    tensor([0.0000, 0.8413])
    """
    if approximate not in ("none", "tanh"):
        problem = f"approximate is 'none' or 'tanh', not {approximate!r}"
        raise ArgumentError(describe("gelu", str(input.tensor_type), problem))
    return act.gelu(input, approximate)


@says(act.softplus)
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """
    >>> dg.nn.functional.softplus(dg.asarray([0.0]))
    tensor([0.6931])
    """
    return act.softplus(input, beta, threshold)


@says(act.logsigmoid)
def logsigmoid(input: Tensor) -> Tensor:
    """
    >>> dg.nn.functional.logsigmoid(dg.asarray([0.0]))
    tensor([-0.6931])
    """
    return act.logsigmoid(input)


@says(act.softsign)
def softsign(input: Tensor) -> Tensor:
    """
    >>> dg.nn.functional.softsign(dg.asarray([1.0]))
    tensor([0.5000])
    """
    return act.softsign(input)


@says(act.tanhshrink)
def tanhshrink(input: Tensor) -> Tensor:
    """
    >>> dg.nn.functional.tanhshrink(dg.asarray([1.0]))
    tensor([0.2384])
    """
    return act.tanhshrink(input)


@says(act.hardshrink)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """
    >>> dg.nn.functional.hardshrink(dg.asarray([0.2, 2.0]))
    tensor([0., 2.])
    """
    return act.hardshrink(input, lambd)


@says(act.softshrink)
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """
    >>> dg.nn.functional.softshrink(dg.asarray([0.2, 2.0]))
    tensor([0.0000, 1.5000])
    """
    if lambd < 0:
        raise ArgumentError(
            describe("softshrink", str(input.tensor_type), f"lambd {lambd} is below 0")
        )
    return act.softshrink(input, lambd)


@says(act.glu)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """
    >>> dg.nn.functional.glu(dg.ones((2, 4))).shape
    (2, 2)
    """
    return act.glu(input, dim)


@says(act.sigmoid)
def sigmoid(input: Tensor) -> Tensor:
    """
    >>> dg.nn.functional.sigmoid(dg.asarray([0.0]))
    tensor([0.5000])
    """
    return transcendental.sigmoid(input)


@says(act.tanh)
def tanh(input: Tensor) -> Tensor:
    """
    >>> dg.nn.functional.tanh(dg.asarray([0.0]))
    tensor([0.])
    """
    return transcendental.tanh(input)


def _implicit(dim: int | None, ndim: int) -> int:
    """The axis PyTorch takes when none is named: 0 for 0, 1 or 3 axes, else 1."""
    return dim if dim is not None else 0 if ndim in (0, 1, 3) else 1


@says(composites.softmax)
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """
    >>> dg.nn.functional.softmax(dg.zeros((1, 4)), dim=1)
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    return composites.softmax(input, _implicit(dim, input.ndim), dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``softmax(-x)`` along `dim`.

    >>> dg.nn.functional.softmin(dg.zeros(2), dim=0)
    tensor([0.5000, 0.5000])
    """
    return composites.softmin(input, _implicit(dim, input.ndim), dtype)


@says(composites.log_softmax)
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """
    >>> dg.nn.functional.log_softmax(dg.zeros((1, 4)), dim=1)
    tensor([[-1.3863, -1.3863, -1.3863, -1.3863]])
    """
    return composites.log_softmax(input, _implicit(dim, input.ndim), dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A softmax of logits with Gumbel noise (Jang et al., 2017); `hard` gives one-hot values, soft gradients.

    >>> dg.nn.functional.gumbel_softmax(dg.zeros((2, 3)), hard=True).sum(1)
    tensor([1., 1.])
    """
    draws = maximum(_uniform_like(logits), 2.0**-24)  # never 0, whose logarithm is infinite
    noise = -transcendental.log(-transcendental.log(draws))
    soft = composites.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    chosen = one_hot_along(soft.detach(), dim)
    return chosen - soft.detach() + soft


def _uniform_like(x: Tensor) -> Tensor:
    return rand(*x.shape, dtype=x.dtype, device=x.device)


def one_hot_along(x: Tensor, dim: int) -> Tensor:
    """1 at the first largest element along `dim`, 0 elsewhere."""
    at = argmax(x, axis=dim, keepdims=True)
    shape = [1] * x.ndim
    shape[dim] = x.shape[dim]
    places = arange(x.shape[dim], device=x.device).reshape(shape)
    return (places == at).astype(x.dtype)

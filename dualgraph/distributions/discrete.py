"""Distributions over whole numbers: Bernoulli, geometric, categorical and one-hot."""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor, arange, eye, rand, where, zeros_like
from ..eager.functions import take_along_axis
from ..eager.operands import as_operand, astype
from ..eager.random import bernoulli, multinomial
from ..eager.statistics import log_softmax, softmax
from ..nn.functional.loss import binary_cross_entropy_with_logits
from . import constraints
from .base import Distribution, Shape, demand, together

EPSILON = {2: 1e-3, 4: 1.1920928955078125e-07, 8: 2.220446049250313e-16}  # by bytes


def _one_of(owner: Any, probs: Any, logits: Any) -> Tensor:
    if (probs is None) == (logits is None):
        raise ArgumentError(f"{type(owner).__name__}: give either probs or logits")
    return together(logits if probs is None else probs)[0]


def _inside(probs: Tensor) -> Tensor:
    """Probabilities away from 0 and 1, so that their logarithms are finite."""
    least = EPSILON[probs.dtype.itemsize]
    return probs.clamp(least, 1 - least)


class _Binary(Distribution):
    """A probability, or the logarithm of its odds."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:  # fmt: skip
        given = _one_of(self, probs, logits)
        if logits is None:
            demand(validate_args, self, probs=lambda: (given >= 0) & (given <= 1))
            clear = _inside(given)
            self.probs, self.logits = given, clear.log() - (-clear).log1p()
        else:
            self.logits, self.probs = given, given.sigmoid()
        super().__init__(given.shape)


class Bernoulli(_Binary):
    """1 with a probability, else 0.

    >>> dg.distributions.Bernoulli(0.5).mean
    tensor(0.5000)
    """

    _support = constraints.boolean

    has_enumerate_support = True

    def _values(self) -> Tensor:
        return arange(2, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mode(self) -> Tensor:
        likelier = astype(self.probs > 0.5, self.probs.dtype)
        return where(self.probs == 0.5, math.nan, likelier)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return bernoulli(self.probs.expand(self._shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        value = astype(as_operand(value), self.logits.dtype)
        both = self.logits + value * 0, value + self.logits * 0
        return -binary_cross_entropy_with_logits(*both, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)


class Geometric(_Binary):
    """How often a Bernoulli variable is 0 before it is 1.

    >>> dg.distributions.Geometric(0.5).mean
    tensor(1.)
    """

    _support = constraints.nonnegative_integer

    def _draw(self, sample_shape: Shape) -> Tensor:
        how = {"dtype": self.probs.dtype, "device": self.probs.device}
        u = rand(self._shape(sample_shape), **how).clamp(min=1e-37)
        return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Tensor:
        return as_operand(value) * (-_inside(self.probs)).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs  # fmt: skip

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs


class Categorical(Distribution):
    """One of the places of the last axis, by probabilities in proportion to `probs`, or to ``exp(logits)``.

    >>> from dualgraph.distributions import Categorical
    >>> Categorical(probs=dg.tensor([1.0, 3.0])).probs.tolist()
    [0.25, 0.75]
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:  # fmt: skip
        given = _one_of(self, probs, logits)
        if logits is None:
            demand(
                validate_args, self, probs=lambda: (given >= 0) & (given.sum(-1, keepdim=True) > 0)
            )
            self.probs = given / given.sum(-1, keepdim=True)
            self.logits = _inside(self.probs).log()
        else:
            self.logits, self.probs = log_softmax(given, axis=-1), softmax(given, axis=-1)
        super().__init__(given.shape[:-1])

    has_enumerate_support = True

    def _values(self) -> Tensor:
        return arange(self.probs.shape[-1], device=self.probs.device)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.probs.shape[-1] - 1)

    def _draw(self, sample_shape: Shape) -> Tensor:
        rows = self.probs.reshape(-1, self.probs.shape[-1])
        found = multinomial(rows, math.prod(sample_shape), replacement=True)
        return found.transpose(0, 1).reshape(*sample_shape, *self.batch_shape)

    def log_prob(self, value: Any) -> Tensor:
        at = astype(as_operand(value), "int64").unsqueeze(-1)
        lead = (at[..., 0] + self.logits[..., 0] * 0).shape
        logits = self.logits.expand((*lead, self.logits.shape[-1]))
        return take_along_axis(logits, at.expand((*lead, 1)), axis=-1).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.logits.clamp(min=-3.0e38) * self.probs).sum(-1)

    @property
    def mode(self) -> Tensor:
        """The likeliest place."""
        return self.probs.argmax(-1)


class OneHotCategorical(Distribution):
    """`Categorical` with a 1 at the place that is drawn, and 0 elsewhere.

    >>> dg.distributions.OneHotCategorical(dg.asarray([0.5, 0.5])).mean
    tensor([0.5000, 0.5000])
    """

    _support = constraints.one_hot

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:  # fmt: skip
        self._places = Categorical(probs, logits, validate_args)
        self.probs, self.logits = self._places.probs, self._places.logits
        super().__init__(self._places.batch_shape, self.probs.shape[-1:])

    has_enumerate_support = True

    def _values(self) -> Tensor:
        return eye(self.probs.shape[-1], dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mode(self) -> Tensor:
        values = self._values()
        return values[self.probs.argmax(-1)]

    def _draw(self, sample_shape: Shape) -> Tensor:
        at = self._places._draw(sample_shape).unsqueeze(-1)
        places = as_operand(range(self.event_shape[0]))
        return (at == places.to(at.device)).to(self.probs.dtype)

    def log_prob(self, value: Any) -> Tensor:
        return self._places.log_prob(as_operand(value).argmax(-1))

    def entropy(self) -> Tensor:
        return self._places.entropy()

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

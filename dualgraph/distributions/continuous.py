"""Distributions over numbers: normal, uniform, exponential, Laplace, gamma and their relatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..eager import Tensor, full_like, is_grad_enabled, no_grad, rand, randn, zeros_like
from ..eager.functions import argmax, take_along_axis
from ..eager.operands import as_operand
from ..ops.arithmetic import where
from ..ops.incomplete_gamma import gamma_quantile_slope
from ..ops.special import digamma, lgamma
from ..special import gammainc, ndtr, ndtri, xlogy
from . import constraints
from .base import Distribution, Shape, demand, together

EULER = 0.5772156649015329
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
PROPOSALS = 12  # of a gamma number: all are turned down less than once in 10**15 times


def uniform_draws(d: Distribution, sample_shape: Shape, like: Tensor) -> Tensor:
    """Even draws of (0, 1)."""
    u = rand(d._shape(sample_shape), dtype=like.dtype, device=like.device)
    return u.clamp(min=1e-7 if like.dtype.itemsize < 8 else 1e-16)


class _LocScale(Distribution):
    """``loc + scale * z`` of a standard variable z."""

    _support = constraints.real

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale)
        demand(validate_args, self, scale=lambda: self.scale > 0)
        super().__init__(self.loc.shape)

    def _z(self, value: Any) -> Tensor:
        return (as_operand(value) - self.loc) / self.scale

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        """Where the density is highest."""
        return self.loc


class Normal(_LocScale):
    """The normal distribution.

    >>> from dualgraph.distributions import Normal
    >>> round(Normal(0.0, 1.0).log_prob(dg.tensor(0.0)).item(), 4)
    -0.9189
    """

    def _draw(self, sample_shape: Shape) -> Tensor:
        z = randn(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * z

    def log_prob(self, value: Any) -> Tensor:
        return -0.5 * self._z(value) ** 2 - self.scale.log() - HALF_LOG_2PI

    def cdf(self, value: Any) -> Tensor:
        return ndtr(self._z(value))

    def icdf(self, value: Any) -> Tensor:
        return self.loc + self.scale * ndtri(value)

    def entropy(self) -> Tensor:
        return 0.5 + HALF_LOG_2PI + self.scale.log()

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale**2


class Laplace(_LocScale):
    """Two exponentials, back to back.

    >>> dg.distributions.Laplace(0.0, 1.0).mean
    tensor(0.)
    """

    def _draw(self, sample_shape: Shape) -> Tensor:
        u = uniform_draws(self, sample_shape, self.loc) - 0.5
        return self.loc - self.scale * u.sign() * (-2 * u.abs()).clamp(min=-1 + 1e-7).log1p()

    def log_prob(self, value: Any) -> Tensor:
        return -(2 * self.scale).log() - self._z(value).abs()

    def cdf(self, value: Any) -> Tensor:
        z = self._z(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Any) -> Tensor:
        t = as_operand(value) - 0.5
        return self.loc - self.scale * t.sign() * (-2 * t.abs()).log1p()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale**2


class Cauchy(_LocScale):
    """The ratio of two normal variables; it has no mean.

    >>> dg.distributions.Cauchy(0.0, 1.0).sample((4,)).shape
    (4,)
    """

    def _draw(self, sample_shape: Shape) -> Tensor:
        return self.icdf(uniform_draws(self, sample_shape, self.loc))

    def log_prob(self, value: Any) -> Tensor:
        return -math.log(math.pi) - self.scale.log() - (self._z(value) ** 2).log1p()

    def cdf(self, value: Any) -> Tensor:
        return self._z(value).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Tensor:
        return (math.pi * (as_operand(value) - 0.5)).tan() * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()

    @property
    def mean(self) -> Tensor:
        return full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        return full_like(self.loc, math.inf)


class Gumbel(_LocScale):
    """The largest of many.

    >>> dg.distributions.Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    def _draw(self, sample_shape: Shape) -> Tensor:
        u = uniform_draws(self, sample_shape, self.loc)
        return self.loc - self.scale * (-u.log()).log()

    def log_prob(self, value: Any) -> Tensor:
        y = -self._z(value)
        return y - y.exp() - self.scale.log()

    def cdf(self, value: Any) -> Tensor:
        return (-(-self._z(value)).exp()).exp()

    def icdf(self, value: Any) -> Tensor:
        return self.loc - self.scale * (-as_operand(value).log()).log()

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + EULER)

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * EULER

    @property
    def variance(self) -> Tensor:
        return (math.pi**2 / 6) * self.scale**2


class LogNormal(_LocScale):
    """``exp`` of a normal variable.

    >>> dg.distributions.LogNormal(0.0, 1.0).mean
    tensor(1.6487)
    """

    _support = constraints.positive

    def _draw(self, sample_shape: Shape) -> Tensor:
        return Normal(self.loc, self.scale, False)._draw(sample_shape).exp()

    def log_prob(self, value: Any) -> Tensor:
        log = as_operand(value).log()
        return Normal(self.loc, self.scale, False).log_prob(log) - log

    def cdf(self, value: Any) -> Tensor:
        return Normal(self.loc, self.scale, False).cdf(as_operand(value).log())

    def icdf(self, value: Any) -> Tensor:
        return Normal(self.loc, self.scale, False).icdf(value).exp()

    def entropy(self) -> Tensor:
        return Normal(self.loc, self.scale, False).entropy() + self.loc

    @property
    def mean(self) -> Tensor:
        return (self.loc + self.scale**2 / 2).exp()

    @property
    def mode(self) -> Tensor:
        return (self.loc - self.scale**2).exp()

    @property
    def variance(self) -> Tensor:
        return (self.scale**2).expm1() * (2 * self.loc + self.scale**2).exp()


class Half(Distribution):
    """The size of a variable that lies evenly around 0: `around` makes that of a scale."""

    _support = constraints.nonnegative

    has_rsample = True
    around: Callable[..., Any]

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self._base = type(self).around(0.0, scale, validate_args)
        self.scale = self._base.scale
        super().__init__(self.scale.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return self._base._draw(sample_shape).abs()

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value)
        return where(value >= 0, self._base.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Tensor:
        return 2 * self._base.cdf(value) - 1

    def icdf(self, value: Any) -> Tensor:
        return self._base.icdf((as_operand(value) + 1) / 2)

    def entropy(self) -> Tensor:
        return self._base.entropy() - math.log(2)

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.scale)


class HalfNormal(Half):
    """The size of a normal variable around 0.

    >>> dg.distributions.HalfNormal(1.0).mean
    tensor(0.7979)
    """

    around = Normal

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * (1 - 2 / math.pi)


class Uniform(Distribution):
    """Even over [low, high).

    >>> dg.distributions.Uniform(0.0, 2.0).mean
    tensor(1.)
    """

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = together(low, high)
        demand(validate_args, self, high=lambda: self.high > self.low)
        super().__init__(self.low.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)

    def _draw(self, sample_shape: Shape) -> Tensor:
        u = rand(self._shape(sample_shape), dtype=self.low.dtype, device=self.low.device)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value)
        inside = (value >= self.low) & (value < self.high)
        return where(inside, -(self.high - self.low).log(), -math.inf)

    def cdf(self, value: Any) -> Tensor:
        return ((as_operand(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Any) -> Tensor:
        return as_operand(value) * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 / 12


class Exponential(Distribution):
    """The wait for what comes at a rate.

    >>> dg.distributions.Exponential(2.0).mean
    tensor(0.5000)
    """

    _support = constraints.nonnegative

    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = together(rate)
        demand(validate_args, self, rate=lambda: self.rate > 0)
        super().__init__(self.rate.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return -uniform_draws(self, sample_shape, self.rate).log() / self.rate

    def log_prob(self, value: Any) -> Tensor:
        return self.rate.log() - self.rate * as_operand(value)

    def cdf(self, value: Any) -> Tensor:
        return -(-self.rate * as_operand(value)).expm1()

    def icdf(self, value: Any) -> Tensor:
        return -(-as_operand(value)).log1p() / self.rate

    def entropy(self) -> Tensor:
        return 1 - self.rate.log()

    @property
    def mean(self) -> Tensor:
        return 1 / self.rate

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate**-2


def standard_gamma(concentration: Tensor, shape: Shape) -> Tensor:
    """Gamma numbers of rate 1, which move with `concentration` as quantiles do (first derivatives alone)."""
    with no_grad():
        drawn = _gamma_numbers(concentration, shape)
    if not (is_grad_enabled() and concentration.requires_grad):
        return drawn
    a = concentration.detach()
    slope = gamma_quantile_slope(a.expand(shape), drawn)
    return drawn + slope.detach() * (concentration - a)


def _gamma_numbers(concentration: Tensor, shape: Shape) -> Tensor:
    """Gamma numbers of rate 1 (Marsaglia and Tsang, 2000), the first of several proposals that is accepted."""
    how = {"dtype": concentration.dtype, "device": concentration.device}
    small = concentration < 1
    d = where(small, concentration + 1, concentration) - 1 / 3
    x = randn((PROPOSALS, *shape), **how)
    v = (1 + x / (9 * d).sqrt()) ** 3
    u = rand((PROPOSALS, *shape), **how).clamp(min=1e-30)
    safe = v.clamp(min=1e-30)
    taken = (v > 0) & (u.log() < 0.5 * x * x + d - d * v + d * safe.log())
    first = argmax(taken.to(dtype="int32"), axis=0, keepdims=True)
    out = d * take_along_axis(safe, first, axis=0)[0]
    boost = rand(shape, **how).clamp(min=1e-30) ** (1 / where(small, concentration, 1.0))
    return where(small, out * boost, out).clamp(min=1e-37)


class Gamma(Distribution):
    """The sum of `concentration` waits at a rate.

    >>> dg.distributions.Gamma(2.0, 3.0).mean
    tensor(0.6667)
    """

    _support = constraints.nonnegative

    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = together(concentration, rate)
        positive = {"concentration": lambda: self.concentration > 0, "rate": lambda: self.rate > 0}
        demand(validate_args, self, **positive)
        super().__init__(self.rate.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return standard_gamma(self.concentration, self._shape(sample_shape)) / self.rate

    def cdf(self, value: Any) -> Tensor:
        return gammainc(self.concentration, self.rate * as_operand(value))

    def log_prob(self, value: Any) -> Tensor:
        value, a = as_operand(value), self.concentration
        return xlogy(a, self.rate) + xlogy(a - 1, value) - self.rate * value - lgamma(a)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - self.rate.log() + lgamma(a) + (1 - a) * digamma(a)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return (self.concentration - 1).clamp(min=0) / self.rate

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate**2


class Chi2(Gamma):
    """The sum of `df` squared standard normal variables.

    >>> dg.distributions.Chi2(3.0).mean
    tensor(3.)
    """

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (self.df,) = together(df)
        super().__init__(self.df / 2, 0.5, validate_args)

"""Distributions made of simpler ones: Student's t, F, half Cauchy, Pareto, Weibull, inverse gamma, and mixtures."""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor, randn
from ..eager.functions import take_along_axis
from ..eager.methods.reduction import logsumexp
from ..eager.operands import as_operand
from ..ops.arithmetic import where
from ..ops.special import digamma, lgamma
from ..special import gammaincc
from . import constraints
from .base import Distribution, Shape, demand, together
from .continuous import EULER, Cauchy, Chi2, Exponential, Gamma, Half
from .discrete import Categorical


class StudentT(Distribution):
    """``loc + scale * z / sqrt(c / df)`` of a standard normal z and a `Chi2` variable c.

    >>> from dualgraph.distributions import StudentT
    >>> round(StudentT(3.0).log_prob(dg.tensor(0.0)).item(), 4)
    -1.0009
    """

    _support = constraints.real

    has_rsample = True

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = together(df, loc, scale)
        demand(validate_args, self, df=lambda: self.df > 0, scale=lambda: self.scale > 0)
        super().__init__(self.df.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        z = randn(self._shape(sample_shape), dtype=self.df.dtype, device=self.df.device)
        spread = Chi2(self.df, False)._draw(sample_shape) / self.df
        return self.loc + self.scale * z / spread.sqrt()

    def log_prob(self, value: Any) -> Tensor:
        n = self.df
        z = (as_operand(value) - self.loc) / self.scale
        whole = lgamma(n / 2) - lgamma((n + 1) / 2) + 0.5 * (n * math.pi).log() + self.scale.log()
        return -0.5 * (n + 1) * (z**2 / n).log1p() - whole

    def entropy(self) -> Tensor:
        n, half = self.df, (self.df + 1) / 2
        beta = lgamma(n / 2) + math.log(math.pi) / 2 - lgamma(half)
        return self.scale.log() + half * (digamma(half) - digamma(n / 2)) + 0.5 * n.log() + beta

    @property
    def mean(self) -> Tensor:
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        """Where the density is highest."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        n = self.df
        finite = self.scale**2 * n / where(n > 2, n - 2, 1.0)
        return where(n > 2, finite, where(n > 1, math.inf, math.nan))


class FisherSnedecor(Distribution):
    """The ratio of two `Chi2` variables, each divided by its degrees of freedom.

    >>> dg.distributions.FisherSnedecor(1.0, 4.0).mean
    tensor(2.)
    """

    _support = constraints.positive

    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = together(df1, df2)
        demand(validate_args, self, df1=lambda: self.df1 > 0, df2=lambda: self.df2 > 0)
        super().__init__(self.df1.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        above, below = (Chi2(n, False)._draw(sample_shape) / n for n in (self.df1, self.df2))
        return above / below

    def log_prob(self, value: Any) -> Tensor:
        value, a, b, ratio = as_operand(value), self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        whole = lgamma(a) + lgamma(b) - lgamma(a + b)
        return a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p() - whole

    def entropy(self) -> Tensor:
        a, b = self.df1 / 2, self.df2 / 2
        whole = lgamma(a) + lgamma(b) - lgamma(a + b) + (b / a).log()
        return whole + (1 - a) * digamma(a) - (1 + b) * digamma(b) + (a + b) * digamma(a + b)

    @property
    def mean(self) -> Tensor:
        return where(self.df2 > 2, self.df2 / where(self.df2 > 2, self.df2 - 2, 1.0), math.nan)

    @property
    def mode(self) -> Tensor:
        a, b = self.df1, self.df2
        return where(a > 2, (a - 2) / a * b / (b + 2), math.nan)

    @property
    def variance(self) -> Tensor:
        a, b = self.df1, where(self.df2 > 4, self.df2, 5.0)
        finite = 2 * b**2 * (a + b - 2) / (a * (b - 2) ** 2 * (b - 4))
        return where(self.df2 > 4, finite, math.nan)


class HalfCauchy(Half):
    """The size of a Cauchy variable around 0.

    >>> dg.distributions.HalfCauchy(1.0).sample((4,)).shape
    (4,)
    """

    around = Cauchy

    @property
    def mean(self) -> Tensor:
        return self._base.variance  # infinite

    @property
    def variance(self) -> Tensor:
        return self._base.variance


class Pareto(Distribution):
    """``scale * exp(w)`` of an exponential variable w of rate `alpha`.

    >>> dg.distributions.Pareto(1.0, 3.0).mean
    tensor(1.5000)
    """

    has_rsample = True

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = together(scale, alpha)
        demand(validate_args, self, scale=lambda: self.scale > 0, alpha=lambda: self.alpha > 0)
        self._wait = Exponential(self.alpha, False)
        super().__init__(self.scale.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.greater_than_eq(self.scale)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return self.scale * self._wait._draw(sample_shape).exp()

    def log_prob(self, value: Any) -> Tensor:
        log = as_operand(value).log()
        inside = self._wait.log_prob(log - self.scale.log()) - log
        return where(as_operand(value) >= self.scale, inside, -math.inf)

    def cdf(self, value: Any) -> Tensor:
        return self._wait.cdf((as_operand(value) / self.scale).log())

    def icdf(self, value: Any) -> Tensor:
        return self.scale * self._wait.icdf(value).exp()

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + 1 + 1 / self.alpha

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def mean(self) -> Tensor:
        a = self.alpha
        return where(a > 1, a * self.scale / where(a > 1, a - 1, 1.0), math.inf)

    @property
    def variance(self) -> Tensor:
        a = self.alpha
        safe = where(a > 2, a, 3.0)
        return where(a > 2, self.scale**2 * safe / ((safe - 1) ** 2 * (safe - 2)), math.inf)


class Weibull(Distribution):
    """``scale * w ** (1 / concentration)`` of an exponential variable w of rate 1.

    >>> dg.distributions.Weibull(1.0, 2.0).mean
    tensor(0.8862)
    """

    _support = constraints.positive

    has_rsample = True

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = together(scale, concentration)
        positive = {
            "scale": lambda: self.scale > 0, "concentration": lambda: self.concentration > 0
        }  # fmt: skip
        demand(validate_args, self, **positive)
        self._wait = Exponential(self.scale**0, False)
        super().__init__(self.scale.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return self.scale * self._wait._draw(sample_shape) ** (1 / self.concentration)

    def _as_wait(self, value: Any) -> Tensor:
        return (as_operand(value) / self.scale) ** self.concentration

    def log_prob(self, value: Any) -> Tensor:
        k, value = self.concentration, as_operand(value)
        return (k / self.scale).log() + (k - 1) * (value / self.scale).log() - self._as_wait(value)

    def cdf(self, value: Any) -> Tensor:
        return self._wait.cdf(self._as_wait(value))

    def icdf(self, value: Any) -> Tensor:
        return self.scale * self._wait.icdf(value) ** (1 / self.concentration)

    def entropy(self) -> Tensor:
        k = self.concentration
        return EULER * (1 - 1 / k) + (self.scale / k).log() + 1

    @property
    def mode(self) -> Tensor:
        k = self.concentration
        return self.scale * ((k - 1).clamp(min=0) / k) ** (1 / k)

    def _moment(self, n: int) -> Tensor:
        return self.scale**n * lgamma(1 + n / self.concentration).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1) ** 2


class InverseGamma(Distribution):
    """One over a `Gamma` variable.

    >>> dg.distributions.InverseGamma(3.0, 2.0).mean
    tensor(1.)
    """

    _support = constraints.positive

    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self._base = Gamma(concentration, rate, validate_args)
        self.concentration, self.rate = self._base.concentration, self._base.rate
        super().__init__(self.rate.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return 1 / self._base._draw(sample_shape)

    def cdf(self, value: Any) -> Tensor:
        return gammaincc(self.concentration, self.rate / as_operand(value))

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value)
        return self._base.log_prob(1 / value) - 2 * value.log()

    def entropy(self) -> Tensor:
        a = self.concentration
        return a + self.rate.log() + lgamma(a) - (1 + a) * digamma(a)

    @property
    def mode(self) -> Tensor:
        return self.rate / (1 + self.concentration)

    @property
    def mean(self) -> Tensor:
        a = self.concentration
        return where(a > 1, self.rate / where(a > 1, a - 1, 1.0), math.inf)

    @property
    def variance(self) -> Tensor:
        a = self.concentration
        safe = where(a > 2, a, 3.0)
        return where(a > 2, self.rate**2 / ((safe - 1) ** 2 * (safe - 2)), math.inf)


class MixtureSameFamily(Distribution):
    """One of the distributions along the last batch axis of `component_distribution`, chosen by a `Categorical`.

    >>> from dualgraph.distributions import Categorical, MixtureSameFamily, Normal
    >>> two = MixtureSameFamily(Categorical(dg.tensor([0.5, 0.5])), Normal(dg.tensor([-1.0, 1.0]), 1.0))
    >>> two.mean.item(), two.variance.item()
    (0.0, 2.0)
    """

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: bool | None = None
    ) -> None:  # fmt: skip
        self.mixture_distribution = mixture_distribution
        self.component_distribution = component_distribution
        parts, weights = component_distribution.batch_shape, mixture_distribution.probs.shape[-1]
        if not parts or weights != parts[-1]:
            raise ArgumentError(
                f"MixtureSameFamily: {weights} weights for components of batch shape {parts}"
            )
        super().__init__(parts[:-1], component_distribution.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        return self.component_distribution.support

    def _draw(self, sample_shape: Shape) -> Tensor:
        drawn = self.component_distribution.sample(sample_shape)
        axis = len(sample_shape) + len(self.batch_shape)
        lead, tail = (*sample_shape, *self.batch_shape), self.event_shape
        chosen = self.mixture_distribution.sample(sample_shape)
        if chosen.shape != lead:  # one set of weights for all
            rows = self.mixture_distribution.probs.expand((*self.batch_shape, -1))
            chosen = Categorical(rows).sample(sample_shape)
        at = chosen.reshape(*lead, 1, *(1,) * len(tail)).expand((*lead, 1, *tail))
        return take_along_axis(drawn, at, axis=axis).squeeze(axis)

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value).unsqueeze(-1 - len(self.event_shape))
        return logsumexp(
            self.component_distribution.log_prob(value) + self.mixture_distribution.logits, -1
        )

    def cdf(self, value: Any) -> Tensor:
        each = self.component_distribution.cdf(as_operand(value).unsqueeze(-1))
        return (each * self.mixture_distribution.probs).sum(-1)

    def _average(self, values: Tensor) -> Tensor:
        probs = self.mixture_distribution.probs
        probs = probs.reshape(*probs.shape, *(1,) * len(self.event_shape))
        return (probs * values).sum(-1 - len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._average(self.component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        each = self.component_distribution
        apart = each.mean - self.mean.unsqueeze(-1 - len(self.event_shape))
        return self._average(each.variance) + self._average(apart**2)

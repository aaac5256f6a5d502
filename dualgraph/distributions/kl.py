"""Divergences of Kullback and Leibler: how far one distribution is from another, where there is a formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.errors import ArgumentError
from ..eager import Tensor
from ..linalg import diagonal, inv
from ..ops.arithmetic import where
from ..ops.special import digamma, lgamma
from ..special import xlogy
from .base import Distribution
from .continuous import (
    EULER,
    Cauchy,
    Exponential,
    Gamma,
    Gumbel,
    HalfNormal,
    Laplace,
    LogNormal,
    Normal,
    Uniform,
)
from .counts import Binomial, Poisson
from .discrete import Bernoulli, Categorical, Geometric, OneHotCategorical
from .relatives import Pareto
from .vectors import Beta, Dirichlet, Independent, MultivariateNormal

F = TypeVar("F", bound=Callable[..., Tensor])
_FORMULAS: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[F], F]:
    """Decorator: the function is the formula for these classes and those derived from them.

    >>> class Coin(dg.distributions.Bernoulli):
    ...     pass
    >>> @dg.distributions.register_kl(Coin, Coin)
    ... def _(p, q):
    ...     return (p.probs - q.probs).abs()
    >>> p, q = Coin(dg.tensor(0.75)), Coin(dg.tensor(0.5))
    >>> dg.distributions.kl_divergence(p, q).item()
    0.25
    """

    def register(formula: F) -> F:
        _FORMULAS[type_p, type_q] = formula
        return formula

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The expectation under p of ``p.log_prob - q.log_prob``.

    Raises NotImplementedError where there is no formula.

    >>> from dualgraph.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0)).item()
    0.5
    """
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _FORMULAS:
                return _FORMULAS[a, b](p, q)
    raise NotImplementedError(
        f"kl_divergence: there is no formula for {type(p).__name__} and {type(q).__name__}; register_kl adds one"
    )


@register_kl(Normal, Normal)
@register_kl(LogNormal, LogNormal)
def _normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Tensor:
    return _normal(p._base, q._base)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Tensor:
    ratio, off = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + off / q.scale + ratio * (-off / p.scale).exp() - 1


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Tensor:
    beyond = (q.low > p.low) | (q.high < p.high)
    return where(beyond, math.inf, ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    sizes = b * (p.rate / q.rate).log() + lgamma(b) - lgamma(a)
    return sizes + (a - b) * digamma(a) + (q.rate - p.rate) * (a / p.rate)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    sizes = lgamma(a.sum(-1)) - lgamma(b.sum(-1)) - (lgamma(a) - lgamma(b)).sum(-1)
    return sizes + ((a - b) * (digamma(a) - digamma(a.sum(-1)).unsqueeze(-1))).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Tensor:
    return _dirichlet(p._shares, q._shares)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    one = xlogy(p.probs, p.probs) - xlogy(p.probs, q.probs)
    return one + xlogy(1 - p.probs, 1 - p.probs) - xlogy(1 - p.probs, 1 - q.probs)


@register_kl(Categorical, Categorical)
@register_kl(OneHotCategorical, OneHotCategorical)
def _categorical(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = where(q.probs == 0, math.inf, terms)
    return where(p.probs == 0, 0.0, terms).sum(-1)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Tensor:
    return xlogy(p.rate, p.rate) - xlogy(p.rate, q.rate) + q.rate - p.rate


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("kl_divergence: no formula for a binomial of more draws")
    return where(p.total_count > q.total_count, math.inf, p.total_count * _bernoulli(p, q))


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Tensor:
    both = (p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2
    return (both / (4 * p.scale * q.scale)).log()


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Tensor:
    ratio, off = p.scale / q.scale, (p.loc - q.loc) / q.scale
    return off - ratio.log() + (ratio - 1) * EULER + (lgamma(1 + ratio) - off).exp() - 1


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Tensor:
    ratio = q.alpha / p.alpha
    inside = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where(p.scale < q.scale, math.inf, inside)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Tensor:
    inverse = inv(q.scale_tril)
    spread = ((inverse @ p.scale_tril) ** 2).sum((-1, -2))
    off = ((inverse @ (q.loc - p.loc).unsqueeze(-1)) ** 2).sum((-1, -2))
    sizes = diagonal(q.scale_tril).log().sum(-1) - diagonal(p.scale_tril).log().sum(-1)
    return sizes + 0.5 * (spread + off - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise ArgumentError("kl_divergence: events of different numbers of axes")
    return p.summed(kl_divergence(p.base_dist, q.base_dist))  # type: ignore[no-any-return]

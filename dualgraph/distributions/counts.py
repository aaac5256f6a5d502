"""Distributions over counts: Poisson, binomial, negative binomial, multinomial."""

from __future__ import annotations

from typing import Any

from ..control import while_loop
from ..core.errors import ArgumentError
from ..eager import Tensor, arange, no_grad, rand, zeros_like
from ..eager.operands import as_operand, astype
from ..ops.arithmetic import minimum
from ..ops.special import lgamma
from ..ops.transcendental import logaddexp
from ..special import xlogy
from . import constraints
from .base import Distribution, Shape, demand, together
from .continuous import Gamma
from .discrete import Categorical, _Binary


def poisson(rates: Tensor, generator: Any = None) -> Tensor:
    """How many of what comes at a rate come in a unit of time: a draw for each rate, of its dtype.

    The place of an even draw among the summed probabilities, in float64; takes as many steps as the largest count.

    >>> dg.poisson(dg.tensor([0.0, 0.0])).tolist()
    [0.0, 0.0]
    """
    with no_grad():
        rate = astype(rates, "float64").detach()
        u = rand(rate.shape, dtype=rate.dtype, device=rate.device, generator=generator)
        most = rate + 12 * rate.sqrt() + 40  # rounding keeps the sum below 1, and u may be above it
        log_rate = rate.clamp(min=1e-300).log()
        k = zeros_like(rate)

        def unfinished(carry: tuple[Tensor, Tensor, Tensor]) -> Tensor:
            k, _, below = carry
            return ((u >= below) & (k < most)).any()

        def further(carry: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            k, log_p, below = carry
            going = (u >= below) & (k < most)
            nearer = k + astype(going, k.dtype)
            log_p = log_p + astype(going, k.dtype) * (log_rate - nearer.clamp(min=1.0).log())
            return nearer, log_p, below + astype(going, k.dtype) * log_p.exp()

        k, _, _ = while_loop(unfinished, further, (k, -rate, (-rate).exp()))
        return astype(k, rates.dtype)


class Poisson(Distribution):
    """How many of what comes at a rate come in a unit of time.

    >>> dg.distributions.Poisson(4.0).mean
    tensor(4.)
    """

    _support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = together(rate)
        demand(validate_args, self, rate=lambda: self.rate >= 0)
        super().__init__(self.rate.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return poisson(self.rate.expand(self._shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value)
        return xlogy(value, self.rate) - self.rate - lgamma(value + 1)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The likeliest count."""
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate


def _choose(n: Any, k: Tensor) -> Tensor:
    """The logarithm of the number of ways to choose k of n."""
    n = as_operand(n)
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


class _Counted(_Binary):
    """`total_count` Bernoulli variables, in some way: parameters have one shape with it."""

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:  # fmt: skip
        super().__init__(probs, logits, validate_args)
        count = astype(as_operand(total_count), self.probs.dtype)
        self.total_count, self.probs = together(count, self.probs)
        self.logits = together(count, self.logits)[1]
        demand(validate_args, self, total_count=lambda: self.total_count >= 0)
        self.batch_shape = self.probs.shape

    @property
    def _log_none(self) -> Tensor:
        """``log(1 - probs)``."""
        return -logaddexp(self.logits, 0)


class Binomial(_Counted):
    """How many of `total_count` Bernoulli variables are 1.

    >>> dg.distributions.Binomial(5, 0.5).mean
    tensor(2.5000)
    """

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    def _draw(self, sample_shape: Shape) -> Tensor:
        most = int(self.total_count.max()) if self.total_count.shape != (0,) else 0
        how = {"dtype": self.probs.dtype, "device": self.probs.device}
        u = rand((most, *self._shape(sample_shape)), **how)
        places = as_operand(range(most)).reshape(-1, *(1,) * (u.ndim - 1))
        hits = (u < self.probs) & (places < self.total_count)
        return astype(hits.sum(0), self.probs.dtype)

    def log_prob(self, value: Any) -> Tensor:
        n, k = self.total_count, astype(as_operand(value), self.logits.dtype)
        return _choose(n, k) + k * self.logits + n * self._log_none

    has_enumerate_support = True

    def _values(self) -> Tensor:
        most = self.total_count.max()
        if not bool((self.total_count == most).all()):
            raise ArgumentError("Binomial: total_count differs, and so do the numbers of values")
        return arange(int(most) + 1, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return minimum(((self.total_count + 1) * self.probs).floor(), self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)


class NegativeBinomial(_Counted):
    """How often a Bernoulli variable is 1 before it is 0 for the `total_count`-th time.

    >>> dg.distributions.NegativeBinomial(5, 0.5).mean
    tensor(5.)
    """

    _support = constraints.nonnegative_integer

    def _draw(self, sample_shape: Shape) -> Tensor:
        return poisson(Gamma(self.total_count, (-self.logits).exp(), False).sample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        n, k = self.total_count, astype(as_operand(value), self.logits.dtype)
        ways = lgamma(n + k) - lgamma(k + 1) - lgamma(n)
        return ways + n * self._log_none + k * (self.logits + self._log_none)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()


class Multinomial(Distribution):
    """How often each place comes in `total_count` draws of a `Categorical`.

    >>> dg.distributions.Multinomial(5, dg.asarray([0.5, 0.5])).mean
    tensor([2.5000, 2.5000])
    """

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:  # fmt: skip
        if not isinstance(total_count, int) or total_count < 0:
            raise ArgumentError(
                f"Multinomial: total_count {total_count!r} is no whole number of draws"
            )
        self.total_count = total_count
        self._places = Categorical(probs, logits, validate_args)
        self.probs, self.logits = self._places.probs, self._places.logits
        super().__init__(self._places.batch_shape, self.probs.shape[-1:])

    @property
    def support(self) -> constraints.Constraint:
        return constraints.multinomial(self.total_count)

    def _draw(self, sample_shape: Shape) -> Tensor:
        at = self._places._draw((self.total_count, *sample_shape)).unsqueeze(-1)
        places = as_operand(range(self.event_shape[0])).to(at.device)
        return astype((at == places).sum(0), self.probs.dtype)

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value)
        return lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1) + (value * self.logits).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

"""Transformed: what is drawn from one distribution and then mapped; relaxed choices, which gradients can pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from ..eager.methods.reduction import logsumexp
from ..eager.operands import as_operand
from ..eager.statistics import log_softmax
from ..nn.functional.activation import softplus
from ..ops.arithmetic import where
from ..ops.special import lgamma
from . import constraints
from .base import Distribution, Shape, demand, together
from .continuous import Normal, uniform_draws
from .discrete import Bernoulli, Categorical, OneHotCategorical
from .maps import (
    AffineTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    StickBreakingTransform,
)
from .transform import ComposeTransform, Transform, sum_last
from .vectors import Independent


class TransformedDistribution(Distribution):
    """Draws of a distribution mapped by transforms, one after the other; densities follow from how they stretch.

    >>> from dualgraph.distributions import Normal, TanhTransform, TransformedDistribution
    >>> squashed = TransformedDistribution(Normal(0.0, 1.0), TanhTransform())
    >>> round(squashed.log_prob(dg.tensor(0.0)).item(), 4)
    -0.9189
    """

    def __init__(
        self, base_distribution: Distribution, transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        whole = ComposeTransform(self.transforms)
        base, (before, after) = base_distribution, whole.event_dims
        shape = (*base.batch_shape, *base.event_shape)
        if len(shape) < before:
            problem = f"the transforms need {before} axes, the distribution has {len(shape)}"
            raise ArgumentError(f"TransformedDistribution: {problem}")
        mapped = whole.forward_shape(shape)
        expanded = whole.inverse_shape(mapped)
        if expanded != shape:
            base = Expanded(base, expanded[: len(expanded) - len(base.event_shape)])
        missing = before - len(base.event_shape)
        self.base_dist = Independent(base, missing) if missing > 0 else base
        self.has_rsample = base.has_rsample
        events = max(len(self.base_dist.event_shape) + after - before, after)
        cut = len(mapped) - events
        super().__init__(mapped[:cut], mapped[cut:])

    def _draw(self, sample_shape: Shape) -> Tensor:
        x = self.base_dist._draw(sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Any) -> Tensor:
        rank, stretched, y = len(self.event_shape), None, as_operand(value)
        for transform in reversed(self.transforms):
            x = transform._inverse(y)
            rank += transform.event_dims[0] - transform.event_dims[1]
            part = sum_last(transform.log_abs_det_jacobian(x, y), rank - transform.event_dims[0])
            stretched = part if stretched is None else stretched + part
            y = x
        own = sum_last(self.base_dist.log_prob(y), rank - len(self.base_dist.event_shape))
        return own if stretched is None else own - stretched

    def _monotone(self, share: Tensor) -> Tensor:
        """A cumulative probability, counted from the other end where the transforms fall."""
        sign = math.prod(t.sign for t in self.transforms)
        return share if isinstance(sign, int) and sign == 1 else sign * (share - 0.5) + 0.5

    def cdf(self, value: Any) -> Tensor:
        value = as_operand(value)
        for transform in reversed(self.transforms):
            value = transform._inverse(value)
        return self._monotone(self.base_dist.cdf(value))

    def icdf(self, value: Any) -> Tensor:
        found = self.base_dist.icdf(self._monotone(as_operand(value)))
        for transform in self.transforms:
            found = transform(found)
        return found


class Expanded(Distribution):
    """A distribution for each element of a wider batch."""

    def __init__(self, base: Distribution, batch_shape: Shape) -> None:
        self.base_dist, self.has_rsample = base, base.has_rsample
        super().__init__(batch_shape, base.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        return self.base_dist.support

    def _draw(self, sample_shape: Shape) -> Tensor:
        mine, own = self.batch_shape, self.base_dist.batch_shape
        extra = mine[: len(mine) - len(own)]
        stretched = [i for i, d in enumerate(own) if d != mine[len(extra) + i]]
        if stretched:
            raise ArgumentError(
                "TransformedDistribution: expand the parameters of the distribution first"
            )
        return self.base_dist._draw((*sample_shape, *extra))

    def log_prob(self, value: Any) -> Tensor:
        return self.base_dist.log_prob(value)

    def cdf(self, value: Any) -> Tensor:
        return self.base_dist.cdf(value)

    def icdf(self, value: Any) -> Tensor:
        return self.base_dist.icdf(value)


class _Logits(Distribution):
    """A Bernoulli variable's log odds with logistic noise, over a temperature (Maddison et al., 2017)."""

    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any, logits: Any, validate_args: bool | None
    ) -> None:
        self._choice = Bernoulli(probs, logits, validate_args)
        self.temperature, self.logits = together(temperature, self._choice.logits)
        self.probs = self._choice.probs
        super().__init__(self.logits.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        u = uniform_draws(self, sample_shape, self.logits)
        return (self.logits + u.log() - (-u).clamp(min=-1 + 1e-7).log1p()) / self.temperature

    def log_prob(self, value: Any) -> Tensor:
        off = self.logits - as_operand(value) * self.temperature
        return self.temperature.log() + off - 2 * softplus(off)


class RelaxedBernoulli(TransformedDistribution):
    """A share near 0 or 1, the nearer the lower the temperature; gradients pass draws.

    >>> dg.distributions.RelaxedBernoulli(0.5, probs=0.3).rsample((4,)).shape
    (4,)
    """

    _support = constraints.unit_interval

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:  # fmt: skip
        super().__init__(_Logits(temperature, probs, logits, validate_args), SigmoidTransform())
        base: Any = self.base_dist
        self.temperature, self.probs, self.logits = base.temperature, base.probs, base.logits


class _Scores(Distribution):
    """Log shares of a relaxed one-hot choice: scores with Gumbel noise, over a temperature (Jang et al., 2017)."""

    has_rsample = True
    _shared = ("temperature",)

    def __init__(
        self, temperature: Any, probs: Any, logits: Any, validate_args: bool | None
    ) -> None:
        self._choice = Categorical(probs, logits, validate_args)
        (self.temperature,) = together(temperature)
        self.probs, self.logits = self._choice.probs, self._choice.logits
        super().__init__(self.logits.shape[:-1], self.logits.shape[-1:])

    def _draw(self, sample_shape: Shape) -> Tensor:
        u = uniform_draws(self, sample_shape, self.logits).clamp(max=1 - 6e-8)
        return log_softmax((self.logits - (-u.log()).log()) / self.temperature, axis=-1)

    def log_prob(self, value: Any) -> Tensor:
        k, value = self.event_shape[0], as_operand(value)
        score = self.logits - value * self.temperature
        score = (score - logsumexp(score, -1, True)).sum(-1)
        return score + lgamma(as_operand(float(k)).to(score)) + (k - 1) * self.temperature.log()


class RelaxedOneHotCategorical(TransformedDistribution):
    """Shares near a one-hot vector, the nearer the lower the temperature; gradients pass draws.

    >>> dg.distributions.RelaxedOneHotCategorical(0.5, logits=dg.zeros(3)).rsample().sum().allclose(dg.tensor(1.0))
    True
    """

    _support = constraints.simplex

    _shared = ("temperature",)

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:  # fmt: skip
        super().__init__(_Scores(temperature, probs, logits, validate_args), ExpTransform())
        base: Any = self.base_dist
        self.temperature, self.probs, self.logits = base.temperature, base.probs, base.logits


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose draws pass gradients on as if they were the probabilities (Bengio et al., 2013).

    >>> dg.distributions.OneHotCategoricalStraightThrough(logits=dg.zeros(3)).rsample().sum().item()
    1.0
    """

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = self._draw(tuple(sample_shape)).detach()
        return drawn + (self.probs - self.probs.detach())


class LogisticNormal(TransformedDistribution):
    """Shares made of normal numbers by breaking a stick: n of these give n + 1 shares.

    >>> dg.distributions.LogisticNormal(dg.zeros(2), dg.ones(2)).sample().shape
    (3,)
    """

    _support = constraints.simplex

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args), StickBreakingTransform())
        base: Any = self.base_dist
        self.loc, self.scale = base.base_dist.loc, base.base_dist.scale


class Kumaraswamy(TransformedDistribution):
    """A share ``(1 - u**(1 / concentration0))**(1 / concentration1)`` of an even draw u: close to `Beta`.

    >>> round(dg.distributions.Kumaraswamy(1.0, 1.0).mean.item(), 4)
    0.5
    """

    _support = constraints.unit_interval

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        from_, to = together(concentration1, concentration0)
        self.concentration1, self.concentration0 = from_, to
        positive = {"concentration1": lambda: from_ > 0, "concentration0": lambda: to > 0}
        demand(validate_args, self, **positive)
        base = _Even(from_)
        super().__init__(
            base, [PowerTransform(1 / to), AffineTransform(1.0, -1.0), PowerTransform(1 / from_)]
        )

    def _moment(self, n: int) -> Tensor:
        a, b = self.concentration1, self.concentration0
        part = 1 + n / a
        return b * (lgamma(part) + lgamma(b) - lgamma(part + b)).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1) ** 2


class _Even(Distribution):
    """Even draws of (0, 1), one for each element of a tensor."""

    has_rsample = True

    def __init__(self, like: Tensor) -> None:
        self._like = like
        super().__init__(like.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return uniform_draws(self, sample_shape, self._like).clamp(max=1 - 6e-8)

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value)
        return where((value >= 0) & (value <= 1), 0.0 * value, -math.inf)

    def cdf(self, value: Any) -> Tensor:
        return as_operand(value).clamp(0, 1)

    def icdf(self, value: Any) -> Tensor:
        return as_operand(value)

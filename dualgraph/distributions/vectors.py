"""Distributions over vectors: Dirichlet, beta as its first part, multivariate normals; and axes taken as events."""

from __future__ import annotations

import math
from typing import Any

from ..eager import Tensor, eye, randn, stack
from ..eager.operands import as_operand
from ..linalg import cholesky, diagonal, inv
from ..nn.functional.embedding import one_hot
from ..ops.arithmetic import where
from ..ops.special import digamma, lgamma
from ..special import xlogy
from . import constraints
from .base import Distribution, Shape, demand, together
from .continuous import standard_gamma


class Dirichlet(Distribution):
    """Shares that add up to 1, along the last axis.

    >>> dg.distributions.Dirichlet(dg.ones(3)).mean
    tensor([0.3333, 0.3333, 0.3333])
    """

    _support = constraints.simplex

    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        (self.concentration,) = together(concentration)
        demand(validate_args, self, concentration=lambda: self.concentration > 0)
        super().__init__(self.concentration.shape[:-1], self.concentration.shape[-1:])

    def _draw(self, sample_shape: Shape) -> Tensor:
        found = standard_gamma(self.concentration, self._shape(sample_shape))
        return found / found.sum(-1, keepdim=True)

    def log_prob(self, value: Any) -> Tensor:
        a = self.concentration
        return xlogy(a - 1, as_operand(value)).sum(-1) + lgamma(a.sum(-1)) - lgamma(a).sum(-1)

    def entropy(self) -> Tensor:
        a, k = self.concentration, self.concentration.shape[-1]
        whole = a.sum(-1)
        parts = lgamma(a).sum(-1) - lgamma(whole)
        return parts - (k - whole) * digamma(whole) - ((a - 1) * digamma(a)).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        above = (self.concentration - 1).clamp(min=0)
        inside = above / above.sum(-1, keepdim=True)
        at = one_hot(self.concentration.argmax(-1), self.event_shape[0]).to(inside.dtype)
        return where((self.concentration < 1).all(-1, keepdim=True), at, inside)

    @property
    def variance(self) -> Tensor:
        whole = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (whole - self.concentration) / (whole**2 * (whole + 1))


class Beta(Distribution):
    """A share in (0, 1).

    >>> dg.distributions.Beta(2.0, 3.0).mean
    tensor(0.4000)
    """

    _support = constraints.unit_interval

    has_rsample = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = together(concentration1, concentration0)
        both = stack([self.concentration1, self.concentration0], axis=-1)
        self._shares = Dirichlet(both, validate_args)
        super().__init__(self.concentration1.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return self._shares._draw(sample_shape)[..., 0]

    def log_prob(self, value: Any) -> Tensor:
        value = as_operand(value)
        return self._shares.log_prob(stack([value, 1 - value], axis=-1))

    def entropy(self) -> Tensor:
        return self._shares.entropy()

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        return self._shares.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        return self._shares.variance[..., 0]


def factor_of(distribution: Distribution, covariance: Any, precision: Any, factor: Any) -> Tensor:
    """The Cholesky factor of a covariance, given as itself, as its inverse or as that factor: as one of them."""
    given = [m for m in (covariance, precision, factor) if m is not None]
    demand(None, distribution, parameters=lambda: as_operand(len(given) == 1))
    matrix = together(given[0])[0]
    if factor is not None:
        return matrix
    return cholesky(inv(matrix) if precision is not None else matrix)


class MultivariateNormal(Distribution):
    """Normal vectors with a covariance, given as itself, as its inverse or by its Cholesky factor.

    >>> dg.distributions.MultivariateNormal(dg.zeros(2), dg.eye(2)).mean
    tensor([0., 0.])
    """

    _support = constraints.real_vector

    has_rsample = True
    _shared = ("scale_tril",)

    def __init__(
        self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self.scale_tril = factor_of(self, covariance_matrix, precision_matrix, scale_tril)
        at, n = together(loc)[0], self.scale_tril.shape[-1]
        shape = (at.unsqueeze(-1) + self.scale_tril).shape
        self.loc = at.expand(shape[:-1])
        demand(validate_args, self, scale_tril=lambda: diagonal(self.scale_tril) > 0)
        super().__init__(shape[:-2], (n,))

    def _draw(self, sample_shape: Shape) -> Tensor:
        z = randn(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.scale_tril @ z.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Any) -> Tensor:
        off = (as_operand(value) - self.loc).unsqueeze(-1)
        z = (inv(self.scale_tril) @ off).squeeze(-1)
        n = self.event_shape[0]
        return -0.5 * ((z**2).sum(-1) + n * math.log(2 * math.pi)) - self._log_size()

    def _log_size(self) -> Tensor:
        return diagonal(self.scale_tril).log().sum(-1)

    def entropy(self) -> Tensor:
        out = 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_size()
        return out.expand(self.batch_shape)

    @property
    def covariance_matrix(self) -> Tensor:
        """The expected products of the parts."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        back = inv(self.scale_tril)
        return back.mT @ back

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.scale_tril**2).sum(-1).expand(self._shape(()))


class LowRankMultivariateNormal(Distribution):
    """Normal vectors with the covariance ``W W^T + D`` of a factor W (..., n, rank) and a diagonal D (..., n).

    >>> dg.distributions.LowRankMultivariateNormal(dg.zeros(2), dg.ones(2, 1), dg.ones(2)).variance
    tensor([2., 2.])
    """

    _support = constraints.real_vector

    has_rsample = True
    _shared = ("cov_factor",)

    def __init__(
        self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None
    ) -> None:
        self.cov_factor = together(cov_factor)[0]
        self.loc, self.cov_diag, _ = together(loc, cov_diag, self.cov_factor[..., 0])
        demand(validate_args, self, cov_diag=lambda: self.cov_diag > 0)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:])

    def _draw(self, sample_shape: Shape) -> Tensor:
        kind = {"dtype": self.loc.dtype, "device": self.loc.device}
        z = randn((*sample_shape, *self.batch_shape, self.cov_factor.shape[-1]), **kind)
        own = self.cov_diag.sqrt() * randn(self._shape(sample_shape), **kind)
        return self.loc + (self.cov_factor @ z.unsqueeze(-1)).squeeze(-1) + own

    def _inner(self) -> tuple[Tensor, Tensor]:
        """``W^T D^-1``, and the Cholesky factor of ``1 + W^T D^-1 W``, which is of size rank."""
        weighed = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        inner = weighed @ self.cov_factor
        return weighed, cholesky(
            inner + eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
        )

    def _log_size(self, root: Tensor) -> Tensor:
        return diagonal(root).log().sum(-1) + self.cov_diag.log().sum(-1) / 2

    def log_prob(self, value: Any) -> Tensor:
        off, (weighed, root) = as_operand(value) - self.loc, self._inner()
        inside = (inv(root) @ weighed @ off.unsqueeze(-1)).squeeze(-1)
        distance = (off * off / self.cov_diag).sum(-1) - (inside * inside).sum(-1)
        n = self.event_shape[0]
        return -0.5 * (distance + n * math.log(2 * math.pi)) - self._log_size(root)

    def entropy(self) -> Tensor:
        n = self.event_shape[0]
        return 0.5 * n * (1 + math.log(2 * math.pi)) + self._log_size(self._inner()[1])

    @property
    def covariance_matrix(self) -> Tensor:
        """The expected products of the parts."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.cov_factor**2).sum(-1) + self.cov_diag


class Independent(Distribution):
    """The last axes of a batch taken as one event: their densities multiply.

    >>> d = dg.distributions.Independent(dg.distributions.Normal(dg.zeros(3), dg.ones(3)), 1)
    >>> d.log_prob(dg.zeros(3)).shape
    ()
    """

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:  # fmt: skip
        self.base_dist, self.reinterpreted_batch_ndims = (
            base_distribution,
            reinterpreted_batch_ndims,
        )
        shape = base_distribution.batch_shape
        cut = len(shape) - reinterpreted_batch_ndims
        demand(None, self, reinterpreted_batch_ndims=lambda: as_operand(cut >= 0))
        self.has_rsample = base_distribution.has_rsample
        super().__init__(shape[:cut], (*shape[cut:], *base_distribution.event_shape))

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    def _draw(self, sample_shape: Shape) -> Tensor:
        return self.base_dist._draw(sample_shape)

    def summed(self, x: Tensor) -> Tensor:
        """Numbers of the base's batch summed over the axes of the event."""
        n = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-n, 0))) if n else x

    def log_prob(self, value: Any) -> Tensor:
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        return self.summed(self.base_dist.entropy())

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

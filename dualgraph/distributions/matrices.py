"""Distributions over matrices: Wishart over covariances, LKJ over Cholesky factors of correlations."""

from __future__ import annotations

import math
from typing import Any

from ..eager import Tensor, arange, concat, randn, where, zeros
from ..eager.methods.special import mvlgamma
from ..eager.operands import as_operand
from ..linalg import diagonal, inv, slogdet
from ..ops.special import digamma, lgamma
from . import constraints
from .base import Distribution, Shape, demand, together
from .continuous import standard_gamma
from .vectors import Beta, factor_of


def _log_size(factor: Tensor) -> Tensor:
    """Half of the logarithm of the determinant of what this is the Cholesky factor of."""
    return diagonal(factor).log().sum(-1)


class Wishart(Distribution):
    """``sum(x x^T)`` of `df` normal vectors around 0 with a covariance, given as `MultivariateNormal` takes it.

    `df` need not be whole; it is more than the number of axes less 1. Drawn by Bartlett's decomposition.

    >>> dg.distributions.Wishart(3.0, dg.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    _support = constraints.positive_definite

    has_rsample = True
    _shared = ("scale_tril",)

    def __init__(
        self, df: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self.scale_tril = factor_of(self, covariance_matrix, precision_matrix, scale_tril)
        n = self.scale_tril.shape[-1]
        self.df = together(df, self.scale_tril[..., 0, 0])[0].to(dtype=self.scale_tril.dtype)
        demand(
            validate_args, self, df=lambda: self.df > n - 1, scale_tril=lambda: diagonal(self.scale_tril) > 0
        )  # fmt: skip
        super().__init__(self.df.shape, (n, n))

    def _draw(self, sample_shape: Shape) -> Tensor:
        n, kind = self.event_shape[0], {"dtype": self.df.dtype, "device": self.df.device}
        degrees = self.df.unsqueeze(-1) - arange(n, **kind)
        squares = 2 * standard_gamma(degrees / 2, (*sample_shape, *degrees.shape))
        factor = randn(self._shape(sample_shape), **kind).tril(-1) + squares.sqrt().diag_embed()
        root = self.scale_tril @ factor
        return root @ root.mT

    def log_prob(self, value: Any) -> Tensor:
        value, n, half = as_operand(value), self.event_shape[0], self.df / 2
        back = inv(self.scale_tril)
        trace = diagonal(back @ value @ back.mT).sum(-1)
        whole = self.df * (n * math.log(2) / 2 + _log_size(self.scale_tril)) + mvlgamma(half, n)
        return (half - (n + 1) / 2) * slogdet(value)[1] - trace / 2 - whole

    def entropy(self) -> Tensor:
        n, half = self.event_shape[0], self.df / 2
        places = arange(n, dtype=self.df.dtype, device=self.df.device)
        slope = digamma(half.unsqueeze(-1) - places / 2).sum(-1)
        size = (n + 1) * (n * math.log(2) / 2 + _log_size(self.scale_tril))
        return size + mvlgamma(half, n) - (half - (n + 1) / 2) * slope + half * n

    @property
    def covariance_matrix(self) -> Tensor:
        """That of the normal vectors."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of their covariance."""
        back = inv(self.scale_tril)
        return back.mT @ back

    @property
    def mean(self) -> Tensor:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = (self.df - self.event_shape[0] - 1)[..., None, None]
        return where(factor > 0, factor, math.nan) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        whole = self.covariance_matrix
        sizes = diagonal(whole)
        return self.df[..., None, None] * (whole**2 + sizes[..., :, None] * sizes[..., None, :])


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices C of `dim` axes, with a density of C in proportion to
    ``det(C) ** (concentration - 1)``.

    Drawn row by row (the onion method of Lewandowski, Kurowicka and Joe, 2009).

    >>> dg.distributions.LKJCholesky(3, 0.5).sample().shape
    (3, 3)
    """

    _support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        demand(None, self, dim=lambda: as_operand(dim >= 2))
        self.dim, (self.concentration,) = dim, together(concentration)
        demand(validate_args, self, concentration=lambda: self.concentration > 0)
        super().__init__(self.concentration.shape, (dim, dim))

    def _draw(self, sample_shape: Shape) -> Tensor:
        c = self.concentration
        kind: dict[str, Any] = {"dtype": c.dtype, "device": c.device}
        before = concat([zeros((1,), **kind), arange(self.dim - 1, **kind)]) / 2  # of each row
        shares = Beta(before + 0.5, (c + self.dim / 2 - 1).unsqueeze(-1) - before, False)._draw(
            sample_shape
        )
        z = randn(self._shape(sample_shape), **kind).tril(-1)
        length = (z * z).sum(-1, keepdim=True).sqrt()
        # Of which nothing is below the diagonal
        first = arange(self.dim, device=c.device).unsqueeze(-1) == 0
        rows = where(first, 0.0, shares.sqrt().unsqueeze(-1) * z / where(first, 1.0, length))
        return rows + (1 - (rows * rows).sum(-1)).clamp(min=0).sqrt().diag_embed()

    def log_prob(self, value: Any) -> Tensor:
        c, rest = self.concentration, self.dim - 1
        rows = arange(2, self.dim + 1, dtype=c.dtype, device=c.device)
        powers = 2 * (c - 1).unsqueeze(-1) + self.dim - rows
        weights = (powers * diagonal(as_operand(value))[..., 1:].log()).sum(-1)
        alpha = c + rest / 2
        whole = rest * math.log(math.pi) / 2 + mvlgamma(alpha - 0.5, rest) - lgamma(alpha) * rest
        return weights - whole

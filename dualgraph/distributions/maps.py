"""Maps: the transforms that compute - affine ones, exponentials, squashing functions, simplices and triangles."""

from __future__ import annotations

import math
from typing import Any

from ..core.types import broadcast_shapes
from ..eager import Tensor, arange, full_like
from ..eager.functions import cumulative_prod, cumulative_sum
from ..eager.operands import as_operand
from ..eager.shapes import pad, tril
from ..eager.statistics import softmax
from ..linalg import diagonal
from ..nn.functional.activation import logsigmoid, softplus
from ..ops import arithmetic as ar
from .base import Distribution, Shape
from .transform import Transform, sum_last


class AffineTransform(Transform):
    """``loc + scale * x``; `event_dim` last axes count as one event.

    >>> dg.distributions.AffineTransform(1.0, 2.0)(dg.asarray([3.0]))
    tensor([7.])
    """

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale = loc, scale
        self.event_dims = event_dim, event_dim

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x  # type: ignore[no-any-return]

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if isinstance(self.scale, Tensor):
            size = self.scale.abs().log()
            size = size.expand(broadcast_shapes(x.shape, size.shape))
        else:
            size = full_like(x, math.log(abs(self.scale)))
        return sum_last(size, self.event_dims[0])

    @property
    def sign(self) -> Any:
        return ar.sign(as_operand(self.scale))

    def forward_shape(self, shape: Shape) -> Shape:
        return broadcast_shapes(shape, *(as_operand(v).shape for v in (self.loc, self.scale)))

    inverse_shape = forward_shape


class _Rising(Transform):
    """A map that rises everywhere."""

    sign = 1  # type: ignore[assignment]


class ExpTransform(_Rising):
    """``exp(x)``.

    >>> dg.distributions.ExpTransform()(dg.asarray([0.0]))
    tensor([1.])
    """

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class PowerTransform(Transform):
    """``x ** exponent`` of positive x.

    >>> dg.distributions.PowerTransform(2.0)(dg.asarray([3.0]))
    tensor([9.])
    """

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = as_operand(exponent)

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.exponent * y / x).abs().log()

    @property
    def sign(self) -> Any:
        return ar.sign(self.exponent)

    def forward_shape(self, shape: Shape) -> Shape:
        return broadcast_shapes(shape, self.exponent.shape)

    inverse_shape = forward_shape


class SigmoidTransform(_Rising):
    """``1 / (1 + exp(-x))``.

    >>> dg.distributions.SigmoidTransform()(dg.asarray([0.0]))
    tensor([0.5000])
    """

    def _call(self, x: Tensor) -> Tensor:
        return _off_edges(x.sigmoid())

    def _inverse(self, y: Tensor) -> Tensor:
        y = _off_edges(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x) - softplus(x)


def _off_edges(y: Tensor) -> Tensor:
    """Shares away from 0 and 1, so that they can be mapped back."""
    least, most = (1.2e-38, 1 - 2.0**-24) if y.dtype.itemsize < 8 else (2.3e-308, 1 - 2.0**-53)
    return y.clamp(least, most)


class TanhTransform(_Rising):
    """``tanh(x)``.

    >>> dg.distributions.TanhTransform()(dg.asarray([0.0]))
    tensor([0.])
    """

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class SoftplusTransform(_Rising):
    """``log(1 + exp(x))``.

    >>> dg.distributions.SoftplusTransform()(dg.asarray([0.0]))
    tensor([0.6931])
    """

    def _call(self, x: Tensor) -> Tensor:
        return softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x)


class AbsTransform(Transform):
    """``|x|``, which has no inverse: y itself is given back for it.

    >>> dg.distributions.AbsTransform()(dg.asarray([-3.0]))
    tensor([3.])
    """

    bijective = False

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class SoftmaxTransform(Transform):
    """Shares in proportion to ``exp(x)``, along the last axis; its inverse gives their logarithms.

    >>> dg.distributions.SoftmaxTransform()(dg.zeros(2))
    tensor([0.5000, 0.5000])
    """

    bijective = False
    event_dims = (1, 1)

    def _call(self, x: Tensor) -> Tensor:
        return softmax(x, axis=-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()


class StickBreakingTransform(Transform):
    """n numbers to n + 1 shares: each takes a part of what those before it left.

    >>> dg.distributions.StickBreakingTransform()(dg.zeros(2))
    tensor([0.3333, 0.3333, 0.3333])
    """

    event_dims = (1, 1)

    def _behind(self, x: Tensor) -> Tensor:
        """The logarithm of how many parts are still to come, this one left out."""
        n = x.shape[-1]
        return (n - arange(n, dtype=x.dtype, device=x.device)).log()

    def _call(self, x: Tensor) -> Tensor:
        z = _off_edges((x - self._behind(x)).sigmoid())
        left = cumulative_prod(1 - z, axis=-1)
        ends = ((0, 0),) * (x.ndim - 1)
        return pad(z, (*ends, (0, 1)), value=1.0) * pad(left, (*ends, (1, 0)), value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        first = y[..., :-1]
        rest = (1 - cumulative_sum(first, axis=-1)).clamp(
            min=1.2e-38 if y.dtype.itemsize < 8 else 2.3e-308
        )
        return first.log() - rest.log() + self._behind(first)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        u = x - self._behind(x)
        return (-u + logsigmoid(u) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """Matrices to lower triangles with a positive diagonal: its logarithm is what the matrix has there.

    >>> dg.distributions.LowerCholeskyTransform()(dg.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    event_dims = (2, 2)

    def _call(self, x: Tensor) -> Tensor:
        return tril(x, k=-1) + diagonal(x).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return tril(y, k=-1) + diagonal(y).log().diag_embed()


class CumulativeDistributionTransform(_Rising):
    """The cumulative probability under a distribution.

    >>> from dualgraph.distributions import CumulativeDistributionTransform, Normal
    >>> CumulativeDistributionTransform(Normal(0.0, 1.0))(dg.asarray([0.0]))
    tensor([0.5000])
    """

    def __init__(self, distribution: Distribution, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)

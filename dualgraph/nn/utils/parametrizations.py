"""Ready parametrizations: weight norm and spectral norm; `orthogonal` is in a file of its own.

Sources: Salimans and Kingma, Weight normalization (2016); Miyato et al., Spectral normalization for generative
adversarial networks (2018).
"""

from __future__ import annotations

from typing import Any

from ...core.errors import ArgumentError
from ...eager import Tensor, no_grad, randn
from ...ops.composites import norm
from ..functional.normalisation import normalize
from ..module import Module
from .orthogonal import orthogonal
from .parametrize import register_parametrization

__all__ = ["norm_except_dim", "orthogonal", "spectral_norm", "weight_norm"]


def norm_except_dim(v: Tensor, dim: int | None = 0) -> Tensor:
    """The norms of the slices along `dim`, with all axes kept; of the whole for None (or -1).

    >>> dg.nn.utils.parametrizations.norm_except_dim(dg.tensor([[3.0, 4.0], [0.0, 2.0]])).tolist()
    [[5.0], [2.0]]
    """
    if dim is None or dim == -1:
        return norm(v.reshape(-1), 2.0)
    axes = tuple(i for i in range(v.ndim) if i != dim % v.ndim)
    return norm(v, 2.0, axis=axes, keepdims=True) if axes else v.abs()


class _WeightNorm(Module):
    """``g v / |v|``."""

    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Trains size (``original0``) and direction (``original1``) of the slices of a weight along `dim` apart.

    >>> layer = dg.nn.utils.parametrizations.weight_norm(dg.nn.Linear(2, 3))
    >>> layer(dg.ones(2)).shape
    (3,)
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class Spectral(Module):
    """A weight over its largest singular value, which power iteration follows while the module trains."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if n_power_iterations < 1:
            raise ArgumentError(
                f"spectral_norm: n_power_iterations must be positive, not {n_power_iterations}"
            )
        self.dim = dim % max(weight.ndim, 1)
        self.n_power_iterations = n_power_iterations
        self.eps = eps
        if weight.ndim > 1:
            matrix = self._matrix(weight.detach())
            rows, columns = matrix.shape
            how = {"dtype": weight.dtype, "device": weight.device}
            self.register_buffer("_u", normalize(randn(rows, **how), dim=0, eps=eps))
            self.register_buffer("_v", normalize(randn(columns, **how), dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._u.copy_(normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.T @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u @ (matrix @ v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def default_dim(module: Any) -> int:
    """The axis of the outputs: 1 for transposed convolutions, else 0."""
    return 1 if "ConvTranspose" in type(module).__name__ else 0


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a weight by its largest singular value; each reading while training takes `n_power_iterations` steps.

    >>> layer = dg.nn.utils.parametrizations.spectral_norm(dg.nn.Linear(2, 3))
    >>> layer(dg.ones(2)).shape
    (3,)
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(f"spectral_norm: {type(module).__name__} has no tensor {name!r}")
    axis = default_dim(module) if dim is None else dim
    return register_parametrization(module, name, Spectral(weight, n_power_iterations, axis, eps))

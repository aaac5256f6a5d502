"""Orthogonal weights: matrices that stay orthogonal (unitary) whatever the parameters behind them become.

Source of using a fixed matrix times one near the identity: Lezcano-Casado, Trivializations for gradient-based
optimization on manifolds (2019). The product of reflections is Schreiber and Van Loan's (1989): ``I - V inv(T) V'``.
"""

from __future__ import annotations

from typing import Any

from ...core.errors import ArgumentError, ShapeError
from ...eager import Tensor, concat, eye, no_grad, randn, zeros_like
from ...linalg import diagonal, matrix_exp, qr, solve, solve_triangular
from ..module import Module
from .parametrize import register_parametrization

MAPS = ("matrix_exp", "cayley", "householder")


def _turned(x: Tensor) -> Tensor:
    return x.transpose(-2, -1)


def _adjoint(x: Tensor) -> Tensor:
    return _turned(x).conj() if x.dtype.is_complex else _turned(x)


def _identity(n: int, x: Tensor) -> Tensor:
    return eye(n, dtype=x.dtype, device=x.device)


def reflected(x: Tensor) -> Tensor:
    """The first columns of a product of reflections, whose vectors are below the diagonal of the tall matrix x (1 on
    it), each column times the sign that is on the diagonal."""
    k = x.shape[-1]
    v = x.tril(-1) + _identity(x.shape[-2], x)[:, :k]
    inner = _turned(v) @ v
    t = inner.triu(1) + 0.5 * diagonal(inner).diag_embed()
    first = _identity(x.shape[-2], x)[:, :k]
    q = first - v @ solve_triangular(t, _turned(v[..., :k, :]), upper=True)
    return q * diagonal(x).sign().detach().unsqueeze(-2)


def reflections(q: Tensor) -> Tensor:
    """The x with ``reflected(x) = q``, for a tall matrix q with orthogonal columns (Householder's, one by one)."""
    rest, columns = q.clone(), []
    for i in range(q.shape[-1]):
        below = rest[..., i:, i]
        head = below[..., :1]
        size = (below * below).sum(-1, keepdim=True).sqrt()
        sign = (head >= 0).to(q.dtype) * 2 - 1
        tail = below[..., 1:] / (head + sign * size)
        v = concat([q.new_zeros(*q.shape[:-2], i), head * 0 + 1, tail], axis=-1).unsqueeze(-1)
        rest = rest - v @ (_turned(v) @ rest) * (2 / (v * v).sum(-2, keepdim=True))
        columns.append(concat([q.new_zeros(*q.shape[:-2], i), -sign, tail], axis=-1))
    return concat([c.unsqueeze(-1) for c in columns], axis=-1)


def made_orthogonal(x: Tensor) -> Tensor:
    """The orthogonal factor of x; x itself where it is orthogonal."""
    q, r = qr(x)
    d = diagonal(r)
    return q * (d / d.abs()).unsqueeze(-2)


class _Orthogonal(Module):
    """A matrix with orthonormal columns (rows, where it is wide), made of any matrix of its shape."""

    base: Tensor

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = tuple(weight.shape), orthogonal_map
        if weight.dtype.is_complex and orthogonal_map == "householder":
            raise ArgumentError("orthogonal: 'householder' is for real weights")
        self.trivial = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        x = _turned(x) if wide else x
        q = reflected(x) if self.orthogonal_map == "householder" else self._of_skew(x)
        if self.trivial:
            q = self.base @ q
        return _turned(q) if wide else q

    def _of_skew(self, x: Tensor) -> Tensor:
        """An orthogonal matrix by the antisymmetric one that the lower half of x makes."""
        n, k = x.shape[-2:]
        lower = x.tril()
        if n != k:
            lower = concat([lower, x.new_zeros(*x.shape[:-1], n - k)], axis=-1)
        skew = lower - _adjoint(lower)
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(skew)[..., :k]
        half = 0.5 * skew
        return solve(_identity(n, x) - half, _identity(n, x) + half)[..., :k]

    def right_inverse(self, value: Tensor) -> Tensor:
        if tuple(value.shape) != self.shape:
            raise ShapeError(
                f"orthogonal: a weight of shape {self.shape}, not {tuple(value.shape)}"
            )
        wide = value.shape[-2] < value.shape[-1]
        with no_grad():
            x = _turned(value) if wide else value
            if not self.trivial:
                if self.orthogonal_map != "householder":
                    raise ArgumentError(
                        "orthogonal: without use_trivialization nothing can be assigned through "
                        f"{self.orthogonal_map!r}"
                    )
                out = reflections(made_orthogonal(x))
                return _turned(out) if wide else out
            n, k = x.shape[-2:]
            if n != k:  # any orthogonal columns complete it
                more = randn(*x.shape[:-1], n - k, dtype=x.dtype, device=x.device)
                x = concat([x, more], axis=-1)
            self.base = made_orthogonal(x)
            return (
                zeros_like(value)
                - _identity(max(self.shape[-2:]), value)[: value.shape[-2], : value.shape[-1]]
            )


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keeps a weight (a matrix, or matrices along leading axes) orthogonal while it is trained: ``W' W = I`` where it
    is tall or square, ``W W' = I`` where it is wide; unitary where it is complex.

    `orthogonal_map` is "matrix_exp", "cayley" or "householder" (the last for tall and wide real weights, unless said
    otherwise). With `use_trivialization` the weight starts as the orthogonal matrix that its first values make, and
    others may be assigned; without, only "householder" can be assigned to.

        >>> layer = dg.nn.utils.parametrizations.orthogonal(dg.nn.Linear(3, 5))
        >>> (layer.weight.T @ layer.weight).allclose(dg.eye(3), atol=1e-6)
        True
    """
    weight: Any = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(f"orthogonal: {type(module).__name__} has no tensor {name!r}")
    if weight.ndim < 2:
        raise ArgumentError(
            f"orthogonal: a weight has two axes or more, not the shape {weight.shape}"
        )
    square = weight.shape[-2] == weight.shape[-1]
    chosen = orthogonal_map or (
        "matrix_exp" if square or weight.dtype.is_complex else "householder"
    )
    if chosen not in MAPS:
        raise ArgumentError(
            f"orthogonal: orthogonal_map is one of {', '.join(MAPS)}, not {chosen!r}"
        )
    return register_parametrization(
        module, name, _Orthogonal(weight, chosen, use_trivialization), unsafe=True
    )

"""Transforms: invertible maps of what is drawn, each with the logarithm of how much it stretches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from ..eager.operands import as_operand
from ..ops import arithmetic as ar
from .base import Shape


def sum_last(x: Tensor, axes: int) -> Tensor:
    """x summed over its last axes."""
    return x.sum(tuple(range(-axes, 0))) if axes else x


class Transform:
    """A map y of x. Subclasses define ``_call``, ``_inverse`` and ``log_abs_det_jacobian``.

    ``event_dims``: how many last axes it maps together, of x and of y. ``cache_size`` is taken and changes nothing.

        >>> class Cube(dg.distributions.Transform):
        ...     def _call(self, x):
        ...         return x**3
        ...     def log_abs_det_jacobian(self, x, y):
        ...         return (3 * x * x).log()
        >>> Cube()(dg.asarray([2.0]))
        tensor([8.])
    """

    bijective = True
    event_dims = (0, 0)

    def __init__(self, cache_size: int = 0) -> None:
        self.cache_size = cache_size

    def __call__(self, x: Any) -> Tensor:
        return self._call(as_operand(x))

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no _call")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """``log |dy/dx|`` at x, of which y is the map."""
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian")

    @property
    def sign(self) -> Any:
        """1 where y rises with x, -1 where it falls."""
        raise NotImplementedError(f"{type(self).__name__} is neither rising nor falling")

    @property
    def inv(self) -> Transform:
        """The inverse map."""
        return _Inverse(self)

    def forward_shape(self, shape: Shape) -> Shape:
        """The shape of y for a shape of x."""
        return tuple(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        """The shape of x for a shape of y."""
        return tuple(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    """A transform the other way round."""

    def __init__(self, of: Transform) -> None:
        super().__init__()
        self._of, self.bijective = of, of.bijective
        self.event_dims = of.event_dims[1], of.event_dims[0]

    def _call(self, x: Tensor) -> Tensor:
        return self._of._inverse(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._of.log_abs_det_jacobian(y, x)

    @property
    def sign(self) -> Any:
        return self._of.sign

    @property
    def inv(self) -> Transform:
        return self._of

    def forward_shape(self, shape: Shape) -> Shape:
        return self._of.inverse_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self._of.forward_shape(shape)


class ComposeTransform(Transform):
    """One transform after the other.

    >>> from dualgraph.distributions import AffineTransform, ComposeTransform, ExpTransform
    >>> ComposeTransform([AffineTransform(1.0, 2.0), ExpTransform()])(dg.asarray([-0.5]))
    tensor([1.])
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        self.bijective = all(p.bijective for p in self.parts)
        rank = needed = self.parts[-1].event_dims[1] if self.parts else 0
        for p in reversed(self.parts):
            rank = max(rank + p.event_dims[0] - p.event_dims[1], p.event_dims[0])
            needed = rank
        out = needed + sum(p.event_dims[1] - p.event_dims[0] for p in self.parts)
        self.event_dims = needed, out

    def _call(self, x: Tensor) -> Tensor:
        for p in self.parts:
            x = p(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for p in reversed(self.parts):
            y = p._inverse(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.parts:
            return ar.multiply(x, 0)  # type: ignore[no-any-return]
        rank, total = self.event_dims[0], None
        for p in self.parts:
            after = p(x)
            part = sum_last(p.log_abs_det_jacobian(x, after), rank - p.event_dims[0])
            total = part if total is None else total + part
            rank += p.event_dims[1] - p.event_dims[0]
            x = after
        return total  # type: ignore[return-value]

    @property
    def sign(self) -> Any:
        return math.prod(p.sign for p in self.parts)

    def forward_shape(self, shape: Shape) -> Shape:
        for p in self.parts:
            shape = p.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        for p in reversed(self.parts):
            shape = p.inverse_shape(shape)
        return shape


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last batch axes count as one event: its stretches multiply.

    >>> from dualgraph.distributions import ExpTransform, IndependentTransform
    >>> t, x = IndependentTransform(ExpTransform(), 1), dg.ones(3)
    >>> t.log_abs_det_jacobian(x, t(x))
    tensor(3.)
    """

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform, self.reinterpreted_batch_ndims = (
            base_transform,
            reinterpreted_batch_ndims,
        )
        self.bijective = base_transform.bijective
        before, after = base_transform.event_dims
        self.event_dims = before + reinterpreted_batch_ndims, after + reinterpreted_batch_ndims

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform._inverse(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        whole = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_last(whole, self.reinterpreted_batch_ndims)

    @property
    def sign(self) -> Any:
        return self.base_transform.sign

    def forward_shape(self, shape: Shape) -> Shape:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.base_transform.inverse_shape(shape)


class ReshapeTransform(Transform):
    """The last axes under another shape.

    >>> dg.distributions.ReshapeTransform((4,), (2, 2))(dg.ones(3, 4)).shape
    (3, 2, 2)
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            problem = f"{self.in_shape} and {self.out_shape} have not as many elements"
            raise ArgumentError(f"ReshapeTransform: {problem}")
        self.event_dims = len(self.in_shape), len(self.out_shape)

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: x.ndim - len(self.in_shape)])

    def forward_shape(self, shape: Shape) -> Shape:
        return (*shape[: len(shape) - len(self.in_shape)], *self.out_shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape[: len(shape) - len(self.out_shape)], *self.in_shape)

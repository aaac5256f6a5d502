"""Distribution: parameters in batches, samples of them, and densities, under the names of ``torch.distributions``."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, TypeVar

from ..core.context import untraced
from ..core.errors import ArgumentError
from ..eager import Tensor, no_grad
from ..eager.operands import as_operand, astype
from ..eager.shapes import broadcast_arrays
from .constraints import Constraint

Shape = tuple[int, ...]
Self = TypeVar("Self", bound="Distribution")


class Distribution:
    """A batch of distributions: ``batch_shape`` of them, each over events of ``event_shape``.

    Draws have the shape ``sample_shape + batch_shape + event_shape``. `rsample` draws so that gradients reach the
    parameters, where ``has_rsample``. Parameters that make no sense raise, unless ``validate_args=False``.

    >>> d = dg.distributions.Normal(dg.zeros(3), dg.ones(3))
    >>> d.batch_shape, d.event_shape, d.sample((2,)).shape
    ((3,), (), (2, 3))
    """

    has_rsample = False
    has_enumerate_support = False
    _shared: tuple[str, ...] = ()  # parameters without the axes of the batch
    _support: Constraint | None = None  # where it does not depend on parameters

    def __init__(self, batch_shape: Shape = (), event_shape: Shape = ()) -> None:
        self.batch_shape, self.event_shape = tuple(batch_shape), tuple(event_shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws that no gradient passes."""
        with no_grad():
            return (
                self.rsample(sample_shape) if self.has_rsample else self._draw(tuple(sample_shape))
            )

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws as functions of the parameters."""
        if not self.has_rsample:
            raise ArgumentError(
                f"{type(self).__name__} has no reparametrized draws; use sample() and log_prob()"
            )
        return self._draw(tuple(sample_shape))

    def _draw(self, sample_shape: Shape) -> Tensor:
        raise NotImplementedError

    @property
    def support(self) -> Constraint:
        """The set of the values that can be drawn; ``support.check(x)`` says which ones are in it."""
        if self._support is None:
            raise NotImplementedError(f"{type(self).__name__} does not know its support")
        return self._support

    def expand(self: Self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """The same distributions in a larger batch: parameters are seen, not copied.

        >>> dg.distributions.Normal(dg.zeros(3), 1.0).expand((2, 3)).sample().shape
        (2, 3)
        """
        out, lead, shape = copy(self), len(self.batch_shape), tuple(batch_shape)
        for name, value in vars(self).items():
            if isinstance(value, Distribution):
                setattr(out, name, value.expand((*shape, *value.batch_shape[lead:])))
            elif isinstance(value, Tensor) and name not in self._shared:
                setattr(out, name, value.expand((*shape, *value.shape[lead:])))
        out.batch_shape = shape
        return out

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values along a new first axis, for each distribution of the batch (axes of length 1 unless `expand`).

        >>> dg.distributions.Bernoulli(dg.tensor([0.1, 0.9])).enumerate_support().tolist()
        [[0.0, 0.0], [1.0, 1.0]]
        """
        values = self._values()
        ones = (1,) * len(self.batch_shape)
        values = values.reshape(values.shape[0], *ones, *self.event_shape)
        return values.expand((values.shape[0], *self._shape(()))) if expand else values

    def _values(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has not finitely many values")

    def _shape(self, sample_shape: Shape) -> Shape:
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the density (or probability) at values."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Any) -> Tensor:
        """The probability of at most a value."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Any) -> Tensor:
        """The value below which that much of the probability lies."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def entropy(self) -> Tensor:
        """Minus the expected `log_prob`."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """``exp(entropy)``."""
        return self.entropy().exp()

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        """The expected squared distance from the mean."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The root of the variance."""
        return self.variance.sqrt()

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{n}: {v.tensor_type}" for n, v in vars(self).items() if isinstance(v, Tensor)
        )
        return f"{type(self).__name__}({parts})"


def together(*values: Any) -> list[Tensor]:
    """Parameters, numbers or tensors, as floating tensors of one shape."""
    given = [as_operand(v) for v in values]
    given = [v if v.dtype.is_inexact else astype(v, "float32") for v in given]
    return broadcast_arrays(*given) if len(given) > 1 else given


def demand(check: bool | None, owner: Any, **conditions: Any) -> None:
    """Raises where a condition, by the name of its parameter, is not true everywhere."""
    if check is False:
        return
    with untraced(), no_grad():
        for name, holds in conditions.items():
            if not bool(holds().all()):
                raise ArgumentError(f"{type(owner).__name__}: {name} is outside of what it can be")

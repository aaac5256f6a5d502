"""Constraints: sets of values, such as the support of a distribution, and whether given values are in them.

>>> from dualgraph.distributions import constraints
>>> constraints.simplex.check(dg.tensor([[0.25, 0.75], [0.5, 1.0]]))
tensor([ True, False])
>>> dg.distributions.Gamma(1.0, 1.0).support
nonnegative
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..eager import Tensor
from ..eager.operands import as_operand
from ..linalg import diagonal, eigvalsh

__all__ = [
    "Constraint", "boolean", "corr_cholesky", "greater_than", "greater_than_eq", "half_open_interval",
    "independent", "integer_interval", "interval", "less_than", "lower_cholesky", "lower_triangular", "multinomial",
    "nonnegative", "nonnegative_integer", "one_hot", "positive", "positive_definite", "positive_integer",
    "positive_semidefinite", "real", "real_vector", "simplex", "symmetric", "unit_interval",
]  # fmt: skip

SLACK = 1e-6  # by which sums may miss 1


class Constraint:
    """A set of values, each over the last ``event_dim`` axes; ``is_discrete``: of whole numbers.

    >>> even = dg.distributions.constraints.Constraint("even", lambda x: x % 2 == 0, is_discrete=True)
    >>> even.check(dg.tensor([1, 2]))
    tensor([False,  True])
    """

    def __init__(
        self, name: str, holds: Callable[[Tensor], Tensor], event_dim: int = 0, is_discrete: bool = False
    ) -> None:  # fmt: skip
        self.name, self._holds = name, holds
        self.event_dim, self.is_discrete = event_dim, is_discrete

    def check(self, value: Any) -> Tensor:
        """Which of the values are in the set: one bool an event."""
        return self._holds(as_operand(value))

    def __repr__(self) -> str:
        return self.name


def _whole(x: Tensor) -> Tensor:
    return x % 1 == 0


def _is_real(x: Tensor) -> Tensor:
    return x.isnan().logical_not()


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers from one bound to the other, both included.

    >>> dg.distributions.constraints.interval(0, 1).check(dg.tensor([1.0, 2.0]))
    tensor([ True, False])
    """
    name = f"interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(name, lambda x: (x >= lower_bound) & (x <= upper_bound))


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers from one bound, included, to the other, which is not.

    >>> dg.distributions.constraints.half_open_interval(0, 1).check(dg.tensor([0.0, 1.0]))
    tensor([ True, False])
    """
    name = f"half_open_interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(name, lambda x: (x >= lower_bound) & (x < upper_bound))


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers from one bound to the other, both included.

    >>> dg.distributions.constraints.integer_interval(0, 5).check(dg.tensor([5.0, 0.5]))
    tensor([ True, False])
    """
    name = f"integer_interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    inside = interval(lower_bound, upper_bound).check
    return Constraint(name, lambda x: inside(x) & _whole(x), is_discrete=True)


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above a bound.

    >>> dg.distributions.constraints.greater_than(1).check(dg.tensor([1.0, 2.0]))
    tensor([False,  True])
    """
    return Constraint(f"greater_than(lower_bound={lower_bound})", lambda x: x > lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers from a bound on.

    >>> dg.distributions.constraints.greater_than_eq(1).check(dg.tensor([1.0, 0.0]))
    tensor([ True, False])
    """
    return Constraint(f"greater_than_eq(lower_bound={lower_bound})", lambda x: x >= lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """Numbers below a bound.

    >>> dg.distributions.constraints.less_than(1).check(dg.tensor([1.0, 0.0]))
    tensor([False,  True])
    """
    return Constraint(f"less_than(upper_bound={upper_bound})", lambda x: x < upper_bound)


def multinomial(upper_bound: int) -> Constraint:
    """Vectors of whole numbers from 0 on that add up to a number.

    >>> dg.distributions.constraints.multinomial(3).check(dg.tensor([[1, 2], [1, 1]]))
    tensor([ True, False])
    """
    return Constraint(
        f"multinomial(upper_bound={upper_bound})",
        lambda x: ((x >= 0) & _whole(x)).all(-1) & (x.sum(-1) == upper_bound), 1, True,
    )  # fmt: skip


def independent(base_constraint: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """Events of further axes, all of whose parts are in a set.

    >>> constraints = dg.distributions.constraints
    >>> constraints.independent(constraints.positive, 1).check(dg.tensor([[1.0, 2.0], [1.0, -1.0]]))
    tensor([ True, False])
    """
    base, n = base_constraint, reinterpreted_batch_ndims

    def holds(x: Tensor) -> Tensor:
        found = base.check(x)
        return found.all(tuple(range(-n, 0))) if n else found

    return Constraint(f"independent({base}, {n})", holds, base.event_dim + n, base.is_discrete)


def _by_triangle(x: Tensor) -> Tensor:
    return (x.tril() == x).all((-2, -1))


def _cholesky(x: Tensor) -> Tensor:
    return _by_triangle(x) & (diagonal(x) > 0).all(-1)


def _mirrored(x: Tensor) -> Tensor:
    return (abs(x - x.transpose(-2, -1)) <= SLACK).all((-2, -1))


real = Constraint("real", _is_real)
boolean = Constraint("boolean", lambda x: (x == 0) | (x == 1), is_discrete=True)
positive = Constraint("positive", lambda x: x > 0)
nonnegative = Constraint("nonnegative", lambda x: x >= 0)
unit_interval = Constraint("unit_interval", interval(0, 1).check)
nonnegative_integer = Constraint(
    "nonnegative_integer", lambda x: (x >= 0) & _whole(x), is_discrete=True
)
positive_integer = Constraint("positive_integer", lambda x: (x > 0) & _whole(x), is_discrete=True)
real_vector = Constraint("real_vector", lambda x: _is_real(x).all(-1), 1)
simplex = Constraint("simplex", lambda x: (x >= 0).all(-1) & (abs(x.sum(-1) - 1) < SLACK), 1)
one_hot = Constraint("one_hot", lambda x: ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1), 1, True)
lower_triangular = Constraint("lower_triangular", _by_triangle, 2)
lower_cholesky = Constraint("lower_cholesky", _cholesky, 2)
corr_cholesky = Constraint(
    "corr_cholesky", lambda x: _cholesky(x) & (abs((x * x).sum(-1) - 1) <= 1e-4).all(-1), 2
)
symmetric = Constraint("symmetric", _mirrored, 2)
positive_definite = Constraint(
    "positive_definite", lambda x: _mirrored(x) & (eigvalsh(x) > 0).all(-1), 2
)
positive_semidefinite = Constraint(
    "positive_semidefinite", lambda x: _mirrored(x) & (eigvalsh(x) >= 0).all(-1), 2
)

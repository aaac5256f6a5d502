"""Distributions over angles: von Mises."""

from __future__ import annotations

import math
from typing import Any

from ..eager import Tensor, rand
from ..eager.functions import argmax, take_along_axis
from ..eager.operands import as_operand, astype
from ..ops.arithmetic import where
from ..special import i0e, i1e
from . import constraints
from .base import Distribution, Shape, demand, together

PROPOSALS = 36  # of an angle: each is taken with a probability above 0.65, so all are turned down once in 10**16 times


class VonMises(Distribution):
    """Angles in [-pi, pi) around `loc`, about normal with a variance of ``1 / concentration`` where that is small.

    >>> d = dg.distributions.VonMises(0.0, 4.0)
    >>> round(d.log_prob(dg.tensor(0.0)).item(), 4)
    -0.2628
    """

    _support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = together(loc, concentration)
        demand(validate_args, self, concentration=lambda: self.concentration > 0)
        super().__init__(self.loc.shape)

    def _draw(self, sample_shape: Shape) -> Tensor:
        """The first of several proposals that is accepted (Best and Fisher, 1979)."""
        k = astype(self.concentration, "float64")
        tau = 1 + (1 + 4 * k * k).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        r = where(k < 1e-4, 1 / k + k, (1 + rho * rho) / (2 * rho))
        u = rand((3, PROPOSALS, *self._shape(sample_shape)), dtype="float64", device=k.device)
        z = (math.pi * u[0]).cos()
        f = (1 + r * z) / (r + z)
        c = k * (r - f)
        taken = (c * (2 - c) > u[1]) | ((c / u[1].clamp(min=1e-300)).log() + 1 >= c)
        first = argmax(taken.to(dtype="int32"), axis=0, keepdims=True)
        turn = where(u[2] < 0.5, -1.0, 1.0) * f.clamp(-1, 1).acos()
        angle = take_along_axis(turn, first, axis=0)[0] + astype(self.loc, "float64")
        angle = (angle + math.pi) % (2 * math.pi) - math.pi
        return astype(angle, self.loc.dtype)

    def log_prob(self, value: Any) -> Tensor:
        k = self.concentration  # log(i0(k)) = k + log(i0e(k))
        return k * ((as_operand(value) - self.loc).cos() - 1) - (2 * math.pi * i0e(k)).log()

    def entropy(self) -> Tensor:
        k = self.concentration
        return (2 * math.pi * i0e(k)).log() + k * self.variance

    @property
    def mean(self) -> Tensor:
        """The direction in which the angles point together."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The likeliest angle."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """1 less the length of the mean of the points on the circle."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)

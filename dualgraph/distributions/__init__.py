"""Probability distributions under the names of ``torch.distributions``; draws come from the default generator."""

from .base import Distribution
from .continuous import (
    Cauchy,
    Chi2,
    Exponential,
    Gamma,
    Gumbel,
    HalfNormal,
    Laplace,
    LogNormal,
    Normal,
    Uniform,
)
from .counts import Binomial, Multinomial, NegativeBinomial, Poisson, poisson
from .discrete import Bernoulli, Categorical, Geometric, OneHotCategorical
from .kl import kl_divergence, register_kl
from .relatives import HalfCauchy, InverseGamma, MixtureSameFamily, Pareto, StudentT, Weibull
from .vectors import Beta, Dirichlet, Independent, MultivariateNormal

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "InverseGamma",
    "Laplace",
    "LogNormal",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "Pareto",
    "Poisson",
    "StudentT",
    "Uniform",
    "Weibull",
    "kl_divergence",
    "poisson",
    "register_kl",
]

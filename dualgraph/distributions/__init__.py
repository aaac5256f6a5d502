"""Probability distributions under the names of ``torch.distributions``; draws come from the default generator.

Its modules:

    base             what a distribution is; constraints (sets of values); kl (how far one is from another)
    numbers          continuous; circular (angles); relatives (made of simpler ones, and mixtures)
    whole numbers    discrete, counts
    vectors          Dirichlet, multivariate normal, axes taken as events
    mapped           transforms (what a map is), maps (those that compute), transformed (what is drawn and mapped)
"""

from . import constraints
from .base import Distribution
from .circular import VonMises
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
from .maps import (
    AbsTransform,
    AffineTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    LowerCholeskyTransform,
    PowerTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
)
from .relatives import HalfCauchy, InverseGamma, MixtureSameFamily, Pareto, StudentT, Weibull
from .transformed import (
    Kumaraswamy,
    LogisticNormal,
    OneHotCategoricalStraightThrough,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    TransformedDistribution,
)
from .transforms import (
    ComposeTransform,
    IndependentTransform,
    ReshapeTransform,
    Transform,
    identity_transform,
)
from .vectors import Beta, Dirichlet, Independent, MultivariateNormal

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy",
    "Chi2", "ComposeTransform", "CumulativeDistributionTransform", "Dirichlet", "Distribution",
    "ExpTransform", "Exponential", "Gamma", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal",
    "Independent", "IndependentTransform", "InverseGamma", "Kumaraswamy", "Laplace", "LogNormal",
    "LogisticNormal", "LowerCholeskyTransform", "MixtureSameFamily", "Multinomial",
    "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Pareto", "Poisson", "PowerTransform", "RelaxedBernoulli",
    "RelaxedOneHotCategorical", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform",
    "SoftplusTransform", "StickBreakingTransform", "StudentT", "TanhTransform", "Transform",
    "TransformedDistribution", "Uniform", "VonMises", "Weibull", "identity_transform", "kl_divergence",
    "constraints", "poisson", "register_kl",
]  # fmt: skip

"""Probability distributions under the names of ``torch.distributions``; draws come from the default generator.

Its modules:

    base             what a distribution is; constraints (sets of values); kl (how far one is from another)
    numbers          continuous; circular (angles); relatives (made of simpler ones, and mixtures)
    whole numbers    discrete, counts
    vectors          Dirichlet, multivariate normal, axes taken as events; matrices (Wishart, LKJ)
    mapped           transform (what a map is), maps (those that compute), transforms (all of them), transformed (what
                     is drawn and mapped)
"""

from . import constraints, transforms
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
from .matrices import LKJCholesky, Wishart
from .relatives import (
    FisherSnedecor,
    HalfCauchy,
    InverseGamma,
    MixtureSameFamily,
    Pareto,
    StudentT,
    Weibull,
)
from .transformed import (
    Kumaraswamy,
    LogisticNormal,
    OneHotCategoricalStraightThrough,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    TransformedDistribution,
)
from .transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from .vectors import Beta, Dirichlet, Independent, LowRankMultivariateNormal, MultivariateNormal

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Chi2",
    "ComposeTransform", "constraints", "CumulativeDistributionTransform", "Dirichlet", "Distribution",
    "Exponential", "ExpTransform", "FisherSnedecor", "Gamma", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal",
    "identity_transform", "Independent", "IndependentTransform", "InverseGamma", "kl_divergence", "Kumaraswamy",
    "Laplace", "LKJCholesky", "LogisticNormal", "LogNormal", "LowerCholeskyTransform", "LowRankMultivariateNormal",
    "MixtureSameFamily", "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Pareto", "poisson", "Poisson", "PowerTransform", "register_kl",
    "RelaxedBernoulli", "RelaxedOneHotCategorical", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform",
    "SoftplusTransform", "StickBreakingTransform", "StudentT", "TanhTransform", "Transform",
    "TransformedDistribution", "transforms", "Uniform", "VonMises", "Weibull", "Wishart",
]  # fmt: skip

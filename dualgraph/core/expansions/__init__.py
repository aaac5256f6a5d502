"""Expansions: the transcendental words of the scalar language, written in its primitive words.

Every function takes a handler ``s`` and values, is branch-free (selects only) except where it says
``s.rarely`` or ``s.loop``, and rounds the same way under every handler.
"""

from __future__ import annotations

from .common import two_sum
from .error_function import erf, erfc, erfinv
from .exp_log import exp, exp2, expm1, log, log1p, log2, log10, logaddexp, scale, sigmoid, softplus
from .gamma import digamma, lgamma, polygamma
from .hyperbolic import acosh, asinh, atanh, cosh, sinh, tanh
from .power import cbrt, hypot, int_pow, pow, rsqrt
from .remainder import floor_divide, fmod, remainder
from .single_rounding import dekker_product, fma
from .trig import acos, asin, atan, atan2, cos, sin, tan

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "dekker_product",
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor_divide",
    "fma",
    "fmod",
    "hypot",
    "int_pow",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "polygamma",
    "pow",
    "remainder",
    "rsqrt",
    "scale",
    "sigmoid",
    "sin",
    "sinh",
    "softplus",
    "tan",
    "tanh",
    "two_sum",
]

"""The op set: definitions only. What most new ops need is here: the decorators, and the dtype rules.

Its modules:

    elementwise   arithmetic, comparison, transcendental, special, bessel, neighbours
    movement      movement (reshape, slice, join, ...), lattice (steps through memory), transfer (between devices),
                  reinterpret (bits as another dtype, complex numbers as pairs)
    folds         reduce (in the `canonical` order), cumulative, pooling, window_sums, windows
    matrices      contraction (products, convolutions), linalg, determinants, lu, pseudoinverse
    places        indexing, searching, sorting
    others        creation, random, fourier
    composites    composites, incomplete_gamma, and those of neural networks in nn
    helpers       axes (as users name them), boxes (parts of wholes), algebra (identities, for simplification)
"""

from ..core.kinds import (
    chosen,
    elementwise,
    integral,
    logical,
    magnitude,
    numeric,
    opaque,
    ordered,
    real,
    real_float,
    reduction,
    to_bool,
    to_float,
)

__all__ = [
    "chosen",
    "elementwise",
    "integral",
    "logical",
    "magnitude",
    "numeric",
    "opaque",
    "ordered",
    "real",
    "real_float",
    "reduction",
    "to_bool",
    "to_float",
]

"""Linear algebra: the standard's ``linalg`` extension, and what PyTorch's module of that name adds to it.

Matrices are the last two axes; axes before them are stacks of matrices, of float32, float64 or complex
numbers. A singular or indefinite matrix is an error that names the op and the line that asked, in both modes.

>>> a = dg.tensor([[4.0, 2.0], [2.0, 3.0]])
>>> dg.allclose(a @ dg.linalg.solve(a, dg.tensor([1.0, 2.0])), dg.tensor([1.0, 2.0]))
True
"""

from ..core.errors import LinAlgError
from ..eager.functions import matmul, tensordot, vecdot
from ..eager.methods.products import outer
from ..eager.shapes import matrix_transpose
from .decompositions import cholesky, cholesky_ex, eig, eigh, eigvals, eigvalsh, qr, svd, svdvals
from .norms import (
    cond,
    cross,
    diagonal,
    matrix_exp,
    matrix_norm,
    matrix_power,
    multi_dot,
    norm,
    trace,
    vander,
    vector_norm,
)
from .solutions import (
    cholesky_inverse,
    cholesky_solve,
    det,
    inv,
    logdet,
    lstsq,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from .triangles import lu, lu_factor, lu_solve, lu_unpack

inverse, pinverse = inv, pinv  # PyTorch's names at its top level


__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cholesky_inverse", "cholesky_solve", "cond", "cross",
    "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "inverse", "logdet", "lstsq",
    "lu", "lu_factor", "lu_solve", "lu_unpack", "matmul", "matrix_exp", "matrix_norm",
    "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv",
    "pinverse", "qr", "slogdet", "solve", "solve_triangular", "svd", "svdvals", "tensordot",
    "tensorinv", "tensorsolve", "trace", "vander", "vecdot", "vector_norm",
]  # fmt: skip

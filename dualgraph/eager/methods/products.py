"""Products: matrices and vectors multiplied and summed, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from ...core.composite import together
from ...core.errors import ShapeError, describe
from ...ops.arithmetic import add, conj, multiply
from ...ops.axes import normalize_axis
from .. import functions as fn
from .. import shapes as sh
from ..attach import method, methods
from ..filling import eye
from ..operands import as_operand
from ..tensor import Tensor


def _needs(op: str, x: Any, y: Any, left: int, right: int) -> tuple[Tensor, Tensor]:
    """Both operands as tensors, which have so many axes."""
    x, y = as_operand(x), as_operand(y)
    if x.ndim != left or y.ndim != right:
        raise ShapeError(
            describe(
                op,
                f"{x.tensor_type}, {y.tensor_type}",
                f"needs operands of {left} and {right} axes",
                "use @ for other shapes",
            )
        )
    return x, y


@method
def matmul(x: Tensor, other: Any) -> Tensor:
    """Matrix product; 1-d operands are rows (left) or columns (right), leading axes broadcast."""
    return fn.matmul(x, other)


@method
def mm(x: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices.

    >>> dg.mm(dg.ones((2, 3)), dg.ones((3, 4))).shape
    (2, 4)
    """
    x, mat2 = _needs("mm", x, mat2, 2, 2)
    return fn.matmul(x, mat2)


@method
def bmm(x: Tensor, mat2: Tensor) -> Tensor:
    """Products of two stacks of matrices: (b, n, k) and (b, k, m) give (b, n, m).

    >>> dg.bmm(dg.ones((5, 2, 3)), dg.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    x, mat2 = _needs("bmm", x, mat2, 3, 3)
    if x.shape[0] != mat2.shape[0]:
        raise ShapeError(
            describe("bmm", f"{x.tensor_type}, {mat2.tensor_type}", "both need as many matrices")
        )
    return fn.matmul(x, mat2)


@method
@together
def mv(x: Tensor, vec: Tensor) -> Tensor:
    """Product of a matrix and a vector.

    >>> dg.mv(dg.asarray([[1.0, 2.0], [3.0, 4.0]]), dg.ones(2))
    tensor([3., 7.])
    """
    x, vec = _needs("mv", x, vec, 2, 1)
    return fn.matmul(x, vec)


@method
@together
def dot(x: Tensor, other: Tensor) -> Tensor:
    """Sum of the products of two vectors.

    >>> dg.dot(dg.asarray([1.0, 2.0]), dg.asarray([3.0, 4.0]))
    tensor(11.)
    """
    x, other = _needs("dot", x, other, 1, 1)
    return fn.matmul(x, other)


@method
@together
def vdot(x: Tensor, other: Tensor) -> Tensor:
    """`dot` with the first vector conjugated.

    >>> dg.vdot(dg.asarray([1.0, 2.0]), dg.asarray([3.0, 4.0]))
    tensor(11.)
    """
    x, other = _needs("vdot", x, other, 1, 1)
    return fn.matmul(conj(x), other)


@method
@together
def inner(x: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last axes of both.

    >>> dg.inner(dg.asarray([1.0, 2.0]), dg.asarray([3.0, 4.0]))
    tensor(11.)
    """
    other = as_operand(other)
    if not x.ndim or not other.ndim:
        return multiply(x, other)
    return fn.tensordot(x, other, axes=([-1], [-1]))


@method
@together
def outer(x: Tensor, vec2: Tensor) -> Tensor:
    """All products of the elements of two vectors: (n,) and (m,) give (n, m).

    >>> dg.outer(dg.asarray([1.0, 2.0]), dg.asarray([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    x, vec2 = _needs("outer", x, vec2, 1, 1)
    return multiply(sh.expand_dims(x, axis=1), vec2)


def _scaled(x: Tensor, factor: Any) -> Tensor:
    return x if factor == 1 else multiply(x, factor)


@method
@together
def addmm(x: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * x + alpha * (mat1 @ mat2)``.

    >>> dg.addmm(dg.ones(2), dg.ones((2, 3)), dg.ones((3, 2)), beta=2.0)
    tensor([[5., 5.],
            [5., 5.]])
    """
    mat1, mat2 = _needs("addmm", mat1, mat2, 2, 2)
    return _plus(x, fn.matmul(mat1, mat2), beta, alpha)


def _plus(x: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    return _scaled(product, alpha) if beta == 0 else add(_scaled(x, beta), _scaled(product, alpha))


@method
@together
def addmv(x: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * x + alpha * (mat @ vec)``.

    >>> dg.addmv(dg.ones(2), dg.ones((2, 3)), dg.ones(3))
    tensor([4., 4.])
    """
    mat, vec = _needs("addmv", mat, vec, 2, 1)
    return _plus(x, fn.matmul(mat, vec), beta, alpha)


@method
@together
def baddbmm(x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * x + alpha * (batch1 @ batch2)`` for stacks of matrices.

    >>> dg.baddbmm(dg.zeros((5, 2, 2)), dg.ones((5, 2, 3)), dg.ones((5, 3, 2))).shape
    (5, 2, 2)
    """
    return _plus(x, bmm(batch1, batch2), beta, alpha)


@method
def addbmm(x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * x`` plus the sum of ``alpha * (batch1 @ batch2)`` over the stacks.

    >>> dg.addbmm(dg.zeros((2, 2)), dg.ones((5, 2, 3)), dg.ones((5, 3, 2)))
    tensor([[15., 15.],
            [15., 15.]])
    """
    return _plus(x, fn.sum(bmm(batch1, batch2), axis=0), beta, alpha)


@method
@together
def addr(x: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * x + alpha * outer(vec1, vec2)``.

    >>> dg.addr(dg.zeros((2, 2)), dg.asarray([1.0, 2.0]), dg.asarray([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    return _plus(x, outer(vec1, vec2), beta, alpha)


@method
@together
def kron(x: Tensor, other: Tensor) -> Tensor:
    """Kronecker product.

    >>> dg.kron(dg.asarray([1, 2]), dg.asarray([1, 10]))
    tensor([ 1, 10,  2, 20])
    """
    other = as_operand(other)
    n = x.ndim if x.ndim > other.ndim else other.ndim
    a = sh.reshape(x, (1,) * (n - x.ndim) + x.shape)
    b = sh.reshape(other, (1,) * (n - other.ndim) + other.shape)
    left = sh.expand_dims(a, axis=tuple(range(1, 2 * n, 2)))
    right = sh.expand_dims(b, axis=tuple(range(0, 2 * n, 2)))
    return sh.reshape(
        multiply(left, right), tuple(p * q for p, q in zip(a.shape, b.shape, strict=True))
    )


@method
@together
def cross(x: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Vector product along an axis of length 3 (the first one by default).

    >>> dg.cross(dg.asarray([1.0, 0.0, 0.0]), dg.asarray([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x, other = sh.broadcast_arrays(x, other)
    if dim is None and 3 in x.shape:
        dim = x.shape.index(3)
    a = normalize_axis(-1 if dim is None else dim, x.ndim)
    if x.shape[a] != 3:
        raise ShapeError(
            describe(
                "cross",
                f"{x.tensor_type}, {other.tensor_type}",
                f"axis {a} has length {x.shape[a]}, not 3",
            )
        )
    turn, back = (lambda v: sh.roll(v, -1, axis=a)), (lambda v: sh.roll(v, 1, axis=a))
    return turn(x) * back(other) - back(x) * turn(other)


@method
def matrix_power(x: Tensor, n: int) -> Tensor:
    """A square matrix multiplied with itself `n` times (n >= 0; `dg.linalg.matrix_power` inverts, too).

    >>> dg.matrix_power(dg.asarray([[2.0, 0.0], [0.0, 3.0]]), 2)
    tensor([[4., 0.],
            [0., 9.]])
    """
    if n < 0:
        raise ShapeError(
            describe(
                "matrix_power",
                str(x.tensor_type),
                f"the power is {n}",
                "use dg.linalg.matrix_power",
            )
        )
    if n == 0:
        return sh.broadcast_to(eye(x.shape[-1], dtype=x.dtype, device=x.device), x.shape)
    out = None
    while n:
        out = x if n & 1 and out is None else fn.matmul(out, x) if n & 1 else out
        n >>= 1
        x = fn.matmul(x, x) if n else x
    return out


methods(ger=outer)

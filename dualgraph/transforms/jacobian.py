"""Jacobians and Hessians: all derivatives at once, as a vmap of pullbacks or of pushforwards."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..eager.creation import asarray
from ..eager.filling import eye
from ..eager.shapes import moveaxis, reshape
from ..eager.tensor import Tensor
from .grad import at_places, vjp
from .jvp import linearize
from .outline import Outline, outline
from .vmap import vmap

Argnums = int | Sequence[int]


def jacrev(
    fn: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `fn` by reverse mode: a row for each result element, all in one `vmap`.

    For a result of shape (R...) and an argument of shape (A...) its shape is (R..., A...); trees of
    results give trees of trees. Best where results are fewer than arguments. At most `chunk_size` rows are worked
    out at once.

    >>> import dualgraph as dg
    >>> dg.jacrev(lambda x: x * x)(dg.asarray([1., 2.])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    @functools.wraps(fn, updated=())
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        of_chosen, chosen = at_places("jacrev", fn, argnums, args, kwargs)
        out, pull, *aux = vjp(of_chosen, *chosen, has_aux=has_aux)
        outs, out_tree = outline(out)
        rows, in_tree = outline(vmap(pull, chunk_size=chunk_size)(out_tree.fill(_basis(outs))))
        parts = [_cut_rows(r, outs, first=True) for r in rows]
        blocks = [[p[i] for p in parts] for i in range(len(outs))]
        result = _arranged(blocks, out_tree, in_tree, argnums)
        return (result, aux[0]) if has_aux else result

    return jacobian_of


def jacfwd(
    fn: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The Jacobian of `fn` by forward mode: a column for each argument element, all in one `vmap`.

    Shapes as for `jacrev`. Best where arguments are fewer than results.

        >>> dg.jacfwd(lambda x: x**2)(dg.asarray([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """

    @functools.wraps(fn, updated=())
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        of_chosen, chosen = at_places("jacfwd", fn, argnums, args, kwargs)
        values, tree = outline(chosen)
        chosen = tree.fill(map(asarray, values))
        _, push, *aux = linearize(of_chosen, *chosen, has_aux=has_aux)
        primals, in_tree = outline(chosen)
        basis = _basis(primals)
        columns, out_tree = outline(vmap(push)(*in_tree.fill(basis)))
        blocks = [_cut_rows(c, primals, first=False) for c in columns]
        result = _arranged(blocks, out_tree, in_tree, argnums)
        return (result, aux[0]) if has_aux else result

    return jacobian_of


jacobian = jacrev


def hessian(
    fn: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """All second derivatives of `fn`: forward mode over reverse mode. With `has_aux`, `fn` gives ``(value, aux)``.

    >>> import dualgraph as dg
    >>> dg.hessian(lambda x: (x**3).sum())(dg.asarray([1., 2.])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacfwd(jacrev(fn, argnums, has_aux), argnums, has_aux)


def _basis(leaves: Sequence[Tensor]) -> list[Tensor]:
    """Rows, (total, *shape) for each leaf, that together are the identity over all elements of all leaves."""
    sizes = [x._data.size for x in leaves]
    out, start = [], 0
    for x, n in zip(leaves, sizes, strict=True):
        out.append(
            reshape(
                eye(sum(sizes), n, k=-start, dtype=x.dtype, device=x.device), (sum(sizes), *x.shape)
            )
        )
        start += n
    return out


def _cut_rows(rows: Tensor, leaves: Sequence[Tensor], first: bool) -> list[Tensor]:
    """The rows (axis 0) of each leaf under its shape, with that shape in front or behind."""
    out, start = [], 0
    for x in leaves:
        part = rows[start : start + x._data.size]  # type: ignore[index]
        start += x._data.size
        part = part if first else moveaxis(part, 0, -1)
        out.append(
            reshape(part, (*x.shape, *rows.shape[1:]) if first else (*rows.shape[1:], *x.shape))
        )
    return out


def _arranged(
    blocks: list[list[Tensor]], out_tree: Outline, in_tree: Outline, argnums: Argnums
) -> Any:
    """Blocks, one an (out leaf, in leaf), as a tree of results of trees of arguments."""
    per_out = [in_tree.fill(row) for row in blocks]
    return out_tree.fill([args[0] if isinstance(argnums, int) else args for args in per_out])

"""Derivatives of functions in PyTorch's form: Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..eager.autograd import grad
from ..eager.creation import ones_like, zeros_like
from ..eager.grad_modes import enable_grad
from ..eager.shapes import reshape, stack
from ..eager.tensor import Tensor
from ..ops.movement import slice_

Func = Callable[..., Any]
Tensors = Tensor | Sequence[Tensor]


def _given(inputs: Tensors, create_graph: bool) -> tuple[list[Tensor], bool]:
    """Inputs that require gradients, off the tape unless `create_graph`; and whether there is one alone."""
    alone = isinstance(inputs, Tensor)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if create_graph:
        return [x if x.requires_grad else x.detach().requires_grad_() for x in xs], alone  # type: ignore[attr-defined]
    return [x.detach().requires_grad_() for x in xs], alone  # type: ignore[attr-defined]


def _run(func: Func, xs: list[Tensor]) -> tuple[list[Tensor], bool]:
    with enable_grad():
        out = func(*xs)
    return ([out], True) if isinstance(out, Tensor) else (list(out), False)


def _packed(values: Sequence[Any], alone: bool) -> Any:
    return values[0] if alone else tuple(values)


def _plain(values: Sequence[Any], create_graph: bool) -> list[Any]:
    return list(values) if create_graph else [v.detach() for v in values]


def _by(out: Tensor, xs: list[Tensor], ct: Tensor | None, create_graph: bool) -> tuple[Any, ...]:
    """Gradients of `out` by each input, zeros where it does not depend on it."""
    if not out.requires_grad:
        return tuple(zeros_like(x) for x in xs)
    return grad(out, xs, ct, retain_graph=True, create_graph=create_graph, materialize_grads=True)


def jacobian(
    func: Func,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """Derivatives of each element of the outputs by each element of the inputs: shape ``out + in``.

    One tensor for one output and input, tuples for several.

    >>> import dualgraph as dg
    >>> dg.autograd.functional.jacobian(lambda x: x**2, dg.tensor([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    xs, alone = _given(inputs, create_graph)
    outs, alone_out = _run(func, xs)
    rows = []
    for out in outs:
        flat = reshape(out, (-1,))
        parts = [
            _by(slice_(flat, starts=(k,), stops=(k + 1,), steps=(1,)), xs, None, create_graph)
            for k in range(flat.shape[0])
        ]
        found = [
            reshape(stack(column, axis=0), (*out.shape, *x.shape))
            if parts
            else zeros_like(x).expand(*out.shape, *x.shape)  # type: ignore[attr-defined]
            for x, column in zip(xs, zip(*parts, strict=True) if parts else xs, strict=True)
        ]
        rows.append(_packed(_plain(found, create_graph), alone))
    return _packed(rows, alone_out)


def hessian(
    func: Func,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """Second derivatives of a function of one element, by each pair of inputs.

    >>> import dualgraph as dg
    >>> dg.autograd.functional.hessian(lambda x: (x**3).sum(), dg.tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    alone = isinstance(inputs, Tensor)

    def gradients(*xs: Tensor) -> tuple[Any, ...]:
        (out,), _ = _run(func, list(xs))
        return _by(out, list(xs), None, True)

    found = jacobian(gradients, inputs, create_graph)
    return found[0] if alone else found


def vjp(
    func: Func,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs, and ``v @ jacobian`` for each input (`v` of ones by default for one element)."""
    xs, alone = _given(inputs, create_graph)
    outs, alone_out = _run(func, xs)
    seeds = [None] * len(outs) if v is None else [v] if isinstance(v, Tensor) else list(v)
    given = grad(outs, xs, seeds, create_graph=create_graph, materialize_grads=True)
    return (
        _packed(_plain(outs, create_graph), alone_out),
        _packed(_plain(given, create_graph), alone),
    )


def jvp(
    func: Func,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs, and ``jacobian @ v`` for each output: the gradient of `vjp` by its vector."""
    xs, _ = _given(inputs, create_graph)
    outs, alone_out = _run(func, xs)
    along = [ones_like(x) for x in xs] if v is None else [v] if isinstance(v, Tensor) else list(v)
    with enable_grad():
        seeds = [zeros_like(out).requires_grad_() for out in outs]  # type: ignore[attr-defined]
        back = grad(outs, xs, seeds, create_graph=True, materialize_grads=True)
        tracked = [(b, t) for b, t in zip(back, along, strict=True) if b.requires_grad]  # type: ignore[union-attr]
        found = grad(
            [b for b, _ in tracked], seeds, [t for _, t in tracked],
            create_graph=create_graph, materialize_grads=True,
        ) if tracked else [zeros_like(out) for out in outs]  # fmt: skip
    return (
        _packed(_plain(outs, create_graph), alone_out),
        _packed(_plain(found, create_graph), alone_out),
    )


def vhp(
    func: Func,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The output of a function of one element, and ``v @ hessian`` for each input."""
    xs, alone = _given(inputs, create_graph)
    (out,), _ = _run(func, xs)
    along = [ones_like(x) for x in xs] if v is None else [v] if isinstance(v, Tensor) else list(v)
    first = _by(out, xs, None, True)
    pairs = [(g, t) for g, t in zip(first, along, strict=True) if g.requires_grad]
    second: Sequence[Any] = [zeros_like(x) for x in xs]
    if pairs:
        second = grad(
            [g for g, _ in pairs], xs, [t for _, t in pairs],
            create_graph=create_graph, materialize_grads=True,
        )  # fmt: skip
    return _plain([out], create_graph)[0], _packed(_plain(second, create_graph), alone)


def hvp(
    func: Func,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The output, and ``hessian @ v``: the same as `vhp`, since Hessians are symmetric."""
    return vhp(func, inputs, v, create_graph, strict)

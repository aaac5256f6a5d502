"""Derivatives of functions in PyTorch's form: Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.errors import ArgumentError, AutogradError, describe
from ..eager.autograd import grad
from ..eager.filling import ones_like, zeros_like
from ..eager.grad_modes import enable_grad
from ..eager.shapes import reshape, stack
from ..eager.tensor import Tensor
from ..ops.movement import slice_

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

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


def _by(
    outs: Sequence[Tensor], xs: Sequence[Tensor], seeds: Sequence[Any] | None, create_graph: bool, strict: bool
) -> tuple[Any, ...]:  # fmt: skip
    """Gradients of `outs`, weighed by `seeds`, for each input: zeros (AutogradError if `strict`) where none
    depends on it."""
    seeds = [None] * len(outs) if seeds is None else seeds
    pairs = [(out, seed) for out, seed in zip(outs, seeds, strict=True) if out.requires_grad]
    found: Sequence[Any] = [None] * len(xs)
    if pairs:
        found = grad(
            [out for out, _ in pairs], xs, [seed for _, seed in pairs],
            retain_graph=True, create_graph=create_graph, allow_unused=True,
        )  # fmt: skip
    if strict and any(g is None for g in found):
        lone = next(i for i, g in enumerate(found) if g is None)
        raise AutogradError(
            describe(
                "autograd.functional", f"input {lone}", "no output depends on it",
                "strict=False takes the derivative for zero",
            )
        )  # fmt: skip
    return tuple(zeros_like(x) if g is None else g for x, g in zip(xs, found, strict=True))


def _vectors(v: Any, like: Sequence[Tensor]) -> list[Any]:
    """The vectors of a product, ones by default where there is one element to each."""
    if v is not None:
        given = [v] if isinstance(v, Tensor) else list(v)
        if len(given) != len(like):
            raise ArgumentError(
                describe(
                    "autograd.functional", f"{len(given)} vectors", f"there are {len(like)} tensors"
                )
            )
        return given
    if any(x.numel() != 1 for x in like):  # type: ignore[attr-defined]
        shapes = ", ".join(str(x.shape) for x in like)
        raise ArgumentError(
            describe("autograd.functional", shapes, "v may be left out only beside one element")
        )
    return [ones_like(x) for x in like]


def jacobian(
    func: Func,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Derivatives of each element of the outputs by each element of the inputs: shape ``out + in``.

    One tensor for one output and input, tuples for several. `vectorize` and `strategy` ("reverse-mode" or
    "forward-mode") are PyTorch's and change no value.

    >>> import dualgraph as dg
    >>> dg.autograd.functional.jacobian(lambda x: x**2, dg.tensor([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        problem = "it is 'reverse-mode' or 'forward-mode'"
        raise ArgumentError(describe("jacobian", f"strategy={strategy!r}", problem))
    xs, alone = _given(inputs, create_graph)
    outs, alone_out = _run(func, xs)
    rows = []
    for out in outs:
        flat = reshape(out, (-1,))
        parts = [
            _by(
                [slice_(flat, starts=(k,), stops=(k + 1,), steps=(1,))],
                xs,
                None,
                create_graph,
                strict,
            )
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
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Second derivatives of a function of one element, by each pair of inputs.

    >>> import dualgraph as dg
    >>> dg.autograd.functional.hessian(lambda x: (x**3).sum(), dg.tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    alone = isinstance(inputs, Tensor)

    def gradients(*xs: Tensor) -> tuple[Any, ...]:
        (out,), _ = _run(func, list(xs))
        return _by([out], list(xs), None, True, strict)

    found = jacobian(gradients, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found[0] if alone else found


def vjp(
    func: Func,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs, and ``v @ jacobian`` for each input (`v` of ones by default for one element).

    >>> dg.autograd.functional.vjp(lambda x: x**2, dg.asarray([1.0, 2.0]), dg.ones(2))[1]
    tensor([2., 4.])
    """
    xs, alone = _given(inputs, create_graph)
    outs, alone_out = _run(func, xs)
    given = _by(outs, xs, _vectors(v, outs), create_graph, strict)
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
    """The outputs, and ``jacobian @ v`` for each output: the gradient of `vjp` by its vector.

    >>> dg.autograd.functional.jvp(lambda x: x**2, dg.asarray([1.0, 2.0]), dg.ones(2))[1]
    tensor([2., 4.])
    """
    xs, _ = _given(inputs, create_graph)
    along = _vectors(v, xs)
    outs, alone_out = _run(func, xs)
    with enable_grad():
        seeds = [zeros_like(out).requires_grad_() for out in outs]  # type: ignore[attr-defined]
        back = _by(outs, xs, seeds, True, strict)
        found = _by(back, seeds, along, create_graph, False)
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
    """The output of a function of one element, and ``v @ hessian`` for each input.

    >>> dg.autograd.functional.vhp(lambda x: (x**3).sum(), dg.asarray([1.0, 2.0]), dg.ones(2))[1]
    tensor([ 6., 12.])
    """
    xs, alone = _given(inputs, create_graph)
    along = _vectors(v, xs)
    (out,), _ = _run(func, xs)
    first = _by([out], xs, None, True, strict)
    second = _by(first, xs, along, create_graph, strict)
    return _plain([out], create_graph)[0], _packed(_plain(second, create_graph), alone)


def hvp(
    func: Func,
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The output, and ``hessian @ v``: the same as `vhp`, since Hessians are symmetric.

    >>> dg.autograd.functional.hvp(lambda x: (x**3).sum(), dg.asarray([1.0, 2.0]), dg.ones(2))[1]
    tensor([ 6., 12.])
    """
    return vhp(func, inputs, v, create_graph, strict)

"""Checks of derivatives: what backward gives against finite differences, in PyTorch's form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.errors import AutogradError, describe
from ..eager.autograd import grad
from ..eager.creation import asarray
from ..eager.grad_modes import no_grad
from ..eager.tensor import Tensor

Inputs = Tensor | Sequence[Any]


def gradcheck(
    func: Callable[..., Any],
    inputs: Inputs,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **_ignored: Any,
) -> bool:
    """Whether the gradients of `func` are those of central differences of step `eps`.

    `inputs` that require gradients should be float64; `func` gives a tensor or several. Raises
    AutogradError where they differ, or gives False without `raise_exception`.

    >>> import dualgraph as dg
    >>> x = dg.tensor([0.3, 1.2], dtype=dg.float64, requires_grad=True)
    >>> dg.autograd.gradcheck(lambda v: v.sin() * v, x)
    True
    """
    args = _inputs(inputs)
    variables = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if not variables:
        raise AutogradError(describe("gradcheck", "", "no input requires gradients"))
    for i in variables:
        measured = _measured(func, args, i, eps)
        for k, (out, wanted) in enumerate(zip(_outputs(func(*args)), measured, strict=True)):
            given = _jacobian(out, args[i])
            if not np.allclose(given, wanted, rtol=rtol, atol=atol, equal_nan=True):
                if not raise_exception:
                    return False
                far = float(np.max(np.abs(given - wanted)))
                problem = f"output {k} by input {i} is off finite differences by {far:.3g}"
                remedy = "" if args[i].dtype.name == "float64" else "check in float64"
                raise AutogradError(
                    describe("gradcheck", str(args[i].tensor_type), problem, remedy)
                )
    return True


def gradgradcheck(
    func: Callable[..., Any], inputs: Inputs, grad_outputs: Any = None, **settings: Any
) -> bool:
    """`gradcheck` of the gradients of `func`, for fixed (or given) gradients of its outputs.

    >>> x = dg.tensor([0.5], dtype=dg.float64, requires_grad=True)
    >>> dg.autograd.gradgradcheck(lambda x: x**3, (x,))
    True
    """
    args = _inputs(inputs)
    variables = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        grad_outputs = [
            asarray(rng.standard_normal(out.shape).astype(out.dtype.numpy))
            for out in _outputs(func(*args))
        ]
    seeds = _inputs(grad_outputs)

    def gradients(*values: Any) -> tuple[Any, ...]:
        outs = _outputs(func(*values))
        wanted = [values[i] for i in variables]
        return grad(outs, wanted, seeds, create_graph=True, materialize_grads=True)

    return gradcheck(gradients, args, **settings)


def _inputs(inputs: Any) -> list[Any]:
    return [inputs] if isinstance(inputs, Tensor) else list(inputs)


def _outputs(out: Any) -> list[Tensor]:
    return [t for t in _inputs(out) if t.dtype.is_inexact]


def _jacobian(out: Tensor, x: Tensor) -> np.ndarray[Any, Any]:
    """Derivatives of each element of `out` (rows) by each of `x`."""
    rows = np.zeros((out.numel(), x.numel()), dtype="float64")  # type: ignore[attr-defined]
    if not out.requires_grad:
        return rows
    for k, seed in enumerate(np.eye(len(rows), dtype=out.dtype.numpy)):
        ct = asarray(seed.reshape(out.shape))
        (g,) = grad(out, x, ct, retain_graph=True, allow_unused=True)
        if g is not None:
            rows[k] = g.detach().numpy().reshape(-1)  # type: ignore[attr-defined]
    return rows


def _measured(
    func: Callable[..., Any], args: list[Any], place: int, eps: float
) -> list[np.ndarray[Any, Any]]:
    """The same derivatives by central differences, one matrix an output."""
    x = args[place]
    at = np.array(x.detach().numpy())
    columns = []
    for k in range(at.size):
        ends = []
        for step in (eps, -eps):
            moved = at.copy()
            moved.reshape(-1)[k] += step
            # Still an input with gradients: func may ask for them itself.
            value = asarray(moved).requires_grad_()  # type: ignore[attr-defined]
            outs = _outputs(func(*args[:place], value, *args[place + 1 :]))
            with no_grad():
                ends.append([np.asarray(out.detach(), dtype="float64") for out in outs])  # type: ignore[attr-defined]
        columns.append(
            [(up - down).reshape(-1) / (2 * eps) for up, down in zip(*ends, strict=True)]
        )
    return [np.stack(column, axis=1) for column in zip(*columns, strict=True)]

"""`grad` in PyTorch's form: the tape's own, and that of many weights at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.errors import ArgumentError, describe
from ..eager import autograd
from ..eager.autograd import GradientEdge
from ..eager.tensor import Tensor
from ..transforms import vmap


def grad(
    outputs: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    inputs: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of `outputs` for each of `inputs`; nothing is accumulated.

    Raises AutogradError for an input that the outputs do not depend on, unless `allow_unused` (None in its place)
    or `materialize_grads` (zeros). With `is_grads_batched` the first axis of each of `grad_outputs` counts weights,
    and that of each gradient does, too: rows of a Jacobian in one sweep. `only_inputs` is true, as in PyTorch.

    >>> x = dg.tensor([3.0, 4.0], requires_grad=True)
    >>> dg.autograd.grad(x * x, x, dg.eye(2), is_grads_batched=True)[0].tolist()
    [[6.0, 0.0], [0.0, 8.0]]
    """
    if not only_inputs:
        problem = "gradients of other tensors than the inputs are not accumulated"
        raise ArgumentError(describe("grad", "only_inputs=False", problem, "call backward()"))

    def swept(weights: Any) -> tuple[Tensor | None, ...]:
        return autograd.grad(
            outputs, inputs, weights, retain_graph, create_graph, bool(allow_unused), materialize_grads
        )  # fmt: skip

    if not is_grads_batched:
        return swept(grad_outputs)
    if grad_outputs is None:
        problem = "is_grads_batched=True takes the weights of the outputs"
        raise ArgumentError(describe("grad", "", problem, "pass grad_outputs="))
    weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    axes = ([None if w is None else 0 for w in weights],)
    return vmap(swept, axes)(weights)  # type: ignore[no-any-return]

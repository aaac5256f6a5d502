"""History: a tensor's part in differentiation - backward, hooks, leaving the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.context import state, unchecked
from ...core.errors import AutogradError, describe
from ...core.hooks import AFTER, HookHandle, hang
from ...core.node import TapeNode, resolved
from .. import autograd
from ..attach import method, methods
from ..tensor import Tensor


@method
def backward(
    x: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Sums the gradients of x (weighed by `gradient`) into the ``.grad`` of the leaves it depends on."""
    autograd.backward(x, gradient, retain_graph, create_graph, inputs)


def _set(x: Tensor, entry: TapeNode, place: int, hook: Any) -> HookHandle:
    """Adds a hook of x to its entry of the tape."""
    tracer = state.tracer
    return hang(
        entry, place, hook, tracer is not None and tracer.knows(x) and not tracer.is_root(x)
    )


@method
def register_hook(x: Tensor, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
    """Calls ``hook(gradient)`` when the gradient of x is known; a tensor it returns takes its place."""
    edge = x._edge()
    if edge is None:
        raise AutogradError(
            describe(
                "register_hook",
                str(x.tensor_type),
                "a tensor that requires no gradient has none to hook",
                "call .requires_grad_() first",
            )
        )
    node, index = resolved(edge)

    def own(gradient: Tensor) -> Tensor | None:
        changed = hook(gradient)
        if changed is None or (
            isinstance(changed, Tensor)
            and (changed.shape, changed.dtype) == (gradient.shape, gradient.dtype)
        ):
            return changed
        got = changed.tensor_type if isinstance(changed, Tensor) else type(changed).__name__
        problem = f"a hook gave {got} in place of this gradient"
        raise AutogradError(describe("register_hook", str(gradient.tensor_type), problem))

    return _set(x, node, index, own)


@method
def register_post_accumulate_grad_hook(x: Tensor, hook: Callable[[Tensor], None]) -> HookHandle:
    """Calls ``hook(x)`` when a `backward` has added to the ``.grad`` of x, a leaf that requires gradients.

    The hooks of all leaves are called at the end, when the gradients of all are there.

        >>> x = dg.ones(2, requires_grad=True)
        >>> handle = x.register_post_accumulate_grad_hook(lambda x: print(x.grad.tolist()))
        >>> (3 * x).sum().backward()
        [3.0, 3.0]
    """
    edge = x._edge()
    if edge is None or not x.is_leaf:
        raise AutogradError(
            describe(
                "register_post_accumulate_grad_hook",
                str(x.tensor_type),
                "only leaves that require gradients have them added up",
                "use .register_hook() for results of ops",
            )
        )
    return _set(x, edge[0], AFTER, hook)


@method
def retain_grad(x: Tensor) -> None:
    """Keeps the gradient of a tensor that is no leaf in ``.grad``, too."""
    if x.is_leaf or x.retains_grad:  # type: ignore[attr-defined]
        return

    def keep(gradient: Tensor) -> None:
        x._set_grad(gradient)

    register_hook(x, keep)._hook.keeps = id(x)


def _retains_grad(x: Tensor) -> bool:
    unchecked("it asks whether a tensor keeps its gradient", x)
    hooks = [] if x.is_leaf or x._node is None else (x._node.hooks or {}).get(x._index, [])
    return any(getattr(hook, "keeps", None) == id(x) for hook in hooks)


def _output_nr(x: Tensor) -> int:
    return x._index if x.requires_grad else 0


methods(
    output_nr=property(_output_nr, doc="Which result of its `grad_fn` this is."),
    retains_grad=property(_retains_grad, doc="Whether `retain_grad` was asked for."),
)


@method
def detach_(x: Tensor) -> Tensor:
    """Takes x itself off the tape."""
    if x._parent is not None:
        raise AutogradError(
            describe(
                "detach_", str(x.tensor_type), "a view cannot be detached in place", "use .detach()"
            )
        )
    if state.tracer is not None and x.requires_grad:
        if state.tracer.is_root(x):
            state.tracer.escape(x, "detach_")
        state.tracer.assign(x, x.detach())
    x._node, x._index, x._requires_grad = None, 0, False
    return x

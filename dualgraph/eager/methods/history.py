"""History: a tensor's part in differentiation - backward, hooks, leaving the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.context import state
from ...core.errors import AutogradError, describe
from ...core.node import AFTER, resolved
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


class HookHandle:
    """What `register_hook` gives: ``remove()`` takes the hook away again."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks = hooks
        self._hook = hook

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        if state.tracer is not None:
            state.tracer.before_hook(self._hooks)
        self._hooks[:] = [h for h in self._hooks if h is not self._hook]


def _set(x: Tensor, hooks: list[Any], hook: Any) -> HookHandle:
    """Adds a hook to those of x."""
    if state.tracer is not None:
        state.tracer.before_hook(hooks, x)
    hooks.append(hook)
    return HookHandle(hooks, hook)


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
    if node.hooks is None:
        node.hooks = {}
    hooks = node.hooks.setdefault(index, [])

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

    return _set(x, hooks, own)


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
    node, _ = edge
    node.hooks = {} if node.hooks is None else node.hooks
    hooks = node.hooks.setdefault(AFTER, [])
    return _set(x, hooks, hook)


@method
def retain_grad(x: Tensor) -> None:
    """Keeps the gradient of a tensor that is no leaf in ``.grad``, too."""
    if x.is_leaf or x.retains_grad:  # type: ignore[attr-defined]
        return

    def keep(gradient: Tensor) -> None:
        x._set_grad(gradient)

    register_hook(x, keep)._hook.keeps = id(x)


def _retains_grad(x: Tensor) -> bool:
    hooks = [] if x.is_leaf or x._node is None else (x._node.hooks or {}).get(x._index, [])
    return any(getattr(hook, "keeps", None) == id(x) for hook in hooks)


methods(retains_grad=property(_retains_grad, doc="Whether `retain_grad` was asked for."))


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

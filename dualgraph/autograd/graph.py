"""PyTorch's ``autograd.graph``: entries of the tape, hooks on what it saves and on the gradients of several tensors.

What made a tensor is ``x.grad_fn``, a `Node`; ``node.next_functions`` leads on to what made its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.context import state
from ..core.errors import ArgumentError, AutogradError, describe
from ..core.node import TapeNode as Node
from ..eager import Tensor, packing
from ..eager.autograd import GradientEdge


class saved_tensors_hooks:
    """Context: what ops save for their gradients goes through `pack_hook`, and back through `unpack_hook` when read.

    ``pack_hook(tensor)`` gives anything; ``unpack_hook`` of that gives a tensor of the same type. Inside, every op
    runs by itself (calls are slower), compiled functions run eagerly; what runs inside of a `vmap` or a loop op is not
    packed.
    Raises AutogradError where unpacking gives another type, inside of a `vmap`, and under
    `disable_saved_tensors_hooks`.

    >>> import dualgraph as dg
    >>> x = dg.tensor([1.0, 2.0], requires_grad=True)
    >>> with dg.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), dg.tensor):
    ...     y = (x * x).sum()
    >>> y.backward(); x.grad
    tensor([2., 4.])
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook
        self._before: list[Any] = []

    def __enter__(self) -> None:
        if disable_saved_tensors_hooks.messages:
            raise AutogradError(disable_saved_tensors_hooks.messages[-1])
        self._before.append(packing.start(self.pack_hook, self.unpack_hook))

    def __exit__(self, *exc: object) -> None:
        packing.stop(self._before.pop())


class save_on_cpu(saved_tensors_hooks):
    """Context: what ops save for their gradients waits in the memory of the host (`pin_memory` is accepted).

    >>> import dualgraph as dg
    >>> x = dg.tensor([1.0, 2.0], requires_grad=True)
    >>> with dg.autograd.graph.save_on_cpu():
    ...     y = (x * x).sum()
    >>> y.backward(); x.grad
    tensor([2., 4.])
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: (t.device, t.cpu()), lambda kept: kept[1].to(kept[0]))


class allow_mutation_on_saved_tensors(saved_tensors_hooks):
    """Context: what ops save for their gradients is copied, so that it may be written in place before a sweep.

    >>> import dualgraph as dg
    >>> x = dg.tensor([1.0, 2.0], requires_grad=True)
    >>> with dg.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = x.clone()
    ...     z = (y * y).sum()
    ...     y.zero_().sum().item()
    0.0
    >>> z.backward(); x.grad
    tensor([2., 4.])
    """

    def __init__(self) -> None:
        super().__init__(lambda t: t.detach().clone(), lambda kept: kept)


class disable_saved_tensors_hooks:
    """Context: `saved_tensors_hooks` raises AutogradError with `error_message`.

    >>> import dualgraph as dg
    >>> with dg.autograd.graph.disable_saved_tensors_hooks("not here"):
    ...     pass
    """

    messages: list[str] = []  # noqa: RUF012 (one list for the process, as the switch is)

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        self.messages.append(self.error_message)

    def __exit__(self, *exc: object) -> None:
        self.messages.pop()


class MultiHandle:
    """What `register_multi_grad_hook` gives: ``remove()`` takes the hooks away again.

    >>> x, y = dg.ones(1, requires_grad=True), dg.ones(1, requires_grad=True)
    >>> handle = dg.autograd.graph.register_multi_grad_hook((x, y), lambda grads: print(len(grads)))
    >>> (x + y).sum().backward()
    2
    >>> handle.remove()
    """

    def __init__(self, handles: Sequence[Any]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Takes the hooks away; a second call does nothing."""
        for handle in self._handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all"
) -> MultiHandle:
    """Calls `fn` once in each backward that reaches any of `tensors`.

    With mode "all": ``fn(gradients)`` at the end of the sweep, with None for a tensor that it did not reach. With
    "any": ``fn(gradient)`` with the first gradient that is known. Results of `fn` are not used.

    >>> import dualgraph as dg
    >>> a, b = dg.tensor(2.0, requires_grad=True), dg.tensor(3.0, requires_grad=True)
    >>> handle = dg.autograd.graph.register_multi_grad_hook((a, b), lambda grads: print([g.item() for g in grads]))
    >>> (a * b).backward()
    [3.0, 2.0]
    """
    if mode not in ("all", "any"):
        raise ArgumentError(
            describe("register_multi_grad_hook", "", f"mode is 'all' or 'any', not {mode!r}")
        )
    running: list[Any] = [
        None,
        [],
    ]  # the ends of the sweep that was seen last, and what it has given so far

    def see(i: int, gradient: Tensor) -> None:
        ends = state.sweep_ends
        assert ends is not None  # hooks are called by sweeps
        first = running[0] is not ends
        if first:
            running[:] = [ends, [None] * len(tensors)]
        running[1][i] = gradient
        if first and mode == "any":
            fn(gradient)
        if first:
            ends.append(finish)

    def finish() -> None:
        given, running[:] = running[1], [None, []]
        if mode == "all":
            fn(given)

    hooks = [t.register_hook(lambda gradient, i=i: see(i, gradient)) for i, t in enumerate(tensors)]
    return MultiHandle(hooks)


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place of `tensor` on the tape, which `grad` and `backward` take for the tensor itself.

    It keeps the tape, and not the values of the tensor. Raises AutogradError where the tensor requires no gradient.

    >>> import dualgraph as dg
    >>> x = dg.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> edge = dg.autograd.graph.get_gradient_edge(y)
    >>> dg.autograd.grad(y * 5, edge)
    (tensor(5.),)
    """
    edge = tensor._edge()
    if edge is None:
        problem, remedy = "this tensor requires no gradient", "call .requires_grad_() on it first"
        raise AutogradError(describe("get_gradient_edge", str(tensor.tensor_type), problem, remedy))
    return GradientEdge(*edge)


__all__ = [
    "GradientEdge",
    "MultiHandle",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]

"""Backward hooks: functions that see, and may replace, the gradients of a module's inputs and results.

The module's inputs and its results each pass through a gate: the identity, put on the tape as one
entry, whose backward calls the hooks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from ..eager.custom import Function
from .forward_hooks import HookTable

Gradients = tuple[Any, ...]


class Gate(Function):
    """The identity on tensors; ``see(gradients)`` is called in backward and gives what goes on."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Any:
        ctx.see, *tensors = given
        return tuple(tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, *ctx.see(gradients)


def _through_gate(values: Gradients, see: Callable[[Gradients], Gradients]) -> Gradients:
    """`values` with those that require gradients behind one gate; `see` gets None for the others."""
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not places:
        return values

    def see_all(gradients: Gradients) -> Gradients:
        spread: list[Any] = [None] * len(values)
        for i, g in zip(places, gradients, strict=True):
            spread[i] = g
        seen = see(tuple(spread))
        return tuple(seen[i] for i in places)

    out = list(values)
    for i, v in zip(places, Gate.apply(see_all, *(values[i] for i in places)), strict=True):
        out[i] = v
    return tuple(out)


def _replaced(gradients: Gradients, by: Any) -> Gradients:
    if by is None:
        return gradients
    by = by if isinstance(by, tuple) else (by,)
    if len(by) != len(gradients):
        raise ArgumentError(
            f"a backward hook gave {len(by)} gradients in place of {len(gradients)}"
        )
    return by


class BackwardHooks:
    """What the hooks of one call of a module share: the gradients of its results, once they are known."""

    def __init__(self, module: Any, pre_hooks: HookTable, hooks: HookTable) -> None:
        self.module = module
        self.pre_hooks = pre_hooks
        self.hooks = hooks
        self.of_results: Gradients = ()
        self.inputs = 0
        self.gated = False

    def enter(self, args: Gradients) -> Gradients:
        """The arguments, gated."""
        out = _through_gate(args, self._see_inputs)
        self.inputs, self.gated = len(args), any(a is not b for a, b in zip(args, out, strict=True))
        return out

    def leave(self, result: Any) -> Any:
        """The result (a tensor, or a tuple or list of some), gated."""
        if not isinstance(result, (tuple, list)):
            return _through_gate((result,), self._see_results)[0]
        out = _through_gate(tuple(result), self._see_results)
        return type(result)(*out) if hasattr(result, "_fields") else type(result)(out)

    def _see_results(self, gradients: Gradients) -> Gradients:
        for hook, _ in list(self.pre_hooks.values()):
            gradients = _replaced(gradients, hook(self.module, gradients))
        self.of_results = gradients
        if not self.gated:  # no input has a gradient: the hooks are called here
            self._see_inputs((None,) * self.inputs)
        return gradients

    def _see_inputs(self, gradients: Gradients) -> Gradients:
        for hook, _ in list(self.hooks.values()):
            gradients = _replaced(gradients, hook(self.module, gradients, self.of_results))
        return gradients

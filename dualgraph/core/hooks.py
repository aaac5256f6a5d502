"""Hooks on entries of the tape: where they are kept, how those of whole entries run, what takes one away again.

``entry.hooks`` holds them by place: the number of a result (what `Tensor.register_hook` sets), or one of `AFTER`,
`ENTERED` and `PASSED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .context import state
from .errors import AutogradError, describe

AFTER = -1  # of a leaf: called when its gradient was added
ENTERED = -2  # called with the gradients of all results, before the rule of the entry runs
PASSED = -3  # called with the gradients of all operands, when it has run; of a leaf: when its gradient was added


class HookHandle:
    """What setting a hook gives: ``remove()`` takes it away again, and so does the end of a ``with`` block."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks = hooks
        self._hook = hook

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        if state.tracer is not None:
            state.tracer.before_hook(self._hooks)
        self._hooks[:] = [h for h in self._hooks if h is not self._hook]

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def hang(entry: Any, place: int, hook: Any, made_here: bool) -> HookHandle:
    """Adds a hook to an entry; `made_here`: by the capture that runs, so that no other call sees the hook."""
    if entry.hooks is None:
        entry.hooks = {}
    hooks = entry.hooks.setdefault(place, [])
    if state.tracer is not None:
        state.tracer.before_hook(hooks, made_here)
    hooks.append(hook)
    return HookHandle(hooks, hook)


def hooked(entry: Any) -> bool:
    """Whether something is called when a gradient reaches what this entry made (None: it is on no tape)."""
    return entry is not None and any((entry.hooks or {}).values())


def run_entered(entry: Any, gradients: list[Any]) -> None:
    """Shows `gradients` of an entry's results to its hooks, which may change them."""
    for hook in list(entry.hooks.get(ENTERED, ())):
        changed = hook(tuple(gradients))
        if changed is not None:
            types = entry.outputs
            gradients[:] = _checked("register_prehook", entry, changed, types)


def run_passed(entry: Any, found: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
    """Shows what the rule of an entry `found` for `gradients` to its hooks; gives what they leave of it."""
    left = list(found)
    for hook in list(entry.hooks.get(PASSED, ())):
        changed = hook(tuple(left), tuple(gradients))
        if changed is not None:
            types = [None if g is None else g.tensor_type for g in left]
            left = _checked("register_hook", entry, changed, types)
    return left


def _checked(op: str, entry: Any, changed: Any, types: Sequence[Any]) -> list[Any]:
    """What a hook gave in place of gradients, of as many and of the same types."""
    problem = None
    if not isinstance(changed, (tuple, list)):
        problem = f"a hook gives a tuple or None, not {type(changed).__name__}"
    elif len(changed) != len(types):
        problem = f"a hook gave {len(changed)} values in place of {len(types)} gradients"
    else:
        for old, new in zip(types, changed, strict=True):
            got = None if new is None else getattr(new, "tensor_type", type(new).__name__)
            if None not in (old, got) and got != old:
                problem = f"a hook gave {got} in place of a gradient {old}"
    if problem is not None:
        raise AutogradError(describe(op, entry.name(), problem, "", entry.where))
    return list(changed)

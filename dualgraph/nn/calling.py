"""Calling a module with other parameters than its own, for transforms of functions of the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..core.errors import StateError
from ..eager import Tensor, stack
from .module import Module
from .normalisation import _BatchNorm as BatchNorm


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with these tensors, by dotted name, in the place of its parameters and buffers.

    `args` that are no tuple are one argument. Tied weights are all replaced by the one that is given, unless
    ``tie_weights=False``; `strict` wants every name.

    >>> layer = dg.nn.Linear(1, 1, bias=False)
    >>> dg.func.functional_call(layer, {"weight": dg.tensor([[3.0]])}, dg.tensor([2.0])).tolist()
    [6.0]
    """
    given: dict[str, Tensor] = {}
    if isinstance(parameter_and_buffer_dicts, Mapping):
        parameter_and_buffer_dicts = [parameter_and_buffer_dicts]
    for part in parameter_and_buffer_dicts:
        given.update(part)
    arguments = args if isinstance(args, tuple) else () if args is None else (args,)
    with _replaced(module, given, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


@contextmanager
def _replaced(
    module: Module, given: dict[str, Tensor], tie_weights: bool, strict: bool
) -> Iterator[None]:
    """Puts the tensors into the tables of the modules that hold those names, and what was there back at the end."""
    slots = {}
    for path, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for name, value in table.items():
                if value is not None:
                    slots[f"{path}.{name}" if path else name] = table, name, value
    unknown = [k for k in given if k not in slots]
    missing = [k for k in slots if k not in given] if strict else []
    if unknown or missing:
        problem = f"no parameter or buffer {unknown}" if unknown else f"{missing} are not given"
        raise StateError(f"functional_call of {type(module).__name__}: {problem}")
    same = {id(slots[k][2]): v for k, v in given.items()} if tie_weights else {}
    chosen = {k: given.get(k, same.get(id(value))) for k, (_, _, value) in slots.items()}
    before = []
    try:
        for key, new in chosen.items():
            if new is not None:
                table, name, value = slots[key]
                before.append((table, name, value))
                table[name] = new  # type: ignore[assignment]
        yield
    finally:
        for table, name, value in before:
            table[name] = value


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of several models of one kind, stacked along a new first axis, by name.

    >>> models = [dg.nn.Linear(2, 3) for _ in range(4)]
    >>> parameters, buffers = dg.func.stack_module_state(models)
    >>> parameters["weight"].shape
    (4, 3, 2)
    """
    if not models:
        raise StateError("stack_module_state: needs at least one model")

    def stacked(named: str) -> dict[str, Tensor]:
        parts = [dict(getattr(m, named)()) for m in models]
        out = {k: stack([p[k].detach() for p in parts]) for k in parts[0]}
        return {k: v.requires_grad_(parts[0][k].requires_grad) for k, v in out.items()}

    return stacked("named_parameters"), stacked("named_buffers")


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """`root`, whose batch norms keep no running statistics from now on: a `vmap` cannot write them.

    >>> net = dg.func.replace_all_batch_norm_modules_(dg.nn.Sequential(dg.nn.BatchNorm1d(2)))
    >>> list(net.named_buffers())
    []
    """
    for part in root.modules():
        if isinstance(part, BatchNorm):
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
    return root

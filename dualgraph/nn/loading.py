"""State dicts: what a module holds, by dotted name, collected and loaded all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..core.errors import StateError
from ..eager import Tensor, asarray, no_grad
from .parameter import Parameter, Uninitialized
from .state_hooks import EXTRA


class LoadResult(NamedTuple):
    """Keys of the module that the state lacked, and keys of the state that the module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"LoadResult(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"
        )

    __str__ = __repr__


def _own(module: Any, prefix: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(key, table, name) of each parameter and persistent buffer of a module itself."""
    for table in (module._parameters, module._buffers):
        for name, value in table.items():
            transient = table is module._buffers and name in module._transient_buffers
            if value is not None and not transient:
                yield prefix + name, table, name


def _below(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The direct submodules, with what their keys begin with."""
    return (
        (f"{prefix}{name}.", child) for name, child in module._modules.items() if child is not None
    )


def _all(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A module and all below it; shared ones under every prefix."""
    yield prefix, module
    for place, child in _below(module, prefix):
        yield from _all(child, place)


def collect_state(module: Any, out: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Puts the state of a module into a dict: detached tensors that share its memory (or the tensors themselves)."""
    module.run_state_hooks("collect", prefix, keep_vars)
    for key, table, name in _own(module, prefix):
        out[key] = table[name] if keep_vars else table[name].detach()
    if module.has_extra_state:
        out[prefix + EXTRA] = module.get_extra_state()
    for place, child in _below(module, prefix):
        collect_state(child, out, place, keep_vars)
    module.run_state_hooks("collected", out, prefix, {})


def load_state(module: Any, state: Mapping[str, Any], strict: bool, assign: bool) -> LoadResult:
    """Checks every key and shape, then copies. On any error the module is untouched."""
    if not isinstance(state, Mapping):
        raise StateError(
            f"a state dict is a mapping from names to tensors, not {type(state).__name__}"
        )
    state, modules, result = dict(state), list(_all(module)), LoadResult([], [])
    problems: list[str] = []
    for prefix, m in modules:
        m.run_state_hooks("load", state, prefix, {}, strict, *result, problems)
    slots = {key: (table, name) for prefix, m in modules for key, table, name in _own(m, prefix)}
    extra = {prefix + EXTRA: m for prefix, m in modules if m.has_extra_state}
    result.missing_keys.extend(k for k in (*slots, *extra) if k not in state)
    result.unexpected_keys.extend(k for k in state if k not in slots and k not in extra)
    values, wrong = _fitting(slots, state)
    problems += wrong
    if strict:
        problems = (
            _listed("missing", result.missing_keys)
            + _listed("unexpected", result.unexpected_keys)
            + problems
        )
    if problems:
        raise StateError(
            f"cannot load the state into {type(module).__name__}; nothing was changed:\n  "
            + "\n  ".join(problems)
        )
    for key, value in values.items():
        table, name = slots[key]
        _put(table, name, value, assign)
    for key, m in extra.items():
        if key in state:
            m.set_extra_state(state[key])
    for _, m in reversed(modules):
        m.run_state_hooks("loaded", result)
    return result


def _listed(what: str, keys: list[str]) -> list[str]:
    return (
        [f"{what} {'key' if len(keys) == 1 else 'keys'}: {', '.join(map(repr, keys))}"]
        if keys
        else []
    )


def _fitting(
    slots: dict[str, Any], state: Mapping[str, Any]
) -> tuple[dict[str, Tensor], list[str]]:
    """The given values as tensors, and what is wrong with those that do not fit."""
    values: dict[str, Tensor] = {}
    problems = []
    for key, (table, name) in slots.items():
        if key not in state:
            continue
        given, own = state[key], table[name]
        if not hasattr(given, "shape") or not hasattr(given, "dtype"):
            problems.append(f"{key!r} is a {type(given).__name__}, not a tensor")
        elif tuple(given.shape) != tuple(own.shape) and not isinstance(own, Uninitialized):
            problems.append(
                f"{key!r} has shape {tuple(given.shape)} in the state, {tuple(own.shape)} in the module"
            )
        else:
            values[key] = asarray(given).detach()
            if values[key].dtype.is_complex and not own.dtype.is_complex:
                problems.append(
                    f"{key!r} is {values[key].dtype.name} in the state, {own.dtype.name} in the module"
                )
    return values, problems


def _put(table: dict[str, Any], name: str, value: Tensor, assign: bool) -> None:
    own = table[name]
    if assign:
        table[name] = Parameter(value, own.requires_grad) if isinstance(own, Parameter) else value
        return
    if isinstance(own, Uninitialized):
        own.materialize(value.shape)
    with no_grad():
        own.copy_(value)

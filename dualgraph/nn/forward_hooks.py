"""Forward hooks: functions that a module calls before and after its forward, and the tables they are kept in."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Collection
from typing import Any

Hook = Callable[..., Any]

_numbers = itertools.count()


class RemovableHandle:
    """Takes a hook off again: ``handle.remove()``, or at the end of ``with handle:``."""

    def __init__(self, table: HookTable, number: int) -> None:
        self._table = weakref.ref(table)
        self.id = number

    def remove(self) -> None:
        """Takes the hook off; a second call does nothing."""
        table = self._table()
        if table is not None:
            table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class HookTable(dict[int, tuple[Hook, bool]]):
    """Hooks in the order in which they run: number -> (hook, whether it takes keyword arguments)."""

    always: Collection[int] = ()  # those that are called where forward raises an error, too

    def add(self, hook: Hook, with_kwargs: bool, prepend: bool) -> RemovableHandle:
        """Appends a hook (or puts it first)."""
        number = next(n for n in _numbers if n not in self)  # a table from a file has some already
        before = dict(self) if prepend else {}
        if prepend:
            self.clear()
        self[number] = (hook, with_kwargs)
        self.update(before)
        return RemovableHandle(self, number)


def run_pre_hooks(
    module: Any, hooks: HookTable, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of forward after each pre-hook had its say."""
    for hook, with_kwargs in list(hooks.values()):
        if with_kwargs:
            replaced = hook(module, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
        else:
            replaced = hook(module, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
    return args, kwargs


def run_hooks(
    module: Any, hooks: HookTable, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> Any:
    """Result of forward after each forward hook had its say."""
    for hook, with_kwargs in list(hooks.values()):
        replaced = hook(module, args, kwargs, out) if with_kwargs else hook(module, args, out)
        out = out if replaced is None else replaced
    return out


def run_always(
    module: Any, hooks: HookTable, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Forward raised an error: calls the hooks that are to hear of that, too."""
    for hook, with_kwargs in [hooks[n] for n in hooks.always if n in hooks]:
        _ = hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)

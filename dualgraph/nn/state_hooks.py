"""Hooks around `state_dict` and `load_state_dict`, and what a module has to keep besides tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.hooks import HookHandle

EXTRA = "_extra_state"


class StateHooks:
    """The part of `Module` that lets a program see, change and add to what state dicts hold."""

    # By when they are called; a module with hooks has its own
    _state_hooks: Mapping[str, list[Any]] = {}

    def _add_state_hook(self, when: str, hook: Callable[..., Any]) -> HookHandle:
        if "_state_hooks" not in self.__dict__:
            self.__dict__["_state_hooks"] = {}
        hooks = self.__dict__["_state_hooks"].setdefault(when, [])
        hooks.append(hook)
        return HookHandle(hooks, hook)

    def run_state_hooks(self, when: str, *args: Any) -> None:
        """Calls the hooks of a moment with the module and `args`."""
        for hook in list(self._state_hooks.get(when, ())):
            hook(self, *args)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(module, prefix, keep_vars)`` before the state of this module is collected."""
        return self._add_state_hook("collect", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(module, state_dict, prefix, {})`` when the state of this module and those below it is in the
        dict, which the hook may change.

        >>> from dualgraph import nn
        >>> layer = nn.Linear(1, 1)
        >>> handle = layer.register_state_dict_post_hook(lambda m, state, prefix, _: state.pop(prefix + "bias"))
        >>> list(layer.state_dict())
        ['weight']
        """
        return self._add_state_hook("collected", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(module, state_dict, prefix, {}, strict, missing, unexpected, problems)`` before a state is
        checked.

        The hook may change the dict, which is a copy, to rename keys, say; what it adds to the lists is reported.
        """
        return self._add_state_hook("load", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(module, result)`` when a state was loaded; `result` has missing and unexpected keys."""
        return self._add_state_hook("loaded", hook)

    def get_extra_state(self) -> Any:
        """What `state_dict` holds besides tensors of a module whose class defines this and `set_extra_state`."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Takes over what `get_extra_state` gave, when a state is loaded."""
        raise NotImplementedError(f"{type(self).__name__} defines no set_extra_state")

    @property
    def has_extra_state(self) -> bool:
        """Whether the class defines `get_extra_state`."""
        return type(self).get_extra_state is not StateHooks.get_extra_state

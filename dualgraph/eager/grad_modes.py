"""Gradient modes: switching the tape on and off, as context managers or decorators."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..core.context import HANDS_ON, grad_mode, state


class _Mode:
    """Sets the mode inside a ``with`` block, or during each call of a decorated function."""

    enabled = False

    def __new__(cls, fn: Any = None) -> Any:
        return super().__new__(cls) if not callable(fn) else cls()(fn)

    def __init__(self, fn: Any = None) -> None:
        self._blocks: list[grad_mode] = []

    def __enter__(self) -> None:
        self._blocks.append(grad_mode(self.enabled))
        self._blocks[-1].__enter__()

    def __exit__(self, *exc: object) -> None:
        self._blocks.pop().__exit__(*exc)

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(fn):
            return _generator(fn, self.enabled)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with grad_mode(self.enabled):
                return fn(*args, **kwargs)

        HANDS_ON[call.__code__] = lambda frame: True
        return call


def _generator(fn: Callable[..., Any], enabled: bool) -> Callable[..., Any]:
    """A generator that runs in the mode, while what happens between its steps does not."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        source = fn(*args, **kwargs)
        while True:
            with grad_mode(enabled):
                try:
                    item = next(source)
                except StopIteration as end:
                    return end.value
            yield item

    return call


class no_grad(_Mode):
    """Ops inside are not put on the tape.

    >>> x = dg.ones(2, requires_grad=True)
    >>> with dg.no_grad():
    ...     (x * 2).requires_grad
    False
    """


class enable_grad(_Mode):
    """Ops inside are put on the tape, also inside `no_grad`.

    >>> x = dg.ones(2, requires_grad=True)
    >>> with dg.no_grad(), dg.enable_grad():
    ...     print((x * 2).requires_grad)
    True
    """

    enabled = True


class inference_mode(_Mode):
    """`no_grad` under the name of PyTorch's stricter mode; ``inference_mode(False)`` changes nothing.

    >>> x = dg.ones(2, requires_grad=True)
    >>> with dg.inference_mode():
    ...     print((x * 2).requires_grad)
    False
    """

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.enabled = state.grad and mode is False


class set_grad_enabled(_Mode):
    """Switches the tape at once; as a context manager, back again at the end of the block.

    >>> with dg.set_grad_enabled(False):
    ...     print((dg.ones(2, requires_grad=True) * 2).requires_grad)
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.enabled = bool(mode)
        self._outer = state.grad
        state.grad = self.enabled

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        state.grad = self._outer


def is_grad_enabled() -> bool:
    """Whether ops are put on the tape.

    >>> with dg.no_grad():
    ...     print(dg.is_grad_enabled())
    False
    """
    return state.grad

"""Context: what holds for the calling thread - gradient mode, the running capture, vmap levels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from .devices import CPU, Device
from .errors import user_location
from .numbers.guards import mode
from .numbers.live import mode as live


class State(threading.local):
    """Per-thread switches that every op call reads."""

    def __init__(self) -> None:
        self.grad: bool = True  # record the tape
        self.tracer: Any = None  # a capture in progress, or None
        # The handler of ops inside of vmap (or of hooks on what is saved), or None
        self.batching: Any = None
        # Called when the sweep that runs is done
        self.sweep_ends: list[Callable[[], None]] | None = None
        self.device: Device = CPU  # where creation functions put their result


state = State()
# Functions of the engine that give just what the user's function gives which they call, and whether a frame is such.
HANDS_ON: dict[CodeType, Callable[[FrameType], bool]] = {}


def unrepeatable(what: str) -> None:
    """A capture in progress is told that the call did something which no program does again."""
    refusals = getattr(state.tracer, "refusals", None)
    if refusals is not None:
        refusals.append(f"{what} at {user_location()}")


def unchecked(what: str, t: Any) -> None:
    """`unrepeatable`, if it is asked of a tensor that was there before: no call checks that of its tensors."""
    tracer = state.tracer
    if tracer is not None and (tracer.is_root(t) or not tracer.knows(t)):
        unrepeatable(what)


def follows_sizes() -> bool:
    """Whether the capture in progress has symbolic sizes."""
    return getattr(state.tracer, "sizes_read", None) is not None


def told(dims: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of a tensor of symbolic ones. What the capture that has some does not see gets plain ones, and
    it is told of that."""
    if follows_sizes():
        return dims
    if mode.leak is not None and mode.guards is not None:
        mode.leak()
    return shape


def tell() -> None:
    """A capture with symbolic sizes is told that the user's code gets something of one that cannot be followed."""
    note = getattr(state.tracer, "sizes_read", None)
    if note is not None:
        note()


class as_before:
    """Context manager: no capture, vmap or live number that began inside goes on when it ends; nor what `ends` end.

    Each of these has an end of its own, but an interrupt may come in the first instruction of an ``__exit__``, which
    then does nothing. One that comes in this one finds all of them done. What is called here may have been before.
    Where what is inside is broken off, gradient mode and default device are those of before, too.
    """

    __slots__ = ("_before", "_ends", "_modes")

    def __init__(self, *ends: Callable[[], None]) -> None:
        self._ends = ends

    def __enter__(self) -> None:
        numbers = mode.guards, mode.proving, mode.known, mode.leak, live.formulas
        self._before = state.tracer, state.batching, numbers
        self._modes = state.grad, state.device

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        state.tracer, state.batching, numbers = self._before
        mode.guards, mode.proving, mode.known, mode.leak, live.formulas = numbers
        if kind is not None and not issubclass(kind, Exception):
            state.grad, state.device = self._modes
        for end in self._ends:
            end()


class grad_mode:
    """Context manager and decorator that switches the tape on or off for the thread."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(state.grad)
        state.grad = self.enabled

    def __exit__(self, *exc: object) -> None:
        state.grad = self._before.pop()


class untraced:
    """Context manager: ops inside are run but not seen by the running capture."""

    def __enter__(self) -> None:
        self.tracer, state.tracer = state.tracer, None

    def __exit__(self, *exc: object) -> None:
        state.tracer = self.tracer


class unbatched:
    """Context manager: what runs inside is not a part of the vmaps that are running."""

    def __enter__(self) -> None:
        self.batching, state.batching = state.batching, None

    def __exit__(self, *exc: object) -> None:
        state.batching = self.batching

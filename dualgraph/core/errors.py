"""Errors: what users see when something is wrong, and the user's line it is about."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any, NamedTuple

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class DualgraphError(RuntimeError):
    """Base of every error that the engine raises on purpose; its text ends with the user's line.

    Each kind is also what Python and NumPy raise for such a thing (ValueError, TypeError, IndexError, ...), and
    RuntimeError is what PyTorch's scripts expect for most.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.at = NOWHERE if _says_where(args) else user_location()

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n  {_at(self.at)}" if self.at.line else text


class ShapeError(DualgraphError, ValueError):
    """Operand shapes do not fit the op."""


class LinAlgError(ShapeError):
    """A matrix is singular, or not positive definite, or an iteration does not end."""


class DTypeError(DualgraphError, TypeError):
    """Operand dtypes do not fit the op."""


class ArgumentError(DualgraphError, ValueError):
    """A parameter of an op has a value it cannot have."""


class AxisError(DualgraphError, ValueError, IndexError):
    """An axis is out of range or given twice."""


class BoundsError(DualgraphError, IndexError):
    """An index is out of range."""


class DeviceError(DualgraphError):
    """Operands live on different devices, or a device cannot be had."""


class AutogradError(DualgraphError):
    """The tape cannot do what was asked of it."""


class TransformError(DualgraphError):
    """A function cannot be batched, differentiated or checkpointed as asked."""


class CaptureError(DualgraphError):
    """A function cannot be captured soundly."""


class MemoryBudgetError(DualgraphError, MemoryError):
    """A program cannot be made to fit the memory it may use."""


class GraphError(DualgraphError, ValueError):
    """A graph or its text is not well formed."""


class NanError(DualgraphError, FloatingPointError):
    """A value is NaN or infinite: an op made the first one while `dg.debug_nans()` is on, or gradients to be clipped
    have a norm that is."""


class StateError(DualgraphError):
    """A state dict does not fit what it is loaded into."""


class FileFormatError(DualgraphError, ValueError):
    """A file is damaged, or is not of the format it should have."""


class Location(NamedTuple):
    """A line of the user's program."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Location("", 0)


INSIDE: dict[str, bool] = {}  # by file name: whether it is the package's


def user_frame() -> FrameType | None:
    """The innermost frame outside the package: the line the user wrote."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        inside = INSIDE.get(name)
        if inside is None:
            inside = INSIDE[name] = name.startswith(PACKAGE)
        if not inside:
            return frame
        frame = frame.f_back
    return None


PLUMBING = tuple(
    f"dualgraph.{p}" for p in ("core", "jit", "merge", "backends", "static", "eager.dispatch")
)


def called_as(op: str) -> str:
    """`op`, behind the function that the user called and that came to it: ``gather: take_along``."""
    frame, name = sys._getframe(1), op
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        own = frame.f_code.co_name
        if own[0] != "_" and own in frame.f_globals and not _is_plumbing(frame):
            name = own
        frame = frame.f_back
    return op if name == op else f"{name}: {op}"


def _is_plumbing(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(PLUMBING)


def user_location() -> Location:
    """Where in the user's program the current op was called."""
    frame = user_frame()
    if frame is None:
        return NOWHERE
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def user_place() -> tuple[Any, int] | None:
    """The user's code and instruction now: all that is needed to work out the line later."""
    frame = user_frame()
    return None if frame is None else (frame.f_code, frame.f_lasti)


def location_of(place: tuple[Any, int] | None) -> Location:
    """The line of what `user_place` gave."""
    if place is None:
        return NOWHERE
    code, instruction = place
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end and line)
    return Location(code.co_filename, next(lines, code.co_firstlineno), code.co_name)


def problem_of(error: BaseException) -> str:
    """What an error says, without the user's line that is put behind it."""
    args = error.args
    return str(args[0]) if isinstance(error, DualgraphError) and args else str(error)


def _says_where(args: tuple[Any, ...]) -> bool:
    return not args or "\n  at " in str(args[0])


def _at(place: Location) -> str:
    return f"at {place}" + (f", in {place.function}" if place.function else "")


def describe(
    op: str, types: str, problem: str, remedy: str = "", where: Location | None = None
) -> str:
    """The text of an error: op and types, the problem, the remedy, the user's line."""
    at = where or user_location()
    lines = [f"{op}({types}): {problem}" if op else problem]
    if remedy:
        lines.append(f"  remedy: {remedy}")
    if at.line:
        lines.append(f"  {_at(at)}")
    return "\n".join(lines)

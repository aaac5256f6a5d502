"""Composites: plain functions that stay one named node in a captured graph, their ops as its body."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, ClassVar, NamedTuple, TypeVar

from .context import state

F = TypeVar("F", bound=Callable[..., Any])


class Merge:
    """Hooks by which an eager call of a composite may run as one kernel: higher layers install them.

    ``serve(fn, args, kwargs)`` gives the result of a call on large arrays, ``quick(fn, args, kwargs)`` of one on
    small arrays, ``view(fn, args, kwargs)`` of one that gives a view, ``same(fn, args, kwargs)`` of one without
    tensors, or NotImplemented where the function is to run. ``into(out, fn, *args, **kwargs)`` puts what it gives
    into `out`.
    ``traced(fn, args, kwargs)`` gives a function that makes a `Traced` of such calls, for the operands that want
    gradients in this one. ``retell`` is `serve` for calls inside of a capture, which is told the ops all the same.
    ``update(fn, how, tensors)`` says whether a program has run ``fn(how, *tensors)``, which only writes its tensors.
    """

    serve: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None
    retell: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None
    quick: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None
    view: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None
    same: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None
    into: Callable[..., Any] | None = None
    traced: Callable[[Any, tuple[Any, ...], dict[str, Any]], Callable[[], Traced]] | None = None
    update: Callable[[Any, Any, list[Any]], bool] | None = None
    works: ClassVar[dict[Any, Callable[..., int]]] = {}  # see `working`


_calls: set[CodeType] = set()  # of what stands for composites, and for functions that run together


def called_by_another() -> bool:
    """Whether the call of such a function that is under way was made by another one."""
    frame: FrameType | None = sys._getframe(1)
    depth = 0
    while frame is not None and depth < 2:
        depth += frame.f_code in _calls
        frame = frame.f_back
    return depth == 2


class Traced(NamedTuple):
    """A composite on operands of some types as a graph: its result, and what its gradient reads besides.

    ``op`` is that of its tape entries (None: it wants no gradient), ``reads`` says which operands that reads and
    ``reads_out`` whether it does the result; ``blanks`` are arrays that stand for the operands it does not read. One
    that only writes has no result: the outputs of its graph are new values of the operands in ``writes``.
    """

    graph: Any
    op: Any = None
    reads: tuple[bool, ...] = ()
    reads_out: bool = False
    blanks: tuple[Any, ...] = ()
    writes: tuple[int, ...] = ()


def composite(fn: F) -> F:
    """Decorator: captures keep the ops of each call together, as one node with a body.

    Backends may claim such a node with a kernel of their own, viewers may fold it, exporters
    recognise it by name. Eager calls on large arrays may run as one kernel, to the same bits.

    >>> @composite
    ... def double(x):
    ...     return x + x
    >>> double(2)
    4
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        tracer = state.tracer
        if tracer is None:
            if Merge.quick is not None:
                made = Merge.quick(fn, args, kwargs)
                if made is not NotImplemented:
                    return made
            if Merge.serve is not None:
                made = Merge.serve(fn, args, kwargs)
                if made is not NotImplemented:
                    return made
            return fn(*args, **kwargs)
        with tracer.scope(fn.__name__):
            if Merge.retell is not None:
                made = Merge.retell(fn, args, kwargs)
                if made is not NotImplemented:
                    return made
            return fn(*args, **kwargs)

    _calls.add(call.__code__)  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def working(work: Callable[..., int]) -> Callable[[F], F]:
    """Decorator, below `composite`: ``work(*args)`` says how many elements a call computes where that is more than its
    first operand has."""

    def note(fn: F) -> F:
        Merge.works[fn] = work
        return fn

    return note


def together(fn: F) -> F:
    """Decorator: eager calls on small arrays may run as one kernel, to the same bits; captures see the ops.

    For functions of tensors that only compute, and hang on nothing but their arguments.
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if Merge.quick is not None:
            made = Merge.quick(fn, args, kwargs)
            if made is not NotImplemented:
                return made
        return fn(*args, **kwargs)

    _calls.add(call.__code__)  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def viewing(fn: F) -> F:
    """Decorator: eager calls that see their first operand through one op may go straight to that op.

    For functions that only compute, and hang on nothing but their arguments.
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if Merge.view is not None:
            made = Merge.view(fn, args, kwargs)
            if made is not NotImplemented:
                return made
        return fn(*args, **kwargs)

    return call  # type: ignore[return-value]


def creating(fn: F) -> F:
    """Decorator: eager calls without tensors among their arguments may give a copy of a small result made before.

    For functions that only compute, and hang on nothing but their arguments and the defaults of dtype and device.
    ``out=`` names a tensor that takes the result.
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            out = kwargs.pop("out")
            if out is not None and Merge.into is not None:
                return Merge.into(out, fn, *args, **kwargs)
        if Merge.same is not None:
            made = Merge.same(fn, args, kwargs)
            if made is not NotImplemented:
                return made
        return fn(*args, **kwargs)

    return call  # type: ignore[return-value]

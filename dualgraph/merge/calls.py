"""Calls of composites: which ones have a compiled form, by the types of their operands and what else they are given."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..core.composite import Traced
from ..core.constant import exact
from ..core.context import state
from ..core.devices import CPU
from ..core.dtypes import bfloat16, get_default_dtype
from ..eager.tensor import Tensor
from ..static import retold
from . import large
from .forms import Form

MOST = 512  # forms that are kept

_forms: dict[Any, Form] = {}
_PLAIN = frozenset((int, str, type(None)))


class _Within(threading.local):
    """Whether this thread is in a composite that is run op by op, for now; those in it need no forms."""

    now = False


_within = _Within()


def serve(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a composite's call by its form; NotImplemented where it has none."""
    if _within.now or state.batching is not None:
        return NotImplemented
    call = _call_of(fn, args, kwargs)
    edges = None if call is None else _edges(call[1])
    if call is None or edges is None:
        return NotImplemented
    given, tensors = call
    form = _forms.get(given)
    if form is None:
        if len(_forms) >= MOST:
            oldest, *_ = list(_forms)  # made at once: other threads change it
            _forms.pop(oldest, None)
        form = _forms[given] = Form(fn.__name__)
    if form.ready:
        return form.call(tensors, edges)
    if form.refused:
        return NotImplemented
    form.seen(
        _rebuilt(fn, args, kwargs), [t.tensor_type for t in tensors], [e is not None for e in edges]
    )
    _within.now = True
    try:
        return fn(*args, **kwargs)
    finally:
        _within.now = False


def traced(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Traced]:
    """A function that makes the graph of such calls, and their op. It raises CaptureError where there is none."""
    call = _rebuilt(fn, args, kwargs)
    tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
    types = [t.tensor_type for t in tensors]
    wanted = [state.grad and t._edge() is not None for t in tensors]

    def make() -> Traced:
        return Form(fn.__name__).traced(call, types, wanted)

    return make


def retell(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """As `serve` inside of a capture that can be told what a form does, where there is one already."""
    if state.batching is not None or not retold.hears():
        return NotImplemented
    call = _call_of(fn, args, kwargs)
    form = None if call is None else _forms.get(call[0])
    if call is None or form is None or not form.tells():
        return NotImplemented
    edges = _edges(call[1])  # not before: what leaves have on the tape is as old as their first use
    return NotImplemented if edges is None else form.call(call[1], edges)


def _call_of(
    fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], list[Tensor]] | None:
    """What tells the form of a call, and its tensors; None where it has no form."""
    if not args or not isinstance(args[0], Tensor) or not large(fn, args):
        return None
    tape = state.grad
    tensors: list[Tensor] = []
    key: list[Any] = [fn, tape, get_default_dtype()]
    for name, a in (*enumerate(args), *kwargs.items()):
        if name.__class__ is str:
            key.append(name)
        if isinstance(a, Tensor):
            dtype = a.dtype
            if a.device is not CPU or dtype is bfloat16:
                return None
            tensors.append(a)
            key += (dtype.code, a._data.shape, tape and a.requires_grad)
        else:
            key.append(a if a.__class__ in _PLAIN else exact(a))
    given = tuple(key)
    try:
        hash(given)
    except TypeError:
        return None
    return given, tensors


def _edges(tensors: list[Tensor]) -> list[Any] | None:
    """Places on the tape; None where two are one: the sweep would begin one sum twice."""
    if not state.grad:
        return [None] * len(tensors)
    edges = [t._edge() for t in tensors]
    places = {(id(e[0]), e[1]) for e in edges if e is not None}
    return edges if len(places) == sum(e is not None for e in edges) else None


def _rebuilt(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call as a function of its tensors; it holds none of them."""
    places = [None if isinstance(a, Tensor) else (a,) for a in args]
    names = {k: None if isinstance(a, Tensor) else (a,) for k, a in kwargs.items()}

    def call(*tensors: Tensor) -> Any:
        rest = iter(tensors)
        values = [next(rest) if p is None else p[0] for p in places]
        named = {k: next(rest) if p is None else p[0] for k, p in names.items()}
        return fn(*values, **named)

    return call

"""In-place writes: new values into a tensor's memory, seen by its base and all views of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from ..core.backend import backend_for
from ..core.composite import Merge, composite
from ..core.context import grad_mode, state, untraced
from ..core.dtypes import promote
from ..core.errors import (
    ArgumentError,
    AutogradError,
    DTypeError,
    ShapeError,
    describe,
    user_place,
)
from ..core.node import TapeNode, sequence
from ..core.prim import Dispatch
from ..core.spans import is_view
from ..core.types import broadcast_shapes
from ..ops.arithmetic import cast
from ..ops.movement import alias, copy, written
from ..ops.reduce import broadcast_to
from .batch import batch_of
from .tensor import Tensor


def check_writable(op: str, t: Tensor) -> None:
    """Raises unless `t` may be written in place now."""
    if state.grad and t._requires_grad and t.is_leaf:
        raise AutogradError(
            describe(
                op,
                str(t.tensor_type),
                "a leaf that requires gradients cannot be written in place",
                "do it under dg.no_grad(), or out of place",
            )
        )
    if state.grad and t._parent is not None:
        base = _base(t)
        if base is not t and base._requires_grad and base.is_leaf:
            raise AutogradError(
                describe(
                    op,
                    str(t.tensor_type),
                    "a view of a leaf that requires gradients cannot be written in place",
                    "do it under dg.no_grad()",
                )
            )
    data = t._data
    overlaps = (
        data.size
        and 0 in data.strides
        and any(s == 0 and d > 1 for s, d in zip(data.strides, data.shape, strict=True))
    )
    if overlaps or not getattr(data.flags, "writeable", True):
        raise AutogradError(
            describe(
                op,
                str(t.tensor_type),
                "this memory cannot be written: several elements share one place, or it is read-only",
                "write to a .clone()",
            )
        )


def _base(t: Tensor) -> Tensor:
    """The tensor that `t` is a differentiable view of (itself when it is none): detaching ends the search."""
    while is_view(t) and t._parent[1].vjp_rule is not None:
        t = t._parent[0]
    return t


def fit(op: str, t: Tensor, new: Any) -> Tensor:
    """New values in the type of `t`."""
    if not isinstance(new, Tensor):
        raise DTypeError(describe(op, str(t.tensor_type), f"cannot write a {type(new).__name__}"))
    if new.shape != t.shape:
        try:
            wide = broadcast_shapes(t.shape, new.shape)
        except ShapeError:
            wide = ()
        if wide != t.shape:
            raise ShapeError(
                describe(
                    op,
                    f"{t.tensor_type}, {new.tensor_type}",
                    f"a result of shape {new.shape} does not fit in place into {t.shape}",
                )
            )
        new = broadcast_to(new, shape=t.shape)
    return _in_dtype(op, t, new)


def _in_dtype(op: str, t: Tensor, new: Tensor) -> Tensor:
    """New values, of any shape, in the dtype of `t`."""
    if new.dtype is not t.dtype:
        if (
            promote(new.dtype, t.dtype).kind != t.dtype.kind
            and t.dtype.kind != new.dtype.kind
            and new.dtype.is_inexact
        ):
            raise DTypeError(
                describe(
                    op,
                    f"{t.tensor_type}, {new.tensor_type}",
                    f"a {new.dtype.name} result does not fit in place into {t.dtype.name}",
                    "write out of place, or cast first",
                )
            )
        new = cast(new, dtype=t.dtype.name)
    return new


def as_another(t: Tensor) -> Tensor:
    """`t` with an entry of its own on the tape, to be written: what hooks the tensor written to does not hook `t`."""
    return alias(t) if state.grad and t._edge() is not None else t  # type: ignore[no-any-return]


def write(op: str, t: Tensor, new: Tensor, derived: bool = False) -> Tensor:
    """Puts `new` (of the type of `t`) into the memory of `t`; tape and capture follow.

    `derived`: `new` was computed from `t`. What was written over is on the tape in any case, as in PyTorch: its
    gradient is zero.
    """
    if Dispatch.store(t, new):
        return t
    check_writable(op, t)
    # This settles that of a stale view before its memory changes
    had_history = t._edge() is not None
    taped = state.grad and had_history
    if taped and _base(t) is t and not (derived and new._edge() is not None):
        new, derived = written(new, t, taped=True), True
    new_edge = new._edge() if state.grad else None
    tracer, batching = state.tracer, state.batching
    batched = batching is not None and batching.applies((t, new))
    if tracer is not None and batched and batching.depth((t, new)) > tracer.depth:
        tracer = None  # it sees the write to the tensor within
    if tracer is not None:
        tracer.before_write(op, t)
        if new._cell is not None and new._cell is t._cell:
            # `new` shares memory with t: the value to write is named before the write changes it.
            known = Tensor(new._data, new.dtype, new.device)
            tracer.name(known, new)
            new = known
    if batched:
        with nullcontext() if tracer is None else untraced():
            batching.store(op, t, new, derived)
    else:
        backend_for(t.device).store(t._data, new._data)
    cell = t._version_cell()
    cell[0] += 1
    cell[1] = user_place()
    t._stamp = cell[0]
    tape = state.grad and (new_edge is not None or had_history)
    if tape or tracer is not None:
        with grad_mode(tape):
            _assign(t, new, new_edge, cell[0], tracer)
            _carry_down(t, cell[0], tracer, tape)
        if taped and new_edge is None:
            _follow_base(t, tracer)
    return t


def _carry_down(child: Tensor, version: int, tracer: Any, tape: bool) -> None:
    """Gives the tensors that `child` is a view of the history of the write, each as its part put into a whole."""
    on_tape = True
    while is_view(child):
        parent, prim, params = child._parent
        if tracer is not None and tracer.is_root(child):
            if tape:  # below an input the graph does not reach, but the tape does
                with untraced():
                    _carry_down(child, version, None, tape)
            return
        updated = prim.put_rule(parent, child, **params)
        on_tape = on_tape and prim.vjp_rule is not None
        if on_tape:
            if state.grad and _base(parent) is parent and not _reads(updated, parent):
                updated = written(updated, parent, taped=True)
            _assign(parent, updated, updated._edge() if state.grad else None, version, tracer)
        # Written through a detached view: the memory changes, the history does not.
        elif tracer is not None:
            tracer.assign(parent, updated, taped=False)
        child = parent


def _reads(new: Tensor, t: Tensor) -> bool:
    """Whether `new` has the history of `t`, if there is any: the op that made it took t."""
    edge = t._edge()
    return edge is None or (new._node is not None and edge in new._node.inputs)


def _follow_base(t: Tensor, tracer: Any) -> None:
    """Gives views whose new values have no history the one that they have as parts of their base."""
    if _base(t) is not t:
        _follow_base(t._parent[0], tracer)  # type: ignore[index]
        again = t._refresh() if t._node is None else None
        if again is not None and tracer is not None and not tracer.is_root(t):
            tracer.name(t, again)


def _assign(t: Tensor, new: Tensor, edge: Any, version: int, tracer: Any) -> None:
    """`t` now holds `new`. Off the tape (``no_grad``) its history stays what it was, as in PyTorch."""
    if state.grad:
        t._node, t._index = edge if edge is not None else (None, 0)
    t._stamp = version
    if tracer is not None:
        tracer.assign(t, new, taped=state.grad)


LARGE = 1 << 16  # elements from which what is done in place may be compiled as a whole


def rewrite(op: str, t: Tensor, fn: Callable[..., Any], *args: Any, **params: Any) -> Tensor:
    """``t = fn(t, ...)`` in place. Where a gradient needs the old values of t, a copy of them is kept."""
    whole = t._data.size >= LARGE and state.tracer is None and not params and args[0] is t
    if whole and not state.batching and t._parent is None:
        _at_once(t, op, fn, *args[1:])
        return t
    return _rewrite(op, t, fn, *args, **params)


@composite
def _at_once(t: Tensor, op: str, fn: Callable[..., Any], *args: Any) -> None:
    """A write in place as one kernel, where there is one for it."""
    _rewrite(op, t, fn, t, *args)


def _rewrite(op: str, t: Tensor, fn: Callable[..., Any], *args: Any, **params: Any) -> Tensor:
    began = next(sequence)
    new = fit(op, t, fn(*args, **params))
    if state.grad:
        _keep_old_values(t, new, began)
    return write(op, t, new, derived=True)


def into(out: Any, fn: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """PyTorch's ``out=``: what `fn` makes goes into tensors that are there, which are the result then.

    A tensor without elements takes the shape of what it is given; any other has it already.
    """
    began, name = next(sequence), fn.__name__
    made = fn(*args, **params)
    if not isinstance(made, tuple):
        return _into(name, out, _ready(name, out, made), began)
    if not isinstance(out, tuple | list) or len(out) != len(made):
        raise ArgumentError(describe(name, "", f"out is a tuple of {len(made)} tensors"))
    ready = [_ready(name, o, m) for o, m in zip(out, made, strict=True)]  # before any is written
    parts = tuple(_into(name, o, m, began) for o, m in zip(out, ready, strict=True))
    return made._make(parts) if hasattr(made, "_make") else parts


Merge.into = staticmethod(into)


def _ready(op: str, out: Any, new: Tensor) -> Tensor:
    """What goes into `out`, in its dtype; an error where it cannot."""
    if not isinstance(out, Tensor):
        raise DTypeError(describe(op, "", f"out is a tensor, not {type(out).__name__}"))
    if out.shape != new.shape and out._data.size:
        problem = f"a result of shape {new.shape} goes into out= of that shape, not {out.shape}"
        raise ShapeError(describe(op, str(out.tensor_type), problem, "pass out=dg.empty(0)"))
    return _in_dtype(op, out, new)


def _into(op: str, out: Tensor, new: Tensor, began: int) -> Tensor:
    if out.shape != new.shape:
        out.resize_(new.shape)
    if state.grad:
        _keep_old_values(out, new, began)
    return write(op, out, new)


def _keep_old_values(t: Tensor, new: Tensor, began: int) -> None:
    """Lets the tape entries behind `new` made since `began` read a copy of t, which is about to be written."""
    if new._node is not None:
        _read_copies(t, new._node, began)
    if state.batching is None:
        return
    batch, of_new = batch_of(t), batch_of(new)
    if of_new is not None:  # the tapes below know the tensors of all examples
        within = batch is not None and batch.level is of_new.level
        _keep_old_values(batch.inner if within else t, of_new.inner, began)


def _read_copies(t: Tensor, node: TapeNode, began: int) -> None:
    """The same for the entries of one tape."""
    copies: dict[int, Tensor] = {}
    seen, stack = set(), [node]

    def safe(kept: Any) -> Any:
        if type(kept) is not tuple or (
            kept[0] is not t and (t._cell is None or kept[0]._cell is not t._cell)
        ):
            return kept
        if id(kept[0]) not in copies:
            copies[id(kept[0])] = copy(kept[0])
        return copies[id(kept[0])], 0

    while stack:
        node = stack.pop()
        if node.seq <= began or id(node) in seen or node.saved is None or node.prim is None:
            continue
        seen.add(id(node))
        kept, results = node.saved
        node.saved = (tuple(map(safe, kept)), results)
        stack.extend(edge[0] for edge in node.inputs if edge is not None)

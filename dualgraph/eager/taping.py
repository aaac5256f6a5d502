"""Taping: one op that has run becomes an entry of the tape."""

from __future__ import annotations

import weakref
from typing import Any

from ..core.context import state
from ..core.devices import CPU
from ..core.errors import user_place
from ..core.node import TapeNode
from ..core.numbers.live import mode
from ..core.prim import Prim
from ..core.types import TensorType
from .tensor import Tensor


def record(
    prim: Any,
    edges: tuple[Any, ...],
    args: list[Any],
    params: dict[str, Any],
    outs: tuple[Tensor, ...],
    types: tuple[TensorType, ...],
) -> TapeNode:
    """Puts one op on the tape: what its rule reads is kept with its version."""
    kept = tuple(_keep(prim, i, a) for i, a in enumerate(args))
    node = TapeNode(prim, edges, params, types, user_place())
    results = None
    if prim.reads_out:
        keep = state.tracer is not None  # a capture knows results by identity
        results = tuple(
            (
                None if keep else o._data,
                o._version_cell(),
                o._version,
                o.dtype,
                o.device,
                o if keep else None,
            )
            for o in outs
        )
    node.saved = (kept, results)
    if mode.formulas is not None:
        mode.formulas.on_tape.append(weakref.ref(node))
    for i, (out, t) in enumerate(zip(outs, types, strict=True)):
        if t.dtype.is_inexact:
            out._node, out._index = node, i
    return node


def _keep(prim: Any, i: int, a: Any) -> Any:
    if not isinstance(a, Tensor):
        return a.value
    return (a, a._version) if prim.saves(i) else a.tensor_type


def record_quick(prim: Prim, edges: tuple[Any, ...], args: tuple[Any, ...], out: Tensor) -> None:
    """Puts one elementwise op on CPU tensors on the tape."""
    saves = prim.saves
    kept = tuple([
        a if not isinstance(a, Tensor) else (a, a._version) if saves(i) else a.tensor_type for i, a in enumerate(args)
    ])  # fmt: skip
    node = TapeNode(prim, edges, {}, (out.tensor_type,), user_place())
    results = None
    if prim.reads_out:
        seen = state.tracer is not None
        data, kept_out = (None, out) if seen else (out._data, None)
        results = ((data, out._version_cell(), 0, out.dtype, CPU, kept_out),)
    node.saved = (kept, results)
    out._node = node

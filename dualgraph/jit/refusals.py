"""Refusals: why a traced call cannot be repeated by a program, though each of its ops was written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.context import state
from ..core.devices import CPU
from ..core.hooks import hooked
from ..core.node import THROUGH
from ..core.prim import Prim
from ..core.spans import in_one_memory
from ..core.sweep import ancestors_reaching
from ..core.trees import containers
from ..eager.tensor import Tensor
from ..static.capture import CHANGES, Tracer, swept
from ..static.checks import ATOMS, same_bytes
from ..static.footprint import Footprint
from ..static.holders import MAX_ARRAY_BYTES
from .arguments import Arguments, attributes_of
from .promoted import place_key
from .rebound import FormCheck, Move


def unrepeatable(
    tracer: Tracer,
    footprint: Footprint,
    arguments: Arguments,
    result: Any,
    leaves: list[Any],
    moves: Sequence[Move],
) -> list[str]:
    """The reasons why no program can do again what a call did, which gave `result` (empty: it can)."""
    return [
        *_changes(tracer, footprint, arguments, moves),
        *_unknown(tracer, footprint),
        *_overlapping(tracer),
        *_ungivable(result, leaves, footprint, arguments),
        *_untraceable_gradients(tracer, leaves),
        *_extended(tracer, leaves),
    ]


def _changes(
    tracer: Tracer, footprint: Footprint, arguments: Arguments, moves: Sequence[Move]
) -> list[str]:
    """State that the function itself changes, other than tensors, and places that are given other ones."""
    reasons = []
    moved = {m.place.key for m in moves}
    changed = None if footprint.steady else footprint.failing()
    if changed is not None and moved:
        failing = (c for c in footprint.checks if not c.holds())
        changed = next(
            (c for c in failing if isinstance(c, FormCheck) or place_key(c) not in moved), None
        )
    if changed is not None:
        reasons.append(f"{CHANGES} {changed.name}, which it also reads")
    if arguments.changed():
        reasons.append("it changes a container among its arguments")
    if arguments.extended():
        reasons.append("it changes attributes of a tensor among its arguments")
    for root in tracer.roots:
        given = root.slot.kind in ("leaf", "tensor", "place")
        wants = root.slot.requires_grad or root.slot.required
        if given and root.tensor._requires_grad is not wants and not root.twin:
            reasons.append("it changes whether an input requires gradients")
    stored = {
        id(r.slot.key[1]) for r in tracer.roots if r.slot.kind == "leaf" and tracer.written(r)
    }
    for a in arguments.arrays:
        if a.array.dtype.hasobject:
            reasons.append("the objects in a NumPy array cannot be checked")
        elif a.was_read() and a.array.nbytes > MAX_ARRAY_BYTES:
            reasons.append(
                "it looks into a NumPy array that is too large to compare on each call; pass a tensor"
            )
        elif not same_bytes(a.array, a.before) and (a.was_read() or id(a.array) not in stored):
            reasons.append("it changes a NumPy array in place")
    return reasons


def _unknown(tracer: Tracer, footprint: Footprint) -> list[str]:
    """Tensors and gradients that may be others on the next call."""
    reasons = []
    for track in tracer.grads.values():
        before = track.at_entry if track.read else None
        if before is not None and before.requires_grad and not swept(before):
            reasons.append("it reads a gradient that has a history")
    for root in tracer.roots:
        if root.slot.kind == "tensor" and id(root.slot.key) not in footprint.tensors:
            reasons.append(f"a tensor {root.slot.type} comes from a place that cannot be checked")
    for track in tracer.grads.values():
        known = id(track.tensor) in footprint.tensors or any(
            r.tensor is track.tensor for r in tracer.roots
        )
        if not known and track.at_entry is not None:
            reasons.append("the gradient of a tensor of unknown origin is read")
    if tracer.swept and any(hooked(r.tensor._node) for r in tracer.roots):
        reasons.append("a hook is set on an input, and gradients are computed inside")
    if any(before is not None and hooks != before for hooks, before in tracer.hooks.values()):
        reasons.append("it changes the hooks of a tensor from outside")
    devices = {v.type.device for n in tracer.nodes for v in n.outputs} - {CPU}
    if len(devices) > 1:
        reasons.append(f"it works on several devices: {', '.join(sorted(map(str, devices)))}")
    return reasons


def _overlapping(tracer: Tracer) -> list[str]:
    """Writes whose order among inputs in one memory would count."""
    written = {id(r) for r in tracer.roots if tracer.written(r)}
    for r in tracer.roots if state.grad else ():
        if id(r) in written and r.tensor._node is not None and r.tensor._node.prim is not None:
            return ["an input that was written in place has a history on the tape"]
    tensors = [r.tensor for r in tracer.roots]
    for i, j in in_one_memory(tensors) if written else ():
        if {id(tracer.roots[i]), id(tracer.roots[j])} & written and tensors[i] is not tensors[j]:
            return ["inputs that share memory are written in place"]
    return []


def _ungivable(
    result: Any, leaves: list[Any], footprint: Footprint, arguments: Arguments
) -> list[str]:
    """Results that a program could not give again: objects made by the call, and containers of the caller's."""
    given = {id(v) for v in arguments.flat}
    for leaf in leaves:
        constant = isinstance(leaf, (Tensor, np.generic, type, *ATOMS))
        if not constant and id(leaf) not in given and not footprint.reaches(leaf):
            return [
                f"it gives a {type(leaf).__name__}, which is no tensor and is made anew on each call"
            ]
    own = {id(c) for c in containers(arguments.tree)}
    for container in containers(result):
        if not isinstance(container, tuple) and (
            id(container) in own or footprint.reaches(container)
        ):
            return [f"it gives a {type(container).__name__} that exists outside of it"]
    return []


def _extended(tracer: Tracer, leaves: list[Any]) -> list[str]:
    """Tensors made by the call that carry attributes of the user's."""
    made = (v for v in leaves if isinstance(v, Tensor) and not tracer.is_root(v))
    return (
        ["it gives a tensor that it has put attributes on"] if any(map(attributes_of, made)) else []
    )


def _untraceable_gradients(tracer: Tracer, leaves: list[Any]) -> list[str]:
    """What a replay of the graph for gradients could not repeat."""
    inside = {id(r.tensor._node) for r in tracer.roots} - {id(None)}
    work: list[Any] = []
    for v in leaves:
        if isinstance(v, Tensor) and v._grad is not None and not tracer.is_root(v):
            return ["it gives a tensor made inside that has a gradient"]
        if isinstance(v, Tensor) and v.requires_grad and not tracer.is_root(v):
            if v.is_leaf and id(v._node) not in inside:
                return ["it gives a new leaf that requires gradients"]
            if not state.grad and not v._node.released:
                return ["gradients flow through it, though it was called under no_grad"]
            if id(v._node) not in inside and not v._node.released:
                work.append(v._node)
    if work:
        for root in tracer.roots:
            if root.tensor._requires_grad and tracer.written(root):
                return [
                    "an input that requires gradients is written in place, and gradients flow through the call"
                ]
    if not {id(node) for node in work} <= ancestors_reaching(work, inside):
        return ["gradients flow to leaves that are made inside, and to nothing else"]
    seen: set[int] = set()
    while work:
        node = work.pop()
        if id(node) in seen or id(node) in inside:
            continue
        seen.add(id(node))
        why = _unreplayable(node)
        if why:
            return [why]
        if node.prim is not None:
            work.extend(e[0] for e in node.inputs if e is not None)
    return []


def _unreplayable(node: Any) -> str:
    """What a replay could not repeat of one tape node."""
    if hooked(node):
        return "gradients flow through an intermediate that has a hook"
    if node.prim is None:
        leaf = node.saved()
        given = leaf is not None and leaf._grad is not None
        return "gradients flow to a leaf made inside that has one already" if given else ""
    if node.released:
        return "gradients flow through a part of the call that was already swept"
    told = node.params.get("told")
    if node.prim is not THROUGH and not (told is not None and told.here()):
        if getattr(node.prim, "as_its_ops", False):
            return f"gradients flow through a {node.prim.name}, whose values a program would keep"
        if not isinstance(node.prim, Prim):
            return "gradients flow through a user's own function"
    return "a value that a gradient may need was written in place" if _spoiled(node) else ""


def _spoiled(node: Any) -> bool:
    """Whether something that a tape node saved was written since."""
    kept, results = node.saved
    return any(type(k) is tuple and k[0]._version != k[1] for k in kept) or any(
        r[1][0] != r[2] for r in results or ()
    )

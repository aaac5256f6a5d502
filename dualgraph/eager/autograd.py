"""Autograd: backward and grad over the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.context import grad_mode, state
from ..core.devices import CPU
from ..core.dtypes import bfloat16
from ..core.errors import AutogradError, Location, ShapeError, describe, location_of
from ..core.hooks import AFTER, PASSED, run_entered, run_passed
from ..core.node import TapeNode, resolved
from ..core.sweep import Whole, ancestors_reaching, reverse, unfold_all
from ..core.types import TensorType
from ..ops.arithmetic import add, cast
from ..ops.creation import full
from ..ops.movement import copy
from ..ops.reduce import sum_to
from .tensor import Edge, Tensor


def ones_like_type(t: TensorType) -> Tensor:
    """Ones of a type: the cotangent that a scalar result starts with."""
    plain = state.tracer is None and state.batching is None
    if plain and t.device is CPU and t.dtype is not bfloat16:
        return Tensor(np.ones(t.shape, t.dtype.numpy), t.dtype)
    return full(shape=t.shape, value=1, dtype=t.dtype.name, device=str(t.device))  # type: ignore[no-any-return]


class Spoiled(Tensor):
    """An operand or a result of a tape entry, written since it was saved: it has a type, but reading its values
    raises the error that says so. What a rule never reads, or reads only for gradients that nobody wants,
    does no harm."""

    def __init__(self, op: str, where: Location | None, t: TensorType, problem: str) -> None:
        self._entry = op, where, t, problem
        self.dtype = t.dtype
        self.device = t.device
        self._requires_grad = False
        self._node = self._grad = self._cell = self._parent = None
        self._index = self._stamp = 0

    @property
    def tensor_type(self) -> TensorType:
        return self._entry[2]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor_type.shape

    @property
    def ndim(self) -> int:
        return self.tensor_type.ndim

    @property
    def _data(self) -> Any:  # type: ignore[override]
        op, where, t, problem = self._entry
        remedy = "write out of place, or on a .clone()"
        error = AutogradError(describe(op, str(t), problem, remedy, where))
        error.located = True  # type: ignore[attr-defined]
        raise error


def saved_operand(node: TapeNode, place: int, kept: Any) -> Any:
    """What a rule gets for an operand that was kept with its version."""
    tensor, version = kept
    cell = tensor._cell
    if (0 if cell is None else cell[0]) == version:
        return tensor
    problem = (
        f"operand {place} was changed in place after this op (at {node.where}) saved it for its gradient: "
        f"it is at version {tensor._version}, version {version} was saved" + written_at(cell)
    )
    return Spoiled(node.prim.name, node.where, tensor.tensor_type, problem)


def written_at(cell: list[Any] | None) -> str:
    """Where the memory behind a version cell was last written, for error texts."""
    written = cell is not None and cell[1] is not None
    return f"; last written at {location_of(cell[1])}" if written else ""


def _results(node: TapeNode, kept: Any) -> Any:
    """The results of an entry for its rule, from what was kept of each."""
    outs: list[Tensor] = []
    for i, (data, cell, version, dtype, device, original) in enumerate(kept):
        if cell[0] != version:
            problem = f"the result of this op (at {node.where}) was changed in place, but its gradient needs it"
            outs.append(
                Spoiled(node.prim.name, node.where, node.outputs[i], problem + written_at(cell))
            )
            continue
        if original is not None:
            outs.append(original)
            continue
        out = Tensor(data, dtype, device)
        out._cell = cell
        if node.outputs[i].dtype.is_inexact:
            out._node, out._index = node, i
        outs.append(out)
    return tuple(outs) if node.prim.multiple else outs[0]


def apply_rule(
    node: TapeNode, cts: list[Any], needed: tuple[bool, ...], prior: list[Any] | None = None
) -> list[Any]:
    """Cotangents of a node's operands from those of its results (`prior`: sums to be continued)."""
    if node.released:
        raise _swept_before(node)
    kept, results = node.saved
    operands = [
        k if type(k) is not tuple else saved_operand(node, i, k) for i, k in enumerate(kept)
    ]
    prim = node.prim
    out = node.outputs if results is None else _results(node, results)
    if prim.multiple:
        seeds: Any = tuple(cts)
    else:
        seeds = cts[0]
        if results is None:
            out = out[0]
    if prior is None and not prim.asks_needed:
        given = prim.vjp_rule(seeds, out, *operands, **node.params)
    else:
        extra = node.params if prior is None else {**node.params, "prior": prior}
        if prim.asks_needed:
            extra = {**extra, "needed": needed}
        given = prim.vjp_rule(seeds, out, *operands, **extra)
        if given is NotImplemented:  # the sweep is to unfold the entry
            return given  # type: ignore[no-any-return]
    found = [
        _in_type_of(operand, ct) if want else None
        for want, ct, operand in zip(needed, given, operands, strict=True)
    ]
    return found if not node.hooks or PASSED not in node.hooks else run_passed(node, found, cts)


def _swept_before(node: TapeNode) -> AutogradError:
    return AutogradError(
        describe(
            node.prim.name,
            ", ".join(map(str, node.outputs)),
            "the tape was already swept and its saved values freed",
            "pass retain_graph=True to the first backward()",
            node.where,
        )
    )


def _in_type_of(operand: Any, ct: Any) -> Any:
    """A cotangent that a rule gave, or the function that makes it, in the type of its operand: broadcasts are summed,
    promotion is undone."""
    if ct is not None and not isinstance(ct, Tensor) and callable(ct):
        ct = ct()
    if ct is None:
        return None
    ct = sum_to(ct, operand.shape)
    return ct if ct.dtype is operand.dtype else cast(ct, dtype=operand.dtype.name)


def _run_hooks(node: TapeNode, slots: list[Any]) -> None:
    for index, hooks in (node.hooks or {}).items():
        for hook in list(hooks) if index >= 0 else ():
            if slots[index] is not None:
                changed = hook(slots[index])
                if changed is not None:
                    slots[index] = changed


def _sweep(
    roots: list[tuple[Edge, Tensor]],
    visit: Callable[[TapeNode, list[Any]], None],
    create_graph: bool,
    retain_graph: bool,
    wanted: set[int] | None = None,
    pending: dict[int, list[Any]] | None = None,
    every: bool = True,
) -> None:
    """Sweeps from `roots`; `visit` sees all nodes, or leaves alone unless `every`.

    Unless the graph is retained, what an entry saved is let go once the sweep is past it.
    """
    swept: list[TapeNode] = []  # the entry that the sweep is at, unless the graph is retained
    if state.tracer is not None:
        state.tracer.swept = True

    def release() -> None:
        if swept:
            past = swept.pop()
            past.saved = None
            past.released = True

    def see(node: TapeNode, slots: list[Any]) -> None:
        release()
        if node.hooks:
            _run_hooks(node, slots)
        if node.prim is None:
            visit(node, slots)
        else:
            if not retain_graph:
                swept.append(node)
            if every:
                visit(node, slots)
            if node.hooks:
                run_entered(node, slots)

    outer, state.sweep_ends = state.sweep_ends, []
    try:
        with grad_mode(create_graph):
            reverse(roots, apply_rule, add, wanted, see, pending)
        release()
        for end in state.sweep_ends:
            end()
    finally:
        state.sweep_ends = outer


class GradientEdge(NamedTuple):
    """A place on the tape: result `output_nr` of `node`; for sweeps as good as the tensor that it is of.

    >>> x = dg.tensor(3.0, requires_grad=True)
    >>> dg.autograd.graph.GradientEdge((x * x).grad_fn, 0).output_nr
    0
    """

    node: TapeNode
    output_nr: int

    @property
    def tensor_type(self) -> TensorType:
        """Dtype, shape and device of the gradient there."""
        return self.node.outputs[self.output_nr]  # type: ignore[no-any-return]

    def _edge(self) -> Edge:
        return self.node, self.output_nr


def _listed(tensors: Any) -> list[Any]:
    """Tensors, or places on the tape; one may stand for a sequence of one."""
    return [tensors] if isinstance(tensors, (Tensor, GradientEdge)) else list(tensors)


def _roots(tensors: Any, gradients: Any, op: str) -> list[tuple[Edge, Tensor]]:
    """Where a sweep begins: places on the tape, each with its gradient. One tensor may stand for a sequence of one."""
    tensors = _listed(tensors)
    if gradients is None or isinstance(gradients, Tensor):
        gradients = [gradients]
    if len(gradients) == 1 and gradients[0] is None:
        gradients = [None] * len(tensors)
    return [_root(t, g, op) for t, g in zip(tensors, gradients, strict=True)]


def _root(t: Tensor | GradientEdge, g: Tensor | None, op: str) -> tuple[Edge, Tensor]:
    """Where a sweep from `t` begins, and the cotangent that it begins with (ones for a single element)."""
    edge, given = t._edge(), t.tensor_type
    if edge is None:
        problem = "this tensor does not require gradients and has no history"
        remedy = "set requires_grad=True on what it is computed from"
        raise AutogradError(describe(op, str(given), problem, remedy))
    if g is None:
        if given.size != 1:
            problem = "a gradient can be started implicitly only from one element"
            remedy = "reduce with .sum(), or pass gradient="
            raise AutogradError(describe(op, str(given), problem, remedy))
        g = ones_like_type(given)
    elif g.shape != given.shape:
        problem = "the gradient has another shape than its tensor"
        raise ShapeError(describe(op, f"{given}, {g.tensor_type}", problem))
    return edge, g if g.dtype is given.dtype else cast(g, dtype=given.dtype.name)


def _unfolded(roots: list[tuple[Edge, Tensor]], create_graph: bool) -> None:
    """Readies the tape for a sweep that is recorded, captured or batched itself."""
    if create_graph or state.tracer is not None or state.batching is not None:
        with grad_mode(create_graph):
            unfold_all(e[0] for e, _ in roots)


class Accumulate:
    """Takes what reaches leaves, and adds it to their ``.grad`` at the end: a sweep that fails changes none.

    Each gradient gets memory of its own.
    """

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.given: set[int] = set()
        self._arrived: list[tuple[Tensor, Tensor]] = []

    def __call__(self, node: TapeNode, slots: list[Any]) -> None:
        if node.hooks:
            run_entered(node, slots)
        leaf = node.saved()
        ct = slots[0]
        if leaf is None or ct is None or not leaf._requires_grad:
            return
        if state.batching is not None:
            state.batching.check_gradient(leaf, ct)
        self._arrived.append((leaf, ct))

    def finish(self) -> None:
        """Adds what arrived."""
        with grad_mode(self.create_graph):
            for leaf, ct in self._arrived:
                before = leaf.grad
                if before is None:
                    leaf._set_grad(self._own(ct))
                elif self.create_graph:
                    leaf._set_grad(add(before, ct))
                else:
                    before.add_(ct)  # type: ignore[attr-defined]
            for leaf, ct in self._arrived:
                node = leaf._node
                if node is not None and node.hooks:
                    for hook in list(node.hooks.get(AFTER, ())):
                        hook(leaf)
                    run_passed(node, (), (ct,))

    def _own(self, ct: Tensor) -> Tensor:
        shared = ct._parent is not None or id(ct._data) in self.given
        if state.tracer is None:  # a capture must not depend on how arrays are allocated
            shared = shared or ct._data.base is not None
        out: Tensor = copy(ct) if shared else ct
        self.given.add(id(out._data))
        return out


def backward(
    tensors: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | GradientEdge | Sequence[Tensor | GradientEdge] | None = None,
) -> None:
    """Sums gradients of `tensors` into the ``.grad`` of the leaves they depend on.

    `grad_tensors` weighs each tensor (ones for single elements); `inputs` limits the leaves.

        >>> x = dg.tensor(3.0, requires_grad=True)
        >>> dg.autograd.backward([x * x])
        >>> x.grad
        tensor(6.)
    """
    roots = _roots(tensors, grad_tensors, "backward")
    accumulate = Accumulate(create_graph)
    plain = state.tracer is None and state.batching is None and not create_graph
    if plain and inputs is None and len(roots) == 1 and Whole.serve is not None:
        if Whole.serve(roots[0], accumulate, bool(retain_graph)):
            accumulate.finish()
            return
    _unfolded(roots, create_graph)
    wanted = None
    if inputs is not None:
        targets = {
            id(resolved(e)[0]) for e in (t._edge() for t in _listed(inputs)) if e is not None
        }
        wanted = ancestors_reaching([e[0] for e, _ in roots], targets)
    accumulate.given.update(id(g._data) for _, g in roots)
    _sweep(
        roots,
        accumulate,
        create_graph,
        create_graph if retain_graph is None else retain_graph,
        wanted,
        every=False,
    )
    accumulate.finish()


def grad(
    outputs: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    inputs: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of `outputs` for each of `inputs`; nothing is accumulated.

    Raises AutogradError for an input that the outputs do not depend on, unless `allow_unused`
    (None in its place) or `materialize_grads` (zeros).

        >>> x = dg.tensor(3.0, requires_grad=True)
        >>> dg.autograd.grad(x * x, x)
        (tensor(6.),)
    """
    ins = _listed(inputs)
    roots = _roots(outputs, grad_outputs, "grad")
    _unfolded(roots, create_graph)
    edges = [_input_edge(t) for t in ins]
    targets = {id(node) for node, _ in edges}
    wanted = ancestors_reaching([e[0] for e, _ in roots], targets)
    found: dict[tuple[int, int], Tensor] = {}

    def collect(node: TapeNode, slots: list[Any]) -> None:
        if id(node) in targets:
            found.update({(id(node), i): ct for i, ct in enumerate(slots) if ct is not None})

    retain = create_graph if retain_graph is None else retain_graph
    _sweep(roots, collect, create_graph, retain, wanted)
    results: list[Tensor | None] = []
    for t, (node, i) in zip(ins, edges, strict=True):
        ct = found.get((id(node), i))
        if ct is None and materialize_grads:
            of = t.tensor_type
            ct = full(shape=of.shape, value=0, dtype=of.dtype.name, device=str(of.device))
        elif ct is None and not allow_unused:
            problem = "the outputs do not depend on this input"
            remedy = "pass allow_unused=True to get None for it"
            raise AutogradError(describe("grad", str(t.tensor_type), problem, remedy))
        results.append(ct)
    return tuple(results)


def _input_edge(t: Tensor | GradientEdge) -> Edge:
    """Where an input of `grad` is on the tape."""
    edge = t._edge()
    if edge is None:
        problem, remedy = (
            "an input does not require gradients",
            "call .requires_grad_() on it first",
        )
        raise AutogradError(describe("grad", str(t.tensor_type), problem, remedy))
    return resolved(edge)

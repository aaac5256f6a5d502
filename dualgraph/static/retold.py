"""Retelling: the ops of a call that ran as one kernel, written down as if they had run one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.context import state
from ..core.errors import user_location
from ..core.node import Literal, Node, Var
from ..core.numbers.live import mode
from ..core.types import TensorType
from .capture import Tracer
from .graph import Operand
from .scopes import Scope


class Ops(NamedTuple):
    """Ops as a capture writes them down: from `inputs` and other values known before to `outputs`.

    ``scopes`` and ``views`` are numbers of nodes, as a tracer has them; ``untaped`` are results that are no part of the
    tape, though they come from what is.
    """

    nodes: tuple[Node, ...]
    scopes: tuple[Scope, ...]
    views: frozenset[int]
    untaped: frozenset[Var]
    inputs: tuple[Var, ...]
    outputs: tuple[Operand, ...]

    @classmethod
    def since(
        cls, tracer: Tracer, first: int, inputs: Sequence[Var], outputs: Sequence[Operand]
    ) -> Ops:
        """What a tracer wrote down from node number `first` on."""
        scopes = [(a - first, b - first, name) for a, b, name in tracer.scopes if a >= first]
        views = frozenset(i - first for i in tracer.views if i >= first)
        nodes, untaped = tuple(tracer.nodes[first:]), frozenset(tracer._untaped)
        return cls(nodes, tuple(scopes), views, untaped, tuple(inputs), tuple(outputs))


def hears() -> bool:
    """Whether the capture that runs here takes ops from a record as well as from their own runs."""
    tracer = state.tracer
    plain = type(tracer) is Tracer and mode.formulas is None
    return plain and tracer.at is None and not tracer._known and Tracer.watch is None


def retell(
    ops: Ops, tensors: Sequence[Any], values: Mapping[Any, Operand] | None = None,
    type_of: Callable[[TensorType], TensorType] | None = None,
) -> dict[Any, Operand]:  # fmt: skip
    """Writes down ops that have run on `tensors`. `values` are those known before; the result has all that are now.

    `type_of` gives what types are on these tensors, where they are others than in `ops`.
    """
    tracer = state.tracer
    given = dict(zip(ops.inputs, tensors, strict=True))
    known: dict[Any, Operand] = dict(values or ())

    def operand(v: Any) -> Operand:
        if type(v) is Literal:
            return v
        if v not in known:  # inputs come in the order in which the ops would have asked for them
            known[v] = tracer.var_of(given[v])
        return known[v]

    where, first = user_location(), len(tracer.nodes)
    for node in ops.nodes:
        inputs, types = tuple(map(operand, node.inputs)), tuple([v.type for v in node.outputs])
        types = types if type_of is None else tuple(map(type_of, types))
        made: tuple[Var, ...] = tracer._emit(node.prim, inputs, node.params, types, where)
        known.update(zip(node.outputs, made, strict=True))
        if not ops.untaped.isdisjoint(node.outputs):
            tracer._untaped.update(made)
    tracer.scopes += [(first + a, first + b, name) for a, b, name in ops.scopes]
    tracer.views.update([first + i for i in ops.views])
    for v in ops.outputs:
        operand(v)
    return known


def off_tape(ops: Ops, tensors: Sequence[Any], writes: Sequence[int]) -> Ops:
    """The same ops, run under ``no_grad``: what comes from tensors that want gradients is off the tape.

    The last of its outputs are the new values of the operands number `writes`.
    """
    if not state.tracer._taped or state.grad:
        return ops
    written = dict(zip(writes, ops.outputs[len(ops.outputs) - len(writes) :], strict=True))
    wanting = {i: v for i, v in enumerate(ops.inputs) if tensors[i].requires_grad}
    reads = {*wanting.values(), *(written[i] for i in wanting if i in written)}
    untaped = (v for node in ops.nodes if not reads.isdisjoint(node.inputs) for v in node.outputs)
    return ops._replace(untaped=frozenset(untaped))

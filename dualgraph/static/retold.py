"""Retelling: the ops of a call that ran as one kernel, written down as if they had run one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.context import state
from ..core.errors import user_location
from ..core.live import mode
from ..core.node import Literal, Var
from .capture import Tracer
from .graph import Graph, Operand


def hears() -> bool:
    """Whether the capture that runs here takes ops from a graph as well as from their own runs."""
    tracer = state.tracer
    plain = type(tracer) is Tracer and mode.formulas is None
    return plain and tracer.at is None and not tracer._known and Tracer.watch is None


def retell(graph: Graph, tensors: Sequence[Any], result: Any, writes: Sequence[int]) -> None:
    """Writes down the ops of `graph`, which have run on `tensors` under ``no_grad`` or with no gradient wanted.

    Its outputs are what `result` has (None: there is none), then the new values of the operands number `writes`.
    """
    tracer = state.tracer
    given = dict(zip(graph.inputs, tensors, strict=True))
    outs = list(graph.outputs)
    first = [] if result is None else [outs.pop(0)]
    written = {graph.inputs[i]: v for i, v in zip(writes, outs, strict=True)}
    stopped = tracer._taped and not state.grad
    wanting = [v for v, t in given.items() if stopped and t.requires_grad]
    untaped = {*wanting, *(written[v] for v in wanting if v in written)}
    known: dict[Any, Operand] = {}

    def operand(v: Any) -> Operand:
        if type(v) is Literal:
            return v
        if v not in known:  # inputs come in the order in which the ops would have asked for them
            known[v] = tracer.var_of(given[v])
        return known[v]

    where = user_location()
    for node in graph.nodes:
        inputs, types = tuple(map(operand, node.inputs)), tuple(v.type for v in node.outputs)
        made: tuple[Var, ...] = tracer._emit(node.prim, inputs, node.params, types, where)
        known.update(zip(node.outputs, made, strict=True))
        if not untaped.isdisjoint(node.inputs):
            tracer._untaped.update(made)
    for v in first:
        tracer._set(result, operand(v))
    for i, v in zip(writes, outs, strict=True):
        tracer.writes += 1
        tracer.var_of(tensors[i])
        tracer._set(tensors[i], operand(v))

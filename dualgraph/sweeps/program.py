"""Programs: the sweep over a tape that looks like a template, compiled."""

from __future__ import annotations

from typing import Any

from ..backends.executor import Executable
from ..control.derive import derive
from ..core.node import TapeNode
from ..core.prim import Prim
from ..core.sweep import reverse
from ..core.types import TensorType
from ..eager.autograd import apply_rule
from ..eager.tensor import Tensor
from ..merge.entry import MergedOp
from ..merge.running import compiled
from ..ops.arithmetic import add
from ..ops.movement import copy, inverse, permute
from ..static.graph import Graph
from .template import Template


def graph_of(template: Template, index: int) -> Graph:
    """From the values that such a tape saved, and the cotangent of result `index` of its latest entry, to the gradients
    of its leaves: what the sweep over stand-ins of its entries does."""
    count = len(template.types)

    def run(*given: Tensor) -> list[Tensor]:
        nodes = _stand_ins(template, [*map(_turned_back, given, template.orders)])
        found: dict[int, Tensor] = {}

        def visit(node: TapeNode, slots: list[Any]) -> None:
            if node.prim is None:
                found[id(node)] = slots[0]

        reverse([((nodes[0], index), given[count])], _rule, add, None, visit)
        return [copy(found[id(nodes[k])]) for k in template.leaves]

    types = map(_as_it_lies, template.types, template.orders)
    return derive(run, (*types, template.entries[0].outputs[index]))


def _as_it_lies(t: TensorType, order: tuple[int, ...] | None) -> TensorType:
    """The type of a value whose axes follow each other in memory so."""
    return t if order is None else t._replace(shape=tuple(t.shape[i] for i in order))


def _turned_back(x: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """A value of which the axes were put in this order."""
    return x if order is None else permute(x, axes=inverse(order))  # type: ignore[no-any-return]


def _rule(
    node: TapeNode, cts: list[Any], needed: tuple[bool, ...], prior: list[Any] | None = None
) -> Any:
    """Cotangents of operands, or their totals where the entry is that of a composite."""
    if not isinstance(node.prim, MergedOp):
        return apply_rule(node, cts, needed, prior)
    assert prior is not None
    return node.prim.totals(cts[0], [k and k[0] for k in node.saved[0]], needed, prior)


def _stand_ins(template: Template, values: Any) -> list[TapeNode]:
    """Such a tape, made of stand-ins for what was saved."""
    nodes: list[Any] = [None] * len(template.entries)
    for k, entry in reversed(list(enumerate(template.entries))):
        edges = tuple([None if e is None else (nodes[e[0]], e[1]) for e in entry.edges])
        nodes[k] = made = TapeNode(entry.prim, edges, entry.params, entry.outputs)
        kept = []
        for wanted, e in zip(entry.kept, entry.edges, strict=True):
            if type(wanted) is tuple:
                kept.append((values[wanted[0]], 0))
            elif wanted is None and e is not None and isinstance(entry.prim, Prim):
                kept.append(template.entries[e[0]].outputs[e[1]])
            else:
                kept.append(wanted)
        results = None
        if entry.results is not None:
            saved = [values[i] for i in entry.results]
            results = tuple([(None, [0, None], 0, t.dtype, t.device, t) for t in saved])
        made.saved = (tuple(kept), results)
    return nodes


def program_of(template: Template, index: int) -> Executable:
    """The same, compiled."""
    return compiled(graph_of(template, index))

"""Cuts: ``losses.append(net(x).item())`` as two - the program computes the tensor, and what is done with its number, or
with the list of its numbers, is set apart.

A local variable that the statement itself does not need stands for the tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .dataflow import Part
from .steps import LOADS, Op

if TYPE_CHECKING:
    from .blocks import Layout

# What may stand before the tensor: it says where things are, and does nothing.
BEFORE = frozenset((*LOADS, *"PUSH_NULL LOAD_ATTR LOAD_METHOD COPY DUP_TOP".split()))
TAKERS = ("item", "tolist")
CALLS = ("PRECALL", "CALL", "CALL_METHOD")


class Cut(NamedTuple):
    """Where a statement begins, where what computes its tensor does, and the variable that stands for that."""

    begin: int
    at: int
    name: str


def cut_in(plan: Layout, inside: list[int]) -> tuple[Cut, Part] | None:
    """Where a statement without branches can be cut, and what is set apart of it, as `reading` wants it; its second
    piece begins with ``.item()`` or ``.tolist()``. None where it cannot."""
    ops, depth = plan.ops, plan.depth
    for n in inside[1:-1]:
        if ops[n].value in TAKERS and ops[n + 1].name in CALLS and ops[n + 1].arg == 0:
            at = _operand(plan, n)
            break
    else:
        return None
    before, within, rest = inside[: at - inside[0]], range(at, n), inside[n - inside[0] :]
    if at < inside[0] or ops[at].part or not any(ops[m].name in CALLS for m in within):
        return None
    if any(ops[m].name not in BEFORE for m in before):
        return None
    if any(ops[m].name.startswith(("STORE_", "DELETE_")) for m in within):
        return None
    used = {ops[m].value for m in (*before, *rest)}
    spare = [v for v in plan.code.co_varnames[:256] if v not in used | {*plan.code.co_cellvars}]
    if not spare or ops[inside[0]].part:
        return None
    cut = Cut(ops[inside[0]].offset, ops[at].offset, spare[0])
    load = Op("LOAD_FAST", plan.code.co_varnames.index(spare[0]), spare[0], cut.at, ops[n].offset)
    ways = (*plan.ways[:at], (n,), *plan.ways[at + 1 :])
    made = (*ops[:at], load, *ops[at + 1 :])
    part = Part(plan.code, made, depth, plan.at, ways, [*before, at, *rest], depth[inside[0]] or 0)
    return cut, part


def _operand(plan: Layout, n: int) -> int:
    """The instruction with which what lies uppermost on the stack before number `n` begins to be made."""
    depth = plan.depth
    at = n - 1
    while at >= 0 and (depth[at] is None or depth[at] >= depth[n]):  # type: ignore[operator]
        at -= 1
    return at

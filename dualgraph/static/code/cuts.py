"""Cuts: ``losses.append(net(x).item())`` as two - the program computes the tensor, and what is done with its number, or
with the list of its numbers, is set apart. So is what is done with a reading of a clock (``print(time() - start)``).

A local variable that the statement itself does not need stands for the tensor, or for the reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...core.numbers import draws
from .dataflow import Part
from .steps import LOADS, Op

if TYPE_CHECKING:
    from .blocks import Layout

# What may stand before the tensor: it says where things are, and does nothing.
BEFORE = frozenset((*LOADS, *"PUSH_NULL LOAD_ATTR LOAD_METHOD COPY DUP_TOP".split()))
TAKERS = ("item", "tolist")
CLOCKS = frozenset(clock.__name__ for clock in draws.CLOCKS)
CALLS = ("PRECALL", "CALL", "CALL_METHOD")


class Cut(NamedTuple):
    """Where a statement begins, where what computes its tensor does, and the variable that stands for that.

    ``of_clock``: it stands for a reading of a clock.
    """

    begin: int
    at: int
    name: str
    of_clock: bool


def cut_in(plan: Layout, inside: list[int]) -> tuple[Cut, Part] | None:
    """Where a statement without branches can be cut, and what is set apart of it, as `reading` wants it; its second
    piece begins with ``.item()`` or ``.tolist()``, or behind the call of a clock. None where it cannot."""
    ops, depth = plan.ops, plan.depth
    named = (n for n in inside[:-1] if ops[n].value in TAKERS or ops[n].value in CLOCKS)
    for n in named:
        call = n + (ops[n + 1].name == "PUSH_NULL") + 1
        of_clock = ops[n].value in CLOCKS
        if ops[call].name in CALLS and ops[call].arg == 0 and (of_clock or n > inside[0]):
            if of_clock:
                n = call + (ops[call].name == "PRECALL") + 1
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
    cut = Cut(ops[inside[0]].offset, ops[at].offset, spare[0], of_clock)
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

"""Weaving: lines of two images become one line, their elements in turns, in native code.

A stage whose units are lines. Its record is FIELDS: line i begins at ``target + places[i]`` and gets `evens` elements
from ``even + even_table[i]`` on at its places 0, 2, ... and `odds` from ``odd + odd_table[i]`` on at those between;
where a table says NOWHERE they are zeros.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import I32, PTR
from .code import ELEMENTS, Writer, i64
from .copy import NOWHERE
from .shape import Geometry
from .team import FUNCTION

FIELDS = ("target", "places", "even", "even_table", "evens", "odd", "odd_table", "odds")


def emit_weave(geometry: Geometry) -> str:
    """IR of ``weave(record, pointers, scratch, begin, end)``."""
    module = ir.Module(name="weave")
    w = Writer(module, "weave", FUNCTION)
    b, lanes, size = w.b, geometry.lanes, geometry.size
    given, pointers, _, begin, end = w.fn.args
    p = {name: w.word(given, i64(i)) for i, name in enumerate(FIELDS)}
    kind = ir.VectorType(ELEMENTS[geometry.element], lanes)
    in_turns = [l // 2 + lanes * (l % 2) for l in range(lanes)]
    halves = [
        ir.Constant(ir.VectorType(I32, lanes), [l + half * lanes // 2 for l in in_turns])
        for half in range(2)
    ]
    width = b.add(p["evens"], p["odds"])
    starts = {n: b.inttoptr(w.word(pointers, p[n]), PTR) for n in ("target", "even", "odd")}
    with w.loop(end, begin) as line:
        sources: list[tuple[ir.Value, ir.Value]] = []
        for name in ("even", "odd"):
            offset = w.word(b.inttoptr(p[f"{name}_table"], PTR), line.i)
            there = b.icmp_signed("!=", offset, i64(NOWHERE))
            place = w.at(starts[name], b.select(there, offset, i64(0)))
            sources.append((place, b.select(there, p[f"{name}s"], i64(0))))
        goal = w.at(starts["target"], w.word(b.inttoptr(p["places"], PTR), line.i))
        last = b.sub(p["evens"], i64(lanes))
        last = b.select(b.icmp_signed(">", last, i64(0)), last, i64(0))
        with w.loop(p["evens"], step=lanes) as turn:
            i = w.least(turn.i, last)  # the last vectors are whole, too, where there is room
            pair = [
                w.load(
                    w.at(place, w.scaled(i, size)),
                    kind,
                    w.between(i64(0), b.sub(count, i), lanes),
                )
                for place, count in sources
            ]
            first = w.scaled(i, 2)
            for half in range(2):
                at = b.add(first, i64(half * lanes))
                woven = b.shuffle_vector(*pair, halves[half])
                w.store_first(woven, w.at(goal, w.scaled(at, size)), b.sub(width, at))
    b.ret_void()
    return str(module)

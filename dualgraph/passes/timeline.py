"""Timeline: how many bytes are live at each step of a plan, and which lines made those at the peak."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .schedule import Buffer
from .sizes import human

WIDTH = 30  # of the longest bar
LISTED = 10  # buffers named at the peak


def timeline(buffers: Sequence[Buffer], steps: Sequence[tuple[str, str]], rows: int) -> str:
    """Bars of the bytes live at each step - the peak among them - and the buffers live at the peak, largest first.

    ``steps``: the op and the user's line of each step.
    """
    live = live_bytes(buffers, len(steps))
    if not live:
        return ""
    peak = live.index(max(live))
    at = len(str(len(live)))
    lines = []
    for i in shown(live, peak, rows):
        bar = "#" * round(WIDTH * live[i] / max(live[peak], 1))
        mark = "  <- peak" if i == peak else ""
        lines.append(f"  {i:{at}}  {human(live[i]):>10}  {bar:{WIDTH}}  {_told(steps, i)}{mark}")
    there = sorted((b for b in buffers if b.first <= peak <= b.last), key=lambda b: -b.nbytes)
    lines.append(f"live at step {peak}:")
    for b in there[:LISTED]:
        lines.append(
            f"  {human(b.nbytes):>10}  {b.type}  made by {_told(steps, b.first)}, until step {b.last}"
        )
    if len(there) > LISTED:
        rest = sum(b.nbytes for b in there[LISTED:])
        lines.append(f"  {human(rest):>10}  in {len(there) - LISTED} more")
    return "\n".join(lines)


def live_bytes(buffers: Sequence[Buffer], steps: int) -> list[int]:
    """The bytes live at each step."""
    change = [0] * (steps + 2)
    for b in buffers:
        change[max(b.first, 0)] += b.nbytes
        change[min(b.last, steps) + 1] -= b.nbytes
    live, out = 0, []
    for c in change[:steps]:
        live += c
        out.append(live)
    return out


def shown(live: Sequence[int], peak: int, rows: int) -> list[int]:
    """At most `rows` steps: of each stretch of the run the one with most bytes, so that no peak is hidden."""
    size = -(-len(live) // max(rows, 1))
    parts = (range(i, min(i + size, len(live))) for i in range(0, len(live), size))
    return [peak if peak in part else max(part, key=lambda i: live[i]) for part in parts]


def _told(steps: Sequence[tuple[str, str]], i: int) -> str:
    """``matmul at model.py:31``."""
    if not 0 <= i < len(steps):
        return "the end"
    op, where = steps[i]
    return f"{op} at {os.path.basename(where)}" if where.strip(":0") else op

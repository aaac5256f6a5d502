"""Plot: ratios as bars on a logarithmic axis, as SVG."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

ROW, LEFT, WIDTH, TOP = 18, 430, 480, 40  # pixels


def plot(rows: list[dict[str, Any]]) -> str:
    """A bar for each row that has a ratio, with a line at 1 and a mark at what the row must reach."""
    shown = [r for r in rows if r["ratio"]]
    ratios = [r["ratio"] for r in shown]
    low = min([0.5, *ratios]) / 1.1
    high = max([2.0, *ratios]) * 1.1

    def x(ratio: float) -> float:
        return LEFT + WIDTH * math.log(ratio / low) / math.log(high / low)

    height = TOP + ROW * len(shown) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="14">best peer\'s time (or memory) over ours; the bar of a row ends at its ratio</text>',
    ]
    for tick in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64):
        if low < tick < high:
            colour = "black" if tick == 1 else "#ccc"
            lines.append(
                f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{height}" stroke="{colour}"/>'
                f'<text x="{x(tick):.1f}" y="{TOP - 10}" text-anchor="middle">{tick:g}</text>'
            )
    for i, r in enumerate(shown):
        y = TOP + ROW * i
        start, end = sorted((x(1.0), x(r["ratio"])))
        colour = "#2a7" if r["ratio"] >= r["must"] else "#d62"
        lines.append(
            f'<text x="{LEFT - 6}" y="{y + 12}" text-anchor="end">{escape(r["workload"])}</text>'
            f'<rect x="{start:.1f}" y="{y + 3}" width="{max(end - start, 1):.1f}" height="{ROW - 7}" fill="{colour}"/>'
            f'<text x="{max(end, x(1.0)) + 4:.1f}" y="{y + 12}">{r["ratio"]:.2f}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])

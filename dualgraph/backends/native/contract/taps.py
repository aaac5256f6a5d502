"""Taps: weight gradients that read their windows in place, a tap in each row of a tile and filters in the lanes.

Neighbouring taps of a kernel's last axis read neighbouring elements: one address serves a line of them, and nothing
is put side by side before. The cotangent is packed with its filters side by side, which costs little where there are
more taps than filters read it. The order of k is the usual one, (sample, output position); where the weight is
small its blocks go to threads, and their sums are added in order afterwards (`fold`).
"""

from __future__ import annotations

from math import prod
from typing import Any

from ..threads import pool
from . import fold, kernels
from .layout import Layout, Lines, layout_of, taps_of
from .operands import Lined, Product, Tabled
from .plan import Plan
from .seat import Seat
from .shape import KC
from .stages import Recipe, Record, Stage
from .tables import Ints, Pairs, name_of, table

PLACES = 8  # output positions for each filter from which turning the result over costs little
FULL = 4  # times as many filters fill the lanes of a vector
SUMS = 2**22  # bytes of blocks' sums that are kept side by side
SPANS = 8  # parts of k for each thread


def line(kernel: Ints, rows: int) -> int:
    """How many taps of the last axis one address serves in tiles of so many rows: as many in each line."""
    return max(d for d in range(1, rows + 1) if kernel[-1] % d == 0)


def suits(x: Any, ct: Any, kernel: Ints, groups: int) -> bool:
    """Whether a weight gradient is rather computed this way."""
    places, filters = ct.shape[0] * prod(ct.shape[2:]), ct.shape[1] // groups
    shape = kernels.shape_for(name_of(x.dtype))
    fills = FULL * filters >= shape.lanes and x.shape[1] > 0
    return fills and line(kernel, shape.rows) > 1 and places >= PLACES * filters


def add_taps(
    recipe: Recipe,
    x: Any,
    ct: Any,
    kernel: Ints,
    seat: Seat,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
) -> None:
    """Puts a weight gradient's stages into a recipe."""
    layout = layout_of(x, padding)
    product = _product(x, ct, kernel, layout, stride, dilation, groups)
    size, m, filters = x.itemsize, product.m, product.n
    blocks, nbytes = -(-product.k // KC), groups * m * filters * size
    apart = blocks >= 2 * pool.size and blocks * nbytes <= SUMS
    images_at = layout.put(recipe, seat.x, x.shape[0])
    turned = recipe.room("turned", nbytes)
    goal = recipe.room("sums", blocks * nbytes) if apart else turned
    spans = SPANS * pool.size if apart else 1
    adding = kernels.fold(kernels.shape_for(name_of(x.dtype))) if apart else 0
    Plan(product, recipe, (images_at, seat.y, goal), spans=spans)
    if apart:
        values = Record((goal, turned, blocks, nbytes, nbytes // size))
        units = -(-nbytes // size // fold.UNIT)
        recipe.add(Stage(adding, values, units, blocks * nbytes // size))
    out = seat.goal(recipe, nbytes)
    lines = Lines(
        x.dtype,
        table((groups, m * filters * size), (filters, size)),
        m,
        table((groups, m * filters * size), (filters, m * size)),
        step=filters * size,
    )
    recipe.add(lines.stage(turned, out))
    seat.close(recipe, out)


def _product(
    x: Any, ct: Any, kernel: Ints, layout: Layout, stride: Ints, dilation: Ints, groups: int
) -> Product:
    """The weight gradient, turned over: a row for each tap, a column for each filter."""
    shape, size = kernels.shape_for(name_of(x.dtype)), x.itemsize
    channels, filters = x.shape[1] // groups, ct.shape[1] // groups
    rows = taps_of(layout, channels, kernel, dilation)
    places = [(d, s * step) for d, s, step in zip(ct.shape[2:], stride, layout.steps, strict=True)]
    ks = table((x.shape[0], layout.sample), *places)
    taps = Lined(rows, ks, line(kernel, shape.rows), dilation[-1] * layout.steps[-1])
    ct_ks = table(*zip(ct.shape[:1] + ct.shape[2:], ct.strides[:1] + ct.strides[2:], strict=True))
    m = len(rows)
    starts = (
        table((groups, channels * layout.channel)),
        table((groups, filters * ct.strides[1])),
        table((groups, m * filters * size)),
    )
    return Product(
        name_of(x.dtype), m, filters, len(ks),
        taps, Tabled(table((filters, ct.strides[1])), ct_ks), filters * size, starts,
    )  # fmt: skip

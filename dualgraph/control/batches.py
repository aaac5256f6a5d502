"""Batching bodies: the graph of one example as the graph of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.types import TensorType
from ..eager.batch import batch_of, in_batch
from ..eager.batching import level_of
from ..eager.tensor import Tensor
from ..ops.reduce import broadcast_to
from ..static.graph import Graph
from .derive import cached, derive, run_on_tensors


def batched(
    graph: Graph, mapped: Sequence[bool], size: int, force: Sequence[bool] | None = None
) -> tuple[Graph, tuple[bool, ...]]:
    """The graph over inputs of which the `mapped` have a batch as axis 0, and which outputs then have one.

    Outputs in `force` get one in any case.
    """
    force = (False,) * len(graph.outputs) if force is None else tuple(force)
    key = ("batched", graph, tuple(mapped), size, force)
    found: tuple[Graph, tuple[bool, ...]] = cached(
        key, lambda: _batched(graph, mapped, size, force)
    )
    return found


def _batched(
    graph: Graph, mapped: Sequence[bool], size: int, force: Sequence[bool]
) -> tuple[Graph, tuple[bool, ...]]:
    """`batched`, worked out anew."""
    has: list[bool] = []

    def run(*inputs: Tensor) -> list[Tensor]:
        outs = []
        with level_of(size) as level:
            given = [in_batch(x, level) if m else x for x, m in zip(inputs, mapped, strict=True)]
            for out, wide in zip(run_on_tensors(graph, given), force, strict=True):
                batch = batch_of(out)
                within = out if batch is None or batch.level is not level else batch.inner
                is_mapped = within is not out and batch is not None and batch.mapped
                if wide and not is_mapped:
                    within = broadcast_to(within, shape=(size, *within.shape))
                outs.append(within)
                has.append(wide or is_mapped)
        return outs

    types = [
        TensorType(t.dtype, (size, *t.shape), t.device) if m else t
        for t, m in zip(graph.in_types, mapped, strict=True)
    ]
    return derive(run, types), tuple(has)


def batched_loop(
    body: Graph, mapped: Sequence[bool], carries: int, size: int, saved: int = 0
) -> tuple[Graph, list[bool]]:
    """The batched body of a loop, and which parts of the carry have the batch after some steps.

    The `saved` last results, which are the carry as it was, have it where the carry has it.
    """
    carry = list(mapped[:carries])
    while True:
        _, has = batched(body, [*carry, *mapped[carries:]], size)
        after = [a or b for a, b in zip(carry, has, strict=False)]
        if after == carry:
            break
        carry = after
    ys = len(body.outputs) - carries - saved
    force = [*carry, *[True] * ys, *[False] * saved]
    return batched(body, [*carry, *mapped[carries:]], size, force)[0], carry


def carry_with_batch(
    args: Sequence[Tensor], mapped: Sequence[bool], carry: Sequence[bool], size: int
) -> list[Tensor]:
    """The first carry, with the batch for those parts that `carry` says."""
    return [
        broadcast_to(a, shape=(size, *a.shape)) if c and not m else a
        for a, c, m in zip(args, carry, mapped, strict=False)
    ]


def with_batch(outs: Sequence[Tensor], mapped: Sequence[bool], size: int) -> list[Tensor]:
    """All results with the batch as axis 0."""
    return [
        x if m else broadcast_to(x, shape=(size, *x.shape))
        for x, m in zip(outs, mapped, strict=True)
    ]

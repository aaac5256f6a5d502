"""The scan op on tensors: its gradient is a scan back through the steps, its batch a scan of batches."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..eager.shapes import moveaxis
from ..eager.tensor import Tensor
from ..ops.arithmetic import add
from ..static.control import scan_op
from ..static.graph import Graph
from .batches import batched_loop, carry_with_batch, with_batch
from .body import tracked, unread
from .derive import cached, derive, filled, pull, settled
from .products import Use, gradient, products
from .saved import kept, saving, without_unread


def run_scan(
    init: Sequence[Tensor], xs: Sequence[Tensor], constants: Sequence[Tensor], body: Graph, length: int, reverse: bool
) -> list[Tensor]:  # fmt: skip
    """The scan op on these operands; where gradients are recorded it saves what they need."""
    operands = [*init, *xs, *constants]
    saves = tracked(operands)
    outs = scan_op(
        *operands,
        body=saving(body, len(init), len(xs)) if saves else body,
        carries=len(init),
        slices=len(xs),
        length=length,
        reverse=reverse,
        saves=saves,
    )
    return [unread(x) for x in outs[: len(body.outputs)]]


# --- gradient ----------------------------------------------------------------------------------


@scan_op.vjp
def _scan_vjp(
    cts: tuple[Any, ...], outs: Any, *operands: Any, needed: tuple[bool, ...],
    body: Graph, carries: int, slices: int, length: int, reverse: bool, saves: bool,
) -> list[Any]:  # fmt: skip
    """A scan back through the steps: its carry is the cotangent of the carry, and sums for the constants."""
    if not saves:  # the scan again, now with what its gradient reads
        body = saving(body, carries, slices)
        outs = scan_op(
            *operands, body=body, carries=carries, slices=slices, length=length, reverse=reverse, saves=True
        )  # fmt: skip
        cts = (*cts, *[None] * (len(outs) - len(cts)))
    given = tuple(ct is not None for ct in cts[carries:])
    both = carries + slices
    of_xs, of_constants = needed[carries:both], needed[both:]
    apart = products(body, both, of_constants)  # constants that need no sums
    uses = [use for found in apart.values() for use in found]
    summed = [w and i not in apart for i, w in enumerate(of_constants)]
    init, xs, constants = operands[:carries], operands[carries:both], operands[both:]
    inexact = [i for i, x in enumerate(init) if x.dtype.is_inexact]
    wanted = [x for x, w in zip(constants, summed, strict=True) if w]
    first = len(outs) - carries
    given_cts = (ct for ct in cts[carries:] if ct is not None)
    rows = [*outs[first:], *xs, *given_cts, *(outs[i] for i in kept(body, carries).values())]

    def make() -> tuple[Graph, list[bool]]:
        back = _step_back(body, carries, slices, given, (*of_xs, *summed), uses)
        return without_unread(back, len(inexact) + len(wanted), len(rows))

    back, reads = cached(("scan", body, carries, slices, given, needed[carries:]), make)
    starts = settled([cts[i] for i in inexact], [init[i].tensor_type for i in inexact])
    sums = [filled(x.tensor_type, -0.0) for x in wanted]
    read = [x for x, r in zip(rows, reads, strict=True) if r]
    results = run_scan([*starts, *sums], read, constants, back, length, not reverse)
    found = iter(results)
    ct_init = dict(zip(inexact, found, strict=False))
    ct_sums = iter([next(found) for _ in wanted])
    ct_xs = [next(found) if w else None for w in of_xs]
    stacked = iter(results[len(results) - len(_handed_out(body, both, uses)) :])
    rows_of = dict(zip(body.inputs, [*outs[first:], *xs], strict=False))
    at_once = _products_over_all_steps(apart, rows_of, stacked)
    return [
        *(ct_init.get(i) for i in range(carries)),
        *ct_xs,
        *(next(ct_sums) if w else at_once.get(i) for i, w in enumerate(summed)),
    ]


def _handed_out(body: Graph, given: int, uses: Sequence[Use]) -> list[tuple[Use, bool]]:
    """What a step back hands out for products: the cotangent of each, and (True) factors that are not given."""
    inputs = body.inputs[:given]
    return [
        (use, own) for use in uses for own in (True, False) if not (own and use.factor in inputs)
    ]


def _products_over_all_steps(
    apart: Mapping[int, Sequence[Use]], rows_of: dict[Any, Any], stacked: Iterator[Any]
) -> dict[int, Any]:
    """The cotangents of constants that need no sums, by number: one product over all steps for each use."""
    return {
        i: functools.reduce(add, [gradient(use, *_stacked(use, rows_of, stacked)) for use in uses])
        for i, uses in apart.items()
    }


def _stacked(use: Use, rows_of: dict[Any, Any], stacked: Iterator[Any]) -> tuple[Any, Any]:
    """The factors and cotangents of all steps."""
    x = rows_of[use.factor] if use.factor in rows_of else next(stacked)
    return x, next(stacked)


scan_op.asks_needed = True


def _step_back(
    body: Graph, carries: int, slices: int, given: Sequence[bool], needed: Sequence[bool], uses: Sequence[Use]
) -> Graph:  # fmt: skip
    """From the cotangents of a step's results, and sums for constants, those of what it started from.

    Operands: cotangents of the carry, sums; the carry, x, the given cotangents of y and the kept values of the
    step; constants.
    Last come the factors and cotangents of `uses`, as `_handed_out` lists them.
    """
    types = body.in_types
    inexact = [i for i in range(carries) if types[i].dtype.is_inexact]
    of_xs, of_constants = needed[:slices], needed[slices:]
    summed = [t for t, w in zip(types[carries + slices :], of_constants, strict=True) if w]
    wanted = [*(t.dtype.is_inexact for t in types[:carries]), *of_xs, *of_constants]
    saved = kept(body, carries)
    ys = [t for t, g in zip(body.out_types[carries:], given, strict=True) if g]

    def run(*inputs: Tensor) -> list[Tensor]:
        rest = iter(inputs)
        cts: list[Tensor | None] = [None] * carries
        for i in inexact:
            cts[i] = next(rest)
        sums = [next(rest) for _ in summed]
        start = [next(rest) for _ in range(carries + slices)]
        cts += [next(rest) if g else None for g in given]
        known = {v: next(rest) for v in saved}
        pending = iter(sums)
        begun = [None] * (carries + slices) + [next(pending) if w else None for w in of_constants]
        also = [use.node.outputs[0] for use in uses]
        found, inside = pull(body, [*start, *rest], wanted, cts, begun, also, known)
        pulled = [(ct, t) for ct, t, w in zip(found, types, wanted, strict=True) if w]
        out = settled([ct for ct, _ in pulled], [t for _, t in pulled])
        at = len(inexact) + sum(of_xs)
        rows = _rows(_handed_out(body, carries + slices, uses), uses, inside)
        return [*out[: len(inexact)], *out[at:], *out[len(inexact) : at], *rows]

    carry = [types[i] for i in inexact]
    more = [v.type for v in saved]
    return derive(
        run, [*carry, *summed, *types[: carries + slices], *ys, *more, *types[carries + slices :]]
    )


def _rows(
    listed: Sequence[tuple[Use, bool]],
    uses: Sequence[Use],
    inside: Sequence[tuple[list[Any], Tensor | None]],
) -> list[Tensor]:
    """What one step hands out for products; ``inside`` has the operands of each use, and the cotangent of its
    result."""
    of_use = {id(use): pair for use, pair in zip(uses, inside, strict=True)}
    pairs = [(use, own, *of_use[id(use)]) for use, own in listed]
    rows = [operands[1 - use.side] if own else ct for use, own, operands, ct in pairs]
    types = [
        x.tensor_type if own else use.node.outputs[0].type
        for (use, own, *_), x in zip(pairs, rows, strict=True)
    ]
    return settled(rows, types)


# --- vmap --------------------------------------------------------------------------------------


@scan_op.batch
def _scan_batch(
    lift: Any, args: list[Any], mapped: tuple[bool, ...],
    body: Graph, carries: int, slices: int, length: int, reverse: bool, saves: bool,
) -> Any:  # fmt: skip
    """A scan of the batched body; a carry has the batch if any step gives it one."""
    step, carry_mapped = batched_loop(body, mapped, carries, lift.size, carries if saves else 0)
    first = carry_with_batch(args, mapped, carry_mapped, lift.size)
    xs = [
        moveaxis(a, 0, 1) if m else a
        for a, m in zip(
            args[carries : carries + slices], mapped[carries : carries + slices], strict=True
        )
    ]
    outs = scan_op(
        *first, *xs, *args[carries + slices :],
        body=step, carries=carries, slices=slices, length=length, reverse=reverse, saves=saves,
    )  # fmt: skip
    ys = len(outs) - (2 * carries if saves else carries)
    rows = [*[True] * ys, *(carry_mapped if saves else ())]
    stacked = [moveaxis(y, 1, 0) if m else y for y, m in zip(outs[carries:], rows, strict=True)]
    return tuple(with_batch([*outs[:carries], *stacked], [*carry_mapped, *rows], lift.size))

"""scan and map: a step repeated over the leading axis of its inputs, as one op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.context import state, untraced
from ..core.errors import ArgumentError, ShapeError, describe
from ..eager.shapes import moveaxis, stack
from ..eager.tensor import Tensor
from ..ops.movement import copy, reshape, slice_
from ..ops.reduce import broadcast_to
from ..static.control import scan_op, step_order
from ..static.graph import Graph, renumber
from .body import (
    Body,
    Structure,
    check_same,
    note_refusals,
    owned,
    tensors_of,
    trace_body,
    tracked,
    with_common_constants,
)
from .derive import batched, cached, derive, filled, pull, settled

REMEDY = "the carry keeps its structure, shapes and dtypes from step to step; cast it inside, or start with that type"


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:  # fmt: skip
    """``carry, y = f(carry, x)`` for each x along the leading axis of `xs`: the last carry, and the ys stacked.

    `init`, `xs` and what `f` gives are trees of tensors; `xs` may be None if `length` is given, and `y` may
    be None. The carry keeps its structure and types. `reverse` runs from the last x to the first; ys keep
    the order of `xs`. A capture keeps the loop as one node, however long; tensors that `f` closes over are
    found and become operands. Raises ShapeError, DTypeError or ArgumentError for what does not fit.

    >>> import dualgraph as dg
    >>> total, sums = dg.scan(lambda c, x: (c + x, c + x), 0.0, dg.asarray([1., 2., 3.]))
    >>> total.item(), sums.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    return _Scan("scan", f, init, xs, length, reverse).run()  # type: ignore[no-any-return]


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """``f(x)`` for each x along the leading axis of `xs`, stacked: a loop, where `vmap` computes all at once.

    >>> import dualgraph as dg
    >>> dg.map(lambda x: x * 2, dg.asarray([1., 2.])).tolist()
    [2.0, 4.0]
    """

    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        return carry, f(x)

    return _Scan("map", step, (), xs, None, False).run()[1]


class _Scan:
    """One call of scan."""

    def __init__(
        self, op: str, f: Callable[..., Any], init: Any, xs: Any, length: int | None, reverse: bool
    ) -> None:
        self.op, self.f, self.reverse = op, f, reverse
        self.init, self.carry = tensors_of(op, init)
        given, self.slice = tensors_of(op, xs)
        self.length = self._length(given, length)
        self.xs = [_row_major(x) for x in given]
        _, self.args = tensors_of(op, (init, xs))

    def _length(self, xs: Sequence[Tensor], length: int | None) -> int:
        types = ", ".join(str(x.type) for x in xs)
        sizes = {x.shape[0] if x.ndim else None for x in xs} | (
            {length} if length is not None else set()
        )
        if not sizes:
            raise ArgumentError(describe(self.op, types, "how many steps?", "give xs or length="))
        if None in sizes or len(sizes) > 1:
            problem = (
                f"the leading axes of xs{' and length' * (length is not None)} differ: {sizes}"
            )
            raise ShapeError(
                describe(self.op, types, problem, "all xs need one leading axis of the same length")
            )
        return int(sizes.pop())  # type: ignore[arg-type]

    def run(self) -> Any:
        if not self.length:
            body = self._first(discarded=True)
            note_refusals(self.op, body.refusals)
            return self._node(body)
        if state.tracer is None and state.batching is None and not state.grad:
            return self._loop(self.init, [], 0)
        body = self._first(discarded=False)
        if body.refusals:
            note_refusals(self.op, body.refusals)
        elif (
            state.tracer is not None
            or state.batching is not None
            or tracked([*self.init, *self.xs, *body.outs])
        ):
            return self._node(body)
        carry, y = self._parted(body.outs, body.structure)
        return self._loop(carry, [y], 1)

    def _first(self, discarded: bool) -> Body:
        """The first step (of a scan without steps: what it would be), run and written down."""
        with untraced():
            if self.length:
                row = [_row(x, step_order(self.length, self.reverse)[0]) for x in self.xs]
            else:
                row = [filled(x.type._replace(shape=x.shape[1:])) for x in self.xs]
        return trace_body(self.op, self.f, self.args, [*self.init, *row], discarded)

    def _parted(
        self, outs: list[Tensor], structure: Structure
    ) -> tuple[list[Tensor], tuple[list[Tensor], Structure]]:
        """What a step gave: the leaves of the carry, and y."""
        pair = structure.build(outs)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ArgumentError(
                describe(
                    self.op,
                    str(structure),
                    f"a step gives (carry, y), not {structure}",
                    "return a pair; y may be None",
                )
            )
        carry = tensors_of(self.op, pair[0])
        check_same(self.op, "the carry changes in a step", carry, (self.init, self.carry), REMEDY)
        return carry[0], tensors_of(self.op, pair[1])

    # --- as a loop in Python ---

    def _loop(
        self, carry: list[Tensor], ys: list[tuple[list[Tensor], Structure]], start: int
    ) -> Any:
        for i in step_order(self.length, self.reverse)[start:]:
            row = [_row(x, i) for x in self.xs]
            given = self.args.build([*(_row_major(c) for c in carry), *row])
            carry, y = self._parted(*tensors_of(self.op, self.f(*given)))
            if ys:
                check_same(
                    self.op,
                    "y changes from step to step",
                    y,
                    ys[0],
                    "give the same types in each step",
                )
            ys.append(y)
        rows = [y for y, _ in ys]
        columns = zip(*(rows[::-1] if self.reverse else rows), strict=True)
        return self.carry.build(owned(carry)), ys[0][1].build([stack(c) for c in columns])

    # --- as one node ---

    def _node(self, body: Body) -> Any:
        carry, (_, structure) = self._parted(body.outs, body.structure)
        (graph,), constants = with_common_constants([body], len(self.init) + len(self.xs))
        outs = run_scan(self.init, self.xs, constants, graph, self.length, self.reverse)
        n = len(carry)
        return self.carry.build(outs[:n]), structure.build(outs[n:])


def _row_major(x: Tensor) -> Tensor:
    """`x` in row-major order, as the bodies of compiled loops get it."""
    return x if x._data.flags.c_contiguous else copy(x)


def _row(x: Tensor, i: int) -> Tensor:
    starts, stops = (i,) + (0,) * (x.ndim - 1), (i + 1, *x.shape[1:])
    return reshape(slice_(x, starts=starts, stops=stops, steps=(1,) * x.ndim), shape=x.shape[1:])  # type: ignore[no-any-return]


def run_scan(
    init: Sequence[Tensor], xs: Sequence[Tensor], constants: Sequence[Tensor], body: Graph, length: int, reverse: bool
) -> list[Tensor]:  # fmt: skip
    """The scan op on these operands; where gradients are recorded it saves what they need."""
    operands = [*init, *xs, *constants]
    saves = tracked(operands)
    outs = scan_op(
        *operands,
        body=saving(body, len(init)) if saves else body,
        carries=len(init),
        slices=len(xs),
        length=length,
        reverse=reverse,
        saves=saves,
    )
    return list(outs[: len(body.outputs)])


def saving(body: Graph, carries: int) -> Graph:
    """The body with the carry that it starts from as further results."""
    return renumber(Graph(body.inputs, body.nodes, (*body.outputs, *body.inputs[:carries])))


# --- gradient ----------------------------------------------------------------------------------


@scan_op.vjp
def _scan_vjp(
    cts: tuple[Any, ...], outs: Any, *operands: Any, needed: tuple[bool, ...],
    body: Graph, carries: int, slices: int, length: int, reverse: bool, saves: bool,
) -> list[Any]:  # fmt: skip
    """A scan back through the steps: its carry is the cotangent of the carry, and sums for the constants."""
    if not saves:
        body = saving(body, carries)
        outs = scan_op(
            *operands,
            body=body,
            carries=carries,
            slices=slices,
            length=length,
            reverse=reverse,
            saves=True,
        )
        cts = (*cts, *[None] * carries)
    given = tuple(ct is not None for ct in cts[carries:])
    key = ("scan", body, carries, slices, given, needed[carries:])
    back = cached(key, lambda: _step_back(body, carries, slices, given, needed[carries:]))
    init, xs, constants = (
        operands[:carries],
        operands[carries : carries + slices],
        operands[carries + slices :],
    )
    inexact = [i for i, x in enumerate(init) if x.dtype.is_inexact]
    wanted = [x for x, w in zip(constants, needed[carries + slices :], strict=True) if w]
    starts = settled([cts[i] for i in inexact], [init[i].type for i in inexact])
    sums = [filled(x.type, -0.0) for x in wanted]
    rows = [*outs[len(outs) - carries :], *xs, *(ct for ct in cts[carries:] if ct is not None)]
    results = run_scan([*starts, *sums], rows, constants, back, length, not reverse)
    found = iter(results)
    of_init = dict(zip(inexact, found, strict=False))
    of_constants = iter([next(found) for _ in wanted])
    return [
        *(of_init.get(i) for i in range(carries)),
        *(next(found) if w else None for w in needed[carries : carries + slices]),
        *(next(of_constants) if w else None for w in needed[carries + slices :]),
    ]


scan_op.asks_needed = True


def _step_back(
    body: Graph, carries: int, slices: int, given: Sequence[bool], needed: Sequence[bool]
) -> Graph:
    """From the cotangents of a step's results, and sums for constants, those of what it started from.

    Operands: cotangents of the carry, sums; the carry, x and the given cotangents of y of the step; constants.
    """
    types = body.in_types
    inexact = [i for i in range(carries) if types[i].dtype.is_inexact]
    of_xs, of_constants = needed[:slices], needed[slices:]
    summed = [t for t, w in zip(types[carries + slices :], of_constants, strict=True) if w]
    wanted = [*(t.dtype.is_inexact for t in types[:carries]), *of_xs, *of_constants]
    ys = [t for t, g in zip(body.out_types[carries:], given, strict=True) if g]

    def run(*inputs: Tensor) -> list[Tensor]:
        rest = iter(inputs)
        cts: list[Tensor | None] = [None] * carries
        for i in inexact:
            cts[i] = next(rest)
        sums = [next(rest) for _ in summed]
        start = [next(rest) for _ in range(carries + slices)]
        cts += [next(rest) if g else None for g in given]
        pending = iter(sums)
        begun = [None] * (carries + slices) + [next(pending) if w else None for w in of_constants]
        found = pull(body, [*start, *rest], wanted, cts, begun)
        kept = [(ct, t) for ct, t, w in zip(found, types, wanted, strict=True) if w]
        out = settled([ct for ct, _ in kept], [t for _, t in kept])
        at = len(inexact) + sum(of_xs)
        return [*out[: len(inexact)], *out[at:], *out[len(inexact) : at]]

    carry = [types[i] for i in inexact]
    return derive(
        run, [*carry, *summed, *types[: carries + slices], *ys, *types[carries + slices :]]
    )


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

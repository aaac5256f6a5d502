"""scan and map: a step repeated over the leading axis of its inputs, as one op."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from ..core.context import state
from ..core.errors import ArgumentError, ShapeError, describe
from ..core.numbers.sizing import to_int
from ..core.numbers.symbolic import plain
from ..eager.lift import example
from ..eager.shapes import stack
from ..eager.tensor import Tensor
from ..ops.movement import copy
from ..static.control import step_order
from ..static.graph import Graph, renumber
from .body import (
    KEEPS_TYPES,
    Body,
    Joined,
    Structure,
    check_same,
    joined,
    note_refusals,
    owned,
    tensors_of,
    trace_body,
    tracked,
    unseen,
)
from .derive import filled
from .reach import untied
from .scan_rules import run_scan
from .written import Recent, Written, circumstances, written

_bodies = Recent()
SEVERAL = 4  # steps from which writing one down costs less than running them all in Python


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
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


def scan_pure(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, reverse: bool = False,
    key: Hashable = None, closes: Sequence[Tensor] = (),
) -> tuple[Any, Any]:  # fmt: skip
    """`scan` of a function that does nothing but compute: eager mode, too, calls it once and runs the op.

    Functions with one `key` (not None) do the same to tensors of the same types, and read no others from outside than
    those in `closes`, in the same roles: one is called, the others run as it was written down.
    """
    return _Scan("scan", f, init, xs, None, reverse).run(True, key, closes)  # type: ignore[no-any-return]


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
        self.args = Structure.of_arguments(self.carry, self.slice)

    def _length(self, xs: Sequence[Tensor], length: int | None) -> int:
        """The number of steps, on which all of `xs` and `length` must agree."""
        types = ", ".join(str(x.tensor_type) for x in xs)
        sizes = [x.shape[0] if x.ndim else None for x in xs]
        sizes += [] if length is None else [length]
        if not sizes:
            raise ArgumentError(describe(self.op, types, "how many steps?", "give xs or length="))
        if any(n is None or n != sizes[0] for n in sizes):
            problem = (
                f"the leading axes of xs{' and length' * (length is not None)} differ: {sizes}"
            )
            raise ShapeError(
                describe(self.op, types, problem, "all xs need one leading axis of the same length")
            )
        return to_int(sizes[0])

    def run(self, pure: bool = False, key: Hashable = None, closes: Sequence[Tensor] = ()) -> Any:
        """The last carry and the ys; `pure`: Python need not run each step; `key` and `closes`: see `scan_pure`."""
        if not self.length:
            body = self._first(discarded=True, watched=not pure)
            note_refusals(self.op, body.refusals)
            return self._node(body)
        pure = pure and state.tracer is None and self.length >= SEVERAL
        if pure and key is not None and state.batching is None:
            return self._once(key, closes)
        if state.tracer is None and state.batching is None and not state.grad and not pure:
            return self._loop(self.init, [], 0)
        body = self._first(discarded=False, watched=not pure)
        if body.refusals:
            note_refusals(self.op, body.refusals)
        elif (
            pure
            or state.tracer is not None
            or state.batching is not None
            or tracked([*self.init, *self.xs, *body.outs])
        ):
            return self._node(body)
        carry, y = self._parted(body.outs, body.structure)
        return self._loop(carry, [y], 1)

    def _first(self, discarded: bool, watched: bool) -> Body:
        """The first step (of a scan without steps: what it would be), run and written down."""
        with unseen():
            if self.length:
                first = step_order(plain(self.length), self.reverse)[0]
                row = [example(x, first) for x in self.xs]
            else:
                row = [filled(x.tensor_type._replace(shape=x.shape[1:])) for x in self.xs]
        return trace_body(self.op, self.f, self.args, [*self.init, *row], discarded, watched)

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
        check_same(
            self.op, "the carry changes in a step", carry, (self.init, self.carry), KEEPS_TYPES
        )
        return carry[0], tensors_of(self.op, pair[1])

    # --- as a loop in Python ---

    def _loop(
        self, carry: list[Tensor], ys: list[tuple[list[Tensor], Structure]], start: int
    ) -> Any:
        """The scan from step `start` on, run step by step."""
        for i in step_order(self.length, self.reverse)[start:]:
            row = [example(x, i) for x in self.xs]
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

    def _once(self, key: Hashable, closes: Sequence[Tensor]) -> Any:
        """As one node, of a body that is written down the first time."""
        how = key, self.args, circumstances([*self.init, *self.xs, *closes])
        found: Written | None = _bodies.get(how)
        if found is not None:
            n = len(self.init)
            constants = [closes[i] for i in found.reads]
            outs = run_scan(self.init, self.xs, constants, found.graph, self.length, self.reverse)
            return self.carry.build(outs[:n]), found.structure.build(outs[n:])
        body = self._first(discarded=False, watched=False)
        one, graph, y = self._joined(body)
        made = written(body, graph, one.constants, closes, y)
        operands = [*self.init, *self.xs, *one.constants]
        tied = zip(operands, untied(operands, [graph]), strict=True)
        if made is not None and all(a is b for a, b in tied):
            _bodies.put(how, made)
        return self._node(body)

    def _joined(self, body: Body) -> tuple[Joined, Graph, Structure]:
        """The body over carry, x, and what else it reads; and what y is."""
        _, (_, structure) = self._parted(body.outs, body.structure)
        n, m = len(self.init), len(self.xs)
        one = joined([body], n + m)
        return one, _states_carried(one.graphs[0], n, m, len(one.states)), structure

    def _node(self, body: Body) -> Any:
        """The scan as one op over the graph of a step."""
        n, m = len(self.init), len(self.xs)
        one, graph, structure = self._joined(body)
        carry = n + len(one.states)
        operands = untied([*self.init, *one.first(), *self.xs, *one.constants], [graph])
        outs = run_scan(
            operands[:carry],
            operands[carry : carry + m],
            operands[carry + m :],
            graph,
            self.length,
            self.reverse,
        )
        one.store(self.op, outs[n:carry])
        return self.carry.build(outs[:n]), structure.build(outs[carry:])


def _states_carried(body: Graph, carries: int, slices: int, states: int) -> Graph:
    """The body with its states as the end of the carry: they came after x, and after y."""
    given, results = body.inputs, body.outputs
    x, ys = carries + slices, len(results) - states
    inputs = (*given[:carries], *given[x : x + states], *given[carries:x], *given[x + states :])
    outputs = (*results[:carries], *results[ys:], *results[carries:ys])
    return renumber(Graph(inputs, body.nodes, outputs))


def _row_major(x: Tensor) -> Tensor:
    """`x` in row-major order, as the bodies of compiled loops get it."""
    return x if x._data.flags.c_contiguous else copy(x)

"""while_loop: a step repeated for as long as a test holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.context import grad_mode, state, untraced
from ..core.dtypes import int64
from ..core.errors import AutogradError, CaptureError, DualgraphError, describe
from ..core.types import TensorType
from ..eager.batch import batch_of
from ..eager.shapes import moveaxis
from ..eager.tensor import Tensor
from ..ops.arithmetic import add, cast, subtract, where
from ..ops.comparison import greater
from ..ops.indexing import index
from ..ops.movement import copy
from ..ops.reduce import reduce_any
from ..static.control import while_op
from ..static.graph import Graph
from .batches import batched, batched_loop, carry_with_batch, with_batch
from .body import (
    KEEPS_TYPES,
    Body,
    Structure,
    difference,
    joined,
    note_refusals,
    owned,
    tensors_of,
    trace_body,
    trace_discarded,
    tracked,
    unread,
)
from .cond import check_predicate, choose
from .derive import cached, derive, filled, pull, run_on_tensors, settled
from .reach import untied

COUNT = TensorType(int64, ())


def while_loop(
    cond_fn: Callable[[Any], Any],
    body_fn: Callable[[Any], Any],
    init: Any,
    max_steps: int | None = None,
) -> Any:
    """``while cond_fn(carry): carry = body_fn(carry)``, from `init`: the last carry.

    The carry is a tree of tensors that keeps its structure and types. With `max_steps` the loop ends after
    so many steps in any case; a captured loop has a reverse gradient only then, since the carries of
    all steps are kept for it (AutogradError else; an eager one has it anyway). A capture keeps the loop as
    one node. Under `vmap` each example stops by its own test.

    >>> import dualgraph as dg
    >>> dg.while_loop(lambda x: x < 100, lambda x: x * 2, dg.asarray(1.0)).item()
    128.0
    """
    return _While(cond_fn, body_fn, init, max_steps).run()


class _While:
    """One call of while_loop."""

    def __init__(self, test: Any, body: Any, init: Any, max_steps: int | None) -> None:
        self.test_fn, self.body_fn, self.max_steps = test, body, max_steps
        self.init, self.carry = tensors_of("while_loop", init)
        self.args = Structure.of_arguments(self.carry)

    def run(self) -> Any:
        plain = state.tracer is None and state.batching is None
        if plain and not state.grad:
            return self._loop(self.init, 0)
        test = trace_body("while_loop", self.test_fn, self.args, self.init)
        pred = check_predicate("while_loop", test.structure.build(test.outs))
        goes_on = batch_of(pred) is None and self.max_steps != 0 and _holds(pred)
        differs = batch_of(pred) is not None
        body = self._body(goes_on, not differs)
        if differs and (isinstance(body, str) or body.states or test.states):
            why = body if isinstance(body, str) else "it writes to a tensor from outside"
            raise CaptureError(describe("while_loop", f"{pred.tensor_type} inside vmap", why))
        if isinstance(body, str):
            note_refusals("while_loop", [body])
            return self.carry.build(owned(self.init))
        if not goes_on and not differs:
            unlike = self._difference(body.outs, body.structure)
            if unlike is not None:
                note_refusals("while_loop", [str(unlike).partition("\n")[0]])
                return self.carry.build(owned(self.init))
        self._check(body.outs, body.structure)
        drawn = [f"cond_fn writes to {t.tensor_type} from outside" for t, _ in test.states]
        refusals = (*test.refusals, *drawn, *body.refusals)
        note_refusals("while_loop", refusals)
        on_tape = tracked([*self.init, *body.outs])
        if not refusals and not (plain and (not on_tape or self.max_steps is None)):
            return self._node(test, body)
        if differs:
            return self._loop(self.init, 0)
        return self._loop(body.outs, 1) if goes_on else self.carry.build(owned(self.init))

    def _body(self, goes_on: bool, watched: bool) -> Body | str:
        """The body, run and written down; or why it cannot be, if no step is taken."""
        if goes_on:
            return trace_body("while_loop", self.body_fn, self.args, self.init)
        return trace_discarded("while_loop", "body_fn", self.body_fn, self.args, self.init, watched)

    def _difference(self, carry: list[Tensor], structure: Structure) -> DualgraphError | None:
        """The error for a carry that a step has given other types."""
        given, old = (carry, structure), (self.init, self.carry)
        return difference("while_loop", "the carry changes in a step", given, old, KEEPS_TYPES)

    def _check(self, carry: list[Tensor], structure: Structure) -> None:
        unlike = self._difference(carry, structure)
        if unlike is not None:
            raise unlike

    # --- as a loop in Python ---

    def _loop(self, carry: list[Tensor], step: int) -> Any:
        """The loop from `step` on, run step by step."""
        while step != self.max_steps:
            carry = [c if c._data.flags.c_contiguous else copy(c) for c in carry]
            pred = check_predicate("while_loop", self.test_fn(*self.args.build(carry)))
            if not (bool(pred) if batch_of(pred) is None else _most(pred)):
                break
            made, structure = tensors_of("while_loop", self.body_fn(*self.args.build(carry)))
            self._check(made, structure)
            if batch_of(pred) is not None:  # examples that are done stay as they are
                made = [where(pred, a, b) for a, b in zip(made, carry, strict=True)]
            carry = made
            step += 1
        return self.carry.build(owned(carry))

    # --- as one node ---

    def _node(self, test: Body, body: Body) -> Any:
        """The loop as one op over a graph of the test and one of the step."""
        both = joined([test, body], len(self.init))
        check, step = both.graphs
        check = check.with_nodes(check.nodes, check.outputs[:1])
        operands = untied([*self.init, *both.first(), *both.constants], [step])
        count, max_steps = len(self.init) + len(both.states), self.max_steps
        carry, constants = operands[:count], operands[count:]
        if max_steps is None and state.tracer is None and tracked(operands):
            max_steps = _count(carry, constants, check, step)
        outs = run_while(carry, constants, check, step, max_steps)
        both.store("while_loop", outs[len(self.init) :])
        return self.carry.build(outs)


def _holds(pred: Tensor) -> bool:
    with untraced():
        return bool(pred)


def _count(init: Sequence[Tensor], constants: Sequence[Tensor], test: Graph, body: Graph) -> int:
    """How many steps a loop takes (under vmap: the example that takes most)."""
    types = [*body.in_types[: len(init)], COUNT, *body.in_types[len(init) :]]
    n = len(init)
    check = derive(lambda *v: run_on_tensors(test, [*v[:n], *v[n + 1 :]]), types)
    step = derive(lambda *v: [*run_on_tensors(body, [*v[:n], *v[n + 1 :]]), add(v[n], 1)], types)
    with grad_mode(False):
        steps = run_while([*init, filled(COUNT)], constants, check, step, None)[n]
    return _most(steps)


def _most(t: Tensor) -> int:
    """The largest of the values that examples have."""
    while (batch := batch_of(t)) is not None:
        t = batch.inner
    return int(t._data.max())


def run_while(
    init: Sequence[Tensor],
    constants: Sequence[Tensor],
    test: Graph,
    body: Graph,
    max_steps: int | None,
) -> list[Tensor]:
    """The loop op on these operands; where gradients are recorded it saves its carries."""
    saves = max_steps is not None and tracked([*init, *constants])
    outs = while_op(
        *init, *constants, test=test, body=body, carries=len(init), max_steps=max_steps, saves=saves
    )
    return [unread(x) for x in outs[: len(init)]]


# --- gradient ----------------------------------------------------------------------------------


@while_op.vjp
def _while_vjp(
    cts: tuple[Any, ...], outs: Any, *operands: Any, needed: tuple[bool, ...],
    test: Graph, body: Graph, carries: int, max_steps: int | None, saves: bool,
) -> list[Any]:  # fmt: skip
    """A loop back through the saved carries, for as many steps as were taken."""
    if max_steps is None:
        types = ", ".join(str(x.tensor_type) for x in operands[:carries])
        problem = "a loop without a bound has no reverse gradient in a graph, since its carries cannot be kept"
        raise AutogradError(describe("while_loop", types, problem, "pass max_steps="))
    if not saves:
        outs = while_op(
            *operands, test=test, body=body, carries=carries, max_steps=max_steps, saves=True
        )
        cts = (*cts, *[None] * (carries + 1))
    constants, given = operands[carries:], tuple(ct is not None for ct in cts[carries + 1 :])
    summed = needed[carries:]
    test_back, step_back = cached(
        ("while", body, carries, given, summed, max_steps),
        lambda: _step_back(body, carries, given, summed, max_steps),
    )
    inexact = [i for i, t in enumerate(body.in_types[:carries]) if t.dtype.is_inexact]
    starts = settled([cts[i] for i in inexact], [body.in_types[i] for i in inexact])
    sums = [filled(x.tensor_type, -0.0) for x, w in zip(constants, summed, strict=True) if w]
    fixed = [*outs[carries + 1 :], *(ct for ct in cts[carries + 1 :] if ct is not None), *constants]
    results = run_while([outs[carries], *starts, *sums], fixed, test_back, step_back, max_steps)
    of_init = dict(zip(inexact, results[1:], strict=False))
    of_constants = iter(results[1 + len(inexact) :])
    return [
        *(of_init.get(i) for i in range(carries)),
        *(next(of_constants) if w else None for w in summed),
    ]


while_op.asks_needed = True


def _step_back(
    body: Graph, carries: int, given: Sequence[bool], summed: Sequence[bool], max_steps: int
) -> tuple[Graph, Graph]:
    """Test and body of the loop back: it counts down, and reads the saved carry of the step it undoes.

    Operands: the count, cotangents of the carry, sums; saved carries, given cotangents of them, constants.
    """
    types = body.in_types
    inexact = [i for i in range(carries) if types[i].dtype.is_inexact]
    sums = [t for t, w in zip(types[carries:], summed, strict=True) if w]
    stacked = [TensorType(t.dtype, (max_steps, *t.shape), t.device) for t in types[:carries]]
    extra = [t for t, g in zip(stacked, given, strict=True) if g]
    wanted = [*(t.dtype.is_inexact for t in types[:carries]), *summed]

    def run(count: Tensor, *inputs: Tensor) -> list[Tensor]:
        rest = iter(inputs)
        step = subtract(count, 1)
        cts: list[Tensor | None] = [None] * carries
        for i in inexact:
            cts[i] = next(rest)
        pending = iter([next(rest) for _ in sums])
        start = [index(next(rest), step, dims=(0,)) for _ in range(carries)]
        also = [index(next(rest), step, dims=(0,)) if g else None for g in given]
        begun = [*also, *(next(pending) if w else None for w in summed)]
        found, _ = pull(body, [*start, *rest], wanted, cts, begun)
        kept = [(ct, t) for ct, t, w in zip(found, types, wanted, strict=True) if w]
        return [step, *settled([ct for ct, _ in kept], [t for _, t in kept])]

    operands = [COUNT, *(types[i] for i in inexact), *sums, *stacked, *extra, *types[carries:]]
    return derive(lambda count, *_: [greater(count, 0)], operands), derive(run, operands)


# --- vmap --------------------------------------------------------------------------------------


@while_op.batch
def _while_batch(
    lift: Any, args: list[Any], mapped: tuple[bool, ...],
    test: Graph, body: Graph, carries: int, max_steps: int | None, saves: bool,
) -> Any:  # fmt: skip
    """A loop over the batched body; where examples differ in the test, those that are done keep their carry."""
    size = lift.size
    step, carry = batched_loop(body, mapped, carries, size)
    check, (differs,) = batched(test, [*carry, *mapped[carries:]], size)
    if differs:
        carry = [True] * carries
        all_mapped = [*carry, *mapped[carries:]]
        check = batched(test, all_mapped, size)[0]
        step = batched(body, all_mapped, size, carry)[0]
        check, step = cached(
            ("masked", check, step, carries), lambda: _masked(check, step, carries)
        )
    count = [filled(TensorType(int64, (size,)))] * differs
    outs = while_op(
        *carry_with_batch(args, mapped, carry, size), *count, *args[carries:],
        test=check, body=step, carries=carries + differs, max_steps=max_steps, saves=saves,
    )  # fmt: skip
    if not saves:
        return tuple(with_batch(outs[:carries], carry, size))
    saved = outs[carries + differs + 1 :][:carries]
    moved = [moveaxis(s, 1, 0) if m else s for s, m in zip(saved, carry, strict=True)]
    # each example has taken its own number of steps, where they differ
    return tuple(with_batch([*outs[: carries + 1], *moved], [*carry, differs, *carry], size))


def _masked(test: Graph, body: Graph, carries: int) -> tuple[Graph, Graph]:
    """The loop that goes on while any example does; examples that are done stay as they are.

    After the carry stands how many steps each example has taken.
    """

    def step(*inputs: Tensor) -> list[Tensor]:
        operands = [*inputs[:carries], *inputs[carries + 1 :]]
        (active,) = run_on_tensors(test, operands)
        new = run_on_tensors(body, operands)
        steps = add(inputs[carries], cast(active, dtype="int64"))
        return [*(choose(active, a, b) for a, b in zip(new, operands, strict=False)), steps]

    def check(*inputs: Tensor) -> list[Tensor]:
        (active,) = run_on_tensors(test, [*inputs[:carries], *inputs[carries + 1 :]])
        return [reduce_any(active, axes=(0,), keepdims=False)]

    types = list(body.in_types)
    types.insert(carries, TensorType(int64, test.out_types[0].shape))
    return derive(check, types), derive(step, types)

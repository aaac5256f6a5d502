"""Batching: the handler that runs ops on the tensors of `vmap`; dispatch calls it while one runs.

An op on batched operands becomes, by the rule of its kind, ops on the tensors within. The tape works at
both levels, so `grad` may stand inside `vmap` or around it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from ..core.context import state
from ..core.errors import TransformError, describe
from ..core.prim import Prim
from ..ops.arithmetic import add, multiply
from ..ops.creation import arange_op
from ..ops.movement import concat_along, copy, permute, reshape
from ..ops.reduce import broadcast_to, reduce_sum
from .batch import Batch, Level, batch_of, in_batch, tracked
from .custom import Function, FunctionContext, VmapInfo
from .inplace import write
from .lift import Lift
from .tensor import Tensor


def _follow_parent(t: Tensor) -> None:
    """Makes a view see the batch that its base was given since the view was taken."""
    if t._parent is None:
        return
    parent, prim, params = t._parent
    _follow_parent(parent)
    base, own = batch_of(parent), batch_of(t)
    if base is not None and (own is None or (own.level, own.mapped) != (base.level, base.mapped)):
        t._data = prim(parent, **params)._data


class Batching:
    """The handler of batched operands, one a thread while a `vmap` runs; eager dispatch calls it."""

    stays = False  # whether it goes on when the last vmap has ended

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self._born: dict[int, tuple[weakref.ref[Tensor], Level]] = {}
        self._lifting = 0  # inside a batch rule

    def of_bodies(self) -> Batching | None:
        """The handler while the body of a loop or branch is written down."""
        return self

    def applies(self, args: Any) -> bool:
        """Whether one of the operands is batched."""
        return any(type(getattr(a, "_data", None)) is Batch for a in args)

    def depth(self, args: Any) -> int:
        """How deep the innermost vmap among the operands stands in others; 0 if none is batched."""
        batches = (batch_of(a) for a in args)
        return max((b.level.depth for b in batches if b is not None), default=0)

    def run(self, prim: Prim, args: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
        """Results of an op, at the level of the innermost batch among its operands."""
        for a in args:
            if isinstance(a, Tensor) and a._parent is not None:
                _follow_parent(a)
        level = self._innermost(args)
        inner, batched = [], []
        for a in args:
            batch = batch_of(a)
            if batch is not None and batch.level is level:
                inner.append(batch.inner)
                batched.append(batch.mapped)
            else:
                inner.append(a if isinstance(a, Tensor) else a.value)
                batched.append(False)
        mapped = any(batched)
        if len(self.levels) == 1:  # what is within is plain, and need not be looked at again
            state.batching = None
        self._lifting += 1
        try:
            if mapped:
                out = prim.kind.batch(prim, Lift(level.size), inner, tuple(batched), params)
            else:
                out = prim(*inner, **params)
        finally:
            self._lifting -= 1
            state.batching = self
        return tuple(in_batch(o, level, mapped) for o in (out if prim.multiple else (out,)))

    def enter(self, x: Tensor) -> Tensor:
        """x as a tensor of the innermost vmap."""
        batch, level = batch_of(x), self.levels[-1]
        if batch is not None and batch.level is level:
            return x
        out = in_batch(x, level, mapped=False)
        if state.tracer is not None and level.depth <= state.tracer.depth:
            state.tracer.name(out, x)  # it sees this level, where both are one value
        return out

    def _innermost(self, args: Any) -> Level:
        batches = [b for b in map(batch_of, args) if b is not None]
        for b in batches:
            b.check_alive()
        return max((b.level for b in batches), key=lambda level: level.depth)

    def store(self, op: str, t: Tensor, new: Tensor, derived: bool) -> None:
        """Writes `new` into the memory of `t`, where at least one is batched (`derived`: see `write`)."""
        level = self._innermost((t, new))
        source = batch_of(new)
        values, mapped = new, False
        if source is not None and source.level is level:
            values, mapped = source.inner, source.mapped
        target = batch_of(t)
        if target is None or target.level is not level or (mapped and not target.mapped):
            target = self._give_batch(op, t, level, mapped)
        if target.mapped and not mapped:
            values = broadcast_to(values, shape=(level.size, *values.shape))
        write(op, target.inner, values, derived)

    def _give_batch(self, op: str, t: Tensor, level: Level, mapped: bool) -> Batch:
        """Gives a tensor made inside the vmap memory for each example, since examples write differently."""
        if t._parent is not None:
            self._give_batch(op, t._parent[0], level, mapped)
            _follow_parent(t)
        else:
            self._check_made_inside(op, t, level)
            batch = batch_of(t)
            plain = batch.inner if batch is not None and batch.level is level else t
            wide = broadcast_to(plain, shape=(level.size, *t.shape)) if mapped else plain
            t._data = Batch(copy(wide), level, mapped)
        found = batch_of(t)
        assert found is not None
        return found

    def note(self, outs: tuple[Tensor, ...]) -> None:
        """Remembers which running vmap each result was made in."""
        if self._lifting:
            return
        for out in outs:
            batch = batch_of(out)
            if batch is not None and batch.mapped and batch.level is self.levels[-1]:
                continue  # has memory for each example already
            key = id(out)
            made = weakref.ref(out, lambda _, key=key: self._born.pop(key, None))  # type: ignore[misc]
            self._born[key] = made, self.levels[-1]

    def _check_made_inside(self, op: str, t: Tensor, level: Level) -> None:
        """Raises for a tensor that was not made inside of the vmap of `level`."""
        made, where = self._born.get(id(t), (None, level))
        if made is None or made() is not t or where.depth < level.depth:
            raise TransformError(
                describe(
                    op,
                    f"{t.tensor_type}",
                    "values that differ between examples cannot go into a tensor that all examples share",
                    "write into a tensor made inside the function, or return the values",
                )
            )

    def spread(self, counter: Tensor, step: int) -> tuple[Tensor, int]:
        """A generator state for each example, `step` apart; and how far all of them together go."""
        if any(level.draws == "error" for level in self.levels):
            raise TransformError(
                describe(
                    "vmap",
                    "randomness='error'",
                    "the function draws random numbers",
                    "pass randomness='different', or 'same' for the same numbers in all examples",
                )
            )
        levels = [level for level in self.levels if level.draws == "different"]
        sizes = tuple(level.size for level in levels)
        moves = arange_op(
            start=0, step=step, size=prod(sizes), dtype="uint64", device=str(counter.device)
        )
        moves = reshape(moves, shape=(*sizes, 1))
        out = add(counter, concat_along(multiply(moves, 0), moves, axis=len(sizes)))
        for level in levels:
            out = in_batch(out, level)
        return out, step * prod(sizes)

    # --- custom functions: the user's forward and backward, for tapes at both levels ---

    def lifts(self, args: tuple[Any, ...]) -> bool:
        """Whether the tape under the batched operands wants to know of a custom function."""
        return self.applies(args) and any(isinstance(a, Tensor) and _tracked_below(a) for a in args)

    def custom(
        self,
        cls: type[Function],
        ctx: FunctionContext,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Runs a custom function on batched operands as a custom function of the tensors within."""
        level = self._level_of(cls, args)
        own = [b if (b := batch_of(a)) is not None and b.level is level else None for a in args]
        inner = [a if b is None else b.inner for a, b in zip(args, own, strict=True)]
        several = []

        def forward(within: FunctionContext, *_: Any) -> tuple[Tensor, ...]:
            result = cls.run(ctx, *args, **kwargs)
            several.append(isinstance(result, tuple))
            outs = result if isinstance(result, tuple) else (result,)
            mapped = tuple(_all_examples(o, level) for o in outs)
            within.mark_non_differentiable(
                *(m for m, o in zip(mapped, outs, strict=True) if id(o) in ctx._non_differentiable)
            )
            return mapped

        def backward(_: FunctionContext, *cts: Any) -> tuple[Any, ...]:
            with _running(level):
                given = cls.backward(ctx, *(None if c is None else in_batch(c, level) for c in cts))
                given = given if isinstance(given, tuple) else (given,)
                return tuple(
                    _as_operand_has_it(g, b, level) for g, b in zip(given, own, strict=False)
                )

        lifted = type(
            cls.__name__,
            (Function,),
            {"forward": staticmethod(forward), "backward": staticmethod(backward)},
        )
        outs = tuple(in_batch(o, level) for o in lifted.apply(*inner))
        return outs if several[0] else outs[0]

    def by_hand(self, cls: type[Function], args: tuple[Any, ...]) -> Any:
        """What a custom function says itself that it gives for all examples."""
        level = self._level_of(cls, args)
        own = [b if (b := batch_of(a)) is not None and b.level is level else None for a in args]
        inner = [a if b is None else b.inner for a, b in zip(args, own, strict=True)]
        dims = tuple(0 if b is not None and b.mapped else None for b in own)
        result, places = cls.vmap(VmapInfo(level.size, level.draws), dims, *inner)
        if not isinstance(result, tuple):
            return _example(result, places, level)
        axes = places if isinstance(places, (tuple, list)) else (places,) * len(result)
        return tuple(_example(o, a, level) for o, a in zip(result, axes, strict=True))

    def _level_of(self, cls: type[Function], args: tuple[Any, ...]) -> Level:
        """The vmap that a custom function runs in."""
        level, tracer = self._innermost(args), state.tracer
        # A capture that began inside of this vmap sees the ops of its own level alone.
        if tracer is not None and level.depth <= tracer.depth:
            tracer.refuse_function(cls.__name__)
        return level

    # --- what must not leave ---

    def refuse(self, t: Tensor, what: str) -> None:
        """Raises if the values of `t` would leave the tensor world while they differ between examples."""
        batch = batch_of(t)
        if batch is not None:
            raise TransformError(
                describe(
                    what,
                    f"{t.tensor_type} inside vmap",
                    f"this tensor has {batch.level.size} values, one for each example",
                    "choose with dg.where(condition, x, y), or take the value outside of vmap",
                )
            )

    def check_gradient(self, leaf: Tensor, ct: Tensor) -> None:
        """Raises if gradients that differ between examples would be summed into a leaf that they share."""
        if batch_of(ct) is not None and batch_of(leaf) is None:
            raise TransformError(
                describe(
                    "backward",
                    str(leaf.tensor_type),
                    "each example has its own gradient for this tensor, which all share",
                    "take gradients inside vmap with dg.grad",
                )
            )

    def spelt(self, t: Tensor) -> str | None:
        """How a batched tensor prints; None for others."""
        batch = batch_of(t)
        if batch is None:
            return None
        return f"tensor(one of {batch.level.size} examples, shape={t.shape}, dtype={t.dtype!r})"


def _tracked_below(t: Tensor) -> bool:
    batch = batch_of(t)
    return t.requires_grad if batch is None else tracked(batch.inner)


def to_front(t: Tensor, axis: int) -> Tensor:
    """`t` with its `axis` as the first one."""
    axis %= t.ndim
    rest = (i for i in range(t.ndim) if i != axis)
    return t if axis == 0 else permute(t, axes=(axis, *rest))  # type: ignore[no-any-return]


def _example(t: Tensor, axis: int | None, level: Level) -> Tensor:
    """One example of a tensor that has them along `axis`; of one for all, that."""
    return t if axis is None else in_batch(to_front(t, axis), level)


def _all_examples(t: Tensor, level: Level) -> Tensor:
    """The tensor of all examples, also where they share one."""
    batch = batch_of(t)
    if batch is not None and batch.level is level and batch.mapped:
        return batch.inner
    plain = batch.inner if batch is not None and batch.level is level else t
    return broadcast_to(plain, shape=(level.size, *t.shape))  # type: ignore[no-any-return]


def _as_operand_has_it(ct: Tensor | None, operand: Batch | None, level: Level) -> Tensor | None:
    """A cotangent at the outer level: one an example if the operand has that, else their sum."""
    if ct is None:
        return None
    wide = _all_examples(ct, level)
    if operand is not None and operand.mapped:
        return wide
    return reduce_sum(wide, axes=(0,), keepdims=False)  # type: ignore[no-any-return]


@contextmanager
def level_of(size: int, draws: str = "different") -> Iterator[Level]:
    """A vmap of `size` examples runs inside; see `Level`."""
    level = Level(0, size, draws)
    with _running(level):
        yield level


@contextmanager
def _running(level: Level) -> Iterator[None]:
    """`level` is the innermost vmap inside (again, if it had ended)."""
    if level.alive:
        yield
        return
    if state.batching is None:
        state.batching = Batching()
    handler = state.batching
    level.depth, level.alive = len(handler.levels) + 1, True
    handler.levels.append(level)
    try:
        yield
    finally:
        level.alive = False
        handler.levels.pop()
        if not handler.levels and not handler.stays:
            state.batching = None

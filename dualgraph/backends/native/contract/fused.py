"""Fused contractions: a contraction and what is done with its result, as the kernel of a region."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import Any

from ....core.node import Var
from ....core.numbers.symbolic import plain
from ....static.graph import Graph
from ..jit import Machine
from ..loop_ir import Unsupported
from ..team.room import Room
from ..team.spots import ZERO_WORD, Ref, Spot
from ..threads import pool
from . import convolution, input_gradient, product
from .again import recipe_of
from .epilogue import MAX_OPERANDS, Epilogue
from .seat import Seat
from .stages import Recipe, Stage
from .tables import make_room

KINDS = {
    "conv": convolution.Forward,
    "conv_input": input_gradient.InputGradient,
    "conv_weight": convolution.WeightGradient,
}
DENSE = ("conv", "conv_input")  # their weights have to be row-major
SLOTS = range(MAX_OPERANDS)  # of a body's arrays in a recipe of it
LIMIT = 256  # recipes kept of a kernel, and records of an epilogue


class _Finish:
    """An epilogue on arrays whose slots are their places in the body; `numbers` are those of the sizes at hand."""

    def __init__(self, epilogue: Epilogue, numbers: tuple[Any, ...]) -> None:
        self.epilogue, self.numbers = epilogue, numbers

    def given(self, result: int) -> Any:
        kept, key = self.epilogue.records, (result, self.numbers)
        found = kept.get(key)
        if found is None:
            make_room(kept, LIMIT)
            found = kept[key] = self.epilogue.given(SLOTS, result, self.numbers)
        return found

    def stage(self, given: Any) -> Stage:
        return self.epilogue.stage(given, self.numbers)


class FusedContraction:
    """The kernel of a region that is a contraction with an epilogue; arrays are its inputs, then its outputs.

    Raises Unsupported for bodies that are none.
    """

    def __init__(self, body: Graph) -> None:
        self.body, node = body, body.nodes[0]
        self.epilogue = epilogue_of(body)
        self.kernel = self.epilogue.kernel
        self.name, self.params = node.prim.name, node.params
        self.operands = [body.inputs.index(v) for v in node.inputs if isinstance(v, Var)]
        self._recipes: dict[Any, Recipe] = {}
        self.shapes, self.numbers = plain(self.symbolic)

    @property
    def symbolic(self) -> tuple[Any, ...]:
        """The numbers that other sizes change, as `resized` takes their values."""
        shapes = tuple(v.type.shape for v in (*self.body.inputs, *self.body.outputs))
        return shapes, (tuple(self.params.values()), self.epilogue.numbers)

    def resized(self, values: Sequence[Any]) -> FusedContraction:
        """The same code for other sizes: `values` for what ``symbolic`` lists."""
        out = copy(self)
        out.shapes, out.numbers = values
        return out

    def recipe(
        self, arrays: Sequence[Any], alone: Sequence[bool], lasting: frozenset[int] = frozenset()
    ) -> Recipe:
        """The stages for arrays of these layouts; `alone` says which results share no memory with an operand."""
        x, y = (arrays[i] for i in self.operands)
        return recipe_of(self._recipe, (self._home(alone), lasting), x, y, *self.numbers)

    def _recipe(self, what: Any, x: Any, y: Any, params: Any, numbers: Any) -> Recipe:
        """The stages, made once for plain numbers."""
        key = what, x.shape, x.strides, y.shape, y.strides, params, numbers, pool.size
        found = self._recipes.get(key)
        if found is None:
            make_room(self._recipes, LIMIT)
            home, lasting = what
            recipe = Recipe(len(self.shapes), lasting)
            seat = Seat(recipe, *self.operands, home, _Finish(self.epilogue, numbers))
            if self.name == "matmul":
                found = product.Call(x, y, seat).recipe
            else:
                how = dict(zip(self.params, params, strict=True))
                found = KINDS[self.name](x, y, seat=seat, **how).recipe
            self._recipes[key] = found
        return found

    def _home(self, alone: Sequence[bool]) -> int | None:
        """The array that the contraction writes: its own, or that of a result that takes its place later."""
        outs = self.body.outputs
        (own,) = self.body.nodes[0].outputs
        size = own.type.dtype.itemsize
        places = [i for i, v in enumerate(outs) if v == own]
        places += [i for i, v in enumerate(outs) if alone[i] and v.type.dtype.itemsize == size]
        return len(self.body.inputs) + places[0] if places else None

    def write(self, room: Room, operands: Sequence[Spot], results: Sequence[Spot]) -> None:
        """The kernel in a native program."""
        own = [x if self._strided(i) else room.dense(x) for i, x in enumerate(operands)]
        alone = [not any(r.span.meets(x.span) for x in own) for r in results]
        lasting = frozenset(i for i in self.operands if room.lasts(own[i]))
        recipe = self.recipe([*own, *results], alone, lasting)
        recipe.write(room, *own, *results, results=len(results))

    def _strided(self, i: int) -> bool:
        """Whether an operand may lie in any way."""
        if i not in self.operands or any(r.array == i for r in self.epilogue.reads):
            return False
        return not (self.name in DENSE and i == self.operands[1])

    def bind_pointers(self, pointers: Sequence[int]) -> BoundContraction:
        """A call without arguments on C-contiguous arrays at fixed addresses."""
        return BoundContraction(self, pointers)


class BoundContraction:
    """A fused contraction with its arrays' addresses in `block`: calling it runs it."""

    def __init__(self, kernel: FusedContraction, pointers: Sequence[int]) -> None:
        self.block = list(pointers)
        body = kernel.body
        arrays = [
            Spot(Ref(ZERO_WORD), shape, v.type.dtype.numpy)
            for v, shape in zip((*body.inputs, *body.outputs), kernel.shapes, strict=True)
        ]
        self.recipe = kernel.recipe(arrays, [False] * len(body.outputs))

    def __call__(self) -> None:
        self.recipe(*self.block)


_made: OrderedDict[int, tuple[Graph, Epilogue]] = OrderedDict()  # by identity: -0.0 == 0.0
RECENT = 64


def epilogue_of(body: Graph) -> Epilogue:
    """What a body does after its contraction; raises Unsupported where that is no epilogue."""
    found = _made.get(id(body))
    if found is not None and found[0] is body:
        return found[1]
    made = Epilogue(body)
    _made[id(body)] = body, made
    while len(_made) > RECENT:
        with suppress(KeyError):  # another thread was faster
            _made.popitem(last=False)
    return made


def begin(body: Graph) -> Machine:
    """Code for what a body does after its contraction, on its way; raises Unsupported where that is no epilogue."""
    return epilogue_of(body).begun[0]


def may_overwrite(body: Graph, result: int, operand: int) -> bool:
    """Whether a result may be written to the memory of an operand; False for bodies that are not one kernel."""
    try:
        return epilogue_of(body).may_overwrite(result, operand)
    except Unsupported:
        return False


def fits(body: Graph) -> bool:
    """Whether a body is a contraction with an epilogue that one kernel computes."""
    try:
        epilogue_of(body)
    except Unsupported:
        return False
    return True

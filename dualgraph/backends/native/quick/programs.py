"""Programs of single ops: calls that were made often on operands of some types become one native segment.

What a captured graph of the one op would run, made beside the calls; eager and captured runs give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....core.backend import backend_for
from ....core.devices import CPU
from ....core.errors import DualgraphError
from ....core.prim import Prim
from ....core.process.spared import spared
from ....core.process.workers import Workers
from ....eager.tensor import Tensor
from ....static.graph import Graph, GraphBuilder
from ...eager_loops import compiled
from ..addresses import address_of
from . import run_words
from .lying import operand_of
from .recipe import PROGRAM, Recipe

MOST = 1024  # programs
MEMORY = 1 << 22  # bytes that a program may keep for itself
_background = Workers("dualgraph-ops", 1)
_begun: list[Any] = []


def wait() -> None:
    """Blocks until what was begun is there."""
    _background.submit(lambda: None).result()


def begin(
    recipes: dict[Any, Any], key: Any, generic: Recipe, made: Callable[[], Recipe | None]
) -> None:
    """Has a recipe made that runs a program, beside the caller; it then takes the place of the generic one."""
    if len(_begun) >= MOST:
        return
    _begun.append(None)

    def make() -> None:
        with spared(DualgraphError):  # the op goes on as before
            recipe = made()
            if recipe is not None and recipes.get(key) is generic:
                recipes[key] = recipe

    _background.submit(make)


def graph_of(prim: Prim, args: tuple[Tensor, ...], params: dict[str, Any]) -> Graph | None:
    """A graph of one op on operands that lie as these do; None where it is not to have a program."""
    if not args or not all(tells_apart(p) for p in params.values()):
        return None
    builder = GraphBuilder()
    operands = [operand_of(builder, a.tensor_type, a._data) for a in args]
    if any(x is None for x in operands):
        return None
    return builder.build(builder.add(prim, tuple(operands), params))


def tells_apart(x: Any, inside: bool = False) -> bool:
    """Whether a parameter that equals this one means the same: -0.0 is seen to natively, but not in tuples."""
    if type(x) is tuple:
        return all(tells_apart(y, True) for y in x)
    if type(x) is float:
        return not inside and str(x) != "-0.0"
    return x is None or type(x) in (bool, int, str)


def recipe_of(graph: Graph, generic: Recipe, writes: Sequence[int] = ()) -> Recipe | None:
    """The recipe of calls by the program of a graph; None where it needs more than the quick path provides.

    With `writes` its outputs are new values of these inputs, and are written there.
    """
    stores = tuple((i, k) for k, i in enumerate(writes))
    program = compiled(backend_for(CPU), graph, stores)
    direct = program.direct(checked=True, several=True, anywhere=bool(writes))
    if direct is None or len(direct.operands) > run_words.MOST_OPERANDS:
        return None
    if len(direct.types) > run_words.MOST_RESULTS:
        return None
    if writes and (direct.types or {*program.donated} != {*stores}):
        return None
    if program.memory.arena_bytes + direct.extra_bytes > MEMORY:
        return None
    recipe = Recipe.from_buffer_copy(generic)
    keep: list[Any] = [direct]
    words = np.array(run_words.run_words(direct, direct.operands, keep), dtype=np.int64)
    recipe.kind, recipe.run = PROGRAM, address_of(words)
    recipe.writes = sum(1 << i for i in writes)
    recipe.keep = (*generic.keep, keep, words)
    return recipe

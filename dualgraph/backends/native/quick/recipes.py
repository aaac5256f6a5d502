"""Recipes as C sees them: how a call of an op that is not elementwise goes, for given parameters and shapes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from ....core.backend import backend_for
from ....core.devices import CPU
from ....core.kinds import CONTRACTION, CREATION, ELEMENTWISE, REDUCTION
from ....core.prim import Prim
from ....core.types import TensorType
from ....eager.quick import known_types
from ....eager.tensor import Tensor
from ..addresses import address_of
from ..aside import aside
from ..eager import fold_parts
from ..entry import has_fold
from ..loop_ir import Unsupported
from . import programs, run_words
from .plans import HOT
from .recipe import CALL, FOLD, GENERIC, OFFSETS, PROGRAM, SAME, VIEW, Recipe

OFTEN = 20 * HOT  # calls after which a program of few elements is begun,
WHOLE = 10 * HOT  # and one of a composite, which takes the place of several ops
LARGE = 1 << 15  # elements with which it is begun at once, for several threads
FEW = 1 << 12  # bytes of a result without operands that is kept, to be copied
MOST = 10_000  # recipes of an op
MOST_OPERANDS = 60
C_CONTIGUOUS, WRITEABLE = 0x1, 0x400
# Python's path raises these again, with all that a user wants
EXPECTED = (ValueError, IndexError, TypeError)


def learn(prim: Prim, key: Any, args: tuple[Any, ...], params: dict[str, Any], out: Any) -> None:
    """Writes the recipe of a call that went well; asked again when it was used often."""
    recipes = prim.recipes
    if prim.kind is ELEMENTWISE and not params:
        return  # these have plans
    before = recipes.get(key)
    if before is not None:
        if before.kind == GENERIC and prim.kind is REDUCTION and before.calls == HOT:
            _fold(prim, key, before, args[0], params, out)
        if before.kind == GENERIC and worth(args, out, before.calls):
            graph = programs.graph_of(prim, args, params) if _first(out)._data.size else None
            if graph is not None:
                programs.begin(recipes, key, before, lambda: programs.recipe_of(graph, before))
        return
    if len(recipes) > MOST:
        recipes.clear()
    recipes[key] = _recipe(prim, args, params, out)


def _first(out: Any) -> Tensor:
    """The result of a call, or the first of several."""
    first: Tensor = out[0] if type(out) is tuple else out
    return first


def worth(args: tuple[Any, ...], out: Any, calls: int) -> bool:
    """Whether a program may pay by now: early on large arrays, later on small ones."""
    return calls >= OFTEN or max(t._data.size for t in (*args, _first(out))) >= LARGE


def _recipe(prim: Prim, args: tuple[Any, ...], params: dict[str, Any], out: Any) -> Recipe | None:
    """What a call teaches about the next ones like it; None where the quick path should leave them to Python."""
    types = known_types(prim, args, params) or known_types(prim, args, params)  # learnt, then known
    widened = types is None and prim.kind is CONTRACTION
    if widened:
        types = prim.infer(tuple(a.tensor_type for a in args), params)
    if types is None or len(args) > MOST_OPERANDS or len(types) > run_words.MOST_RESULTS:
        return None
    if type(_first(out)) is not Tensor or (prim.multiple and prim.aliases):
        return None
    if prim.kind is ELEMENTWISE:
        dtypes = tuple(a.dtype for a in args)
        if ELEMENTWISE.resolve(prim, dtypes)[0] != dtypes:
            return None
    recipe = Recipe(kind=GENERIC, dtype=id(types[0].dtype), types=id(types))
    recipe.widened = widened
    recipe.taped = prim.vjp_rule is not None and types[0].dtype.is_inexact
    recipe.reads = sum(prim.saves(i) << i for i in range(len(args)))
    recipe.reads_out = prim.reads_out
    recipe.keep = (types,)
    if prim.multiple:
        recipe.several = len(types)
        recipe.taped = any(t.dtype.is_inexact for t in types) and prim.vjp_rule is not None
        return recipe
    if prim.aliases:
        return _viewing(recipe, args[0]._data, out._data)
    if not args and prim.kind is CREATION and out._data.nbytes <= FEW:
        if all(map(programs.tells_apart, params.values())):
            keep_result(recipe, out)
    return recipe


def keep_result(recipe: Recipe, out: Tensor) -> None:
    """What a call without operands made is what it makes."""
    data, dims = np.array(out._data, order="C"), np.array(out.shape, np.int64)
    recipe.kind, recipe.source, recipe.bytes = SAME, address_of(data), data.nbytes
    recipe.ndim, recipe.dims, recipe.descr = data.ndim, address_of(dims), id(data.dtype)
    recipe.keep += (data, data.dtype, dims)


def _viewing(recipe: Recipe, x: Any, out: Any) -> Recipe:
    """How a view lies in an array that lies as `x` does, if it is one: then it always is."""
    if not np.may_share_memory(x, out):
        return recipe
    dims, strides = np.array(out.shape, np.int64), np.array(out.strides, np.int64)
    recipe.kind = VIEW
    recipe.offset = address_of(out) - address_of(x)
    recipe.flags = WRITEABLE if out.flags.writeable else 0
    recipe.ndim, recipe.dims, recipe.strides = out.ndim, address_of(dims), address_of(strides)
    recipe.descr = id(out.dtype)
    recipe.keep += (dims, strides, out.dtype)
    return recipe


def _fold(
    prim: Prim, key: Any, generic: Recipe, x: Tensor, params: dict[str, Any], out: Tensor
) -> None:
    """Has a reduction done by its kernel, made beside the caller, if it has one and is not for several threads."""
    axes, monoid = params["axes"], prim.details.get("monoid")
    together = bool(axes) and axes == tuple(range(axes[0], axes[-1] + 1))
    if (
        x._data.size >= LARGE
        or not x._data.flags.c_contiguous
        or monoid is None
        or not together
        or 0 in x.shape
        or not has_fold(monoid, x.dtype)
    ):
        return
    given, made = x.tensor_type, out.tensor_type

    def make() -> None:
        with suppress(Unsupported, RuntimeError):
            parts = fold_parts(monoid, given.dtype, made.dtype, given.shape, axes)
            if parts is not None and prim.recipes.get(key) is generic:
                prim.recipes[key] = _folding(generic, parts, made)

    aside(make)


def _folding(
    generic: Recipe, parts: tuple[int, tuple[int, ...], int, int], made: TensorType
) -> Recipe:
    """A reduction by its kernel."""
    kernel, sizes, extent, scratch = parts
    given, dims = np.array(sizes, np.int64), np.array(made.shape, np.int64)
    recipe = Recipe.from_buffer_copy(generic)
    recipe.kind, recipe.kernel, recipe.extent, recipe.scratch = FOLD, kernel, extent, 8 * scratch
    recipe.sizes, recipe.ndim, recipe.dims = address_of(given), len(made.shape), address_of(dims)
    recipe.descr, recipe.bytes = id(made.dtype.numpy), made.nbytes
    recipe.keep = (*generic.keep, given, dims)
    return recipe


def objects() -> dict[str, Any]:
    """What the glue of recipes speaks of."""
    return {
        "LEARN": learn, "RUN": backend_for(CPU).run, "ASARRAY": np.asarray, "EXPECTED": EXPECTED,
    }  # fmt: skip


def numbers() -> dict[str, int]:
    """Its numbers."""
    return {
        **OFFSETS, **run_words.numbers(),
        "VIEW": VIEW, "FOLD": FOLD, "PROGRAM": PROGRAM, "SAME": SAME, "CALL": CALL, "HOT": HOT, "OFTEN": OFTEN,
        "WHOLE": WHOLE,
    }  # fmt: skip

"""Composing: composites that are called often on few elements get one program each, as single ops do."""

from __future__ import annotations

from typing import Any

from ....core.composite import Merge, Traced, called_by_another
from ....core.devices import CPU
from ....core.dtypes import DType
from ....core.types import TensorType
from ....eager.tensor import Tensor
from ....static.graph import GraphBuilder
from . import programs, recipes
from .lying import operand_of
from .recipe import CALL, GENERIC, Recipe

MOST = 4096  # kinds of calls that are known
MOST_PARAMS = 8  # of an op that gives a view
# Calls for which what a composite calls waits for a program of its own.
LATER = 4 * recipes.WHOLE
# Of an operand; for larger ones, where Python is little of the time, see `merge`
FEW_ELEMENTS = 1 << 16

# By composite and arguments, as the glue of `composites` writes them
KNOWN: dict[Any, Recipe | None] = {}


VIEWS: dict[Any, Recipe | None] = {}  # likewise, of functions that may give views


def notice(fn: Any, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A call of a composite that was not seen before, or was often."""
    generic = KNOWN.get(key)
    if generic is None:
        if len(KNOWN) >= MOST:
            KNOWN.clear()
        KNOWN[key] = Recipe(kind=GENERIC, keep=()) if _plain(args, kwargs) else None
    elif Merge.traced is not None and _worth(args, kwargs, generic.calls):
        if not generic.inner and called_by_another():
            generic.inner, generic.calls = True, -LATER  # that one is about to have one for both
        else:
            _begin(Merge.traced(fn, args, kwargs), key, generic, args, kwargs)


SAME: dict[Any, Recipe | None] = {}  # likewise, of functions that make tensors of no others


def notice_same(fn: Any, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A call without tensors that was not seen before, or was some times."""
    if key in SAME:
        SAME[key] = _kept(fn(*args, **kwargs))
        return
    if len(SAME) >= MOST:
        SAME.clear()
    alike = all(isinstance(x, DType) or programs.tells_apart(x) for x in (*args, *kwargs.values()))
    SAME[key] = Recipe(kind=GENERIC, keep=()) if alike else None


def _kept(out: Any) -> Recipe | None:
    """A recipe that copies a result; None where that is large, or more than its elements."""
    plain = isinstance(out, Tensor) and out.device is CPU and not out._requires_grad
    if not plain or out._data.nbytes > recipes.FEW:
        return None
    recipe = Recipe(dtype=id(out.dtype), keep=(out.dtype,))
    recipes.keep_result(recipe, out)
    return recipe


def notice_view(fn: Any, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A call that may give a view, and was not seen before, or was some times."""
    if key in VIEWS:
        VIEWS[key] = _view(args[0], fn(*args, **kwargs))
        return
    if len(VIEWS) >= MOST:
        VIEWS.clear()
    VIEWS[key] = Recipe(kind=GENERIC, keep=()) if _plain(args, kwargs) else None


def _view(x: Any, out: Any) -> Recipe | None:
    """The op that gives `out` of x, and its parameters; no op where it is x itself. None where it takes more."""
    if out is x:
        return Recipe(kind=CALL, keep=())
    if not isinstance(out, Tensor) or out._parent is None or out._parent[0] is not x:
        return None
    _, op, params = out._parent
    if len(params) > MOST_PARAMS or not all(map(programs.tells_apart, params.values())):
        return None
    names, values = tuple(params), tuple(params.values())
    recipe = Recipe(kind=CALL, op=id(op), names=id(names), values=id(values))
    recipe.keep = (op, names, values)
    return recipe


def _worth(args: tuple[Any, ...], kwargs: dict[str, Any], calls: int) -> bool:
    """Whether to make a program now: early for large operands, later for small ones."""
    sizes = [x._data.size for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
    return (calls < recipes.WHOLE) == (max(sizes) >= recipes.LARGE)


def _plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether what is no tensor is told apart by its type and value, and something is a tensor."""
    values = (*args, *kwargs.values())
    others = [x for x in values if not isinstance(x, Tensor)]
    alike = all(isinstance(x, DType) or programs.tells_apart(x) for x in others)
    return alike and len(others) < len(values)


def _begin(
    traced: Any, key: Any, generic: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Has a program made of a composite's graph for operands that lie as these do."""
    builder = GraphBuilder()
    tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
    operands = [operand_of(builder, x.tensor_type, x._data) for x in tensors]
    if any(x is None for x in operands):
        return

    def made() -> Recipe | None:
        found = traced()
        types = [v.type for v in found.graph.outputs]
        if found.writes or not types[0].size:
            return None  # it does more than compute, or there is nothing to
        generic.dtype = id(types[0].dtype)
        if found.op is not None:
            _taped(generic, found, types)
        graph = builder.build(builder.splice(found.graph, operands))
        return programs.recipe_of(graph, generic)

    programs.begin(KNOWN, key, generic, made)


def _taped(recipe: Recipe, found: Traced, types: list[TensorType]) -> None:
    """Writes what the glue needs for tape entries."""
    outs, dtypes = (types[0],), tuple(t.dtype for t in types[1:])
    recipe.op, recipe.blanks, recipe.dtypes = id(found.op), id(found.blanks), id(dtypes)
    recipe.types, recipe.reads_out = id(outs), found.reads_out
    recipe.reads = sum(read << i for i, read in enumerate(found.reads))
    recipe.keep += (found, outs, dtypes)

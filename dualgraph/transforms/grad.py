"""grad, value_and_grad, vjp: reverse-mode derivatives of functions, to any order.

The differentiated arguments become fresh leaves that stay connected to whatever the caller
differentiates, so transforms nest on the one tape: an inner sweep is itself recorded if, and only
if, something outside could ask for its derivative.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.context import grad_mode, state
from ..core.errors import ArgumentError, DTypeError, ShapeError, TransformError, describe
from ..core.node import TapeNode
from ..core.trees import map_leaves
from ..eager import autograd
from ..eager.batch import tracked, tracked_within
from ..eager.creation import asarray
from ..eager.filling import zeros_like
from ..eager.tensor import Tensor
from ..ops.movement import alias
from .decisions import decided
from .outline import Outline, outline

NUMBERS = (bool, int, float, complex, np.ndarray, np.generic)


def grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient of `fn`, whose result is one real number, for the arguments at `argnums`.

    The result has the tree of the argument (a tuple of them for several `argnums`). With `has_aux`, `fn`
    gives ``(value, aux)`` and the gradient function ``(gradient, aux)``. Arguments are trees of
    floating tensors, arrays or Python floats. Raises ShapeError where the value is no single number.

    >>> import dualgraph as dg
    >>> dg.grad(lambda x: x * x)(3.0).item()
    6.0
    >>> dg.grad(dg.grad(lambda x: x**3))(2.0).item()
    12.0
    """
    both = value_and_grad(fn, argnums, has_aux)

    @functools.wraps(fn, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return gradient


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The value of `fn` and its gradient, from one run: ``(value, gradient)``, or ``((value, aux), gradient)``.

    >>> import dualgraph as dg
    >>> value, slope = dg.value_and_grad(lambda x: x * x)(3.0)
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """

    @functools.wraps(fn, updated=())
    def both(*args: Any, **kwargs: Any) -> Any:
        of_chosen, chosen = at_places("grad", fn, argnums, args, kwargs)
        run = Forward("grad", of_chosen, chosen, has_aux)
        value = run.scalar()
        grads = run.pull([None], retain=False)
        shown = (run.leave(value), run.leave(run.aux)) if has_aux else run.leave(value)
        return shown, grads[0] if isinstance(argnums, int) else grads

    return both


def vjp(fn: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """``(out, pull)`` where ``pull(ct)`` gives the cotangents of all primals for a cotangent of `out`.

    `pull` can be called many times, and under `vmap`. With `has_aux`, `fn` gives ``(out, aux)`` and
    the result is ``(out, pull, aux)``.

    >>> import dualgraph as dg
    >>> out, pull = dg.vjp(lambda x, y: x * y, 2.0, 5.0)
    >>> [ct.item() for ct in pull(dg.ones(()))]
    [5.0, 2.0]
    """
    run = Forward("vjp", fn, primals, has_aux)

    def pull(ct: Any) -> tuple[Any, ...]:
        return run.pull(run.cotangents(ct), retain=True)

    out = run.leave(run.result)
    return (out, pull, run.leave(run.aux)) if has_aux else (out, pull)


class Forward:
    """A function that has run on fresh leaves: its results, ready to be swept back from.

    ``outer`` says whether something outside depends on derivatives of the results, so that sweeps are
    recorded.
    """

    def __init__(
        self, what: str, fn: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool
    ) -> None:
        values, self.tree = outline(primals)
        self.what = what
        self.leaves = [_fresh_leaf(what, v) for v in values]
        with grad_mode(True):
            result = fn(*self.tree.fill(self.leaves))
        for leaf in self.leaves:
            _close(leaf)
        self.aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise TransformError(
                    describe(
                        what, "", "with has_aux=True the function must give a pair (value, aux)"
                    )
                )
            result, self.aux = result
        outs, self.out_tree = outline(result)
        self.outs: list[Tensor] = [_as_result(what, o) for o in outs]
        self.result = self.out_tree.fill(self.outs)
        self.outer = state.grad and decided(
            lambda: _reach_outside(self.outs, self.leaves) or any(map(tracked_within, self.outs))
        )

    def scalar(self) -> Tensor:
        """The one real number that the function gave."""
        if not self.out_tree.is_single:
            raise TransformError(
                describe(
                    self.what,
                    "",
                    f"the function gave {self.out_tree!r}, not one tensor",
                    "pass has_aux=True for (value, aux)",
                )
            )
        out = self.outs[0]
        if out.shape != ():
            raise ShapeError(
                describe(
                    self.what,
                    str(out.tensor_type),
                    "only a function that gives one number has a gradient",
                    "reduce with .sum() or .mean(), or use dg.jacobian or dg.vjp",
                )
            )
        if not out.dtype.is_floating_point:
            raise DTypeError(
                describe(
                    self.what,
                    str(out.tensor_type),
                    "the value must be real and floating",
                    "cast, or take .real",
                )
            )
        return out

    def cotangents(self, ct: Any) -> list[Tensor]:
        """The leaves of a tree of cotangents, checked against the results."""
        return matching(self.what, "cotangent", ct, "result", self.outs, self.out_tree)

    def pull(self, cts: Sequence[Tensor | None], retain: bool) -> Any:
        """Cotangents of the primals, in their trees."""
        swept = [(o, c) for o, c in zip(self.outs, cts, strict=True) if o.requires_grad]
        create = state.grad and (self.outer or any(c is not None and tracked(c) for c in cts))
        found: Sequence[Tensor | None] = [None] * len(self.leaves)
        if swept and self.leaves:
            outs, given = zip(*swept, strict=True)
            found = autograd.grad(
                outs,
                self.leaves,
                given,
                retain_graph=retain or create,
                create_graph=create,
                allow_unused=True,
            )
        grads = [zeros_like(x) if g is None else g for g, x in zip(found, self.leaves, strict=True)]
        return self.tree.fill(grads)

    def leave(self, tree: Any) -> Any:
        """Results for the caller: off the leaves, on the outer tape if there is one."""
        return map_leaves(self._leave, tree)

    def _leave(self, t: Any) -> Any:
        if not isinstance(t, Tensor):
            return t
        if not self.outer:
            return cut(t)
        return alias(t) if any(t is leaf for leaf in self.leaves) else t


def matching(
    what: str, name: str, given: Any, of: str, leaves: Sequence[Tensor], tree: Outline
) -> list[Tensor]:
    """The leaves of ``given`` as tensors; raises unless they have the tree and the shapes of ``leaves``.

    Errors call them a ``name`` (such as "cotangent") ``of`` (such as "result").
    """
    values, own = outline(given)
    if own != tree:
        problem = f"the {name} has the structure {own!r}, the {of} {tree!r}"
        raise TransformError(describe(what, "", problem))
    out = [
        asarray(v, dtype=None if isinstance(v, Tensor) else x.dtype)
        for v, x in zip(values, leaves, strict=True)
    ]
    for v, x in zip(out, leaves, strict=True):
        if v.shape != x.shape:
            types = f"{v.tensor_type}, {x.tensor_type}"
            raise ShapeError(describe(what, types, f"a {name} needs the shape of its {of}"))
    return out


def at_places(
    what: str,
    fn: Callable[..., Any],
    argnums: int | Sequence[int],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`fn` as a function of its arguments at `argnums` alone, and those arguments."""
    places = [argnums] if isinstance(argnums, int) else list(argnums)
    for a in places:
        if not -len(args) <= a < len(args):
            raise ArgumentError(
                describe(
                    what,
                    f"argnums={argnums}",
                    f"there is no argument {a}: {len(args)} positional were given",
                )
            )

    def of_chosen(*chosen: Any) -> Any:
        full = list(args)
        for place, value in zip(places, chosen, strict=True):
            full[place] = value
        return fn(*full, **kwargs)

    return of_chosen, tuple(args[a] for a in places)


def _fresh_leaf(what: str, value: Any) -> Tensor:
    """A tensor of the same values whose gradient can be asked for, on the tape of `value`."""
    if not isinstance(value, (Tensor, *NUMBERS)):
        raise DTypeError(
            describe(
                what,
                type(value).__name__,
                f"cannot differentiate for a {type(value).__name__}",
                "close over it, or leave it out of argnums",
            )
        )
    x = asarray(value)
    if not x.dtype.is_inexact:
        raise DTypeError(
            describe(
                what,
                str(x.tensor_type),
                "only floating and complex arguments have derivatives",
                "pass floats, or leave it out of argnums",
            )
        )
    leaf: Tensor = alias(x if state.batching is None else state.batching.enter(x))
    if leaf._node is None:
        leaf._parent = None  # later writes to x must not give the leaf another history
        leaf._requires_grad = True
    leaf._edge()
    return leaf


def _gone() -> None:
    """What a closed leaf refers to."""


def _close(leaf: Tensor) -> None:
    """Says that from now on only the sweep that made this leaf can ask for its gradient."""
    if leaf._node is not None and leaf._node.prim is None:
        leaf._node.saved = _gone


def _as_result(what: str, out: Any) -> Tensor:
    """What the function gave, as a tensor."""
    if not isinstance(out, (Tensor, *NUMBERS)):
        raise DTypeError(
            describe(
                what,
                type(out).__name__,
                f"the function gave a {type(out).__name__}, not tensors",
                "pass has_aux=True for other results",
            )
        )
    return asarray(out)


def cut(t: Tensor) -> Tensor:
    """The same values, off this level of the tape."""
    if not t.requires_grad:
        return t
    out: Tensor = alias(t)
    out._node, out._requires_grad = None, False
    return out


# --- is anything outside interested? -----------------------------------------------------------


def _reach_outside(outs: Sequence[Tensor], leaves: Sequence[Tensor]) -> bool:
    """Whether the results depend on a leaf, other than these, whose gradient can still be asked for."""
    stack: list[TapeNode] = [o._node for o in outs if o.requires_grad and o._node is not None]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.prim is None:
            if node.saved() is not None and not any(node is x._node for x in leaves):
                return True
            continue
        stack.extend(e[0] for e in node.inputs if e is not None)
    return False

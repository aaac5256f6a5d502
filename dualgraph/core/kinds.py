"""Kinds: what all ops of one structure share - operand handling, types, how they run and batch.

There are seven: elementwise, reduction, movement, contraction, indexing, creation, opaque.
Each has a decorator of the same name that turns a kernel into a `Prim`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dtypes as dt
from .devices import CPU, Device
from .dtypes import DType
from .errors import AxisError, DTypeError
from .prim import Prim
from .types import TensorType, broadcast_shapes

DTypeRule = Callable[[tuple[DType, ...]], tuple[tuple[DType, ...], DType]]


class Kind:
    """Structure shared by a family of ops.

    ``computes``: values are computed, so bfloat16 storage must be widened first (an op with a trait of
    that name decides for itself). ``has_bodies``: graphs among the parameters say what is done.
    """

    name = "opaque"
    computes = True
    has_bodies = False

    def infer(
        self, prim: Prim, types: tuple[TensorType, ...], params: dict[str, Any]
    ) -> tuple[TensorType, ...]:
        if prim.type_rule is None:
            raise TypeError(f"op {prim.name} has no type rule")
        out = prim.type_rule(*types, **params)
        return tuple(out) if prim.multiple else (out,)

    def run(self, prim: Prim, backend: Any, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return prim.kernel(backend.xp, *arrays, **params)

    def batch(
        self,
        prim: Prim,
        lift: Any,
        args: list[Any],
        batched: tuple[bool, ...],
        params: dict[str, Any],
    ) -> Any:
        """Runs the op with the batch as axis 0 of the operands marked in `batched`."""
        if prim.batch_rule is None:
            return lift.loop(prim, args, batched, params)
        return prim.batch_rule(lift, args, batched, **params)

    def __repr__(self) -> str:
        return self.name


# --- elementwise -------------------------------------------------------------------------------


def numeric(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """All operands in their common dtype, which the result has too."""
    common = dt.promote(*dtypes)
    return (common,) * len(dtypes), common


def to_float(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Common dtype; bool and integers become the default floating dtype."""
    common = dt.promote(*dtypes)
    if not common.is_inexact:
        common = dt.get_default_dtype()
    return (common,) * len(dtypes), common


def to_bool(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Operands in their common dtype, bool result."""
    return numeric(dtypes)[0], dt.bool_


def ordered(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Like `to_bool`, for real operands only."""
    return real(dtypes)[0], dt.bool_


def real(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Like `numeric`, without complex."""
    common = dt.promote(*dtypes)
    if common.is_complex:
        raise DTypeError("complex operands have no order; take dg.abs or dg.real first")
    return (common,) * len(dtypes), common


def real_float(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Like `to_float`, without complex."""
    real(dtypes)
    return to_float(dtypes)


def logical(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Operands as truth values, bool result."""
    return (dt.bool_,) * len(dtypes), dt.bool_


def _no_bools(dtypes: tuple[DType, ...], instead: str) -> None:
    if dt.promote(*dtypes) is dt.bool_:
        raise DTypeError(f"is not defined for bools; {instead}")


def number(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Like `numeric`, without bool."""
    _no_bools(dtypes, "use ^ or ~, or cast with dg.astype")
    return numeric(dtypes)


def real_number(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Like `real`, without bool."""
    _no_bools(dtypes, "cast with dg.astype")
    return real(dtypes)


def integer(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Integers of a common dtype."""
    _no_bools(dtypes, "cast with dg.astype")
    return integral(dtypes)


def integral(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Bool or integers of a common dtype."""
    common = dt.promote(*dtypes)
    if common.is_inexact:
        raise DTypeError(f"needs bool or integer operands, not {common.name}; cast with dg.astype")
    return (common,) * len(dtypes), common


def chosen(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """A bool condition, then operands in their common dtype."""
    if len(dtypes) < 3:
        raise DTypeError(
            "needs two operands to choose from; dg.nonzero gives the places themselves"
        )
    common = dt.promote(*dtypes[1:])
    return (dt.bool_,) + (common,) * (len(dtypes) - 1), common


def magnitude(dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
    """Like `numeric`; a complex operand gives the real dtype of its parts."""
    compute, out = numeric(dtypes)
    return compute, dt.PARTS.get(out, out)


def _device(types: tuple[TensorType, ...]) -> Device:
    """The device of the operands; Python numbers among them are on none, but say CPU."""
    return next((t.device for t in types if t.device is not CPU), CPU)


def _check_count(prim: Prim, given: int) -> None:
    """Raises where an elementwise op takes fewer operands."""
    takes = prim.kernel.__code__.co_argcount - 1  # the first is the scalar language
    if given > takes:
        raise DTypeError(f"takes {takes} operand{'s' * (takes != 1)}, {given} were given")


def _check_names(prim: Prim, params: dict[str, Any]) -> None:
    """Raises where an elementwise op has no such parameters."""
    code = prim.kernel.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    for name in params:
        if name not in known:
            raise DTypeError(f"has no parameter {name!r}")


class Elementwise(Kind):
    """One scalar function applied at each place of the broadcast shape.

    The body is written in the scalar language, ``body(s, *operands, **params)``. Operands reach it
    in the dtypes that the op's dtype rule chose; casts are ops of their own, put in before.
    """

    name = "elementwise"

    def infer(
        self, prim: Prim, types: tuple[TensorType, ...], params: dict[str, Any]
    ) -> tuple[TensorType, ...]:
        if params:
            _check_names(prim, params)
        shape = broadcast_shapes(*(t.shape for t in types))
        dtype = params.get("dtype")
        out = (
            dt.as_dtype(dtype)
            if dtype is not None
            else self.resolve(prim, tuple(t.dtype for t in types))[1]
        )
        return (TensorType(out, shape, _device(types)),)

    def resolve(self, prim: Prim, dtypes: tuple[DType, ...]) -> tuple[tuple[DType, ...], DType]:
        """Dtypes in which operands are computed, and of the result."""
        found = prim.cache.get(dtypes)
        if found is None or found[2] is not dt.get_default_dtype():
            _check_count(prim, len(dtypes))
            rule: DTypeRule = prim.details["dtype"]
            found = prim.cache[dtypes] = (*rule(dtypes), dt.get_default_dtype())
        return found[0], found[1]

    def run(self, prim: Prim, backend: Any, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
        out = prim.kernel(backend.scalar, *arrays, **params)
        # What hands its operand on, as a cast to the dtype it has, must not share memory with it.
        return out.copy() if any(out is a for a in arrays) else out

    def batch(
        self,
        prim: Prim,
        lift: Any,
        args: list[Any],
        batched: tuple[bool, ...],
        params: dict[str, Any],
    ) -> Any:
        return prim(*lift.align(args, batched), **params)


def elementwise(
    body: Callable[..., Any] | None = None,
    *,
    dtype: DTypeRule = numeric,
    domain: tuple[float, float] = (-3.0, 3.0),
    name: str | None = None,
    **traits: Any,
) -> Any:
    """Decorator: an elementwise op whose body is written in the scalar language.

    ``dtype`` is a rule such as `numeric` or `to_float`; ``domain`` is where the generated tests draw
    operands from.

    >>> @elementwise(dtype=to_float, domain=(0.1, 9), name="doc_reciprocal_root")
    ... def reciprocal_root(s, x):
    ...     return s.sqrt(1 / x)
    >>> reciprocal_root.kind
    elementwise
    """

    def make(fn: Callable[..., Any]) -> Prim:
        return Prim(name or fn.__name__, ELEMENTWISE, fn, dtype=dtype, domain=domain, **traits)

    return make(body) if body is not None else make


# --- reduction ---------------------------------------------------------------------------------


class Reduction(Kind):
    """Folds axes away, in the canonical order that depends on the folded length alone.

    Parameters: ``axes``, a sorted tuple of non-negative axes, and ``keepdims``.
    """

    name = "reduction"

    def infer(
        self, prim: Prim, types: tuple[TensorType, ...], params: dict[str, Any]
    ) -> tuple[TensorType, ...]:
        (x,) = types
        axes, keep = params["axes"], params["keepdims"]
        check_axes(axes, x.ndim)
        shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape) if keep or i not in axes)
        rule = prim.details["dtype"]
        return (TensorType(rule((x.dtype,))[1], shape, x.device),)

    def batch(
        self,
        prim: Prim,
        lift: Any,
        args: list[Any],
        batched: tuple[bool, ...],
        params: dict[str, Any],
    ) -> Any:
        axes = tuple(a + 1 for a in params["axes"])
        return prim(args[0], **{**params, "axes": axes})


def check_axes(axes: tuple[int, ...], ndim: int) -> None:
    """Raises AxisError unless `axes` are distinct axes of a tensor, counted from 0."""
    if len(set(axes)) != len(axes) or any(type(a) is not int or not 0 <= a < ndim for a in axes):
        raise AxisError(f"axes {axes} are not distinct axes of a tensor of {ndim} dimensions")


def reduction(
    kernel: Callable[..., Any] | None = None,
    *,
    dtype: DTypeRule = numeric,
    name: str | None = None,
    **traits: Any,
) -> Any:
    """Decorator: ``kernel(xp, x, axes, keepdims)`` folds `axes` of `x` away.

    Trait ``monoid`` (identity name, scalar-language combine) lets backends fuse the reduction.
    """

    def make(fn: Callable[..., Any]) -> Prim:
        return Prim(name or fn.__name__, REDUCTION, fn, dtype=dtype, **traits)

    return make(kernel) if kernel is not None else make


# --- the other kinds -----------------------------------------------------------------------------


class Movement(Kind):
    """Rearranges elements without computing on them; often a view."""

    name = "movement"
    computes = False


class Contraction(Kind):
    """Multiplies and sums: matrix products and convolutions."""

    name = "contraction"


class Indexing(Kind):
    """Reads or writes places given by index operands."""

    name = "indexing"


class Creation(Kind):
    """Makes a tensor from parameters alone."""

    name = "creation"
    computes = False


class Opaque(Kind):
    """A kernel that only its own code explains."""


ELEMENTWISE = Elementwise()
REDUCTION = Reduction()
MOVEMENT = Movement()
CONTRACTION = Contraction()
INDEXING = Indexing()
CREATION = Creation()
OPAQUE = Opaque()


def _decorator(kind: Kind) -> Any:
    """The decorator that makes ops of a kind."""

    def decorate(
        kernel: Callable[..., Any] | None = None, *, name: str | None = None, **traits: Any
    ) -> Any:
        def make(fn: Callable[..., Any]) -> Prim:
            return Prim(name or fn.__name__, kind, fn, **traits)

        return make(kernel) if kernel is not None else make

    decorate.__doc__ = (
        f"Decorator: ``kernel(xp, *arrays, **params)`` becomes a {kind.name} op. {kind.__doc__}"
    )
    decorate.__name__ = kind.name
    return decorate


movement = _decorator(MOVEMENT)
contraction = _decorator(CONTRACTION)
indexing = _decorator(INDEXING)
creation = _decorator(CREATION)
opaque = _decorator(OPAQUE)

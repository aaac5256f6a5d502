"""Attention: values averaged with weights from the likeness of queries and keys (Vaswani et al., 2017).

The ops never hold all scores: a kernel goes over blocks of queries and keys (Rabe and Staats, 2021; Dao et al.,
2022), and the gradient computes the weights again from each row's ``lse``, the logarithm of its sum of exponentials.
"""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

from ...core import dtypes as dt
from ...core.errors import DTypeError, ShapeError
from ...core.kinds import opaque
from ...core.numbers.symbolic import is_one
from ...core.types import TensorType, broadcast_shapes
from .. import canonical
from ..arithmetic import cast, divide, multiply, subtract, where
from ..comparison import equal, greater_equal, isfinite, logical_and
from ..composites import accumulating
from ..contraction import matmul_op, swap_last
from ..creation import arange_op, full
from ..movement import expand_dims_at, reshape, slice_, stop_gradient
from ..reduce import reduce_max, reduce_sum
from ..transcendental import exp

ROWS = 256  # queries that a kernel over an array namespace takes at a time


def attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """``softmax(query @ key.T * scale) @ value``: (..., L, E), (..., S, E), (..., S, V) to (..., L, V).

    A bool mask is True where a query may look; another mask is added to the scores. Causal: query i
    sees keys up to i. A query that may look nowhere gets zeros. Leading axes broadcast.
    """
    operands = _operands(query, key, value, mask)
    return attention_op(*operands, causal=bool(is_causal), scale=_scale(query, scale))[0]


def dropped_attention(
    query: Any,
    key: Any,
    value: Any,
    keep: Any,
    p: float,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """`attention` whose weights are 0 where `keep` (..., L, S) is False, and scaled by ``1 / (1 - p)`` elsewhere.

    With sums Z over all keys and K over those kept, ``sum(kept exp(s) v) / Z`` is attention to the kept keys times
    ``K / Z``: both sums are known as `attention_op`'s ``lse``, so no weights are held.
    """
    how = {"causal": bool(is_causal), "scale": _scale(query, scale)}
    query, key, value, *masks = _operands(query, key, value, mask)
    seen = keep
    for m in masks:
        seen = logical_and(keep, m) if m.dtype is dt.bool_ else where(keep, m, float("-inf"))
    out, kept = attention_op(query, key, value, seen, **how)
    every = attention_op(query, key, _first_column(value), *masks, **how)[1]
    share = exp(where(isfinite(kept), subtract(kept, every), float("-inf")))
    share = cast(divide(share, 1.0 - p), dtype=out.dtype.name)
    return multiply(out, expand_dims_at(share, (share.ndim,)))


def _first_column(x: Any) -> Any:
    stops = (*x.shape[:-1], min(x.shape[-1], 1))
    return slice_(x, starts=(0,) * x.ndim, stops=stops, steps=(1,) * x.ndim)


def _operands(query: Any, key: Any, value: Any, mask: Any) -> list[Any]:
    """The operands in one floating dtype."""
    operands = [query, key, value, *(() if mask is None else (_at_least_2d(mask),))]
    common = dt.promote(*(x.dtype for x in operands if x.dtype.kind != "bool"))
    common = common if common.is_inexact else dt.get_default_dtype()
    return [x if x.dtype in (common, dt.bool_) else cast(x, dtype=common.name) for x in operands]


def attention_weights(
    query: Any, key: Any, mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Any:
    """The weights of `attention`: each row sums to 1, or is 0 where the query may look nowhere."""
    _same_width(query, key)
    scores = matmul_op(multiply(query, _scale(query, scale)), swap_last(key))
    return _safe_softmax(_masked(scores, mask, is_causal))


def _scale(query: Any, scale: float | None) -> float:
    return 1 / sqrt(max(query.shape[-1], 1)) if scale is None else float(scale)


def _at_least_2d(mask: Any) -> Any:
    missing = 2 - mask.ndim
    return reshape(mask, shape=(1,) * missing + tuple(mask.shape)) if missing > 0 else mask


def _same_width(query: Any, key: Any) -> None:
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"attention: query {query.shape} and key {key.shape} must agree in their last axis"
        )


def _masked(scores: Any, mask: Any, causal: bool) -> Any:
    """Scores with -inf where a query may not look, or with the mask added."""
    if causal:
        seen = _causal(scores.shape[-2], scores.shape[-1], scores)
        scores = where(seen, scores, float("-inf"))
    if mask is None:
        return scores
    return where(mask, scores, float("-inf")) if mask.dtype.kind == "bool" else scores + mask


def _causal(rows: int, columns: int, beside: Any) -> Any:
    """True at (i, j) where j <= i."""
    how = {"start": 0, "step": 1, "dtype": "int64", "device": str(beside.device)}
    i = reshape(arange_op(size=rows, **how), shape=(rows, 1))
    return greater_equal(i, reshape(arange_op(size=columns, **how), shape=(1, columns)))


@accumulating
def _safe_softmax(x: Any) -> Any:
    """Softmax along the last axis, with zeros where all elements are -inf."""
    axes = (x.ndim - 1,)
    largest = reduce_sum if x.shape[-1] == 0 else reduce_max
    top = largest(stop_gradient(x), axes=axes, keepdims=True)
    grown = exp(subtract(x, where(isfinite(top), top, 0)))
    total = reduce_sum(grown, axes=axes, keepdims=True)
    return divide(grown, where(equal(total, 0), 1, total))


# --- the op ------------------------------------------------------------------------------------


def _samples(rng: Any) -> list[Any]:
    q, k, v = (rng.standard_normal(s) for s in ((2, 5, 4), (1, 6, 4), (6, 3)))
    seen = rng.standard_normal((5, 6)) > -0.7
    seen[:, 2] = True
    plain, causal = {"causal": False, "scale": 0.5}, {"causal": True, "scale": 0.7}
    return [
        ((q, k, v), plain),
        ((q, k, v), causal),
        ((q, k, v, seen), plain),
        ((q[0], k, v, rng.standard_normal((2, 1, 6))), causal),
    ]


@opaque(multiple=True, name="attention", samples=_samples)
def attention_op(xp, query, key, value, *mask, causal, scale):
    """``softmax(query @ key.T * scale + mask) @ value``, and ``log(sum(exp(scores)))`` of each row.

    A row that may look nowhere gives zeros and +inf. 16-bit floats are computed in float32.
    """
    given, masks = query.dtype, _wide(xp, *mask)
    query, key, value = _wide(xp, query, key, value)
    lead = broadcast_shapes(*(x.shape[:-2] for x in (query, key, value, *masks)))
    query = xp.broadcast_to(query, (*lead, *query.shape[-2:]))
    outs, sums = [], []
    for first in range(0, max(query.shape[-2], 1), ROWS):
        part = slice(first, first + ROWS)
        scores = _scores_of(xp, query[..., part, :], key, masks, causal, scale, first)
        top = scores.max(axis=-1, keepdims=True, initial=-xp.inf)
        top = xp.where(xp.isfinite(top), top, top.dtype.type(0))
        grown = xp.exp(xp.subtract(scores, top))
        total = canonical.fold(xp, grown, xp.add, 0)
        none = total == 0
        out = _product(xp, grown, value) / xp.where(none, 1, total).astype(total.dtype)[..., None]
        outs.append(out)
        lse = top[..., 0] + xp.log(xp.where(none, 1, total))
        sums.append(xp.where(none, xp.inf, lse).astype(total.dtype))
    out = xp.concatenate(outs, axis=-2)
    return out.astype(given), xp.concatenate(sums, axis=-1)


def _wide(xp: Any, *arrays: Any) -> list[Any]:
    """Row-major operands, 16-bit floats as float32."""
    return [
        xp.ascontiguousarray(a.astype("float32") if a.dtype == "float16" else a) for a in arrays
    ]


def _product(xp: Any, x: Any, y: Any) -> Any:
    return matmul_op.kernel(xp, x, y)


def _scores_of(
    xp: Any, query: Any, key: Any, mask: Any, causal: bool, scale: float, first: int
) -> Any:
    """Scores of some rows of queries, the first of which is row `first`."""
    scores = _product(xp, query, xp.swapaxes(key, -1, -2)) * query.dtype.type(scale)
    lowest = scores.dtype.type(-xp.inf)
    rows, columns = scores.shape[-2:]
    if causal:
        seen = xp.arange(first, first + rows)[:, None] >= xp.arange(columns)
        scores = xp.where(seen, scores, lowest)
    for m in mask:
        m = m[..., first : first + rows, :] if m.shape[-2] != 1 else m
        scores = xp.where(m, scores, lowest) if m.dtype == bool else scores + m
    return scores


@attention_op.type
def _(query, key, value, *mask, causal, scale):
    lead, rows = _checked(query, key, value, *mask)
    return (
        TensorType(query.dtype, (*lead, rows, value.shape[-1]), query.device),
        TensorType(_sums(query.dtype), (*lead, rows), query.device),
    )


def _sums(dtype: dt.DType) -> dt.DType:
    return dt.float32 if dtype.itemsize == 2 else dtype


def _checked(query: Any, key: Any, value: Any, *mask: Any) -> tuple[tuple[int, ...], int]:
    """Leading axes and the number of queries; raises where operands do not fit."""
    operands = (query, key, value)
    floats = [x.dtype for x in (*operands, *mask) if x not in mask or x.dtype is not dt.bool_]
    if not query.dtype.is_floating_point or any(d is not query.dtype for d in floats):
        names = ", ".join(x.dtype.name for x in (*operands, *mask))
        raise DTypeError(f"needs operands of one floating dtype, not {names}; cast with dg.astype")
    if any(x.ndim < 2 for x in (*operands, *mask)):
        raise ShapeError("needs operands with at least 2 axes")
    _same_width(query, key)
    if key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"key {key.shape} and value {value.shape} must agree in their last axis but one"
        )
    scores = (query.shape[-2], key.shape[-2])
    for m in mask:
        if any(not (is_one(d) or d in (n, 1)) for d, n in zip(m.shape[-2:], scores, strict=True)):
            raise ShapeError(f"mask {m.shape} does not fit scores (..., {scores[0]}, {scores[1]})")
    return broadcast_shapes(*(x.shape[:-2] for x in (*operands, *mask))), query.shape[-2]


@attention_op.vjp
def _(ct, out, query, key, value, *mask, causal, scale):
    ct_out, ct_lse = ct
    wide = _sums(out[0].dtype).name
    if ct_out is None:
        ct_out = _zeros(out[0])
    delta = reduce_sum(
        multiply(cast(ct_out, dtype=wide), cast(out[0], dtype=wide)),
        axes=(ct_out.ndim - 1,),
        keepdims=False,
    )
    if ct_lse is not None:
        delta = subtract(delta, ct_lse)

    @cache
    def gradients():
        given = ct_out, query, key, value, out[1], delta, *mask
        return attention_grad(*given, causal=causal, scale=scale)

    def along_mask():
        scores = _masked(_likeness(query, key, scale), mask[0], causal)
        return _slopes(ct_out, value, delta, _weights(scores, out[1]))[0]

    first = [lambda i=i: gradients()[i] for i in range(3)]
    return (*first, *((along_mask if m.dtype.is_inexact else None) for m in mask))


def _zeros(x: Any) -> Any:
    return full(shape=x.shape, value=0.0, dtype=x.dtype.name, device=str(x.device))


def _likeness(query: Any, key: Any, scale: float) -> Any:
    return multiply(matmul_op(query, swap_last(key)), scale)


def _weights(scores: Any, lse: Any) -> Any:
    return exp(subtract(scores, _column(lse)))


def _slopes(ct: Any, value: Any, delta: Any, weights: Any) -> tuple[Any, Any]:
    """Gradient of the scores, and ``d_weights - delta``."""
    beyond = subtract(matmul_op(ct, swap_last(value)), _column(delta))
    return multiply(weights, beyond), beyond


def _column(x: Any) -> Any:
    return expand_dims_at(x, (x.ndim,))


@attention_op.batch
def _(lift, args, batched, **how):
    return attention_op(*_aligned(lift, args, batched, ()), **how)


def _aligned(lift: Any, args: list[Any], batched: tuple[bool, ...], rows: tuple[int, ...]) -> Any:
    """Operands with the batch as first leading axis; those at places `rows` are vectors, not matrices."""
    core = [1 if i in rows else 2 for i in range(len(args))]
    lead = max(a.ndim - b - c for a, b, c in zip(args, batched, core, strict=True))
    return [
        lift.align_to([a], (b,), lead + c)[0] for a, b, c in zip(args, batched, core, strict=True)
    ]


# --- its gradient ------------------------------------------------------------------------------


def _grad_samples(rng: Any) -> list[Any]:
    samples = []
    for (q, k, v, *mask), how in _samples(rng):
        rows = (2, q.shape[-2])
        ct = rng.standard_normal((*rows, v.shape[-1]))
        lse, delta = 2 + rng.random(rows), rng.standard_normal(rows[-1:])
        samples.append(((ct, q, k, v, lse, delta, *mask), how))
    return samples


@opaque(multiple=True, name="attention_grad", samples=_grad_samples)
def attention_grad(xp, ct, query, key, value, lse, delta, *mask, causal, scale):
    """Gradients of `attention` along query, key and value, in the broadcast leading axes.

    ``p = exp(scores - lse)``, ``ds = p * (ct @ value.T - delta)``: ``ds @ key * scale``,
    ``ds.T @ query * scale`` and ``p.T @ ct``, where delta is ``sum(ct * out)`` of each row.
    """
    given = query.dtype
    ct, query, key, value, lse, delta = _wide(xp, ct, query, key, value, lse, delta)
    masks = _wide(xp, *mask)
    shapes = [x.shape[:-2] for x in (ct, query, key, value, *masks)] + [
        x.shape[:-1] for x in (lse, delta)
    ]
    lead, kind = broadcast_shapes(*shapes), query.dtype
    along_query = xp.zeros((*lead, *query.shape[-2:]), dtype=kind)
    along_key = xp.zeros((*lead, *key.shape[-2:]), dtype=kind)
    along_value = xp.zeros((*lead, *value.shape[-2:]), dtype=kind)
    for first in range(0, query.shape[-2], ROWS):
        part = slice(first, first + ROWS)
        scores = _scores_of(xp, query[..., part, :], key, masks, causal, scale, first)
        p = xp.exp(scores - lse[..., part, None])
        ds = p * (
            _product(xp, ct[..., part, :], xp.swapaxes(value, -1, -2)) - delta[..., part, None]
        )
        along_query[..., part, :] = _product(xp, ds, key) * kind.type(scale)
        along_key += _product(xp, xp.swapaxes(ds, -1, -2), query[..., part, :]) * kind.type(scale)
        along_value += _product(xp, xp.swapaxes(p, -1, -2), ct[..., part, :])
    return tuple(x.astype(given) for x in (along_query, along_key, along_value))


@attention_grad.type
def _(ct, query, key, value, lse, delta, *mask, causal, scale):
    lead, rows = _checked(query, key, value, *mask)
    if ct.dtype is not query.dtype or {lse.dtype, delta.dtype} != {_sums(query.dtype)}:
        raise DTypeError(f"ct has to be {query.dtype.name}, lse and delta its type for sums")
    fits = ct.shape[-2:] == (rows, value.shape[-1])
    if not fits or lse.shape[-1] != rows or delta.shape[-1] != rows:
        raise ShapeError(f"ct {ct.shape}, lse {lse.shape} and delta {delta.shape} do not fit")
    lead = broadcast_shapes(lead, ct.shape[:-2], lse.shape[:-1], delta.shape[:-1])
    return tuple(TensorType(x.dtype, (*lead, *x.shape[-2:]), x.device) for x in (query, key, value))


@attention_grad.vjp
def _(g, _out, ct, query, key, value, lse, delta, *mask, causal, scale):
    along_query, along_key, along_value = (
        _zeros(t) if x is None else x for x, t in zip(g, _out, strict=True)
    )
    scores = _masked(_likeness(query, key, scale), mask[0] if mask else None, causal)
    p = _weights(scores, lse)
    ds, beyond = _slopes(ct, value, delta, p)
    # cotangents of ds, of what is beyond delta, of the weights and of the scores
    of_ds = multiply(
        matmul_op(along_query, swap_last(key)) + matmul_op(query, swap_last(along_key)), scale
    )
    of_beyond = multiply(p, of_ds)
    of_p = multiply(of_ds, beyond) + matmul_op(ct, swap_last(along_value))
    of_scores = multiply(p, of_p)

    def summed(x):
        return -reduce_sum(x, axes=(x.ndim - 1,), keepdims=False)

    return (
        matmul_op(p, along_value) + matmul_op(of_beyond, value),
        multiply(matmul_op(of_scores, key) + matmul_op(ds, along_key), scale),
        multiply(
            matmul_op(swap_last(of_scores), query) + matmul_op(swap_last(ds), along_query), scale
        ),
        matmul_op(swap_last(of_beyond), ct),
        summed(of_scores),
        summed(of_beyond),
        *((of_scores if m.dtype.is_inexact else None) for m in mask),
    )


@attention_grad.batch
def _(lift, args, batched, **how):
    return attention_grad(*_aligned(lift, args, batched, (4, 5)), **how)

"""The canonical order of reductions: it depends on the reduced length alone.

n elements are cut into blocks of 512 = 32 steps of 16 lanes. In a block each lane folds its elements
in order of steps; the 16 lanes fold as a tree of halves; the results of the blocks fold as a tree
of halves. Elements that are missing at the end count as the identity. Every backend keeps this order,
so the bits depend neither on layout, threads and vector width nor on what lies beside a row.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

LANES = 16
STEPS = 32
BLOCK = LANES * STEPS


def rows(x: Any, axes: tuple[int, ...]) -> Any:
    """x with `axes` moved last and flattened into one: shape (kept..., n)."""
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    n = prod(x.shape[a] for a in axes)
    moved = x.transpose((*kept, *axes))
    return moved.reshape((*(x.shape[i] for i in kept), n))


def restore(folded: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """Puts the folded axes back with length 1 where they are kept."""
    if not keepdims:
        return folded
    return folded.reshape(tuple(1 if i in axes else d for i, d in enumerate(shape)))


def fold(xp: Any, x: Any, combine: Callable[[Any, Any], Any], identity: Any) -> Any:
    """Folds the last axis of `x` in the canonical order; the identity where it has length 0."""
    n = x.shape[-1]
    lead = x.shape[:-1]
    if n == 0:
        return xp.full(lead, identity, dtype=x.dtype)
    blocks = -(-n // BLOCK)
    steps = STEPS if blocks > 1 else -(-n // LANES)
    width = blocks * steps * LANES
    if width != n:
        padded = xp.full((*lead, width), identity, dtype=x.dtype)
        padded[..., :n] = x
        x = padded
    x = x.reshape((*lead, blocks, steps, LANES))
    acc = x[..., 0, :]
    for step in range(1, steps):
        acc = combine(acc, x[..., step, :])
    half = LANES // 2
    while half:
        acc = combine(acc[..., :half], acc[..., half : 2 * half])
        half //= 2
    return tree(xp, acc[..., 0], combine)


def tree(xp: Any, x: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Folds the last axis as a tree of halves."""
    k = x.shape[-1]
    while k > 1:
        half = (k + 1) // 2
        low = combine(x[..., : k - half], x[..., half:k])
        x = low if k % 2 == 0 else xp.concatenate((low, x[..., k - half : half]), axis=-1)
        k = half
    return x[..., 0]

"""Packed sequences: a batch of sequences of unequal length, step by step, without what would fill them up.

The sequences stand in order of falling length, so that step t has the first ``batch_sizes[t]`` of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.context import state
from ...core.errors import ArgumentError, describe
from ...eager import Tensor, asarray, where


class PackedSequence(NamedTuple):
    """``data`` (all steps, ...), ``batch_sizes`` (T), and the order of the sequences as they were given, if another.

    >>> from dualgraph.nn.utils import rnn
    >>> packed = rnn.pack_sequence([dg.tensor([1, 2, 3]), dg.tensor([4])])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1, 4, 2, 3], [2, 1, 1])
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The sequences with data of another dtype, or on another device."""
        return self._replace(data=self.data.to(*args, **kwargs))

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a GPU."""
        return bool(self.data.is_cuda)


def lengths_of(batch_sizes: Tensor) -> list[int]:
    """How long each sequence of a packed batch is, the longest first."""
    tracer, known = getattr(batch_sizes, "_known", (None, []))
    if tracer is not None and tracer() is state.tracer:
        return list(known)
    sizes = np.asarray(batch_sizes.tolist())
    return [int((sizes > i).sum()) for i in range(int(sizes[0]))]


def steps_of(lengths: Sequence[int], total: int) -> np.ndarray:
    """Where (T, N) there is a step of a sequence."""
    return np.arange(total)[:, None] < np.asarray(lengths)


def unpacked(data: Tensor, there: np.ndarray, value: Any = None) -> Tensor:
    """Packed data as (T, N, ...); with `value` where no step is, else with whatever is at hand."""
    places = np.zeros(there.shape, np.int64)
    places[there] = np.arange(data.shape[0])
    out = data[asarray(places, device=data.device)]
    if value is None or there.all():
        return out
    mask = asarray(there, device=data.device).reshape(*there.shape, *[1] * (data.ndim - 1))
    return where(mask, out, value)


def packed(padded: Tensor, there: np.ndarray) -> Tensor:
    """The steps of (T, N, ...) that there are, one after the other."""
    rows = padded[: there.shape[0]].reshape(there.size, *padded.shape[2:])
    return rows if there.all() else rows[asarray(np.flatnonzero(there), device=padded.device)]


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The order that undoes an order.

    >>> dg.nn.utils.rnn.invert_permutation(dg.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    return None if permutation is None else permutation.argsort()


def _checked(lengths: Any, batch: int, steps: int) -> list[int]:
    found = lengths.tolist() if isinstance(lengths, Tensor) else [int(n) for n in lengths]
    if len(found) != batch:
        problem = f"{len(found)} lengths were given for a batch of {batch}"
        raise ArgumentError(describe("pack_padded_sequence", "", problem))
    if not found or min(found) < 1 or max(found) > steps:
        problem = f"lengths must be between 1 and {steps}, not {found}"
        raise ArgumentError(describe("pack_padded_sequence", "", problem))
    return found


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs sequences that were filled up: (T, N, ...), or (N, T, ...) with `batch_first`.

    Lengths must fall unless ``enforce_sorted=False``, which sorts, and has the sequences come back in their order.

        >>> packed = dg.nn.utils.rnn.pack_padded_sequence(dg.ones((3, 2, 4)), [3, 1])
        >>> packed.batch_sizes
        tensor([2, 1, 1])
    """
    x = input.transpose(0, 1) if batch_first else input
    found = _checked(lengths, x.shape[1], x.shape[0])
    order = None
    if not enforce_sorted:
        at = np.argsort(-np.asarray(found), kind="stable")
        order = asarray(at, device=x.device)
        x, found = x.index_select(1, order), [found[i] for i in at]
    elif sorted(found, reverse=True) != found:
        remedy = "sort the sequences, or pass enforce_sorted=False"
        raise ArgumentError(
            describe("pack_padded_sequence", "", f"the lengths {found} do not fall", remedy)
        )
    there = steps_of(found, found[0])
    sizes: Any = asarray(there.sum(axis=1))
    if state.tracer is not None:  # they follow from lengths that this capture relies on already
        sizes._known = weakref.ref(state.tracer), found
    return PackedSequence(packed(x, there), sizes, order, invert_permutation(order))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The sequences filled up with `padding_value`, (T, N, ...) or (N, T, ...), and their lengths.

    >>> packed = dg.nn.utils.rnn.pack_sequence([dg.ones(3), dg.zeros(1)])
    >>> padded, lengths = dg.nn.utils.rnn.pad_packed_sequence(packed)
    >>> lengths
    tensor([3, 1])
    """
    found = lengths_of(sequence.batch_sizes)
    total = found[0] if total_length is None else total_length
    if total < found[0]:
        problem = f"total_length is {total}, the longest sequence has {found[0]} steps"
        raise ArgumentError(describe("pad_packed_sequence", "", problem))
    data = sequence.data
    value = float(padding_value) if data.dtype.is_inexact else int(padding_value)
    x, lengths = unpacked(data, steps_of(found, total), value), asarray(found)
    back = sequence.unsorted_indices
    if back is not None:
        x, lengths = x.index_select(1, back), lengths[back]
    return (x.transpose(0, 1) if batch_first else x), lengths

"""Sequences of unequal length, put side by side: filled up, or packed."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.errors import ArgumentError
from ...eager import Tensor, stack
from ...ops.movement import pad
from .packed import (
    PackedSequence,
    invert_permutation,
    pack_padded_sequence,
    pad_packed_sequence,
)

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L, ...) filled up to one length and stacked: (L, N, ...), or (N, L, ...) with `batch_first`.

    >>> parts = [dg.tensor([1, 2, 3]), dg.tensor([4])]
    >>> dg.nn.utils.rnn.pad_sequence(parts, batch_first=True).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    if padding_side not in ("left", "right"):
        raise ArgumentError(
            f"pad_sequence: padding_side is 'left' or 'right', not {padding_side!r}"
        )
    longest = max(x.shape[0] for x in sequences)
    padded = []
    for x in sequences:
        missing = longest - x.shape[0]
        ends = (missing, 0) if padding_side == "left" else (0, missing)
        value = float(padding_value) if x.dtype.is_inexact else int(padding_value)
        padded.append(
            pad(x, widths=(ends,) + ((0, 0),) * (x.ndim - 1), value=value) if missing else x
        )
    return stack(padded, axis=0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of (T, N, ...), or (N, T, ...) with `batch_first`, each of its own length.

    >>> [x.shape for x in dg.nn.utils.rnn.unpad_sequence(dg.ones((3, 2)), dg.asarray([3, 1]))]
    [(3,), (1,)]
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(rows, lengths.tolist(), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (L, ...), which must be in order of falling length unless ``enforce_sorted=False``.

    >>> packed = dg.nn.utils.rnn.pack_sequence([dg.ones(3), dg.zeros(1)])
    >>> packed.data
    tensor([1., 0., 1., 1.])
    """
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in the order in which they were given.

    >>> packed = dg.nn.utils.rnn.pack_sequence([dg.ones(2), dg.zeros(1)])
    >>> dg.nn.utils.rnn.unpack_sequence(packed)
    [tensor([1., 1.]), tensor([0.])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)

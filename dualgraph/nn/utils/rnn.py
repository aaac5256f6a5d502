"""Sequences of unequal length, put side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.errors import ArgumentError
from ...eager import Tensor, stack
from ...ops.movement import pad


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

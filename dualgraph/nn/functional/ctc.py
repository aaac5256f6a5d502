"""Connectionist temporal classification: the loss of a sequence whose alignment is not known.

Graves et al., Connectionist temporal classification (2006): the probabilities of all alignments, summed over time
in the log domain by one scan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...control import scan_pure
from ...core.context import untraced
from ...core.errors import ArgumentError, ShapeError
from ...eager import Tensor, arange, asarray, concat, full, stack
from ...eager.functions import take_along_axis
from ...ops.arithmetic import maximum, where
from ...ops.transcendental import logaddexp

NEVER = -1e30  # the logarithm of the probability of what cannot be


def _whole(lengths: Any, like: Tensor) -> Tensor:
    given = lengths if isinstance(lengths, Tensor) else asarray(lengths)
    return given.to(device=like.device, dtype="int64").reshape(-1)


def _checked(what: str, lengths: Tensor, batch: int, most: int) -> None:
    if lengths.shape != (batch,):
        raise ShapeError(f"ctc_loss: {what} of shape {lengths.shape} for a batch of {batch}")
    with untraced():
        if not bool(((lengths >= 0) & (lengths <= most)).all()):
            raise ArgumentError(
                f"ctc_loss: {what} must be between 0 and {most}, not {lengths.tolist()}"
            )


def _padded(targets: Tensor, lengths: Any, batch: int) -> Tensor:
    """Targets one after the other, as (N, S)."""
    counts = np.asarray(lengths.tolist() if isinstance(lengths, Tensor) else lengths).reshape(-1)
    if int(counts.sum()) != targets.shape[0] or len(counts) != batch:
        raise ShapeError(f"ctc_loss: {targets.shape[0]} targets for lengths {counts.tolist()}")
    there = np.arange(int(counts.max(initial=0))) < counts[:, None]
    places = np.zeros(there.shape, np.int64)
    places[there] = np.arange(int(counts.sum()))
    if not targets.shape[0]:
        return full(there.shape, 0, dtype="int64", device=targets.device)
    return targets[asarray(places, device=targets.device)]


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """``-log`` of the probability of the targets under `log_probs` (T, N, C), over all alignments with blanks between.

    `targets` is (N, S), or all one after the other; lengths are tensors or sequences of N. "mean" divides each loss by
    the length of its target first. A target too long for its input costs infinity, or 0 with `zero_infinity`. Without
    a batch: (T, C), (S,) and one length each. The gradient is that of `log_probs` as they are.

    >>> even = dg.zeros(2, 1, 2).log_softmax(-1)  # two steps, two classes
    >>> loss = dg.nn.functional.ctc_loss(even, dg.tensor([[1]]), [2], [1])  # three of four alignments
    >>> round(loss.exp().item(), 4)
    1.3333
    """
    single = log_probs.ndim == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    if x.ndim != 3 or targets.ndim not in (1, 2) or targets.dtype.is_inexact:
        raise ShapeError(
            f"ctc_loss: log_probs are (T, N, C) or (T, C) and targets whole numbers (N, S) or (S,), "
            f"not {log_probs.tensor_type} and {targets.tensor_type}"
        )
    steps, batch, classes = x.shape
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: there are {classes} classes, and blank is {blank}")
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"ctc_loss: reduction is none, mean or sum, not {reduction!r}")
    if single and targets.ndim == 1:
        labels = targets.reshape(1, -1)
    else:
        labels = _padded(targets, target_lengths, batch) if targets.ndim == 1 else targets
    inputs, wanted = _whole(input_lengths, x), _whole(target_lengths, x)
    _checked("input_lengths", inputs, batch, steps)
    _checked("target_lengths", wanted, batch, labels.shape[1])
    each = _losses(x, labels.to(dtype="int64"), inputs, wanted, blank)
    impossible = each > -NEVER / 2
    each = where(impossible, 0.0 if zero_infinity else float("inf"), each)
    if reduction == "mean":
        return (each / wanted.clamp(min=1).to(each.dtype)).mean()
    if reduction == "sum":
        return each.sum()
    return each.reshape(()) if single else each


def _losses(x: Tensor, labels: Tensor, inputs: Tensor, wanted: Tensor, blank: int) -> Tensor:
    """The loss of each sequence: x (T, N, C), labels (N, S)."""
    steps, batch, _ = x.shape
    blanks = full((batch, 1), blank, dtype="int64", device=x.device)
    spread = stack([blanks.expand(batch, labels.shape[1]), labels], axis=2).reshape(batch, -1)
    states = concat([spread, blanks], axis=1)  # blank, label, blank, label, ..., blank
    count = states.shape[1]
    emitted = take_along_axis(x, states.unsqueeze(0).expand(steps, batch, count), axis=2)
    emitted = maximum(emitted, NEVER)
    never = full((batch, 2), NEVER, dtype=x.dtype, device=x.device)
    numbers = arange(count, device=x.device)
    # over a blank, between labels that differ
    before = concat([states[:, :2], states[:, :-2]], axis=1) if count > 2 else states
    leaps = (states != blank) & (states != before) & (numbers >= 2)
    start = where((numbers < 2) & (inputs.unsqueeze(1) > 0), emitted[0], NEVER)
    lives = arange(1, steps, device=x.device).reshape(-1, 1, 1) < inputs.reshape(1, -1, 1)

    def step(a: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
        here, alive = given
        padded = concat([never, a], axis=1)
        one, two = padded[:, 1 : count + 1], where(leaps, padded[:, :count], NEVER)
        new = maximum(logaddexp(logaddexp(a, one), two) + here, NEVER)
        return where(alive, new, a), None

    last = scan_pure(step, start, (emitted[1:], lives), key=("ctc", count), closes=(never, leaps))[
        0
    ]
    end = take_along_axis(last, (2 * wanted).unsqueeze(1), axis=1)
    label = take_along_axis(last, (2 * wanted - 1).clamp(min=0).unsqueeze(1), axis=1)
    label = where(wanted.unsqueeze(1) > 0, label, NEVER)
    return -logaddexp(end, label).reshape(-1)

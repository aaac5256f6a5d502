"""Packed sequences: what recurrent layers give for each is what they give for it alone; both modes alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn.utils import rnn

LENGTHS = [2, 5, 1, 3]


def sequences() -> list[dg.Tensor]:
    dg.manual_seed(0)
    return [dg.randn(n, 4) for n in LENGTHS]


def test_packing_and_back() -> None:
    parts = sequences()
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [4, 3, 2, 1, 1]
    assert packed.sorted_indices is not None and packed.sorted_indices.tolist() == [1, 3, 0, 2]
    assert packed.data.shape == (sum(LENGTHS), 4)
    assert packed.data[:2].tolist() == [parts[1][0].tolist(), parts[3][0].tolist()]
    again = rnn.unpack_sequence(packed)
    assert [x.tolist() for x in again] == [x.tolist() for x in parts]
    padded, lengths = rnn.pad_packed_sequence(packed, padding_value=-1.0, total_length=6)
    assert padded.shape == (6, 4, 4) and lengths.tolist() == LENGTHS
    assert bool((padded[2:, 0] == -1).all())
    assert rnn.pad_packed_sequence(packed.to(dg.float64))[0].dtype is dg.float64


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True}]
)
def test_each_sequence_as_if_alone(kind: str, options: dict[str, Any]) -> None:
    layer: Any = getattr(nn, kind)(4, 3, **options)
    first = options.get("batch_first", False)
    out, last = layer(rnn.pack_sequence(sequences(), enforce_sorted=False))
    out, _ = rnn.pad_packed_sequence(out, batch_first=True)
    last = last if kind == "LSTM" else (last,)
    for i, x in enumerate(sequences()):
        alone, state = layer(x[None] if first else x[:, None])
        alone = alone[0] if first else alone[:, 0]
        np.testing.assert_allclose(out[i, : len(x)].tolist(), alone.tolist(), atol=1e-6)
        for a, b in zip(last, state if kind == "LSTM" else (state,), strict=True):
            np.testing.assert_allclose(a[:, i].tolist(), b[:, 0].tolist(), atol=1e-6)


def test_gradients_and_both_modes() -> None:
    layer = nn.LSTM(4, 3, bidirectional=True)
    x = dg.randn(5, 4, 4)

    def run(x: Any, lengths: Any) -> Any:
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return rnn.pad_packed_sequence(layer(packed)[0])[0]

    given = dg.tensor(x.numpy(), requires_grad=True)
    run(given, LENGTHS).sum().backward()
    assert given.grad is not None
    for i, n in enumerate(LENGTHS):  # what only fills up has no influence
        assert bool((given.grad[n:, i] == 0).all()) and bool((given.grad[:n, i] != 0).any())
    compiled = dg.compile(run, wait=True)
    for lengths in (LENGTHS, LENGTHS, [5, 5, 5, 5], [1, 2, 5, 4], LENGTHS):
        wanted = run(x, lengths)
        assert compiled(x, lengths).detach().numpy().tobytes() == wanted.detach().numpy().tobytes()
    assert compiled.programs


def test_lengths_in_tensors_are_never_stale() -> None:
    layer = nn.GRU(4, 3)
    x = dg.randn(5, 2, 4)

    @dg.compile(wait=True)
    def run(x: Any, lengths: Any) -> Any:
        return layer(rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))[1]

    @dg.compile(wait=True)
    def of_packed(packed: Any) -> Any:
        return layer(packed)[1]

    for lengths in ([5, 3], [5, 3], [2, 5], [4, 4]):
        packed = rnn.pack_padded_sequence(x, dg.tensor(lengths), enforce_sorted=False)
        wanted = layer(packed)[1].tolist()
        assert run(x, dg.tensor(lengths)).tolist() == wanted
        assert of_packed(packed).tolist() == wanted


@pytest.mark.parametrize(
    ("lengths", "words"),
    [([1, 2], "do not fall"), ([2], "1 lengths"), ([9, 1], "between 1 and 5"), ([1, 0], "between")],
)
def test_errors_name_the_lengths(lengths: list[int], words: str) -> None:
    with pytest.raises(dg.ArgumentError, match=words):
        rnn.pack_padded_sequence(dg.zeros(5, 2, 1), lengths)

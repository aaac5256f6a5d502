"""Windows and short-time transforms, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("n", [0, 1, 2, 9, 16])
def test_windows_are_numpys(n: int) -> None:
    for name in ("hanning", "hamming", "blackman", "bartlett"):
        ours = getattr(dg, name.replace("hanning", "hann") + "_window")
        np.testing.assert_allclose(
            ours(n, False, dtype=dg.float64), getattr(np, name)(n), atol=1e-15
        )
        if n > 1:
            np.testing.assert_allclose(
                ours(n, dtype=dg.float64), getattr(np, name)(n + 1)[:n], atol=1e-15
            )
    np.testing.assert_allclose(dg.kaiser_window(n, False, 7.0, dtype=dg.float64), np.kaiser(n, 7.0))
    assert dg.hann_window(n, requires_grad=True).requires_grad


@pytest.mark.parametrize("length", [None, 8])
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_frames_are_transformed(
    batch: tuple[int, ...], normalized: bool, length: int | None
) -> None:
    x, n, hop = RNG.standard_normal((*batch, 50)), 12, 5
    window = RNG.uniform(0.5, 1, length or n)
    whole = np.pad(window, (n - len(window)) // 2)
    around = np.pad(x, [(0, 0)] * len(batch) + [(n // 2, n // 2)], mode="reflect")
    starts = range(0, around.shape[-1] - n + 1, hop)
    want = np.stack([np.fft.rfft(around[..., s : s + n] * whole) for s in starts], -1)
    parts = dg.stft(dg.tensor(x), n, hop, length, dg.tensor(window), normalized=normalized)
    np.testing.assert_allclose(parts.numpy(), want / (np.sqrt(n) if normalized else 1), atol=1e-12)
    back = dg.istft(parts, n, hop, length, dg.tensor(window), normalized=normalized, length=50)
    np.testing.assert_allclose(back.numpy()[..., :48], x[..., :48], atol=1e-12)
    both = dg.stft(dg.tensor(x), n, hop, length, dg.tensor(window), onesided=False)
    assert both.shape[-2] == n
    again = dg.istft(both, n, hop, length, dg.tensor(window), length=50)
    np.testing.assert_allclose(again.numpy(), back.numpy(), atol=1e-12)


def test_parts_may_lie_side_by_side_and_signals_be_complex() -> None:
    z = dg.tensor(RNG.standard_normal(40) + 1j * RNG.standard_normal(40))
    parts = dg.stft(z, 8, window=dg.hann_window(8, dtype=dg.float64), return_complex=False)
    assert parts.shape == (8, 21, 2)
    back = dg.istft(
        dg.view_as_complex(parts),
        8,
        window=dg.hann_window(8, dtype=dg.float64),
        return_complex=True,
        length=40,
    )
    np.testing.assert_allclose(back.numpy(), z.numpy(), atol=1e-12)


@both_modes(2)
def test_a_loss_on_spectra_has_gradients(wrap: Wrap) -> Iterator[Any]:
    w = dg.hann_window(16)

    def loss(x: Any) -> Any:
        return dg.stft(x, 16, 4, window=w).abs().add(1e-3).log().sum()

    f = wrap(dg.value_and_grad(loss))
    for _ in range(3):
        yield f(dg.randn(2, 64))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(dg.ArgumentError, match="win_length 20 do not fit n_fft 16"):
        dg.stft(dg.ones(64), 16, win_length=20)
    with pytest.raises(dg.ShapeError, match="window has shape"):
        dg.stft(dg.ones(64), 16, window=dg.ones(8))
    with pytest.raises(dg.ShapeError, match="7 frequencies are not those of n_fft 16"):
        dg.istft(dg.ones(7, 3, dtype=dg.complex64), 16)
    with pytest.raises(dg.ArgumentError, match="without weight"):
        dg.istft(dg.stft(dg.ones(64), 16, 16), 16, 16, window=dg.hann_window(16), center=False)

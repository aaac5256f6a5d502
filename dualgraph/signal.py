"""Signals: windows, and short-time Fourier transforms there and back.

>>> x = dg.sin(dg.arange(64.0))
>>> w = dg.hann_window(16)
>>> parts = dg.stft(x, 16, window=w)
>>> parts.shape, dg.allclose(dg.istft(parts, 16, window=w, length=64), x, atol=1e-5)
((9, 17), True)
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from .core import dtypes as dt
from .core.errors import ArgumentError, ShapeError, describe
from .eager.creation import asarray
from .eager.filling import arange, ones, zeros
from .eager.methods.further import view_as_real
from .eager.methods.parts import unfold
from .eager.methods.selection import index_add
from .eager.operands import as_operand, astype
from .eager.shapes import cut, matrix_transpose, pad, reshape
from .eager.tensor import Tensor
from .fft import fft, ifft, irfft, rfft
from .nn.functional import pad as pad_like
from .ops import arithmetic as ar

__all__ = [
    "bartlett_window", "blackman_window", "hamming_window", "hann_window", "istft", "kaiser_window", "stft",
]  # fmt: skip


# --- windows -------------------------------------------------------------------------------------


def _window(length: int, periodic: bool, form: Any, dtype: Any, device: Any, grad: bool) -> Tensor:
    """``form(t)`` at `length` places t from 0 to 1, the last left out if `periodic`."""
    if length < 0:
        raise ArgumentError(describe("window", str(length), "a window has 0 or more places"))
    gaps = length if periodic else length - 1
    values = form(np.arange(length) / gaps) if length > 1 else np.ones(length)
    out = asarray(values, dtype=dtype or dt.get_default_dtype(), device=device, copy=True)
    return out.requires_grad_() if grad else out  # type: ignore[no-any-return]


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:  # fmt: skip
    """``(1 - cos(2 pi t)) / 2``; `periodic` for transforms, else symmetric.

    >>> dg.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return hamming_window(
        window_length, periodic, 0.5, 0.5, dtype=dtype, device=device, requires_grad=requires_grad
    )


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``alpha - beta cos(2 pi t)``; `periodic` for transforms, else symmetric.

    >>> dg.hamming_window(4)
    tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """

    def form(t: Any) -> Any:
        return alpha - beta * np.cos(2 * pi * t)

    return _window(window_length, periodic, form, dtype, device, requires_grad)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:  # fmt: skip
    """``0.42 - 0.5 cos(2 pi t) + 0.08 cos(4 pi t)``; `periodic` for transforms, else symmetric.

    >>> dg.blackman_window(4)
    tensor([-1.3878e-17,  3.4000e-01,  1.0000e+00,  3.4000e-01])
    """

    def form(t: Any) -> Any:
        return 0.42 - 0.5 * np.cos(2 * pi * t) + 0.08 * np.cos(4 * pi * t)

    return _window(window_length, periodic, form, dtype, device, requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:  # fmt: skip
    """A triangle, ``1 - |2 t - 1|``; `periodic` for transforms, else symmetric.

    >>> dg.bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """

    def form(t: Any) -> Any:
        return 1 - np.abs(2 * t - 1)

    return _window(window_length, periodic, form, dtype, device, requires_grad)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``I0(beta sqrt(1 - (2 t - 1)**2)) / I0(beta)``; `periodic` for transforms, else symmetric.

    >>> dg.kaiser_window(4).shape
    (4,)
    """

    def form(t: Any) -> Any:
        return np.i0(beta * np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))) / np.i0(beta)

    return _window(window_length, periodic, form, dtype, device, requires_grad)


# --- short-time transforms -----------------------------------------------------------------------


def _setting(
    name: str, x: Tensor, n_fft: int, hop: int | None, length: int | None, window: Tensor | None
) -> tuple[int, Tensor]:
    """The step between frames, and the window, zeros around it, of a frame's length."""
    hop = n_fft // 4 if hop is None else hop
    length = n_fft if length is None else length
    if hop < 1 or not 0 < length <= n_fft:
        problem = f"hop_length {hop} and win_length {length} do not fit n_fft {n_fft}"
        raise ArgumentError(describe(name, str(x.tensor_type), problem))
    real = {"complex64": dt.float32, "complex128": dt.float64}.get(x.dtype.name, x.dtype)
    w = ones(length, dtype=real, device=x.device) if window is None else window
    if w.shape != (length,):
        problem = f"the window has shape {w.shape}, not ({length},)"
        raise ShapeError(describe(name, str(x.tensor_type), problem))
    before = (n_fft - length) // 2
    return hop, pad(w, ((before, n_fft - length - before),))


def stft(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
    onesided: bool | None = None, return_complex: bool = True,
) -> Tensor:  # fmt: skip
    """Transforms of windows of a signal (L,) or signals (B, L): complex, (..., frequencies, frames).

    Frames of `n_fft` begin every `hop_length` places (a quarter of `n_fft`); with `center` the signal is
    continued by half a frame at both ends, as `pad_mode` says. `onesided` (where everything is real) leaves
    out the negative frequencies; `normalized` divides by the root of `n_fft`. With ``return_complex=False``
    real and imaginary parts lie along a last axis.

        >>> dg.stft(dg.ones(16), n_fft=8, window=dg.hann_window(8), return_complex=True).shape
        (5, 9)
    """
    x = as_operand(input)
    if x.ndim not in (1, 2):
        raise ShapeError(
            describe("stft", str(x.tensor_type), "needs one axis, or two with a batch")
        )
    x = x if x.dtype.is_inexact else astype(x, dt.get_default_dtype())
    hop, w = _setting("stft", x, n_fft, hop_length, win_length, window)
    if center:
        lead = reshape(x, (1, 1, -1) if x.ndim == 1 else (1, *x.shape))
        around = pad_like(lead, (n_fft // 2, n_fft // 2), mode=pad_mode)
        x = reshape(around, (*x.shape[:-1], around.shape[-1]))
    frames = ar.multiply(unfold(x, -1, n_fft, hop), w)
    if frames.dtype.is_complex or onesided is False:
        out = fft(frames)
    else:
        out = rfft(frames)
    out = matrix_transpose(ar.multiply(out, 1 / sqrt(n_fft)) if normalized else out)
    return out if return_complex else view_as_real(out)


def istft(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, normalized: bool = False, onesided: bool | None = None,
    length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signals that are nearest to have `stft` results: (..., frequencies, frames) give (..., length).

    Frames are added where they overlap and divided by the sum of the squared windows (Griffin and Lim, 1984),
    which must not vanish anywhere.

        >>> x, w = dg.randn(16), dg.hann_window(8)
        >>> spectrum = dg.stft(x, 8, window=w, return_complex=True)
        >>> dg.allclose(dg.istft(spectrum, 8, window=w, length=16), x, atol=1e-5)
        True
    """
    x = as_operand(input)
    if not x.dtype.is_complex or x.ndim not in (2, 3):
        problem = "needs complex numbers with two axes, or three with a batch"
        raise ShapeError(describe("istft", str(x.tensor_type), problem))
    hop, w = _setting("istft", x, n_fft, hop_length, win_length, window)
    half = x.shape[-2] != n_fft if onesided is None else onesided
    if x.shape[-2] != (n_fft // 2 + 1 if half else n_fft) or (half and return_complex):
        problem = f"{x.shape[-2]} frequencies are not those of n_fft {n_fft}"
        raise ShapeError(describe("istft", str(x.tensor_type), problem))
    spectra = matrix_transpose(ar.multiply(x, sqrt(n_fft)) if normalized else x)
    if return_complex:
        frames = ifft(spectra)
    else:
        frames = irfft(cut(spectra, x.ndim - 1, 0, n_fft // 2 + 1), n=n_fft)
    frames, count = ar.multiply(frames, w), x.shape[-1]
    whole = n_fft + hop * (count - 1)
    starts = reshape(arange(count, device=x.device) * hop, (count, 1))
    at = reshape(starts + arange(n_fft, device=x.device), (-1,))
    lead = frames.shape[:-2]
    blank = zeros((*lead, whole), dtype=frames.dtype, device=x.device)
    total = index_add(blank, -1, at, reshape(frames, (*lead, count * n_fft)))
    squares = ar.add(zeros((count, n_fft), dtype=w.dtype, device=x.device), ar.square(w))
    weight = index_add(zeros(whole, dtype=w.dtype, device=x.device), 0, at, reshape(squares, (-1,)))
    start = n_fft // 2 if center else 0
    stop = min(start + length, whole) if length is not None else whole - start
    weight = cut(weight, 0, start, stop)
    if bool(ar.abs(weight).min() < 1e-11):  # type: ignore[attr-defined]
        problem = "the windows leave a place without weight"
        raise ArgumentError(
            describe("istft", str(x.tensor_type), problem, "take a smaller hop_length")
        )
    out = ar.divide(cut(total, total.ndim - 1, start, stop), weight)
    if length is not None and length > stop - start:
        out = pad(out, ((0, 0),) * len(lead) + ((0, length - (stop - start)),))
    return out  # type: ignore[no-any-return]

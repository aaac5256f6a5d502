"""Discrete Fourier transforms: the standard's ``fft`` extension, with PyTorch's ``dim`` and two-axis forms.

`norm` says where the factor 1/n goes: "backward" (into inverse transforms), "forward", or "ortho" (its root in both).

>>> x = dg.tensor([1.0, 2.0, 3.0])
>>> dg.allclose(dg.fft.irfft(dg.fft.rfft(x), n=3), x)
True
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from .core import dtypes as dt
from .core.errors import ArgumentError, DTypeError, describe
from .eager import shapes as sh
from .eager.filling import arange
from .eager.operands import also_dim, as_operand, astype
from .eager.tensor import Tensor
from .ops import arithmetic as ar
from .ops.axes import own_axis
from .ops.fourier import COMPLEX, fft_along, irfft_along, rfft_along

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]


def _scaled(x: Tensor, n: int, norm: str | None, inverse: bool) -> Tensor:
    """A transform over n points with its share of the factor ``1 / n``."""
    if norm == "ortho":
        return ar.divide(x, sqrt(n))
    if norm not in (None, "backward", "forward"):
        raise ArgumentError(
            describe("fft", str(x.tensor_type), f"norm {norm!r}", "use backward, forward or ortho")
        )
    return ar.divide(x, float(n)) if inverse == (norm != "forward") else x


def _resized(x: Tensor, axis: int, n: int | None) -> Tensor:
    """x cut, or filled with zeros, to n places along an axis."""
    size = x.shape[axis]
    if n is None or n == size:
        return x
    if n < 1:
        raise ArgumentError(
            describe("fft", str(x.tensor_type), f"n is {n}", "transform at least one place")
        )
    if n < size:
        return sh.cut(x, axis, 0, n)
    widths = [(0, n - size if i == axis else 0) for i in range(x.ndim)]
    return sh.pad(x, widths)


def _complex(x: Any) -> Tensor:
    x = as_operand(x)
    if x.dtype.is_complex:
        return x
    x = _real(x)
    return astype(x, COMPLEX[x.dtype])


def _real(x: Any) -> Tensor:
    x = as_operand(x)
    if x.dtype.is_complex:
        raise DTypeError(
            describe("rfft", str(x.tensor_type), "needs real numbers", "use dg.fft.fft")
        )
    return x if x.dtype in COMPLEX else astype(x, dt.get_default_dtype())


def _along(x: Any, n: int | None, axis: int, norm: str | None, inverse: bool) -> Tensor:
    x = _complex(x)
    place = own_axis(axis, x.ndim)
    x = _resized(x, place, n)
    return _scaled(fft_along(x, axis=place, inverse=inverse), x.shape[place], norm, inverse)


@also_dim
def fft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Transform along an axis, cut or filled with zeros to n places first.

    >>> dg.fft.fft(dg.ones(4)).tolist()
    [(4+0j), 0j, 0j, 0j]
    """
    return _along(x, n, axis, norm, inverse=False)


@also_dim
def ifft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Inverse transform along an axis.

    >>> dg.fft.ifft(dg.fft.fft(dg.asarray([1.0, 2.0]))).tolist()
    [(1+0j), (2+0j)]
    """
    return _along(x, n, axis, norm, inverse=True)


@also_dim
def rfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """The first half of the transform of real numbers (``n // 2 + 1`` places); the rest mirrors it.

    >>> dg.fft.rfft(dg.ones(4)).shape
    (3,)
    """
    x = _real(x)
    place = own_axis(axis, x.ndim)
    x = _resized(x, place, n)
    return _scaled(rfft_along(x, axis=place), x.shape[place], norm, inverse=False)


@also_dim
def irfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """The n (default: an even number) real numbers whose `rfft` is x.

    >>> dg.fft.irfft(dg.fft.rfft(dg.ones(4)))
    tensor([1., 1., 1., 1.])
    """
    x = _complex(x)
    place = own_axis(axis, x.ndim)
    n = 2 * (x.shape[place] - 1) if n is None else n
    if n < 1:
        raise ArgumentError(
            describe("irfft", str(x.tensor_type), f"n is {n}", "pass n of at least 1")
        )
    x = _resized(x, place, n // 2 + 1)
    return _scaled(irfft_along(x, axis=place, n=n), n, norm, inverse=True)


@also_dim
def hfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """The real transform of the numbers whose first half is x and whose rest mirrors it.

    >>> dg.fft.hfft(dg.ones(3)).shape
    (4,)
    """
    x = _complex(x)
    place = own_axis(axis, x.ndim)
    n = 2 * (x.shape[place] - 1) if n is None else n
    return irfft(ar.conj(x), n=n, axis=place, norm=_other(norm))


@also_dim
def ihfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """The first half of the inverse transform of real numbers.

    >>> dg.fft.ihfft(dg.ones(4)).shape
    (3,)
    """
    return ar.conj(rfft(x, n=n, axis=axis, norm=_other(norm)))


def _other(norm: str | None) -> str | None:
    return {"forward": "backward", "backward": "forward", None: "forward"}.get(norm, norm)


def _places(
    x: Tensor, s: int | Sequence[int] | None, axes: int | Sequence[int] | None
) -> tuple[list[int], list[int | None]]:
    """The axes to transform and the size of each (None: as it is)."""
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    axes, s = (None if v is None else [v] if isinstance(v, int) else v for v in (axes, s))
    places = [own_axis(a, x.ndim) for a in axes]
    if s is not None and len(s) != len(places):
        raise ArgumentError(
            describe(
                "fftn",
                str(x.tensor_type),
                f"{len(s)} sizes for {len(places)} axes",
                "give one each",
            )
        )
    if len(set(places)) != len(places):
        raise ArgumentError(describe("fftn", str(x.tensor_type), f"axes {places} are not distinct"))
    return places, [None if n in (None, -1) else n for n in s] if s is not None else [None] * len(
        places
    )


def _all(
    x: Any, s: Sequence[int] | None, axes: Sequence[int] | None, norm: str | None, inverse: bool
) -> Tensor:
    x = _complex(x)
    for axis, n in zip(*_places(x, s, axes), strict=True):
        x = _along(x, n, axis, norm, inverse)
    return x


@also_dim
def fftn(
    x: Any,
    /,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = "backward",
) -> Tensor:
    """Transform along several axes (all, if none are named), cut or filled to the sizes `s`.

    >>> dg.fft.fftn(dg.ones((2, 3, 4))).shape
    (2, 3, 4)
    """
    return _all(x, s, axes, norm, inverse=False)


@also_dim
def ifftn(
    x: Any,
    /,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = "backward",
) -> Tensor:
    """Inverse transform along several axes.

    >>> dg.fft.ifftn(dg.ones((2, 3, 4))).shape
    (2, 3, 4)
    """
    return _all(x, s, axes, norm, inverse=True)


@also_dim
def rfftn(
    x: Any,
    /,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = "backward",
) -> Tensor:
    """`rfft` along the last of the axes, `fft` along the others.

    >>> dg.fft.rfftn(dg.ones((2, 3, 4))).shape
    (2, 3, 3)
    """
    x = _real(x)
    places, sizes = _places(x, s, axes)
    out = rfft(x, n=sizes[-1], axis=places[-1], norm=norm)
    for axis, n in zip(places[:-1], sizes[:-1], strict=True):
        out = _along(out, n, axis, norm, inverse=False)
    return out


@also_dim
def irfftn(
    x: Any,
    /,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = "backward",
) -> Tensor:
    """The inverse of `rfftn`: `ifft` along all axes but the last, `irfft` along that.

    >>> dg.fft.irfftn(dg.fft.rfftn(dg.ones((2, 3, 4)))).shape
    (2, 3, 4)
    """
    x = _complex(x)
    places, sizes = _places(x, s, axes)
    for axis, n in zip(places[:-1], sizes[:-1], strict=True):
        x = _along(x, n, axis, norm, inverse=True)
    return irfft(x, n=sizes[-1], axis=places[-1], norm=norm)


@also_dim
def hfftn(
    x: Any, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = "backward"
) -> Tensor:  # fmt: skip
    """`hfft` along the last of `axes` after `fft` along the others.

    >>> dg.fft.hfftn(dg.ones(2, 3)).shape
    (2, 4)
    """
    return irfftn(ar.conj(_complex(x)), s=s, axes=axes, norm=_other(norm))


@also_dim
def ihfftn(
    x: Any, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = "backward"
) -> Tensor:  # fmt: skip
    """`ihfft` along the last of `axes`, then `ifft` along the others.

    >>> dg.fft.ihfftn(dg.ones(2, 4)).shape
    (2, 3)
    """
    return ar.conj(rfftn(x, s=s, axes=axes, norm=_other(norm)))


def _two(several: Any, name: str) -> Any:
    def transform(
        x: Any,
        s: Sequence[int] | None = None,
        dim: Sequence[int] = (-2, -1),
        norm: str | None = "backward",
    ) -> Tensor:
        return several(x, s=s, axes=dim, norm=norm)  # type: ignore[no-any-return]

    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = f"""`{several.__name__}` along two axes.

    >>> x = dg.ones(3, 2, 2)
    >>> bool((dg.fft.{name}(x) == dg.fft.{several.__name__}(x, axes=(-2, -1))).all())
    True
    """
    return transform


fft2, ifft2 = _two(fftn, "fft2"), _two(ifftn, "ifft2")
rfft2, irfft2 = _two(rfftn, "rfft2"), _two(irfftn, "irfft2")
hfft2, ihfft2 = _two(hfftn, "hfft2"), _two(ihfftn, "ihfft2")


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Frequencies of the places of a transform, in cycles per unit of the sample spacing d.

    >>> dg.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    places = ar.remainder(arange(n, device=device) + n // 2, n) - n // 2
    return ar.divide(astype(places, dtype or dt.get_default_dtype()), n * d)


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Frequencies of the places of an `rfft`.

    >>> dg.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    places = arange(n // 2 + 1, device=device)
    return ar.divide(astype(places, dtype or dt.get_default_dtype()), n * d)


def _shifted(x: Any, axes: int | Sequence[int] | None, forward: bool) -> Tensor:
    x = as_operand(x)
    axes = range(x.ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    places = tuple(own_axis(a, x.ndim) for a in axes)
    steps = tuple(x.shape[a] // 2 if forward else -(x.shape[a] // 2) for a in places)
    return sh.roll(x, steps, axis=places)


@also_dim
def fftshift(x: Any, /, axes: int | Sequence[int] | None = None) -> Tensor:
    """Frequency 0 moved to the middle.

    >>> dg.fft.fftshift(dg.fft.fftfreq(4))
    tensor([-0.5000, -0.2500,  0.0000,  0.2500])
    """
    return _shifted(x, axes, forward=True)


@also_dim
def ifftshift(x: Any, /, axes: int | Sequence[int] | None = None) -> Tensor:
    """The inverse of `fftshift`.

    >>> dg.fft.ifftshift(dg.asarray([-2, -1, 0, 1]))
    tensor([ 0,  1, -2, -1])
    """
    return _shifted(x, axes, forward=False)

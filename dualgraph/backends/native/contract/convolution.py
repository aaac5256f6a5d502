"""Convolutions of NumPy arrays as products: im2col by index tables, without the columns.

Order of k: forward (channel, kernel offset); input gradient (output channel, those kernel offsets that reach
the position with this stride); weight gradient (sample, output position). Padding takes part as zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations
from math import prod
from typing import Any

import numpy as np

from ..threads import pool
from .plan import Operand, Plan, Product, Strided, Tabled

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
LIMIT = 1024  # plans kept
SMALL = 400  # positions of an image below which all images are one matrix
_plans: dict[Any, Any] = {}


def table(*axes: tuple[int, int], start: int = 0) -> Any:
    """The offsets ``start + sum of i * step`` over axes (extent, step), row-major, as int64."""
    out = np.full(1, start, dtype=np.int64)
    for extent, step in axes:
        out = (out[:, None] + np.arange(extent, dtype=np.int64) * step).reshape(-1)
    return out


def crossed(x: Any, y: Any) -> Any:
    """The sums of entries of two tables, row-major."""
    return (x[:, None] + y).reshape(-1)


def contiguous_strides(shape: Ints, size: int) -> Ints:
    """Strides in bytes of a row-major array."""
    return tuple(size * prod(shape[i + 1 :]) for i in range(len(shape)))


@dataclass(frozen=True)
class Padding:
    """An array with zeros around its spatial axes; C-contiguous where there are any."""

    shape: Ints  # with the zeros
    inner: tuple[slice, ...]
    strides: Ints
    needed: bool

    def __call__(self, x: Any) -> Any:
        if not self.needed:
            return x
        out = np.empty(self.shape, x.dtype)
        for axis, part in enumerate(self.inner, 2):  # what lies around the inner part, axis by axis
            before = (slice(None), slice(None), *self.inner[: axis - 2])
            out[(*before, slice(0, part.start))] = 0
            out[(*before, slice(part.stop, None))] = 0
        out[(..., *self.inner)] = x
        return out


def padding_of(x: Any, pads: Pairs) -> Padding:
    """How `x` is padded: by zeros before and after each spatial axis, or cropped where negative."""
    spatial = tuple(d + a + b for d, (a, b) in zip(x.shape[2:], pads, strict=True))
    inner = tuple(slice(a, a + d) for d, (a, _) in zip(x.shape[2:], pads, strict=True))
    shape = (*x.shape[:2], *spatial)
    needed = any(a or b for a, b in pads)
    return Padding(shape, inner, contiguous_strides(shape, x.itemsize) if needed else x.strides, needed)


class Images:
    """A product for each image and group: ``out[n, channel, position]``, positions contiguous."""

    def __init__(
        self, dtype: Any, samples: int, groups: int, sizes: tuple[int, int, int], weight: Operand,
        weight_starts: Any, image: Tabled, image_strides: tuple[int, int],
    ) -> None:
        m, n, k = sizes
        size, name = dtype.itemsize, dtype.name
        sample_step, group_step = image_strides
        self.merged = samples > 1 and n < SMALL
        self.shape = (groups, m, samples, n) if self.merged else (samples, groups, m, n)
        if self.merged:
            image = Tabled(crossed(table((samples, sample_step)), image.rows), image.ks)
            starts = weight_starts, table((groups, group_step)), table((groups, m * n * samples * size))
            n *= samples
        else:
            first = table((samples, sample_step), (groups, group_step))
            starts = np.tile(weight_starts, samples), first, table((samples * groups, m * n * size))
        self.plan = Plan(Product(name, m, n, k, weight, _simplest(image, size), n * size, starts))

    def __call__(self, weight: Any, image: Any, out: Any) -> None:
        """Computes into `out`, C-contiguous (samples, channels, positions...)."""
        if not self.merged:
            self.plan(weight, image, out)
            return
        temporary = np.empty(self.shape, out.dtype)
        self.plan(weight, image, temporary)
        groups, m, samples, n = self.shape
        np.copyto(out.reshape(samples, groups, m, n), temporary.transpose(2, 0, 1, 3))


def _simplest(x: Tabled, size: int) -> Operand:
    """Strides in place of tables whose entries are evenly spaced, if rows are neighbours."""
    steps = []
    for entries in (x.rows, x.ks):
        step = int(entries[1] - entries[0]) if len(entries) > 1 else size
        if entries[:1].any() or not (np.diff(entries) == step).all():
            return x
        steps.append(step)
    return Strided(*steps) if steps[0] == size else x


class Forward:
    """The plan of `conv`."""

    def __init__(self, x: Any, w: Any, stride: Ints, padding: Pairs, dilation: Ints, groups: int) -> None:
        self.pad = pad = padding_of(x, padding)
        kernel, size = w.shape[2:], x.itemsize
        counts = _counts(pad.shape[2:], kernel, stride, dilation)
        self.shape = (x.shape[0], w.shape[0], *counts)
        channels, m = w.shape[1], w.shape[0] // groups
        sample, channel, *steps = pad.strides
        ks = table((channels, channel), *_axes(kernel, dilation, steps))
        rows = table(*_axes(counts, stride, steps))
        weight = Strided(len(ks) * size, size)
        starts = table((groups, m * len(ks) * size))
        self.images = Images(
            x.dtype, x.shape[0], groups, (m, len(rows), len(ks)), weight, starts,
            Tabled(rows, ks), (sample, channels * channel),
        )

    def __call__(self, x: Any, w: Any, out: Any) -> None:
        self.images(np.ascontiguousarray(w), self.pad(x), out)


def _counts(spatial: Ints, kernel: Ints, stride: Ints, dilation: Ints) -> Ints:
    axes = zip(spatial, kernel, stride, dilation, strict=True)
    return tuple((d - (k - 1) * dil - 1) // s + 1 for d, k, s, dil in axes)


def _axes(extents: Ints, factors: Ints, steps: Any) -> list[tuple[int, int]]:
    return [(e, f * s) for e, f, s in zip(extents, factors, steps, strict=True)]


@dataclass(frozen=True)
class Phase:
    """Positions of the input that differ by multiples of the stride, along one axis."""

    taps: tuple[int, ...]  # kernel offsets that reach them
    back: tuple[int, ...]  # for each, how far back from `first` its output position lies
    place: slice  # the positions
    first: int  # the output position where a tap with back 0 begins
    count: int


def _phases(extent: int, kernel: int, stride: int, before: int, dilation: int) -> list[Phase]:
    found = []
    for remainder in range(stride):
        taps = tuple(t for t in range(kernel) if t * dilation % stride == remainder)
        start = (remainder - before) % stride  # the first position with this remainder once padded
        count = len(range(start, extent, stride))
        if count:
            back = tuple((t * dilation - remainder) // stride for t in taps)
            first = (start + before - remainder) // stride
            found.append(Phase(taps, back, slice(start, None, stride), first, count))
    return found


class InputGradient:
    """The plan of `conv_input`: for each remainder of the positions by the stride a product of its own."""

    def __init__(
        self, ct: Any, w: Any, extent: Ints, stride: Ints, padding: Pairs, dilation: Ints, groups: int
    ) -> None:
        kernel, channels, size = w.shape[2:], w.shape[1], ct.itemsize
        self.shape = (ct.shape[0], channels * groups, *extent)
        befores = [a for a, _ in padding]
        phases = [_phases(*axis) for axis in zip(extent, kernel, stride, befores, dilation, strict=True)]
        pads = []
        for count, options in zip(ct.shape[2:], phases, strict=True):
            reach = [p for p in options if p.taps]
            low = max((max(p.back) - p.first for p in reach), default=0)
            high = max((p.first + p.count - min(p.back) - count for p in reach), default=0)
            pads.append((max(low, 0), max(high, 0)))
        self.pad = pad = padding_of(ct, tuple(pads))
        outs = w.shape[0] // groups
        sample, channel, *steps = pad.strides
        w_out, w_channel, *w_steps = contiguous_strides(w.shape, size)
        self.parts: list[tuple[Any, Images | None]] = []
        for chosen in combinations(*phases):
            place = (slice(None), slice(None), *(p.place for p in chosen))
            taps, back = table((outs, w_out)), table((outs, channel))
            for p, w_step, step in zip(chosen, w_steps, steps, strict=True):
                taps = crossed(taps, np.array(p.taps, dtype=np.int64) * w_step)
                back = crossed(back, np.array(p.back, dtype=np.int64) * -step)
            start = sum((p.first + a) * step for p, (a, _), step in zip(chosen, pads, steps, strict=True))
            rows = table(*((p.count, step) for p, step in zip(chosen, steps, strict=True)), start=start)
            if not len(taps):
                self.parts.append((place, None))
                continue
            images = Images(
                ct.dtype, ct.shape[0], groups, (channels, len(rows), len(taps)),
                Tabled(table((channels, w_channel)), taps), table((groups, outs * w_out)),
                Tabled(rows, back), (sample, outs * channel),
            )
            self.parts.append((place, images))
        self.alone = len(self.parts) == 1

    def __call__(self, ct: Any, w: Any, out: Any) -> None:
        ct, w = self.pad(ct), np.ascontiguousarray(w)
        for place, images in self.parts:
            target = out[place]
            if images is None:
                target[...] = 0
            elif self.alone:
                images(w, ct, out)
            else:
                part = np.empty(target.shape, out.dtype)
                images(w, ct, part)
                target[...] = part


class WeightGradient:
    """The plan of `conv_weight`."""

    def __init__(
        self, x: Any, ct: Any, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, groups: int
    ) -> None:
        self.pad = pad = padding_of(x, padding)
        channels, size = x.shape[1] // groups, x.itemsize
        m, counts = ct.shape[1] // groups, ct.shape[2:]
        self.shape = (ct.shape[1], channels, *kernel)
        sample, channel, *steps = pad.strides
        ct_sample, ct_channel, *ct_steps = ct.strides
        rows = table((channels, channel), *_axes(kernel, dilation, steps))
        ks = table((x.shape[0], sample), *_axes(counts, stride, steps))
        ct_ks = table((x.shape[0], ct_sample), *_axes(counts, (1,) * len(counts), ct_steps))
        starts = (
            table((groups, m * ct_channel)),
            table((groups, channels * channel)),
            table((groups, m * len(rows) * size)),
        )
        self.plan = Plan(
            Product(
                x.dtype.name, m, len(rows), len(ks), Tabled(table((m, ct_channel)), ct_ks),
                Tabled(rows, ks), len(rows) * size, starts,
            )
        )

    def __call__(self, x: Any, ct: Any, out: Any) -> None:
        self.plan(ct, self.pad(x), out)


def _run(kind: Any, x: Any, y: Any, out: Any, params: dict[str, Any]) -> Any:
    key = (kind, x.dtype, x.shape, x.strides, y.shape, y.strides, *params.values(), pool.size)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= LIMIT:
            _plans.clear()
        plan = _plans[key] = kind(x, y, **params)
    if out is None:
        out = np.empty(plan.shape, x.dtype)
    if out.flags.c_contiguous:
        plan(x, y, out)
    else:
        result = np.empty(plan.shape, x.dtype)
        plan(x, y, result)
        np.copyto(out, result)
    return out


def conv(x: Any, w: Any, out: Any = None, **params: Any) -> Any:
    """Cross-correlation of x (N, C, *S) with w (O, C / groups, *K); `params` as the op's."""
    return _run(Forward, x, w, out, params)


def conv_input(ct: Any, w: Any, out: Any = None, **params: Any) -> Any:
    """Gradient of `conv` for its input: (N, C, *extent)."""
    return _run(InputGradient, ct, w, out, params)


def conv_weight(x: Any, ct: Any, out: Any = None, **params: Any) -> Any:
    """Gradient of `conv` for its weight: (O, C / groups, *kernel)."""
    return _run(WeightGradient, x, ct, out, params)

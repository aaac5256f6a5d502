"""Images at given places, resizing, and the CTC loss: values by definition, both modes alike, gradients, errors."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.nn import functional as F

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, 2, 4, 5))
GRID = RNG.uniform(-1.5, 1.5, (2, 3, 2, 2))


def in_both_modes(f: Any, *arrays: Any) -> np.ndarray:
    given = [dg.tensor(a) for a in arrays]
    found = f(*given).numpy()
    compiled = dg.compile(f, wait=True)
    for _ in range(2):
        assert np.array_equal(compiled(*given).numpy(), found)
    assert compiled.programs
    return found


# --- by definition -----------------------------------------------------------------------------


def cubic(t: float, a: float = -0.75) -> float:
    t = abs(t)
    if t < 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return (((t - 5) * t + 8) * t - 4) * a if t < 2 else 0.0


def reflected(x: float, low: float, high: float) -> float:
    while high > low and not low <= x <= high:
        x = 2 * low - x if x < low else 2 * high - x
    return x if high > low else 0.0


def element(x: np.ndarray, at: tuple[int, ...]) -> float:
    """0 outside."""
    return x[at] if all(0 <= i < d for i, d in zip(at, x.shape, strict=True)) else 0.0


def sampled(x: np.ndarray, place: Any, mode: str, padding: str, corners: bool) -> float:
    """The image x (H, W) at (x, y)."""
    at = []
    for g, d in zip(place[::-1], x.shape, strict=True):
        at.append((g + 1) / 2 * (d - 1) if corners else ((g + 1) * d - 1) / 2)

    def pad(v: float, d: int) -> float:
        if padding == "reflection":
            v = reflected(v, *((0, d - 1) if corners else (-0.5, d - 0.5)))
        return v if padding == "zeros" else min(max(v, 0), d - 1)

    if mode != "bicubic":
        at = [pad(v, d) for v, d in zip(at, x.shape, strict=True)]
    if mode == "nearest":
        return element(x, tuple(round(v) for v in at))
    weight, offsets = (
        (cubic, (-1, 0, 1, 2)) if mode == "bicubic" else (lambda t: 1 - abs(t), (0, 1))
    )
    low, total = [math.floor(v) for v in at], 0.0
    for steps in itertools.product(offsets, repeat=2):
        here = [a + k for a, k in zip(low, steps, strict=True)]
        w = math.prod(weight(v - h) for v, h in zip(at, here, strict=True))
        if mode == "bicubic":
            here = [int(pad(h, d)) for h, d in zip(here, x.shape, strict=True)]
        total += w * element(x, tuple(here))
    return total


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode: str, padding: str, corners: bool) -> None:
    found = in_both_modes(lambda x, g: F.grid_sample(x, g, mode, padding, corners), IMAGE, GRID)
    assert found.shape == (2, 2, 3, 2)
    for n, c, i, j in np.ndindex(found.shape):
        wanted = sampled(IMAGE[n, c], GRID[n, i, j], mode, padding, corners)
        assert found[n, c, i, j] == pytest.approx(wanted, abs=1e-12)
    if mode != "nearest":
        x, g = dg.tensor(IMAGE[:1, :1], requires_grad=True), dg.tensor(GRID[:1], requires_grad=True)
        assert dg.autograd.gradcheck(
            lambda x, g: F.grid_sample(x, g, mode, padding, corners), (x, g)
        )


@pytest.mark.parametrize("corners", [False, True])
def test_the_grid_of_the_identity_gives_the_image_back(corners: bool) -> None:
    for shape, theta in (((2, 2, 4, 5), np.eye(2, 3)), ((1, 2, 3, 4, 5), np.eye(3, 4))):
        x = RNG.standard_normal(shape)
        maps = np.broadcast_to(theta, (shape[0], *theta.shape)).copy()
        grid = dg.tensor(in_both_modes(lambda t, s=shape: F.affine_grid(t, s, corners), maps))
        out = F.grid_sample(dg.tensor(x), grid, align_corners=corners)
        np.testing.assert_allclose(out.numpy(), x, atol=1e-12)
    moved = maps + np.array([0, 0, 0, 2.0])  # by a whole half-width
    there = F.affine_grid(dg.tensor(moved), shape, corners)
    np.testing.assert_allclose(there.numpy(), grid.numpy() + 2, atol=1e-12)


def resized(x: np.ndarray, length: int, corners: bool) -> np.ndarray:
    """A line by cubic interpolation."""
    n = len(x)
    step = (n - 1) / max(length - 1, 1) if corners else n / length
    out = []
    for i in range(length):
        v = i * step if corners else (i + 0.5) * step - 0.5
        taps = range(math.floor(v) - 1, math.floor(v) + 3)
        out.append(sum(cubic(v - k) * x[min(max(k, 0), n - 1)] for k in taps))
    return np.array(out)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [(7, 3), (4, 5), (1, 11)])
def test_bicubic_resizing(size: tuple[int, int], corners: bool) -> None:
    found = in_both_modes(
        lambda x: F.interpolate(x, size, mode="bicubic", align_corners=corners), IMAGE
    )
    wanted = np.apply_along_axis(lambda v: resized(v, size[0], corners), 2, IMAGE)
    wanted = np.apply_along_axis(lambda v: resized(v, size[1], corners), 3, wanted)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_other_ways_to_resize() -> None:
    line = np.arange(6.0).reshape(1, 1, 6)
    exact = in_both_modes(lambda x: F.interpolate(x, 4, mode="nearest-exact"), line)
    assert exact.ravel().tolist() == [0, 2, 3, 5]
    area = in_both_modes(lambda x: F.interpolate(x, 3, mode="area"), line)
    assert area.ravel().tolist() == [0.5, 2.5, 4.5]
    constant = np.ones((1, 1, 9, 7))
    for mode in ("bilinear", "bicubic"):
        f = lambda x, mode=mode: F.interpolate(x, (3, 4), mode=mode, antialias=True)  # noqa: E731
        np.testing.assert_allclose(in_both_modes(f, constant), np.ones((1, 1, 3, 4)), atol=1e-12)
    halved = F.interpolate(dg.tensor(line[:, :, None]), (1, 3), mode="bilinear", antialias=True)
    np.testing.assert_allclose(halved.numpy().ravel(), [5 / 7, 2.5, 30 / 7], atol=1e-12)
    assert F.interpolate(dg.tensor(IMAGE), (4, 5), mode="bilinear", antialias=True).numpy() == (
        pytest.approx(IMAGE)
    )


# --- CTC ---------------------------------------------------------------------------------------


def by_alignments(log_probs: np.ndarray, target: list[int], blank: int) -> float:
    """-log of the sum over all paths that collapse to the target."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        merged = [c for c, _ in itertools.groupby(path)]
        if [c for c in merged if c != blank] == target:
            total += math.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    return -math.log(total) if total else math.inf


LOGITS = RNG.standard_normal((5, 4, 3))
INPUTS = [5, 4, 5, 2]


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("how", ["padded", "joined", "tensors"])
def test_ctc_is_the_sum_over_alignments(how: str, blank: int) -> None:
    a, b = [c for c in range(3) if c != blank]
    targets = [[a, b], [a, a], [b], [b, a]]
    counts = [len(t) for t in targets]
    padded = np.array([[*t, b][:2] for t in targets])
    given = np.concatenate([np.array(t) for t in targets]) if how == "joined" else padded
    lengths = [dg.tensor(INPUTS), dg.tensor(counts)] if how == "tensors" else [INPUTS, counts]

    def f(x: Any, reduction: str = "none") -> Any:
        return F.ctc_loss(x.log_softmax(-1), dg.asarray(given), *lengths, blank, reduction)

    log_probs = dg.tensor(LOGITS).log_softmax(-1).numpy()
    wanted = [by_alignments(log_probs[: INPUTS[i], i], t, blank) for i, t in enumerate(targets)]
    np.testing.assert_allclose(in_both_modes(f, LOGITS), wanted, rtol=1e-10)
    x = dg.tensor(LOGITS, requires_grad=True)
    assert dg.autograd.gradcheck(f, x)
    assert f(x, "sum").item() == pytest.approx(sum(wanted))
    assert f(x, "mean").item() == pytest.approx(np.mean(np.array(wanted) / counts))
    layer = dg.nn.CTCLoss(blank)
    assert layer(x.log_softmax(-1), dg.asarray(given), *lengths).item() == f(x, "mean").item()


def test_ctc_of_targets_that_do_not_fit_of_none_and_of_one_sequence() -> None:
    log_probs = dg.tensor(LOGITS).log_softmax(-1)
    args = dg.tensor([[1, 1, 1]] * 4), [5, 4, 5, 5], [3, 3, 0, 1]
    each = F.ctc_loss(log_probs, *args, reduction="none")
    assert each[1].item() == math.inf
    assert each[2].item() == pytest.approx(-log_probs[:, 2, 0].sum().item())
    assert F.ctc_loss(log_probs, *args, reduction="none", zero_infinity=True)[1].item() == 0
    x = dg.tensor(LOGITS, requires_grad=True)
    F.ctc_loss(x.log_softmax(-1), *args, zero_infinity=True).backward()
    assert x.grad is not None and bool(x.grad.isfinite().all()) and not bool(x.grad[:, 1].any())
    alone = F.ctc_loss(log_probs[:, 0], dg.tensor([1, 2]), dg.tensor(5), dg.tensor(2))
    batch = F.ctc_loss(log_probs[:, :1], dg.tensor([[1, 2]]), [5], [2])
    assert alone.item() == batch.item() and alone.shape == ()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: F.ctc_loss(dg.zeros(3, 1, 2), dg.tensor([[1]]), [4], [1]), "between 0 and 3"),
        (lambda: F.ctc_loss(dg.zeros(3, 1, 2), dg.tensor([[1]]), [3], [1], blank=2), "2 classes"),
        (lambda: F.ctc_loss(dg.zeros(3, 1, 2), dg.ones(1, 1), [3], [1]), "whole numbers"),
        (lambda: F.grid_sample(dg.zeros(1, 1, 2, 2), dg.zeros(1, 2, 2, 3)), "does not fit"),
        (lambda: F.grid_sample(dg.zeros(1, 1, 2, 2), dg.zeros(1, 2, 2, 2), "cubic"), "mode 'cubic'"),
        (lambda: F.affine_grid(dg.zeros(1, 2, 2), (1, 1, 2, 2)), "do not fit"),
        (lambda: F.interpolate(dg.zeros(1, 1, 4), 2, mode="bicubic"), "mode 'bicubic'"),
        (lambda: F.interpolate(dg.zeros(1, 1, 4), 2, mode="nearest", align_corners=True), "align_corners"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(call: Any, words: str) -> None:
    with pytest.raises(dg.DualgraphError, match=words):
        call()

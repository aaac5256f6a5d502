"""Views of memory under another dtype, or by other steps: what is written to them is in their base, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.errors import ArgumentError, AutogradError, DualgraphError, ShapeError

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
Z = (X + 1j * X[::-1]).astype(np.complex64)

# Each view of a tensor, the same of an array, and the array.
VIEWS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], np.ndarray]] = {
    "real": (lambda x: x.real, lambda x: x.real, Z),
    "imag of columns": (lambda x: x.T[::2].imag, lambda x: x.T[::2].imag, Z),
    "pairs": (lambda x: dg.view_as_real(x[:, 1:]), lambda x: x[:, 1:, None].view("f4"), Z),
    "of pairs": (
        lambda x: dg.view_as_complex(x.reshape(4, 3, 2)[1:]),
        lambda x: x.view("c8")[1:],
        X,
    ),
    "bits": (lambda x: x.view(dg.int32), lambda x: x.view("i4"), X),
    "bits of columns": (lambda x: x.T.view(dg.int32), lambda x: x.view("i4").T, X),
    "halves": (lambda x: x[:, 1:4].view(dg.int16), lambda x: x[:, 1:4].view("i2"), X),
    "bits and back": (
        lambda x: x.view(dg.int64)[1:].view(dg.float32),
        lambda x: x.view("i8")[1:].view("f4"),
        X,
    ),
    "unfold": (lambda x: x.unfold(1, 2, 3), lambda x: x.reshape(4, 2, 3)[..., :2], X),
    "unfold columns": (
        lambda x: x.T.unfold(0, 3, 3),
        lambda x: x.reshape(4, 2, 3).swapaxes(0, 1),
        X,
    ),
    "diagonal of columns": (lambda x: x.T.diagonal(1), lambda x: np.diag(x.T, 1), X),
    "diagonal of a part": (lambda x: x[:, :3].diagonal(-1), lambda x: np.diag(x[:, :3], -1), X),
    "diagonal of far axes": (
        lambda x: x.reshape(2, 3, 4).diagonal(0, 0, 2),
        lambda x: x.reshape(2, 3, 4).diagonal(0, 0, 2),
        X,
    ),
    "strided": (lambda x: x.as_strided((2, 3), (7, 2), 1), None, X),  # type: ignore[dict-item]
    "strided within a part": (
        lambda x: x[1:3].as_strided((2, 2), (6, 1)),
        lambda x: x[1:3, :2],
        X,
    ),
    "strided columns": (lambda x: x.T.as_strided((2, 2), (6, 1)), lambda x: x[:2, :2], X),
}


def _strided(x: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(x.reshape(-1)[1:], (2, 3), (28, 8))


def _same_bits(a: Any, b: Any) -> None:
    a, b = (np.ascontiguousarray(v) for v in (a, b))
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a.view("u1"), b.view("u1"))


def _written(view: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads a view, writes to it, and to its base; what both are then."""

    def f(x: Any) -> Any:
        v = view(x)
        before = v.clone()
        v[...] = v.roll(1, 0)
        x[0] = x[1]
        return before, v.clone(), view(x).clone()

    return f


@pytest.mark.parametrize("name", VIEWS)
def test_writes_to_a_view_are_in_its_base_in_both_modes(name: str) -> None:
    view, expected, array = VIEWS[name]
    own = array.copy()
    part = (expected or _strided)(own)
    part = part if np.shares_memory(part, own) and part.flags.writeable else None
    eager = dg.tensor(array)
    f = _written(view)
    outs = f(eager)
    if part is None:  # NumPy's diagonals are read-only
        part = (expected or _strided)(own)
        part.flags.writeable = True
    _same_bits(outs[0].numpy(), part)
    part[...] = np.roll(part.copy(), 1, 0)
    own[0] = own[1]
    _same_bits(eager.numpy(), own)
    _same_bits(outs[1].numpy(), part)
    _same_bits(outs[2].numpy(), part)
    g = dg.compile(f, wait=True)
    for _ in range(2):
        x = dg.tensor(array)
        again = g(x)
        for a, b in zip((x, *again), (eager, *outs), strict=True):
            _same_bits(a.numpy(), b.numpy())


DERIVED = (
    "real",
    "imag of columns",
    "pairs",
    "of pairs",
    "unfold columns",
    "diagonal of a part",
    "strided",
)


@pytest.mark.parametrize("name", DERIVED)
def test_gradients_flow_through_views_and_writes(name: str) -> None:
    view, _, array = VIEWS[name]
    weights = dg.arange(24.0).reshape(4, 6)

    def loss(x: Any) -> Any:
        y = dg.complex(x, x.flip(0)) if np.iscomplexobj(array) else x * 1
        v = view(y)
        v.mul_(v)
        return (dg.abs(y) * weights).sum() + dg.abs(view(y)).sum()

    x = dg.tensor(X, dtype=dg.float64, requires_grad=True)
    assert dg.autograd.gradcheck(loss, (x,))
    x = dg.tensor(X)
    got = dg.grad(loss)(x)
    compiled = dg.compile(dg.grad(loss), wait=True)
    for _ in range(2):
        _same_bits(compiled(x).numpy(), got.numpy())


def test_bits_are_seen_without_a_gradient() -> None:
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    bits = y.view(dg.int32)
    bits[0] = 0
    assert y.tolist() == [0.0, 2.0] and not bits.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]  # as in PyTorch


def test_overlapping_windows_are_read_and_summed_but_not_written() -> None:
    x = dg.arange(5.0)
    windows, grid = x.unfold(0, 3, 1), x.as_strided((3, 3), (1, 1))
    x[2] = 7.0
    assert windows[0].tolist() == [0.0, 1.0, 7.0] and grid[2, 0].item() == 7.0
    counts = dg.grad(lambda x: x.unfold(0, 3, 1).sum())(x)
    assert counts.tolist() == [1.0, 2.0, 3.0, 2.0, 1.0]
    for view in (windows, grid):
        with pytest.raises(AutogradError, match="several elements share one place"):
            view.add_(1)


def test_views_under_vmap_are_written_example_by_example() -> None:
    def f(z: Any) -> Any:
        w = z * 1
        w.real.mul_(w.imag)
        w.diagonal()[:] = 0
        return w, w.real.unfold(0, 2, 2)

    z = dg.tensor(np.stack([Z[:, :4], Z[:, 2:]]))
    for batched, single in zip(dg.vmap(f)(z), zip(*map(f, z), strict=True), strict=True):
        _same_bits(batched.numpy(), dg.stack(list(single)).numpy())


ERRORS: dict[str, tuple[Callable[[], Any], type[DualgraphError], str]] = {
    "gaps": (lambda: dg.ones(2, 4)[:, ::2].view(dg.int16), ShapeError, "cannot be seen as"),
    "pairs apart": (lambda: dg.view_as_complex(dg.ones(2, 3).T), ShapeError, "cannot be seen as"),
    "outside": (
        lambda: dg.ones(6)[2:].as_strided((3,), (3,)),
        DualgraphError,
        "place 8 does not lie in a tensor of 6",
    ),
    "a gradient from outside": (
        lambda: (dg.ones(6, requires_grad=True) * 1)[2:].as_strided((2,), (1,), 0),
        ArgumentError,
        "gradients flow to the elements of x alone",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_seen_is_a_named_error(name: str) -> None:
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()


def test_offsets_count_from_the_start_of_the_memory() -> None:
    x = dg.arange(6)
    assert x[2:].as_strided((2,), (1,)).tolist() == [2, 3]
    assert x[2:].as_strided((2,), (1,), 0).tolist() == [0, 1]
    compiled = dg.compile(lambda x: x.as_strided((2,), (1,), 1), wait=True)
    assert [compiled(t).tolist() for t in (x, x[2:], x)] == [[1, 2]] * 3

"""Unpooling, the places that adaptive pooling chose, and further losses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn

F = nn.functional
RNG = np.random.default_rng(6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpooling_puts_back_what_pooling_chose(n: int) -> None:
    shape = (7, 6, 4)[:n]
    x = dg.tensor(RNG.standard_normal((2, 3, *shape)), requires_grad=True)
    pool = getattr(nn, f"MaxPool{n}d")(2, return_indices=True)
    unpool = getattr(nn, f"MaxUnpool{n}d")(2)
    out = unpool(*pool(x), output_size=x.shape)
    kept = out != 0
    assert out.shape == x.shape
    assert int(kept.sum()) == 6 * int(np.prod([d // 2 for d in shape]))
    np.testing.assert_array_equal(out[kept].detach().numpy(), x[kept].detach().numpy())
    (out * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2.0 * kept.numpy())
    with pytest.raises(dg.ArgumentError, match="not within a stride"):
        unpool(*pool(x), output_size=[d + 9 for d in shape])


@pytest.mark.parametrize(
    ("shape", "size"), [((7,), 3), ((5, 8), (3, None)), ((4, 6, 5), (2, 4, 3))]
)
def test_adaptive_pooling_names_the_first_of_equals(shape: tuple[int, ...], size: Any) -> None:
    x = RNG.integers(0, 4, (2, 3, *shape)).astype(np.float32)
    layer = getattr(nn, f"AdaptiveMaxPool{len(shape)}d")(size, return_indices=True)
    values, at = layer(dg.tensor(x))
    sizes = [s or d for s, d in zip((size,) if isinstance(size, int) else size, shape, strict=True)]
    for place in itertools.product(*map(range, sizes)):
        window = tuple(
            slice(i * d // s, -(-(i + 1) * d // s))
            for i, d, s in zip(place, shape, sizes, strict=True)
        )
        for lead in np.ndindex(2, 3):
            part = x[lead][window]
            inner = np.unravel_index(part.argmax(), part.shape)
            flat = np.ravel_multi_index(
                [w.start + i for w, i in zip(window, inner, strict=True)], shape
            )
            assert values[(*lead, *place)].item() == part.max()
            assert at[(*lead, *place)].item() == flat


def test_the_margin_of_several_labels() -> None:
    x = dg.tensor([[0.1, 0.2, 0.4, 0.8]], requires_grad=True)
    loss = nn.MultiLabelMarginLoss()(x, dg.tensor([[3, 0, -1, 1]]))
    # ((1 - (0.1 - 0.2)) + (1 - (0.1 - 0.4)) + (1 - (0.8 - 0.2)) + (1 - (0.8 - 0.4))) / 4
    assert loss.item() == pytest.approx(0.85)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), [[-0.5, 0.5, 0.5, -0.5]])


def test_distances_and_likenesses_of_operands_that_broadcast() -> None:
    x = RNG.standard_normal((4, 3))
    want = [np.linalg.norm(x[i] - x[j]) for i, j in itertools.combinations(range(4), 2)]
    np.testing.assert_allclose(F.pdist(dg.tensor(x)).numpy(), want)
    a, b = RNG.standard_normal((1, 2, 3)), RNG.standard_normal((2, 1, 3))
    wide = [np.broadcast_to(v, (2, 2, 3)) for v in (a, b)]
    want = (wide[0] * wide[1]).sum(1) / np.prod([np.linalg.norm(v, axis=1) for v in wide], axis=0)
    np.testing.assert_allclose(F.cosine_similarity(dg.tensor(a), dg.tensor(b), dim=1).numpy(), want)


def test_steps_of_numbers() -> None:
    x = dg.tensor([-3, 2, 9])
    assert F.hardtanh(x, -2.5, 2.5).dtype is F.relu6(x).dtype is dg.int64
    assert F.relu6(x).tolist() == [0, 2, 6]
    assert F.prelu(dg.tensor(-2.0), dg.tensor([0.5])).shape == ()
    target = dg.tensor([1, -1, 0])
    near = F.hinge_embedding_loss(dg.tensor([0.5, 0.25, 0.25]), target, reduction="none")
    assert near.tolist() == [0.5, 0.75, 1.0]
    image = dg.arange(4.0).reshape(1, 1, 2, 2)
    assert F.upsample_nearest(image, scale_factor=2).shape == (1, 1, 4, 4)
    assert F.upsample_bilinear(image, size=3)[0, 0, 1].tolist() == [1.0, 1.5, 2.0]

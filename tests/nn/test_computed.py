"""Weights that are made of others: weight and spectral norm, parametrizations, pruning, lazy layers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.nn.utils import parametrizations, parametrize, prune


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).T


class Doubled(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2

    def right_inverse(self, y: Any) -> Any:
        return y / 2


MAKERS: dict[str, Callable[[Any], Any]] = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "parametrized weight_norm": parametrizations.weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
    "symmetric": lambda m: parametrize.register_parametrization(m, "weight", Symmetric()),
    "pruned": lambda m: prune.l1_unstructured(m, "weight", 0.4),
}


def training_step(model: Any) -> Callable[[Any], Any]:
    optimizer = optim.SGD(model.parameters(), 0.1)

    def step(x: Any) -> Any:
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


@pytest.mark.parametrize("name", MAKERS)
def test_training_is_the_same_in_both_modes_and_for_copies(name: str) -> None:
    dg.manual_seed(0)
    layer = MAKERS[name](nn.Linear(4, 4))
    twin, pickled = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    x = dg.randn(6, 4)
    eager, other, compiled = (
        training_step(layer),
        training_step(pickled),
        dg.compile(training_step(twin), wait=True),
    )
    for _ in range(4):
        assert eager(x).item() == compiled(x).item() == other(x).item()
    for (key, a), b in zip(layer.state_dict().items(), twin.state_dict().values(), strict=True):
        assert a.tolist() == b.tolist(), key
    assert compiled.programs
    fresh = MAKERS[name](nn.Linear(4, 4))
    fresh.load_state_dict(layer.state_dict())
    assert fresh.eval()(x).tolist() == layer.eval()(x).tolist()


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_is_size_times_direction(dim: int | None) -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().numpy().copy()
    nn.utils.weight_norm(layer, dim=dim)
    assert [n for n, _ in layer.named_parameters()] == ["bias", "weight_g", "weight_v"]
    np.testing.assert_allclose(layer.weight.detach().numpy(), before, rtol=1e-6)
    with dg.no_grad():
        layer.weight_v.mul_(3)
        layer.weight_g.mul_(2)
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * before, rtol=1e-6)
    axes = None if dim is None else (1 - dim,)
    norms = np.sqrt((before**2).sum(axis=axes, keepdims=dim is not None))
    np.testing.assert_allclose(layer.weight_g.detach().numpy(), 2 * norms, rtol=1e-6)
    nn.utils.remove_weight_norm(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * before, rtol=1e-6)
    with pytest.raises(dg.ArgumentError, match="no such norm"):
        nn.utils.remove_weight_norm(layer)


@pytest.mark.parametrize("make", [nn.utils.spectral_norm, parametrizations.spectral_norm])
@pytest.mark.parametrize(
    "layer", [nn.Linear(5, 3), nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(3, 4, 2)]
)
def test_spectral_norm_comes_to_a_largest_singular_value_of_one(make: Any, layer: Any) -> None:
    layer = make(copy.deepcopy(layer))
    x = dg.randn(2, 5) if isinstance(layer, nn.Linear) else dg.randn(2, 3, 6, 6)
    for _ in range(60):
        layer(x)
    weight = layer.eval().weight.detach().numpy()
    rows = np.moveaxis(weight, 1 if isinstance(layer, nn.ConvTranspose2d) else 0, 0)
    assert abs(np.linalg.svd(rows.reshape(len(rows), -1))[1][0] - 1) < 1e-3
    assert layer(x).tolist() == layer(x).tolist()  # no steps while it is evaluated
    if make is nn.utils.spectral_norm:
        assert {"weight_orig", "weight_u", "weight_v"} <= set(layer.state_dict())
        nn.utils.remove_spectral_norm(layer)
    else:
        assert "parametrizations.weight.0._u" in layer.state_dict()
        parametrize.remove_parametrizations(layer, "weight")
    assert set(layer.state_dict()) == {"bias", "weight"}
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, rtol=1e-6)


def test_what_is_cached_is_of_a_module_that_is_there() -> None:
    def weight(value: float) -> Any:
        layer = nn.Linear(1, 1)
        parametrize.register_parametrization(layer, "weight", Doubled())
        layer.weight = dg.full((1, 1), value)
        return layer.weight.item()

    with parametrize.cached():  # modules that take each other's place
        assert [weight(i) for i in range(20)] == list(range(20))


def test_parametrizations_in_a_row() -> None:
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert layer.weight.tolist() == before.tolist()  # its inverse made the original
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert bool((layer.weight == layer.weight.T).all())
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert parametrize.is_parametrized(layer, "weight") and not parametrize.is_parametrized(
        layer, "bias"
    )
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert layer.weight is not layer.weight
    with pytest.raises(dg.ArgumentError, match="no right_inverse"):
        layer.weight = dg.zeros(3, 3)
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert layer.weight.tolist() == (before / 2).tolist()
    parametrize.register_parametrization(layer, "weight", Doubled())
    layer.weight = dg.ones(3, 3)
    assert layer.parametrizations.weight.original.tolist() == [[0.5] * 3] * 3

    class Half(nn.Module):
        def forward(self, x: Any) -> Any:
            return x[:1]

    with pytest.raises(dg.ShapeError, match="unsafe=True"):
        parametrize.register_parametrization(layer, "bias", Half())
    assert layer.bias.shape == (3,)


def test_pruning_takes_the_least_and_masks_multiply() -> None:
    layer = nn.Linear(4, 3)
    weight = layer.weight.detach().numpy().copy()
    prune.l1_unstructured(layer, "weight", amount=5)
    order = np.argsort(np.abs(weight).ravel())
    mask = np.ones(12)
    mask[order[:5]] = 0
    assert layer.weight_mask.numpy().ravel().tolist() == mask.tolist()
    assert layer.weight.detach().numpy().tolist() == (weight * mask.reshape(3, 4)).tolist()
    prune.l1_unstructured(layer, "weight", amount=2)  # of those that are left
    mask[order[5:7]] = 0
    assert layer.weight_mask.numpy().ravel().tolist() == mask.tolist()
    prune.ln_structured(layer, "weight", amount=1, n=2, dim=0)
    least = np.argmin(((weight * mask.reshape(3, 4)) ** 2).sum(1))
    assert not layer.weight_mask.numpy()[least].any()
    (layer(dg.randn(2, 4)) ** 2).sum().backward()
    assert layer.weight_orig.grad is not None
    assert bool((layer.weight_orig.grad[layer.weight_mask == 0] == 0).all())
    kept = layer.weight.detach().tolist()
    assert prune.is_pruned(nn.Sequential(layer))
    prune.remove(layer, "weight")
    assert layer.weight.tolist() == kept and not prune.is_pruned(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]


def test_pruning_over_several_layers_and_at_random() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    pairs = [(model[0], "weight"), (model[2], "weight")]
    flat = np.concatenate([m.weight.detach().numpy().ravel() for m, _ in pairs])
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.25)
    masks = np.concatenate([m.weight_mask.numpy().ravel() for m, _ in pairs])
    assert sorted(np.flatnonzero(masks == 0)) == sorted(np.argsort(np.abs(flat))[:14])
    for how, zeros in (
        (lambda m: prune.random_unstructured(m, "weight", 7), 7),
        (lambda m: prune.random_structured(m, "weight", 2, 1), 8),
        (lambda m: prune.custom_from_mask(m, "weight", dg.eye(4, 4)), 12),
        (lambda m: prune.identity(m, "weight"), 0),
    ):
        layer = how(nn.Linear(4, 4))
        assert int((layer.weight_mask == 0).sum()) == zeros
    for amount in (-1, 1.5, 17, True):
        with pytest.raises(dg.ArgumentError, match="prune"):
            prune.l1_unstructured(nn.Linear(4, 4), "weight", amount)


LAZY = [
    (lambda n: n.LazyLinear(3), (2, 5)), (lambda n: n.LazyLinear(3, bias=False), (2, 7, 5)),
    (lambda n: n.LazyConv1d(4, 3), (2, 5, 8)), (lambda n: n.LazyConv2d(4, 3, groups=2), (2, 6, 8, 8)),
    (lambda n: n.LazyConv3d(4, 2), (2, 3, 4, 4, 4)), (lambda n: n.LazyConvTranspose2d(4, 3), (2, 5, 4, 4)),
    (lambda n: n.LazyBatchNorm1d(), (4, 5)), (lambda n: n.LazyBatchNorm2d(), (4, 5, 3, 3)),
    (lambda n: n.LazyInstanceNorm2d(affine=True), (2, 5, 4, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shape"), LAZY)
def test_lazy_layers_become_plain_ones(make: Any, shape: tuple[int, ...]) -> None:
    lazy = make(nn)
    assert lazy.has_uninitialized_params() and "Uninit" in repr(next(lazy.parameters()))
    held = list(lazy.parameters())
    dg.manual_seed(3)
    x = dg.randn(*shape)
    dg.manual_seed(5)
    out = lazy(x)
    plain = type(lazy)
    assert not plain.__name__.startswith("Lazy") and all(
        p is q for p, q in zip(held, lazy.parameters(), strict=True)
    )
    size = shape[1] if len(shape) > 2 and "Linear" not in plain.__name__ else shape[-1]
    dg.manual_seed(5)
    options = {"groups": 2} if shape[1] == 6 else {}
    if "Conv" in plain.__name__:
        wanted = plain(size, 4, lazy.kernel_size[0], **options)
    elif "Linear" in plain.__name__:
        wanted = plain(size, 3, bias=lazy.bias is not None)
    else:
        wanted = plain(size, affine=True)
    assert repr(wanted) == repr(lazy) and wanted(x).tolist() == out.tolist()
    other = make(nn)
    other.load_state_dict(lazy.state_dict())
    assert not other.has_uninitialized_params()
    lazy.eval(), other.eval()
    assert other(x).tolist() == lazy(x).tolist() and repr(other) == repr(lazy)


def test_a_lazy_model_trains_alike_when_compiled() -> None:
    def model() -> Any:
        dg.manual_seed(1)
        ends = nn.Flatten(), nn.LazyLinear(2)
        return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), *ends)

    one, two = model(), model()
    x = dg.randn(3, 2, 6, 6)
    dg.manual_seed(2)
    one(x)
    dg.manual_seed(2)
    dg.compile(lambda x: two(x), wait=True)(x)
    eager, compiled = training_step(one), dg.compile(training_step(two), wait=True)
    for _ in range(3):
        assert eager(x).item() == compiled(x).item()
    assert compiled.programs

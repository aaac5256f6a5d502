"""Orthogonal weights: by each map, of each shape, while they are trained, and when they are assigned."""

import copy

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.nn.utils import parametrize
from dualgraph.nn.utils.orthogonal import MAPS, reflected, reflections
from dualgraph.nn.utils.parametrizations import orthogonal

SHAPES = [(4, 4), (5, 3), (3, 5)]


def off(weight):
    """How far from orthogonal a matrix is."""
    w = weight.detach().numpy().astype(np.complex128)
    w = w if w.shape[-2] >= w.shape[-1] else np.swapaxes(w, -1, -2)
    return abs(np.conj(np.swapaxes(w, -1, -2)) @ w - np.eye(w.shape[-1])).max()


def layer_of(shape, how, trivial=True, dtype=dg.float64):
    dg.manual_seed(0)
    layer = nn.Linear(shape[1], shape[0], dtype=dtype)
    before = layer.weight.detach().clone()
    return orthogonal(layer, "weight", how, use_trivialization=trivial), before


@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("how", MAPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_stay_orthogonal_while_they_are_trained(shape, how, trivial):
    if not trivial and how != "householder":
        pytest.skip("its first values cannot be assigned")
    layer, before = layer_of(shape, how, trivial)
    # It starts at the orthogonal factor, R's diagonal positive
    if shape[0] == shape[1] or how == "householder":
        tall = before.numpy() if shape[0] >= shape[1] else before.numpy().T
        q, r = np.linalg.qr(tall)
        q = q * np.sign(np.diag(r))
        np.testing.assert_allclose(
            layer.weight.detach().numpy(), q if shape[0] >= shape[1] else q.T, atol=1e-12
        )
    start = layer.weight.detach().clone()
    optimizer = optim.SGD(layer.parameters(), lr=0.5)

    def step(x):
        optimizer.zero_grad()
        loss = ((layer(x) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    twin = copy.deepcopy((layer, optimizer))
    x = dg.asarray(np.random.default_rng(1).normal(size=(6, shape[1])))
    losses = [step(x).item() for _ in range(4)]
    assert off(layer.weight) < 1e-11 and (layer.weight - start).abs().max() > 1e-3
    layer, optimizer = twin
    run = dg.compile(step, wait=True)
    assert [run(x).item() for _ in range(4)] == losses


def test_the_default_map_and_the_names_of_a_state_dict():
    for shape, how in (((4, 4), "matrix_exp"), ((5, 3), "householder")):
        layer, _ = layer_of(shape, None)
        assert layer.parametrizations.weight[0].orthogonal_map == how
        names = {"bias", "parametrizations.weight.original", "parametrizations.weight.0.base"}
        assert set(layer.state_dict()) == names


@pytest.mark.parametrize("shape", [*SHAPES, (2, 4, 3)])
def test_assigned_weights(shape):
    dg.manual_seed(0)
    layer = nn.Module()
    layer.weight = nn.Parameter(dg.randn(shape, dtype=dg.float64))
    orthogonal(layer)
    wanted = np.linalg.qr(np.random.default_rng(2).normal(size=(*shape[:-2], 6, 6)))[0]
    wanted = wanted[..., : shape[-2], : shape[-1]]
    wide = shape[-2] < shape[-1]
    q = np.linalg.qr(np.swapaxes(wanted, -1, -2) if wide else wanted)[0]
    wanted = np.ascontiguousarray(np.swapaxes(q, -1, -2) if wide else q)
    layer.weight = dg.asarray(wanted)
    np.testing.assert_allclose(layer.weight.detach().numpy(), wanted, atol=1e-12)
    parametrize.remove_parametrizations(layer, "weight")
    np.testing.assert_allclose(layer.weight.detach().numpy(), wanted, atol=1e-12)


def test_unitary_weights():
    layer = nn.Module()
    values = np.random.default_rng(0).normal(size=(2, 3, 3))
    layer.weight = nn.Parameter(dg.asarray(values[0] + 1j * values[1]))
    orthogonal(layer)
    assert off(layer.weight) < 1e-12
    with pytest.raises(dg.ArgumentError, match="real"):
        other = nn.Module()
        other.weight = nn.Parameter(dg.asarray(values[0] + 1j * values[1]))
        orthogonal(other, orthogonal_map="householder")


def test_reflections_and_their_gradients():
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 5, 3)))[0]
    q[1] = np.eye(5, 3)
    x = reflections(dg.asarray(q))
    np.testing.assert_allclose(reflected(x).numpy(), q, atol=1e-13)
    assert dg.autograd.gradcheck(reflected, x.detach().requires_grad_())


def test_what_cannot_be_made_orthogonal_is_named():
    layer = nn.Linear(3, 3)
    for call, words in (
        (lambda: orthogonal(layer, "bias"), "two axes"),
        (lambda: orthogonal(layer, "other"), "no tensor"),
        (lambda: orthogonal(layer, orthogonal_map="qr"), "one of"),
        (lambda: orthogonal(layer, use_trivialization=False), "nothing can be assigned"),
    ):
        with pytest.raises(dg.ArgumentError, match=words):
            call()

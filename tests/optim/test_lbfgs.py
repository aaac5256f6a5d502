"""L-BFGS: it finds minima, agrees with PyTorch, and goes on from a saved state."""

import copy

import numpy as np
import pytest

import dualgraph as dg

WAYS = [
    {"lr": 0.01},
    {"lr": 0.01, "max_iter": 7, "history_size": 2},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.1, "max_iter": 6},
]


def _loss(p, q, matrix, wanted):
    valley = (100 * (q[1:] - q[:-1] ** 2) ** 2 + (1 - q[:-1]) ** 2).sum()
    return ((matrix @ p - wanted) ** 2).sum() + valley


def _run(lib, make, steps, halfway=None, **options):
    rng = np.random.default_rng(0)
    matrix, wanted = make(rng.normal(size=(12, 5))), make(rng.normal(size=12))
    p, q = make(np.zeros(5)).requires_grad_(), make(np.full(3, -1.2)).requires_grad_()
    optimizer = lib.optim.LBFGS([p, q], **options)

    def closure():
        optimizer.zero_grad()
        loss = _loss(p, q, matrix, wanted)
        loss.backward()
        return loss

    losses = []
    for i in range(steps):
        if halfway is not None and i == steps // 2:
            optimizer = halfway(optimizer, [p, q])
        losses.append(optimizer.step(closure).item())
    return p.detach().numpy(), q.detach().numpy(), losses, optimizer


@pytest.mark.parametrize("options", WAYS)
def test_steps_agree_with_pytorch(options):
    torch = pytest.importorskip("torch")
    ours = _run(dg, dg.tensor, 3, **options)
    theirs = _run(torch, torch.tensor, 3, **options)
    for a, b in zip(ours[:3], theirs[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    own, other = (r[3].state_dict()["state"][0] for r in (ours, theirs))
    assert own["func_evals"] == other["func_evals"] and own["n_iter"] == other["n_iter"]


def test_it_finds_the_bottom_of_a_curved_valley():
    _, q, losses, _ = _run(dg, dg.tensor, 6, line_search_fn="strong_wolfe")
    assert losses[-1] < losses[0] / 100
    np.testing.assert_allclose(q, np.ones(3), rtol=1e-5)


def test_searches_keep_to_max_eval():
    p, calls = dg.ones(1, requires_grad=True), []
    optimizer = dg.optim.LBFGS([p], lr=1e-6, max_eval=4, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -p.sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    optimizer.step(closure)
    assert len(calls) == 5  # the first, and one more than the turns of the search


def test_a_saved_state_goes_on_where_it_was():
    def anew(optimizer, params):
        saved = copy.deepcopy(optimizer.state_dict())
        out = dg.optim.LBFGS(params, **WAYS[1])
        out.load_state_dict(saved)
        return out

    straight, resumed = (_run(dg, dg.tensor, 4, h, **WAYS[1]) for h in (None, anew))
    for a, b in zip(straight[:3], resumed[:3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_mistakes_are_named():
    p = dg.ones(2, requires_grad=True)
    with pytest.raises(dg.ArgumentError, match="needs a closure"):
        dg.optim.LBFGS([p]).step()
    with pytest.raises(dg.ArgumentError, match="one group"):
        dg.optim.LBFGS([{"params": [p]}, {"params": [dg.ones(1, requires_grad=True)]}])
    with pytest.raises(dg.ArgumentError, match="line_search_fn"):
        dg.optim.LBFGS([p], line_search_fn="other")

"""Rarer layers: adaptive softmax, fractional pooling, batch norm over processes; values, and both modes alike."""

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn

RNG = np.random.default_rng(0)


def test_adaptive_softmax_is_torchs():
    torch = pytest.importorskip("torch")
    how = {"cutoffs": [4, 9], "div_value": 2.0, "head_bias": True}
    theirs, ours = (m.AdaptiveLogSoftmaxWithLoss(8, 12, **how) for m in (torch.nn, nn))
    ours.load_state_dict({k: dg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x, target = RNG.standard_normal((6, 8)).astype("float32"), np.array([0, 3, 4, 8, 9, 11])
    for row in (slice(None), 2):
        a, b = (
            theirs(torch.tensor(x[row]), torch.tensor(target[row])),
            ours(dg.tensor(x[row]), dg.tensor(target[row])),
        )
        np.testing.assert_allclose(b.output.detach(), a.output.detach(), rtol=1e-5)
        np.testing.assert_allclose(b.loss.item(), a.loss.item(), rtol=1e-5)
    a.loss.backward()
    b.loss.backward()
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
        if p.grad is not None:  # a cluster that no target is in
            np.testing.assert_allclose(q.grad, p.grad, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        ours.log_prob(dg.tensor(x)).detach(), theirs.log_prob(torch.tensor(x)).detach(), rtol=1e-5
    )
    assert ours.predict(dg.tensor(x)).tolist() == theirs.predict(torch.tensor(x)).tolist()


def test_adaptive_softmax_in_both_modes():
    layer = nn.AdaptiveLogSoftmaxWithLoss(6, 10, [2, 5])
    x = dg.tensor(RNG.standard_normal((5, 6)).astype("float32"))
    run = dg.compile(lambda x, t: layer(x, t).output, wait=True)
    for targets in ([0, 1, 2, 5, 9], [9, 9, 3, 3, 0]):
        t = dg.tensor(targets)
        assert run(x, t).tolist() == layer(x, t).output.tolist()
    assert len(run.programs) == 1
    picked = layer.log_prob(x).gather(1, t.unsqueeze(1)).squeeze(1)
    assert dg.allclose(picked, layer(x, t).output, atol=1e-6)
    with pytest.raises(dg.ArgumentError, match="cutoffs rise strictly"):
        nn.AdaptiveLogSoftmaxWithLoss(6, 10, [5, 2])
    with pytest.raises(dg.ShapeError, match="no rows with a class each"):
        layer(x, t[:2])


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_pooling_takes_torchs_windows(n):
    torch = pytest.importorskip("torch")
    x = RNG.standard_normal((2, 3, 9, 7, 8)[: n + 2])
    draws = RNG.uniform(size=(2, 3, n))
    layer = getattr(nn, f"FractionalMaxPool{n}d")
    for size in ((5, 3, 4)[:n], ((8, 6) if n == 2 else (7, 5, 6)), (1,) * n):
        how = {"output_size": size, "return_indices": True}
        theirs = getattr(torch.nn, f"FractionalMaxPool{n}d")(
            2, _random_samples=torch.tensor(draws), **how
        )
        values, places = layer(2, _random_samples=dg.tensor(draws), **how)(dg.tensor(x))
        wanted, at = theirs(torch.tensor(x))
        assert np.array_equal(values, wanted) and np.array_equal(places, at)
    dg.manual_seed(0)
    eager = layer(2, output_ratio=0.6)(dg.tensor(x))
    dg.manual_seed(0)
    assert np.array_equal(dg.compile(layer(2, output_ratio=0.6), wait=True)(dg.tensor(x)), eager)
    with pytest.raises(dg.ArgumentError, match="do not fit axes"):
        layer(2, output_size=9)(dg.tensor(x))


def test_fractional_pooling_has_gradients():
    x = dg.tensor(RNG.standard_normal((1, 2, 6, 6)), requires_grad=True)
    draws = dg.tensor(RNG.uniform(size=(1, 2, 2)))
    pool = nn.FractionalMaxPool2d(2, output_size=4, _random_samples=draws)
    assert dg.autograd.gradcheck(pool, x)


def test_whole_channels_drop_and_activations_write():
    x = dg.ones(4, 50, 3)
    dropped = nn.FeatureAlphaDropout(0.5)(x)
    assert all(len(set(c)) == 1 for row in dropped.tolist() for c in row)
    assert nn.FeatureAlphaDropout(0.5).eval()(x) is x
    y = dg.tensor([-2.0, 1.0])
    assert F.relu_(y) is y and y.tolist() == [0.0, 1.0]
    assert F.leaky_relu_(dg.tensor([-2.0]), 0.5).tolist() == [-1.0]
    assert F.threshold_(dg.tensor([0.5, 2.0]), 1.0, 9.0).tolist() == [9.0, 2.0]


def test_batch_norm_over_processes_is_batch_norm():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm1d(4)))
    scale = net[1].weight
    again = nn.SyncBatchNorm.convert_sync_batchnorm(net.eval())
    assert again is net and isinstance(net[1], nn.SyncBatchNorm) and net[1].weight is scale
    assert isinstance(net[2][0], nn.SyncBatchNorm) and not net[1].training
    x = dg.randn(3, 2, 4, 4)
    assert np.array_equal(nn.SyncBatchNorm(2)(x).detach(), nn.BatchNorm2d(2)(x).detach())
    net.set_submodule("2.0", nn.Identity())
    assert isinstance(net[2][0], nn.Identity)
    with pytest.raises(AttributeError, match="no submodule '7'"):
        net.set_submodule("2.7", nn.Identity())


def test_margins_of_one_row():
    row = dg.tensor([0.3, 0.5, 0.1])
    for target in (dg.tensor([1]), dg.tensor(1)):
        assert round(F.multi_margin_loss(row, target).item(), 4) == 0.4667
    for loss in (F.multi_margin_loss, F.multilabel_margin_loss):
        assert loss(dg.tensor(0.3), dg.tensor(0)).item() == 0

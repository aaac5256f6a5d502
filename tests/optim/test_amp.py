"""Scaled losses: gradients, steps left out, the scale that follows, as in PyTorch and alike in both modes."""

import numpy as np
import pytest

import dualgraph as dg

LOSSES = [1.0, 1.0, 1.0, float("inf"), 1.0, 1.0]


def train(lib, wrap=lambda f: f, **options):
    p = lib.nn.Parameter(lib.ones(3))
    optimizer = lib.optim.SGD([p], lr=0.1, momentum=0.5)
    scaler = lib.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2, **options)

    def step(factor):
        optimizer.zero_grad()
        with lib.autocast("cpu", dtype=lib.bfloat16):
            loss = (p * p).sum() * factor
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        lib.nn.utils.clip_grad_norm_([p], 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    run, found = wrap(step), []
    for factor in LOSSES:
        run(lib.tensor(factor))
        found += [*p.tolist(), scaler.get_scale(), scaler.state_dict().get("_growth_tracker", 0)]
    return found, scaler


@pytest.mark.parametrize("enabled", [True, False])
def test_compiled_and_eager_steps_are_alike(enabled):
    eager, _ = train(dg, enabled=enabled)
    assert train(dg, lambda f: dg.compile(f, wait=True), enabled=enabled)[0] == eager or not enabled


def test_steps_and_scales_are_torchs():
    torch = pytest.importorskip("torch")
    np.testing.assert_allclose(train(dg)[0], train(torch)[0], rtol=1e-6)
    assert train(dg)[1].state_dict() == train(torch)[1].state_dict()


def test_states_and_misuse():
    scaler = train(dg)[1]
    other = dg.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict() and other.get_growth_interval() == 2
    loss = dg.ones(())
    assert [o.item() for o in other.scale([loss, (loss,)][:1])] == [scaler.get_scale()]
    assert dg.GradScaler(enabled=False).scale(loss) is loss
    optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=0.1)
    other.unscale_(optimizer)
    with pytest.raises(dg.StateError, match="done already"):
        other.unscale_(optimizer)
    with pytest.raises(dg.StateError, match="no optimizer has stepped"):
        dg.GradScaler().update()
    with pytest.raises(dg.ArgumentError, match="growth_factor"):
        dg.GradScaler(growth_factor=1.0)


def test_autocast_decorates_and_settings_are_kept():
    @dg.autocast("cpu")
    def f(x):
        return x @ x

    assert f(dg.ones(2, 2)).dtype is dg.float32
    dg.backends.cudnn.benchmark = dg.backends.cuda.matmul.allow_tf32 = True
    assert dg.backends.cudnn.benchmark and not dg.backends.mps.is_available()
    dg.set_float32_matmul_precision("high")
    assert dg.get_float32_matmul_precision() == "high"
    with pytest.raises(dg.ArgumentError, match="'highest', 'high' or 'medium'"):
        dg.set_float32_matmul_precision("low")

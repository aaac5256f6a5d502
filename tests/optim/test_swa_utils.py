"""Averaged models, the schedule that goes with them, and calls of modules with other parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.optim import swa_utils


def training(model: Any, x: Any) -> Any:
    optimizer = optim.SGD(model.parameters(), 0.1)

    def step() -> None:
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("kind", ["swa", "ema", "own"])
def test_averages_of_parameters(kind: str) -> None:
    dg.manual_seed(0)
    model, x = nn.Linear(3, 2), dg.randn(4, 3)
    how: dict[str, Any] = {
        "swa": {},
        "ema": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)},
        "own": {"avg_fn": lambda a, c, n: dg.maximum(a, c)},
    }[kind]
    averaged, step = swa_utils.AveragedModel(model, **how), training(model, x)
    seen = []
    for _ in range(4):
        step()
        averaged.update_parameters(model)
        seen.append(model.weight.detach().numpy().copy())
    ema = seen[0]
    for w in seen[1:]:
        ema = 0.9 * ema + 0.1 * w
    wanted = {"swa": np.mean(seen, axis=0), "ema": ema, "own": np.max(seen, axis=0)}[kind]
    np.testing.assert_allclose(averaged.module.weight.detach().numpy(), wanted, rtol=1e-5)
    assert averaged.n_averaged.item() == 4
    assert list(averaged.state_dict()) == ["n_averaged", "module.weight", "module.bias"]


def test_updates_inside_a_compiled_step() -> None:
    def run(compiled: bool) -> list[Any]:
        dg.manual_seed(0)
        model, x = nn.Linear(3, 2), dg.randn(4, 3)
        averaged = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.8))
        step = training(model, x)

        def whole() -> None:
            step()
            averaged.update_parameters(model)

        f = dg.compile(whole, wait=True) if compiled else whole
        for _ in range(4):
            f()
        assert not compiled or f.programs
        return [t.tolist() for t in averaged.state_dict().values()]

    assert run(False) == run(True)


def test_buffers_are_copied_or_averaged_and_norms_set_anew() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    copied, averaged = (swa_utils.AveragedModel(model, use_buffers=b) for b in (False, True))
    means = []
    batches = [dg.randn(5, 3) + i for i in range(3)]
    for x in batches:
        model(x)
        means.append(model[1].running_mean.numpy().copy())
        copied.update_parameters(model)
        averaged.update_parameters(model)
    assert copied.module[1].running_mean.tolist() == means[-1].tolist()
    np.testing.assert_allclose(
        averaged.module[1].running_mean.numpy(), np.mean(means, 0), rtol=1e-5
    )
    swa_utils.update_bn([(x, 0) for x in batches], copied)
    inner = np.mean([copied.module[0](x).detach().numpy().mean(0) for x in batches], axis=0)
    np.testing.assert_allclose(copied.module[1].running_mean.numpy(), inner, rtol=1e-4, atol=1e-6)
    assert copied.module[1].momentum == 0.1


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_the_schedule_ends_at_its_rate(strategy: str) -> None:
    optimizer = optim.SGD([dg.zeros(1, requires_grad=True)], lr=1.0)
    schedule = swa_utils.SWALR(optimizer, 0.2, anneal_epochs=4, anneal_strategy=strategy)
    for k in range(1, 7):
        optimizer.step()
        schedule.step()
        t = min(k / 4, 1)
        share = (1 - math.cos(math.pi * t)) / 2 if strategy == "cos" else t
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2 * share + 1.0 * (1 - share))
    with pytest.raises(dg.ArgumentError, match="anneal_strategy"):
        swa_utils.SWALR(optimizer, 0.2, anneal_strategy="up")


def test_functional_calls_under_transforms_and_in_both_modes() -> None:
    dg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = dg.randn(5, 3)
    params = {k: v.detach() * 2 for k, v in model.named_parameters()}
    before = {k: v.tolist() for k, v in model.state_dict().items()}

    def loss(p: Any, x: Any) -> Any:
        return (dg.func.functional_call(model, p, (x,)) ** 2).mean()

    other = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    other.load_state_dict(params)
    assert loss(params, x).item() == (other(x) ** 2).mean().item()
    (other(x) ** 2).mean().backward()
    grads, value = dg.func.grad_and_value(loss)(params, x)
    assert value.item() == loss(params, x).item()
    for name, p in other.named_parameters():
        assert grads[name].tolist() == p.grad.tolist()
    compiled = dg.compile(dg.func.grad(loss), wait=True)
    for _ in range(2):
        again = compiled(params, x)
        assert {k: v.tolist() for k, v in again.items()} == {
            k: v.tolist() for k, v in grads.items()
        }
    assert {k: v.tolist() for k, v in model.state_dict().items()} == before
    each = dg.func.vmap(dg.func.grad(loss), in_axes=(None, 0))(params, x)  # a gradient an example
    one = dg.func.grad(loss)(params, x[2])
    np.testing.assert_allclose(each["0.weight"][2].numpy(), one["0.weight"].numpy(), rtol=1e-5)


def test_ensembles_and_tied_weights() -> None:
    models = [nn.Linear(3, 2) for _ in range(4)]
    params, buffers = dg.func.stack_module_state(models)
    x = dg.randn(5, 3)
    run = dg.func.vmap(lambda p: dg.func.functional_call(models[0], (p, buffers), x))
    wanted = np.stack([m(x).detach().numpy() for m in models])
    np.testing.assert_allclose(run(params).detach().numpy(), wanted, rtol=1e-5, atol=1e-6)

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x))

    tied, eye = Tied(), dg.eye(2)
    assert dg.func.functional_call(tied, {"a.weight": eye * 2}, eye).tolist() == (eye * 4).tolist()
    loose = dg.func.functional_call(tied, {"a.weight": eye * 2}, eye, tie_weights=False)
    np.testing.assert_allclose(loose.detach().numpy(), 2 * tied.b.weight.detach().numpy().T)
    for wrong, how in (({"c.weight": eye}, {}), ({"a.weight": eye}, {"strict": True})):
        with pytest.raises(dg.StateError, match="functional_call of Tied"):
            dg.func.functional_call(tied, wrong, eye, **how)

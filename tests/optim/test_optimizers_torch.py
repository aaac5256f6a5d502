"""Optimisers and schedules follow PyTorch's formulas over 20 steps (run where torch is installed)."""

# ruff: noqa: E501 - a table reads best with one case a line

import numpy as np
import pytest

import dualgraph as dg

OPTIMIZERS = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "SGD dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    "SGD nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "Adam": ("Adam", {"lr": 0.05}),
    "Adam all": (
        "Adam",
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1, "amsgrad": True},
    ),
    "Adam without momentum": ("Adam", {"lr": 0.05, "betas": (0.0, 0.9), "maximize": True}),
    "AdamW": ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    "AdamW amsgrad": ("AdamW", {"lr": 0.05, "amsgrad": True}),
    "RMSprop": ("RMSprop", {"lr": 0.05}),
    "RMSprop all": (
        "RMSprop",
        {"lr": 0.05, "momentum": 0.9, "centered": True, "weight_decay": 0.1},
    ),
    "Adagrad": ("Adagrad", {"lr": 0.1}),
    "Adagrad all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2},
    ),
    "Adadelta": ("Adadelta", {}),
    "Adadelta all": ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.1}),
    "Adamax": ("Adamax", {"lr": 0.05}),
    "Adamax all": (
        "Adamax",
        {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True},
    ),
    "NAdam": ("NAdam", {"lr": 0.05}),
    "NAdam all": (
        "NAdam",
        {"lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.02, "decoupled_weight_decay": True},
    ),
    "RAdam": ("RAdam", {"lr": 0.05}),
    "RAdam all": (
        "RAdam",
        {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "Rprop": ("Rprop", {"lr": 0.05}),
    "Rprop all": ("Rprop", {"lr": 0.05, "etas": (0.4, 1.5), "step_sizes": (1e-3, 0.2)}),
    "Adafactor": ("Adafactor", {"lr": 0.05}),
    "Adafactor all": (
        "Adafactor",
        {
            "lr": 0.05,
            "beta2_decay": -0.5,
            "eps": (1e-4, 1e-2),
            "d": 1.5,
            "weight_decay": 0.1,
            "maximize": True,
        },
    ),
    "ASGD": ("ASGD", {"lr": 0.05}),
    "ASGD all": ("ASGD", {"lr": 0.05, "lambd": 0.01, "alpha": 0.5, "t0": 5, "weight_decay": 0.1}),
}


def _start(dtype):
    rng = np.random.default_rng(8)
    return [rng.standard_normal(s).astype(dtype) for s in ((3, 4), (4,), (2,))]


def _train(lib, make, name, options, steps, dtype, before=None):
    params = [make(a.copy()).requires_grad_() for a in _start(dtype)]
    optimizer = getattr(lib.optim, name)(
        [{"params": params[:2]}, {"params": params[2:], "lr": 0.02}], **options
    )
    for i in range(steps):
        optimizer.zero_grad()
        if before is not None:
            before(optimizer, i)
        a, b, c = params
        loss = ((a * b - 1) ** 2).sum() * 0.3 + (b**3).sum() * 0.05
        if i % 3 != 1:  # now and then a parameter has no gradient
            loss = loss + ((c - 2) ** 4).sum() * 0.01
        loss.backward()
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_agree(name, dtype):
    torch = pytest.importorskip("torch")
    kind, options = OPTIMIZERS[name]
    ours, own = _train(dg, dg.from_numpy, kind, options, 20, dtype)
    theirs, other = _train(torch, torch.from_numpy, kind, options, 20, dtype)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=5e-6, atol=1e-6)
    for i, state in other.state_dict()["state"].items():
        for key, value in state.items():
            mine = own.state_dict()["state"][i][key].numpy()
            np.testing.assert_allclose(mine, np.asarray(value), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_torch_is_taken_over(name):
    torch = pytest.importorskip("torch")
    kind, options = OPTIMIZERS[name]
    reference, _ = _train(dg, dg.from_numpy, kind, options, 12, "float32")
    before, optimizer = _train(torch, torch.from_numpy, kind, options, 6, "float32")

    def take_over(own, i):
        if i == 0:
            own.load_state_dict(optimizer.state_dict())
            with dg.no_grad():
                for group, values in zip(own.param_groups, (before[:2], before[2:]), strict=True):
                    for p, value in zip(group["params"], values, strict=True):
                        p.copy_(dg.tensor(value.detach().numpy()))

    after, _ = _train(dg, dg.from_numpy, kind, options, 6, "float32", take_over)
    for a, b in zip(after, reference, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=1e-5)


SCHEDULES = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda s, o: s.StepLR(o, 4, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 5, 5, 11]),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.25, 4),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.1, 0.8, 7),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 9, 2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 8, eta_min=0.001),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.001),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=25),
    "OneCycleLR linear": lambda s, o: s.OneCycleLR(o, [0.5, 0.3], epochs=5, steps_per_epoch=5, anneal_strategy="linear", three_phase=True),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)]),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.2, step_size_up=4),
    "CyclicLR triangular2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.2, 3, 5, mode="triangular2"),
    "CyclicLR exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 4, mode="exp_range", gamma=0.9, cycle_momentum=False),
    "CyclicLR own": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 4, scale_fn=lambda i: 0.95**i, scale_mode="iterations"),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=6), s.ExponentialLR(o, 0.9), s.CyclicLR(o, 0.01, 0.2, 4)], [4, 9]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_agree(name):
    torch = pytest.importorskip("torch")
    seen = []
    for lib in (dg, torch):
        params = [(lib.ones(2) * i).requires_grad_() for i in (1, 2)]
        optimizer = lib.optim.SGD(
            [{"params": params[:1]}, {"params": params[1:], "lr": 0.02}], lr=0.1, momentum=0.9
        )
        schedule = SCHEDULES[name](lib.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(20):
            rates.append([(g["lr"], g["momentum"]) for g in optimizer.param_groups])
            optimizer.step()
            schedule.step()
        seen.append((rates, schedule.get_last_lr()))
    np.testing.assert_allclose(np.array(seen[0][0]), np.array(seen[1][0]), rtol=1e-9)
    np.testing.assert_allclose(seen[0][1], seen[1][1], rtol=1e-9)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_agrees(mode):
    torch = pytest.importorskip("torch")
    metrics = [5, 4, 4.1, 4.2, 4.3, 3, 3, 3, 3, 3, 3, 3, 3, 3.5, 6, 6.1, 6.1, 6.1, 6.2]
    rates = []
    for lib in (dg, torch):
        optimizer = lib.optim.SGD([lib.ones(2).requires_grad_()], lr=0.1)
        schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode, 0.5, patience=2, cooldown=1, min_lr=0.01
        )
        seen = []
        for metric in metrics:
            schedule.step(metric)
            seen.append(optimizer.param_groups[0]["lr"])
        rates.append(seen)
    np.testing.assert_allclose(rates[0], rates[1])

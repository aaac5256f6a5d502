"""A captured training step has the bits of the eager one: losses, parameters, buffers, optimiser state."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim

OPTIMIZERS = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "Adam": lambda ps: optim.Adam(ps, lr=0.01, amsgrad=True),
    "AdamW": lambda ps: optim.AdamW(ps, lr=0.01),
    "RMSprop": lambda ps: optim.RMSprop(ps, centered=True, momentum=0.9),
    "Adagrad": lambda ps: optim.Adagrad(ps, lr_decay=0.1),
    "Adadelta": lambda ps: optim.Adadelta(ps, lr=10.0),
    "Adamax": lambda ps: optim.Adamax(ps, lr=0.1),
    "NAdam": lambda ps: optim.NAdam(ps, lr=0.1),
    "RAdam": lambda ps: optim.RAdam(ps, lr=0.1),
    "Rprop": lambda ps: optim.Rprop(ps, lr=0.1),
    "Adafactor": lambda ps: optim.Adafactor(ps, lr=0.1, weight_decay=0.1),
    "Muon": lambda ps: optim.Muon([p for p in ps if p.ndim == 2], lr=0.1),
    "ASGD": lambda ps: optim.ASGD(ps, lr=0.1, t0=2),
}


def train(make_optimizer, captured, steps=5):
    dg.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 3))
    optimizer = make_optimizer(net.parameters())

    def step(x, target):
        net.zero_grad()
        loss = nn.functional.cross_entropy(net(x), target, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    run = dg.compile(step, wait=True) if captured else step
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(steps):
        x = dg.tensor(rng.standard_normal((10, 6)).astype("float32"))
        losses.append(run(x, dg.tensor(rng.integers(0, 3, 10))).item())
    state = [t for s in optimizer.state_dict()["state"].values() for t in s.values()]
    programs = len(run.programs) if captured else 0
    return [np.array(losses), *(t.numpy() for t in [*net.state_dict().values(), *state])], programs


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_captured_steps_have_the_bits_of_eager_ones(name):
    eager, _ = train(OPTIMIZERS[name], captured=False)
    captured, programs = train(OPTIMIZERS[name], captured=True)
    assert programs == 1
    for a, b in zip(eager, captured, strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_state_loaded_between_captured_steps_is_used():
    p = dg.ones(2, requires_grad=True)
    optimizer = optim.Adam([p], lr=0.1)

    @dg.compile(wait=True)
    def step():
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()

    step()
    kept = {k: v.clone() for k, v in optimizer.state[p].items()}
    saved = optimizer.state_dict()
    saved["state"][0] = kept
    start = p.detach().clone()
    step()
    first = p.tolist()
    with dg.no_grad():
        p.copy_(start)
    optimizer.load_state_dict(saved)
    step()
    assert p.tolist() == first


@pytest.mark.parametrize(
    ("dtype", "make"),
    [
        ("float16", lambda ps: optim.Adam(ps, lr=0.1)),
        ("float32", lambda ps: optim.ASGD(ps, lr=0.7, lambd=0.3)),
    ],
)
def test_rates_have_the_precision_of_eager_steps(dtype, make):
    """The rate meets counts in float32, and other numbers."""

    def trained(wrap):
        p = dg.linspace(-3, 3, 9, dtype=dtype).requires_grad_()
        optimizer = make([p])

        def step():
            optimizer.zero_grad()
            (p.tanh() * p).sum().backward()
            optimizer.step()

        run = wrap(step)
        for i in range(8):
            # As NumPy's functions give them
            optimizer.param_groups[0]["lr"] = np.float64(0.1 + i / 7)
            run()
        assert len(getattr(run, "programs", [0])) == 1
        return [t.detach().numpy().tobytes() for t in (p, *optimizer.state[p].values())]

    assert trained(lambda f: dg.compile(f, wait=True)) == trained(lambda f: f)

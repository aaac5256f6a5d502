"""Steps of all parameters of a group run as one program, to the bits of their ops."""

import inspect
import os

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.core.composite import Merge

if not api.available() or os.environ.get("DUALGRAPH_QUICK") == "0":
    pytest.skip("there is no quick path", allow_module_level=True)

from dualgraph.backends.native.quick import install, plans, programs, updating
from dualgraph.backends.native.quick.recipe import PROGRAM

SHAPES = (5, 7), (130, 128), (3,), ()
OPTIMISERS = {
    "SGD": lambda ps: dg.optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.1, maximize=True),
    "Adam": lambda ps: dg.optim.Adam(ps, lr=0.1, amsgrad=True),
    "RMSprop": lambda ps: dg.optim.RMSprop(ps, lr=0.1, centered=True, weight_decay=0.1),
    "Muon": lambda ps: dg.optim.Muon(ps[:2], adjust_lr_fn="match_rms_adamw"),
}
EARLY = plans.HOT + 1  # steps after which a program is waited for
LATER = EARLY + 9


@pytest.fixture(autouse=True)
def early():
    """The glue is there, and knows no updates."""
    install.install()
    updating.KNOWN.clear()


def parameters(dtype="float32"):
    rng = np.random.default_rng(0)
    return [dg.nn.Parameter(dg.asarray(rng.standard_normal(s).astype(dtype))) for s in SHAPES]


def trained(optimiser, steps=LATER, change=None):
    """The bytes of parameters and state after some steps, the learning rate another one at each."""
    rng = np.random.default_rng(1)
    params = [p for g in optimiser.param_groups for p in g["params"]]
    for i in range(steps):
        for p in params:
            p.grad = dg.asarray(rng.standard_normal(p.shape).astype(p.dtype.name))
        for group in optimiser.param_groups:
            group["lr"] = 0.1 + i / 100
        if change is not None:
            change(i, params, optimiser)
        optimiser.step()
        if i + 1 == EARLY:
            programs.wait()
    held = [*params, *(v for p in params for v in optimiser.state[p].values())]
    return [t.detach().numpy().tobytes() for t in held]


def op_by_op(monkeypatch, *args):
    with monkeypatch.context() as m:
        m.setattr(Merge, "update", None)
        return trained(*args)


def used():
    """How many updates run as programs."""
    return sum(r.kind == PROGRAM for r in updating.KNOWN.values())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_step_of_all_parameters_has_the_bits_of_its_ops(name, monkeypatch):
    make = OPTIMISERS[name]
    expected = op_by_op(monkeypatch, make(parameters()))
    optimiser = make(parameters())
    assert trained(optimiser) == expected
    assert used() == 1
    params = optimiser.param_groups[0]["params"]
    assert [p._version for p in params] == [LATER] * len(params)


def test_groups_options_and_dtypes_have_programs_of_their_own(monkeypatch):
    def make():
        small, large = parameters(), parameters("float64")
        groups = [{"params": small + large}, {"params": parameters(), "momentum": 0.5}]
        return dg.optim.SGD(groups, lr=0.1, momentum=0.9)

    def change(i, params, optimiser):
        if i == LATER - 1:
            optimiser.param_groups[0]["momentum"] = 0.25

    steps = LATER + 2
    expected = op_by_op(monkeypatch, make(), steps, change)
    assert trained(make(), steps, change) == expected
    assert used() == 3


def test_what_shares_memory_goes_op_by_op(monkeypatch):
    memory = np.empty(100, np.float32)

    def make():
        memory[:] = np.arange(100)
        return dg.optim.SGD([dg.nn.Parameter(dg.from_numpy(memory[1:]))], lr=0.1)

    def change(i, params, optimiser):
        if i == LATER - 1:
            params[0].grad = dg.from_numpy(memory[:-1])

    expected = op_by_op(monkeypatch, make(), LATER, change)
    assert trained(make(), LATER, change) == expected
    assert used() == 1


def test_a_rule_that_was_put_into_an_optimiser_is_used():
    params, seen = parameters(), []
    optimiser = dg.optim.SGD(params, lr=0.1)
    trained(optimiser)
    optimiser._update = lambda p, grad, state, group: seen.append(p)
    optimiser.step()
    assert list(map(id, seen)) == list(map(id, params))


def test_a_value_that_a_step_has_written_is_an_error_that_names_its_line():
    params = parameters()
    optimiser = dg.optim.SGD(params, lr=0.1)
    trained(optimiser)
    assert used() == 1
    loss = (params[0] * params[0]).sum()
    optimiser.step()
    line = inspect.currentframe().f_lineno - 1
    with pytest.raises(dg.AutogradError, match=f"last written at .*:{line}"):
        loss.backward()

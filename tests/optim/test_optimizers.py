"""Optimisers: formulas, groups, state made beforehand and written in place, saving."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import optim

ALL = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.1),
    "Adam": lambda ps: optim.Adam(ps, lr=0.1, amsgrad=True),
    "AdamW": lambda ps: optim.AdamW(ps, lr=0.1),
    "RMSprop": lambda ps: optim.RMSprop(ps, lr=0.1, momentum=0.5, centered=True),
    "Adagrad": lambda ps: optim.Adagrad(ps, lr=0.1, lr_decay=0.1),
    "Adadelta": lambda ps: optim.Adadelta(ps, lr=10.0),
    "Adamax": lambda ps: optim.Adamax(ps, lr=0.1),
    "NAdam": lambda ps: optim.NAdam(ps, lr=0.1),
    "RAdam": lambda ps: optim.RAdam(ps, lr=0.1),
    "Rprop": lambda ps: optim.Rprop(ps, lr=0.1),
    "SparseAdam": lambda ps: optim.SparseAdam(ps, lr=0.1),
    "ASGD": lambda ps: optim.ASGD(ps, lr=0.1, t0=2),
}


def _param(*values):
    return dg.tensor(values).requires_grad_()


def _step(optimizer, p):
    optimizer.zero_grad()
    ((p - 3) ** 2).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", ALL)
def test_steps_go_downhill(name):
    p = _param(1.0, -2.0)
    optimizer = ALL[name]([p])
    before = ((p - 3) ** 2).sum().item()
    for _ in range(10):
        _step(optimizer, p)
    assert ((p - 3) ** 2).sum().item() < before


def test_adam_follows_its_formula():
    p = _param(1.0)
    optimizer = optim.Adam([p], lr=0.1)
    x, m, v = 1.0, 0.0, 0.0
    for t in range(1, 6):
        g = 2 * (x - 3)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        _step(optimizer, p)
        np.testing.assert_allclose(p.item(), x, rtol=1e-6)


def test_sparse_adam_is_adam_that_leaves_rows_without_a_gradient_alone():
    table = dg.randn(5, 3)
    sparse, rows = dg.nn.Parameter(table.clone()), [_param(*r.tolist()) for r in table]
    optimizer, each = optim.SparseAdam([sparse], lr=0.1), [optim.Adam([r], lr=0.1) for r in rows]
    for named in ([0, 2], [2, 2, 4]):
        optimizer.zero_grad()
        (dg.nn.functional.embedding(dg.tensor(named), sparse, sparse=True) ** 2).sum().backward()
        optimizer.step()
        for i in range(5):
            each[i].zero_grad()
            if i in named:
                (named.count(i) * rows[i] ** 2).sum().backward()
                each[i].state[rows[i]]["step"].copy_(optimizer.state[sparse]["step"] - 1)
                each[i].step()
    np.testing.assert_allclose(sparse.detach(), dg.stack(rows).detach(), rtol=1e-5, atol=1e-6)
    assert (sparse[1] == table[1]).all() and (sparse[3] == table[3]).all()


@pytest.mark.parametrize("name", ALL)
def test_state_is_made_at_the_start_and_only_written_in_place(name):
    p = _param(1.0, -2.0)
    optimizer = ALL[name]([p])
    before = dict(optimizer.state[p])
    assert before and all(isinstance(v, dg.Tensor) for v in before.values())
    for _ in range(3):
        _step(optimizer, p)
    after = optimizer.state[p]
    assert list(after) == list(before) and all(after[k] is before[k] for k in before)
    assert any(v.numpy().any() for v in after.values())


@pytest.mark.parametrize("name", ALL)
def test_a_saved_state_goes_on_where_it_was(name, tmp_path):
    p = _param(1.0, -2.0)
    optimizer = ALL[name]([p])
    for _ in range(3):
        _step(optimizer, p)
    dg.save({"p": p.detach(), "optimizer": optimizer.state_dict()}, tmp_path / "state")
    kept = dg.load(tmp_path / "state")
    q = kept["p"].requires_grad_()
    other = ALL[name]([q])
    _step(other, q)
    with dg.no_grad():
        q.copy_(p)
    tensors = {k: id(v) for k, v in other.state[q].items()}
    other.load_state_dict(kept["optimizer"])
    assert tensors == {k: id(v) for k, v in other.state[q].items()}
    for _ in range(2):
        _step(optimizer, p)
        _step(other, q)
    assert p.tolist() == q.tolist()
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_groups_have_options_of_their_own():
    p, q, r = _param(1.0), _param(1.0), _param(1.0)
    optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.01}], lr=0.1)
    optimizer.add_param_group({"params": [r], "lr": 1.0})
    for x in (p, q, r):
        x.grad = dg.tensor([1.0])
    optimizer.step()
    np.testing.assert_allclose([p.item(), q.item(), r.item()], [0.9, 0.99, 0.0], atol=1e-7)
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


def test_parameters_without_gradient_are_left_alone():
    p, q = _param(1.0), _param(1.0)
    optimizer = optim.Adam([p, q])
    p.grad = dg.tensor([1.0])
    optimizer.step()
    assert (
        q.item() == 1.0
        and optimizer.state[q]["step"].item() == 0
        and optimizer.state[p]["step"].item() == 1
    )


@pytest.mark.parametrize("size", [3, 20000])
def test_momentum_may_be_switched_on_later(size):
    p = dg.nn.Parameter(dg.ones(size))
    sgd = optim.SGD([p], lr=0.5)
    for momentum in (0.0, 0.5, 0.5):
        sgd.param_groups[0]["momentum"] = momentum
        p.grad = dg.ones(size)
        sgd.step()
    assert p.tolist() == [1.0 - 0.5 - 0.5 - 0.75] * size
    assert sgd.state[p]["momentum_buffer"].tolist() == [1.5] * size


def test_a_schedule_may_switch_momentum_on():
    p = dg.ones(2, requires_grad=True)
    rmsprop = optim.RMSprop([p], lr=0.1)
    optim.lr_scheduler.OneCycleLR(rmsprop, max_lr=0.1, total_steps=4)
    p.sum().backward()
    rmsprop.step()
    assert rmsprop.state[p]["momentum_buffer"].tolist() == pytest.approx([10.0, 10.0], rel=1e-3)


def test_a_closure_is_run_with_gradients():
    p = _param(2.0)
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with dg.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.item() == 1.0


def test_the_rate_may_be_a_tensor():
    p, lr = _param(1.0), dg.tensor(0.5)
    optimizer = optim.SGD([p], lr=lr)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    p.grad = dg.tensor([1.0])
    schedule.step()
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] is lr and lr.item() == 0.25 and p.item() == 0.75


@pytest.mark.parametrize("name", ["ASGD", "Rprop"])
def test_the_first_step_has_the_rate_of_then(name):
    p = dg.ones(1, requires_grad=True)
    optimizer = getattr(optim, name)([p], lr=1.0)
    optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25)
    p.sum().backward()
    optimizer.step()
    assert abs(p.item() - 0.75) < 1e-4


def test_mistakes_are_named():
    p = _param(1.0)
    with pytest.raises(TypeError, match="in a list"):
        optim.SGD(p)
    with pytest.raises(dg.ArgumentError, match="no parameters"):
        optim.SGD([])
    with pytest.raises(TypeError, match="takes tensors, not int"):
        optim.SGD([3])
    with pytest.raises(dg.ArgumentError, match="result of an op"):
        optim.SGD([p * 2])
    with pytest.raises(dg.ArgumentError, match="twice"):
        optim.SGD([p, p])
    with pytest.raises(dg.ArgumentError, match="lr must be at least 0"):
        optim.SGD([p], lr=-1)
    with pytest.raises(dg.ArgumentError, match=r"betas\[1\]"):
        optim.Adam([p], betas=(0.9, 1.0))
    with pytest.raises(dg.ArgumentError, match="nesterov"):
        optim.SGD([p], nesterov=True)


def test_a_state_that_does_not_fit_is_refused():
    optimizer = optim.Adam([_param(1.0)])
    with pytest.raises(dg.StateError, match="'state' and 'param_groups'"):
        optimizer.load_state_dict({})
    with pytest.raises(dg.StateError, match=r"\[1\] parameters, those of the state \[2\]"):
        optimizer.load_state_dict(optim.Adam([_param(1.0), _param(1.0)]).state_dict())
    with pytest.raises(
        dg.StateError, match=r"'exp_avg' of a parameter of shape \(1,\) has shape \(2,\)"
    ):
        optimizer.load_state_dict(optim.Adam([_param(1.0, 2.0)]).state_dict())


def test_schedules_save_and_resume():
    optimizer = optim.SGD([_param(1.0)], lr=1.0)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(4):
        schedule.step()
    again = optim.lr_scheduler.CosineAnnealingLR(optim.SGD([_param(1.0)], lr=1.0), 10)
    again.load_state_dict(schedule.state_dict())
    again.optimizer.load_state_dict(optimizer.state_dict())
    schedule.step()
    again.step()
    assert schedule.get_last_lr() == again.get_last_lr() and again.last_epoch == 5


def test_a_custom_optimiser_may_define_step_alone():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with dg.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        self.state[p]["count"] = self.state[p].get("count", 0) + 1
                        p.sub_(dg.sign(p.grad) * group["lr"])

    p = _param(1.0)
    optimizer = Sign([p], 0.5)
    _step(optimizer, p)
    assert p.item() == 1.5 and optimizer.state_dict()["state"][0] == {"count": 1}
    assert "lr: 0.5" in repr(optimizer)


SCHEDULES = {
    "step": lambda s, o: s.StepLR(o, 3),
    "milestones": lambda s, o: s.MultiStepLR(o, [2, 2, 5]),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "constant": lambda s, o: s.ConstantLR(o, 0.3, 4),
    "linear": lambda s, o: s.LinearLR(o, 0.2, 0.8, 6),
    "polynomial": lambda s, o: s.PolynomialLR(o, 7, 2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 5, 0.01),
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2),
    "cycles": lambda s, o: s.CyclicLR(o, 0.02, 0.2, 3, cycle_momentum=False),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_takes_over_or_is_told_its_epoch_does_as_it_does_alone(name):
    def rates(make, epochs):
        optimizer = optim.SGD([_param(1.0)], lr=0.1)
        schedule, seen = make(optim.lr_scheduler, optimizer), []
        for epoch in epochs:
            optimizer.step()
            schedule.step() if epoch is None else schedule.step(epoch)
            seen.append(optimizer.param_groups[0]["lr"])
        return seen

    own = SCHEDULES[name]
    alone = rates(own, [None] * 9)
    behind = rates(
        lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=9), own(s, o)], [4]),
        [None] * 13,
    )
    assert behind[4:] == pytest.approx(alone, rel=1e-12)
    assert rates(own, [None, 6, 0, 3, None]) == pytest.approx(
        [alone[0], alone[5], behind[3], alone[2], alone[3]], rel=1e-12
    )


def test_cycles_keep_their_ends_in_the_groups_under_pytorchs_names():
    def groups(make):
        optimizer = optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=0.1, momentum=0.9)
        make(optimizer)
        return optimizer.state_dict()["param_groups"][0]

    once = groups(lambda o: optim.lr_scheduler.OneCycleLR(o, max_lr=0.5, total_steps=4))
    ends = {k: v for k, v in once.items() if k.startswith(("max_", "min_", "base_", "initial_", "_"))}  # fmt: skip
    assert ends == {
        "initial_lr": 0.02, "max_lr": 0.5, "min_lr": 0.02 / 1e4, "base_momentum": 0.85, "max_momentum": 0.95
    }  # fmt: skip
    often = groups(lambda o: optim.lr_scheduler.CyclicLR(o, base_lr=0.1, max_lr=0.5))
    assert (often["base_momentum"], often["max_momentum"]) == (0.8, 0.9)

"""Hooks of optimiser steps, and of gradients that were added up: order, arguments, both modes."""

import pytest

import dualgraph as dg
from dualgraph import nn, optim


def made(kind=optim.SGD, **options):
    dg.manual_seed(0)
    model = nn.Linear(3, 2)
    return model, kind(model.parameters(), lr=0.1, **options)


def training(model, optimizer):
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    return step


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.LBFGS])
def test_hooks_are_called_around_each_step(kind):
    model, optimizer = made(kind)
    seen = []
    first = optimizer.register_step_pre_hook(lambda *given: seen.append(("before", *given)))
    second = optimizer.register_step_post_hook(lambda *given: seen.append(("after", *given)))

    def closure():
        seen.append("closure")
        loss = (model(dg.ones(1, 3)) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert seen[0] == ("before", optimizer, (closure,), {}) and seen[1] == "closure"
    assert seen[-1] == ("after", optimizer, (closure,), {})
    seen.clear()
    first.remove()
    optimizer.step(closure)
    assert "closure" in seen and len([s for s in seen if s != "closure"]) == 1
    second.remove()
    seen.clear()
    optimizer.step(closure)
    assert set(seen) == {"closure"}


def test_a_hook_before_the_step_may_give_it_other_arguments():
    model, optimizer = made()
    optimizer.register_step_pre_hook(lambda _opt, args, kwargs: ((), {"closure": lambda: 7}))
    assert optimizer.step(lambda: 3) == 7 and model.weight.grad is None


def test_steps_with_hooks_compile():
    found = []
    for wrap in (lambda f: f, lambda f: dg.compile(f, wait=True)):
        model, optimizer = made(optim.Adam)

        def clamp(opt, _args, _kwargs):
            with dg.no_grad():
                for group in opt.param_groups:
                    for p in group["params"]:
                        p.clamp_(-0.25, 0.25)

        optimizer.register_step_post_hook(clamp)
        step = wrap(training(model, optimizer))
        losses = [step(dg.ones(4, 3)).item() for _ in range(5)]
        assert model.weight.abs().max().item() <= 0.25
        found.append((losses, model.weight.tolist()))
    assert step.programs and found[0] == found[1]


@pytest.mark.parametrize("compiled", [False, True])
def test_hooks_of_gradients_see_the_sum(compiled):
    model, _ = made()
    seen = []

    def backward(x):
        (model(x) ** 2).sum().backward()

    run = dg.compile(backward, wait=True) if compiled else backward
    for _ in range(3):
        run(dg.ones(4, 3))
    before = model.weight.grad.numpy().copy()
    handle = model.weight.register_post_accumulate_grad_hook(
        lambda p: seen.append((p, p.grad.numpy().copy(), model.bias.grad.numpy().copy()))
    )
    run(dg.ones(4, 3))
    ((p, grad, bias),) = seen
    assert p is model.weight and grad.tolist() == model.weight.grad.tolist() != before.tolist()
    assert bias.tolist() == model.bias.grad.tolist()
    handle.remove()
    run(dg.ones(4, 3))
    assert len(seen) == 1


def test_an_optimiser_may_step_as_gradients_come():
    found = []
    for wrap in (None, lambda f: f, lambda f: dg.compile(f, wait=True)):
        model, whole = made()
        own = {p: optim.SGD([p], lr=0.1) for p in model.parameters()}

        def hook(p, own=own):
            own[p].step()
            p.grad = None

        def loss_of(x, model=model):
            loss = (model(x) ** 2).sum()
            loss.backward()
            return loss

        if wrap is not None:
            for p in model.parameters():
                p.register_post_accumulate_grad_hook(hook)
        step = training(model, whole) if wrap is None else wrap(loss_of)
        found.append([step(dg.ones(4, 3)).item() for _ in range(90)][:4])
        assert wrap is None or model.weight.grad is None
    assert found[0] == found[1] == found[2]


def test_results_of_ops_have_no_gradients_to_add_up():
    y = dg.ones(2, requires_grad=True) * 2
    for t in (y, dg.ones(2)):
        with pytest.raises(dg.AutogradError, match="only leaves"):
            t.register_post_accumulate_grad_hook(print)

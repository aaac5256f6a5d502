"""Arrays of tensors in the middle of a compiled function: each call takes its own, and NumPy works on it anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim
from tests.side_by_side import Wrap, both_modes
from tests.static.modes import normal

FOLLOWED = (
    4 if sys.version_info >= (3, 11) else 0
)  # float(v) of a number that may be any is not before
NAMES = ("cat", "dog", "bird", "cow")


def metrics(x: Any) -> Any:
    p, t = x.softmax(-1).numpy(), x.sum(-1).numpy()
    return {"mean": float(np.abs(p).mean()), "r": float(np.corrcoef(p[:, 0], t)[0, 1]), "p": p}


def chosen(x: Any) -> Any:
    order = np.argsort(-x[0].numpy())[:2]
    return x[:, dg.tensor(order.copy())] * 2


def by_threshold(x: Any) -> Any:
    p = x.softmax(-1).numpy()
    return (x * 2, "sure") if p.max() > 0.6 else (x - 1, "unsure")


def clipped(x: Any) -> Any:
    limit = float(np.percentile(x.numpy(), 80))
    return x.clamp(max=limit) * 2, limit


def listed(x: Any) -> Any:
    a, b, c = x.sum(0).tolist()
    return x * a if a > b else x - c


def read_twice(x: Any) -> Any:
    y = x * 2
    first = y.numpy().sum()
    y += 1  # what was taken changes as well, and is taken anew
    return y * float(first), float(y.numpy().sum())


@pytest.mark.parametrize("f", [metrics, chosen, by_threshold, clipped, listed, read_twice])
def test_code_goes_on_with_arrays_of_tensors(f: Callable[[Any], Any]) -> None:
    @both_modes(FOLLOWED)
    def program(wrap: Wrap) -> Iterator[Any]:
        g = wrap(f)
        for i in range(16):
            yield g(normal(4, 3, seed=i))

    program()


@both_modes(FOLLOWED)
def test_a_step_goes_on_with_arrays(wrap: Wrap) -> Iterator[Any]:
    net = nn.Linear(3, 1)
    optimiser = optim.SGD(net.parameters(), lr=0.1)

    @wrap
    def step(x: Any, y: Any) -> Any:
        scale = float(np.abs(net.weight.detach().numpy()).max())
        errors = (net(x)[:, 0] - y).square()
        hard = np.argsort(errors.detach().numpy())[-3:]
        loss = errors[dg.tensor(hard.copy())].mean() * scale
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item(), scale, net.weight.grad

    for i in range(12):
        yield step(normal(6, 3, seed=i), normal(6, seed=i + 50)), net.weight


def written_later(x: Any) -> Any:
    y = x * 2
    a = y.numpy()
    y.add_(1)
    return y, float(a.sum()), a


def written_itself(x: Any) -> Any:
    y = x * 2
    a = y.numpy()
    a[0] = 5
    b = y.numpy()[1:]
    b += 1
    return y, float(y.numpy().sum())


def parts_given(x: Any) -> Any:
    y = x * 2
    a = y.numpy()
    return y * dg.tensor(np.sort(a)), a, a[1:], y


def given_as_a_tensor(x: Any) -> Any:
    y = x * 2
    z = dg.from_numpy(y.numpy())
    return y, z * 2, z


def kept_for_later(x: Any) -> Any:
    z = dg.from_numpy((x * 2).numpy())
    w = dg.tensor(np.sort((x.exp() * 3 - 1).numpy()))
    return z * w, (w * 2 + z).exp()


def of_an_input(x: Any) -> Any:
    a = x.numpy()
    return a, x * float(a.max())


def turned(x: Any) -> Any:
    a = x.T.numpy()
    return a.ravel(order="K"), float(a.sum()), a.strides


@pytest.mark.parametrize(
    "f",
    [
        written_later,
        written_itself,
        parts_given,
        given_as_a_tensor,
        kept_for_later,
        of_an_input,
        turned,
    ],
)
def test_arrays_of_tensors_share_memory_as_in_eager_mode(f: Callable[[Any], Any]) -> None:
    @both_modes(0)
    def program(wrap: Wrap) -> Iterator[Any]:
        g = wrap(f)
        for i in range(10):
            x = normal(4, 3, seed=i)
            out = g(x)
            flat = [v.numpy() if isinstance(v, dg.Tensor) else v for v in (*out, x)]
            arrays = [v for v in flat if isinstance(v, np.ndarray)]
            yield out, [[np.shares_memory(a, b) for a in arrays] for b in arrays]
            arrays[0][0] = 7  # the caller's own
            yield out, x

    program()


@pytest.mark.parametrize("make", [optim.SGD, optim.AdamW])
def test_arrays_of_parameters_change_with_these(make: Any) -> None:
    @both_modes(0)
    def program(wrap: Wrap) -> Iterator[Any]:
        net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        optimiser = make(net.parameters(), lr=0.1)

        @wrap
        def step(x: Any) -> Any:
            w = net[0].weight.detach().numpy()
            before = float(w[1:].sum())
            optimiser.zero_grad()
            net(x).square().mean().backward()
            grad = net[1].bias.grad.numpy()
            optimiser.step()
            return before, float(w[1:].sum()), float(grad[0])

        for i in range(8):
            yield step(normal(4, 3, seed=i))

    program()


@both_modes(FOLLOWED)
def test_a_call_that_is_left_takes_its_own_array(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(x: Any) -> Any:
        a = (x * 2).numpy()
        y = x.exp()
        name = NAMES[int(a.sum(0).argmax())] if a.max() > 2 else "none"
        return y * (2 if name == "dog" else 3), name, float(a.min())

    for i in range(16):
        yield f(normal(4, 3, seed=i))

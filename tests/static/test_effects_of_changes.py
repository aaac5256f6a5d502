"""Statements set apart that read what other code changes: they run as compiled where it had its last value then."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="no statements are set apart there"
)


class Box:
    def __init__(self) -> None:
        self.n, self.h, self.table, self.list = 0, dg.zeros(3), {"n": 0}, [0, 0]
        self.gauge, self.net = Gauge(), dg.nn.Linear(3, 3)
        sgd = dg.optim.SGD([dg.zeros(1)], lr=0.1)
        self.scheduler = dg.optim.lr_scheduler.CosineAnnealingLR(sgd, 50)


def counted(b: Any, o: Any, x: Any) -> Any:
    b.n += 1
    y = (x * 2).sum()
    print(f"{b.n}: {y.item():.3f}")
    return y


def counted_afterwards(b: Any, o: Any, x: Any) -> Any:
    y = (x * 2).sum()
    print(f"{b.n}: {y.item():.3f}")
    b.n += 1
    return y


def counted_twice(b: Any, o: Any, x: Any) -> Any:
    b.n += 1
    print(b.n)
    b.n += 1
    return x * b.n


def there_and_back(b: Any, o: Any, x: Any) -> Any:
    b.n += 1
    print(b.n)
    b.n -= 1
    return x * 2


def of_another_object(b: Any, o: Any, x: Any) -> Any:
    b.n += 1
    print(b.n, o.n)
    o.n += 1
    return x * b.n


def in_a_dict(b: Any, o: Any, x: Any) -> Any:
    b.table["n"] += 1
    if b.table["n"] % 3 == 0:
        print(b.table["n"], x.sum().item())
    return x * 2


def in_a_dict_that_grows(b: Any, o: Any, x: Any) -> Any:
    b.table["n"] += 1
    print(b.table)
    b.table[b.table["n"]] = 1
    return x * 2


def in_a_list(b: Any, o: Any, x: Any) -> Any:
    b.list[0] += 1
    print(b.list[0])
    b.list[1] += 2
    return x * b.list[1]


def tensors(b: Any, o: Any, x: Any) -> Any:
    b.h = b.h * 0.5 + x
    print(b.h.sum().item(), float(b.h.max()))
    return b.h


def tensors_later(b: Any, o: Any, x: Any) -> Any:
    print(b.h.sum().item())
    b.h = b.h * 0.5 + x
    return b.h


class Gauge:
    def __init__(self) -> None:
        self.value, self.calls = 1.0, 0

    def up(self) -> None:
        self.value *= 2
        self.calls += 1

    def down(self) -> None:
        self.value /= 2

    def __str__(self) -> str:
        return f"{self.calls}: {self.value}"


def by_a_method(b: Any, o: Any, x: Any) -> Any:
    b.gauge.up()
    b.n += 1
    if b.n % 2 == 0:
        print(b.gauge, x.sum().item())
    return x * b.gauge.value


def by_methods_there_and_back(b: Any, o: Any, x: Any) -> Any:
    b.n += 1
    b.gauge.up()
    print(b.gauge)
    b.gauge.down()
    return x * b.n


def by_methods_of_a_module(b: Any, o: Any, x: Any) -> Any:
    b.n += 1
    b.net.eval()
    print(b.net.training, x.sum().item())
    b.net.train()
    return b.net(x).detach() * b.n


def by_a_scheduler(b: Any, o: Any, x: Any) -> Any:
    b.scheduler.step()
    b.n += 1
    if b.n % 2 == 0:
        print(f"{b.n}: {b.scheduler.get_last_lr()[0]:.4f} {x.sum().item():.4f}")
    return x * b.n


@pytest.mark.parametrize(
    ("step", "compiled"),
    [
        (counted, True),
        (counted_afterwards, False),
        (counted_twice, False),
        (there_and_back, False),
        (of_another_object, False),
        (in_a_dict, True),
        (in_a_dict_that_grows, False),
        (in_a_list, False),
        (tensors, True),
        (tensors_later, False),
        (by_a_method, False),
        (by_methods_there_and_back, False),
        (by_methods_of_a_module, False),
        (by_a_scheduler, True),
    ],
)
def test_what_is_printed_is_as_in_eager_mode(
    step: Callable[..., Any], compiled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for wrap in (lambda f: f, lambda f: dg.compile(f, wait=True)):
        dg.manual_seed(0)
        b, o, out = Box(), Box(), []
        f = wrap(lambda x, b=b, o=o: step(b, o, x))
        for i in range(24):
            if i == 9:
                b.n, b.table["n"], b.list[0], b.h = 40, 50, 60, dg.ones(3)
            dg.manual_seed(i)
            out.append(f(dg.randn(3)).numpy().tobytes())
        seen.append((out, b.n, o.n, b.table, b.list, b.h.tolist(), capsys.readouterr().out))
    assert seen[0] == seen[1]
    if compiled:
        assert sum(p.calls for p in f.programs) > 4, f.explain()


@pytest.mark.parametrize("wait", [True, False])
def test_a_mean_of_the_last_numbers_goes_into_a_log(wait: bool) -> None:
    def world() -> Any:
        dg.manual_seed(0)
        net = dg.nn.Linear(3, 1)
        sgd = dg.optim.SGD(net.parameters(), lr=0.1)
        recent, means = deque[float](maxlen=4), list[float]()

        def step(x: Any) -> Any:
            sgd.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            sgd.step()
            recent.append(loss.item())
            mean = sum(recent) / len(recent)
            means.append(mean)
            return loss

        return step, means

    (plain, expected), (step, found) = world(), world()
    compiled = dg.compile(step, wait=wait)
    for i in range(20):
        x = dg.full((4, 3), 0.1 * i)
        assert compiled(x).item() == plain(x).item()
        assert expected == found
    compiled.wait()
    if wait:
        assert sum(p.calls for p in compiled.programs) > 10, compiled.explain()

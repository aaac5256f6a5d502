"""Calls that leave something behind - places, written tensors, gradients, numbers - natively, as in eager mode."""

from __future__ import annotations

import collections.abc
import gc
import sys
import weakref
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.backends.native import api
from dualgraph.static import checks

pytestmark = pytest.mark.skipif(not api.available(), reason="there is no native code here")

Pair = namedtuple("Pair", "h c")
TOTAL: Any = None


class Box:
    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


def data(i: int, n: int = 4) -> Any:
    return dg.tensor(np.random.default_rng(i).standard_normal(n).astype(np.float32))


def attribute(box: Any) -> Any:
    def f(x: Any) -> Any:
        box.h = (box.h * 0.5 + x).tanh()
        return box.h

    return f


def nothing_given(box: Any) -> Any:
    def f(x: Any) -> None:
        box.h = box.h * 0.5 + x

    return f


def what_was_there(box: Any) -> Any:
    def f(x: Any) -> Any:
        before = box.h
        box.h = box.h * 0.5 + x
        return before, x, {"h": box.h, "two": [x * 2, 2.0, None]}

    return f


def never_read(box: Any) -> Any:
    box.b = dg.zeros(4)

    def f(x: Any) -> Any:
        y = (x * box.h).tanh()
        box.b = box.b
        box.b = y[:2].repeat(2)
        return (y,)

    return f


def a_pair(box: Any) -> Any:
    box.pair = Pair(dg.zeros(4), dg.ones(4))

    def f(x: Any) -> Any:
        h, c = box.pair
        box.pair = Pair((h + x).tanh(), c * 0.5 + x)
        return box.pair

    return f


def trees(box: Any) -> Any:
    box.layers = [(dg.zeros(4), {"c": dg.ones(4)}), (dg.ones(4), {"c": dg.zeros(4)})]

    def f(x: Any) -> Any:
        made = []
        for h, more in box.layers:
            made.append(((h + x).tanh(), {"c": more["c"] * 0.5 + x}))
            x = made[-1][0]
        box.layers = made
        return x.sum()

    return f


def variables(box: Any) -> Any:
    global TOTAL
    TOTAL, h = dg.zeros(4), dg.ones(4)

    def f(x: Any) -> Any:
        nonlocal h
        global TOTAL
        h, TOTAL = TOTAL + x, h * 0.5
        return h - TOTAL

    return f


def entries(box: Any) -> Any:
    box.table, box.items = {"h": dg.zeros(4)}, [dg.zeros(4), dg.ones(4)]

    def f(x: Any) -> Any:
        box.table["h"] = box.table["h"] * 0.5 + x
        box.items[1], box.items[0] = box.items[0] + x, box.items[1] * 0.5
        return box.table["h"].sum()

    return f


def written(box: Any) -> Any:
    def f(x: Any) -> Any:
        box.h.mul_(0.5).add_(x)
        return box.h.sum()

    return f


def argument_written(box: Any) -> Any:
    def f(x: Any) -> Any:
        x.mul_(0.5).add_(box.h)
        return x, x.sum()

    return f


def numbers_given(box: Any) -> Any:
    def f(x: Any) -> Any:
        y = x * box.h
        return {"sum": y.sum().item(), "all": bool((y > 0).all()), "n": int(y.argmax()), "y": y}

    return f


def gradients(box: Any) -> Any:
    box.w = dg.ones(4, requires_grad=True)

    def f(x: Any) -> Any:
        box.w.grad = None
        loss = (x * box.w).tanh().sum()
        loss.backward()
        with dg.no_grad():
            box.w.sub_(box.w.grad * 0.1)
        return loss

    return f


def statements(box: Any) -> Any:
    box.log, box.n = [], 0

    def f(x: Any) -> Any:
        y = (x * box.h).sum()
        box.log.append(y.item())
        box.n += 1
        return y

    return f


PROGRAMS = [
    attribute, nothing_given, what_was_there, never_read, a_pair, trees, variables, entries, written, argument_written,
    numbers_given, gradients, statements,
]  # fmt: skip


def plainly(value: Any, names: dict[int, int]) -> Any:
    """A value as bytes; which of its tensors are one object is told, too."""
    if isinstance(value, dg.Tensor):
        one = names.setdefault(id(value), len(names))
        bits = value.detach().numpy().tobytes()
        tape = value.requires_grad, value.is_leaf
        grad = None if value.grad is None else plainly(value.grad, names)
        return one, bits, value.shape, value.dtype, tape, grad
    if isinstance(value, dict):
        return {k: plainly(v, names) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value), [plainly(v, names) for v in value]
    return type(value), value


def ran(make: Callable[[Any], Any], wrap: Callable[[Any], Any], changes: Any) -> Any:
    """What calls gave and left behind, with a change to the state between two of them."""
    box = Box(h=data(100))
    plain = make(box)
    f, out = wrap(plain), []
    for i in range(16):
        if i in changes:
            changes[i](box)
        x = data(i)
        given = f(x)
        names: dict[int, int] = {}
        cells = [c.cell_contents for c in plain.__closure__ or () if c.cell_contents is not box]
        out.append([plainly(v, names) for v in (given, x, vars(box), cells, TOTAL)])
    return out, f


@pytest.mark.parametrize("make", PROGRAMS)
def test_calls_leave_behind_what_eager_calls_do(make):
    expected, _ = ran(make, lambda f: f, {})
    out, f = ran(make, lambda f: dg.compile(f, wait=True), {})
    assert out == expected
    assert sum(int(p.tally[0]) for p in f.programs) > 2, f.explain()


BASE = data(7, 8)
CHANGES = {
    "another tensor": lambda b: setattr(b, "h", data(8)),
    "another dtype": lambda b: setattr(b, "h", data(8).double()),
    "another shape": lambda b: setattr(b, "h", data(8)[:1]),
    "a view that is no rows": lambda b: setattr(b, "h", BASE[::2]),
    "one that wants gradients": lambda b: setattr(b, "h", data(8).requires_grad_()),
    "no tensor": lambda b: setattr(b, "h", 2.0),
    "one written in place": lambda b: b.h.add_(1) if isinstance(b.h, dg.Tensor) else None,
    "another attribute": lambda b: setattr(b, "more", 3),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", [attribute, what_was_there, numbers_given])
def test_what_is_put_at_a_place_meanwhile_is_seen(make, change):
    changes = {9: CHANGES[change], 13: lambda b: setattr(b, "h", data(9))}
    expected, _ = ran(make, lambda f: f, changes)
    assert ran(make, lambda f: dg.compile(f, wait=True), changes)[0] == expected


def warm(fn: Any, box: Any) -> Any:
    f = dg.compile(fn, wait=True)
    for i in range(8):
        f(data(i))
    assert sum(int(p.tally[0]) for p in f.programs), f.explain()
    return f


def test_a_tensor_at_a_place_that_is_an_argument_too_is_seen():
    def f(x: Any, y: Any) -> Any:
        box.h = box.h + x
        box.h.mul_(y)
        return x

    for wrap in (lambda f: f, lambda f: dg.compile(f, wait=True)):
        box = Box(h=data(100))
        g = wrap(f)
        for i in range(8):
            g(data(i), data(i))
        box.h = x = data(9)
        out = g(x, data(1)), g(box.h, box.h), box.h
        expected = locals().get("expected", out)
        assert [v.numpy().tobytes() for v in out] == [v.numpy().tobytes() for v in expected]


def test_what_was_at_a_place_dies_and_nothing_leaks():
    box = Box(h=data(100))
    f = warm(attribute(box), box)
    gone = weakref.ref(box.h)
    f(data(1))
    assert gone() is None
    x, dtype, kinds = data(2), box.h.dtype, (None, True, "h")
    gc.collect()
    before = [sys.getrefcount(v) for v in (x, dtype, *kinds)]
    for _ in range(200):
        f(x)
    after = [sys.getrefcount(v) for v in (x, dtype, *kinds)]
    assert all(abs(a - b) < 20 for a, b in zip(after, before, strict=True)), (before, after)


def test_memory_that_is_written_and_shared_or_read_only_is_left_to_python():
    box = Box(h=data(100))
    f = warm(written(box), box)
    x, expected = box.h[:], box.h * 0.5
    expected = (expected + expected).sum()
    assert f(x).item() == expected.item()
    array = np.ones(4, np.float32)
    box.h = dg.from_numpy(array)
    for i in range(8):
        f(data(i))
    array.flags.writeable = False
    with pytest.raises(dg.DualgraphError, match="read-only"):
        f(data(1))


def test_a_write_that_spoils_a_saved_value_is_named():
    box = Box(h=data(100))
    f = warm(written(box), box)
    w = dg.ones(4, requires_grad=True)
    y = (w * box.h).sum()
    f(data(1))
    with pytest.raises(dg.DualgraphError, match="written"):
        y.backward()


def test_a_training_step_is_one_native_call():
    def run(wrap: Any) -> Any:
        dg.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = dg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        f = wrap(step)
        losses = [f(data(i).reshape(1, 4), data(i, 1).reshape(1, 1)) for i in range(16)]
        return losses, [p.detach().numpy().tobytes() for p in model.parameters()], f

    *expected, _ = run(lambda f: f)
    *out, f = run(lambda f: dg.compile(f, wait=True))
    assert out == expected
    assert sum(int(p.tally[0]) for p in f.programs) > 4, f.explain()


def trained(i: int) -> tuple[Any, Any, Any]:
    """A model, its optimizer, and a training step that was called often."""
    dg.manual_seed(i)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    optimizer = dg.optim.Adam(model.parameters(), lr=0.1)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, step


def test_training_steps_ask_python_for_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(check: Any) -> bool:
        raise AssertionError(check.name)

    (model, _, eager), (twin, _, step) = trained(0), trained(0)
    step = dg.compile(step, wait=True)
    for i in range(12):
        eager(data(i)), step(data(i))
    assert step._hot
    for kind in [checks.Check, *checks.Check.__subclasses__()]:
        if "holds" in vars(kind):
            monkeypatch.setattr(kind, "holds", asked)
    for i in range(12, 15):
        assert step(data(i)).item() == eager(data(i)).item()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def other_rate(model: Any, optimizer: Any) -> None:
    optimizer.param_groups[0]["lr"] = 0.02


def rate_back_again(model: Any, optimizer: Any) -> None:
    group = optimizer.param_groups[0]
    group["lr"] = group["lr"] / 4 * 4 + 0.0


def fresh_state(model: Any, optimizer: Any) -> None:
    weight = model[0].weight
    optimizer.state[weight] = {k: v.clone() * 0 for k, v in optimizer.state[weight].items()}


def buffer_of_its_own(model: Any, optimizer: Any) -> None:
    model[1].register_buffer("more", dg.ones(2), persistent=False)


def another_subclass(model: Any, optimizer: Any) -> None:
    collections.abc.Sized.register(type("Other", (), {}))


@pytest.mark.parametrize(
    "change", [other_rate, rate_back_again, fresh_state, buffer_of_its_own, another_subclass]
)
def test_what_a_training_step_relies_on_is_seen_to_change(change: Any) -> None:
    losses = []
    for wrap in (lambda f: f, lambda f: dg.compile(f, wait=True)):
        model, optimizer, step = trained(1)
        step = wrap(step)
        losses.append([step(data(i)).item() for i in range(12)])
        for i in range(12, 18):
            change(model, optimizer) if i == 14 else None
            losses[-1].append(step(data(i)).item())
    assert losses[0] == losses[1]

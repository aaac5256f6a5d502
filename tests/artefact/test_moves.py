"""Saved programs that put other tensors and numbers at places of Python state: they are state that moves on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, reader


class Kept:
    """An object with state."""

    def __init__(self, **state: Any) -> None:
        vars(self).update(state)


def averaging(o: Kept, x: Any) -> Any:
    o.mean = o.mean * 0.9 + x
    return o.mean * 2


def counting(o: Kept, x: Any) -> Any:
    o.n += 1
    o.beta *= 0.5
    return x / (o.n - o.beta)


def leaving(o: Kept, x: Any) -> Any:
    o.last = y = x * 3
    return y + 1


def exchanging(o: Kept, x: Any) -> Any:
    h, c = o.pair
    c = c * 0.5 + x
    o.pair = h + c.tanh(), c
    return o.pair[0]


def writing(o: Kept, x: Any) -> Any:
    o.h.add_(1)
    o.h = o.h * 0.5
    o.h.mul_(x)
    return o.h.sum()


def remembering(o: Kept, x: Any) -> Any:
    change = x - o.before
    o.before = x
    return change


def branching(o: Kept, x: Any) -> Any:
    o.h = o.h + x
    return o.h * 2 if o.h.sum() > 12 else -o.h


def in_trees(o: Kept, x: Any) -> Any:
    o.table = {"a": o.table["a"] + x, "b": [o.table["b"][0] + o.table["a"], 2]}
    o.items[1] = o.items[1] * o.table["a"]
    return o.table["b"][0] + o.items[0]


FUNCTIONS: dict[Callable[..., Any], Callable[[], dict[str, Any]]] = {
    averaging: lambda: {"mean": dg.zeros(3)},
    counting: lambda: {"n": 0, "beta": 1.0},
    leaving: lambda: {"last": dg.zeros(3)},
    exchanging: lambda: {"pair": (dg.zeros(3), dg.ones(3))},
    writing: lambda: {"h": dg.zeros(3)},
    remembering: lambda: {"before": dg.zeros(3)},
    branching: lambda: {"h": dg.zeros(3)},
    in_trees: lambda: {"table": {"a": dg.zeros(3), "b": [dg.ones(3), 2]}, "items": [dg.ones(3)] * 2},
}  # fmt: skip


def inputs(count: int, rows: int | None = None) -> list[Any]:
    shape = (3,) if rows is None else (rows, 3)
    return [dg.asarray(np.full(shape, 0.5 + i, np.float32)) for i in range(count)]


def bits(x: Any) -> bytes:
    return bytes(x.detach().numpy().tobytes())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_calls_exchange_goes_on_from_the_file(
    tmp_path: Path, function: Callable[..., Any]
) -> None:
    o = Kept(**FUNCTIONS[function]())
    f = dg.compile(lambda x: function(o, x), wait=True)
    for x in inputs(6):
        f(x)
    dg.save(f, tmp_path / "f.dg")
    other, plain = dg.load(tmp_path / "f.dg"), reader.load(str(tmp_path / "f.dg"))
    assert other.verify() and max(v[3] for v in plain.verify()) < 1e-5
    first = [f(x) for x in inputs(2)]
    for x, y in zip(inputs(2), first, strict=True):
        assert bits(other(x)) == bits(y)
        np.testing.assert_allclose(plain(x.numpy()), y.numpy(), rtol=1e-6)
    dg.save(other, tmp_path / "g.dg")
    again = dg.load(tmp_path / "g.dg")
    assert other.verify() and again.verify(), "each from the state in its file"
    for x in inputs(3):
        assert bits(again(x)) == bits(f(x)) == bits(other(x))
    assert again.state.keys() == other.state.keys() and again.numbers == other.numbers


def test_places_are_state_under_their_names_and_may_be_set(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.PReLU(3)
            self.register_buffer("h", dg.zeros(3))
            self.n = 0

        def forward(self, x: Any) -> Any:
            self.n += 1
            self.h = (self.h + self.inner(x).mean(0)).detach()
            return self.h / self.n

    net = Net()
    f = dg.compile(net, wait=True)
    for rows in (4, 4, 4, 5, 6):  # of any size and at any number from the last two on
        f(*inputs(1, rows))
    dg.save(f, tmp_path / "f.dg")
    back = dg.load(tmp_path / "f.dg")
    assert set(back.state) == {"h", "inner.weight"} and back.numbers == {"Net.n": 5}
    for rows in (9, 1, 6):
        (x,) = inputs(1, rows)
        assert bits(back(x)) == bits(f(x))
    assert back.numbers == {"Net.n": net.n} and bits(back.state["h"]) == bits(net.h)
    net.h = back.state["h"] = dg.ones(3)
    net.n = back.numbers["Net.n"] = 70
    (x,) = inputs(1, 2)
    assert bits(back(x)) == bits(f(x))
    back.state["h"] = dg.ones(4)
    with pytest.raises(dg.ArgumentError, match="h changed"):
        back(x)


def test_programs_that_rely_on_what_was_exchanged_since_are_left_out(tmp_path: Path) -> None:
    o = Kept(h=dg.zeros(3))

    def f(x: Any, train: bool) -> Any:
        if train:
            o.h = o.h * 0.5 + x
        return x + o.h

    fn = dg.compile(f, wait=True)
    for train in (False, False, True, True, True, True):
        fn(dg.ones(3), train)
    dg.save(fn, tmp_path / "f.dg")
    assert len(dg.load(tmp_path / "f.dg").programs) == 1 < len(fn.programs)
    fn(dg.ones(3), False)  # it reads whatever is there from now on
    dg.save(fn, tmp_path / "f.dg")
    back = dg.load(tmp_path / "f.dg")
    for train in (True, False, True, False):
        assert bits(back(dg.ones(3), train)) == bits(fn(dg.ones(3), train))


def test_assignments_of_what_the_function_does_not_read_are_left_out(tmp_path: Path) -> None:
    o = Kept(h=dg.zeros(3), calls=0, last=None, table={}, seen=[], loss=0.0)

    def f(x: Any) -> Any:
        o.calls += 1
        o.h = o.h * 0.9 + x
        y = (x * o.h).sum()
        o.last = y
        o.table["kind"] = type
        o.seen += [y]
        o.loss = y.item()
        return y

    fn = dg.compile(f, wait=True)
    for x in inputs(5):
        fn(x)
    dg.save(fn, tmp_path / "f.dg")
    back = dg.load(tmp_path / "f.dg")
    assert set(back.state) == {"o.h"} and not back.numbers and back.verify()
    assert {a.where.line for a in back.assumptions if a.value == "left out"} == {
        e.where.line for e in fn.programs[0].effects
    }
    for x in inputs(3):
        assert bits(back(x)) == bits(fn(x))


def with_history(o: Kept, x: Any) -> Any:
    o.h = (x * o.w + o.h).tanh()
    return o.h.sum()


def toggling(o: Kept, x: Any) -> Any:
    o.on = not o.on
    return x * (2 if o.on else 3)


def through_numpy(o: Kept, x: Any) -> Any:
    o.n = float(np.sqrt(o.n)) + 1
    return x * o.n


def at_places(o: Kept, x: Any) -> Any:
    o.h[o.at] = x
    o.at += 1
    return o.h.sum(0)


def following(o: Kept, x: Any) -> Any:
    o.seen += 1
    o.unread = o.unread * 0.9 + x  # by nothing but the statement itself
    return x * 2


def appending(o: Kept, x: Any) -> Any:
    o.seen.append(x.sum().item())
    return x * 2


@pytest.mark.parametrize(
    ("function", "state", "words"),
    [
        (with_history, {"w": dg.ones(3, requires_grad=True), "h": dg.zeros(3)}, "history; detach"),
        (toggling, {"on": True}, "o.on on each call, and relies on what was there"),
        (through_numpy, {"n": 0.5}, "no file can say; keep it in a tensor"),
        (at_places, {"h": dg.zeros(30, 3), "at": 0}, "o.at on each call, and relies on what was"),
        (following, {"seen": 0, "unread": dg.zeros(3)}, "runs Python code at the end"),
        (appending, {"seen": []}, "runs Python code at the end of each call"),
    ],
)
def test_what_no_file_can_say_of_places_is_refused(
    tmp_path: Path, function: Callable[..., Any], state: dict[str, Any], words: str
) -> None:
    o = Kept(**state)
    f = dg.compile(lambda x: function(o, x), wait=True)
    for x in inputs(7):
        f(x)
    with pytest.raises(dg.CaptureError, match=words):
        dg.save(f, tmp_path / "f.dg")

"""Caches that grow: places whose tensors each call leaves in other sizes, with the bits of eager mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn import functional as F
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.modes import normal


class Cache:
    k: Any = None
    v: Any = None


class Pair(NamedTuple):
    k: Any
    v: Any


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.past = nn.Linear(8, 24), None

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.past is not None:
            k, v = dg.cat([self.past.k, k], 1), dg.cat([self.past.v, v], 1)
        self.past = Pair(k, v)
        return F.scaled_dot_product_attention(q, k, v)


@both_modes(30)
def test_attention_over_all_that_came_before(wrap: Wrap) -> Iterator[Any]:
    layer = Attention()
    step = wrap(lambda x: layer(x))
    with dg.no_grad():
        for _ in range(3):
            layer.past = None
            for i in range(14):
                yield step(normal(2, 1, 8, seed=i)), layer.past.k, layer.past.v.shape


@both_modes(10)
def test_a_cache_of_each_layer_in_a_dict(wrap: Wrap) -> Iterator[Any]:
    layers, cache = [nn.Linear(4, 4) for _ in range(2)], dict[int, Any]()

    @wrap
    def step(x: Any) -> Any:
        for i, layer in enumerate(layers):
            k = layer(x)
            if i in cache:
                k = dg.cat([cache[i], k])
            cache[i] = k
            x = x + F.softmax(x @ k.T, -1) @ k
        return x

    with dg.no_grad():
        for i in range(16):
            yield step(normal(1, 4, seed=i)), dict(cache)


@both_modes(5)
def test_results_of_before_stay_whole(wrap: Wrap) -> Iterator[Any]:
    seen, kept = dg.zeros(1, 3), []

    @wrap
    def step(x: Any) -> Any:
        nonlocal seen
        seen = dg.cat([seen, x])
        return seen

    for i in range(12):
        kept.append(step(normal(1, 3, seed=i)))
        yield kept[-1] is seen, kept[max(0, i - 2)]
        kept[-1][0] += 1.0  # in place, at the place too


@both_modes(4)
def test_windows_that_slide_once_they_are_full(wrap: Wrap) -> Iterator[Any]:
    c = Cache()
    c.k = dg.zeros(1, 2)

    @wrap
    def step(x: Any) -> Any:
        c.k = dg.cat([c.k, x])[-5:]
        return c.k.mean(0)

    for i in range(16):
        yield step(normal(1 + i % 2, 2, seed=i)), c.k


@both_modes()
def test_gradients_that_flow_into_what_grows(wrap: Wrap) -> Iterator[Any]:
    c, w = Cache(), normal(3, 3).requires_grad_()

    @wrap
    def step(x: Any) -> Any:
        h = (x @ w).tanh()
        c.k = h if c.k is None else dg.cat([c.k, h])
        return (c.k**2).sum()

    for _ in range(3):
        c.k = None
        for i in range(4):
            loss = step(normal(1, 3, seed=i))
        w.grad = None
        loss.backward()
        yield loss, w.grad, c.k.requires_grad


def changed(c: Any, what: str) -> None:
    if what == "other sizes":
        c.k, c.v = dg.ones(7, 3), dg.ones(7, 3)
    elif what == "sizes that do not go together":
        c.k, c.v = dg.ones(4, 3), dg.ones(6, 3)
    elif what == "one tensor":
        c.k = c.v
    elif what == "the argument":
        c.k = c.x
    elif what == "a weight":
        c.k, c.v = c.w, dg.ones(3, 3)
    elif what == "a view":
        c.k = dg.arange(30.0).view(10, 3)[::2]
    elif what == "another dtype":
        c.k, c.v = c.k.double(), c.v.double()
    elif what == "one that wants gradients":
        c.k = c.k.clone().requires_grad_()
    elif what == "no tensor":
        c.k = None
    elif what == "a number":
        c.v = 2.0
    elif what == "no attribute":
        vars(c).pop("v", None)
    elif what == "another rank":
        c.k = dg.ones(1, 2, 3)
    elif what == "written in place":
        c.k += 1.0
    elif what == "an array":
        c.v = c.v.numpy()


CHANGES = (
    "other sizes|sizes that do not go together|one tensor|the argument|a weight|a view|another dtype|"
    "one that wants gradients|no tensor|a number|no attribute|another rank|written in place|an array"
).split("|")


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_is_put_there_between_calls(what: str) -> None:
    @both_modes()
    def program(wrap: Wrap) -> Iterator[Any]:
        c: Any = Cache()
        c.w = normal(3, 3)

        def f(x: Any) -> Any:
            k, v = x @ c.w, x * 2
            if c.k is not None:
                k, v = dg.cat([c.k, k]), dg.cat([c.v, v])
            c.k, c.v = k, v
            return F.softmax(x @ k.T, -1) @ v

        step = wrap(f)
        for i in range(24):
            c.x = normal(1, 3, seed=i)
            if i in (8, 9, 16):
                changed(c, what)
            yield attempt(lambda: step(c.x)), c.k, c.v
            if i % 8 == 3 and c.k is not None:  # begun anew, from what is left
                c.k, c.v = normal(2, 3), normal(2, 3, seed=1)

    program()


def test_two_sizes_are_enough() -> None:
    c = Cache()

    def step(x: Any) -> Any:
        c.k = x if c.k is None else dg.cat([c.k, x])
        return c.k.sum(0)

    f = dg.compile(step, wait=True)
    for _ in range(3):
        c.k = None
        for i in range(20):
            f(normal(1, 3, seed=i))
    assert len(f.programs) == 3, f.explain()  # for nothing, for one size, and for all others
    assert sum(p.calls for p in f.programs) > 50
    assert "goes along with the arguments" in f.explain()
    assert "argument: c.k = 'f32[s0,3]'" in f.explain()
    assert f.would_compile(normal(1, 3))


def test_what_goes_along_is_in_no_file_and_in_replays() -> None:
    c = Cache()

    def step(x: Any, grow: bool) -> Any:
        k = dg.cat([c.k, x])
        if grow:
            c.k = k
        return k.sum(0)

    f = dg.compile(step, wait=True)
    c.k = normal(2, 3)
    for _ in range(3):
        f(normal(1, 3), True)
    f(normal(1, 3), False)
    (program,) = [p for p in f.programs if not p.moves]
    with pytest.raises(dg.CaptureError, match="other sizes after each call"):
        dg.save(program, "/dev/null")
    program.replay(normal(1, 3, seed=4), False).run()


def test_a_state_that_is_reset_to_none_keeps_its_programs() -> None:
    c, cell = Cache(), nn.GRUCell(3, 4)

    def step(x: Any) -> Any:
        c.k = cell(x, c.k)
        return c.k

    f = dg.compile(step, wait=True)
    with dg.no_grad():
        for i in range(24):
            if i % 4 == 0:
                c.k = None
            assert f(normal(2, 3, seed=i)) is c.k
    assert len(f.programs) == 2 and sum(p.calls for p in f.programs) > 15, f.explain()


@both_modes(20)
def test_a_state_that_takes_the_size_of_a_batch(wrap: Wrap) -> Iterator[Any]:
    c = Cache()
    c.k = dg.zeros(1, 3)

    @wrap
    def step(x: Any) -> Any:
        change = x - c.k.mean(0)
        c.k = x
        return change

    for i in range(40):
        yield step(normal(3 if i % 10 == 9 else 4, 3, seed=i)), c.k


def test_a_state_that_had_one_size_is_told_natively() -> None:
    c = Cache()
    c.k = dg.zeros(4, 3)

    def step(x: Any) -> Any:
        change = x - c.k.mean(0)
        c.k = x * 2
        return change

    f = dg.compile(step, wait=True)
    for i in range(20):
        f(normal(3 if i == 9 else 4, 3, seed=i))
    assert not f._rebound.along.places, f.explain()
    for i in range(40):
        f(normal(3 + i % 7, 3, seed=i))
    assert f._rebound.along.places, f.explain()

"""Footguns: views, aliases and writes in place. All must equal eager mode, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x


@both_modes(3)
def test_old_outputs_stay_while_the_function_runs_again(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2, a.sum(), (a + 1).T, a.reshape(6) * 1))
    kept = [f(x() + i) for i in range(5)]
    yield kept


@both_modes(3)
def test_outputs_can_be_written_without_harm(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2, dg.zeros(3), dg.tensor([1.0, 2.0])))
    for _ in range(4):
        a, b, c = f(x())
        yield a, b, c
        a.add_(1)
        b.fill_(7)
        c[0] = 9.0


@both_modes(3)
def test_outputs_are_not_shared_with_each_other(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any) -> Any:
        y = a * 2
        z = a * 2  # equal, but not the same memory
        return y, z, y, y.view(6), y.clone(), a + 0, a * 1

    f = wrap(f)
    for _ in range(4):
        a = x()
        outs = f(a)
        outs[0].add_(1)
        yield outs, a
        outs[1].mul_(3)
        yield outs, a, outs[0] is outs[2]


@both_modes(2)
def test_outputs_alias_inputs(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, b: Any) -> Any:
        return a, b[0], a.view(6), a.T, a, b, b.detach()

    for _ in range(4):
        a, b = x(), x() + 1
        outs = f(a, b)
        yield outs[0] is a, outs[4] is a, outs[5] is b
        outs[2][0] = 100.0
        outs[1].zero_()
        outs[3][1, 1] = -5.0
        yield outs, a, b


@both_modes(2)
def test_outputs_alias_captured_state(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(2, 3)
    f = wrap(lambda a: (w, w[1], (a + w)))
    for _ in range(4):
        outs = f(x())
        outs[1].add_(1)
        yield outs, outs[0] is w, w


@both_modes(2)
def test_writes_to_an_input_are_seen_by_the_caller(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        a.add_(1)
        a[0] = 5.0
        a[:, 1] *= 2
        a.relu_() if hasattr(a, "relu_") else a.clamp_(0)
        return a.sum()

    a = x()
    for _ in range(4):
        yield f(a), a
    b = x()
    view = b[0]
    for _ in range(3):
        yield f(b), b, view


@both_modes(2)
def test_writes_to_views_of_inputs(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        row = a[0]
        row += 10
        flat = a.view(6)
        flat[1::2] = flat[::2] * 2
        a.T[2] = row[:2]
        return row, flat * 1, a + 0

    a = x()
    for _ in range(4):
        row, flat, copy = f(a)
        yield row, flat, copy, a
        row.zero_()
        yield a


@both_modes(2)
def test_writes_to_captured_state(wrap: Wrap) -> Iterator[Any]:
    total, count = dg.zeros(3), dg.tensor(0)
    recent = dg.zeros(4, 3)

    @wrap
    def f(a: Any) -> Any:
        total.add_(a.sum(0))
        count.add_(1)
        recent[1:] = recent[:-1].clone()
        recent[0] = a[0]
        return total / count

    for i in range(5):
        yield f(x() + i), total, count, recent
    total.zero_()
    yield f(x()), total, count


@both_modes(1)
def test_a_view_of_captured_state_is_written(wrap: Wrap) -> Iterator[Any]:
    whole = dg.zeros(4, 3)
    part = whole[1:3]

    @wrap
    def f(a: Any) -> Any:
        part.add_(a)
        return whole * 2

    @wrap
    def g(a: Any) -> Any:
        whole.mul_(0.5)
        return part + a

    for _ in range(4):
        yield f(x()), whole, part
        yield g(x()), whole, part


@both_modes(1)
def test_the_same_tensor_is_passed_twice(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, b: Any) -> Any:
        a.add_(1)
        return a * b

    a, b = x(), x() * 2
    for _ in range(3):
        yield f(a, b), a, b
    for _ in range(3):
        yield f(a, a), a
    for _ in range(3):
        yield f(b, a), a, b


@both_modes(1)
def test_overlapping_views_are_passed(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, b: Any) -> Any:
        a.mul_(2)
        return a + b

    base = dg.arange(8, dtype=dg.float32)
    one, two = dg.zeros(4), dg.ones(4)
    for _ in range(3):
        yield f(one, two), one, two
    for _ in range(3):
        yield f(base[:4], base[2:6]), base
    for _ in range(2):
        yield f(one, two), f(base[:4], base[4:]), base


@both_modes(1)
def test_an_argument_that_shares_memory_with_captured_state(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3)

    @wrap
    def f(a: Any) -> Any:
        w.add_(a)
        return a * 2

    @wrap
    def g(a: Any) -> Any:
        a.add_(1)
        return w * 2

    for _ in range(3):
        yield f(dg.ones(3)), w
        yield g(dg.ones(3)), w
    for _ in range(3):
        yield f(w), w
        yield g(w), w
        yield f(w[:]), w


@both_modes(1)
def test_a_numpy_array_argument_is_shared_and_written(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(n: Any) -> Any:
        t = dg.from_numpy(n)
        t.add_(1)
        return t * 2

    n = np.array([1.0, 2.0], dtype=np.float32)
    for _ in range(4):
        yield f(n), n


@both_modes(0)
def test_a_numpy_array_argument_is_written_by_numpy(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(n: Any, a: Any) -> Any:
        n += 1
        return a * dg.asarray(n)

    n = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    for _ in range(4):
        yield f(n, x()), n


@both_modes(1)
def test_the_memory_of_a_tensor_is_swapped(wrap: Wrap) -> Iterator[Any]:
    p = dg.nn.Parameter(dg.ones(3))
    f = wrap(lambda a: (a * p).sum())
    yield f(x())
    yield f(x())
    p.data = dg.full((3,), 4.0)
    yield f(x())
    with dg.no_grad():
        p.copy_(dg.tensor([1.0, 2.0, 3.0]))
    yield f(x())


@both_modes(0)
def test_where_in_memory_a_tensor_begins(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2, a.storage_offset()))
    g = wrap(lambda a: (a * 2, a.storage().size()))
    whole = dg.arange(8.0)
    for a in (dg.arange(3.0), whole[:3], whole[2:5], dg.arange(3.0), whole[5:]):
        yield f(a), g(a)


@both_modes(1)
def test_where_a_part_of_what_was_made_begins(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * (a * 2)[1:].storage_offset(), (a * 2)[1:].storage().size()))
    for i in range(3):
        yield f(x() + i)


@both_modes(0)
def test_whether_a_tensor_keeps_its_gradient(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * 2 if a.retains_grad else a * 3)
    for keeps in (False, True, False, True):
        a = x().requires_grad_() * 1
        if keeps:
            a.retain_grad()
        yield f(a).detach()


@both_modes(3)
def test_steps_along_axes_that_have_one_place(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * a.stride(0), a.stride(), a[:, ::2].stride(), a.mT.stride()))
    whole = dg.arange(16.0).reshape(4, 4)
    for a in (dg.ones(1, 4), dg.ones(4, 1).mT, whole[:1], whole[::4], dg.ones(1, 4).expand(1, 4)):
        yield f(a)
    g = wrap(lambda a: [t.stride() for t in (*a.sort(-1, descending=True), a[1:1], a.mT[:1])])
    for a in (whole, whole[:, :1], whole[:1], dg.ones(4, 1)):
        yield g(a), [t.stride() for t in a.sort(-1, descending=True)]
        kept = wrap(lambda a: (a.sort(-1, descending=True)[1], a[1:1], a.mT * 2))
        yield [[t.stride() for t in kept(a)] for _ in range(2)]

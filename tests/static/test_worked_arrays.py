"""Arrays that NumPy works out in a compiled function, and arrays of random numbers: each call has its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim
from tests.side_by_side import Wrap, both_modes, frozen
from tests.static.modes import normal

CALLS = 12
FOLLOWED = sys.version_info >= (3, 11)  # float(v), where v is a number that may be any
MEAN = np.array([1.0, -2.0, 0.5])
SHARES = np.array([0.1, 0.2, 0.3, 0.4])
Numbers = np.random.Generator


def with_noise(x: Any, rng: Numbers) -> Any:
    return x + dg.tensor(rng.normal(size=x.shape).astype(np.float32)) + rng.random(3)


def mini_batch(x: Any, rng: Numbers) -> Any:
    some = rng.choice(4, size=3, p=SHARES)
    return x[rng.integers(0, 4, 8)] * x[some].sum() + x[dg.asarray(rng.permutation(4)[:1])]


def dropped(x: Any, rng: Numbers) -> Any:
    mask = np.where(rng.random((4, 3)) > 0.5, 2.0, 0.0)
    mask[0] = rng.standard_normal(3)
    mask *= 0.5
    return x * dg.asarray(mask, dtype=dg.float32), mask


def by_number(x: Any, rng: Numbers) -> Any:
    u = rng.random(3)
    if u[0] < 0.5:
        return x * u[1]
    for a in u:
        x = x - float(a)
    return x * x.sum().item() + dg.asarray(u[1:].reshape(2, 1) @ u[None, 1:])[0, 0]


def in_bodies(x: Any, rng: Numbers) -> Any:
    u = rng.random((2, 3))
    out = dg.scan(lambda c, v: (c * dg.asarray(u[0]) + v, c), x[0].double(), x.double())[0]
    if rng.random() < 2:
        return out * dg.cond(x.sum() > 0, lambda v: v * float(u[1, 0]), lambda v: v, x[0].double())
    return out


def older(x: Any, rng: Numbers) -> Any:
    order = np.random.permutation(4)
    parts = np.split(np.random.rand(4, 3)[order], 2)
    return x[order] * dg.asarray(np.concatenate(parts[::-1])), parts


@pytest.mark.parametrize("f", [with_noise, mini_batch, dropped, by_number, in_bodies, older])
def test_arrays_are_drawn_by_each_call(f: Callable[[Any, Numbers], Any]) -> None:
    def run(f: Any) -> list[Any]:
        np.random.seed(0)
        rng, seen = np.random.default_rng(1), []
        for i in range(CALLS):
            seen.append(frozen(f(normal(4, 3, seed=i), rng)))
            seen.append((rng.bit_generator.state, np.random.get_state()[1].tolist()))  # type: ignore[index, union-attr]
        return seen

    compiled = dg.compile(f, wait=True)
    assert run(f) == run(compiled), compiled.explain()
    used = sum(p.calls for p in compiled.programs)
    assert used > CALLS // 3 or f is in_bodies or not FOLLOWED, compiled.explain()


def batches() -> Iterator[Any]:
    for i in range(8):
        rng = np.random.default_rng(i)
        pixels = rng.integers(0, 255, (4, 3)).astype(np.uint8)
        yield {"x": pixels, "y": (rng.normal(size=4), np.arange(4) + i)}


@both_modes(21)
def test_arguments_are_worked_out_by_each_call(wrap: Wrap) -> Iterator[Any]:
    net = nn.Linear(3, 1)
    optimiser = optim.SGD(net.parameters(), lr=0.1)
    rng = np.random.default_rng(0)

    @wrap
    def step(batch: Any) -> Any:
        x = batch["x"].astype(np.float32)
        x /= 255.0
        x = dg.tensor(x + rng.normal(size=x.shape).astype(np.float32))
        optimiser.zero_grad()
        loss = (net(x)[:, 0] - dg.asarray(batch["y"][0])).square().mean()
        loss.backward()
        optimiser.step()
        return loss.item()

    @wrap
    def normalised(batch: Any) -> Any:
        x = (batch["x"] - MEAN) / batch["x"].std(axis=0)
        both = np.stack([batch["y"][0], batch["y"][1] ** 0.5])
        return dg.from_numpy(x).float(), dg.asarray(both.T), both, x[1:], net(dg.asarray(x).float())

    @wrap
    def views(batch: Any) -> Any:
        a = batch["y"][0]
        return dg.asarray(a[::-1]) * 2, dg.asarray(a.reshape(2, 2)), a[1:], a

    for batch in batches():
        y = normalised(batch)
        y[-1].sum().backward()
        given = views(batch)
        yield step(batch), net.weight.grad, y, given, batch
        given[2][:] = 7  # the caller's own
        yield given, batch


@both_modes(0)
def test_what_python_or_other_code_looks_into_is_compared(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def looked_up(batch: Any) -> Any:
        joined = dg.tensor([batch["y"][0], batch["y"][0]])
        return joined + float((batch["x"] + 1).sum())

    @wrap
    def written(batch: Any) -> Any:
        y = batch["y"][0] * 2
        t, rows = dg.asarray(y), y[1:]
        np.asarray(y)[0] = batch["y"][1][0]
        y += 1
        return t * 2, dg.asarray(rows), dg.tensor(y)

    @wrap
    def through_a_tensor(batch: Any) -> Any:
        y = batch["y"][0] * 2
        t = dg.asarray(y)
        t += 1
        return dg.asarray(y * 3)

    log: list[Any] = []

    @wrap
    def told_before(batch: Any) -> Any:
        y = batch["y"][0] * 2
        log.append(y.sum())
        y += 1
        return dg.asarray(y)

    @wrap
    def sizes(batch: Any) -> Any:
        few = np.unique(batch["x"][:2] // 64)
        return (
            dg.ones(2) * len(few) + few.shape[0] + dg.asarray(batch["y"][0][batch["y"][0] > 0].size)
        )

    @wrap
    def into_another(batch: Any) -> Any:
        out = np.zeros(4)
        np.clip(batch["y"][0], 0, 1, out)
        return dg.asarray(out * 2)

    for batch in batches():
        yield looked_up(batch), written(batch), through_a_tensor(batch), batch
        yield told_before(batch), list(log), sizes(batch), into_another(batch)


class Held:
    """Arrays where code finds them."""

    def __init__(self) -> None:
        self.rows = np.arange(900.0).reshape(300, 3)
        self.scale = np.ones(3)


@both_modes(12)
def test_arrays_that_code_finds_are_worked_with(wrap: Wrap) -> Iterator[Any]:
    held, rng = Held(), np.random.default_rng(0)

    @wrap
    def picked(batch: Any) -> Any:
        table = np.cumsum(held.rows / 2, axis=0)
        first = dg.asarray(table[batch["x"][0]])
        table[0] = MEAN
        return first * dg.asarray(held.scale), dg.tensor(table[rng.integers(0, 9, 4)] - held.scale)

    @wrap
    def filled(batch: Any) -> Any:
        held.rows[int(batch["y"][1][0])] = batch["y"][0][:3]
        return dg.asarray(held.rows[batch["x"][1]])

    for i, batch in enumerate([*batches(), *batches()]):
        if i == 12:
            held.scale = held.scale * 3
        if i > 13:
            held.scale[1] = i
            yield filled(batch)
        yield picked(batch), type(held.rows), type(MEAN)


def test_other_sizes_have_programs_of_their_own() -> None:
    rng, same = np.random.default_rng(0), np.random.default_rng(0)

    def f(x: Any, rng: Any) -> Any:
        return x + rng.normal(size=x.shape)

    compiled = dg.compile(f, wait=True)
    for i in range(12):
        x = normal(3 + i % 3, 2, seed=i)
        assert frozen(compiled(x, rng)) == frozen(f(x, same))
    assert len(compiled.programs) == 3 and sum(p.calls for p in compiled.programs) == 9


def test_a_call_whose_array_has_another_shape_or_no_value_goes_on_eagerly() -> None:
    def several(a: Any) -> Any:
        return dg.asarray(np.unique(a)) * 2

    def placed(a: Any) -> Any:
        return dg.asarray(MEAN + a[a[-1:]])

    for f in (several, placed):
        compiled = dg.compile(f, wait=True)
        for values in ([0, 1], [0, 1], [1, 1], [0, 5], [1, 0]):
            found = []
            for run in (f, compiled):
                try:
                    found.append(frozen(run(np.array(values))))
                except IndexError:
                    found.append("no such index")
            assert found[0] == found[1]
        assert sum(p.calls for p in compiled.programs) >= 2, compiled.explain()


def test_numbers_of_arguments_that_differ_are_as_those_taken_out_of_tensors() -> None:
    def f(batch: Any) -> Any:
        a = batch["y"]
        x = dg.asarray(a) / (1.0 + float(np.abs(a).max()))
        return x * 2 if a[0] > 0 else x - a.sum()

    compiled = dg.compile(f, wait=True)
    for i in range(30):
        batch = {"y": np.random.default_rng(i).normal(size=4)}
        assert frozen(f(batch)) == frozen(compiled(batch)), compiled.explain()
    assert sum(p.calls for p in compiled.programs) >= 11 * FOLLOWED, compiled.explain()


def test_a_file_has_no_place_for_what_numpy_works_out(tmp_path: Path) -> None:
    f = dg.compile(lambda a: dg.asarray(np.sqrt(a)) * 2, wait=True)
    f(np.ones(3))
    with pytest.raises(dg.CaptureError, match="NumPy works out arrays"):
        dg.save(f, tmp_path / "f.dg")
    assert dg.verify(lambda a: dg.asarray(np.sqrt(a)) * 2, np.ones(3))

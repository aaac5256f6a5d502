"""Taps inside of loops and branches: one value a turn, with the bits of the steps run by hand."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn, optim


def bits(x: Any) -> bytes:
    return bytes(x.detach().numpy().tobytes())


def place(fn: Any, mark: str) -> str:
    lines, start = inspect.getsourcelines(fn)
    return f"{__file__}:{start + next(i for i, t in enumerate(lines) if mark in t)}"


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.outer = nn.Linear(4, 3)

    def forward(self, c: Any, x: Any) -> Any:
        c = dg.tap_point(c, "carry")
        h = self.inner(c + x).softmax(0)
        new = dg.tap_point(self.outer(h), "made")
        return new, h.sum()


def by_hand(cell: Cell, xs: Any) -> dict[str, list[Any]]:
    c, seen = dg.zeros(3), {"carry": [], "inner": [], "made": []}
    with dg.no_grad():
        for x in xs:
            seen["carry"].append(c)
            seen["inner"].append(cell.inner(c + x))
            c, _ = cell(c, x)
            seen["made"].append(c)
    return seen


@pytest.mark.parametrize("backend", [None, "numpy"])
def test_a_scan_is_tapped_turn_by_turn(backend: Any) -> None:
    cell = Cell()

    def run(xs: Any) -> Any:
        return dg.scan(cell, dg.zeros(3), xs)

    f = dg.compile(run, wait=True, backend=backend)
    xs, other = dg.randn(5, 3), dg.randn(5, 3)
    for _ in range(3):
        f(xs)
    program = f.programs[0]
    taps = {name: program.tap(name) for name in ("carry", "inner", "made")}
    for i, given in enumerate((xs, other)):
        last, sums = run(given)
        assert [bits(v) for v in f(given)] == [bits(last), bits(sums)]
        for name, values in by_hand(cell, given).items():
            assert list(map(bits, taps[name].turns)) == list(map(bits, values)), name
            assert len(taps[name].values) == 5 * (i + 1), name
            assert bits(taps[name].value) == bits(values[-1])
    for t in taps.values():
        t.remove()
    before = len(taps["made"].values)
    f(xs)
    assert len(taps["made"].values) == before and program.taps is None


def test_lines_and_variables_of_bodies_are_tapped() -> None:
    def run(x: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            d = c * 2 + v  # here
            return d, d.sum()

        return dg.scan(step, x[0], x)[1]

    f = dg.compile(run, wait=True)
    x = dg.randn(3, 2)
    f(x)
    program = f.programs[0]
    loop = next(n for n in program.captured.nodes if "body" in n.params)
    first = loop.params["body"].nodes[0].outputs[0]
    with (
        program.tap(place(run, "# here")) as line,
        program.tap(f"{loop.outputs[0]}.body.{first}") as var,
    ):
        f(x)
    c = x[0]
    for i in range(3):
        assert bits(var.turns[i]) == bits(c * 2)
        c = c * 2 + x[i]
        assert bits(line.turns[i]) == bits(c)
    with pytest.raises(dg.ArgumentError, match="no such value"):
        program.tap(f"{loop.outputs[0]}.body.%99")


def test_while_loops_branches_and_nests_are_tapped() -> None:
    def run(x: Any) -> Any:
        def up(v: Any) -> Any:
            return dg.tap_point(v * 2, "up")

        def down(v: Any) -> Any:
            return dg.tap_point(v - 3, "down")

        def row(v: Any) -> Any:
            test = lambda s: dg.tap_point(s[0] < 2, "test")  # noqa: E731
            body = lambda s: (s[0] + 1, dg.cond(s[1].sum() > 0, up, down, s[1]))  # noqa: E731
            return dg.while_loop(test, body, (dg.asarray(0), v), max_steps=4)[1]

        return dg.map(row, x)

    f = dg.compile(run, wait=True)
    f(-dg.ones(2, 2))
    names = ("up", "down", "test")
    up, down, test = (f.programs[0].tap(name) for name in names)
    x = dg.asarray([[1.0, 2.0], [-1.0, -1.0]])
    assert f(x).tolist() == run(x).tolist() == [[4.0, 8.0], [-7.0, -7.0]]
    assert [t.tolist() for t in up.turns] == [[2.0, 4.0], [4.0, 8.0]]
    assert [t.tolist() for t in down.turns] == [[-4.0, -4.0], [-7.0, -7.0]]
    assert [t.item() for t in test.turns] == [True, True, False] * 2
    f(dg.ones(2, 2))
    assert down.turns == [] and len(down.values) == 2 and len(up.turns) == 4
    for t in (up, down, test):
        t.remove()


def test_a_training_step_through_a_loop_is_tapped_while_it_trains() -> None:
    def made() -> Any:
        dg.manual_seed(0)
        cell = Cell()
        opt = optim.SGD(cell.parameters(), lr=0.1)

        @dg.compile(wait=True)
        def step(xs: Any) -> Any:
            opt.zero_grad()
            loss = dg.scan(cell, dg.zeros(3), xs)[0].square().sum()
            loss.backward()
            opt.step()
            return loss

        return cell, step

    xs = dg.randn(4, 3)
    (one, plain), (two, tapped) = made(), made()
    for step in (plain, tapped):
        step(xs), step(xs)
    expected = by_hand(two, xs)
    with tapped.programs[0].tap("made") as made_, tapped.programs[0].tap("inner") as inner:
        assert bits(plain(xs)) == bits(tapped(xs))
    assert list(map(bits, made_.turns)) == list(map(bits, expected["made"]))
    assert list(map(bits, inner.turns)) == list(map(bits, expected["inner"]))
    assert bits(plain(xs)) == bits(tapped(xs))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert bits(a) == bits(b)


def test_a_replay_goes_to_the_loop_that_a_name_is_in() -> None:
    cell = Cell()
    f = dg.compile(lambda xs: dg.scan(cell, dg.zeros(3), xs)[0] * 2, wait=True)
    f(dg.randn(2, 3))
    replay = f.programs[0].replay().goto("made")
    assert "body" in replay.node.params


def test_a_replay_enters_loops_turn_by_turn_and_branches() -> None:
    def run(x: Any) -> Any:
        def row(c: Any, v: Any) -> Any:
            c = dg.cond(v.sum() > 0, lambda a: a * 2, lambda a: a - 3, c + v)
            return dg.tap_point(c, "carry"), c.sum()

        n, last = dg.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 0.5), (0, dg.scan(row, x[0], x)[0])
        )
        return last + n

    f = dg.compile(run, wait=True)
    x = dg.asarray([[1.0, 2.0], [-4.0, 1.0], [3.0, 3.0]])
    f(x)
    replay = f.programs[0].replay(x).goto("carry")
    carries, c = [], x[0]
    for v in x:
        c = (c + v) * 2 if v.sum() > 0 else c + v - 3
        carries.append(c.tolist())
    for i, carry in enumerate(carries):
        turn = replay.enter(i).goto("carry")
        made = str(turn.node.outputs[0])
        assert turn.values[made].tolist() == carry and f"turn {i} of scan" in str(turn)
        assert turn.run().outputs[0].tolist() == carry
        assert turn.back(99).position == 0
    branch = replay.enter(-2)
    while branch.node is None or branch.node.prim.name != "cond":
        branch.step()
    inner = branch.enter().run()
    assert inner.outputs[0].tolist() == carries[1] and "of cond" in inner.title
    assert inner.node.prim.name == "subtract"
    with pytest.raises(dg.ArgumentError, match="3 turns were taken"):
        replay.enter(3)
    while replay.node.prim.name != "while_loop":
        replay.step()
    assert replay.enter(2).run().outputs[0].item() == 3
    assert [replay.enter(i, "test").run().outputs[0].item() for i in range(4)] == [True] * 3 + [
        False
    ]
    with pytest.raises(dg.ArgumentError, match="no body"):
        replay.goto(0).enter()

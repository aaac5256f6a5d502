"""Replays walk through a captured call with real values; taps read what a compiled program computes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.jit.dynamic import Template


def bits(x: Any) -> bytes:
    return bytes(x.detach().numpy().tobytes())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Linear(3, 4)
        self.layer2 = nn.Sequential(nn.GELU(), nn.Linear(4, 2))

    def forward(self, x: Any) -> Any:
        h = dg.tap_point(self.layer1(x) * 2, "doubled")
        return self.layer2(h)


def line_of(text: str) -> str:
    lines, start = inspect.getsourcelines(Net.forward)
    return f"test_replay_and_taps.py:{start + next(i for i, t in enumerate(lines) if text in t)}"


@pytest.fixture
def traced() -> Any:
    net = Net()
    f = dg.compile(net, wait=True)
    x = dg.randn(5, 3)
    f(x)
    return net, f, x


def test_taps_read_modules_names_lines_and_variables(traced: Any) -> None:
    net, f, x = traced
    for _ in range(30):  # so that calls are told natively
        f(x)
    program = f.programs[0]
    with dg.no_grad():
        doubled = net.layer1(x) * 2
        inner = net.layer2[0](doubled)
    wanted = {
        "layer1": net.layer1(x), "doubled": doubled, "layer2.0": inner, line_of("doubled"): doubled,
        "layer2": net(x), str(program.captured.outputs[0]): net(x),
    }  # fmt: skip
    taps = {name: program.tap(name) for name in wanted}
    assert bits(f(x)) == bits(net(x))
    for name, value in wanted.items():
        assert bits(taps[name].value) == bits(value), name
    y = dg.randn(5, 3)
    f(y)
    assert len(taps["layer1"].values) == 2 and bits(taps["layer1"].values[1]) == bits(net.layer1(y))
    for t in taps.values():
        t.remove()
    f(y)
    assert len(taps["layer1"].values) == 2 and program.taps is None and "start" not in vars(program)


def test_a_tap_that_is_gone_leaves_the_former_executable(traced: Any) -> None:
    _, f, x = traced
    program = f.programs[0]
    before = program._executable
    with program.tap("layer1", keep=2) as t:
        for _ in range(40):
            f(x)
        assert len(t.values) == 2 and program.calls >= 40
    assert program._executable is before
    calls = program.calls
    for _ in range(40):
        f(x)
    assert len(t.values) == 2 and program.calls > calls


def test_a_training_step_is_tapped_while_it_trains() -> None:
    def made() -> Any:
        dg.manual_seed(0)
        net = Net()
        opt = optim.Adam(net.parameters(), lr=0.1)

        @dg.compile(wait=True)
        def step(x: Any) -> Any:
            opt.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        return net, step

    x = dg.randn(5, 3)
    (net, plain), (other, tapped) = made(), made()
    for step in (plain, tapped):
        step(x), step(x)
    t = tapped.programs[0].tap("layer1")
    for _ in range(3):
        assert bits(plain(x)) == bits(tapped(x))
    t.remove()
    assert bits(plain(x)) == bits(tapped(x)) and len(t.values) == 3
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert bits(a) == bits(b)


def test_a_path_that_a_number_chose_is_tapped_on_that_path() -> None:
    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        y = x * 2
        if y.sum() > 0:
            return dg.tap_point(y.sqrt(), "root")
        return -y

    up, down = dg.ones(2), -dg.ones(2)
    f(up), f(down)
    program = next(p for p in f.programs if p.marks)
    t = program.tap("root")
    assert f(down).tolist() == [2, 2] and len(t.values) == 0
    assert bits(f(up)) == bits(t.value)
    t.remove()
    assert f(down).tolist() == [2, 2] and bits(f(up)) == bits(t.value) and len(t.values) == 1


def test_unknown_places_are_refused_with_the_names_there_are(traced: Any) -> None:
    _, f, _ = traced
    for place in ("layer9", "%999", "nowhere.py:3"):
        with pytest.raises(dg.ArgumentError, match=r"no such value(.|\n)*layer1, .*doubled"):
            f.programs[0].tap(place)
    assert f.programs[0].taps is None
    with pytest.raises(dg.DualgraphError, match="has not run"):
        _ = f.programs[0].tap("layer1").value


def test_a_replay_steps_forward_and_back_with_real_values(traced: Any) -> None:
    net, f, x = traced
    r = f.programs[0].replay(x)
    assert r.position == 0 and r.node is None and set(r.values) == {str(v) for v in r.graph.inputs}
    seen = [step.position for step in r]
    assert seen == list(range(1, len(r.graph.nodes) + 1)) and bits(r.outputs[0]) == bits(net(x))
    last = r.node
    out = str(last.outputs[0])
    assert out in r.values and out not in r.back().values and r.outputs == (None,)
    assert bits(r.step().values[out]) == bits(net(x))
    with pytest.raises(KeyError, match="%999"):
        _ = r.values["%999"]


def test_a_replay_goes_to_lines_modules_names_and_prints_where_it_is(traced: Any) -> None:
    net, f, x = traced
    r = f.programs[0].replay()  # the arguments of the capture
    text = str(r.goto("layer1"))
    (out,) = r.node.outputs
    assert bits(r.values[str(out)]) == bits(net.layer1(x))
    assert (
        "'layer1'" in text
        and "self.layer1(x)" in text
        and "min" in text
        and r.node.prim.name in text
    )
    r.goto("doubled")
    assert bits(r.values[out := str(r.node.outputs[0])]) == bits(net.layer1(x) * 2), out
    r.goto(line_of("self.layer2(h)"))
    assert r.node.where.line == int(line_of("self.layer2(h)").rpartition(":")[2])
    assert r.goto(0).position == 0 and r.goto(-1).position == len(r.graph.nodes)
    for bad in (1000, "%999"):
        with pytest.raises(dg.ArgumentError):
            r.goto(bad)


def test_a_replay_takes_such_arguments_as_the_capture_did(traced: Any) -> None:
    _, f, _ = traced
    with pytest.raises(dg.ArgumentError, match=r"leaf 0 is f32\[6,3\], not f32\[5,3\]"):
        f.programs[0].replay(dg.randn(6, 3))
    with pytest.raises(dg.ArgumentError, match="structure"):
        f.programs[0].replay(dg.randn(5, 3), 2)


def test_a_program_of_all_sizes_is_tapped_and_replayed_at_the_sizes_of_the_call() -> None:
    net = Net()

    def fn(x: Any) -> Any:
        last, _ = dg.scan(lambda c, v: (dg.tap_point(c / 2 + v, "inside"), c), x[0] * 0, x)
        return net(x).mean(0), last

    f = dg.compile(fn, wait=True)
    for n in (4, 6, 9):
        f(dg.randn(n, 3))
    program = f.programs[1]
    with program.tap("doubled") as doubled, program.tap("inside", keep=3) as inside:
        for n in (7, 9, 1, 20, 7):
            x = dg.randn(n, 3)
            assert bits(f(x)[0]) == bits(net(x).mean(0))
            assert bits(doubled.value) == bits(net.layer1(x) * 2)
            assert len(inside.turns) == n and inside.value.tolist() == fn(x)[1].tolist()
        assert [len(v) for v in doubled.values] == [7, 9, 1, 20, 7] and len(inside.values) == 3
    f(x)
    assert len(doubled.values) == 5 and len(f.programs) == 2
    replay = program.replay(x)
    assert bits(replay.goto("doubled").values[str(replay.node.outputs[0])]) == bits(doubled.value)
    assert bits(replay.run().outputs[0]) == bits(net(x).mean(0))

    with pytest.raises(dg.ArgumentError, match=r"s0=0\): it was captured where "):
        program.replay(dg.ones(0, 3))


def test_summaries_count_what_is_not_finite() -> None:
    f = dg.compile(lambda x: dg.log(x) * 2, wait=True)
    f(dg.ones(6))
    text = str(f.programs[0].replay(dg.asarray([1.0, 0.0, -1.0, 2.0, 3.0, 4.0])).step())
    assert "1 NaN, 1 infinite" in text and "max 1.38629" in text


def test_a_tapped_program_still_does_what_it_does_at_the_end_of_each_call() -> None:
    known: list[float] = []

    def step(x: Any) -> Any:
        y = dg.tap_point(x * 2, "twice")
        known.append(y.sum().item())
        return y + 1

    f = dg.compile(step, wait=True)
    for _ in range(5):
        f(dg.ones(2))
    with f.programs[0].tap("twice") as t:
        assert f(dg.ones(2) * 3).tolist() == [7.0, 7.0]
        assert t.value.tolist() == [6.0, 6.0]
    assert known == [4.0] * 5 + [12.0], f.explain()


def test_a_program_of_all_numbers_is_replayed_with_those_of_the_capture() -> None:
    f = dg.compile(lambda x, k: x[:k].sum(0), wait=True)
    x = dg.randn(9, 3)
    for k in (4, 6, 5, 7):
        f(x, k)
    (program,) = (p for p in f.programs if isinstance(p, Template))
    assert bits(program.replay().run().outputs[0]) in [bits(x[:k].sum(0)) for k in (4, 6, 5, 7)]

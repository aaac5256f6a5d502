"""Saved programs: what comes back is the function, with its bits, its state and its test vectors."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim

Point = namedtuple("Point", "x y")


@dataclass
class Pair:
    first: Any
    second: Any


def bits(x: Any) -> bytes:
    return bytes(x.detach().numpy().tobytes())


def saved(fn: Any, path: Path, *args: Any, **kwargs: Any) -> Any:
    """`fn` compiled, called, saved, and loaded."""
    compiled = dg.compile(fn, wait=True)
    compiled(*args, **kwargs)
    dg.save(compiled, path / "f.dg")
    return dg.load(path / "f.dg")


def test_inference_of_a_module_has_the_bits_of_the_original(tmp_path: Path) -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(48, 8), nn.GELU(), nn.LayerNorm(8), nn.Softmax(1),
    ).eval()  # fmt: skip
    x = dg.randn(2, 2, 8, 8)
    back = saved(net, tmp_path, x)
    y = dg.randn(2, 2, 8, 8)
    assert bits(back(y)) == bits(net(y))
    assert back.verify() and len(back.vectors) == 1
    assert set(net.state_dict()) >= set(back.state) and "0.weight" in back.state
    assert isinstance(str(back.graph), str) and back.assumptions


def test_trees_numbers_and_keywords_come_and_go_as_they_did(tmp_path: Path) -> None:
    def f(a: Any, scale: float, *, opts: dict[str, Any]) -> Any:
        y = a["x"] * scale + opts["b"][0]
        return {
            "y": y,
            "again": y,
            "in": a["x"],
            "view": a["x"].T,
            "n": 3,
            "none": None,
            "t": (y.sum(), [scale]),
        }

    x, b = dg.randn(2, 3), dg.randn(3)
    back = saved(f, tmp_path, {"x": x}, 2.5, opts={"b": [b]})
    out, wanted = back({"x": x}, 2.5, opts={"b": [b]}), f({"x": x}, 2.5, opts={"b": [b]})
    assert bits(out["y"]) == bits(wanted["y"]) and out["again"] is out["y"] and out["in"] is x
    assert out["view"].shape == (3, 2) and np.shares_memory(out["view"].numpy(), x.numpy())
    assert (out["n"], out["none"], out["t"][1]) == (3, None, [2.5]) and type(out["t"]) is tuple
    for problem, call in {
        "captured with 2.5": lambda: back({"x": x}, 3.0, opts={"b": [b]}),
        "structure": lambda: back({"z": x}, 2.5, opts={"b": [b]}),
        r"is f32\[3,2\], the program takes f32\[2,3\]": lambda: back(
            {"x": x.T}, 2.5, opts={"b": [b]}
        ),
        "not a tensor": lambda: back({"x": 1}, 2.5, opts={"b": [b]}),
    }.items():
        with pytest.raises(dg.ArgumentError, match=problem):
            call()


def test_records_come_back_with_their_fields(tmp_path: Path) -> None:
    back = saved(lambda p: Pair(p.x + p.y, Point(p.x, 1)), tmp_path, Point(dg.ones(2), dg.ones(2)))
    out = back(Point(dg.ones(2), dg.ones(2)))
    assert out.first.tolist() == [2, 2] and out.second.y == 1 and "Pair(" in repr(out)
    with pytest.raises(AttributeError, match="third"):
        _ = out.third


def test_a_training_step_goes_on_where_it_was(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 2))
    opt = optim.Adam(net.parameters(), lr=0.05)

    @dg.compile(wait=True)
    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    x, y = dg.randn(6, 3), dg.randn(6, 2)
    for _ in range(3):
        step(x, y)
    dg.save(step, tmp_path / "f.dg")
    back = dg.load(tmp_path / "f.dg")
    assert back.numbers == {"lr": 0.05}
    before = {k: bits(v) for k, v in back.state.items()}
    assert back.verify() and before == {k: bits(v) for k, v in back.state.items()}
    for _ in range(3):
        assert bits(step(x, y)) == bits(back(x, y))
    for name, value in net.state_dict().items():
        assert bits(value) == bits(back.state[f"net.{name}"])
    assert before["net.0.weight"] != bits(back.state["net.0.weight"])
    assert back.verify(), "the vectors start from the state in the file"
    dg.save(back, tmp_path / "g.dg")
    again = dg.load(tmp_path / "g.dg")
    assert bits(again(x, y)) == bits(step(x, y))


def test_gradients_flow_through_a_loaded_program(tmp_path: Path) -> None:
    w = dg.randn(3, 2, requires_grad=True)
    f = lambda x: (x @ w).tanh().sum()  # noqa: E731
    x = dg.randn(4, 3, requires_grad=True)
    back = saved(f, tmp_path, x)
    back(x).backward()
    found, x.grad = (x.grad, back.state["w"].grad), None
    f(x).backward()
    assert bits(found[0]) == bits(x.grad) and bits(found[1]) == bits(w.grad)
    plain = saved(f, tmp_path, dg.randn(4, 3))
    with pytest.raises(dg.ArgumentError, match="captured without"):
        plain(x)
    with dg.no_grad():
        plain(x)


def test_arguments_written_in_place_are_written(tmp_path: Path) -> None:
    def f(total: Any, x: Any) -> Any:
        total += x
        return total.mean()

    back = saved(f, tmp_path, dg.zeros(3), dg.ones(3))
    total = dg.zeros(3)
    back(total, dg.ones(3))
    back(total, dg.ones(3))
    assert total.tolist() == [2, 2, 2] and back.verify()


def test_another_path_is_an_error_and_several_paths_go_into_one_file(tmp_path: Path) -> None:
    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        return x.sqrt() if x.sum() > 0 else -x

    f(dg.ones(2))
    dg.save(f, tmp_path / "one.dg")
    one = dg.load(tmp_path / "one.dg")
    with pytest.raises(dg.ArgumentError, match="taken out of a tensor differs"):
        one(-dg.ones(2))
    f(-dg.ones(2))
    f(dg.ones(3))
    dg.save(f, tmp_path / "all.dg")
    back = dg.load(tmp_path / "all.dg")
    assert len(back.programs) == 3 and back.verify()
    assert back(-dg.ones(2)).tolist() == [1, 1] and back(dg.ones(3)).tolist() == [1, 1, 1]


def test_a_program_of_another_path_writes_nothing(tmp_path: Path) -> None:
    counter = dg.zeros(3)

    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        y = x * 2 if x.sum() > 0 else x - 1
        counter.add_(1)
        return y + counter + dg.rand(3)

    for sign in (1, -1, 1):
        f(dg.ones(3) * sign)
    dg.save(f, tmp_path / "f.dg")
    back = dg.load(tmp_path / "f.dg")
    for sign in (1, -1, 1, -1, -1):
        assert back(dg.ones(3) * sign).tolist() == f(dg.ones(3) * sign).tolist()


def test_control_flow_random_numbers_arrays_and_constants(tmp_path: Path) -> None:
    table = np.arange(40.0, dtype=np.float32)

    def f(x: Any, a: Any) -> Any:
        last, ys = dg.scan(lambda c, v: (c + v, c * v), dg.zeros(3), x)
        noise = dg.rand(3)
        return (
            last + noise,
            dg.cond(last.sum() > 0, lambda v: v * 2, lambda v: -v, ys),
            dg.asarray(a) + table,
        )

    x, a = dg.randn(4, 3), np.ones(40, np.float32)
    dg.manual_seed(3)
    back = saved(f, tmp_path, x, a)
    state = back.state["the_default_generator.state"]
    dg.default_generator.state.copy_(state)
    assert [bits(v) for v in back(x, a)] == [bits(v) for v in f(x, a)]
    assert back.verify()


def test_numbers_in_the_result_are_those_of_the_call(tmp_path: Path) -> None:
    back = saved(lambda x: (x.sum().item(), int(x[0]), x * 2), tmp_path, dg.ones(3))
    out = back(dg.asarray([4.0, 5.0, 6.0]))
    assert out[:2] == (15.0, 4) and out[2].tolist() == [8, 10, 12]


def test_a_graph_is_saved_and_called(tmp_path: Path) -> None:
    big = dg.randn(50)
    g = dg.capture(lambda x: (x + big, x.sum()), dg.ones(50))
    dg.save(g, tmp_path / "g.dg", vectors=[(dg.randn(50), dg.randn(50))])
    back = dg.load(tmp_path / "g.dg")
    x = dg.randn(50)
    assert [bits(v) for v in back(x, big)] == [bits(v) for v in g.run(x, big)]
    assert len(back.vectors) == 1 and back.verify()


def test_vectors_are_recorded_and_differences_named(tmp_path: Path) -> None:
    f = dg.compile(lambda x: x.exp(), wait=True)
    f(dg.ones(3))
    dg.save(f, tmp_path / "f.dg", vectors=[(dg.randn(3),), dg.zeros(3)])
    back = dg.load(tmp_path / "f.dg")
    assert len(back.vectors) == 3 and "all bits as recorded" in str(back.verify())
    vector = back.vectors[1]
    back.vectors[1] = vector._replace(outputs=(np.nextafter(vector.outputs[0], np.float32(9)),))
    report = back.verify()
    assert (
        not report and report.max_ulp == 1 and "vector 1: output 0 is off by 1 ulp" in str(report)
    )
    with pytest.raises(dg.ArgumentError, match="vector 0"):
        dg.save(f, tmp_path / "f.dg", vectors=[dg.zeros(4)])
    with pytest.raises(dg.ArgumentError, match="only programs"):
        dg.save({"a": dg.ones(2)}, tmp_path / "f.dg", vectors=[dg.zeros(4)])


def test_programs_of_any_number_and_size_are_saved_as_one(tmp_path: Path) -> None:
    held = {"rate": 0.5}
    fn = dg.compile(lambda x, lr: (x * lr + held["rate"]).sum(1) / x.shape[0], wait=True)
    for n in (4, 5, 6):
        held["rate"] = n / 4
        fn(dg.ones(n, 3), n * 0.1)
    assert fn.programs[-1].promoted.sources and len(fn.programs) == 2
    path = tmp_path / "program.dg"
    for saved_one in (fn, fn.programs[-1]):
        held["rate"] = 5 / 4
        dg.save(saved_one, path)
        again = dg.load(path)
        assert again.verify() and len(again.vectors) == len(again.programs)
        for n, rate, lr in ((5, 5 / 4, 0.5), (5, 0.75, -2.5), (7, 0.5, 0.3), (1, 0.5, 0.3)):
            held["rate"], again.numbers["held['rate']"] = rate, rate
            assert bits(again(dg.ones(n, 3), lr)) == bits(fn(dg.ones(n, 3), lr))
        with pytest.raises(dg.ArgumentError, match=r"leaf 1 is 2, the program takes any float"):
            again(dg.ones(5, 3), 2)
        assert any(a.name == "lr" and a.value == "any float" for a in again.assumptions)


def test_a_number_that_no_file_can_say_more_of_stays_that_of_the_capture(tmp_path: Path) -> None:
    fn = dg.compile(lambda x, lr: x * float(np.sqrt(lr)), wait=True)  # of NumPy's kind on the way
    for lr in (0.5, 0.25, 2.0):
        fn(dg.ones(3), lr)
    assert fn.programs[-1].promoted.free
    dg.save(fn.programs[-1], tmp_path / "f.dg")
    again = dg.load(tmp_path / "f.dg")
    first = fn.programs[-1].promoted.values[0]
    assert again.verify() and bits(again(dg.ones(3), first)) == bits(fn(dg.ones(3), first))
    with pytest.raises(dg.ArgumentError, match="was captured with"):
        again(dg.ones(3), 0.7)


def test_a_program_of_all_sizes_is_saved_as_one(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))

    def f(x: Any, y: Any) -> Any:
        near = dg.softmax(x @ y.T, axis=-1) @ y
        return net(near), x[1:], x.shape[0] * 2, near.sum(0) / y.shape[0], x.reshape(-1).T

    fn, path = dg.compile(f, wait=True), tmp_path / "f.dg"
    for n, m in ((4, 2), (5, 7)):
        fn(dg.ones(n, 3), dg.ones(m, 3))
    dg.save(fn, path)
    for _ in range(2):  # what was loaded is saved again
        again = dg.load(path)
        assert again.verify() and len(again.programs) == len(fn.programs) == 2
        for n, m in ((9, 1), (1, 6), (40, 65), (5, 7), (4, 2)):
            x, y = dg.randn(n, 3), dg.randn(m, 3)
            for a, b in zip(again(x, y), f(x, y), strict=True):
                assert a == b if isinstance(a, int) else bits(a) == bits(b)
        with pytest.raises(dg.ArgumentError, match=r"s1=0\): it was captured where s1 [!>]"):
            again(dg.ones(3, 3), dg.ones(0, 3))
        with pytest.raises(dg.ArgumentError, match=r"leaf 1 is f32\[9,4\], .* takes f32\[9,3\]"):
            again(dg.ones(3, 3), dg.ones(9, 4))
        dg.save(again, path)
    small = dg.load(path, limit="1MB")
    assert small(dg.ones(4, 3), dg.ones(9, 3))
    with pytest.raises(dg.GraphError, match=r"more than the .* allowed"):
        small(dg.ones(100_000, 3), dg.ones(100_000, 3))


def test_training_from_a_file_goes_on_with_batches_of_any_size(tmp_path: Path) -> None:
    def made() -> Any:
        dg.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.2), nn.Linear(4, 2))
        opt = optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            opt.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            opt.step()
            return loss

        return step

    def batch(n: int) -> Any:
        return dg.ones(n, 3) * dg.arange(n)[:, None], dg.arange(n) % 2

    fn, eager = dg.compile(made(), wait=True), made()
    losses = [bits(fn(*batch(n))) for n in (4, 4, 6)]
    dg.save(fn, tmp_path / "f.dg")
    again = dg.load(tmp_path / "f.dg")
    losses += [bits(again(*batch(n))) for n in (5, 9, 1, 20)]
    dg.manual_seed(0)
    eager = made()
    assert losses == [bits(eager(*batch(n))) for n in (4, 4, 6, 5, 9, 1, 20)]


def test_what_cannot_be_saved_says_why(tmp_path: Path) -> None:
    f = dg.compile(lambda m, x: m(x), wait=True)
    with pytest.raises(dg.CaptureError, match="not called yet"):
        dg.save(f, tmp_path / "f.dg")
    f(nn.Linear(2, 2), dg.ones(1, 2))
    with pytest.raises(dg.CaptureError, match="argument leaf 0 is a Linear"):
        dg.save(f, tmp_path / "f.dg")
    chatty = dg.compile(lambda x: print(x.sum().item()), wait=True)
    chatty(dg.ones(2))
    with pytest.raises(dg.CaptureError, match="print"):
        dg.save(chatty, tmp_path / "f.dg")
    assert not list(tmp_path.iterdir())


def test_a_file_runs_in_a_process_without_the_users_code(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    x = dg.randn(4, 3)
    dg.save((f := dg.compile(net, wait=True))(x) is None or f, tmp_path / "f.dg")
    dg.save({"x": x, "y": net(x)}, tmp_path / "xy")
    code = (
        f"import dualgraph as dg\ng = dg.load({str(tmp_path / 'f.dg')!r})\n"
        f"t = dg.load({str(tmp_path / 'xy')!r})\n"
        "assert g.verify().max_ulp <= ULP and abs(g(t['x']) - t['y']).max() < 1e-5\n"
    )
    for native, ulp in (("1", "0"), ("0", "16")):
        env = {"DUALGRAPH_NATIVE": native, "PYTHONPATH": str(Path(dg.__file__).parents[1])}
        subprocess.run([sys.executable, "-c", code.replace("ULP", ulp)], check=True, env=env)

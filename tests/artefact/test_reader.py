"""The reader that needs NumPy alone: a copy of it runs saved programs, close to the originals."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import container, nn, optim
from dualgraph.artefact.portable_ops import RULES
from dualgraph.core.dtypes import from_numpy
from dualgraph.core.prim import REGISTRY, lookup
from dualgraph.core.types import TensorType
from dualgraph.ops import elementwise, real_float
from dualgraph.static.graph import GraphBuilder

SOURCE = Path(dg.__file__).with_name("reader.py")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of the file, imported on its own."""
    copy = shutil.copy(SOURCE, tmp_path_factory.mktemp("copied") / "their_reader.py")
    spec = importlib.util.spec_from_file_location("their_reader", copy)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def close(a: Any, b: Any, rtol: float = 2e-5) -> bool:
    a, b = (np.asarray(v) for v in (a, b))
    scale = np.max(np.abs(b[np.isfinite(b)]), initial=1.0)
    return a.shape == b.shape and np.allclose(a, b, rtol=rtol, atol=rtol * scale, equal_nan=True)


def off(found: list[Any]) -> float:
    """The largest difference, relative to the largest value of its output."""
    return max(d / max(size, 1e-3) for *_, d, size in found)


def test_it_needs_numpy_alone() -> None:
    tree = ast.parse(SOURCE.read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert {n.partition(".")[0] for n in names} - sys.stdlib_module_names == {"numpy"}
    called = {
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not called & {"eval", "exec", "compile", "__import__"}


def single_op(prim: Any, arrays: Any, params: dict[str, Any]) -> Any:
    builder = GraphBuilder()
    inputs = [builder.input(TensorType(from_numpy(a.dtype), a.shape)) for a in arrays]
    return builder.build(builder.add(prim, tuple(inputs), params))


def samples() -> list[Any]:
    lookup("cast")
    rng = np.random.default_rng(0)
    out = []
    for prim in REGISTRY.values():
        if prim.kind.name == "elementwise" and prim.sample_rule is None:
            low, high = prim.details["domain"]
            count = prim.kernel.__code__.co_argcount - 1
            floats = tuple(rng.uniform(low, high, (3, 4)).astype("f4") for _ in range(count))
            whole = tuple(
                rng.integers(max(int(low), -9), max(int(high), 2), (7,)) for _ in range(count)
            )
            out += [(prim, floats, {}), (prim, whole, {}), (prim, tuple(a > 0 for a in floats), {})]
        elif prim.sample_rule is not None:
            out += [(prim, *s) for s in prim.sample_rule(rng)]
    return out


def fits(prim: Any, arrays: Any) -> bool:
    """Whether the op takes operands of these dtypes as they are, without casts before it."""
    if prim.kind.name != "elementwise" or "dtype" in prim.details.get("params", ()):
        return True
    dtypes = tuple(from_numpy(a.dtype) for a in arrays)
    try:
        return bool(prim.kind.resolve(prim, dtypes)[0] == dtypes)
    except dg.DTypeError:
        return False


def test_it_runs_every_op(reader: Any, tmp_path: Path) -> None:
    ran = set()
    for prim, given, params in samples():
        arrays = [np.asarray(a) for a in given]
        if not fits(prim, arrays):
            continue
        graph = single_op(prim, arrays, params)
        dg.save(graph, tmp_path / "op.dg")
        program = reader.load(tmp_path / "op.dg")
        found = program(*arrays)
        for a, b in zip(found, graph.run(*arrays), strict=True):
            wanted = b.float().numpy() if b.dtype is dg.bfloat16 else b.numpy()
            assert a.dtype == wanted.dtype and close(a, wanted), (prim.name, params, a, wanted)
        ran.add(prim.name)
    whole = {p for p in REGISTRY.values() if p.kind.name not in ("region", "control")}
    assert ran >= {p.name for p in whole if p.__module__.startswith("dualgraph.ops")}
    assert all(map(lookup, RULES))  # else it raises


@elementwise(dtype=real_float, domain=(-3.0, 3.0))
def bell_or_slope(s, x):
    """An op that the reader has no function for."""
    return s.select((x > 0) & ~s.isinf(x), 1.0 / (x * x + 1.0), s.tan(x))


def test_it_runs_elementwise_ops_of_others(reader: Any, tmp_path: Path) -> None:
    x = np.linspace(-1, 3, 9, dtype="f4")
    dg.save(single_op(bell_or_slope, [x], {}), tmp_path / "op.dg")
    (found,) = reader.load(tmp_path / "op.dg")(x)
    assert close(found, bell_or_slope(dg.asarray(x)).numpy())


NETS = {
    "convolutions": lambda: (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2),
            nn.ConvTranspose2d(4, 2, 2, stride=2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3), nn.Softmax(1),
        ).eval(),
        (2, 2, 8, 8),
    ),
    "transformer": lambda: (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), (2, 5, 8)),
    "recurrent": lambda: (nn.LSTM(3, 4, batch_first=True), (2, 6, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_it_runs_modules(reader: Any, tmp_path: Path, name: str) -> None:
    net, shape = NETS[name]()
    infer = dg.compile(net, wait=True)
    with dg.no_grad():
        infer(dg.randn(*shape))
        dg.save(infer, tmp_path / "f.dg")
        program = reader.load(tmp_path / "f.dg")
        x = dg.randn(*shape)
        a, b = program(x.numpy()), net(x)
    while isinstance(b, tuple):
        a, b = a[0], b[0]
    assert close(a, b.detach().numpy()) and off(program.verify()) < 1e-4


def test_it_runs_a_training_step_and_updates_its_state(reader: Any, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 1))
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    @dg.compile(wait=True)
    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        opt.step()
        return {"loss": loss}

    x, y = dg.randn(6, 3), dg.randn(6, 1)
    for _ in range(3):
        step(x, y)
    dg.save(step, tmp_path / "f.dg")
    program = reader.load(tmp_path / "f.dg")
    for _ in range(3):
        assert close(
            program(x.numpy(), y.numpy())["loss"], step(x, y)["loss"].detach().numpy(), 1e-4
        )
    assert close(program.state["net.0.weight"], net[0].weight.detach().numpy(), 1e-4)
    assert close(program.gradients["net.0.weight"], net[0].weight.grad.numpy(), 1e-4)


def test_vectors_run_from_what_is_in_the_file_whatever_was_called(
    reader: Any, tmp_path: Path
) -> None:
    w = dg.ones(3, requires_grad=True)

    @dg.compile(wait=True)
    def accumulate(x: Any) -> Any:
        (w * x).sum().backward()

    for _ in range(3):
        accumulate(dg.ones(3))
    dg.save(accumulate, tmp_path / "f.dg")
    program = reader.load(tmp_path / "f.dg")
    program(np.ones(3, np.float32))
    assert program.gradients["w"].tolist() == [4, 4, 4] and off(program.verify()) == 0
    assert program.gradients["w"].tolist() == [4, 4, 4]


def test_it_takes_trees_narrow_floats_and_paths(reader: Any, tmp_path: Path) -> None:
    table = dg.randn(30).bfloat16()

    @dg.compile(wait=True)
    def f(d: Any, k: int = 2) -> Any:
        y = d["x"].bfloat16() * table + k
        if y.sum() > 0:
            y = y.exp()
        return [
            y,
            {"item": d["x"].sum().item(), "view": d["x"].reshape(5, 6), "n": k, "none": None},
            (2j, slice(1, None), -float("inf"), "é\n", True),
        ]

    x = dg.randn(30)
    f({"x": x}, k=3)
    dg.save(f, tmp_path / "f.dg")
    program = reader.load(tmp_path / "f.dg")
    y, rest, values = program({"x": x.numpy()}, k=3)
    assert values == (2j, slice(1, None), -float("inf"), "é\n", True)
    wanted = f({"x": x}, k=3)[0]
    assert close(y, wanted.float().numpy(), 1e-2)
    assert rest["view"].shape == (5, 6) and rest["n"] == 3 and rest["none"] is None
    assert abs(rest["item"] - x.sum().item()) < 1e-4
    with pytest.raises(ValueError, match="leaf 1 is not 3"):
        program({"x": x.numpy()}, k=4)
    with pytest.raises(ValueError, match="structure"):
        program(x.numpy())


def test_it_runs_loops_and_gives_views_of_what_was_written(reader: Any, tmp_path: Path) -> None:
    state = dg.zeros(2, 3)

    @dg.compile(wait=True)
    def f(x: Any, z: Any) -> Any:
        def body(carry: Any, row: Any) -> Any:
            return carry * 0.5 + row, (carry.sum(), row > 0)

        last, (sums, signs) = dg.scan(body, x[0], x, reverse=True)
        n, y = dg.while_loop(lambda c: c[1].sum() < 40, lambda c: (c[0] + 1, c[1] * 2 + 1), (0, z))
        state.add_(x[:2])
        return last, sums, signs, n, dg.cond(n > 1, lambda v: v + 1, lambda v: v * 2, y), state[1]

    x, z = dg.randn(4, 3), dg.ones(3)
    f(x, z)
    dg.save(f, tmp_path / "f.dg")
    program = reader.load(tmp_path / "f.dg")
    assert off(program.verify()) < 1e-6
    for a, b in zip(program(x.numpy(), z.numpy()), f(x, z), strict=True):
        assert close(a, b.numpy())


def test_damage_is_noticed_and_the_command_line_reports(reader: Any, tmp_path: Path) -> None:
    f = dg.compile(lambda x: x * 2, wait=True)
    f(dg.ones(3))
    dg.save(f, tmp_path / "f.dg")
    whole = (tmp_path / "f.dg").read_bytes()
    told = subprocess.run(
        [sys.executable, reader.__file__, tmp_path / "f.dg"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "output 0: off by 0 of values up to 2" in told.stdout
    rng = np.random.default_rng(0)
    for end in (0, 5, 100, len(whole) - 1):
        (tmp_path / "g.dg").write_bytes(whole[:end])
        with pytest.raises(ValueError):
            reader.load(tmp_path / "g.dg")
    for at in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.integers(8)
        (tmp_path / "g.dg").write_bytes(bytes(damaged))
        try:
            reader.load(tmp_path / "g.dg")
        except ValueError:
            continue
        assert json.loads(damaged[8:].partition(b" ")[0].rpartition(b"}")[0] + b"}"), "padding"


HEADERS: dict[str, Any] = {
    "no entry": lambda h, name: h[name].pop("dtype"),
    "a dtype that is none": lambda h, name: h[name].update(dtype="F999"),
    "no shape": lambda h, name: h[name].update(shape=None),
    "text for offsets": lambda h, name: h[name].update(data_offsets=["a", "b"]),
    "a record that is none": lambda h, name: h["__metadata__"].update({"dualgraph.program": "[1]"}),
    "deep brackets": lambda h, name: h["__metadata__"].update(
        {"dualgraph.program": "[" * 100_000 + "]" * 100_000}
    ),
    "deep operands": lambda h, name: h["__metadata__"].update(
        {"dualgraph.graph.0": "(" * 50_000, "dualgraph.calls.0": "[" * 50_000}
    ),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_file_that_was_sealed_again_is_still_named_damaged(
    reader: Any, tmp_path: Path, change: Any
) -> None:
    f = dg.compile(nn.Linear(3, 2), wait=True)
    f(dg.ones(1, 3))
    dg.save(f, tmp_path / "f.dg")
    content = (tmp_path / "f.dg").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    change(header, next(k for k in header if k != "__metadata__"))
    header["__metadata__"].pop("dualgraph.crc32")
    seal = zlib.crc32(data, zlib.crc32(json.dumps(header, sort_keys=True).encode()))
    header["__metadata__"]["dualgraph.crc32"] = f"{seal:08x}"
    text = json.dumps(header).encode()
    (tmp_path / "x.dg").write_bytes(len(text).to_bytes(8, "little") + text + data)
    with pytest.raises(ValueError):
        reader.load(tmp_path / "x.dg")
    with pytest.raises(dg.FileFormatError):
        dg.load(tmp_path / "x.dg")


def rates(x: Any, lr: float, k: int = 2) -> Any:
    scale = math.sqrt(abs(lr)) * HELD["rate"] - 0.25
    if k > 3:
        scale = -scale
    return (x * scale + k // 2).tanh(), lr * 2, (k + 1) ** 2


HELD = {"rate": 0.5}


def saved_rates(path: Path) -> Any:
    fn = dg.compile(rates, wait=True)
    for i, (lr, k) in enumerate(((0.1, 2), (0.2, 3), (0.4, 1), (0.8, 2))):
        HELD["rate"] = 0.5 + i
        fn(dg.ones(3), lr, k)
    dg.save(fn, path)
    assert len(fn.programs) == 1
    return fn


def test_numbers_that_change_are_worked_out(reader: Any, tmp_path: Path) -> None:
    fn = saved_rates(tmp_path / "f.dg")
    vector = dg.randn(3), 1.5, 2
    dg.save(dg.load(tmp_path / "f.dg"), tmp_path / "again.dg", vectors=[vector])
    for name in ("f.dg", "again.dg"):
        plain, loaded = reader.load(tmp_path / name), dg.load(tmp_path / name)
        assert loaded.verify() and off(plain.verify()) < 1e-6
        (place,) = plain.numbers
        for lr, k, rate in ((0.3, 2, 3.5), (1.7, 3, -0.5), (0.9, 0, 2.0), (-2.0, 1, 2.0)):
            HELD["rate"] = plain.numbers[place] = loaded.numbers[place] = rate
            x = dg.randn(3)
            wanted, got, read = fn(x, lr, k), loaded(x, lr, k), plain(x.numpy(), lr, k)
            assert got[0].tolist() == wanted[0].tolist() and close(read[0], wanted[0].numpy())
            assert got[1:] == read[1:] == wanted[1:]
        for lr, k, why in ((0.3, 5, "k > 3 is not False"), (1, 2, "float"), (0.3, 2.0, "int")):
            with pytest.raises(ValueError, match=why):
                plain(np.ones(3, np.float32), lr, k)
            with pytest.raises(dg.ArgumentError, match=why):
                loaded(dg.ones(3), lr, k)


@pytest.mark.parametrize(
    "calls",
    [
        [["open", ["x"], {}, ["%t"]]],
        [["zeros", [9], {}, ["%t"]]],
        [["math.factorial", ["%a1"], {}, ["%t"]]],
        [["operator.attrgetter", ["%a1"], {}, ["%t"]]],
        [["operator.add", ["%b0", 1], {}, ["%t"]]],
        [["operator.mul", ["a", 9], {}, ["%t"]]],
        [["operator.mul", [[1], 9], {}, ["%t"]]],
        [["operator.add", ["%a0", 1], {"out": 1}, ["%t"]]],
        [["expect", ["%a0", "%a1", "k"], {}, ["%t"]]],
        [["bool", ["%a0"], {}, [["%t"]]]],
        [["bool", ["%a0"], {}, ["%t", "%u"]]],
        ["bool"],
        [[["bool"], "%a0"]],
        7,
    ],
    ids=str,
)
def test_hostile_numbers_are_refused(reader: Any, tmp_path: Path, calls: Any) -> None:
    path = tmp_path / "f.dg"
    saved_rates(path)
    change_numbers(path, calls=calls, gives=["%a0"])
    with pytest.raises(dg.FileFormatError, match="damaged"):
        dg.load(path)
    with pytest.raises(ValueError):
        reader.load(path)(np.ones(3, np.float32), 0.5, 2)


@pytest.mark.parametrize(
    ("function", "operands"),
    [
        ("operator.pow", [9, 387420489]),
        ("operator.lshift", [1, 10**9]),
        ("operator.mul", [2**4000, 2**4000]),
        ("operator.truediv", ["%a0", 0]),
        ("math.sqrt", [-1, 2]),
    ],
)
def test_numbers_that_get_out_of_hand_are_an_error(
    reader: Any, tmp_path: Path, function: str, operands: list[Any]
) -> None:
    path, problem = tmp_path / "f.dg", "too large|more than|division by zero|exactly one argument"
    saved_rates(path)
    change_numbers(path, calls=[[function, operands, {}, ["%t"]]], gives=["%a0", 1, 2, "%t"])
    with pytest.raises(dg.ArgumentError, match=problem):
        dg.load(path)(dg.ones(3), 0.5, 2)
    with pytest.raises(ValueError, match=problem):
        reader.load(path)(np.ones(3, np.float32), 0.5, 2)


def test_numbers_as_text_of_earlier_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.dg"
    saved_rates(path)
    new = dg.load(path)
    steps = [["t0", "math.sqrt(abs(a0)) * a2 - 0.25"], [None, "a1 > 3", "False", "k > 3"],
             ["t1", "(a1 + 1) ** 2"], [None, "kind(t1)", "'int'", "(k + 1) ** 2"],
             ["t2", "a1 // 2"], ["t3", "a0 * 2"]]  # fmt: skip
    change_numbers(path, version=1, calls=None, steps=steps, gives=["t0", "t2", "t3", "t1"])
    old = dg.load(path)
    dg.save(old, tmp_path / "again.dg")
    x = dg.randn(3)
    for f in (old, dg.load(tmp_path / "again.dg")):
        assert f(x, 0.3, 2)[0].tolist() == new(x, 0.3, 2)[0].tolist()
        assert f(x, 0.3, 2)[1:] == new(x, 0.3, 2)[1:]
        with pytest.raises(dg.ArgumentError, match="k > 3 is not False"):
            f(x, 0.3, 5)
    change_numbers(path, steps=[["t0", "open('x')"]])
    with pytest.raises(dg.FileFormatError, match="damaged"):
        dg.load(path)


def change_numbers(path: Path, version: int = 3, **changes: Any) -> None:
    """Writes a file anew, with other numbers in its first program."""
    arrays, metadata = container.read(str(path))
    record = json.loads(metadata["dualgraph.program"])
    record["version"] = version
    record["programs"][0]["numbers"] |= changes
    metadata["dualgraph.program"] = json.dumps(record)
    container.write(str(path), arrays, metadata, sealed=True)


def test_what_goes_wrong_in_a_file_of_others_is_named(reader: Any, tmp_path: Path) -> None:
    path = tmp_path / "f.dg"
    f = dg.compile(lambda x: dg.linalg.svd(x)[1] * 2, wait=True)
    f(dg.eye(3))
    dg.save(f, path)
    arrays, metadata = container.read(str(path))
    name = next(n for n in arrays if n.endswith(".input.0"))
    broken = {**arrays, name: arrays[name]._replace(data=np.full((3, 3), np.nan, np.float32))}
    container.write(str(path), broken, metadata, sealed=True)
    with pytest.raises(dg.ArgumentError, match=r"vector 0.*did not converge"):
        dg.load(path).verify()
    calls = json.loads(metadata["dualgraph.calls.0"])
    for change in (["no_function", [], {}, ["%9"]], ["add", ["%77", 1], {}, ["%9"]], ["add", 1]):
        text = json.dumps({**calls, "calls": [change, *calls["calls"]]})
        metadata["dualgraph.calls.0"] = text
        container.write(str(path), arrays, metadata, sealed=True)
        with pytest.raises(ValueError, match="damaged"):
            reader.load(path).verify()

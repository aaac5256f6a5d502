"""Hot calls: native code takes calls that are like one before, and leaves all others to Python."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.backends.native import api
from dualgraph.core.process import spared
from dualgraph.jit import hot

pytestmark = pytest.mark.skipif(not api.available(), reason="there is no native code here")


class Box:
    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


def warm(fn: Any, *args: Any) -> Any:
    """`fn` compiled, and called until calls like this one are told natively."""
    compiled = dg.compile(fn, wait=True)
    for _ in range(4):
        compiled(*args)
    assert compiled._hot, compiled.explain()
    return compiled


def x(seed: int = 0) -> Any:
    return dg.tensor(np.random.default_rng(seed).standard_normal(4).astype(np.float32))


def same(a: Any, b: Any) -> bool:
    a, b = a.detach(), b.detach()
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def test_native_code_tells_calls_wherever_it_can_be_made() -> None:
    assert hot.Guard.installed, hot.Guard.problem


def test_why_calls_are_told_in_python_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("odd")

    dg.compile  # noqa: B018 - imported when first asked for, as nothing is below
    monkeypatch.setattr(spared, "SHOWN", False)
    monkeypatch.setattr(hot.Guard, "installed", False)
    monkeypatch.setattr(hot.Guard, "problem", None)
    monkeypatch.setattr(hot.importlib, "import_module", broken)
    f = dg.compile(lambda x: x + 1)
    assert "told in Python" not in f.explain()
    hot.install(object, None)
    assert "ZeroDivisionError('odd')" in f.explain()


def test_a_call_like_the_last_one_takes_no_python(monkeypatch):
    f = warm(lambda x: x * 2 + 1, x())
    # The slow way would fail
    monkeypatch.setattr(sys.modules["dualgraph.jit.compile"], "call_key", None)
    out = f(x(1))
    assert same(out, x(1) * 2 + 1)
    assert type(out) is dg.Tensor and not out.requires_grad and out.is_leaf
    assert f.programs[0].calls == 4


def test_results_are_new_each_time_and_nothing_leaks():
    f = warm(lambda x, y: x * y, x(), x(1))
    a, b = x(2), x(3)
    gc.collect()
    before = sys.getrefcount(a), sys.getrefcount(b._data), sys.getrefcount(a.dtype)
    kept = [f(a, b) for _ in range(50)]
    assert len({k.data_ptr() for k in kept}) == 50
    del kept
    gc.collect()
    assert (sys.getrefcount(a), sys.getrefcount(b._data), sys.getrefcount(a.dtype)) == before


def _stale() -> Any:
    base = dg.cat([x(), x()])
    view = base[2:6]
    base.mul_(x().repeat(2).requires_grad_())
    return view


OTHERS = {
    "another shape": lambda: x()[:3],
    "another number of axes": lambda: x().reshape(2, 2),
    "another dtype": lambda: x().double(),
    "a view that is no rows": lambda: dg.cat([x(), x()])[::2],
    "a view": lambda: dg.cat([x(), x()])[2:6],
    "a view of one that wants gradients": lambda: dg.cat([x(), x().requires_grad_()])[2:6],
    "a view whose base was written": lambda: _stale(),
    "one that wants gradients": lambda: x().requires_grad_(),
    "an array": lambda: x().numpy(),
    "a number": lambda: 3.0,
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_kind_of_argument_is_seen(other):
    def f(x):
        return dg.asarray(x) * 2 + 1

    compiled = warm(f, x())
    arg = OTHERS[other]()
    expected, out = f(arg), compiled(arg)
    assert same(out.detach(), expected.detach()) and out.requires_grad == expected.requires_grad
    assert same(compiled(x(5)), f(x(5)))


@pytest.mark.parametrize(
    ("first", "second"), [(2, 3), (2, 2.0), (0.0, -0.0), ("a", "b"), (True, 1), (None, 0)]
)
def test_another_python_value_is_seen(first, second):
    def f(x, value):
        return x * (
            2 if value is None else len(value) if value == "a" else 5 if value == "b" else value
        )

    compiled = warm(f, x(), first)
    for value in (second, first, second):
        assert same(compiled(x(), value), f(x(), value))


def test_one_tensor_twice_is_not_two_tensors():
    def f(a, b):
        a = a.clone()
        a += 1
        return a * b

    two = warm(f, x(), x(1))
    a = x(2)
    assert same(two(a, a), f(a, a)) and same(two(a, x(3)), f(a, x(3)))
    one = warm(f, a, a)
    assert same(one(x(4), x(5)), f(x(4), x(5)))


FACTOR = 2.0


def _global(value: float) -> None:
    global FACTOR
    FACTOR = value


def test_state_that_the_code_reads_is_checked():
    box = Box(number=2.0, items=[1.0, 2.0], table={"a": 1.0}, array=np.ones(3), weight=dg.ones(4))
    cell = 1.0

    def f(x):
        y = x * FACTOR * cell * box.number * box.items[1] * box.table["a"] + box.weight
        return y * float(len(box.items)) + float(len(box.table)) + dg.asarray(box.array).sum()

    compiled = warm(f, x())

    def change(what: Any) -> None:
        what()
        for seed in range(3):
            assert same(compiled(x(seed)), f(x(seed)))

    def set_cell() -> None:
        nonlocal cell
        cell = 3.0

    for what in (
        lambda: _global(7.0),
        set_cell,
        lambda: setattr(box, "number", 5.0),
        lambda: box.items.__setitem__(1, 9.0),
        lambda: box.items.append(1.0),
        lambda: box.table.__setitem__("a", 4.0),
        lambda: box.table.__setitem__("b", 4.0),
        lambda: box.array.__setitem__(1, 5.0),
        lambda: setattr(box, "array", np.full(2, 3.0)),
        lambda: box.weight.add_(1),
        lambda: setattr(box, "weight", dg.full((4,), 6.0)),
        lambda: setattr(box, "weight", dg.full((1,), 6.0)),
        lambda: _global(2.0),
    ):
        change(what)


def test_classes_and_functions_that_are_exchanged_are_seen():
    class Model:
        scale = 2.0

        def run(self, x):
            return helper(x) * self.scale

    def helper(x):
        return x + 1

    model = Model()

    def f(x):
        return model.run(x)

    compiled = warm(f, x())
    Model.scale = 3.0
    assert same(compiled(x()), f(x()))
    compiled(x())
    helper.__code__ = (lambda x: x - 1).__code__
    assert same(compiled(x()), f(x()))
    compiled(x())
    Model.run = lambda self, x: x * 10
    assert same(compiled(x()), f(x()))


def test_modes_of_the_thread_are_checked():
    w = dg.ones(4, requires_grad=True)

    def f(x):
        return x * w + dg.zeros(4)

    compiled = warm(f, x())
    with dg.no_grad():
        assert not compiled(x()).requires_grad
    assert compiled(x()).requires_grad
    dg.set_default_dtype(dg.float64)
    try:
        assert compiled(x()).dtype == f(x()).dtype == dg.float64
    finally:
        dg.set_default_dtype(dg.float32)
    assert same(dg.vmap(compiled)(dg.stack([x(), x(1)])), dg.vmap(f)(dg.stack([x(), x(1)])))
    assert str(dg.capture(lambda x: compiled(x) + 1, x())).count("add") == 2


def test_training_steps_stay_right_when_the_model_changes():
    def run(compile_: Any) -> list[bytes]:
        dg.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
        optimizer = dg.optim.Adam(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step = compile_(step)
        out = []
        for i in range(12):
            if i == 5:
                model.eval()
            if i == 7:
                optimizer.param_groups[0]["lr"] = 0.01
            if i == 8:
                model[0].weight.register_hook(lambda g: g * 2)
            if i == 10:
                model[0].weight.requires_grad_(False)
            n = 3 if i == 9 else 5
            data = dg.tensor(np.random.default_rng(i).standard_normal((n, 6)).astype(np.float32))
            out.append(step(data[:, :4].clone(), data[:, 4:].clone()).detach().numpy().tobytes())
            out += [p.detach().numpy().tobytes() for p in model.parameters()]
        return out

    assert run(lambda f: f) == run(lambda f: dg.compile(f, wait=True))


def test_an_error_in_a_check_and_in_the_call_are_the_users():
    f = warm(lambda x, i: dg.take(x, i), x(), dg.tensor([1, 2]))
    with pytest.raises(dg.BoundsError):
        f(x(), dg.tensor([1, 9]))
    assert same(f(x(), dg.tensor([0, 3])), dg.take(x(), dg.tensor([0, 3])))


def test_keywords_and_other_numbers_of_arguments():
    def f(x, factor=2.0):
        return x * factor

    compiled = warm(f, x())
    assert same(compiled(x(), factor=3.0), f(x(), 3.0)) and same(compiled(x=x()), f(x()))
    with pytest.raises(TypeError, match="argument"):
        compiled()


def test_what_does_not_pay_gets_its_keywords_and_errors():
    def fn(*args, **names):
        return args, names

    f = dg.compile(fn)
    f._hot = hot.straight(fn)
    assert f(1, b=2, a=[3]) == ((1,), {"b": 2, "a": [3]}) and f() == ((), {}) and f(k=None)[1]
    f._hot = hot.straight(lambda x, *, k: x + k)
    assert f("a", k="b") == f(x="a", k="b") == "ab"
    with pytest.raises(TypeError, match="missing"):
        f("a")


BOX = Box(lr=0.5)
PROMOTED = {
    "itself": (lambda x, a: x * a, [0.5, 0.25, 1e300, -0.0, 0.3]),
    "an int": (lambda x, n: x / (n + 1), [1, 2, 3, 10**400, -1, 1 << 70]),
    "a formula": (lambda x, a: x * (0.1 * a) if a < 1 else x - a, [0.5, 0.25, 0.75, 2.0, 0.1]),
    "a condition alone": (lambda x, a: x * 2 if a < 1 else x * 3, [0.5, 0.25, 0.75, 2.0, 0.1]),
    "two dtypes": (lambda x, a: x * a + (x.double() * a).float(), [0.5, 0.1, 0.3, 0.7]),
    "a place": (lambda x, a: x * BOX.lr, [0.5, 0.25, 0.75, 3, 0.1]),
}


@pytest.mark.parametrize("fn, numbers", PROMOTED.values(), ids=PROMOTED)
def test_promoted_numbers_take_no_python_of_the_engine(fn, numbers):
    f = dg.compile(fn, wait=True)
    of_place = "BOX" in fn.__code__.co_names

    def outcome(g, number):
        BOX.lr = number if of_place else 0.5
        try:
            return g(x(1), 1 if of_place else number).tolist()
        except Exception as problem:
            return repr(problem)

    for _ in range(4):
        for number in numbers[:3]:
            outcome(f, number)
    for _ in range(3):
        for number in numbers:
            assert outcome(f, number) == outcome(fn, number)
    for _ in range(20):
        outcome(f, numbers[1])
    assert sum(int(p.tally[0]) for p in f.programs) >= 15, f.explain()


def natively(f: Any, *args: Any) -> Any:
    """What a call gives that no Python of the engine sees."""
    before = int(f.programs[0].tally[0])
    out = f(*args)
    assert int(f.programs[0].tally[0]) == before + 1, f.explain()
    return out


def test_tensors_from_outside_are_read_natively() -> None:
    layer, box = nn.Linear(4, 4), Box(w=x(5).reshape(2, 2))
    fn = lambda a: (layer(a) @ layer.weight).tanh() + box.w.sum()  # noqa: E731
    with dg.no_grad():
        f = warm(fn, x())
        assert same(natively(f, x(1)), fn(x(1)))
        layer.weight.mul_(2)  # other values in the same memory
        assert same(natively(f, x(1)), fn(x(1)))
        layer.weight.data = x(7).reshape(4, 1) * dg.ones(4, 4)  # other memory
        assert same(natively(f, x(1)), fn(x(1)))
        layer.weight.data = layer.weight.data.t()  # that lies otherwise
        assert same(f(x(1)), fn(x(1)))
        layer.weight.data = dg.ones(4, 4)
        box.w = x(8)
        assert same(f(x(1)), fn(x(1)))
        with pytest.raises(dg.DualgraphError):
            layer.weight.data = dg.ones(3, 3)
            f(x(1))
    layer.weight.data = dg.ones(4, 4)
    assert f(x(1)).requires_grad


def test_several_results_come_as_a_tuple_without_python() -> None:
    fn = lambda a, b: (a + b, (a * b).exp(), a.sum(), b > 0)  # noqa: E731
    f = warm(fn, x(), x(1))
    out = natively(f, x(2), x(3))
    assert type(out) is tuple
    assert all(same(a, b) for a, b in zip(out, fn(x(2), x(3)), strict=True))
    kept = [natively(f, x(2), x(3)) for _ in range(20)]
    assert len({o._data.ctypes.data for outs in kept for o in outs}) == 80
    alone = f(x(2), x(3))
    counts = [sys.getrefcount(o._data) for o in (*kept[0], *alone)]
    assert counts == [2] * 8
    listed = warm(lambda a: [a + 1, a * 2], x())
    assert type(listed(x(1))) is list
    twice = warm(lambda a: (a.add(1),) * 2, x())
    first, second = twice(x(1))
    assert first is second


def test_a_check_that_fails_natively_is_the_error_of_eager_mode() -> None:
    table = dg.randn(5, 3)
    f = warm(lambda i: table[i] * 2, dg.tensor([0, 4]))
    right, wrong = dg.tensor([3, 1]), dg.tensor([3, 5])
    assert same(natively(f, right), table[right] * 2)
    for _ in range(3):
        with pytest.raises(dg.DualgraphError, match="5"):
            f(wrong)
        assert same(f(right), table[right] * 2)


def test_promoted_numbers_stand_after_several_results() -> None:
    fn = lambda a, n: (a * n, a + n * 0.5, a - 1)  # noqa: E731
    f = dg.compile(fn, wait=True)
    for i in range(60):
        out, n = f(x(i), i * 0.25), i * 0.25
        assert all(same(a, b) for a, b in zip(out, fn(x(i), n), strict=True))
    assert sum(int(p.tally[0]) for p in f.programs) >= 20, f.explain()


def test_threads_call_at_once():
    f = warm(lambda x, y: (x * y).exp() + 1, x(), x(1))
    expected = [(x(i) * x(i + 1)).exp() + 1 for i in range(8)]
    wrong: list[int] = []

    def work(i: int) -> None:
        a, b = x(i), x(i + 1)
        wrong.extend(i for _ in range(500) if not same(f(a, b), expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_larger_programs_run_natively_on_all_threads(monkeypatch):
    a = dg.tensor(np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32))
    f = warm(lambda x: dg.tanh(x @ x) * 2 + x, a)
    expected = dg.tanh(a @ a) * 2 + a
    threads = dg.get_num_threads()
    before = f.programs[0].calls
    monkeypatch.setattr(type(f.programs[0]), "start", None)  # Python's way would fail
    try:
        for n in (1, 2, 3, 2):
            dg.set_num_threads(n)
            if n < 3:
                assert same(f(a), expected)
    finally:
        dg.set_num_threads(threads)
    assert f.programs[0].calls == before + 3
    monkeypatch.undo()
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(1 for _ in range(40) if not same(f(a), expected))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert not wrong


def test_results_do_not_need_the_quick_path() -> None:
    """The guard may be there before eager mode's allocator is; large results then take the system's memory."""
    script = """
import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.jit import hot
from dualgraph.backends.native.quick import blocks, install
from dualgraph.jit.compile import Compiled

def never():
    raise install.LayoutError("not here")

install.install, hot.PATIENT = never, False
hot.install(Compiled, Compiled._run_hot)
assert hot.Guard.installed
x = dg.ones(100_000)
compiled = dg.compile(lambda x: dg.tanh(x) * 2 + x, wait=True)
expected = (dg.tanh(x) * 2 + x).numpy().tobytes()
for _ in range(60):
    compiled(x)
assert compiled._hot
type(compiled.programs[0]).start = None  # Python's way would fail
assert compiled(x).numpy().tobytes() == expected
assert blocks.handler_name(compiled(x).numpy()) != "dualgraph"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)

"""Native programs: one call runs many steps on all threads, with the bits of one thread and of eager mode."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.executor import Executable
from dualgraph.backends.native import api
from dualgraph.backends.native.jit import Machine
from dualgraph.backends.native.kernel import NestCall
from dualgraph.backends.native.segments import native_steps
from dualgraph.backends.native.team.program import CHUNK_WORK, Writer
from dualgraph.backends.native.team.spots import Kernel
from dualgraph.core.backend import backend_for
from dualgraph.core.devices import CPU

pytestmark = pytest.mark.skipif(not api.available(), reason="no native code")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = dg.get_num_threads()
    yield
    dg.set_num_threads(before)


def actions_of(fn: Any) -> list[str]:
    """What the first program of a compiled function does, as the names of its actions."""
    executable = fn.programs[0]._executable
    direct = executable._direct  # has the instance where calls run without Python
    instance = direct.keep if direct else executable._free[0]
    return [type(a).__name__ for a in instance.actions]


def bytes_of(tree: Any) -> list[bytes]:
    return [x.detach().numpy().tobytes() for x in tree]


def perceptron(steps: int = 4) -> list[bytes]:
    """Losses and weights of a training loop whose products and sums are large enough to be shared."""
    dg.manual_seed(3)
    model = dg.nn.Sequential(
        dg.nn.Linear(300, 257), dg.nn.Tanh(), dg.nn.Linear(257, 130), dg.nn.ReLU(), dg.nn.Linear(130, 10)
    )  # fmt: skip
    optimizer = dg.optim.Adam(model.parameters(), lr=1e-2)
    x, y = dg.randn(200, 300), dg.arange(200) % 10

    @dg.compile(wait=True)
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = dg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x, y) for _ in range(steps)]
    assert step.programs[0].calls >= 1
    return bytes_of([*losses, *model.parameters()])


def convolutions(steps: int = 3) -> list[bytes]:
    dg.manual_seed(4)
    nn = dg.nn
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, stride=2), nn.Flatten(),
        nn.Linear(16 * 49, 10),
    )  # fmt: skip
    optimizer = dg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = dg.randn(9, 3, 32, 32), dg.arange(9)

    @dg.compile(wait=True)
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return bytes_of([*[step(x, y) for _ in range(steps)], *model.parameters()])


def recurrent(steps: int = 3) -> list[bytes]:
    dg.manual_seed(5)
    model = dg.nn.LSTM(20, 70, num_layers=2, bidirectional=True)
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1)
    x = dg.randn(12, 33, 20)

    @dg.compile(wait=True)
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x)[0] ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return bytes_of([*[step(x) for _ in range(steps)], *model.parameters()])


@pytest.mark.parametrize("train", [perceptron, convolutions, recurrent])
def test_bits_of_a_training_step_do_not_depend_on_the_threads(train: Any) -> None:
    dg.set_num_threads(1)
    expected = train()
    for n in (2, 3, 5):
        dg.set_num_threads(n)
        assert train() == expected, n


def test_the_number_of_threads_may_change_between_calls() -> None:
    f = dg.compile(lambda x, y: dg.tanh(x @ y) @ y, wait=True)
    x, y = dg.randn(200, 200), dg.randn(200, 200)
    expected = f(x, y).numpy()
    for n in (1, 4, 2, 3, 1):
        dg.set_num_threads(n)
        assert f(x, y).numpy().tobytes() == expected.tobytes()


def test_native_steps_become_one_action() -> None:
    def f(x: Any, w: Any) -> Any:
        y = dg.nn.functional.softmax(x @ w, dim=1)
        return (y @ w.T).sum(axis=0), dg.concat([y, y * 2], axis=1)

    fn = dg.compile(f, wait=True)
    x, w = dg.randn(8, 5), dg.randn(5, 6)
    eager = f(x, w)
    fn(x, w)
    assert bytes_of(fn(x, w)) == bytes_of(eager)
    assert actions_of(fn) == ["NativeAction"]


def test_which_steps_are_native_is_found_without_waiting_for_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def f(x: Any, i: Any) -> Any:
        return dg.take_along_axis(dg.sort(x, axis=1), i, axis=1)

    graph = dg.capture(f, dg.randn(3, 5), dg.zeros((3, 5), dtype=dg.int64))
    program = Executable(graph, backend_for(CPU))
    native = program.native
    assert len(native) == 2

    def wait(_: Any) -> Any:
        raise AssertionError("waited for LLVM")

    monkeypatch.setattr(Machine, "addresses", property(wait))
    assert native_steps(program) == native


def test_steps_without_native_code_stand_between_native_programs() -> None:
    def f(x: Any) -> Any:
        return dg.linalg.inv(x * 2 + 1) @ x.T

    fn = dg.compile(f, wait=True)
    x = dg.randn(6, 6)
    expected = f(x).numpy()
    fn(x)
    assert fn(x).numpy().tobytes() == expected.tobytes()
    names = actions_of(fn)
    assert names.count("NativeAction") == 2 and len(names) > 2


def test_inputs_may_lie_in_any_order() -> None:
    fn = dg.compile(lambda x, y: dg.tanh(x) @ y, wait=True)
    x, y = dg.randn(5, 7), dg.randn(7, 3)
    expected = fn(x, y).numpy()
    turned = dg.from_numpy(np.asfortranarray(x.numpy()))
    assert fn(turned, y).numpy().tobytes() == expected.tobytes()


def test_several_python_threads_call_at_once() -> None:
    def f(x: Any, w: Any) -> Any:
        for _ in range(4):
            x = dg.tanh(x @ w) + x
        return x

    dg.set_num_threads(3)
    fn = dg.compile(f, wait=True)
    w = dg.randn(256, 256) * 0.1
    xs = [dg.randn(256, 256) for _ in range(8)]
    expected = [(f(x, w).numpy().tobytes(), (x @ w).numpy().tobytes()) for x in xs]
    fn(xs[0], w)
    problems: list[int] = []

    def call(i: int) -> None:
        for _ in range(10):
            if (fn(xs[i], w).numpy().tobytes(), (xs[i] @ w).numpy().tobytes()) != expected[i]:
                problems.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_process_has_a_team_of_its_own() -> None:
    script = """
import os, warnings
warnings.simplefilter("ignore")
import dualgraph as dg
dg.set_num_threads(3)
fn = dg.compile(lambda x: dg.tanh(x @ x) @ x, wait=True)
x = dg.randn(256, 256)
expected = fn(x).numpy().tobytes()
assert fn(x).numpy().tobytes() == expected
child = os.fork()
if not child:
    os._exit(0 if fn(x).numpy().tobytes() == expected else 1)
assert os.waitpid(child, 0)[1] == 0
assert fn(x).numpy().tobytes() == expected
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)


def test_a_process_ends_while_threads_of_the_team_wait() -> None:
    script = """
import dualgraph as dg
dg.set_num_threads(4)
fn = dg.compile(lambda x: dg.tanh(x @ x), wait=True)
x = dg.randn(300, 300)
fn(x), fn(x)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)


def test_waiting_without_a_futex() -> None:
    """Where the system has none, threads that wait long take naps, and nothing else differs; nor without a clock."""
    script = """
import time
import dualgraph as dg
from dualgraph.backends.native.team import runtime, waiting
waiting._futex, waiting._clock = lambda: 0, lambda: None
assert "@clock_gettime" not in runtime.emit_runtime(0)
assert "%nap(i32" in runtime.emit_runtime(0) and "@syscall" not in runtime.emit_runtime(0)
x = dg.randn(300, 300)
fn = dg.compile(lambda x: dg.tanh(x @ x) @ x.T - x.sum(axis=1), wait=True)
results = set()
for threads in (1, 3, 2, 5):
    dg.set_num_threads(threads)
    for _ in range(3):
        results.add(fn(x).numpy().tobytes())
        time.sleep(0.002)  # they sleep by now
assert len(results) == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_an_interrupt_while_the_team_runs() -> None:
    """Ctrl-C breaks the loop off after the call that is under way, and the team serves the next one."""
    script = """
import os, signal, threading, time
import dualgraph as dg
dg.set_num_threads(3)
fn = dg.compile(lambda x: dg.tanh(x @ x) @ x, wait=True)
x = dg.randn(400, 400)
expected = fn(x).numpy().tobytes()
interrupted = 0
for i in range(5):
    threading.Timer(0.05 + 0.003 * i, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        while True:
            assert fn(x).numpy().tobytes() == expected
    except KeyboardInterrupt:
        interrupted += 1
        assert fn(x).numpy().tobytes() == expected
assert interrupted == 5, interrupted
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)


# --- loops -------------------------------------------------------------------------------------


def test_a_scan_runs_inside_one_native_program() -> None:
    def f(x: Any, w: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            new = dg.tanh(h @ w + row)
            return new, new.sum(axis=1)

        return dg.scan(step, x[0], x)

    fn = dg.compile(f, wait=True)
    x, w = dg.randn(7, 4, 5), dg.randn(5, 5)
    eager = f(x, w)
    fn(x, w)
    assert bytes_of(fn(x, w)) == bytes_of(eager)
    assert actions_of(fn) == ["NativeAction"]


def test_the_memory_plan_counts_the_bodies_of_loops() -> None:
    def f(h: Any, xs: Any) -> Any:
        return dg.scan(lambda h, x: (dg.tanh(h @ x) @ x, None), h, xs)[0]

    fn = dg.compile(f, wait=True)
    fn(dg.randn(16, 16), dg.randn(3, 16, 16))
    memory = fn.programs[0].memory
    (bodies,) = fn.programs[0]._executable.bodies.values()
    assert memory.bodies_bytes == bodies["body"].memory.arena_bytes + 2 * 16 * 16 * 4
    assert "for the bodies of loops" in str(memory)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_carries_that_swap_and_stay(length: int, reverse: bool) -> None:
    def f(a: Any, b: Any, c: Any, xs: Any) -> Any:
        def step(held: Any, x: Any) -> Any:
            a, b, c = held
            return (b, a + x, c), (a, a * 2, c)

        return dg.scan(step, (a, b, c), xs, reverse=reverse)

    fn = dg.compile(f, wait=True)
    given = dg.randn(3), dg.randn(3), dg.randn(3), dg.randn(length, 3)
    (a, b, c), ys = f(*given)
    fn(*given)
    (a2, b2, c2), ys2 = fn(*given)
    assert bytes_of([a, b, c, *ys]) == bytes_of([a2, b2, c2, *ys2])
    assert actions_of(fn) == ["NativeAction"]


def test_loops_in_loops_and_conditions() -> None:
    def f(x: Any, n: Any) -> Any:
        def row(total: Any, r: Any) -> Any:
            def inner(t: Any, e: Any) -> Any:
                return t * 0.5 + e, t

            last, seen = dg.scan(inner, total, r)
            last = dg.cond(last.sum() > 0, lambda v: v - 1, lambda v: v * 3, last)
            return last, seen

        total, rows = dg.scan(row, dg.zeros(4), x)
        grown = dg.while_loop(
            lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] + rows[0, 0]), (dg.tensor(0), total)
        )
        return grown[1], rows

    fn = dg.compile(f, wait=True)
    x = dg.randn(5, 3, 4)
    for count in (0, 1, 6):
        n = dg.tensor(count)
        eager = f(x, n)
        fn(x, n)
        assert bytes_of(fn(x, n)) == bytes_of(eager)
    assert actions_of(fn) == ["NativeAction"]


@pytest.mark.parametrize("threads", [1, 3])
def test_gradients_through_a_loop_with_a_limit(threads: int) -> None:
    dg.set_num_threads(threads)

    def f(x: Any) -> Any:
        x = x.detach().requires_grad_()
        out = dg.while_loop(lambda v: v.sum() < 50, lambda v: v * v + 0.5, x, max_steps=6)
        out.sum().backward()
        return out.detach(), x.grad

    fn = dg.compile(f, wait=True)
    for scale in (0.1, 1.0, 30.0):
        x = dg.full((5,), scale)
        eager = f(x)
        fn(x)
        assert bytes_of(fn(x)) == bytes_of(eager)


# --- ops that look at indexes, states and scores -----------------------------------------------------


def test_an_index_out_of_range_stops_the_program_and_changes_nothing() -> None:
    table, seen = dg.randn(6, 80), dg.zeros(3)

    def f(at: Any, x: Any) -> Any:
        nonlocal seen
        rows = table[at] * 2
        seen += 1
        return rows + x, dg.take_along_axis(x, at[:, None], axis=1)

    fn = dg.compile(f, wait=True)
    x, good = dg.randn(4, 80), dg.tensor([0, 5, -6, 2])
    table_before = table.numpy().copy()
    expected = bytes_of(f(good, x))
    fn(good, x)
    assert bytes_of(fn(good, x)) == expected
    assert actions_of(fn) == ["NativeAction"]
    before = seen.numpy().copy()
    for bad in (6, -7):
        with pytest.raises(
            dg.BoundsError if hasattr(dg, "BoundsError") else IndexError, match=str(bad)
        ):
            fn(dg.tensor([0, bad, 1, 1]), x)
        assert np.array_equal(seen.numpy(), before)
        assert bytes_of(fn(good, x)) == expected
        before = seen.numpy().copy()
    assert np.array_equal(table.numpy(), table_before)


@pytest.mark.parametrize("threads", [1, 3])
def test_lookups_sums_and_random_numbers_are_native(threads: int) -> None:
    dg.set_num_threads(threads)

    def f(table: Any, at: Any, x: Any) -> Any:
        picked = table[at]
        added = (
            dg.zeros(50, 96).index_add(0, at, picked) if hasattr(dg.Tensor, "index_add") else picked
        )
        padded = dg.nn.functional.pad(x, (1, 2))
        return picked, added, padded, dg.nn.functional.dropout(x, 0.5, True)

    fn = dg.compile(f, wait=True)
    at = dg.from_numpy(np.random.default_rng(0).integers(0, 50, 300))
    table, x = dg.randn(50, 96), dg.randn(70, 90)
    found = []
    for call in (f, fn, fn):
        dg.manual_seed(9)
        found.append(bytes_of(call(table, at, x)))
    assert found[1:] == found[:1] * 2
    assert actions_of(fn).count("NativeAction") >= 1


@pytest.mark.parametrize("causal", [False, True])
def test_attention_and_its_gradient_run_in_the_program(causal: bool) -> None:
    def loss(q: Any, k: Any, v: Any) -> Any:
        out = dg.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return (out * out).sum()

    f = dg.grad(loss, (0, 1, 2))
    q, k, v = (dg.randn(3, 5, 70, 16) for _ in range(3))
    expected = bytes_of(f(q, k, v))
    for n in (1, 2, 3):
        dg.set_num_threads(n)
        fn = dg.compile(f, wait=True)
        fn(q, k, v)
        assert bytes_of(fn(q, k, v)) == expected
        assert actions_of(fn) == ["NativeAction"]


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("extent", [64, 61])
def test_chunks_of_a_thread_that_is_held_up_are_taken_by_others(threads: int, extent: int) -> None:
    dg.set_num_threads(threads)
    done: list[tuple[int, int]] = []
    news = threading.Condition()

    def part(block: Any, scratch: Any, begin: int, end: int) -> None:
        with news:
            if begin == 0:  # until all the rest is done
                news.wait_for(lambda: sum(b - a for a, b in done) == extent - end, 60)
            done.append((begin, end))
            news.notify_all()

    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    kernel = call(part)
    address = ctypes.cast(kernel, ctypes.c_void_p).value or 0
    w = Writer()
    w.kernel(Kernel(address, (), extent, (), (), grain=2, work=CHUNK_WORK))
    program = w.build(threads)
    for _ in range(3):
        done.clear()
        program.run(None)
        assert done[-1][0] == 0 and len(done) > threads
        ends = [0, *(end for _, end in sorted(done))]
        assert [begin for begin, _ in sorted(done)] == ends[:-1] and ends[-1] == extent


@pytest.mark.parametrize("columns", [128, 256, 384])
def test_shares_of_folds_across_are_whole_vectors(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors of light folds are wide: a share that is no multiple of one wrote beyond the result."""
    calls: list[NestCall] = []
    made = NestCall.__init__

    def init(self: NestCall, *args: Any) -> None:
        made(self, *args)
        calls.append(self)

    monkeypatch.setattr(NestCall, "__init__", init)
    x = dg.randn(1024, columns)
    for fn in (lambda x: x.sum(axis=0), lambda x: (x.sum(axis=0), (x * x).sum(axis=0))):
        dg.compile(fn, wait=True)(x)
    assert any(c.across for c in calls)
    for c in calls:
        size = 1024 * c.extent
        for begin in range(0, c.extent, c.grain):
            end = min(begin + c.grain, c.extent)
            buffers = [np.full(size + 512, 7, np.float32) for _ in range(1 + max(c.order))]
            c.run([b.ctypes.data for b in buffers], begin, end)
            for i in c.writes:
                assert (buffers[i][end : end + 512] == 7).all() and buffers[i][begin] != 7

"""Footguns: where, when and how a program is called: contexts, threads, errors, memory. All must equal eager mode."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
import functools
import itertools
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import leaf, x


@both_modes(0)
def test_default_dtype_inside_and_around(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a + dg.ones(3) * 0.1 + dg.asarray([0.1, 0.2, 0.3]))
    before = dg.get_default_dtype()
    for dtype in (dg.float32, dg.float64, dg.float32, dg.float64):
        dg.set_default_dtype(dtype)
        try:
            yield f(x()), f(x().double())
        finally:
            dg.set_default_dtype(before)


@both_modes(0)
def test_a_function_that_sets_the_default_dtype(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any) -> Any:
        dg.set_default_dtype(dg.float64)
        try:
            return a * dg.ones(3)
        finally:
            dg.set_default_dtype(dg.float32)

    f = wrap(f)
    for _ in range(3):
        yield f(x()), dg.get_default_dtype().name


@both_modes(0)
def test_grad_modes_around_inside_and_as_decorators(wrap: Wrap) -> Iterator[Any]:
    w = leaf()

    @dg.no_grad()
    def frozen(a: Any) -> Any:
        return a * w

    def f(a: Any) -> Any:
        b = frozen(a)
        with dg.enable_grad():
            c = a * w
        return b + c, b, c

    f = wrap(f)
    for around in (
        contextlib.nullcontext,
        dg.no_grad,
        contextlib.nullcontext,
        dg.enable_grad,
        dg.no_grad,
    ):
        with around():
            outs = f(x())
        yield outs, [o.requires_grad for o in outs]
        if outs[0].requires_grad:
            outs[0].sum().backward()
            yield w.grad


@both_modes(0)
def test_train_and_eval_inside_the_call(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(1)
    net = dg.nn.Sequential(dg.nn.Linear(3, 3), dg.nn.Dropout(0.5), dg.nn.BatchNorm1d(3))

    def f(a: Any, train: bool) -> Any:
        net.train(train)
        return net(a)

    f = wrap(f)
    for train in (True, True, False, False, True, False):
        yield f(x(), train), net.training, net[2].running_mean


@both_modes(0)
def test_an_error_between_two_writes(wrap: Wrap) -> Iterator[Any]:
    state = dg.zeros(3)

    def f(a: Any, n: int) -> Any:
        state.add_(a[0])
        if n > 2:
            raise ValueError(f"n is {n}")
        state.mul_(2)
        return state.sum()

    f = wrap(f)
    for n in (1, 1, 3, 2, 3, 1):
        yield attempt(lambda n=n: f(x(), n)), state.clone()


@both_modes(0)
def test_an_interrupt_in_the_middle(wrap: Wrap) -> Iterator[Any]:
    calls = []

    def stop(a: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    def f(a: Any) -> Any:
        b = a * 2
        stop(b)
        return b + 1

    f = wrap(f)
    for _ in range(5):
        try:
            yield f(x())
        except KeyboardInterrupt:
            yield "interrupted"
    yield len(calls)


@both_modes(0)
def test_finally_and_exception_groups_of_code(wrap: Wrap) -> Iterator[Any]:
    log: list[str] = []

    def f(a: Any, bad: bool) -> Any:
        try:
            if bad:
                raise KeyError("bad")
            return a + 1
        except KeyError as error:
            log.append(str(error))
            return a - 1
        else:
            log.append("never")
        finally:
            log.append("end")

    f = wrap(f)
    for bad in (False, True, False, True):
        yield f(x(), bad), list(log)


@both_modes(0)
def test_suppressed_errors_of_ops(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any, b: Any) -> Any:
        with contextlib.suppress(dg.DualgraphError, ValueError, IndexError):
            return a @ b
        return a.sum()

    f = wrap(f)
    for shape in ((3, 2), (2, 2), (3, 2), (2, 2)):
        yield f(x(), dg.ones(shape))


@both_modes(0)
def test_names_are_deleted_and_bound_again(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any, keep: bool) -> Any:
        b = a * 2
        c = b
        if not keep:
            del b
        try:
            return b + c
        except UnboundLocalError:
            return c

    f = wrap(f)
    for keep in (True, False, True, False):
        yield f(x(), keep)


@both_modes(0)
def test_a_call_from_within_itself(wrap: Wrap) -> Iterator[Any]:
    box: dict[str, Any] = {}

    def f(a: Any, n: int) -> Any:
        return a if n == 0 else box["f"](a * 1.5, n - 1) + n

    box["f"] = wrap(f)
    for n in (0, 1, 3, 0, 2, 3):
        yield box["f"](x(), n)


@both_modes(0)
def test_calls_from_an_event_loop(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, n: (a * n).tanh())

    async def one(n: int) -> Any:
        await asyncio.sleep(0)
        return f(x(), float(n))

    async def several() -> list[Any]:
        return await asyncio.gather(*(one(n) for n in range(4)))

    for _ in range(3):
        yield asyncio.run(several())


@both_modes(0)
def test_calls_from_many_threads_with_their_own_grad_modes(wrap: Wrap) -> Iterator[Any]:
    w = leaf()
    f = wrap(lambda a: (a * w).sum())

    def one(i: int) -> Any:
        with dg.no_grad() if i % 2 else contextlib.nullcontext():
            out = f(x() * i)
        return out.requires_grad, out.detach()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            yield list(pool.map(one, range(8)))


@both_modes(0)
def test_thread_locals(wrap: Wrap) -> Iterator[Any]:
    local = threading.local()
    f = wrap(lambda a: a * getattr(local, "scale", 1.0))
    seen: list[Any] = []

    def run(scale: float) -> None:
        local.scale = scale
        seen.append(f(x()))

    for scale in (2.0, 2.0, 3.0):
        thread = threading.Thread(target=run, args=(scale,))
        thread.start()
        thread.join()
        yield seen[-1], f(x())


@both_modes(0)
def test_views_of_results_are_kept_and_written(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2, (a * 3)[0], a.T))
    kept = []
    for _ in range(4):
        a = x()
        out = f(a)
        kept.append((out[0][1:], out[1], out[2], a))
        out[0].add_(1)
        out[2].mul_(2)
        yield out, a
    yield kept


@both_modes(0)
def test_results_that_are_views_of_each_other(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any) -> Any:
        b = a * 2
        return b, b[0], b.reshape(-1), b.T

    f = wrap(f)
    for _ in range(4):
        b, row, flat, turned = f(x())
        row.add_(10)
        flat[0] = -1
        turned.mul_(2)
        yield b, row, flat, turned


@both_modes(0)
def test_memory_comes_back_from_a_dead_result(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a.cumsum(0) * 2)
    for i in range(6):
        out = f(x() * i)
        array = out.numpy()
        del out
        other = f(x() * -i)
        yield array.copy(), other


@both_modes(0)
def test_arguments_written_by_numpy_while_results_live(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a.reshape(-1), a + 0))
    for i in range(4):
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        view, copied = f(dg.from_numpy(array))
        array[0, 0] = 100 + i
        yield view, copied


@both_modes(0)
def test_set_and_data_of_arguments(wrap: Wrap) -> Iterator[Any]:
    w = leaf()
    f = wrap(lambda a: a * w)
    yield f(x()), f(x())
    w.data = dg.ones(2, 3) * 4
    yield f(x()), w.is_leaf
    w.data.mul_(2)
    yield f(x())
    w.data[0] = 7
    out = f(x())
    out.sum().backward()
    yield out, w.grad


@both_modes(0)
def test_empty_and_scalar_tensors_in_turns(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a.sum(), a * 2, a.reshape(-1).cumsum(0), (a > 0).any(), (a > 0).all()))
    for shape in ((0,), (), (0, 3), (1,), (2, 0), (3,), (), (0,)):
        yield f(dg.ones(shape))


@both_modes(0)
def test_a_huge_python_loop(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any, n: int) -> Any:
        for i in range(n):
            a = a * 0.999 + i % 3
        return a

    f = wrap(f)
    for n in (300, 300, 301):
        yield f(x(), n)


@both_modes(0)
def test_generators_are_used_up(wrap: Wrap) -> Iterator[Any]:
    numbers = iter(range(100))
    f = wrap(lambda a: a * next(numbers))
    for _ in range(4):
        yield f(x())
    counter = itertools.count()
    g = wrap(lambda a, it: a * sum(itertools.islice(it, 2)))
    for _ in range(3):
        yield g(x(), counter)


@both_modes(0)
def test_a_generator_method_that_keeps_state(wrap: Wrap) -> Iterator[Any]:
    def run() -> Any:
        total = 0.0
        while True:
            got = yield total
            total += got

    runner = run()
    next(runner)
    f = wrap(lambda a: a * runner.send(2.0))
    for _ in range(4):
        yield f(x())


@both_modes(0)
def test_warnings_turned_into_errors_around(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any) -> Any:
        warnings.warn("careful", UserWarning, stacklevel=1)
        return a * 2

    f = wrap(f)
    for action in ("ignore", "error", "ignore", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            try:
                yield f(x())
            except UserWarning as problem:
                yield str(problem)


@both_modes(0)
def test_recursion_limits_and_deep_calls(wrap: Wrap) -> Iterator[Any]:
    def deep(a: Any, n: int) -> Any:
        return a if n == 0 else deep(a + 1, n - 1)

    f = wrap(deep)
    for n in (50, 100, 50, 150):
        yield f(x(), n)
    limit = sys.getrecursionlimit()

    def endless(a: Any) -> Any:
        return endless(a + 1)

    try:
        wrap(endless)(x())
    except RecursionError:
        yield "too deep"
    yield sys.getrecursionlimit() == limit, f(x(), 50)


@both_modes(0)
def test_sorting_by_values_and_comparing_tensors(wrap: Wrap) -> Iterator[Any]:
    def f(*ts: Any) -> Any:
        ordered = sorted(ts, key=lambda t: t.sum().item())
        return dg.stack(ordered), max(ts, key=lambda t: float(t[0, 0]))

    f = wrap(f)
    for i in range(4):
        yield f(x() * i, x(), -x() * (i - 1))


@both_modes(0)
def test_functools_reduce_and_operators_over_lists_of_tensors(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda ts: functools.reduce(lambda p, q: p * 0.5 + q, ts, ts[0].clone()))
    for n in (1, 3, 2, 3, 5):
        yield f([x() * i for i in range(1, n + 1)])


@both_modes(0)
def test_the_same_list_twice_and_nested(wrap: Wrap) -> Iterator[Any]:
    def f(p: Any, q: Any) -> Any:
        if p is q:
            return p[0] * 2
        return p[0] + q[-1]

    f = wrap(f)
    one, two = [x()], [x(), x() * 3]
    for p, q in ((one, one), (one, two), (two, two), (one, list(one))):
        yield f(p, q)


@both_modes(0)
def test_gradients_accumulate_over_calls_and_are_set_to_none(wrap: Wrap) -> Iterator[Any]:
    w = leaf()

    def f(a: Any) -> Any:
        loss = (a * w).square().sum()
        loss.backward()
        return loss, w.grad.norm()

    f = wrap(f)
    for i in range(8):
        if i == 3:
            w.grad = None
        if i == 5:
            w.grad.zero_()
        if i == 6:
            w.grad = dg.ones(2, 3)
        yield f(x()), w.grad


@both_modes(0)
def test_a_compiled_function_is_pickled_and_copied_in_use(wrap: Wrap) -> Iterator[Any]:
    f = wrap(dg.nn.functional.relu)
    yield f(x()), f(x())
    g, h = copy.copy(f), pickle.loads(pickle.dumps(f))
    for _ in range(3):
        yield g(x()), h(x()), f(-x())


@both_modes(0)
def test_random_state_is_saved_inside_and_forked_around(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any) -> Any:
        return a + dg.rand(3), dg.randint(0, 10, (2,)), dg.nn.functional.dropout(a, 0.5)

    f = wrap(f)
    dg.manual_seed(11)
    yield f(x()), f(x())
    kept = dg.get_rng_state()
    first = f(x())
    dg.set_rng_state(kept)
    yield first, f(x())
    generator = dg.Generator().manual_seed(3)
    g = wrap(lambda a: a + dg.rand(3, generator=generator))
    yield g(x()), g(x())
    generator.manual_seed(3)
    yield g(x()), g(x()), f(x())


@both_modes(0)
def test_a_body_that_returns_what_no_capture_takes(wrap: Wrap) -> Iterator[Any]:
    n = np.array([1.0, 2.0, 3.0], np.float32)

    def step(c: Any, _: Any) -> Any:
        return c * dg.asarray(n[: c.shape[0]]), c

    f = wrap(dg.checkpoint(lambda a: dg.scan(step, a, None, length=3)[0]))
    for i in range(4):
        yield f(leaf([0.5 * i, -1.0, 2.0]))

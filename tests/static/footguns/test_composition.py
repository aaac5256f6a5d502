"""Footguns: modules, optimisers, nesting, threads, size. All must equal eager mode, to the bit."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import X, leaf, x


def _mlp() -> Any:
    dg.manual_seed(1)
    return dg.nn.Sequential(dg.nn.Linear(3, 4), dg.nn.ReLU(), dg.nn.Linear(4, 1))


@both_modes(2)
def test_the_learning_rate_changes_between_calls(wrap: Wrap) -> Iterator[Any]:
    model = _mlp()
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @wrap
    def step(a: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(a) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for i in range(8):
        yield step(x()), model.state_dict()
        if i >= 4:
            optimizer.param_groups[0]["lr"] *= 0.5
    optimizer.param_groups[0]["momentum"] = 0.5
    yield step(x()), model.state_dict()


@both_modes(2)
def test_parameters_are_replaced_and_loaded(wrap: Wrap) -> Iterator[Any]:
    model = _mlp()
    f = wrap(lambda a: model(a))
    yield f(x()), f(x())
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    with dg.no_grad():
        for p in model.parameters():
            p.mul_(2)
    yield f(x())
    model.load_state_dict(kept)
    yield f(x())
    model[0].weight = dg.nn.Parameter(dg.ones(4, 3))
    yield f(x())
    model[0] = dg.nn.Linear(3, 4)
    yield f(x())
    model.append(dg.nn.Tanh())
    yield f(x()), f(x())
    model[0].bias = None
    yield f(x())


@both_modes(2)
def test_train_and_eval_switch(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(1)
    model = dg.nn.Sequential(dg.nn.Linear(3, 4), dg.nn.BatchNorm1d(4), dg.nn.Dropout(0.3))
    f = wrap(model)
    for mode in (True, True, True, False, False, True, True):
        model.train(mode)
        yield f(x()), model.state_dict()
    model[1].momentum = 0.5
    yield f(x()), model.state_dict()


@both_modes(2)
def test_freezing_a_layer(wrap: Wrap) -> Iterator[Any]:
    model = _mlp()
    optimizer = dg.optim.Adam(model.parameters(), lr=0.1)

    @wrap
    def step(a: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(a) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for i in range(8):
        if i == 4:
            model[0].requires_grad_(False)
        if i == 6:
            model[0].requires_grad_(True)
        yield step(x()), model.state_dict(), [p.grad for p in model.parameters()]


@both_modes(2)
def test_compiled_functions_call_compiled_functions(wrap: Wrap) -> Iterator[Any]:
    k = 2.0
    inner = wrap(lambda a: a * k)
    outer = wrap(lambda a: inner(a) + inner(a + 1).sum())
    yield inner(x()), outer(x()), outer(x())
    k = 3.0
    yield outer(x()), inner(x()), outer(x()), inner(x())


@both_modes(1)
def test_recursion(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, n: int) -> Any:
        return a if n == 0 else f(a * 2, n - 1) + 1

    yield f(x(), 3), f(x(), 3), f(x(), 2), f(x(), 2), f(x(), 0)


@both_modes(1)
def test_mutual_recursion_on_tensor_values(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any) -> Any:
        return g(a - 1) if a.sum() > 0 else a

    def g(a: Any) -> Any:
        return f(a * 0.5) if a.max() > 0 else -a

    h = wrap(f)
    for s in (1, 1, 5, 5, -1, -1, 1):
        yield h(s * x())


@pytest.mark.parametrize("shared", [True, False])
def test_threads_call_one_compiled_function(shared: bool) -> None:
    import threading

    w = dg.tensor([1.0, 2.0, 3.0])
    f = dg.compile(lambda a, k: ((a * w).exp() * k, a.sum() if a.sum() > 0 else a.max()))
    expected = {
        i: [v.tolist() for v in f._captured_function(dg.tensor(X) * i, 2.0)] for i in range(-4, 5)
    }
    problems: list[Any] = []
    start = threading.Barrier(8)

    def work(t: int) -> None:
        g = f if shared else dg.compile(f._captured_function)
        start.wait()
        try:
            for j in range(40):
                i = (t + j) % 9 - 4
                found = [v.tolist() for v in g(dg.tensor(X) * i, 2.0)]
                if found != expected[i]:
                    problems.append((i, found))
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    f.wait()
    assert not problems, problems[0]


@both_modes(1)
def test_very_long_functions(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        for i in range(700):
            a = a * 0.999 + i * 1e-4
            a = a.tanh() if i % 50 == 0 else a
        return a

    for _ in range(3):
        yield f(x())


@both_modes(1)
def test_vmap_and_grad_inside(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])
    f = wrap(lambda a: dg.vmap(dg.grad(lambda r: (r.sin() * w.detach()).sum()))(a))
    g = wrap(dg.grad(lambda a: (a * a * w.detach()).sum()))
    h = wrap(dg.vmap(lambda r: r.cumsum(0) * 2))
    for i in range(3):
        yield f(x() + i), g(x() + i), h(x() + i)


@both_modes(1)
def test_vmap_and_grad_around(wrap: Wrap) -> Iterator[Any]:
    inner = wrap(lambda r: (r.sin() * r).sum())
    yield inner(x()), inner(x())
    yield dg.vmap(inner)(x()), dg.grad(inner)(x()), dg.vmap(dg.grad(inner))(x())
    yield dg.jvp(inner, (x(),), (x() * 0.1,))


@both_modes(0)
def test_generators_and_coroutines_run_eagerly(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        for i in range(3):
            yield a * i

    for _ in range(3):
        yield list(f(x()))


@both_modes(1)
def test_generators_and_comprehensions_inside(wrap: Wrap) -> Iterator[Any]:
    def parts(a: Any) -> Any:
        for i in range(3):
            yield a * i

    f = wrap(lambda a: sum(parts(a)) + sum(p for p in (a + j for j in range(2))))
    for _ in range(3):
        yield f(x())


@both_modes(1)
def test_context_managers_inside(wrap: Wrap) -> Iterator[Any]:
    scale = [2.0]

    @contextlib.contextmanager
    def scaled() -> Any:
        yield scale[0]

    @wrap
    def f(a: Any) -> Any:
        with scaled() as s, contextlib.suppress(KeyError), dg.no_grad():
            return a * s

    for k in (2.0, 2.0, 3.0):
        scale[0] = k
        yield f(x())


@both_modes(0)
def test_caches_and_memoised_helpers(wrap: Wrap) -> Iterator[Any]:
    @functools.cache
    def table(n: int) -> Any:
        return dg.arange(n, dtype=dg.float32)

    cache: dict[int, Any] = {}

    def mask(n: int) -> Any:
        if n not in cache:
            cache[n] = dg.ones(n) * 0.5
        return cache[n]

    f = wrap(lambda a: a * table(a.shape[1]))
    g = wrap(lambda a: a * mask(a.shape[1]))
    for i in range(5):
        yield f(x() + i), g(x() + i)
    cache.clear()
    table.cache_clear()
    yield f(x()), g(x()), len(cache)


@both_modes(1)
def test_properties_and_descriptors_with_hidden_state(wrap: Wrap) -> Iterator[Any]:
    class Hidden:
        def __init__(self) -> None:
            self._values = {"w": dg.ones(3)}

        def __getattr__(self, name: str) -> Any:
            try:
                return self.__dict__["_values"][name]
            except KeyError:
                raise AttributeError(name) from None

        def __getitem__(self, i: int) -> float:
            return float(i + len(self._values))

    h = Hidden()
    f = wrap(lambda a: a * h.w + h[2])
    yield f(x()), f(x())
    h._values["w"] = dg.zeros(3)
    yield f(x())
    h._values["other"] = dg.zeros(3)
    yield f(x())


@both_modes(1)
def test_inherited_methods_are_replaced(wrap: Wrap) -> Iterator[Any]:
    class Base:
        def act(self, a: Any) -> Any:
            return a * 2

    class Child(Base):
        def __call__(self, a: Any) -> Any:
            return self.act(a) + 1

    c = Child()
    f = wrap(c)
    yield f(x()), f(x())
    Base.act = lambda self, a: a * 3  # type: ignore[method-assign]
    yield f(x())
    Child.act = lambda self, a: a * 4  # type: ignore[method-assign]
    yield f(x())
    c.act = lambda a: a * 5  # type: ignore[method-assign]
    yield f(x())


@both_modes(0)
def test_counting_and_logging_helpers(wrap: Wrap) -> Iterator[Any]:
    import logging

    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("footguns")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    counts: Counter[str] = Counter()

    @wrap
    def f(a: Any) -> Any:
        logger.info("called")
        counts["calls"] += 1
        return a * 2

    for _ in range(4):
        yield f(x()), len(records), counts["calls"]
    logger.removeHandler(handler)


@both_modes(0)
def test_files_and_environment(wrap: Wrap) -> Iterator[Any]:
    import os

    f = wrap(lambda a: a * float(os.environ.get("DUALGRAPH_TEST_SCALE", "1")))
    for value in ("1", "1", "2", "3"):
        os.environ["DUALGRAPH_TEST_SCALE"] = value
        yield f(x())
    del os.environ["DUALGRAPH_TEST_SCALE"]
    yield f(x())

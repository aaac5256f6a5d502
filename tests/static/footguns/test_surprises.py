"""Footguns: imports, logging, memos, loaders inside of compiled functions. All must equal eager mode, to the bit."""

from __future__ import annotations

import array
import collections
import copy
import functools
import io
import itertools
import logging
import pickle
import random
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x


@both_modes(0)
def test_a_module_imported_inside(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        import random

        return a * random.random()

    f = wrap(f)
    import random

    random.seed(1)
    for _ in range(4):
        yield f(x())


@both_modes(0)
def test_a_function_imported_inside(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        from random import random

        return a * random()

    f = wrap(f)
    import random

    random.seed(1)
    for _ in range(4):
        yield f(x())


@both_modes(0)
def test_logging_by_the_module(wrap: Wrap) -> Iterator[Any]:
    s = io.StringIO()
    h = logging.StreamHandler(s)
    logging.getLogger().addHandler(h)
    f = wrap(lambda a: (logging.warning("hey"), a * 2)[1])
    for _ in range(3):
        yield f(x()), len(s.getvalue())
    logging.getLogger().removeHandler(h)


@both_modes(0)
def test_warnings_inside(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (warnings.warn("hey", stacklevel=2), a * 2)[1])
    for _ in range(3):
        with warnings.catch_warnings(record=True) as w:
            warnings.simplefilter("always")
            yield f(x()), len(w)


@both_modes(0)
def test_writes_to_stdout(wrap: Wrap) -> Iterator[Any]:
    old = sys.stdout
    f = wrap(lambda a: (sys.stdout.write("hey"), a * 2)[1])
    for _ in range(3):
        sys.stdout = io.StringIO()
        r = f(x())
        n = len(sys.stdout.getvalue())
        sys.stdout = old
        yield r, n


@both_modes(0)
def test_a_counter_on_a_class(wrap: Wrap) -> Iterator[Any]:
    class C:
        n = 0

    def f(a):
        C.n += 1
        return a * C.n

    f = wrap(f)
    for _ in range(4):
        yield f(x()), C.n


@both_modes(0)
def test_an_append_through_a_local_name(wrap: Wrap) -> Iterator[Any]:
    class M:
        def __init__(s):
            s.items = []

        def __call__(s, a):
            l = s.items
            l.append(float(len(l)))
            return a + len(l)

    m = M()
    f = wrap(m)
    for _ in range(4):
        yield f(x()), list(m.items)


@both_modes(0)
def test_setdefault_on_a_closure_dict(wrap: Wrap) -> Iterator[Any]:
    c = {}

    def f(a):
        c.setdefault("k", []).append(1)
        return a * len(c["k"])

    f = wrap(f)
    for _ in range(4):
        yield f(x()), len(c["k"])


@both_modes(0)
def test_an_argument_that_is_captured_state_at_first(wrap: Wrap) -> Iterator[Any]:
    w = x()
    f = wrap(lambda a: a + w)
    yield f(w)
    yield f(w)
    yield f(x() * 2)
    yield f(x() * 3)
    yield f(w)


@both_modes(0)
def test_a_branch_on_the_identity_of_an_argument(wrap: Wrap) -> Iterator[Any]:
    w = x()
    f = wrap(lambda a: a * 2 + w if a is w else a * 3 + w)
    for _ in range(2):
        yield f(x()), f(w), f(x()), f(w)


@both_modes(0)
def test_a_memo_keyed_by_id(wrap: Wrap) -> Iterator[Any]:
    seen = {}
    keep = [x() for _ in range(3)]
    for t in keep[:2]:
        seen[id(t)] = 1.0
    f = wrap(lambda a: a * seen.get(id(a), 5.0))
    for t in keep:
        yield f(t)
    for t in keep:
        yield f(t)


@both_modes(0)
def test_an_unpredictable_seed_inside(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        dg.seed()
        return a + dg.rand(2, 3)

    f = wrap(f)
    outs = [f(x()) for _ in range(4)]
    yield [bool((p == q).all()) for p, q in itertools.pairwise(outs)]
    dg.manual_seed(0)


@both_modes(0)
def test_a_data_loader_inside(wrap: Wrap) -> Iterator[Any]:
    data = [(np.full(2, float(i), dtype=np.float32), i) for i in range(4)]
    loader = dg.data.DataLoader(data, batch_size=2)

    def f(a):
        for b, _ in loader:
            a = a + b.sum()
        return a

    f = wrap(f)
    for i in range(3):
        yield f(x())
        data[0][0][:] += 1
        data[1] = (np.ones(2, dtype=np.float32) * 7, 0)


@both_modes(0)
def test_a_memoised_helper(wrap: Wrap) -> Iterator[Any]:
    k = [2.0]

    @functools.lru_cache
    def h(n):
        return k[0] * n

    f = wrap(lambda a: a * h(3))
    yield f(x()), f(x())
    k[0] = 5.0
    yield f(x())
    h.cache_clear()
    yield f(x())


@both_modes(0)
def test_a_generic_function_with_new_implementations(wrap: Wrap) -> Iterator[Any]:
    @functools.singledispatch
    def h(v):
        return 1.0

    @h.register
    def _(v: int):
        return 2.0

    f = wrap(lambda a, v: a * h(v))
    yield f(x(), 1), f(x(), 1), f(x(), "s")
    h.register(str, lambda v: 9.0)
    yield f(x(), "s"), f(x(), 1)


@both_modes(0)
def test_a_layer_whose_forward_is_replaced(wrap: Wrap) -> Iterator[Any]:
    l = dg.nn.Linear(3, 2)
    dg.manual_seed(0)
    with dg.no_grad():
        l.weight.fill_(0.5)
        l.bias.fill_(0.1)
    f = wrap(dg.nn.Sequential(l, dg.nn.ReLU()))
    yield f(x()), f(x())
    l.forward = lambda a: a[:, :2] * 3
    yield f(x())
    del l.forward
    yield f(x())


@both_modes(0)
def test_a_module_class_whose_forward_is_replaced(wrap: Wrap) -> Iterator[Any]:
    class A(dg.nn.Module):
        def forward(s, a):
            return a * 2

    m = A()
    f = wrap(m)
    yield f(x()), f(x())
    A.forward = lambda s, a: a * 7
    yield f(x()), f(x())


@both_modes(0)
def test_an_array_argument_that_is_returned(wrap: Wrap) -> Iterator[Any]:
    n = np.arange(3.0)
    f = wrap(lambda a, n: (n, dg.from_numpy(n), a + dg.tensor(n).float()))
    for i in range(4):
        m = n + i
        o = f(x(), m)
        yield o, o[0] is m, type(o[0]).__name__
        m[0] = 100
        yield o[1]


@both_modes(0)
def test_an_array_argument_as_an_index(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, i: a[:, i])
    for i in ([0, 2], [0, 2], [1, 1], [2, 0]):
        yield f(x(), np.array(i))


@both_modes(0)
def test_numpy_scalars_as_arguments(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, s: a * s)
    for s in (np.float32(2), np.float64(2), np.int64(3), np.float32(3), np.bool_(True)):
        yield f(x(), s), f(x(), s)


@both_modes(0)
def test_a_default_object_that_accumulates(wrap: Wrap) -> Iterator[Any]:
    class Acc:
        def __init__(s):
            s.t = dg.zeros(3)
            s.n = 0

    def f(a, acc=Acc()):  # noqa: B008
        acc.t += a.sum(0)
        return acc.t * 2

    g = wrap(f)
    for _ in range(4):
        yield g(x())


@both_modes(0)
def test_an_attribute_written_with_the_value_it_has(wrap: Wrap) -> Iterator[Any]:
    class M:
        mode = "a"

        def __call__(s, a):
            r = a * (2 if s.mode == "a" else 3)
            s.mode = "a"
            return r

    m = M()
    f = wrap(m)
    for i in range(6):
        if i in (3, 5):
            m.mode = "b"
        yield f(x()), m.mode


@both_modes(0)
def test_an_attribute_that_is_rebound_to_a_new_tensor(wrap: Wrap) -> Iterator[Any]:
    class M:
        pass

    m = M()
    m.h = dg.zeros(3)

    def f(a):
        m.h = m.h * 0.5 + a.sum(0)
        return m.h + 1

    f = wrap(f)
    for _ in range(5):
        yield f(x()), m.h


@both_modes(0)
def test_a_list_element_that_is_rebound_to_a_new_tensor(wrap: Wrap) -> Iterator[Any]:
    hs = [dg.zeros(3)]

    def f(a):
        hs[0] = hs[0] * 0.5 + a.sum(0)
        return hs[0] + 1

    f = wrap(f)
    for _ in range(5):
        yield f(x()), hs[0]


@both_modes(0)
def test_a_container_of_the_closure_that_is_returned(wrap: Wrap) -> Iterator[Any]:
    c = {"w": dg.ones(3)}
    f = wrap(lambda a: c)
    for _ in range(3):
        yield f(x()) is c


@both_modes(0)
def test_a_container_argument_that_is_returned(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda t: t)
    for _ in range(3):
        t = {"a": x()}
        yield f(t) is t


@both_modes(0)
def test_metadata_of_tensors_that_no_op_reads(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3)
    f = wrap(lambda a: a * (2 if w.requires_grad else 3) * w.shape[0])
    yield f(x()), f(x())
    w.requires_grad_(True)
    yield f(x())
    w.data = dg.ones(5)
    yield f(x())


@both_modes(0)
def test_the_version_of_a_tensor(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * (a._version + 1))
    a = x()
    for _ in range(3):
        yield f(a)
        a.add_(1)


@both_modes(0)
def test_a_branch_on_is_leaf(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * 2 if a.is_leaf else a * 3)
    for _ in range(2):
        a = x().requires_grad_()
        yield f(a).detach(), f(a * 1).detach()


@both_modes(0)
def test_the_gradient_of_an_argument(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * 2 if a.grad is None else a + a.grad)
    for i in range(4):
        a = x().requires_grad_()
        if i % 2:
            a.grad = dg.ones(2, 3) * i
        yield f(a).detach()


@both_modes(0)
def test_the_order_of_keyword_arguments(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda **k: [v * (i + 1) for i, v in enumerate(k.values())])
    yield f(a=x(), b=x() + 1), f(a=x(), b=x() + 1), f(b=x() + 1, a=x()), f(b=x() + 1, a=x())


@both_modes(0)
def test_an_object_that_returns_itself(wrap: Wrap) -> Iterator[Any]:
    class M:
        def __init__(s):
            s.w = x()

        def __call__(s, a):
            s.w.add_(a)
            return s

    m = M()
    f = wrap(m)
    for _ in range(4):
        yield f(x()) is m, m.w


@both_modes(0)
def test_the_order_of_a_result_dict(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, r: {"b": a, "a": a * 2} if r else {"a": a * 2, "b": a})
    for r in (True, True, False, False):
        yield f(x(), r)


@both_modes(0)
def test_gradients_of_two_calls_added(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3, requires_grad=True)
    f = wrap(lambda a: (a * w).sum())
    for i in range(4):
        (f(x()) + f(x() * 2)).backward()
        yield w.grad


@both_modes(0)
def test_gradients_through_nested_compiled_functions(wrap: Wrap) -> Iterator[Any]:
    inner = wrap(lambda a: a.sin() * a)
    outer = wrap(lambda a: (inner(a) * inner(a * 2)).sum())
    for i in range(3):
        a = x().requires_grad_()
        outer(a).backward()
        yield a.grad
        inner(a).sum().backward()
        yield a.grad


@both_modes(0)
def test_lists_of_tensors_of_changing_length(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda ts: sum(t.sum() for t in ts))
    for n in (1, 2, 2, 3, 3, 1):
        yield f([x()] * n), f([x() for _ in range(n)])


@both_modes(0)
def test_state_in_half_precision(wrap: Wrap) -> Iterator[Any]:
    s = dg.zeros(3, dtype=dg.bfloat16)
    h = dg.zeros(3, dtype=dg.float16)

    def f(a):
        s.add_(a.sum(0).bfloat16())
        h.add_(a.sum(0).half())
        return s * 2, h.exp(), s.sum().item() > 1

    f = wrap(f)
    for _ in range(4):
        yield f(x()), s, h


@both_modes(0)
def test_bool_tensors_as_arguments(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, m: a.masked_fill(m, 0.0).cumsum(0))
    for _ in range(3):
        yield f(x(), x() > 0)


@both_modes(1)
def test_a_learning_rate_that_is_also_read_by_the_body(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3, requires_grad=True)
    optimizer = dg.optim.SGD([w], lr=0.1)

    @wrap
    def step(a: Any) -> Any:
        optimizer.zero_grad()
        (a * w).sum().backward()
        optimizer.step()
        return a * optimizer.param_groups[0]["lr"]

    for lr in (0.1, 0.1, 0.1, 0.05, 0.05):
        optimizer.param_groups[0]["lr"] = lr
        yield step(x()), w


def test_compiled_functions_can_be_copied_and_pickled() -> None:
    model = dg.nn.Linear(3, 2)
    fast = dg.compile(model, wait=True)
    for again in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        for _ in range(2):
            assert again(x()).tolist() == model(x()).tolist()
        assert list(again.state_dict()) == ["weight", "bias"]
    assert pickle.loads(pickle.dumps(doubled)) is doubled


@dg.compile
def doubled(a: Any) -> Any:
    """A decorated function at the top of a module."""
    return a * 2


class Random(random.Random):
    pass


class Count(itertools.count):  # type: ignore[type-arg]
    pass


class Array(array.array):  # type: ignore[type-arg]
    pass


class Words(collections.UserDict):  # type: ignore[type-arg]
    pass


class Row(collections.UserList):  # type: ignore[type-arg]
    pass


class Local(threading.local):
    value = 0.0


@both_modes(0)
def test_objects_of_classes_that_derive_from_the_standard_librarys(wrap: Wrap) -> Iterator[Any]:
    rng, count, row, words = Random(3), Count(1), Row([0.0]), Words(a=0.0)
    numbers, local = Array("d", [0.0]), Local()
    reads = [
        wrap(lambda v: v * rng.random()),
        wrap(lambda v: v * next(count)),
        wrap(lambda v: v * row[0]),
        wrap(lambda v: v * words["a"]),
        wrap(lambda v: v * numbers[0]),
        wrap(lambda v: v * local.value),
    ]
    for i in range(4):
        row[0] = words["a"] = numbers[0] = local.value = float(i)
        yield [read(dg.ones(2)) for read in reads]

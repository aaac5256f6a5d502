"""Footguns: what stays frozen or goes stale in other compilers must equal eager mode here, to the bit."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import operator
import random
import time
import types
from collections import Counter, defaultdict, deque, namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes

X = [[0.5, -1.25, 3.0], [2.0, 0.1, -0.7]]


def x() -> Any:
    return dg.tensor(X)


def leaf(values: Any = X) -> Any:
    return dg.tensor(values, requires_grad=True)


# --- Python state that the function reads --------------------------------------------------------


@both_modes(2)
def test_a_closure_number_changes(wrap: Wrap) -> Iterator[Any]:
    k = 2.0

    @wrap
    def f(a: Any) -> Any:
        return a * k + k

    for k in (2.0, 2.0, 3.0, 3.0, 2, 2.0, True, -0.0, 0.0, math.nan, math.inf):
        yield f(x())


@both_modes(2)
def test_a_closure_tensor_is_rebound(wrap: Wrap) -> Iterator[Any]:
    w = dg.tensor([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        return a * w

    yield f(x())
    yield f(x())
    w = dg.tensor([4.0, 5.0, 6.0])
    yield f(x())
    yield f(x())
    w = dg.tensor([4, 5, 6])
    yield f(x())
    w = dg.tensor([[4.0], [5.0]])
    yield f(x())


@both_modes(2)
def test_a_closure_tensor_is_written_in_place(wrap: Wrap) -> Iterator[Any]:
    w = dg.tensor([1.0, 2.0, 3.0])
    f = wrap(lambda a: a * w)
    yield f(x())
    w += 1
    yield f(x())
    w[1] = 7.0
    yield f(x())
    w.zero_()
    yield f(x())


SCALE: Any = 2.0
WEIGHT: Any = None


@both_modes(1)
def test_a_global_changes(wrap: Wrap) -> Iterator[Any]:
    global SCALE, WEIGHT
    f = wrap(lambda a: a * SCALE if WEIGHT is None else a * SCALE + WEIGHT)
    for SCALE, WEIGHT in ((2.0, None), (2.0, None), (3.0, None), (3.0, x()), (3.0, x() + 1), (1, None)):
        yield f(x())


@both_modes(2)
def test_an_attribute_flips_a_branch(wrap: Wrap) -> Iterator[Any]:
    class Layer:
        def __init__(self) -> None:
            self.positive = True

        def __call__(self, a: Any) -> Any:
            return a.relu() if self.positive else -a

    layer = Layer()
    f = wrap(layer)
    for layer.positive in (True, True, False, False, True):
        yield f(x())


@both_modes(1)
def test_an_attribute_far_away_changes(wrap: Wrap) -> Iterator[Any]:
    class Config:
        scale = 2.0

    class Model:
        def __init__(self) -> None:
            self.parts = {"config": [Config()]}

        def __call__(self, a: Any) -> Any:
            return a * self.parts["config"][0].scale

    model = Model()
    f = wrap(model)
    yield f(x())
    yield f(x())
    model.parts["config"][0].scale = 5.0
    yield f(x())
    Config.scale = 9.0
    del model.parts["config"][0].scale
    yield f(x())
    model.parts["config"].append(Config())
    yield f(x())


@both_modes(1)
def test_a_list_of_numbers_is_mutated(wrap: Wrap) -> Iterator[Any]:
    scales = [1.0, 2.0]

    @wrap
    def f(a: Any) -> Any:
        for s in scales:
            a = a * s + 1
        return a

    yield f(x())
    yield f(x())
    scales[1] = 3.0
    yield f(x())
    scales.append(4.0)
    yield f(x())
    scales.clear()
    yield f(x())


@both_modes(1)
def test_a_dict_a_set_and_a_deque_are_mutated(wrap: Wrap) -> Iterator[Any]:
    config: dict[str, Any] = {"scale": 2.0}
    flags: set[str] = set()
    steps = deque([1.0])

    @wrap
    def f(a: Any) -> Any:
        a = a * config.get("scale", 1.0) + len(flags)
        if "negate" in flags:
            a = -a
        return a + sum(steps)

    yield f(x())
    yield f(x())
    config["scale"] = 3.0
    yield f(x())
    config.pop("scale")
    yield f(x())
    flags.add("other")
    yield f(x())
    flags.remove("other")
    flags.add("negate")
    yield f(x())
    flags.remove("negate")
    flags.add("another")
    yield f(x())
    steps.append(2.0)
    yield f(x())
    steps[0] = 10.0
    yield f(x())


@both_modes(1)
def test_dict_order_and_keys_count(wrap: Wrap) -> Iterator[Any]:
    weights = {"a": 5.0, "b": 2.0}

    @wrap
    def f(a: Any) -> Any:
        for name, w in weights.items():
            a = a * w if name == "a" else a + w
        return a

    yield f(x())
    yield f(x())
    weights["a"] = weights.pop("a")
    yield f(x())
    weights["c"] = weights.pop("b")
    yield f(x())


@both_modes(1)
def test_set_elements_count(wrap: Wrap) -> Iterator[Any]:
    chosen = {1, 2}
    f = wrap(lambda a: sum(chosen) * a)
    yield f(x())
    yield f(x())
    chosen.discard(1)
    chosen.add(5)
    yield f(x())


@both_modes(1)
def test_a_default_argument_that_is_mutable(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any, scales: list[float] = [2.0]) -> Any:  # noqa: B006
        return a * scales[0]

    g = wrap(f)
    yield g(x())
    yield g(x())
    f.__defaults__[0][0] = 5.0  # type: ignore[index]
    yield g(x())
    f.__defaults__ = ([7.0],)
    yield g(x())


@both_modes(1)
def test_a_function_attribute_and_a_helper_are_replaced(wrap: Wrap) -> Iterator[Any]:
    def helper(a: Any) -> Any:
        return a + helper.amount  # type: ignore[attr-defined]

    helper.amount = 1.0  # type: ignore[attr-defined]
    f = wrap(lambda a: helper(a) * 2)
    yield f(x())
    yield f(x())
    helper.amount = 4.0  # type: ignore[attr-defined]
    yield f(x())

    def helper(a: Any) -> Any:
        return a - 1

    yield f(x())


OTHER = types.ModuleType("other_module")
OTHER.factor = 2.0  # type: ignore[attr-defined]
OTHER.double = lambda a: a * OTHER.factor  # type: ignore[attr-defined]


@both_modes(2)
def test_a_global_of_another_module_changes(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: OTHER.double(a) + OTHER.factor)
    for OTHER.factor in (2.0, 2.0, 4.0, 4.0):
        yield f(x())


@both_modes(1)
def test_getattr_with_a_computed_name(wrap: Wrap) -> Iterator[Any]:
    class Box:
        pass

    box = Box()
    box.w1 = 2.0  # type: ignore[attr-defined]
    f = wrap(lambda a: a * getattr(box, f"w{1}"))
    yield f(x())
    yield f(x())
    box.w1 = 5.0  # type: ignore[attr-defined]
    yield f(x())


@both_modes(1)
def test_vars_and_dict_reads(wrap: Wrap) -> Iterator[Any]:
    class Box:
        def __init__(self) -> None:
            self.scale = 2.0

    box = Box()
    f = wrap(lambda a: a * sum(vars(box).values()))
    g = wrap(lambda a: a * box.__dict__["scale"])
    yield f(x()), g(x())
    yield f(x()), g(x())
    box.scale = 5.0
    yield f(x()), g(x())
    box.more = 1.0  # type: ignore[attr-defined]
    yield f(x()), g(x())


@both_modes(0)
def test_operator_attrgetter_and_itemgetter(wrap: Wrap) -> Iterator[Any]:
    box = types.SimpleNamespace(scale=2.0, parts=[1.0])
    get, item = operator.attrgetter("scale"), operator.itemgetter(0)
    f = wrap(lambda a: a * get(box) + item(box.parts))
    yield f(x())
    yield f(x())
    box.scale = 3.0
    yield f(x())
    box.parts[0] = 8.0
    yield f(x())


@both_modes(0)
def test_globals_by_name(wrap: Wrap) -> Iterator[Any]:
    global SCALE
    f = wrap(lambda a: a * globals()["SCALE"])
    for SCALE in (2.0, 2.0, 3.0):
        yield f(x())


@both_modes(0)
def test_exec_and_eval_see_the_present(wrap: Wrap) -> Iterator[Any]:
    global SCALE
    f = wrap(lambda a: a * eval("SCALE"))
    for SCALE in (2.0, 2.0, 3.0):
        yield f(x())


@both_modes(1)
def test_a_numpy_array_in_a_closure_is_written(wrap: Wrap) -> Iterator[Any]:
    mask = np.array([1.0, 0.0, 1.0], dtype=np.float32)
    f = wrap(lambda a: a * mask)
    yield f(x())
    yield f(x())
    mask[1] = 5.0
    yield f(x())
    mask *= 2
    yield f(x())


@both_modes(1)
def test_a_numpy_array_is_used_by_numpy_inside(wrap: Wrap) -> Iterator[Any]:
    weights = np.array([1.0, 2.0, 3.0])
    f = wrap(lambda a: a * float(weights.mean()) + dg.asarray(weights * 2).astype(dg.float32))
    yield f(x())
    yield f(x())
    weights[0] = 30.0
    yield f(x())


@both_modes(1)
def test_a_numpy_array_decides_a_branch(wrap: Wrap) -> Iterator[Any]:
    flag = np.array([True, False])
    f = wrap(lambda a: a * 2 if flag.all() else a * 3)
    yield f(x())
    yield f(x())
    flag[1] = True
    yield f(x())
    yield f(x())


@both_modes(1)
def test_an_element_of_an_array_argument_decides(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, n: a * 2 if n[0] > 0 else a * 3)
    for n in ([1.0, 2.0], [1.0, 2.0], [-1.0, 2.0], [1.0, 5.0]):
        yield f(x(), np.array(n))


@both_modes(1)
def test_an_array_argument_becomes_numbers(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, n: a * float(n[0]) + n.tolist()[1] + int(n.sum()) + n.item(1))
    for n in ([1.0, 2.0], [1.0, 2.0], [-1.0, 2.0], [1.0, 5.0]):
        yield f(x(), np.array(n))


@both_modes(0)
def test_iterators_and_generators_in_a_closure(wrap: Wrap) -> Iterator[Any]:
    numbers = iter([1.0, 2.0, 3.0, 4.0, 5.0])
    squares = (i * i for i in range(10))
    counter = itertools.count(1)
    f = wrap(lambda a: a * next(numbers))
    g = wrap(lambda a: a * next(squares))
    h = wrap(lambda a: a * next(counter))
    for _ in range(4):
        yield f(x()), g(x()), h(x())


@both_modes(0)
def test_python_random_numpy_random_and_time(wrap: Wrap) -> Iterator[Any]:
    random.seed(3)
    np.random.seed(3)
    generator = np.random.default_rng(3)
    f = wrap(lambda a: a * random.random())
    g = wrap(lambda a: a * float(np.random.rand()))
    h = wrap(lambda a: a * float(generator.standard_normal()))
    clock = wrap(lambda a: a * 0 + float(time.perf_counter()))
    before = clock(x())
    for _ in range(3):
        yield f(x()), g(x()), h(x())
        now = clock(x())
        yield bool((now > before).all()) or bool((now == before).all())
        before = now
    t = [wrap(lambda: time.perf_counter_ns()) for _ in range(1)][0]
    yield t() != t()


@both_modes(0)
def test_a_counter_that_the_body_writes(wrap: Wrap) -> Iterator[Any]:
    class Model:
        def __init__(self) -> None:
            self.calls = 0
            self.seen: list[Any] = []

        def __call__(self, a: Any) -> Any:
            self.calls += 1
            return a * self.calls

    model = Model()
    f = wrap(model)
    for _ in range(4):
        yield f(x()), model.calls


@both_modes(0)
def test_an_attribute_that_is_only_written(wrap: Wrap) -> Iterator[Any]:
    class Model:
        last: Any = None

        def __call__(self, a: Any) -> Any:
            y = a * 2
            self.last = y + 1
            self.shape = a.shape
            return y

    model = Model()
    f = wrap(model)
    for i in range(4):
        yield f(x() + i), model.last, model.shape
        model.last = None


@both_modes(0)
def test_globals_and_nonlocals_that_the_body_writes(wrap: Wrap) -> Iterator[Any]:
    global WEIGHT
    count = 0

    @wrap
    def f(a: Any) -> Any:
        global WEIGHT
        nonlocal count
        WEIGHT = a * 3
        count += 1
        return a + 1

    for i in range(4):
        yield f(x() + i), WEIGHT, count


@both_modes(0)
def test_a_nonlocal_that_is_only_written(wrap: Wrap) -> Iterator[Any]:
    last = None

    @wrap
    def f(a: Any) -> Any:
        nonlocal last
        last = a * 3
        return a + 1

    for i in range(4):
        yield f(x() + i), last
        last = None


@both_modes(0)
def test_an_intermediate_is_appended_to_a_list(wrap: Wrap) -> Iterator[Any]:
    kept: list[Any] = []
    table: dict[str, Any] = {}
    names: set[Any] = set()

    @wrap
    def f(a: Any) -> Any:
        y = a * 2
        kept.append(y)
        table["y"] = y
        names.add(a.shape)
        return y.sum()

    for i in range(4):
        yield f(x() + i), len(kept), kept[-1], table["y"], len(names)
    kept.clear()
    yield f(x()), len(kept)


@both_modes(0)
def test_an_argument_that_is_a_list_is_changed(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, out: list[Any], table: dict[str, Any]) -> Any:
        out.append(a * 2)
        table["a"] = a + 1
        return a.sum()

    for i in range(4):
        out: list[Any] = []
        table: dict[str, Any] = {}
        yield f(x() + i, out, table), out, table


@both_modes(0)
def test_a_dataclass_argument_is_changed(wrap: Wrap) -> Iterator[Any]:
    @dataclasses.dataclass
    class State:
        h: Any
        n: int = 0

    @wrap
    def f(s: Any, a: Any) -> Any:
        s.h = s.h + a
        s.n += 1
        return s.h.sum()

    s = State(x())
    for _ in range(4):
        yield f(s, x()), s.h, s.n


def test_print_in_the_body_prints_on_each_call(capsys: pytest.CaptureFixture[str]) -> None:
    @dg.compile(wait=True)
    def f(a: Any) -> Any:
        print("sum", a.sum().item())
        return a * 2

    for i in range(4):
        f(dg.ones(2) * i)
    assert capsys.readouterr().out.splitlines() == ["sum 0.0", "sum 2.0", "sum 4.0", "sum 6.0"]


def test_print_in_a_helper_prints_on_each_call(capsys: pytest.CaptureFixture[str]) -> None:
    def shout(text: str) -> None:
        print(text)

    say = {"how": print}
    f = dg.compile(lambda a: (shout("here"), a * 2)[1], wait=True)
    g = dg.compile(lambda a: (say["how"]("there"), a * 2)[1], wait=True)
    h = dg.compile(lambda a: (list(map(print, ["map"])), a * 2)[1], wait=True)
    for _ in range(3):
        f(dg.ones(2)), g(dg.ones(2)), h(dg.ones(2))
    assert sorted(capsys.readouterr().out.split()) == ["here"] * 3 + ["map"] * 3 + ["there"] * 3


# --- values taken out of tensors -----------------------------------------------------------------


@both_modes(2)
def test_if_on_a_tensor_goes_both_ways(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        return a * 2 if a.sum() > 0 else a - 1

    for sign in (1, 1, -1, -1, 1, -1, 1):
        yield f(sign * x())


@both_modes(4)
def test_a_tree_of_branches(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        if a[0, 0] > 0:
            a = a * 2
            if a[0, 1] > 0:
                return a.exp()
        elif not (a[1] > 0).any():
            return -a
        return a + 1

    for s, t in itertools.product((1, -1), repeat=2):
        for _ in range(2):
            yield f(dg.tensor([[s, t, 1.0], [t, t, t]]))
    yield f(dg.tensor([[math.nan, 1.0, 1.0], [1.0, 1.0, 1.0]]))


@both_modes(0)
def test_numbers_taken_out_are_used_in_arithmetic(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * a.sum().item())
    g = wrap(lambda a: a / float(a.max()) + int(a[0, 2]))
    h = wrap(lambda a: a * round(a.sum().item(), 1) + math.sqrt(abs(a[0, 0])))
    for i in (0, 0, 1, 1, 2, 0):
        yield f(x() + i), g(x() + i), h(x() + i)


@both_modes(1)
def test_negative_zero_and_nan_taken_out(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, s: a / math.copysign(1.0, s.item()) if s == s else a)
    for s in (0.0, 0.0, -0.0, -0.0, math.nan, math.nan, 0.0):
        yield f(x(), dg.tensor(s))


@both_modes(0)
def test_tensors_decide_shapes(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, n: a[: int(n)])
    g = wrap(lambda n: dg.ones(int(n)) * 2)
    h = wrap(lambda a, n: [a * i for i in range(n)])
    for n in (1, 1, 2, 2, 1, 0):
        yield f(x(), dg.tensor(n)), g(dg.tensor(n)), h(x(), dg.tensor(n))


@both_modes(1)
def test_loops_whose_length_depends_on_data(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        while a.abs().sum() > 1:
            a = a * 0.5
        return a

    for scale in (1, 1, 8, 8, 1, 0.01, 64, 8):
        yield f(scale * x())


@both_modes(0)
def test_masks_whose_count_changes(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a[a > 0] * 2)
    g = wrap(lambda a: dg.nonzero(a > 0))
    h = wrap(lambda a: dg.unique_values(a.round()))
    for shift in (0, 0, 1, 1, -5, 0):
        yield f(x() + shift), g(x() + shift), h(x() + shift)


@both_modes(0)
def test_tolist_and_numpy_inside(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * max(a.tolist()[0]))
    g = wrap(lambda a: a * float(np.sum(a.numpy())))
    h = wrap(lambda a: dg.asarray(np.cumsum(np.asarray(a), axis=0)) + 1)
    k = wrap(lambda a: dg.tensor([float(v) for v in a[0]]) * 2)
    for shift in (0, 0, 1, 1, 0):
        yield f(x() + shift), g(x() + shift), h(x() + shift), k(x() + shift)


@both_modes(0)
def test_iteration_membership_and_sorting_of_tensors(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: sum(row * i for i, row in enumerate(a)))
    g = wrap(lambda a: a * 2 if 3.0 in a else a)
    h = wrap(lambda a: max(*a[0]) + sorted(a[0])[0])
    for shift in (0, 0, 1, 1, 0):
        yield f(x() + shift), g(x() + shift), h(x() + shift)


@both_modes(0)
def test_repr_and_format_inside(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (str(a), f"{a.sum():.2f}", a * 2))
    g = wrap(lambda a: a * len(repr(a)))
    for shift in (0, 0, 1, 100, 0):
        yield f(x() + shift), g(x() + shift)


@both_modes(1)
def test_assert_in_the_body(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        assert (a > -10).all(), "too low"
        return a.sqrt()

    for shift in (0, 0, -100, 0, -100, 0):
        yield attempt(lambda shift=shift: f(x() + shift))


@both_modes(1)
def test_an_index_out_of_range_is_an_error(wrap: Wrap) -> Iterator[Any]:
    total = dg.zeros(3)

    @wrap
    def f(a: Any, i: Any) -> Any:
        total.add_(a[0])
        picked = a[:, i]
        total.add_(1)
        return picked

    for i in ([0, 2], [1, 1], [0, 3], [0, -1], [-4, 0], [0, 1]):
        yield attempt(lambda i=i: f(x(), dg.tensor(i)))
        yield total


def test_an_error_in_a_compiled_call_changes_nothing_that_eager_would_not() -> None:
    """What eager mode wrote before the error is written, and the user's line is named."""
    state = dg.zeros(3)

    @dg.compile(wait=True)
    def f(a: Any, i: Any) -> Any:
        state.add_(1)
        return a[i]

    a = dg.ones(3)
    for _ in range(3):
        f(a, dg.tensor([0, 1]))
    with pytest.raises(dg.BoundsError, match="test_footguns"):
        f(a, dg.tensor([0, 7]))
    assert state.tolist() == [4.0] * 3
    assert f(a, dg.tensor([0, 2])).tolist() == [1.0, 1.0]


@both_modes(0)
def test_an_exception_in_mid_call(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])
    fail = True

    @wrap
    def f(a: Any) -> Any:
        loss = (a * w).sum()
        loss.backward()
        if fail:
            raise RuntimeError("stop")
        return loss

    yield attempt(lambda: f(x()))
    yield w.grad, dg.is_grad_enabled()
    fail = False
    yield f(x()), w.grad
    yield f(x()), w.grad
    yield f(x()), w.grad
    fail = True
    yield attempt(lambda: f(x())), w.grad
    fail = False
    yield f(x()), w.grad


@both_modes(0)
def test_an_exception_that_the_body_catches(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, i: Any) -> Any:
        try:
            return a[i]
        except IndexError:
            return a * 0

    for i in (0, 1, 5, 0, 5):
        yield f(x(), dg.tensor([i])), f(x(), i)


@both_modes(0)
def test_an_exception_with_state_inside_the_first_call(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, bad: Any) -> Any:
        with dg.no_grad():
            if bad:
                raise ValueError("bad")
            return a * 2

    yield attempt(lambda: f(leaf(), True)), dg.is_grad_enabled()
    yield f(leaf(), False), f(leaf(), False), attempt(lambda: f(leaf(), True)), f(leaf(), False)


# --- random numbers ------------------------------------------------------------------------------


@both_modes(4)
def test_random_numbers_follow_the_seed(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a + dg.randn(2, 3) * dg.rand(3))
    for _ in range(3):
        yield f(x())
    dg.manual_seed(5)
    yield f(x()), dg.rand(2)
    dg.manual_seed(5)
    yield f(x()), f(x()), dg.rand(2)
    kept = dg.get_rng_state()
    yield f(x())
    dg.set_rng_state(kept)
    yield f(x())


@both_modes(2)
def test_seeding_inside_the_body(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        dg.manual_seed(7)
        return a + dg.rand(2, 3)

    for _ in range(4):
        yield f(x()), dg.rand(1)


@both_modes(2)
def test_a_generator_argument_and_a_generator_in_a_closure(wrap: Wrap) -> Iterator[Any]:
    generator = dg.Generator()
    generator.manual_seed(11)
    f = wrap(lambda a: a + dg.rand(2, 3, generator=generator))
    for _ in range(3):
        yield f(x()), dg.rand(1)
    generator.manual_seed(11)
    yield f(x())


@both_modes(2)
def test_dropout_and_random_branches(wrap: Wrap) -> Iterator[Any]:
    drop = dg.nn.Dropout(0.5)
    f = wrap(lambda a: drop(a) * 2)
    g = wrap(lambda a: a * 2 if dg.rand(()) > 0.5 else a)
    for _ in range(6):
        yield f(x()), g(x())
    drop.eval()
    yield f(x()), f(x())
    drop.train()
    yield f(x()), f(x())
    drop.p = 0.1
    yield f(x()), f(x())


@both_modes(2)
def test_permutations_integers_and_samples(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a[:, dg.randperm(3)], dg.randint(0, 9, (4,)), dg.bernoulli(a.sigmoid()), dg.normal(0.0, 1.0, (2,))))
    g = wrap(lambda a: dg.multinomial(a.abs(), 2))
    for _ in range(3):
        yield f(x()), g(x())


# --- memory: outputs, views, in-place ------------------------------------------------------------


@both_modes(3)
def test_old_outputs_stay_while_the_function_runs_again(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2, a.sum(), (a + 1).T, a.reshape(6) * 1))
    kept = [f(x() + i) for i in range(5)]
    yield kept


@both_modes(3)
def test_outputs_can_be_written_without_harm(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2, dg.zeros(3), dg.tensor([1.0, 2.0])))
    for _ in range(4):
        a, b, c = f(x())
        yield a, b, c
        a.add_(1)
        b.fill_(7)
        c[0] = 9.0


@both_modes(3)
def test_outputs_are_not_shared_with_each_other(wrap: Wrap) -> Iterator[Any]:
    def f(a: Any) -> Any:
        y = a * 2
        z = a * 2  # equal, but not the same memory
        return y, z, y, y.view(6), y.clone(), a + 0, a * 1

    f = wrap(f)
    for _ in range(4):
        a = x()
        outs = f(a)
        outs[0].add_(1)
        yield outs, a
        outs[1].mul_(3)
        yield outs, a, outs[0] is outs[2]


@both_modes(2)
def test_outputs_alias_inputs(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, b: Any) -> Any:
        return a, b[0], a.view(6), a.T, a, b, b.detach()

    for _ in range(4):
        a, b = x(), x() + 1
        outs = f(a, b)
        yield outs[0] is a, outs[4] is a, outs[5] is b
        outs[2][0] = 100.0
        outs[1].zero_()
        outs[3][1, 1] = -5.0
        yield outs, a, b


@both_modes(2)
def test_outputs_alias_captured_state(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(2, 3)
    f = wrap(lambda a: (w, w[1], (a + w)))
    for _ in range(4):
        outs = f(x())
        outs[1].add_(1)
        yield outs, outs[0] is w, w


@both_modes(2)
def test_writes_to_an_input_are_seen_by_the_caller(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        a.add_(1)
        a[0] = 5.0
        a[:, 1] *= 2
        a.relu_() if hasattr(a, "relu_") else a.clamp_(0)
        return a.sum()

    a = x()
    for _ in range(4):
        yield f(a), a
    b = x()
    view = b[0]
    for _ in range(3):
        yield f(b), b, view


@both_modes(2)
def test_writes_to_views_of_inputs(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        row = a[0]
        row += 10
        flat = a.view(6)
        flat[1::2] = flat[::2] * 2
        a.T[2] = row[:2]
        return row, flat * 1, a + 0

    a = x()
    for _ in range(4):
        row, flat, copy = f(a)
        yield row, flat, copy, a
        row.zero_()
        yield a


@both_modes(2)
def test_writes_to_captured_state(wrap: Wrap) -> Iterator[Any]:
    total, count = dg.zeros(3), dg.tensor(0)
    recent = dg.zeros(4, 3)

    @wrap
    def f(a: Any) -> Any:
        total.add_(a.sum(0))
        count.add_(1)
        recent[1:] = recent[:-1].clone()
        recent[0] = a[0]
        return total / count

    for i in range(5):
        yield f(x() + i), total, count, recent
    total.zero_()
    yield f(x()), total, count


@both_modes(1)
def test_a_view_of_captured_state_is_written(wrap: Wrap) -> Iterator[Any]:
    whole = dg.zeros(4, 3)
    part = whole[1:3]

    @wrap
    def f(a: Any) -> Any:
        part.add_(a)
        return whole * 2

    @wrap
    def g(a: Any) -> Any:
        whole.mul_(0.5)
        return part + a

    for _ in range(4):
        yield f(x()), whole, part
        yield g(x()), whole, part


@both_modes(1)
def test_the_same_tensor_is_passed_twice(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, b: Any) -> Any:
        a.add_(1)
        return a * b

    a, b = x(), x() * 2
    for _ in range(3):
        yield f(a, b), a, b
    for _ in range(3):
        yield f(a, a), a
    for _ in range(3):
        yield f(b, a), a, b


@both_modes(1)
def test_overlapping_views_are_passed(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, b: Any) -> Any:
        a.mul_(2)
        return a + b

    base = dg.arange(8, dtype=dg.float32)
    one, two = dg.zeros(4), dg.ones(4)
    for _ in range(3):
        yield f(one, two), one, two
    for _ in range(3):
        yield f(base[:4], base[2:6]), base
    for _ in range(2):
        yield f(one, two), f(base[:4], base[4:]), base


@both_modes(1)
def test_an_argument_that_shares_memory_with_captured_state(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3)

    @wrap
    def f(a: Any) -> Any:
        w.add_(a)
        return a * 2

    @wrap
    def g(a: Any) -> Any:
        a.add_(1)
        return w * 2

    for _ in range(3):
        yield f(dg.ones(3)), w
        yield g(dg.ones(3)), w
    for _ in range(3):
        yield f(w), w
        yield g(w), w
        yield f(w[:]), w


@both_modes(1)
def test_a_numpy_array_argument_is_shared_and_written(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(n: Any) -> Any:
        t = dg.from_numpy(n)
        t.add_(1)
        return t * 2

    n = np.array([1.0, 2.0], dtype=np.float32)
    for _ in range(4):
        yield f(n), n


@both_modes(0)
def test_a_numpy_array_argument_is_written_by_numpy(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(n: Any, a: Any) -> Any:
        n += 1
        return a * dg.asarray(n)

    n = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    for _ in range(4):
        yield f(n, x()), n


@both_modes(1)
def test_the_memory_of_a_tensor_is_swapped(wrap: Wrap) -> Iterator[Any]:
    p = dg.nn.Parameter(dg.ones(3))
    f = wrap(lambda a: (a * p).sum())
    yield f(x())
    yield f(x())
    p.data = dg.full((3,), 4.0)
    yield f(x())
    with dg.no_grad():
        p.copy_(dg.tensor([1.0, 2.0, 3.0]))
    yield f(x())


# --- gradients -----------------------------------------------------------------------------------


@both_modes(2)
def test_gradients_flow_through_compiled_calls(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, w: (a @ w).tanh())
    for i in range(3):
        a, w = leaf(), leaf([[1.0], [2.0], [0.5]])
        y = f(a * (i + 1), w)
        (y * y).sum().backward()
        yield y, a.grad, w.grad


@both_modes(2)
def test_double_and_triple_backward_through_compiled_calls(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a.sin() * a * a).sum())
    for _ in range(3):
        a = leaf()
        (g,) = dg.autograd.grad(f(a), a, create_graph=True)
        (h,) = dg.autograd.grad(g.sum(), a, create_graph=True)
        (k,) = dg.autograd.grad((h * h).sum(), a)
        yield g, h, k


@both_modes(2)
def test_gradients_inside_and_through(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def penalty(a: Any) -> Any:
        (g,) = dg.autograd.grad((a**3).sum(), a, create_graph=True)
        return (g * g).sum()

    for _ in range(3):
        a = leaf()
        loss = penalty(a)
        loss.backward()
        yield loss, a.grad


@both_modes(2)
def test_grad_present_or_absent_at_entry(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        loss = (a * w).exp().sum()
        loss.backward()
        return loss

    for step in range(8):
        yield f(x() * 0.1), w.grad
        if step % 3 == 2:
            w.grad = None
        elif step % 3 == 1:
            w.grad.zero_()


@both_modes(1)
def test_the_gradient_tensor_keeps_its_identity(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        (a * w).sum().backward()

    f(x())
    first = w.grad
    for _ in range(4):
        f(x())
        yield w.grad is first, first


@both_modes(1)
def test_grad_is_read_replaced_and_dropped_inside(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        before = None if w.grad is None else w.grad.clone()
        w.grad = None
        (a * w).sum().backward()
        w.grad = w.grad * 2
        return before

    for _ in range(5):
        yield f(x()), w.grad


@both_modes(1)
def test_backward_inside_then_grad_used_outside(wrap: Wrap) -> Iterator[Any]:
    a = leaf()

    @wrap
    def f(a: Any) -> Any:
        y = (a * a).sum()
        y.backward()
        return y

    for _ in range(4):
        y = f(a)
        yield y, a.grad, attempt(lambda y=y: y.backward()).__class__.__name__
        a.grad = None


@both_modes(1)
def test_retain_graph_inside_and_backward_outside(wrap: Wrap) -> Iterator[Any]:
    a = leaf()

    @wrap
    def f(a: Any) -> Any:
        y = (a * a).sum()
        y.backward(retain_graph=True)
        return y

    for _ in range(4):
        y = f(a)
        y.backward()
        yield y, a.grad
        a.grad = None


@both_modes(2)
def test_requires_grad_is_toggled(wrap: Wrap) -> Iterator[Any]:
    w = dg.tensor([1.0, 2.0, 3.0])
    f = wrap(lambda a: (a * w).sum())
    for flag in (False, False, True, True, False, True):
        w.requires_grad_(flag)
        y = f(x())
        yield y
        if flag:
            w.grad = None
            y.backward()
            yield w.grad


@both_modes(2)
def test_no_grad_around_and_inside(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        with dg.no_grad():
            scale = w.sum()
        return a * w / scale

    for _ in range(3):
        yield f(x())
        with dg.no_grad():
            yield f(x())
        with dg.inference_mode():
            yield f(x())
    y = f(x()).sum()
    y.backward()
    yield w.grad


@both_modes(1)
def test_detach_and_stopped_gradients(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * a.detach()).sum() + a.detach().exp().sum())
    for _ in range(3):
        a = leaf()
        f(a).backward()
        yield a.grad


@both_modes(1)
def test_hooks_set_after_capture(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def step(a: Any) -> Any:
        (a * w).sum().backward()

    f = wrap(lambda a: (a * w).sum())
    for _ in range(2):
        step(x())
        f(x()).backward()
        yield w.grad
    seen: list[Any] = []
    handle = w.register_hook(lambda g: (seen.append(g.clone()), g * 10)[1])
    for _ in range(2):
        w.grad = None
        step(x())
        yield w.grad, len(seen), seen[-1]
        f(x()).backward()
        yield w.grad, len(seen), seen[-1]
    handle.remove()
    w.grad = None
    step(x())
    yield w.grad, len(seen)


@both_modes(0)
def test_hooks_on_intermediates_inside(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        y = a * 2
        y.register_hook(lambda g: g * 3)
        return (y * y).sum()

    for _ in range(3):
        a = leaf()
        f(a).backward()
        yield a.grad


@both_modes(1)
def test_module_hooks_set_after_capture(wrap: Wrap) -> Iterator[Any]:
    layer = dg.nn.Linear(3, 2)
    f = wrap(lambda a: layer(a) * 2)
    yield f(x())
    yield f(x())
    handle = layer.register_forward_hook(lambda m, args, out: out + 100)
    yield f(x())
    yield f(x())
    handle.remove()
    yield f(x())
    handle = layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    yield f(x())


@both_modes(1)
def test_retain_grad_of_a_result(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * 2)
    for _ in range(3):
        a = leaf()
        y = f(a)
        y.retain_grad()
        (y * y).sum().backward()
        yield y.grad, a.grad


@both_modes(1)
def test_gradients_of_shared_inputs_add_up_in_order(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a.sin() * 1.7).sum())
    for _ in range(3):
        a = leaf([0.1, 0.2, 0.3, 1e-3])
        b = a * 1.1
        loss = b.exp().sum() + f(b) + (b * 0.3).sum() + f(a) + a.cos().sum()
        loss.backward()
        yield a.grad


# --- kinds of arguments --------------------------------------------------------------------------


@both_modes(4)
def test_shapes_dtypes_and_layouts_change(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2 + 1).sum(0))
    for a in (x(), x()[:1], x().T, x()[:, ::2], x()[::-1] if False else x().flip((0,)), dg.zeros(0, 3), dg.ones(5)):
        for _ in range(2):
            yield f(a)
    for dtype in (dg.float64, dg.float16, dg.bfloat16, dg.int32, dg.int64, dg.uint8, dg.bool, dg.complex64):
        for _ in range(2):
            yield f(x().abs().astype(dtype))


@both_modes(2)
def test_the_default_dtype_changes(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a + dg.ones(3) * dg.tensor(0.1) + dg.arange(3))
    yield f(x())
    yield f(x())
    dg.set_default_dtype(dg.float64)
    try:
        yield f(x())
        yield f(x())
    finally:
        dg.set_default_dtype(dg.float32)
    yield f(x())


@both_modes(2)
def test_zero_size_and_zero_dimensional_tensors(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a.exp() * 2, a.sum(), a + 1))
    for a in (dg.zeros(0), dg.zeros(0), dg.zeros(3, 0), dg.zeros(3, 0), dg.tensor(1.5), dg.tensor(1.5), dg.zeros(1, 1, 1)):
        yield f(a)


@both_modes(2)
def test_python_numbers_as_arguments(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, k: a * k)
    for k in (2, 2, 2.0, 2.0, True, 1, 1, 0.0, -0.0, 1j, np.float32(2), np.float32(2), np.int64(3), 2**70 if False else 5):
        yield attempt(lambda k=k: f(x(), k))


@both_modes(2)
def test_strings_none_slices_dtypes_and_enums_as_arguments(wrap: Wrap) -> Iterator[Any]:
    import enum

    class Mode(enum.Enum):
        DOUBLE = 1
        HALVE = 2

    @wrap
    def f(a: Any, mode: Any = None, *, where: Any = slice(None), dtype: Any = None) -> Any:
        a = a[:, where]
        if mode is Mode.DOUBLE or mode == "double":
            a = a * 2
        elif mode is None:
            a = a + 1
        return a if dtype is None else a.astype(dtype)

    for mode in (None, None, "double", "double", "other", Mode.DOUBLE, Mode.DOUBLE, Mode.HALVE):
        yield f(x(), mode)
    for where in (slice(1), slice(1), slice(0, 3, 2), slice(None)):
        yield f(x(), where=where)
    yield f(x(), dtype=dg.float64), f(x(), dtype=dg.float64), f(x(), dtype=dg.int32)


Pair = namedtuple("Pair", "a b")


@both_modes(3)
def test_trees_as_arguments_and_results(wrap: Wrap) -> Iterator[Any]:
    @dataclasses.dataclass
    class Batch:
        image: Any
        label: Any
        name: str = "none"

    @wrap
    def f(tree: Any) -> Any:
        if isinstance(tree, Batch):
            return Batch(tree.image * 2, tree.label + 1, tree.name + "!")
        if isinstance(tree, dict):
            return {k: v * 2 for k, v in tree.items()}
        if isinstance(tree, Pair):
            return Pair(tree.b, tree.a * 2)
        return [t * 2 for t in tree]

    for tree in (
        {"a": x(), "b": x() + 1}, {"b": x(), "a": x() + 1}, Pair(x(), x() + 1), [x(), x()], (x(),),
        Batch(x(), dg.tensor([1, 2])), Batch(x(), dg.tensor([1, 2]), "second"), defaultdict(list, a=x()), [], {},
    ):  # fmt: skip
        for _ in range(2):
            yield attempt(lambda tree=tree: f(tree))


@both_modes(2)
def test_args_kwargs_and_defaults(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, *rest: Any, scale: float = 2.0, **more: Any) -> Any:
        for r in rest:
            a = a + r
        for name, m in sorted(more.items()):
            a = a * m + len(name)
        return a * scale

    yield f(x()), f(x()), f(x(), x()), f(x(), x()), f(x(), x(), 1.0), f(x(), scale=3.0), f(x(), scale=3.0)
    yield f(x(), p=x(), qq=2.0), f(x(), qq=2.0, p=x()), f(a=x()), f(scale=1.0, a=x())


@both_modes(2)
def test_partials_lambdas_methods_and_callables(wrap: Wrap) -> Iterator[Any]:
    class Thing:
        __slots__ = ("k", "w")
        bias = 1.0

        def __init__(self) -> None:
            self.k = 2.0
            self.w = dg.ones(3)

        @property
        def scaled(self) -> Any:
            return self.w * self.k

        def method(self, a: Any) -> Any:
            return a * self.scaled + self.bias

        @classmethod
        def build(cls, a: Any) -> Any:
            return a + cls.bias

        @staticmethod
        def static(a: Any) -> Any:
            return a * 3

        def __call__(self, a: Any) -> Any:
            return self.method(a) - 1

    thing = Thing()
    fs = [wrap(g) for g in (thing.method, thing, Thing.build, thing.static, functools.partial(thing.method), functools.partial(lambda k, a: a * k, 2.0))]
    for step in range(6):
        yield [f(x()) for f in fs]
        if step == 1:
            thing.k = 3.0
        if step == 2:
            Thing.bias = 4.0
        if step == 3:
            thing.w = dg.ones(3) * 5
        if step == 4:
            thing.w.add_(1)


@both_modes(2)
def test_a_compiled_method_sees_its_own_instance(wrap: Wrap) -> Iterator[Any]:
    class Model:
        def __init__(self, k: float) -> None:
            self.k = k
            self.w = dg.full((3,), k)

        def forward(self, a: Any) -> Any:
            return a * self.w + self.k

    Model.forward = wrap(Model.forward)  # type: ignore[method-assign]
    one, two = Model(1.0), Model(2.0)
    for _ in range(3):
        yield one.forward(x()), two.forward(x())
    one.k, two.w = 5.0, dg.zeros(3)
    yield one.forward(x()), two.forward(x())


@both_modes(2)
def test_many_short_lived_instances(wrap: Wrap) -> Iterator[Any]:
    class Scale:
        def __init__(self, k: float) -> None:
            self.k = k

    f = wrap(lambda a, s: a * s.k)
    one = Scale(0.5)
    yield f(x(), one), f(x(), one), f(x(), one), f(x(), one)
    for k in range(20):
        yield f(x(), Scale(float(k)))


@both_modes(2)
def test_an_object_argument_is_mutated(wrap: Wrap) -> Iterator[Any]:
    box = types.SimpleNamespace(k=2.0, w=dg.ones(3))
    f = wrap(lambda a, s: a * s.k + s.w)
    yield f(x(), box), f(x(), box)
    box.k = 3.0
    yield f(x(), box), f(x(), box)
    box.w = dg.zeros(3)
    yield f(x(), box)


@both_modes(2)
def test_results_that_are_no_tensors(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: {"shape": a.shape, "n": a.ndim, "loss": a.sum(), "text": "done", "none": None, "dtype": str(a.dtype)})
    for _ in range(3):
        yield f(x())
    g = wrap(lambda a: None)
    h = wrap(lambda: 3)
    yield g(x()), g(x()), h(), h()


@both_modes(1)
def test_results_that_are_mutable_are_fresh(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: ([a.sum()], {"names": ["x"]}, [], {1: 2}))
    for _ in range(4):
        out = f(x())
        yield out
        out[0].append(1)
        out[1]["names"].append("y")
        out[2].append(3)


@both_modes(0)
def test_results_that_are_objects_made_inside(wrap: Wrap) -> Iterator[Any]:
    class Out:
        def __init__(self, y: Any) -> None:
            self.y = y

    f = wrap(lambda a: Out(a * 2))
    g = wrap(lambda a: lambda b: a * b)
    h = wrap(lambda a: {a.sum().item()})
    k = wrap(lambda a: np.ones(3) * 2)
    for i in range(3):
        yield f(x() + i).y, g(x() + i)(2.0), h(x() + i)
        n = k(x())
        yield n
        n += 1


@both_modes(1)
def test_no_arguments_and_no_tensors(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3)
    f = wrap(lambda: w * 2)
    g = wrap(lambda: dg.arange(4) + 1)
    h = wrap(lambda n: dg.zeros(n))
    for _ in range(3):
        yield f(), g(), h(2), h(3)
        w.add_(1)


# --- modules, optimisers -------------------------------------------------------------------------


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


# --- composition, threads, size ------------------------------------------------------------------


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
    expected = {i: [v.tolist() for v in f._captured_function(dg.tensor(X) * i, 2.0)] for i in range(-4, 5)}
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
    @functools.lru_cache(maxsize=None)
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

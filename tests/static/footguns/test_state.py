"""Footguns: what Python state the function reads. All must equal eager mode, to the bit."""

from __future__ import annotations

import math
import operator
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x


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
    for SCALE, WEIGHT in (
        (2.0, None),
        (2.0, None),
        (3.0, None),
        (3.0, x()),
        (3.0, x() + 1),
        (1, None),
    ):
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

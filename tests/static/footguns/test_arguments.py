"""Footguns: kinds of arguments and results. All must equal eager mode, to the bit."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections import defaultdict, namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import x


@both_modes(4)
def test_shapes_dtypes_and_layouts_change(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * 2 + 1).sum(0))
    for a in (
        x(),
        x()[:1],
        x().T,
        x()[:, ::2],
        x()[::-1] if False else x().flip((0,)),
        dg.zeros(0, 3),
        dg.ones(5),
    ):
        for _ in range(2):
            yield f(a)
    for dtype in (
        dg.float64,
        dg.float16,
        dg.bfloat16,
        dg.int32,
        dg.int64,
        dg.uint8,
        dg.bool,
        dg.complex64,
    ):
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
    for a in (dg.zeros(0), dg.zeros(3, 0), dg.tensor(1.5), dg.zeros(1, 1, 1)):
        yield f(a), f(a)


@both_modes(2)
def test_python_numbers_as_arguments(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, k: a * k)
    for k in (
        2,
        2,
        2.0,
        2.0,
        True,
        1,
        1,
        0.0,
        -0.0,
        1j,
        np.float32(2),
        np.float32(2),
        np.int64(3),
        5,
    ):
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

    yield (
        f(x()),
        f(x()),
        f(x(), x()),
        f(x(), x()),
        f(x(), x(), 1.0),
        f(x(), scale=3.0),
        f(x(), scale=3.0),
    )
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
    fs = [
        wrap(g)
        for g in (
            thing.method,
            thing,
            Thing.build,
            thing.static,
            functools.partial(thing.method),
            functools.partial(lambda k, a: a * k, 2.0),
        )
    ]
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
    f = wrap(
        lambda a: {
            "shape": a.shape,
            "n": a.ndim,
            "loss": a.sum(),
            "text": "done",
            "none": None,
            "dtype": str(a.dtype),
        }
    )
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

"""Footguns: state that code reads without its name in sight. All must equal eager mode, to the bit."""

from __future__ import annotations

import abc
import argparse
import builtins
import functools
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter as reading
from typing import Any

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x

TEMPLATE = "{0.inner}"


def seen_anew(
    wrap: Wrap, f: Callable[[Any], Any], put: Callable[[Any], Any], values: Sequence[Any]
) -> Iterator[Any]:
    """What `f` gives after each of these values was put where it reads, twice."""
    f = wrap(f)
    for value in values:
        put(value)
        for _ in range(2):
            yield f(x())


@both_modes(0)
def test_private_slots(wrap: Wrap) -> Iterator[Any]:
    class Scale:
        __slots__ = ("__by",)

        def set(self, by: float) -> None:
            self.__by = by

        def of(self, a: Any) -> Any:
            return a * self.__by

    scale = Scale()
    scale.set(0.0)
    yield from seen_anew(wrap, lambda a: scale.of(a), scale.set, (1.0, 2.0, 3.0, 4.0))


@both_modes(0)
def test_fields_of_formats(wrap: Wrap) -> Iterator[Any]:
    settings = types.SimpleNamespace(sub=types.SimpleNamespace())
    holder = type("Holder", (), {})()

    def f(a):
        here = "{0.inner}, {s.inner}".format(holder, s=holder)  # noqa: UP032
        return a * len(here) + float(TEMPLATE.format(holder))

    def put(value: Any) -> None:
        settings.sub.inner = holder.inner = value

    yield from seen_anew(wrap, f, put, (1.0, 20.0, 300.0))
    yield from seen_anew(wrap, lambda a: a * reading("sub.inner")(settings), put, (1.0, 2.0, 3.0))


@both_modes(0)
def test_patterns_of_classes(wrap: Wrap) -> Iterator[Any]:
    class Point:
        __match_args__ = ("abscissa", "ordinate")

    point = Point()

    def f(a):
        match point:
            case Point(1.0, u):
                return a * u
            case Point(_, u):
                return a + u

    def g(a):
        match point:
            case Point(applicate=u):
                return a * u
        return a

    def put(values: Any) -> None:
        point.abscissa, point.ordinate, point.applicate = values

    values = (1.0, 2.0, 3.0), (2.0, 2.0, 4.0), (1.0, 3.0, 5.0), (1.0, 4.0, 6.0)
    yield from seen_anew(wrap, f, put, values)
    yield from seen_anew(wrap, g, put, values)
    orders = ("abscissa", "ordinate"), ("ordinate", "abscissa")
    yield from seen_anew(wrap, f, lambda names: setattr(Point, "__match_args__", names), orders)


@both_modes(0)
def test_attributes_that_a_module_computes(wrap: Wrap) -> Iterator[Any]:
    module = types.ModuleType("settings_of_a_test")
    module.store = {"by": 1.0}
    exec("def __getattr__(name):\n    return store[name]", vars(module))
    by = functools.partial(module.store.__setitem__, "by")
    yield from seen_anew(wrap, lambda a: a * module.by, by, (1.0, 2.0, 3.0))
    yield from seen_anew(
        wrap, lambda a: a * module.by, lambda v: setattr(module, "by", v), (5.0, 6.0)
    )
    put = functools.partial(setattr, module, "__version__")
    long = lambda a: a * len(module.__version__)  # noqa: E731
    yield from seen_anew(wrap, long, put, ("1", "1.1", "1.1.1"))


@both_modes(0)
def test_builtins_are_exchanged(wrap: Wrap) -> Iterator[Any]:
    put = functools.partial(setattr, builtins, "scale_of_a_test")
    usual = abs
    try:
        yield from seen_anew(wrap, lambda a: a * scale_of_a_test, put, (1.0, 2.0, 3.0))  # noqa: F821
        put = functools.partial(setattr, builtins, "abs")
        yield from seen_anew(wrap, lambda a: a * abs(-2.0), put, (usual, lambda v: 7.0, usual))
    finally:
        builtins.abs = usual
        del builtins.scale_of_a_test


@both_modes(0)
def test_classes_are_registered(wrap: Wrap) -> Iterator[Any]:
    class Base(metaclass=abc.ABCMeta):  # noqa: B024
        pass

    @typing.runtime_checkable
    class Runs(typing.Protocol):
        def run(self) -> None: ...

    class Plain:
        pass

    thing = Plain()
    f = wrap(lambda a: a * 2 if isinstance(thing, Base) else a)
    g = wrap(lambda a: a * 2 if isinstance(thing, Runs) else a)
    for i in range(6):
        if i == 2:
            Base.register(Plain)
            thing.run = print
        yield f(x()), g(x())


@both_modes(0)
def test_a_metaclass_answers_to_any_name(wrap: Wrap) -> Iterator[Any]:
    class Meta(type):
        by = 1.0

        def __getattr__(cls, name: str) -> Any:
            return cls.factor

        @property
        def scale(cls) -> float:
            return Meta.by

    class Thing(metaclass=Meta):
        factor = 2.0

        def of(self, a: Any) -> Any:
            return a * type(self).scale * type(self).anything

    thing = Thing()
    yield from seen_anew(wrap, thing.of, lambda v: setattr(Meta, "by", v), (1.0, 2.0, 3.0))
    yield from seen_anew(wrap, thing.of, lambda v: setattr(Thing, "factor", v), (1.0, 4.0, 5.0))
    g = wrap(lambda a, t: (t.of(a), t))
    for _ in range(3):
        yield g(x(), thing)[0]


@both_modes(0)
def test_special_methods_that_are_no_functions(wrap: Wrap) -> Iterator[Any]:
    class Gives:
        number = 1.0

        def __call__(self, *others: Any) -> float:
            return Gives.number

    class Adds:
        __add__ = Gives()

    class Shows:
        buffer = np.ones((2, 3), np.float32)

        @property
        def __array_interface__(self) -> Any:
            return self.buffer.__array_interface__

    adds, shows = Adds(), Shows()
    put = functools.partial(setattr, Gives, "number")
    yield from seen_anew(wrap, lambda a: a * (adds + 1), put, (1.0, 2.0, 3.0))
    fill = Shows.buffer.fill
    yield from seen_anew(wrap, lambda a: a + np.asarray(shows), fill, (1.0, 2.0, 3.0))


@both_modes(0)
def test_what_functions_and_classes_tell_of_themselves(wrap: Wrap) -> Iterator[Any]:
    def helper() -> None:
        """One."""

    class Thing:
        __version__ = "1"

    thing = Thing()
    words = "a", "ab", "abc"
    for holder, name in ((helper, "__doc__"), (helper, "__name__"), (Thing, "__name__")):
        told = {
            "__doc__": lambda a, h=holder: a * len(h.__doc__),
            "__name__": lambda a, h=holder: a * len(h.__name__),
        }[name]
        yield from seen_anew(wrap, told, functools.partial(setattr, holder, name), words)
    put = functools.partial(setattr, Thing, "__version__")
    yield from seen_anew(wrap, lambda a: a * len(thing.__version__), put, words)
    put = functools.partial(helper.__annotations__.__setitem__, "scale")
    noted = lambda a: a * helper.__annotations__["scale"]  # noqa: E731
    yield from seen_anew(wrap, noted, put, (1.0, 2.0, 3.0))


@both_modes(0)
def test_a_class_gets_other_bases(wrap: Wrap) -> Iterator[Any]:
    class First:
        pass

    class Second:
        pass

    class Thing(First):
        pass

    thing = Thing()

    def put(base: type) -> None:
        Thing.__bases__ = (base,)

    bases = First, Second, First
    yield from seen_anew(wrap, lambda a: a if isinstance(thing, First) else a * 2, put, bases)
    yield from seen_anew(wrap, lambda a: a * len(Thing.__bases__[0].__name__), put, bases)


@both_modes(4)
def test_namespaces_are_read_as_a_whole(wrap: Wrap) -> Iterator[Any]:
    for make in (types.SimpleNamespace, argparse.Namespace):
        options = make(rate=1.0, name="a")
        put = functools.partial(setattr, options, "name")
        words = "a", "ab", "abc"
        yield from seen_anew(wrap, lambda a: a * len(repr(options)), put, words)  # noqa: B023
        same = make(rate=1.0, name="a")
        yield from seen_anew(wrap, lambda a: a * (1 + (options == same)), put, words)  # noqa: B023
        put = functools.partial(setattr, options, "rate")
        yield from seen_anew(wrap, lambda a: a * options.rate, put, (1.0, 2.0, 3.0))  # noqa: B023


def test_a_namespace_of_options_is_no_reason_to_run_eagerly() -> None:
    options = argparse.Namespace(rate=0.5)
    f = dg.compile(lambda a: a * options.rate, wait=True)
    for _ in range(2):
        f(x())
    assert f.programs[0].calls == 1
    assert "argparse" in sys.modules

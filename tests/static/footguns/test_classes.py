"""Classes of the user's: what makes their objects, and methods of those that derive from builtins."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from tests.side_by_side import Wrap, both_modes
from tests.static.modes import normal

RATE = 2.0


def set_rate(value: float) -> None:
    globals()["RATE"] = value


@pytest.fixture(autouse=True)
def _rate() -> Any:
    set_rate(2.0)
    yield
    set_rate(2.0)


class Plain:
    def __init__(self) -> None:
        self.k = RATE

    @classmethod
    def make(cls) -> Plain:
        return cls()

    @property
    def fresh(self) -> Plain:
        return type(self)()

    def again(self) -> float:
        self.__init__()  # type: ignore[misc]
        return self.k


class ByNew:
    k: float

    def __new__(cls) -> Any:
        made = object.__new__(cls)
        made.k = RATE
        return made


@dataclasses.dataclass
class Record:
    a: Any = 1.0
    k: Any = dataclasses.field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.k = self.a * RATE


class Meta(type):
    def __call__(cls, *args: Any) -> Any:
        made = super().__call__(*args)
        made.k = RATE
        return made


class ByMeta(metaclass=Meta):
    k: float


class Base:
    def __init_subclass__(cls) -> None:
        cls.k = RATE  # type: ignore[attr-defined]

    def __class_getitem__(cls, item: Any) -> float:
        return RATE * item


def derived() -> float:
    class Derived(Base):
        k: float

    return Derived.k


class Pair(collections.namedtuple("Pair", "a b")):
    def __new__(cls, a: Any) -> Any:
        return super().__new__(cls, a, RATE)


plain, record, pair, kinds = Plain(), Record(), Pair(1.0), [Plain]


@pytest.mark.parametrize(
    "number",
    [
        lambda: Plain().k,
        lambda: type(plain)().k,
        lambda: plain.__class__().k,
        lambda: plain.make().k,
        lambda: plain.fresh.k,
        lambda: plain.again(),
        lambda: kinds[0]().k,
        lambda: functools.partial(Plain)().k,
        lambda: ByNew().k,
        lambda: Record(2.0).k,
        lambda: dataclasses.replace(record, a=3.0).k,
        lambda: ByMeta().k,
        lambda: derived(),
        lambda: Base[2],  # type: ignore[type-arg, valid-type]
        lambda: Pair(2.0).b,
        lambda: type(pair)(2.0).b,
    ],
)
def test_what_makes_objects_is_followed(number: Any) -> None:
    f = dg.compile(lambda x: x * number(), wait=True)
    for rate in (2.0, 3.0, 5.0):
        set_rate(rate)
        for _ in range(3):
            assert f(dg.ones(2)).tolist() == (dg.ones(2) * number()).tolist()


def _with_method(base: Any, *args: Any) -> Any:
    kind = type("Own", (base,), {"get": lambda self: RATE, "__module__": __name__})
    return kind(*args)


class Color(enum.Enum):
    RED = 1.0

    def get(self) -> float:
        return self.value * RATE


class Level(enum.IntEnum):
    LOW = 2

    def get(self) -> float:
        return self * RATE


@dataclasses.dataclass
class Config:
    scale: float = 1.0

    def get(self) -> float:
        return self.scale * RATE


OWN = {
    "tuple": lambda: _with_method(tuple, (1,)),
    "namedtuple": lambda: _with_method(collections.namedtuple("N", "a"), 1.0),
    "list": lambda: _with_method(list, [1.0]),
    "deque": lambda: _with_method(collections.deque, [1.0]),
    "set": lambda: _with_method(set, [1]),
    "frozenset": lambda: _with_method(frozenset, [1]),
    "dict": lambda: _with_method(dict, {"a": 1}),
    "ordered dict": lambda: _with_method(collections.OrderedDict, {"a": 1}),
    "float": lambda: _with_method(float, 2.0),
    "int": lambda: _with_method(int, 2),
    "str": lambda: _with_method(str, "ab"),
    "partial": lambda: _with_method(functools.partial, len),
    "array": lambda: np.ones(2).view(_with_method(np.ndarray, 1).__class__),
    "enum": lambda: Color.RED,
    "int enum": lambda: Level.LOW,
    "dataclass": Config,
}


@pytest.mark.parametrize("as_argument", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_methods_of_classes_that_derive_from_builtins_are_followed(
    name: str, as_argument: bool
) -> None:
    held = OWN[name]()
    if as_argument:
        f = dg.compile(lambda x, o: x * o.get(), wait=True)
        call = functools.partial(f, o=held)
    else:
        call = dg.compile(lambda x: x * held.get(), wait=True)
    for rate in (2.0, 3.0):
        set_rate(rate)
        for _ in range(3):
            assert call(dg.ones(2)).tolist() == [held.get()] * 2
    if not isinstance(held, enum.Enum):
        type(held).get = lambda self: 11.0
        assert call(dg.ones(2)).tolist() == [11.0] * 2


class Real(float):
    """A float, and not one."""


class Whole(int):
    """An int, and not one."""


def _told(v: Any) -> float:
    """A number of the type and the sign of what is given."""
    kinds = [bool, int, float, Real, Whole, Level, np.float32, np.float64, np.int64, range, dict]
    base = 1.0 + kinds.index(type(v))
    if type(v) is range:
        return base + v.stop * 100
    return (
        base + 100 * kinds.index(type(next(iter(v)))) if type(v) is dict else math.copysign(base, v)
    )


VALUES = [
    (1, True, 1.0, Real(1), Whole(1), np.float32(1), np.float64(1), np.int64(1)),
    (Level.LOW, 2, Whole(2), 2.0, Real(2)),
    (0.0, -0.0, Real(0.0), Real(-0.0), np.float32(-0.0)),
    (range(0, 3, 2), range(0, 4, 2), range(0), range(2, 1)),
    ({1: 1}, {True: 1}, {1.0: 1}),
]


@pytest.mark.parametrize("values", VALUES, ids=str)
def test_equal_values_of_other_types_are_told_apart(values: Any) -> None:
    held = [0]
    f = dg.compile(lambda x, v: x * _told(v), wait=True)
    g = dg.compile(lambda x: x * _told(held[0]), wait=True)
    for _ in range(3):
        for v in values:
            held[0] = v
            assert f(dg.ones(1), v).tolist() == [_told(v)]
            assert g(dg.ones(1)).tolist() == [_told(v)]


def test_attributes_of_numbers_are_looked_at() -> None:
    f = dg.compile(lambda x, v: x * v.gain, wait=True)
    for gain in (2.0, 3.0):
        v: Any = Real(1.0)
        v.gain = gain
        for k in (gain, gain + 0.5):
            v.gain = k
            for _ in range(3):
                assert f(dg.ones(1), v).tolist() == [k]


def test_arrays_of_other_classes_are_told_apart() -> None:
    with np.errstate(all="ignore"):
        f = dg.compile(lambda x, a: x * float((a * a).sum()), wait=True)
        plain, matrix = np.array([[1.0, 2.0], [3.0, 4.0]]), None
        matrix = plain.view(_with_method(np.ndarray, 1).__class__)
        type(matrix).__mul__ = lambda self, other: np.asarray(self) @ np.asarray(other)
        for _ in range(3):
            for a in (plain, matrix):
                assert f(dg.ones(1), a).tolist() == [float((a * a).sum())]


@pytest.mark.parametrize("other", [Whole(3), Real(3.0), decimal.Decimal(3), Level.LOW])
def test_numbers_that_change_meet_numbers_of_other_classes(other: Any) -> None:
    amount = 4

    def fn(x: Any) -> Any:
        number = other * amount + amount * other - other // amount
        return x * float(number) * (2.0 if amount < other else 1.0)

    f = dg.compile(fn, wait=True)
    for n in (4, 5, 2, 6):
        amount = n
        for _ in range(2):
            assert f(dg.ones(1)).tolist() == fn(dg.ones(1)).tolist()


def test_constructors_are_no_assumptions_of_objects_that_exist() -> None:
    class Net(dg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = dg.nn.Linear(2, 2)
            self.rate = RATE

        def forward(self, x: Any) -> Any:
            return self.inner(x) * self.rate

    f = dg.compile(Net(), wait=True)
    f(dg.ones(1, 2))
    assumed = f.programs[0].assumptions
    assert not any(a.name == "RATE" for a in assumed)
    assert len(assumed) < 80


@both_modes(12)
def test_values_that_are_worked_out_once(wrap: Wrap) -> Iterator[Any]:
    class Masked(nn.Module):
        size, scale = 3, 2.0

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        @functools.cached_property
        def mask(self) -> Any:
            return dg.tril(dg.ones(self.size, self.size)) * self.scale

        @functools.cached_property
        def half(self) -> float:
            return self.scale / 2

        def forward(self, x: Any) -> Any:
            return x @ (self.layer.weight * self.mask) * self.half

    m = Masked()
    run = wrap(m)
    for i in range(24):
        if i == 6:
            m.scale = 5.0  # too late for what is there already
        if i == 10:
            del m.mask
        if i == 14:
            m.mask = dg.ones(3, 3)
        if i == 18:
            del m.half
        if i == 20:
            Masked.half = 7.0  # what is there hides it
        yield run(normal(2, 3, seed=i)), vars(m).get("mask"), m.half

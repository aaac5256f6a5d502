"""Promotion: Python numbers that change become inputs of one program, and are never stale."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import frozen

RATES = (0.1, 0.2, 0.3, 0.05, 0.7, 0.2, 1.5, -0.0, 0.6, 0.1)
COUNTS = (2, 3, 4, 1, 3, 5, 2, 7, 0, 4)
ODD = (
    0.1,
    0.2,
    float("nan"),
    float("inf"),
    1,
    -0.0,
    0.0,
    True,
    np.float64(0.3),
    0.4,
    2,
    3,
    1e300,
    0.1,
)

X = np.linspace(-2, 3, 12, dtype=np.float32).reshape(3, 4)


def x() -> Any:
    return dg.tensor(X)


class World:
    """A program's state, and how a number gets into it: ``set(value)``, then ``args(value)`` for the call."""

    def __init__(self, fn: Any, args: Any = None, set: Any = None) -> None:
        self.fn = fn
        self.args = args or (lambda v: (x(), v))
        self.set = set or (lambda v: None)


def shown(world: World, fn: Any, value: Any) -> Any:
    world.set(value)
    try:
        return frozen(fn(*world.args(value)))
    except Exception as problem:
        return type(problem).__name__, str(problem).split(" at ")[0]


def follow(make: Callable[[], World], values: Any, **options: Any) -> Any:
    """Runs a program eagerly and compiled over changing numbers; equal to the bit. Gives the compiled function."""
    dg.manual_seed(7)
    world = make()
    expected = [shown(world, world.fn, v) for v in values]
    dg.manual_seed(7)
    world = make()
    compiled = dg.compile(world.fn, wait=True, **options)
    found = [shown(world, compiled, v) for v in values]
    for value, a, b in zip(values, expected, found, strict=True):
        assert a == b, f"at {value!r}:\n{a}\n{b}\n{compiled.explain()}"
    assert not [p.failure for p in compiled.programs if p.failure], compiled.explain()
    return compiled


# --- programs of strangers, each with the most programs it may take -------------------------------


def step_with_rate() -> World:
    p = dg.tensor(X.copy(), requires_grad=True)

    def step(inputs: Any, lr: float) -> Any:
        loss = ((p * inputs).tanh() ** 2).mean()
        (g,) = dg.autograd.grad(loss, [p])
        with dg.no_grad():
            p.sub_(lr * g)
        return loss, p

    return World(step)


def moving_average() -> World:
    kept = dg.zeros(3, 4)

    def update(inputs: Any, decay: float) -> Any:
        kept.mul_(decay).add_(inputs * (1 - decay))
        return kept * 1

    return World(update)


def annealed() -> World:
    class Model(dg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = 1.0

        def forward(self, inputs: Any) -> Any:
            return dg.softmax(inputs / (self.temperature + 2), -1)

    model = Model()
    return World(model, lambda v: (x(),), lambda v: setattr(model, "temperature", v))


def closure() -> World:
    tau = 1.0

    def put(v: Any) -> None:
        nonlocal tau
        tau = v

    return World(lambda inputs: inputs * tau + tau**2, lambda v: (x(),), put)


def module_attribute() -> World:
    config = types.ModuleType("settings_of_a_stranger")
    config.rate = 1.0  # type: ignore[attr-defined]
    return World(
        lambda inputs: inputs - config.rate, lambda v: (x(),), lambda v: setattr(config, "rate", v)
    )


def class_attribute() -> World:
    class Config:
        rate = 0.5

    return World(
        lambda inputs: inputs * Config.rate, lambda v: (x(),), lambda v: setattr(Config, "rate", v)
    )


def field_of_an_argument() -> World:
    @dataclasses.dataclass
    class Options:
        rate: float
        flag: bool = True

    return World(
        lambda inputs, o: inputs * o.rate if o.flag else inputs, lambda v: (x(), Options(v))
    )


def field_of_a_global() -> World:
    @dataclasses.dataclass
    class Options:
        rate: float = 0.5

    options = Options()
    return World(
        lambda inputs: inputs * options.rate,
        lambda v: (x(),),
        lambda v: setattr(options, "rate", v),
    )


def slotted() -> World:
    class Options:
        __slots__ = ("rate",)

    options = Options()
    options.rate = 0.5
    return World(
        lambda inputs: inputs * options.rate,
        lambda v: (x(),),
        lambda v: setattr(options, "rate", v),
    )


def entry_of_a_dict() -> World:
    config = {"a": {"rate": 1.0}}
    return World(
        lambda inputs: inputs * config["a"]["rate"], lambda v: (x(),),
        lambda v: config["a"].__setitem__("rate", v),
    )  # fmt: skip


def element_of_a_list() -> World:
    rates = [1.0, 2.0]
    return World(
        lambda inputs: inputs * rates[0] + rates[1],
        lambda v: (x(),),
        lambda v: rates.__setitem__(0, v),
    )


def nested_argument() -> World:
    return World(
        lambda inputs, o: inputs * o["rates"][0] + o["pair"][1],
        lambda v: (x(), {"rates": [v, 2.0], "pair": (1, 0.5)}),
    )


def in_a_tuple() -> World:
    return World(lambda inputs, pair: inputs * pair[0] + pair[1], lambda v: (x(), (v, 0.5)))


def both_change() -> World:
    state = {"b": 1.0}
    return World(
        lambda inputs, a: inputs * a + state["b"] * a,
        lambda v: (x(), v),
        lambda v: state.update(b=v * 3 + 1),
    )


def derived() -> World:
    return World(
        lambda inputs, v: inputs * (0.1 * v) + (v - 1) / 3 + (2 - v) // 0.7 + v % 0.3 - abs(-v)
    )


def in_the_result() -> World:
    return World(lambda inputs, v: {"loss": (inputs * v).sum(), "rate": v * 2, "list": [v, 1 - v]})


def branch() -> World:
    return World(lambda inputs, v: inputs * v if v > 0.25 else inputs - v)


def clipped() -> World:
    return World(lambda inputs, v: dg.clip(inputs, -abs(v), abs(v)) + min(v, 0.3) + max(v, 0.2))


def dropout() -> World:
    return World(lambda inputs, v: dg.nn.functional.dropout(inputs, min(abs(v), 0.9)))


def optimiser_option() -> World:
    p = dg.tensor(X.copy(), requires_grad=True)
    optimiser = dg.optim.SGD([p], lr=0.1, momentum=0.5)

    def step(inputs: Any) -> Any:
        optimiser.zero_grad()
        loss = (p * inputs).tanh().sum()
        loss.backward()
        optimiser.step()
        return loss, p

    def put(v: Any) -> None:
        optimiser.param_groups[0].update(momentum=abs(v) / 2 + 0.1, lr=abs(v) / 10)

    return World(step, lambda v: (x(),), put)


def gradient_outside() -> World:
    p = dg.tensor(abs(X) + 1, requires_grad=True)
    inner = [None]

    def loss(inputs: Any, v: Any) -> Any:
        return ((p * v) ** (v + 2.1)).sum() + (p**v).sum()

    def call(fn: Any) -> Any:
        def run(inputs: Any, v: Any) -> Any:
            p.grad = None
            out = fn(inputs, v)
            out.backward()
            return out, p.grad

        return run

    del inner
    world = World(loss)
    world.wrap = call  # type: ignore[attr-defined]
    return world


def gradient_inside() -> World:
    def loss(p: Any, v: Any) -> Any:
        return ((p * v) ** (v + 2.1)).sum() + (p ** (v * 3)).sum() + (v / p).sum()

    return World(lambda inputs, v: dg.value_and_grad(loss)(dg.abs(inputs) + 1, v))


def vmapped() -> World:
    return World(lambda inputs, v: dg.vmap(lambda row: (row * v).sum() + row**v)(dg.abs(inputs)))


def looped() -> World:
    return World(
        lambda inputs, v: functools.reduce(lambda a, k: a * v + k, range(3), inputs) * v**2
    )


def rounded() -> World:
    return World(lambda inputs, v: inputs * round(v, 1) + round(v))


def whole_step() -> World:
    return World(lambda inputs, n: inputs * n + n // 2 + n % 3 + (n & 1) + (n << 1) + 1 / (n + 1))


def power() -> World:
    return World(lambda inputs, n: inputs**n)


FEW = [
    step_with_rate, moving_average, annealed, closure, module_attribute, class_attribute, field_of_an_argument,
    field_of_a_global, slotted, entry_of_a_dict, element_of_a_list, nested_argument, in_a_tuple, both_change, derived,
    in_the_result, vmapped, looped, optimiser_option,
]  # fmt: skip


@pytest.mark.parametrize("make", FEW, ids=lambda f: f.__name__)
def test_a_number_that_changes_takes_one_program(make: Any) -> None:
    f = follow(make, RATES)
    assert len(f.programs) == 1, f.explain()
    assert "any float" in str(f.programs[0].assumptions), f.explain()
    assert "any float" in f.explain()
    assert f.programs[0].calls >= len(RATES) - 3, f.explain()


@pytest.mark.parametrize(
    "make", [branch, clipped, dropout, rounded, gradient_inside], ids=lambda f: f.__name__
)
def test_conditions_on_a_number_take_a_program_each(make: Any) -> None:
    assert len(follow(make, RATES).programs) <= 4


@pytest.mark.parametrize("make", [whole_step, looped], ids=lambda f: f.__name__)
def test_whole_numbers_are_promoted(make: Any) -> None:
    f = follow(make, COUNTS)
    assert len(f.programs) <= 2, f.explain()


@pytest.mark.parametrize(
    "make",
    [*FEW, branch, clipped, dropout, rounded, power, gradient_inside],
    ids=lambda f: f.__name__,
)
def test_odd_numbers_are_never_stale(make: Any) -> None:
    follow(make, ODD)


@pytest.mark.parametrize("native", [True, False])
def test_gradients_that_flow_through_a_call_with_promoted_numbers(native: bool) -> None:
    values = (0.6, 0.7, 0.95, 1.1, 2.5, 3.3)  # powers of 2 and 3 are products, and another program
    world = gradient_outside()
    eager = [frozen(world.wrap(world.fn)(x(), v)) for v in values]  # type: ignore[attr-defined]
    world = gradient_outside()
    f = dg.compile(world.fn, wait=True, backend="native" if native else "numpy")
    run = world.wrap(f)  # type: ignore[attr-defined]
    assert [frozen(run(x(), v)) for v in values] == eager
    assert len(f.programs) == 1, f.explain()


# --- numbers that code looks at -------------------------------------------------------------------


def _looks() -> dict[str, Any]:
    table = {0.1: 2.0, 0.2: 3.0, 2: 5.0, 3: 7.0}
    return {
        "exp": lambda a, v: a * math.exp(-v / 3),
        "cosine": lambda a, v: a * (0.5 * (1 + math.cos(math.pi * v / 10))),
        "sqrt": lambda a, v: a * math.sqrt(abs(v)),
        "floor": lambda a, v: a * math.floor(v) + math.ceil(v) + math.trunc(v),
        "np.float32": lambda a, v: a * np.float32(v),
        "np.sin": lambda a, v: a * float(np.sin(v)),
        "np array": lambda a, v: a * dg.asarray(np.ones(4, np.float32) * v),
        "np.where": lambda a, v: a * dg.asarray(np.where(X[0] > 0, v, X[0])),
        "np.array": lambda a, v: a * dg.asarray(np.array([v, 1, 2, 3])),
        "round": lambda a, v: a * round(v, 2),
        "int": lambda a, v: a * int(v * 10),
        "float": lambda a, v: a * float(v),
        "str": lambda a, v: a * len(str(v)),
        "repr": lambda a, v: a * len(repr(v)),
        "f-string": lambda a, v: a * float(f"{v:.1f}"),
        "percent": lambda a, v: a * float("%.3f" % v),  # noqa: UP031
        "format": lambda a, v: a * float(f"{v:5.2e}"),
        "dict": lambda a, v: a * table.get(v, 1.0),
        "set": lambda a, v: a * (2.0 if v in {0.2, 3} else 1.0),
        "list": lambda a, v: a * ([0.1, 0.2, 3].index(v) if v in [0.1, 0.2, 3] else 9),
        "isinstance": lambda a, v: a * (2 if isinstance(v, float) else 3 if isinstance(v, int) else 4),
        "type": lambda a, v: a * (2 if type(v) is float else 3 if type(v) is int else 4),
        "class": lambda a, v: a * (2 if v.__class__ is float else 3),
        "hash": lambda a, v: a * (hash(v) % 7),
        "bool": lambda a, v: a * 2 if v else a - 1,
        "sum": lambda a, v: a * sum([0.1, v, 0.3, 1e-17]),
        "fsum": lambda a, v: a * math.fsum([0.1, v, 0.3]),
        "max": lambda a, v: a * max(v, 0.15, 1) + min([v, 2]),
        "sorted": lambda a, v: a * sorted([v, 0.15, 3.5])[1],
        "divmod": lambda a, v: a * divmod(v + 7, 0.3)[1] + divmod(5, v + 8)[0],
        "pow": lambda a, v: a + pow(abs(v), 1.5) + 2**v,
        "negative power": lambda a, v: a + abs((v - 0.15) ** 0.5),
        "is_integer": lambda a, v: a * (2 if float(v).is_integer() else 3),
        "ratio": lambda a, v: a * (v.as_integer_ratio()[1] % 11),
        "hex": lambda a, v: a * len(float(v).hex()),
        "real": lambda a, v: a * v.real + v.imag + v.conjugate(),
        "no such": lambda a, v: a * v.nothing,
        "hasattr": lambda a, v: a * (1 if hasattr(v, "shape") else 2) * (3 if hasattr(v, "_value") else v),
        "complex": lambda a, v: a * abs(complex(v, 1)),
        "times complex": lambda a, v: a * abs(v * 1j + 2),
        "division": lambda a, v: a / (1 / (v - 0.2)),
        "caught": lambda a, v: _caught(a, v),
        "tensor": lambda a, v: a * dg.tensor(v) + dg.full((4,), v) + dg.tensor([v, v, 1, 2]),
        "compare": lambda a, v: a * (a > v) + (v < a) * 1.0 + dg.where(a > v, v, a),
        "string times": lambda a, v: a * len("ab" * int(abs(v))),
        "same": lambda a, v: a * (1 if v == v else 2) * (1 if v is v else 3),
        "in place": lambda a, v: (a * 1).mul_(v).add_(v).sub_(v * 2),
        "out of a list": lambda a, v: a * [w * 2 for w in (v, 1)][0],  # noqa: RUF015
        "generator": lambda a, v: a * max(w + v for w in (0.1, 0.2)),
        "unpacked": lambda a, v: _unpacked(a, *(v, 1), q=v),
        "match": lambda a, v: _matched(a, v),
        "nested functions": lambda a, v: _outer(a, v)(2.0),
        "lr_lambda": lambda a, v: a * _decay(v),
    }  # fmt: skip


def _caught(a: Any, v: Any) -> Any:
    try:
        return a * (1 / (v - 0.2))
    except ZeroDivisionError:
        return a - 5


def _matched(a: Any, v: Any) -> Any:
    if v == 0.2:
        return a * 5
    return a * v


def _unpacked(a: Any, *t: Any, **k: Any) -> Any:
    return a * t[0] + k["q"]


def _decay(step: Any) -> Any:
    return 1 / (1 + 0.1 * step)


def _outer(a: Any, v: Any) -> Any:
    def inner(w: Any) -> Any:
        return a * w * v

    return inner


LOOKS = _looks()


@pytest.mark.parametrize("values", [RATES, COUNTS, ODD], ids=["floats", "ints", "odd"])
@pytest.mark.parametrize("name", LOOKS)
def test_code_that_looks_at_a_number_is_right(name: str, values: Any) -> None:
    follow(lambda: World(LOOKS[name]), values, backend="numpy")


@pytest.mark.parametrize("values", [COUNTS, (3, 2, 0, 1, 2, 3, 0)], ids=["any", "in range"])
def test_whole_numbers_that_are_sizes_and_indices_are_right(values: Any) -> None:
    layers = [0.5, 1.5, 2.5, 3.5]
    programs = {
        "slice": lambda a, n: a[:, :n] * 2,
        "index": lambda a, n: a[:, min(n, 3)] + layers[min(n, 3)],
        "range": lambda a, n: sum((a * i for i in range(n)), a),
        "shape": lambda a, n: dg.zeros(n, 2) + dg.ones((n, 1)),
        "reshape": lambda a, n: a.reshape(min(max(n, 1), 2), -1),
        "repeat": lambda a, n: a.repeat(n, 1) if n else a,
        "multiply": lambda a, n: [a * i for i in [1] * n],
        "axis": lambda a, n: a.sum(n % 2),
        "roll": lambda a, n: dg.roll(a, n, 0),
        "arange": lambda a, n: dg.arange(n) * 2,
        "one_hot": lambda a, n: dg.nn.functional.one_hot(dg.arange(3), n + 3),
        "topk": lambda a, n: dg.topk(a, min(n, 4))[0],
        "dropout draws": lambda a, n: dg.rand(n, 2),
    }
    for fn in programs.values():
        follow(lambda fn=fn: World(fn), values, backend="numpy")


def test_a_number_is_promoted_ahead_of_any_change() -> None:
    f = dg.compile(lambda a, lr: a * lr, wait=True)
    f(x(), 0.5)
    p = f.programs[0]
    p.promote("lr")
    assert [frozen(f(x(), v)) for v in (0.5, 0.25, 0.75, 3.0)] == [
        frozen(x() * v) for v in (0.5, 0.25, 0.75, 3.0)
    ]
    assert len(f.programs) == 1 and f.programs[0].calls >= 2, f.explain()
    with pytest.raises(dg.ArgumentError, match=r"(?s)nothing.*lr"):
        f.programs[0].promote("nothing")


def test_state_is_promoted_ahead_of_any_change() -> None:
    config = {"rate": 0.5}
    f = dg.compile(lambda a: a * config["rate"], wait=True)
    f(x())
    f.programs[0].promote("rate")
    for v in (0.5, 0.25, 0.75, 3.0):
        config["rate"] = v
        assert frozen(f(x())) == frozen(x() * v)
    assert len(f.programs) == 1 and f.programs[0].calls >= 2, f.explain()


def test_a_number_that_is_looked_at_is_refused_with_the_line() -> None:
    f = dg.compile(lambda a, n: a * len(range(n)), wait=True)
    for n in (2, 3, 4, 3):
        assert frozen(f(x(), n)) == frozen(x() * n)
    assert "n is taken as a size: the code looks at its value at" in f.explain()
    for n in range(5, 9):
        assert frozen(f(x(), n)) == frozen(x() * n)
    assert "n is not promoted: with other values the code does something else" in f.explain()
    with pytest.raises(dg.ArgumentError, match="does something else"):
        f.programs[0].promote("n")


def test_live_numbers_do_not_stay_behind() -> None:
    kept: dict[str, Any] = {}
    cell: list[Any] = [None]

    def f(a: Any, v: float) -> Any:
        if v > 0.25:
            kept["v"] = v * 2
            cell[0] = v
        return a * v

    g = dg.compile(f, wait=True)
    for v in (0.1, 0.2, 0.3, 0.4):
        assert frozen(g(x(), v)) == frozen(x() * v)
        assert type(kept.get("v", 1.0)) is float and type(cell[0]) in (float, type(None))
        assert kept.get("v", v * 2) == v * 2


def test_errors_speak_of_plain_numbers() -> None:
    def told(f: Any, value: Any) -> str:
        with pytest.raises((TypeError, dg.DualgraphError)) as raised:
            f(dg.ones(4), value)
        return str(raised.value).split("\n")[0]

    for f in (lambda a, v: a * sum(v), lambda a, v: a[v] if type(v) is float else a[[v] * v] + "a"):
        g = dg.compile(f, wait=True)
        for value in (1, 2, 3, 1.0, 2.0, 3.0):
            assert told(g, value) == told(f, value)


def branching(a: Any, v: float) -> Any:
    b = a * 2 if a.sum() > 0 else a - 1
    return b * v


@pytest.mark.parametrize("nested", [False, True])
def test_a_path_found_later_holds_for_the_number_of_its_capture(nested: bool) -> None:
    """`v` is promoted at another size; a path of the plain program from before has it as a constant."""
    f = dg.compile((lambda t, v: branching(t[0], v)) if nested else branching, wait=True)
    for n, v, s in ((3, 1.5, 1), (2, 0.5, -1), (3, 1.5, 1), (4, 0.1, -1), (3, 1.5, -1), (3, 0.5, -1)):  # fmt: skip
        a = dg.ones(n) * s
        assert frozen(f((a,) if nested else a, v)) == frozen(branching(a, v)), (n, v, s)

"""Footguns: objects that a program reaches change, or answer in their own way. All must equal eager mode."""

from __future__ import annotations

import collections
import contextvars
import copy
import dataclasses
import enum
import functools
import os
import pickle
import types
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import leaf, x


@both_modes(0)
def test_equal_numbers_of_other_types(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, n: (a * n, type(n).__name__, repr(n)))
    for n in (
        1,
        True,
        1.0,
        np.float64(1),
        np.int32(1),
        np.bool_(True),
        -0.0,
        0.0,
        0,
        False,
        1 + 0j,
        1,
    ):
        yield f(x(), n)


@both_modes(0)
def test_a_closure_number_turns_into_an_equal_one_of_another_type(wrap: Wrap) -> Iterator[Any]:
    n: Any = 1
    f = wrap(lambda a: (a / n, dg.full((2,), n), n))
    for n in (1, 1, True, True, 1.0, 1.0, -0.0, 0.0, 0, 0.0, -0.0):
        yield f(x())


@both_modes(0)
def test_nan_as_a_key_and_as_an_argument(wrap: Wrap) -> Iterator[Any]:
    table = {float("nan"): 1.0}
    f = wrap(lambda a, n: a * n + sum(table.values()))
    nan = float("nan")
    for n in (nan, nan, float("nan"), 2.0, nan):
        yield f(x(), n)
        table[float("nan")] = 1.0


@both_modes(0)
def test_huge_integers_and_overflow(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, n: a * n)
    for n in (2**31, 2**62, 2**31, -(2**63)):
        yield f(dg.tensor([1, 2, 3]), n)
    for n in (2**63, 2**70, 10**400):
        yield attempt(lambda n=n: f(dg.tensor([1, 2, 3]), n))
        yield attempt(lambda n=n: f(x(), n))


@both_modes(0)
def test_unicode_strings_as_keys_and_arguments(wrap: Wrap) -> Iterator[Any]:
    table = {"größe": 2.0, "\u0063\u0327": 3.0, "\u00e7": 4.0, "": 5.0, "\U0001f600": 6.0}
    f = wrap(lambda a, key: a * table[key])
    for key in (*table, *table):
        yield f(x(), key)
    table["größe"] = 7.0
    yield f(x(), "größe")


class Colour(enum.Enum):
    RED = 1.0
    BLUE = 2.0


class Flags(enum.IntFlag):
    A = 1
    B = 2


@both_modes(0)
def test_enums_and_flags_in_a_closure(wrap: Wrap) -> Iterator[Any]:
    state = types.SimpleNamespace(colour=Colour.RED, flags=Flags.A)

    @wrap
    def f(a: Any) -> Any:
        a = a * state.colour.value
        return a + 1 if state.flags & Flags.B else a

    for colour in (*Colour, *Colour):
        for flags in (Flags.A, Flags.A | Flags.B):
            state.colour, state.flags = colour, flags
            yield f(x())


class Point(NamedTuple):
    a: Any
    b: Any


@both_modes(0)
def test_named_tuples_in_and_out(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda p: p._replace(a=p.a * 2, b=p))
    for _ in range(3):
        out = f(Point(x(), 2.0))
        yield out, type(out).__name__, isinstance(out.b, Point)
    yield f(Point(2.0, x()))


@dataclasses.dataclass
class Config:
    width: int = 2
    scale: float = 1.5
    more: list[float] = dataclasses.field(default_factory=list)


@both_modes(0)
def test_a_dataclass_of_settings_changes_deep_inside(wrap: Wrap) -> Iterator[Any]:
    config = Config()

    @wrap
    def f(a: Any) -> Any:
        for n in config.more:
            a = a + n
        return (a * config.scale)[:, : config.width]

    for change in ({}, {}, {"scale": 2.5}, {"width": 3}, {"more": [1.0]}, {"more": [1.0, 2.0]}, {}):
        for key, value in change.items():
            setattr(config, key, value)
        yield f(x())
        config.more.append(0.5)
        yield f(x())


@both_modes(0)
def test_a_dataclass_is_replaced(wrap: Wrap) -> Iterator[Any]:
    holder = types.SimpleNamespace(config=Config())
    f = wrap(lambda a: a * holder.config.scale)
    for scale in (1.0, 1.0, 2.0, 3.0):
        holder.config = dataclasses.replace(holder.config, scale=scale)
        yield f(x())


@both_modes(0)
def test_chain_maps_counters_and_default_dicts(wrap: Wrap) -> Iterator[Any]:
    low, high = {"a": 1.0, "b": 2.0}, {}
    chain = collections.ChainMap(high, low)
    counter = collections.Counter("aab")
    defaults: Any = collections.defaultdict(lambda: 0.5)
    f = wrap(lambda a: a * chain["a"] + chain["b"] * counter["a"] + defaults["new"])
    for i in range(4):
        yield f(x()), dict(defaults)
        high["a"] = 3.0 + i
        counter.update("a")
        defaults["new"] += 1


@both_modes(0)
def test_a_mapping_proxy_shows_what_changes_behind_it(wrap: Wrap) -> Iterator[Any]:
    hidden = {"scale": 2.0}
    shown = types.MappingProxyType(hidden)
    f = wrap(lambda a: a * shown["scale"] + len(shown))
    for i in range(4):
        yield f(x())
        hidden["scale"] += 1
        hidden[f"more {i}"] = 0.0


class Meter:
    """A property with a side effect, a lazy one, a class attribute and a descriptor."""

    unit = 2.0

    def __init__(self) -> None:
        self.reads = 0

    @property
    def scale(self) -> float:
        self.reads += 1
        return self.reads * 0.5

    @functools.cached_property
    def lazy(self) -> float:
        return self.unit * 3


@both_modes(0)
def test_a_property_with_a_side_effect(wrap: Wrap) -> Iterator[Any]:
    m = Meter()
    f = wrap(lambda a: a * m.scale)
    for _ in range(4):
        yield f(x()), m.reads


@both_modes(0)
def test_a_cached_property_and_a_class_attribute(wrap: Wrap) -> Iterator[Any]:
    class Own(Meter):
        pass

    m = Own()
    f = wrap(lambda a: a * m.lazy + m.unit)
    yield f(x()), f(x())
    Own.unit = 5.0
    yield f(x())
    del m.lazy
    yield f(x())
    m.unit = 7.0
    yield f(x())
    del m.unit, m.lazy
    Meter.unit = 11.0
    del Own.unit
    yield f(x()), f(x())
    Meter.unit = 2.0


@both_modes(0)
def test_getattr_hooks_and_slots(wrap: Wrap) -> Iterator[Any]:
    class Odd:
        __slots__ = ("real",)

        def __getattr__(self, name: str) -> float:
            return self.real * len(name)

    odd = Odd()
    odd.real = 1.5
    f = wrap(lambda a: a * odd.virtual + odd.real)
    for real in (1.5, 1.5, 2.5, 2.5):
        odd.real = real
        yield f(x())


@both_modes(0)
def test_the_class_of_an_object_is_swapped(wrap: Wrap) -> Iterator[Any]:
    class A:
        def act(self, a: Any) -> Any:
            return a * 2

    class B(A):
        def act(self, a: Any) -> Any:
            return a * 3

    thing = A()
    f = wrap(lambda a: thing.act(a))
    yield f(x()), f(x())
    thing.__class__ = B
    yield f(x()), f(x())
    B.act = A.act
    yield f(x())
    thing.act = lambda a: a * 5
    yield f(x())
    del thing.act
    yield f(x())


@both_modes(0)
def test_the_code_of_a_helper_is_replaced(wrap: Wrap) -> Iterator[Any]:
    def helper(a: Any, n: float = 2.0) -> Any:
        return a * n

    def other(a: Any, n: float = 2.0) -> Any:
        return a + n

    f = wrap(lambda a: helper(a))
    yield f(x()), f(x())
    helper.__defaults__ = (3.0,)
    yield f(x())
    helper.__code__ = other.__code__
    yield f(x()), f(x())


@both_modes(0)
def test_a_partial_and_its_state(wrap: Wrap) -> Iterator[Any]:
    numbers = [1.0, 2.0]
    part = functools.partial(lambda a, ns, k=1.0: a * sum(ns) * k, ns=numbers, k=2.0)
    f = wrap(lambda a: part(a))
    yield f(x()), f(x())
    numbers.append(3.0)
    yield f(x())
    part.keywords["k"] = 5.0
    yield f(x())
    part = functools.partial(part, k=7.0)
    yield f(x())


@both_modes(0)
def test_a_wrapper_with_state(wrap: Wrap) -> Iterator[Any]:
    def counting(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            wrapper.calls += 1
            return fn(*args) * wrapper.calls

        wrapper.calls = 0
        return wrapper

    helper = counting(lambda a: a + 1)
    f = wrap(lambda a: helper(a) + helper(a))
    for _ in range(4):
        yield f(x()), helper.calls


@both_modes(0)
def test_a_cleared_lru_cache_of_numbers(wrap: Wrap) -> Iterator[Any]:
    source = [2.0]

    @functools.lru_cache(maxsize=None)
    def scale(n: int) -> float:
        return source[0] * n

    f = wrap(lambda a, n: a * scale(n))
    for i in range(6):
        yield f(x(), i % 2), scale.cache_info().currsize
        source[0] += 1
        if i == 3:
            scale.cache_clear()


@both_modes(0)
def test_an_environment_variable(wrap: Wrap) -> Iterator[Any]:
    f = wrap(
        lambda a: a * float(os.environ.get("A_FOOTGUN", "1")) + len(os.environ.get("OTHER", ""))
    )
    for value in ("2", "2", "3", "4"):
        os.environ["A_FOOTGUN"] = value
        yield f(x())
    del os.environ["A_FOOTGUN"]
    yield f(x())


@both_modes(0)
def test_a_context_variable(wrap: Wrap) -> Iterator[Any]:
    scale: contextvars.ContextVar[float] = contextvars.ContextVar("scale", default=1.0)
    f = wrap(lambda a: a * scale.get())
    for value in (1.0, 2.0, 2.0, 3.0):
        token = scale.set(value)
        yield f(x())
        scale.reset(token)
        yield f(x()), contextvars.copy_context().run(f, x())


@both_modes(0)
def test_a_weak_reference_dies(wrap: Wrap) -> Iterator[Any]:
    class Held:
        scale = 3.0

    held: Any = Held()
    ref = weakref.ref(held)
    f = wrap(lambda a: a * (1.0 if ref() is None else ref().scale))
    yield f(x()), f(x())
    held.scale = 4.0
    yield f(x())
    held = None
    yield f(x()), f(x())


@both_modes(0)
def test_tensors_as_keys_of_a_dict(wrap: Wrap) -> Iterator[Any]:
    k1, k2 = x(), x()
    table = {k1: 2.0, k2: 3.0}
    f = wrap(lambda a, k: a * table[k] + len(table))
    for k in (k1, k2, k1, k2):
        yield f(x(), k)
    table[k1] = 5.0
    yield f(x(), k1)
    yield type(attempt(lambda: f(x(), x()))).__name__


@both_modes(0)
def test_identity_and_type_tests(wrap: Wrap) -> Iterator[Any]:
    state = x()

    class Special(dg.nn.Parameter):
        pass

    @wrap
    def f(a: Any, b: Any) -> Any:
        n = (
            (a is b)
            + 2 * (a is state)
            + 4 * isinstance(b, dg.nn.Parameter)
            + 8 * (type(b) is dg.Tensor)
        )
        return a * n + (16 if b is None else 0)

    p = dg.nn.Parameter(x())
    for a, b in (
        (state, state),
        (x(), state),
        (state, p),
        (p, p),
        (x(), None),
        (x(), Special(x())),
        (x(), x()),
    ):
        yield f(a, b)


@both_modes(0)
def test_a_parameter_is_tied_and_untied(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(3)
    net = dg.nn.Sequential(dg.nn.Linear(3, 3, bias=False), dg.nn.Linear(3, 3, bias=False))
    optimizer = dg.optim.SGD(net.parameters(), lr=0.1)

    @wrap
    def step(a: Any) -> Any:
        optimizer.zero_grad()
        loss = net(a).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    for i in range(8):
        if i == 2:
            net[1].weight = net[0].weight
            optimizer = dg.optim.SGD(net.parameters(), lr=0.1)
        if i == 5:
            net[1].weight = dg.nn.Parameter(net[0].weight.detach().clone())
            optimizer = dg.optim.SGD(net.parameters(), lr=0.1)
        yield step(x()), net[0].weight, net[1].weight, len(list(net.parameters()))


@both_modes(0)
def test_a_submodule_is_swapped_removed_and_added(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(4)
    net = dg.nn.Module()
    net.layers = dg.nn.ModuleList([dg.nn.Linear(3, 3), dg.nn.Tanh()])

    @wrap
    def f(a: Any) -> Any:
        for layer in net.layers:
            a = layer(a)
        return a

    yield f(x()), f(x())
    net.layers[1] = dg.nn.ReLU()
    yield f(x())
    net.layers.append(dg.nn.Linear(3, 2))
    yield f(x())
    del net.layers[0]
    yield f(x())
    net.layers = dg.nn.ModuleList()
    yield f(x()), f(x())


@both_modes(0)
def test_hooks_come_and_go(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(5)
    net, seen = dg.nn.Linear(3, 2), []
    f = wrap(lambda a: net(a) * 2)
    yield f(x()), f(x())
    handle = net.register_forward_hook(
        lambda m, args, out: seen.append(out.sum().item()) or out + 1
    )
    yield f(x()), list(seen)
    before = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    yield f(x()), list(seen)
    handle.remove()
    yield f(x()), list(seen)
    before.remove()
    yield f(x()), list(seen)


@both_modes(0)
def test_compiled_modules_are_copied_and_go_their_own_ways(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(6)
    one = wrap(dg.nn.Sequential(dg.nn.Linear(3, 2), dg.nn.Dropout(0.5)))
    yield one(x()), one(x())
    two = copy.deepcopy(one)
    three = pickle.loads(pickle.dumps(one))
    with dg.no_grad():
        for p in two.parameters():
            p.mul_(2)
    two.eval()
    for f in (one, two, three, one, two, three):
        yield f(x()), f.training


@both_modes(0)
def test_attributes_of_tensors(wrap: Wrap) -> Iterator[Any]:
    state = x()
    state.scale = 2.0
    f = wrap(lambda a: a * state.scale)
    g = wrap(lambda a: a * a.scale)
    for i in range(5):
        a = x()
        a.scale = 3.0 + i // 2
        yield f(a), g(a)
        state.scale += 1


@both_modes(0)
def test_arrays_behind_tensors_are_written(wrap: Wrap) -> Iterator[Any]:
    array = np.array([1.0, 2.0, 3.0], np.float32)
    shared = dg.from_numpy(array)
    part = dg.from_numpy(array[1:])
    f = wrap(lambda a: (a * shared, part + 1, shared.sum()))
    for i in range(4):
        yield f(x())
        array[i % 3] = 10.0 * i
        part.add_(1)


@both_modes(0)
def test_a_class_that_is_called_makes_its_own_number(wrap: Wrap) -> Iterator[Any]:
    class Scale(float):
        def __mul__(self, other: Any) -> Any:
            return other * (float(self) + 100)

        __rmul__ = __mul__

    f = wrap(lambda a, s: a * s)
    for s in (Scale(2.0), 2.0, Scale(2.0), Scale(3.0)):
        yield attempt(lambda s=s: f(x(), s))


@both_modes(0)
def test_recursive_containers_and_shared_ones(wrap: Wrap) -> Iterator[Any]:
    inner = [1.0]
    outer: dict[str, Any] = {"a": inner, "b": inner}
    outer["self"] = outer
    f = wrap(lambda a: a * outer["a"][0] + outer["self"]["b"][0])
    for i in range(4):
        yield f(x())
        outer["b"][0] += 1
        if i == 2:
            outer["a"] = [7.0]


@both_modes(0)
def test_requires_grad_flips_between_calls(wrap: Wrap) -> Iterator[Any]:
    w = leaf()
    f = wrap(lambda a: (a * w).tanh())
    for wanted in (True, False, False, True, True):
        w.requires_grad_(wanted)
        out = f(x())
        yield out.requires_grad, out
        if wanted:
            out.sum().backward()
            yield w.grad

"""Footguns: attributes, names and modules that are absent while a function is captured, and come later."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.jit import hot
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x


class Plain:
    """What attributes are put on."""


class Ignoring:
    """A context manager that forgets errors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> bool:
        return True


def by_default(o: Any) -> Any:
    return getattr(o, "scale", 1.0)


def by_question(o: Any) -> Any:
    return o.scale if hasattr(o, "scale") else 1.0


def by_its_class(o: Any) -> Any:
    try:
        return o.scale
    except AttributeError:
        return 1.0


def by_any_class(o: Any) -> Any:
    try:
        return o.scale
    except:  # noqa: E722
        return 1.0


def by_return(o: Any) -> Any:
    found = 1.0
    try:
        found = o.scale
    finally:
        return found  # noqa: B012


def by_suppress(o: Any) -> Any:
    with contextlib.suppress(AttributeError):
        return o.scale
    return 1.0


def by_manager(o: Any) -> Any:
    with Ignoring():
        return o.scale
    return 1.0


def by_dict(o: Any) -> Any:
    return vars(o).get("scale", 1.0)


ASKING = [by_default, by_question, by_its_class, by_any_class, by_return, by_suppress, by_manager]


def holders() -> list[Any]:
    def function() -> None: ...

    return [Plain(), dg.ones(3), nn.Linear(2, 2), types.ModuleType("made"), function]


@pytest.mark.parametrize("ask", [*ASKING, by_dict], ids=lambda f: f.__name__)
def test_an_attribute_comes_and_goes(ask: Callable[[Any], Any]) -> None:
    @both_modes(5)
    def whole(wrap: Wrap) -> Iterator[Any]:
        for holder in holders():
            f = wrap(lambda a, holder=holder: a * ask(holder))
            for i in range(9):
                if i == 4:
                    holder.scale = 2.0
                if i == 7:
                    del holder.scale
                yield f(x())

    whole()


@pytest.mark.parametrize("ask", ASKING, ids=lambda f: f.__name__)
def test_a_class_attribute_comes_and_goes(ask: Callable[[Any], Any]) -> None:
    @both_modes(2)
    def whole(wrap: Wrap) -> Iterator[Any]:
        class Base:
            pass

        class Own(Base):
            pass

        own = Own()
        f, g = wrap(lambda a: a * ask(own)), wrap(lambda a: a * ask(Own))
        for i in range(9):
            if i == 4:
                Base.scale = 2.0  # type: ignore[attr-defined]
            if i == 7:
                del Base.scale  # type: ignore[attr-defined]
            yield f(x()), g(x())

    whole()


@pytest.mark.parametrize("ask", [*ASKING, by_dict], ids=lambda f: f.__name__)
def test_an_argument_has_an_attribute_later(ask: Callable[[Any], Any]) -> None:
    @both_modes(1)
    def whole(wrap: Wrap) -> Iterator[Any]:
        f, g = wrap(lambda a: a * ask(a)), wrap(lambda a, d: a * ask(d["t"]))
        for i in range(12):
            a = x() * i
            if i > 7:
                a.scale = 2.0
            yield f(a), g(x(), {"t": a})

    whole()


@both_modes(2)
def test_special_methods_come_later(wrap: Wrap) -> Iterator[Any]:
    class Own:
        pass

    own: Any = Own()

    @wrap
    def called(a: Any) -> Any:
        try:
            return own(a)
        except TypeError:
            return a

    @wrap
    def asked(a: Any) -> Any:
        return a * (2 if own else 3) * (4 if callable(own) else 5) * isinstance(own, Iterable)

    for i in range(12):
        if i == 4:
            Own.__call__ = lambda self, a: a * 2  # type: ignore[attr-defined]
        if i == 6:
            Own.__len__ = lambda self: 0  # type: ignore[attr-defined]
        if i == 8:
            Own.__iter__ = lambda self: iter(())  # type: ignore[attr-defined]
        yield called(x()), asked(x())


@both_modes(1)
def test_a_module_can_be_imported_later(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        try:
            import comes_later  # type: ignore[import-not-found]
        except ImportError:
            return a
        return a * comes_later.scale

    try:
        for i in range(9):
            if i == 4:
                module: Any = types.ModuleType("comes_later")
                module.scale = 2.0
                sys.modules["comes_later"] = module
            if i == 7:
                del sys.modules["comes_later"]
            yield f(x())
    finally:
        sys.modules.pop("comes_later", None)


def test_a_parameter_is_marked_later() -> None:
    net = nn.Linear(3, 3)

    def penalty(a: Any) -> Any:
        return net(a) + sum((p * p).sum() for p in net.parameters() if not hasattr(p, "free"))

    f = dg.compile(penalty, wait=True)
    for i in range(9):
        if i == 5:
            net.bias.free = True  # type: ignore[attr-defined]
        assert f(x()).tolist() == penalty(x()).tolist()
    assert f.programs[0].calls > 2


@pytest.mark.parametrize("tagged", [False, True])
def test_an_attribute_hides_a_method_later(tagged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tensor - argument, from outside, in a list, a parameter - and of the engine's own objects."""
    monkeypatch.setattr(hot, "PATIENT", False)

    @both_modes(12)
    def whole(wrap: Wrap) -> Iterator[Any]:
        w, listed, layer, a = x(), [x()], nn.Linear(3, 3), x()
        owners: list[Any] = [w, listed[0], layer.weight, a]
        for t in owners if tagged else ():
            t.tag = "seen"
        fs = [
            wrap(lambda x: x.sum() * 2),
            wrap(lambda x: w.sum() * 2 + x),
            wrap(lambda x: listed[0].sum() + x),
            wrap(lambda x: layer.weight.sum() * x),
        ]
        optimizer = dg.optim.SGD(layer.parameters(), lr=0.1)

        @wrap
        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (layer(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        for i in range(60):
            if i == 40:
                for k, t in enumerate(owners):
                    t.sum = lambda k=k: dg.tensor(float(k))
                optimizer.step = lambda: None  # type: ignore[method-assign]
            if i == 50:
                for t in owners:
                    del t.sum
            yield [f(a) for f in fs], step(a)

    whole()

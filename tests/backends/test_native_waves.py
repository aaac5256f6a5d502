"""Steps that repeat a stencil go through memory together, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of some kilobytes count as large."""
    from dualgraph.backends.native.waves import chains

    monkeypatch.setattr(chains, "LARGE", 1 << 9)
    monkeypatch.setattr(chains, "BLOCK", 1 << 9)
    monkeypatch.setattr(chains, "CACHES", ((1 << 13, 2), (1 << 15, 2)))


def array(*shape: int, dtype: str = "float64") -> Any:
    return dg.from_numpy(RNG.standard_normal(shape).astype(dtype))


def heat(u: Any) -> Any:
    return u[1:-1, 1:-1] + 0.1 * (
        u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
    )


def written(steps: int) -> Callable[[Any], Any]:
    def run(u: Any) -> Any:
        u = u.clone()
        for _ in range(steps):
            u[1:-1, 1:-1] = heat(u)
        return u

    return run


def padded(steps: int) -> Callable[[Any], Any]:
    def run(u: Any) -> Any:
        for _ in range(steps):
            u = dg.nn.functional.pad(heat(u), (1, 1, 1, 1))
        return u

    return run


def joined(steps: int) -> Callable[[Any], Any]:
    def run(u: Any) -> Any:
        for _ in range(steps):
            middle = dg.concat([u[1:-1, :1], heat(u), u[1:-1, -1:]], axis=1)
            u = dg.concat([u[:1], middle, u[-1:]], axis=0)
        return u

    return run


def one_axis(steps: int) -> Callable[[Any], Any]:
    def run(u: Any) -> Any:
        u = u.clone()
        for _ in range(steps):
            u[2:-2] = (u[4:] + u[:-4] + 3.0 * u[3:-1]) * 0.2 + u[2:-2] * 0.25
        return u

    return run


def three_axes(steps: int) -> Callable[[Any], Any]:
    def run(u: Any) -> Any:
        u = u.clone()
        for _ in range(steps):
            inner = u[1:-1, 1:-1, 1:-1]
            around = u[2:, 1:-1, 1:-1] + u[:-2, 1:-1, 1:-1] + u[1:-1, 2:, 1:-1]
            u[1:-1, 1:-1, 1:-1] = inner * 0.5 + 0.1 * (around + u[1:-1, 1:-1, :-2])
        return u

    return run


def with_source(steps: int) -> Callable[..., Any]:
    def run(u: Any, source: Any, weight: Any) -> Any:
        u = u.clone()
        for _ in range(steps):
            u[1:-1, 1:-1] = heat(u) * weight + source[1:-1, 1:-1]
        return u, u.sum(0)

    return run


def two_fields(steps: int) -> Callable[..., Any]:
    """The wave equation: each step reads the two before."""

    def run(u: Any, v: Any) -> Any:
        for _ in range(steps):
            new = u.clone()
            new[1:-1, 1:-1] = 2.0 * u[1:-1, 1:-1] - v[1:-1, 1:-1] + (heat(u) - u[1:-1, 1:-1])
            u, v = new, u
        return u, v

    return run


def one_sided(steps: int) -> Callable[[Any], Any]:
    """Upwind: rows behind are read, none before."""

    def run(u: Any) -> Any:
        u = u.clone()
        for _ in range(steps):
            u[:-2] = u[:-2] * 0.75 + 0.125 * (u[1:-1] + u[2:])
        return u

    return run


def changing(steps: int) -> Callable[[Any], Any]:
    """Steps that differ: every third is another stencil."""

    def run(u: Any) -> Any:
        u = u.clone()
        for i in range(steps):
            u[1:-1, 1:-1] = heat(u) if i % 3 else heat(u) * 0.5 + u[2:, 2:]
        return u

    return run


def around(steps: int) -> Callable[[Any], Any]:
    """Periodic: the first row reads the last."""

    def run(u: Any) -> Any:
        for _ in range(steps):
            u = u * 0.5 + 0.25 * (dg.roll(u, 1, axis=0) + dg.roll(u, -1, axis=1))
        return u

    return run


def shrinking(steps: int) -> Callable[[Any], Any]:
    def run(u: Any) -> Any:
        for _ in range(steps):
            u = heat(u)
        return u

    return run


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], bool]] = {
    "written": (written(23), (array(97, 21),), True),
    "written, float32": (written(40), (array(300, 16, dtype="float32"),), True),
    "written, wide": (written(9), (array(33, 130),), True),
    "padded": (padded(17), (array(64, 33),), True),
    "joined": (joined(12), (array(80, 19),), True),
    "one axis": (one_axis(30), (array(3000),), True),
    "one axis, plus one": (one_axis(31), (array(3001, dtype="float32"),), True),
    "one axis, even": (one_axis(8), (array(2052),), True),
    "three axes": (three_axes(11), (array(41, 7, 9),), True),
    "with a source": (
        with_source(15),
        (array(90, 17), array(90, 17), array(88, 1)),
        True,
    ),
    "two fields": (two_fields(16), (array(120, 12), array(120, 12)), True),
    "one-sided": (one_sided(14), (array(150, 9),), True),
    "changing": (changing(14), (array(70, 20),), False),
    "around": (around(9), (array(60, 20),), False),
    "shrinking": (shrinking(9), (array(60, 40),), False),
}


def waves_of(compiled: Any) -> int:
    """How many waves the program of a compiled function has."""
    from dualgraph.backends.executor import _Instance
    from dualgraph.backends.native.waves import chains

    found: list[int] = []
    plain = chains.Chains.write
    with pytest.MonkeyPatch.context() as m:
        m.setattr(
            chains.Chains, "write", lambda self, place: (found.append(place), plain(self, place))
        )
        _Instance(compiled.programs[0]._built())
    return len(found)


def bits(result: Any) -> list[bytes]:
    leaves = result if isinstance(result, tuple) else (result,)
    return [x.numpy().tobytes() for x in leaves]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_the_bits_of_eager_mode(name: str) -> None:
    fn, arguments, wave = PROGRAMS[name]
    compiled = dg.compile(fn, wait=True, memory="1GB")
    want = bits(fn(*arguments))
    before = bits(arguments)
    assert bits(compiled(*arguments)) == want
    for _ in range(2):
        assert bits(compiled(*arguments)) == want
    assert bits(arguments) == before
    assert compiled.programs[0].calls == 2
    if wave:
        assert waves_of(compiled) > 0


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    before = dg.get_num_threads()
    dg.set_num_threads(threads)
    try:
        for name in ("written", "one axis", "two fields"):
            fn, arguments, _ = PROGRAMS[name]
            compiled = dg.compile(fn, wait=True, memory="1GB")
            compiled(*arguments)
            for _ in range(5):
                assert bits(compiled(*arguments)) == bits(fn(*arguments))
    finally:
        dg.set_num_threads(before)


def test_every_count_of_steps_and_rows() -> None:
    for steps in (2, 3, 4, 5, 7, 8, 11):
        for rows in (5, 17, 40 + steps):
            u = array(rows, 26)
            fn = written(steps)
            compiled = dg.compile(fn, wait=True, memory="1GB")
            compiled(u)
            assert bits(compiled(u)) == bits(fn(u)), (steps, rows)


def test_a_step_inside_of_a_loop_body() -> None:
    """Bodies of loops with several steps have waves of their own."""

    def run(u: Any) -> Any:
        return dg.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, padded(6)(c[1])), (0, u))[1]

    u = array(64, 18)
    compiled = dg.compile(run, wait=True, memory="1GB")
    want = u
    for _ in range(5):
        want = padded(6)(want)
    compiled(u)
    assert bits(compiled(u)) == bits(want)


class Residual(dg.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        nn = dg.nn
        self.one, self.two = (nn.Conv2d(width, width, 1, bias=False) for _ in range(2))
        self.first, self.second = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Any) -> Any:
        return dg.relu(self.second(self.two(dg.relu(self.first(self.one(x))))) + x)


def test_steps_with_memory_of_their_own_run_compiled() -> None:
    """The gradient of a batch norm holds rows in memory of its own, which is no array of the step."""
    model, x = Residual(64), array(16, 64, 17, 17, dtype="float32").requires_grad_()

    def run(x: Any) -> Any:
        return dg.autograd.grad(model(x).square().mean(), [x, *model.parameters()])

    expected = run(x)
    compiled = dg.compile(run, wait=True)
    for _ in range(3):
        for a, b in zip(compiled(x), expected, strict=True):
            assert bits(a) == bits(b)
    assert [p.calls for p in compiled.programs] == [2]

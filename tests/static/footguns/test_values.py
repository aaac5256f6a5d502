"""Footguns: values that Python takes out of tensors, and random numbers. All must equal eager mode, to the bit."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes, frozen
from tests.static.footguns.inputs import leaf, x


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
    with pytest.raises(dg.BoundsError, match="test_values"):
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
    f = wrap(
        lambda a: (
            a[:, dg.randperm(3)],
            dg.randint(0, 9, (4,)),
            dg.bernoulli(a.sigmoid()),
            dg.normal(0.0, 1.0, (2,)),
        )
    )
    g = wrap(lambda a: dg.multinomial(a.abs(), 2))
    for _ in range(3):
        yield f(x()), g(x())


@both_modes(0)
def test_methods_of_number_classes_meet_numbers_that_change(wrap: Wrap) -> Iterator[Any]:
    odd = float.is_integer
    f = wrap(lambda a, n: a * float.is_integer(n))
    g = wrap(lambda a, n: a * sum(map(odd, [n])))
    h = wrap(lambda a, n: a * int.bit_length(n))
    for n in (0.5, 1.5, 2.0, 3.0, 0.25):
        yield f(x(), n), g(x(), n), h(x(), int(n))


@both_modes(0)
def test_classes_of_numbers_by_other_names(wrap: Wrap) -> Iterator[Any]:
    kind, plus = float, functools.partial(float.__add__, 1.0)

    @wrap
    def f(a: Any, n: Any) -> Any:
        local = int
        try:
            return a * kind.is_integer(n) + plus(n) * local.bit_length(int(n))
        except TypeError:
            return a

    for n in (0.5, 1.5, 2.0, 3.0, 0.25):
        yield f(x(), n)


ARRAYS = np.ndarray
TOTALS = {"sum": functools.partial(np.ndarray.sum, axis=0)}
LOOKS: dict[str, Callable[[Any], Any]] = {
    "by its class": lambda a: np.ndarray.sum(a),
    "by its class, named otherwise": lambda a: ARRAYS.__getitem__(a, 1),
    "by a part of a table": lambda a: TOTALS["sum"](a),
    "in a map": lambda a: sum(map(np.ndarray.max, [a, a])),
    "by an attribute of its class": lambda a: np.ndarray.shape.__get__(a)[0],  # type: ignore[attr-defined]
    "by name": lambda a: getattr(np.ndarray, "mean")(a),  # noqa: B009
    "in bytes": lambda a: b"".join([a, a])[2] + int.from_bytes(a, "big") % 7,
    "in memory": lambda a: np.frombuffer(a, np.float32)[1],
}


def local_name(a: Any) -> Any:
    kind = np.ndarray
    return kind.astype(a, "i4").sum()


@pytest.mark.parametrize("look", [*LOOKS.values(), local_name], ids=[*LOOKS, "by a variable"])
def test_code_that_takes_arrays_and_nothing_that_stands_for_one(look: Callable[[Any], Any]) -> None:
    def f(v: Any, a: Any) -> Any:
        try:
            return v * 2, look(a)
        except TypeError:  # which eager mode does not raise
            return v, None

    compiled = dg.compile(f, wait=True)
    for i in range(3):
        a = np.arange(3, dtype=np.float32) + i
        assert frozen(compiled(x(), a)) == frozen(f(x(), a))


def test_statements_set_apart_look_into_arrays_unseen() -> None:
    def run(wrap: Wrap) -> list[Any]:
        log: list[Any] = []

        def f(v: Any, a: Any) -> Any:
            log.append((v.sum().item(), bytes(a)))
            log.append(np.ndarray.sum(a))
            return v * 2

        made = wrap(f)
        for i in range(6):
            log.append(made(x() * i, np.arange(3, dtype=np.uint8) + np.uint8(i)))
        return [frozen(v) for v in log]

    assert run(lambda f: dg.compile(f, wait=True)) == run(lambda f: f)

"""Functions of symbolic sizes that branch on values, and tensors made inside that get gradients."""

from __future__ import annotations

from typing import Any

import pytest

import dualgraph as dg
from tests.side_by_side import frozen

SIZES = (8, 16, 3, 8, 16, 3, 100, 7, 33, 2, 9, 8, 3)


def rows(n: int, by: float = 1.0) -> Any:
    return dg.reshape(dg.arange(1, 4 * n + 1, dtype="float32"), (n, 4)) * by / 9


def follow(make: Any, signs: Any) -> Any:
    """Calls what `make` gives at all sizes, with values of these signs in turn, in both modes."""
    eager, plain = make()
    other, state = make()
    compiled = dg.compile(other, wait=True)
    for i, n in enumerate(SIZES):
        x = rows(n, signs[i % len(signs)])
        assert frozen(compiled(x)) == frozen(eager(x)), n
        assert frozen(state) == frozen(plain), n
    return compiled


def checked() -> Any:
    def f(x: Any) -> Any:
        assert not dg.isnan(x).any()
        return (x * 2).mean(0)

    return f, None


def one_of_two() -> Any:
    return (lambda x: x + 1 if x.sum() > 0 else x - 1), None


def writing() -> Any:
    total = dg.zeros(4)

    def f(x: Any) -> Any:
        if x.sum() > 0:
            total.add_(x.sum(0))
            return total.sum()
        total.mul_(0.5)
        return total * x.mean()

    return f, total


def of_three() -> Any:
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x * 2 if x.max() > 1 else x * 3
        return x - 1

    return f, None


def turning() -> Any:
    def f(x: Any) -> Any:
        for _ in range(5):
            if x.sum() < 4:
                break
            x = x - 1
        return x

    return f, None


def training() -> Any:
    dg.manual_seed(0)
    layer = dg.nn.Linear(4, 2)
    how = dg.optim.AdamW(layer.parameters())

    def f(x: Any) -> Any:
        how.zero_grad()
        loss = layer(x).square().mean()
        if loss > 1e9:
            raise ValueError("it diverges")
        loss.backward()
        how.step()
        return loss.detach()

    return f, [p.detach() for p in layer.parameters()]


@pytest.mark.parametrize(
    ("make", "signs", "most"),
    [
        (checked, (1, -1), 2),
        (one_of_two, (1, 1, -1), 4),
        (writing, (1, -1, -1), 4),
        (training, (0.1,), 3),
        (of_three, (-1, 0.01, 10), 40),
        (turning, (0.1, 1, 3), 40),
    ],
)
def test_paths_are_right_at_all_sizes(make: Any, signs: Any, most: int) -> None:
    compiled = follow(make, signs)
    assert len(compiled.programs) <= most, compiled.explain()
    if most < 40:
        assert sum(p.calls for p in compiled.programs) >= len(SIZES) - most, compiled.explain()


def test_numbers_may_change_where_paths_do() -> None:
    def f(x: Any, v: float) -> Any:
        if x.sum() > 0:
            return x * v if x.max() > 1 else x - v
        return x + v

    compiled = dg.compile(f, wait=True)
    for i, n in enumerate(SIZES * 3):
        x, v = rows(n, (-1, 0.01, 10)[i % 3]), 0.5 if i < len(SIZES) else i / 8
        assert frozen(compiled(x, v)) == frozen(f(x, v)), i


def test_gradients_flow_out_of_the_path_that_a_call_takes() -> None:
    weight = dg.ones(4, requires_grad=True)

    def loss(x: Any) -> Any:
        y = (x * weight).mean()
        return y * y if y > 0 else y

    compiled = dg.compile(loss, wait=True)
    for i, n in enumerate(SIZES * 2):
        found = []
        for f in (loss, compiled):
            weight.grad = None
            out = f(rows(n, (-1) ** i))
            out.backward()
            found.append(frozen([out, weight.grad]))
        assert found[0] == found[1]
    assert len(compiled.programs) <= 4, compiled.explain()


def attack(x: Any, eps: float) -> Any:
    x = x.clone().detach().requires_grad_(True)
    (x * x).mean().backward()
    return (x + eps * x.grad.sign()).detach()


def fitted(x: Any, rate: float) -> Any:
    w = dg.zeros(4, requires_grad=True)
    for _ in range(3):
        ((x * w).sum(1) - 1).square().mean().backward()
        with dg.no_grad():
            w -= rate * w.grad
        w.grad = None
    return w.detach()


@pytest.mark.parametrize("fn", [attack, fitted])
def test_gradients_of_tensors_made_inside_are_no_state(fn: Any) -> None:
    compiled = dg.compile(fn, wait=True)
    for n in SIZES:
        assert frozen(compiled(rows(n), n / 100)) == frozen(fn(rows(n), n / 100))
    assert len(compiled.programs) <= 2, compiled.explain()


def test_a_result_that_is_made_inside_keeps_its_gradient() -> None:
    def f(x: Any) -> Any:
        t = dg.ones(4)
        t.grad = x.sum(0)
        return t

    compiled = dg.compile(f, wait=True)
    for n in SIZES[:4]:
        assert frozen(compiled(rows(n)).grad) == frozen(f(rows(n)).grad)
    assert not compiled.programs

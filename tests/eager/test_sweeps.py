"""Sweeps over tapes that come again: one compiled program, with the bits, errors and hooks of the sweep op by op."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api as native
from dualgraph.core.sweep import Whole
from dualgraph.sweeps import calls, template
from dualgraph.sweeps.template import entries_behind, match, template_of

F = dg.nn.functional
pytestmark = pytest.mark.skipif(not native.available(), reason="whole sweeps are native")
Loss = Callable[..., dg.Tensor]


@pytest.fixture(autouse=True)
def early(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each tape gets a template at once, and the second like it a program."""
    monkeypatch.setattr(calls, "SELDOM", 1)
    monkeypatch.setattr(calls, "OFTEN", 1)
    monkeypatch.setattr(Whole, "serve", staticmethod(calls.serve))
    monkeypatch.setattr(calls, "_row", calls.Row())
    calls._sites.clear()
    yield
    calls._sites.clear()


@pytest.fixture(params=["native", "python"])
def matcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What tells whether a tape is like a template."""
    name = str(request.param)
    if name == "python":
        monkeypatch.setattr(Whole, "match", None)
    else:
        install = pytest.importorskip("dualgraph.backends.native.quick.install")
        if Whole.match is None:
            install.install()
    return name


def runs() -> list[int]:
    """How many programs each site has."""
    return [sum(a.program is not None for a in s.known) for s in calls._sites.values()]


def served(fn: Callable[[], dg.Tensor], **more: Any) -> bool:
    """Runs ``fn().backward()``; whether that was one program."""
    inner, seen = Whole.serve, []
    assert inner is not None
    Whole.serve = staticmethod(lambda *call: seen.append(inner(*call)) or seen[-1])  # type: ignore[func-returns-value]
    try:
        fn().backward(**more)
    finally:
        Whole.serve = staticmethod(inner)
    return bool(seen and seen[-1])


def warm(fn: Callable[[], dg.Tensor]) -> None:
    for _ in range(3):
        fn().backward()
        calls.wait()


def normal(*shape: int, seed: int = 0, dtype: str = "float32", grad: bool = True) -> dg.Tensor:
    values = np.random.default_rng(sum(shape) + 31 * seed).standard_normal(shape).astype(dtype)
    return dg.tensor(values, requires_grad=grad)


def attention(x: dg.Tensor, w: dg.Tensor) -> dg.Tensor:
    q, k, v = (x @ w).split(4, -1)
    return (F.softmax(q @ k.transpose(-1, -2) * 0.5, -1) @ v).square().mean()


def recurrent(x: dg.Tensor, w: dg.Tensor) -> dg.Tensor:
    def step(h: dg.Tensor, row: dg.Tensor) -> tuple[dg.Tensor, dg.Tensor]:
        h = (h + row @ w).tanh()
        return h, h

    return dg.scan(step, dg.zeros(w.shape[1], dtype=x.dtype), x)[1].square().mean()


def lookup(x: dg.Tensor, w: dg.Tensor) -> dg.Tensor:
    return (x[dg.tensor([0, 2, 2])] @ w)[:, 1:].logsumexp(1).sum()


CASES: dict[str, tuple[Loss, list[tuple[int, ...]]]] = {
    "mlp": (lambda x, w, b: F.cross_entropy((x @ w + b).tanh(), dg.tensor([0, 1, 1])), [(3, 4), (4, 5), (5,)]),
    "turned weights": (lambda x, w, v: F.linear(F.linear(x, w).tanh(), v).sum(), [(3, 4), (5, 4), (2, 5)]),
    "one operand twice": (lambda x: (x * x + x.exp() * x).sum(), [(7,)]),
    "broadcasts": (lambda x, y: ((x + y) / (y * y + 1)).mean(), [(3, 4), (4,)]),
    "attention": (attention, [(2, 3, 4), (4, 12)]),
    "indexing": (lookup, [(4, 5), (5, 6)]),
    "recurrent": (recurrent, [(4, 5), (5, 5)]),
    "norm": (lambda x, w: (F.layer_norm(x, (6,), w) * x).sum(), [(5, 6), (6,)]),
    "several results": (lambda x: (x.sort(0)[0] * dg.arange(6.0)).sum() + x.max(0)[0].sum(), [(6, 6)]),
    "convolution": (lambda x, w: F.conv2d(x, w).relu().sum(), [(1, 2, 5, 5), (3, 2, 3, 3)]),
    "views": (lambda x: (x.reshape(3, 4).t()[1:, ::2] ** 2).sum() + x[3] * x[4], [(12,)]),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_whole_sweeps_give_the_bits_of_single_ops(
    case: str, dtype: str, matcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fn, shapes = CASES[case]
    warm(lambda: fn(*(normal(*s, dtype=dtype) for s in shapes)))
    for seed in (1, 2):
        args = [normal(*s, seed=seed, dtype=dtype) for s in shapes]
        assert served(lambda args=args: fn(*args))  # type: ignore[misc]
        own = [normal(*s, seed=seed, dtype=dtype) for s in shapes]
        with monkeypatch.context() as m:
            m.setattr(Whole, "serve", None)
            fn(*own).backward()
        for a, b in zip(args, own, strict=True):
            assert a.grad.numpy().tobytes() == b.grad.numpy().tobytes()
            assert a.grad.dtype is b.grad.dtype


def test_both_matchers_find_the_same() -> None:
    install = pytest.importorskip("dualgraph.backends.native.quick.install")
    if Whole.match is None:
        install.install()
    assert Whole.match is not None
    for fn, shapes in CASES.values():
        first, second = (fn(*(normal(*s, seed=k) for s in shapes)) for k in (0, 1))
        assert first._node is not None and second._node is not None
        template = template_of(first._node)
        assert template is not None
        slow, quick = match(template, second._node), Whole.match(template, second._node)
        assert slow is not None and quick is not None
        assert slow[0] == list(quick[0]) == entries_behind(second._node)
        assert all(a is b for a, b in zip(slow[1], quick[1], strict=True))


def test_what_differs_is_another_tape(matcher: str) -> None:
    x, y = normal(4, seed=1), normal(4, seed=2)

    def again(fn: Callable[[], dg.Tensor]) -> dg.Tensor:
        calls._sites.clear()
        warm(lambda: (x * y * 2.0).sum())
        assert served(lambda: (x * y * 2.0).sum())
        x.grad = y.grad = None
        assert not served(fn)
        return x.grad

    assert np.array_equal(again(lambda: (x * x * 2.0).sum()), 4 * x.detach())
    assert np.array_equal(again(lambda: (x * y * 3.0).sum()), 3 * y.detach())
    assert np.array_equal(again(lambda: (x * y * -0.0).sum()), -0.0 * y.detach())
    assert np.array_equal(again(lambda: (x * y.detach() * 2.0).sum()), 2 * y.detach())
    assert np.array_equal(again(lambda: (x[:3] * y[1:] * 2.0).sum())[:3], 2 * y.detach()[1:])
    z = normal(4, seed=3).double().detach().requires_grad_()
    assert np.array_equal(again(lambda: (x * z * 2.0).sum()), (2 * z.detach()).float())


def test_gradients_are_added_to_those_that_are_there(matcher: str) -> None:
    x = normal(5)
    warm(lambda: (x * x).sum())
    x.grad = dg.ones(5)
    before = x.grad
    assert served(lambda: (x * x).sum())
    assert x.grad is before and np.array_equal(x.grad, 1 + 2 * x.detach())


def test_gradients_have_memory_of_their_own(matcher: str) -> None:
    x, y = normal(5, seed=1), normal(5, seed=2)
    ct = dg.ones(5)
    for _ in range(3):
        (-x + y).backward(ct)
        calls.wait()
    x.grad = y.grad = None
    assert served(lambda: -x + y, gradient=ct)
    x.grad.mul_(3.0)
    assert y.grad.tolist() == ct.tolist() == [1.0] * 5 and x.grad.tolist() == [-3.0] * 5


def test_a_tape_is_swept_once_unless_retained(matcher: str) -> None:
    x = normal(5)
    warm(lambda: (x * x).sum())
    loss = (x * x).sum()
    assert served(lambda: loss, retain_graph=True) and served(lambda: loss)
    with pytest.raises(dg.AutogradError, match="retain_graph"):
        loss.backward()


def test_values_written_since_then_are_an_error(matcher: str) -> None:
    x = normal(5)

    def spoiled() -> dg.Tensor:
        y = x * 2
        loss = (y * y).sum()
        y.add_(1.0)
        return loss

    warm(lambda: ((z := x * 2) * z).sum())
    with pytest.raises(dg.AutogradError, match="changed in place"):
        spoiled().backward()
    out = (x * 2).exp()
    warm(lambda: (x * 2).exp().sum())
    loss = out.sum()
    out.mul_(2.0)
    with pytest.raises(dg.AutogradError, match="changed in place"):
        loss.backward()


def test_hooks_see_their_gradients(matcher: str) -> None:
    x, seen = normal(5), []
    warm(lambda: (x * x).sum())

    def hooked() -> dg.Tensor:
        y = x * x
        y.register_hook(lambda g: seen.append(g.tolist()))
        return y.sum()

    assert not served(hooked) and seen == [[1.0] * 5]
    handle = x.register_hook(lambda g: g * 0)
    x.grad = None
    assert not served(lambda: (x * x).sum()) and not x.grad.any()
    handle.remove()


def test_captures_and_second_gradients_see_the_ops(matcher: str) -> None:
    x = normal(5)
    warm(lambda: (x**3).sum())
    x.grad = None
    (x**3).sum().backward(create_graph=True)
    (g,) = dg.autograd.grad(x.grad.sum(), x)
    np.testing.assert_allclose(g.numpy(), 6 * x.detach().numpy(), rtol=1e-6)

    @dg.compile(wait=True)
    def step(x: dg.Tensor) -> dg.Tensor:
        leaf = x.detach().requires_grad_()
        (leaf**3).sum().backward()
        return leaf.grad

    for _ in range(3):
        np.testing.assert_allclose(step(x).detach(), 3 * x.detach() ** 2, rtol=1e-6)


def test_compiled_functions_that_are_dropped_leave_nothing_behind() -> None:
    x = dg.ones(3, requires_grad=True)
    f = dg.compile(lambda x: (x * x).sum(), wait=True)
    f(x)
    f(x).backward()
    f.wait()
    dropped = weakref.ref(f)
    del f
    gc.collect()
    assert dropped() is None
    assert not calls._sites


def test_tapes_that_never_come_again_have_no_programs() -> None:
    x = normal(4)
    for k in range(20):
        (x * float(k)).sum().backward()
        calls.wait()
    assert runs() == [0] and all(len(s.known) <= calls.MOST for s in calls._sites.values())


def test_operands_may_lie_otherwise_than_those_of_the_template(matcher: str) -> None:
    x, w = normal(3, 4), normal(5, 4)
    warm(lambda: F.linear(x, w).square().sum())
    other = dg.from_numpy(np.asfortranarray(w.detach().numpy())).requires_grad_()
    x.grad = None
    assert served(lambda: F.linear(x, other).square().sum())
    expected = 2 * (x @ w.T).T @ x
    assert np.array_equal(other.grad, expected.detach())


def test_gradients_of_turned_weights_lie_row_by_row() -> None:
    x, w = normal(3, 4), normal(5, 4)
    warm(lambda: F.linear(x, w).square().sum())
    (again,) = (a for s in calls._sites.values() for a in s.known)
    assert again.program is not None
    made = {v: n.prim.name for n in again.program.graph.nodes for v in n.outputs}
    assert "matmul" in [made[v] for v in again.program.graph.outputs]  # and no copy of it


def test_single_ops_and_what_takes_much_memory_have_no_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(template, "LARGEST", 2000)
    x, y = normal(20, 20), normal(3)
    warm(lambda: (x @ x).sum())
    warm(lambda: y.sum())
    assert runs() == [0]


def test_sweeps_of_much_memory_need_fewer_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "OFTEN", 100)
    monkeypatch.setattr(calls, "HEAVY", 10_000)
    x = normal(100, 100)
    for _ in range(4):
        (x * x).sum().backward()
        calls.wait()
    assert runs() == [1]


def test_a_tape_that_follows_many_alike_has_a_program_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(4)
    warm(lambda: (x**2.0).sum())
    monkeypatch.setattr(calls, "OFTEN", 100)
    for _ in range(calls.ROW):
        (x**2.0).sum().backward()
    for _ in range(calls.AGAIN + 1):
        (x.exp() ** 2.0).sum().backward()
    calls.wait()
    assert served(lambda: (x.exp() ** 2.0).sum())


def test_threads_sweep_tapes_of_one_template(matcher: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    warm(lambda: (normal(6).tanh() ** 2).sum())

    def one(seed: int) -> bool:
        x = normal(6, seed=seed)
        for _ in range(20):
            x.grad = None
            (x.tanh() ** 2).sum().backward()
        leaf = normal(6, seed=seed)
        t = leaf.detach().tanh()
        return bool(np.allclose(x.grad, 2 * t * (1 - t * t), rtol=1e-5, atol=1e-6))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(8)))


def test_the_tape_of_a_call_that_was_captured_is_swept_op_by_op(matcher: str) -> None:
    w = dg.randn(5, 3).requires_grad_()

    def f(x: dg.Tensor) -> dg.Tensor:
        return ((x @ w).tanh() / x.shape[0]).sum()

    x = dg.randn(4, 5)
    f(x).backward()
    expected = w.grad
    calls._sites.clear()
    for _ in range(3):
        w.grad = None
        dg.compile(f)(x).backward()
        assert w.grad is not None and expected is not None
        assert w.grad.numpy().tobytes() == expected.numpy().tobytes()

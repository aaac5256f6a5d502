"""Gradients of compiled calls: compiled, too, after the first; the bits, the errors and the order of eager mode."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn, optim
from dualgraph.merge import forms


def bits(t: Any) -> Any:
    return None if t is None else t.detach().numpy().tobytes()


def keeping(f: Any) -> list[Any]:
    """The programs that keep what gradients read."""
    return [p for p in f.programs if p.gradients is not None and p.gradients.keeping is not None]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.out(self.layer(x).mean(dim=1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.out(self.rnn(x)[0][:, -1])


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3), nn.Tanh()), (5, 6)),
    "dropout": (lambda: nn.Sequential(nn.Linear(6, 9), nn.Dropout(0.4), nn.GELU(), nn.Linear(9, 3)), (5, 6)),
    "norms": (lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.LayerNorm(8), nn.Linear(8, 3)), (5, 6)),
    "conv": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)),
        (4, 1, 8, 8),
    ),
    "encoder": (Encoder, (3, 5, 8)),
    "recurrent": (Recurrent, (3, 5, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_a_compiled_model_trained_from_outside_has_the_bits_of_eager(name: str) -> None:
    make, shape = NETS[name]

    def run(compiled: bool) -> tuple[list[Any], Any]:
        dg.manual_seed(0)
        model = make()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        f: Any = dg.compile(model, wait=True) if compiled else model
        seen: list[Any] = []
        for i in range(8):
            x, y = dg.randn(*shape), dg.randint(0, 3, (shape[0],))
            x.requires_grad_(i % 2 == 0)
            optimizer.zero_grad()
            loss = F.cross_entropy(f(x), y)
            loss.backward()
            optimizer.step()
            seen += [loss.item(), bits(x.grad)]
        return [*seen, *map(bits, model.parameters())], f

    eager, _ = run(False)
    compiled, f = run(True)
    assert compiled == eager
    assert keeping(f), f.explain()


def both(make: Callable[[Any], Callable[[], Any]], calls: int = 4) -> None:
    """What the calls give, eagerly and compiled: values, or kinds of errors."""

    def run(wrap: Any) -> list[Any]:
        dg.manual_seed(0)
        call, seen = make(wrap), []
        for _ in range(calls):
            try:
                out = call()
                seen.append([bits(t) for t in out])
            except dg.DualgraphError as error:
                seen.append(type(error))
        return seen

    assert run(lambda f: dg.compile(f, wait=True)) == run(lambda f: f)


def test_a_result_that_the_gradient_reads_may_not_be_written() -> None:
    w = dg.randn(3, requires_grad=True)
    f = dg.compile(dg.tanh, wait=True)
    for _ in range(3):
        f(w).sum().backward()
    assert keeping(f)
    y = f(w)
    y *= 2
    with pytest.raises(dg.AutogradError, match="in place"):
        y.sum().backward()


def test_an_input_that_the_gradient_reads_may_not_be_written() -> None:
    def make(wrap: Any) -> Any:
        w = dg.randn(3, requires_grad=True)
        f = wrap(lambda x: (x * w).sum())

        def call() -> Any:
            x = dg.ones(3)
            y = f(x)
            x += 1
            y.backward()
            return [w.grad]

        return call

    both(make)


def test_an_input_that_the_gradient_does_not_read_may_be_written() -> None:
    w = dg.ones(3, requires_grad=True)
    f = dg.compile(lambda x: (x + w).sum(), wait=True)
    for i in range(4):
        x, w.grad = dg.ones(3), None
        y = f(x)
        if i == 3:
            x += 1
        y.backward()
        assert w.grad.tolist() == [1.0, 1.0, 1.0]


def test_one_of_several_results_and_sums_begun_by_later_ops() -> None:
    def make(wrap: Any) -> Any:
        w = dg.randn(4, 4, requires_grad=True)
        f = wrap(lambda x: (x @ w, dg.exp(w).sum(), x.argmax(axis=1)))
        turn = iter(range(100))

        def call() -> Any:
            w.grad = None
            a, b, _ = f(dg.randn(2, 4))
            loss = [a.sum(), b, a.sum() + b, (a * w[:2]).sum() + (w * b).sum()][next(turn) % 4]
            loss.backward()
            return [w.grad]

        return call

    both(make, 12)


@pytest.mark.parametrize("pair", [lambda w: (w, w), lambda w: (w * 2,) * 2, lambda w: (w, w[:])])
def test_one_tensor_as_two_arguments_and_used_again_later(pair: Any) -> None:
    def make(wrap: Any) -> Any:
        w = dg.randn(4, requires_grad=True)
        f, g = wrap(lambda a, b: a * a + b), wrap(lambda a, b: a * b.sin() + b * a)

        def call() -> Any:
            w.grad = None
            a, b = pair(w)
            loss = f(a, b) * g(a, b) + a * w
            loss.sum().backward()
            return [w.grad]

        return call

    both(make, 6)


def test_two_tensors_of_one_result_have_one_sum() -> None:
    def make(wrap: Any) -> Any:
        w = dg.randn(4, requires_grad=True)
        f = wrap(lambda a, b: a * b.sin() + b * a)

        def call() -> Any:
            w.grad = None
            y = w * 2
            same = dg.checkpoint(lambda: y)()
            same._node, same._index = y._node, y._index
            (f(y, same) + y * w).sum().backward()
            return [w.grad]

        return call

    both(make, 4)


def test_gradients_are_compiled_where_promoted_numbers_only_decide() -> None:
    f = dg.compile(lambda x, a: (x * x).sum() if a < 1 else x.sum(), wait=True)
    x = dg.ones(4, requires_grad=True)
    for i in range(6):
        x.grad = None
        f(x, i / 8).backward()
        assert x.grad.tolist() == [2.0] * 4
    (program,) = f.programs
    assert program.gradients.backward is not None and program.gradients.keeping is not None


def test_twice_and_differentiated_again() -> None:
    def make(wrap: Any) -> Any:
        w = dg.randn(4, requires_grad=True)
        f = wrap(lambda x: (dg.tanh(w) * x).sum())

        def call() -> Any:
            w.grad = None
            y = f(dg.randn(4))
            y.backward(retain_graph=True)
            y.backward(retain_graph=True)
            (g,) = dg.autograd.grad(y, w, create_graph=True)
            (h,) = dg.autograd.grad((g * g).sum(), w)
            return [w.grad, g, h]

        return call

    both(make, 6)


def test_a_model_called_several_times_before_one_gradient() -> None:
    def make(wrap: Any) -> Any:
        net = nn.Sequential(nn.Linear(3, 5), nn.Sigmoid(), nn.Linear(5, 2))
        f = wrap(net)

        def call() -> Any:
            net.zero_grad()
            x = dg.randn(4, 3, requires_grad=True)
            sum((f(x * k) ** 2).sum() for k in range(1, 4)).backward()
            return [x.grad, *(p.grad for p in net.parameters())]

        return call

    both(make, 5)


def test_gradients_flow_on_through_arguments_that_are_no_leaves() -> None:
    before, net = nn.Linear(3, 4), nn.Linear(4, 2)
    f = dg.compile(net, wait=True)
    for _ in range(3):
        f(before(dg.ones(2, 3)).tanh()).sum().backward()
    (program,) = keeping(f)
    made = program.gradients.keeping._gradients.values()
    assert [job.given() is not None for job in made] == [True] * len(made)


def test_frozen_parameters_get_none_and_no_grad_keeps_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    net[0].weight.requires_grad_(False)
    f = dg.compile(net, wait=True)
    for _ in range(3):
        net.zero_grad()
        f(dg.ones(2, 3)).sum().backward()
        assert net[0].weight.grad is None and net[2].weight.grad is not None
    assert keeping(f)
    with dg.no_grad():
        assert not f(dg.ones(2, 3)).requires_grad


def test_threads_share_a_compiled_model() -> None:
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    f, wrong = dg.compile(net), []

    def work(seed: int) -> None:
        for i in range(25):
            x = dg.full((2, 3), seed + 0.1 * i, requires_grad=True)
            (got,) = dg.autograd.grad(f(x).sum(), x)
            (want,) = dg.autograd.grad(net(x).sum(), x)
            if bits(got) != bits(want):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("wait", [True, False])
def test_gradients_of_gradients_sum_in_the_order_of_eager_mode(wait: bool) -> None:
    def f(x: Any, w: Any) -> Any:
        y = x * w
        y[1:] += x[:-1] * 0.5
        return (y @ x.softmax(0)).sin() * x.tanh(), y.cos()

    def run(wrap: Any) -> list[Any]:
        dg.manual_seed(0)
        g, seen = wrap(f), []
        for _ in range(6):
            x, w = dg.randn(7, requires_grad=True), dg.randn(7, requires_grad=True)
            a, b = g(x, w)
            a, b = g(a + b * x, w)
            calls = []
            a.register_hook(lambda ct, calls=calls: calls.append(bits(ct)))
            first = dg.autograd.grad((a * b).sum() + a.sum(), [x, w, b], create_graph=True)
            second = dg.autograd.grad(sum((t * t).sum() for t in first), [x, w], create_graph=True)
            third = dg.autograd.grad(sum((t * t).sum() for t in second), [x, w])
            seen += [*map(bits, (*first, *second, *third)), *calls]
        return seen

    assert run(lambda f: dg.compile(f, wait=wait)) == run(lambda f: f)


def test_a_jacobian_of_a_compiled_result_has_the_bits_of_eager() -> None:
    def run(wrap: Any) -> list[Any]:
        dg.manual_seed(0)
        w = dg.randn(3, 4, requires_grad=True)
        f, seen = wrap(lambda x: (x @ w).tanh() * w.sum(0)), []
        for _ in range(4):
            x = dg.randn(3, requires_grad=True)
            y = f(x)
            rows = dg.vmap(lambda ct, y=y, x=x: dg.autograd.grad(y, [x, w], ct, retain_graph=True))
            seen += [*map(bits, rows(dg.eye(4))), *map(bits, dg.autograd.grad(y.sum(), [x, w]))]
        return seen

    assert run(lambda f: dg.compile(f, wait=True)) == run(lambda f: f)


def test_composites_under_no_grad_pass_no_gradient() -> None:
    def f(x: Any) -> Any:
        with dg.no_grad():
            weights = F.softmax(x, 0)
            scale = F.layer_norm(x * 2, (4,)).exp()
        return (x * weights * scale + F.gelu(x)).sum()

    def make(wrap: Any) -> Any:
        g = wrap(f)

        def call() -> Any:
            x = dg.randn(4, requires_grad=True)
            g(x).backward()
            return [x.grad]

        return call

    both(make)


def branching(wrap: Any, steps: int = 24, **options: Any) -> tuple[list[Any], Any]:
    """A model whose loss is looked at on the way, trained from outside: what it shows, and the compiled function."""
    dg.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3), nn.Dropout(0.3))
    w = dg.randn(3, requires_grad=True)

    def f(x: Any, y: Any) -> Any:
        h = net(x)
        with dg.no_grad():
            scale = (h * h).mean().sqrt()
        loss = ((h - y) ** 2 * w).mean() / scale
        if loss > 0.5:
            h = dg.tanh(h) * w
            loss = loss * 2 + h.sum()
        if h.mean() > 0:
            return loss.exp(), h
        return loss, h * 2

    g, seen = wrap(f, **options), []
    for i in range(steps):
        x, y = dg.randn(5, 4).requires_grad_(i % 3 == 0), dg.randn(5, 3)
        loss, h = g(x, y)
        (loss + h.sum() if i % 4 == 0 else loss).backward()
        seen += [bits(t) for t in (loss, h, x.grad, w.grad, *(p.grad for p in net.parameters()))]
        if i % 5 == 0:
            net.zero_grad()
            w.grad = None
    return seen, g


@pytest.mark.parametrize("options", [{}, {"memory": "1MB"}, {"backend": "numpy"}], ids=str)
def test_a_function_that_branches_has_compiled_gradients_on_every_path(options: Any) -> None:
    eager, _ = branching(lambda f: f)
    compiled, f = branching(dg.compile, wait=True, **options)
    assert compiled == eager
    kept = keeping(f)
    assert len(kept) >= 3, f.explain()
    assert all(p.gradients.keeping._gradients and p.gradients.keeping.needs.kept for p in kept)


def test_gradients_on_paths_are_compiled_beside_the_calls() -> None:
    eager, _ = branching(lambda f: f, steps=120)
    compiled, f = branching(dg.compile, steps=120)
    f.wait()
    assert compiled == eager


def test_a_gradient_that_does_not_fit_the_budget_runs_op_by_op() -> None:
    def make(wrap: Any) -> Any:
        w = dg.randn(64, 64, requires_grad=True)
        x = dg.randn(64, 64)
        f = wrap(lambda x: ((x @ w).tanh() @ w).sum())

        def call() -> Any:
            w.grad = None
            f(x).backward()
            return [w.grad]

        return call

    for budget in ("33KB", "50KB", "1MB"):
        dg.manual_seed(0)
        expected = [bits(g) for g in make(lambda f: f)()]
        dg.manual_seed(0)
        call = make(lambda f, budget=budget: dg.compile(f, wait=True, memory=budget))
        assert all([bits(g) for g in call()] == expected for _ in range(4))


def test_results_print_as_eager_ones_do() -> None:
    def apart(x: Any) -> Any:
        y = x * 2
        return y.sum(), y[0:1], (y.exp(), F.softmax(x, 0)), y.detach()

    def swept(x: Any) -> Any:
        loss = F.cross_entropy(x, dg.asarray(1))
        loss.backward()
        return loss

    x = dg.asarray([1.0, 2.0, 3.0]).requires_grad_()
    for fn in (apart, swept):
        compiled = dg.compile(fn, wait=True)
        assert [str(compiled(x)) for _ in range(4)] == [str(fn(x))] * 4
        assert compiled.programs[0].calls >= 2
    assert "grad_fn=<divide>" in str(swept(x))


def test_a_composite_in_one_kernel_prints_as_its_ops_do() -> None:
    x = dg.randn(20_000).requires_grad_()
    texts = set()
    for _ in range(4):
        texts.add(repr(F.softmax(x, 0)).split("grad_fn=")[1])
        forms.wait()
    assert texts == {"<divide>)"}


def test_what_ran_off_the_tape_is_stopped_only_where_gradients_may_flow() -> None:
    weight = dg.ones(3, requires_grad=True)

    def step(x: Any, swept: bool) -> Any:
        weight.grad = None
        with dg.no_grad():
            scale = weight * 2.0
        loss = (weight * x * scale).sum()
        if swept:
            loss.backward()
        return loss

    def stopped(swept: bool) -> int:
        compiled = dg.compile(step, wait=True)
        compiled(dg.ones(3), swept)
        nodes = compiled.programs[0].captured.nodes
        return sum(node.prim.name == "stop_gradient" for node in nodes)

    assert (stopped(True), stopped(False)) == (0, 1)

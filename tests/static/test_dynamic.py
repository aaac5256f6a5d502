"""Dynamic shapes: one symbolic program serves all sizes, with the bits of eager mode and without compiling."""

from __future__ import annotations

import collections
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn, optim
from dualgraph.backends.ground import Ground
from dualgraph.jit import sizes
from dualgraph.jit.compile import Compiled
from dualgraph.jit.dynamic import Template

SIZES = (4, 6, 1, 2, 3, 17, 5, 32)


def same(a, b):
    if isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
        return
    a, b = (np.asarray(v.detach() if isinstance(v, dg.Tensor) else v) for v in (a, b))
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        finite = ~np.isnan(a)
        np.testing.assert_array_equal(np.signbit(a)[finite], np.signbit(b)[finite])


def check(fn, make, sizes=SIZES, programs=2, **how):
    """Runs `fn` compiled and eager on ``make(rng, size)`` for all sizes; gives the compiled function."""
    compiled = dg.compile(fn, wait=True, **how)
    for round_ in range(2):
        for n in sizes:
            args = make(np.random.default_rng(n), n)
            expected, got = fn(*args), compiled(*args)
            same(got, expected)
        if round_ == 0:
            captures = len(compiled._log)
    assert len(compiled._log) == captures
    assert len(compiled.programs) <= programs, compiled.explain()
    assert not any(p.failure for p in compiled.programs), compiled.explain()
    return compiled


def tensor(rng, *shape):
    return dg.tensor(rng.standard_normal(shape).astype(np.float32))


W = tensor(np.random.default_rng(0), 5, 7)
B = tensor(np.random.default_rng(1), 7)


def pointwise(x):
    return (x * 2 + 1).exp() / 3


def dense(x):
    return ((x @ W + B).relu() * 0.5).sum(1)


def softmax(x):
    return dg.softmax(x @ W, axis=-1).mean(0)


def mean_and_spread(x):
    return x.mean(), x.mean(0), x.mean(1), x.var(0, unbiased=False), x.sum() / 3


def normalised(x):
    return F.layer_norm(x, (5,)), (x - x.mean(0, keepdim=True)) / (x.std(0, keepdim=True) + 1)


def flattened(x):
    return x.reshape(-1), x.reshape((-1, 1, 5)), x.flatten(), x.T


def joined(x):
    return dg.concat([x, x * 2], axis=0), dg.stack([x, x]), F.pad(x, (1, 2))


def sliced(x):
    return x[1:], x[:, 1:3] * 2, x[::2], x[-1:], dg.flip(x, axis=0) + 1


def created(x):
    return x + dg.zeros_like(x) + 1, dg.ones_like(x) * x, x * dg.arange(5)


def scores(x):
    return dg.softmax(x @ x.T, axis=-1) @ x


def masked(x):
    return dg.where(x > 0, x, -x), dg.tril(x @ x.T)


def chosen(x):
    return x.max(1), x.argmax(0), dg.sort(x, axis=0), dg.cumulative_sum(x, axis=0)


def windows(x):
    y = x.reshape((1, 1, -1, 5))
    return (
        F.max_pool2d(y, (1, 2)),
        F.avg_pool2d(y, (1, 2)),
        F.conv2d(y, W[:3, :3].reshape((1, 1, 3, 3)), padding=1),
    )


def in_place(x):
    y = x.clone()
    y += 1
    y[0] = 0
    return y * 2


def views(x):
    return x, x[0], x.T


FUNCTIONS = [
    pointwise, dense, softmax, mean_and_spread, normalised, flattened, joined, sliced, created,
    scores, masked, chosen, windows, in_place, views,
]  # fmt: skip


@pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda f: f.__name__)
def test_one_symbolic_program_serves_all_batches(fn):
    compiled = check(fn, lambda rng, n: (tensor(rng, n, 5),))
    symbolic = [p for p in compiled.programs if isinstance(p, Template)]
    assert symbolic and symbolic[0].read_at is None
    for graph in (symbolic[0].graph, symbolic[0].captured):
        assert dg.parse(str(graph)) == graph and str(dg.parse(str(graph))) == str(graph)
    assert "s0" in str(symbolic[0].graph) and "symbolic size: s0" in compiled.explain()


def slopes(x):
    pairs = x[:, None] * x[None]
    slope = dg.grad(lambda x: (x.mean(0) * x + x.std(0)).sum() + (x[:, None] * pairs).sum())(x)
    return slope, pairs, x.var(0), dg.eye(x.shape[0]), dg.cdist(x, x)


def drawn(x):
    dg.manual_seed(1)
    return F.dropout(x, 0.5) * dg.rand(x.shape[0], 1)


NEW = [pointwise, dense, softmax, joined, mean_and_spread, slopes, drawn]


@pytest.mark.parametrize("fn", NEW, ids=lambda f: f.__name__)
def test_a_new_size_is_neither_captured_nor_compiled(fn, monkeypatch):
    compiled = check(fn, lambda rng, n: (tensor(rng, n, 5),), sizes=(4, 6))
    captured = []
    monkeypatch.setattr(
        Compiled,
        "_capture",
        lambda self, *a, **k: captured.append(1) or self._captured_function(*a[1]),
    )
    for n in (3, 8, 50, 2, 1, 0):
        x = tensor(np.random.default_rng(n), n, 5)
        same(compiled(x), fn(x))
    assert not captured and len(compiled.programs) == 2


def reads_sizes(x):
    n, k = x.shape
    y = x.view(x.size(0), -1) / x.shape[0] + dg.zeros(x.shape[0], k) * len(x)
    y = y.reshape(-1, k).expand(n, k) + dg.arange(n)[:, None] / x.numel() + x.size
    return y * n**0.5 + dg.vmap(lambda row: row.sum() / row.shape[0] + len(row))(x)[:, None], n // 2


def test_code_that_reads_sizes_runs_from_the_symbolic_program_at_once(monkeypatch):
    compiled = check(reads_sizes, lambda rng, n: (tensor(rng, n, 5),), sizes=(4, 6))
    monkeypatch.setattr(Compiled, "_capture", lambda *a, **k: pytest.fail("captured"))
    for n in (3, 8, 50, 2, 7, 33):
        x = tensor(np.random.default_rng(n), n, 5)
        same(compiled(x)[0], reads_sizes(x)[0])
        assert compiled(x)[1] == n // 2 and type(compiled(x)[1]) is int
    assert len(compiled.programs) == 2 and not compiled._eager_calls
    assert "tried with an eager run first" not in compiled.explain()


def test_a_loader_whose_last_batch_is_smaller_runs_eagerly_twice_at_most():
    data = [tensor(np.random.default_rng(i), n, 5) for i, n in enumerate((8, 8, 8, 3))]
    compiled = dg.compile(lambda x: dense(x).sum() / len(x), wait=True)
    for _ in range(3):
        for x in data:
            same(compiled(x), dense(x).sum() / len(x))
    assert len(compiled._log) == 2 and compiled._eager_calls == 0


def test_declared_sizes_need_one_capture_alone():
    compiled = dg.compile(dense, wait=True, dynamic={"x": {0: "batch"}})
    for n in (4, 6, 3, 9, 1, 0):
        x = tensor(np.random.default_rng(n), n, 5)
        same(compiled(x), dense(x))
    assert len(compiled._log) == 1 and len(compiled.programs) == 1


@pytest.mark.parametrize(
    "read", [lambda n: [3.0, 1.0][n % 2], lambda n: int(n), lambda n: len(f"{n}"), lambda n: {4: 1.0}.get(n, 2.0)]
)  # fmt: skip
def test_a_size_that_is_read_as_a_number_is_tried_first(read):
    def f(x):
        return x * read(x.shape[0])

    compiled = check(f, lambda rng, n: (tensor(rng, n, 5),), (4, 6, 8, 7, 100, 5), programs=64)
    assert "tried with an eager run first" in compiled.explain()


def test_the_start_of_a_result_is_not_written_past_its_end():
    def f(x):
        return (x * 2).reshape(-1)[:-2], (x + 1)[:3]

    check(f, lambda rng, n: (tensor(rng, n, 5),), sizes=(4, 6, 9, 300, 5), programs=3)


def test_plans_of_other_sizes_keep_live_buffers_apart():
    def f(x):
        a, b = x @ W, (x * 2).sum(1, keepdim=True)
        return dg.softmax(a + b, axis=-1) @ a.T @ dg.sort(x, axis=0) + x.cumsum(0)

    compiled = check(f, lambda rng, n: (tensor(rng, n, 5),))
    (template,) = (p for p in compiled.programs if isinstance(p, Template))
    for n in (2, 3, 17, 70, 300):
        memory = template.at((n,)).memory
        for i, a in enumerate(memory.buffers):
            for b in memory.buffers[:i]:
                starts = memory.offsets[a.id], memory.offsets[b.id]
                apart = starts[0] + a.nbytes <= starts[1] or starts[1] + b.nbytes <= starts[0]
                assert apart or not a.meets(b)
        assert memory.arena_bytes <= 1.1 * memory.lower_bound_bytes + 64


def test_calls_of_new_sizes_are_foretold():
    compiled = dg.compile(dense, wait=True)
    for n in (4, 6):
        assert not compiled.would_compile(dg.ones(n, 5))
        compiled(dg.ones(n, 5))
    assert compiled.would_compile(dg.ones(9, 5)) and not compiled.would_compile(dg.ones(9, 4))


def test_an_empty_batch():
    compiled = check(pointwise, lambda rng, n: (tensor(rng, n, 5),), sizes=(4, 6, 0, 3, 0))
    assert len(compiled.programs) == 2


def test_an_empty_batch_that_is_excluded_runs_eagerly_until_it_came_often(monkeypatch):
    monkeypatch.setattr(sizes, "MAX_EMPTY", 3)
    steps = lambda x: x[1:] - x[:-1]  # noqa: E731
    compiled = check(steps, lambda rng, n: (tensor(rng, n, 5),), sizes=(4, 6, 0, 1))
    assert compiled._eager_calls == 2
    for seen in (2, 2, 3):
        assert len(compiled.programs) == seen
        compiled(dg.ones(0, 5))
    assert compiled._eager_calls == 3


def test_sizes_that_go_together_are_one_symbol():
    def loss(x, y):
        return F.cross_entropy(x @ W, y)

    def make(rng, n):
        return tensor(rng, n, 5), dg.tensor(rng.integers(0, 7, n))

    compiled = check(loss, make)
    (template,) = (p for p in compiled.programs if isinstance(p, Template))
    assert len(template.symbols) == 1


def test_several_symbols():
    def product(x, y):
        return (x @ y).relu().sum(0), (x.T * 2).reshape(-1)

    def make(rng, n):
        return tensor(rng, n, n + 3), tensor(rng, n + 3, 2 * n)

    check(product, make, programs=3)


def test_sizes_that_fit_though_their_formulas_do_not_show_it():
    def fn(x, y):
        rows = dg.cat([x, y]).reshape(-1, x.shape[1] // 2).reshape(-1, x.shape[1])
        return dg.autograd.grad((rows * rows).sum(), [x])[0]

    def make(rng, n):
        return tensor(rng, n, 8).requires_grad_(), tensor(rng, n, 8)

    check(fn, make, sizes=(3, 7, 1), programs=1, dynamic=True)


def test_more_sizes_change_later():
    compiled = dg.compile(dense_of, wait=True)
    rng = np.random.default_rng(0)
    for shape in [(4, 5), (6, 5), (8, 5), (6, 3), (9, 2), (2, 7), (9, 9)]:
        x, w = tensor(rng, *shape), tensor(rng, shape[1], 3)
        for _ in range(2):
            same(compiled(x, w), dense_of(x, w))
    assert len(compiled.programs) <= 3, compiled.explain()


def dense_of(x, w):
    return (x @ w).relu().mean(0)


# --- training ------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.3)
        self.dense = nn.Linear(27, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.dense(self.drop(x).flatten(1))


def trainer(make_optimiser):
    dg.manual_seed(3)
    net = Net()
    optimiser = make_optimiser(net.parameters())

    def step(x, y):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        return loss

    return net, step


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.Adam(p, lr=0.01)]
)
def test_a_training_step_with_batches_of_any_size(make):
    eager_net, eager = trainer(make)
    net, step = trainer(make)
    compiled = dg.compile(step, wait=True)
    for n in (8, 8, 12, 12, 5, 3, 8, 2, 17, 12):
        rng = np.random.default_rng(n)
        x, y = tensor(rng, n, 1, 6, 6), dg.tensor(rng.integers(0, 4, n))
        dg.manual_seed(n)
        expected = eager(x, y)
        dg.manual_seed(n)
        same(compiled(x, y), expected)
        for p, q in zip(net.parameters(), eager_net.parameters(), strict=True):
            same(p, q)
    assert len(compiled.programs) <= 3, compiled.explain()


def test_gradients_flow_through_calls_of_any_size():
    w = tensor(np.random.default_rng(2), 5, 3)
    w.requires_grad_()

    def f(x):
        return ((x @ w).tanh() / x.shape[0]).sum()

    compiled = dg.compile(f, wait=True)
    for n in (4, 7, 2, 9, 4):
        x = tensor(np.random.default_rng(n), n, 5).requires_grad_()
        grads = []
        for call in (f, compiled, compiled):
            w.grad = x.grad = None
            call(x).backward()
            grads.append((w.grad, x.grad))
        for g in grads[1:]:
            same(g[0], grads[0][0])
            same(g[1], grads[0][1])
    assert len(compiled.programs) == 2


def test_random_draws_depend_on_the_size():
    def noisy(x):
        return x + dg.randn(*x.shape) + dg.rand_like(x)

    compiled = dg.compile(noisy, wait=True)
    for n in (4, 6, 5, 9, 3, 6):
        x = tensor(np.random.default_rng(n), n, 4)
        dg.manual_seed(n)
        expected, after = noisy(x), dg.rand(3)
        dg.manual_seed(n)
        same(compiled(x), expected)
        same(dg.rand(3), after)


# --- code that looks at sizes --------------------------------------------------------------------


def counts(x):
    out = x[0] * 0
    for i in range(x.shape[0]):
        out = out + x[i] * i
    return out


def branches(x):
    return x.sum(0) if x.shape[0] > 5 else x.mean(0)


def table(x):
    return x.sum() * [1.0, 2.0, 3.0, 5.0, 7.0, 11.0][x.shape[0] % 6]


def odd_ones(x):
    return x * 2 if x.shape[0] % 2 else x * 3


def divides(x):
    return x.sum(0) / x.shape[0] + 1.0 / len(x)


def reads_text(x):
    return x * len(f"{x.size(0)}")


def keeps_shape(x):
    n, k = x.shape
    return x.view(n * k).reshape(n, k) + x.reshape(n, -1)


def roots(x):
    return x / x.shape[0] ** 0.5


@pytest.mark.parametrize(
    "fn", [counts, branches, table, odd_ones, divides, reads_text, keeps_shape, roots],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_functions_that_look_at_sizes_stay_right(fn):
    check(fn, lambda rng, n: (tensor(rng, n, 5),), sizes=(4, 6, 5, 7, 12, 3, 100, 8), programs=64)


def test_sizes_read_by_the_users_code_go_through_where_only_shapes_depend_on_them():
    compiled = check(keeps_shape, lambda rng, n: (tensor(rng, n, 5),))
    assert "tried with an eager run first" not in compiled.explain()


def test_a_size_in_the_result():
    def f(x):
        return x.sum(), x.shape[0]

    compiled = dg.compile(f, wait=True)
    for n in (4, 6, 5, 9, 5):
        total, count = compiled(dg.ones(n, 2))
        assert (total.item(), count, type(count)) == (2.0 * n, n, int)


def test_a_shape_in_the_result():
    compiled = dg.compile(lambda x: (x * 2, x.shape, {"half": x.shape[0] / 2}), wait=True)
    for n in (4, 6, 5, 9, 5):
        _, shape, more = compiled(dg.ones(n, 2))
        assert shape == (n, 2) and type(shape) is tuple and type(shape[0]) is int
        assert more == {"half": n / 2} and type(more["half"]) is float
    assert len(compiled.programs) == 2 and not compiled._eager_calls


def test_code_for_exact_ints_alone_gets_them_where_no_program_could_be_made():
    def f(x):
        return x * len(json.dumps({"n": x.shape[0]}))

    compiled = dg.compile(f, wait=True, dynamic={"x": {0: "n"}})
    for n in (4, 60, 5, 1000):
        same(compiled(dg.ones(n, 2)), f(dg.ones(n, 2)))


def test_state_that_changes_between_sizes():
    scale = [2.0]

    def f(x):
        return x * scale[0]

    compiled = dg.compile(f, wait=True)
    for n, s in [(4, 2.0), (6, 2.0), (5, 2.0), (5, 3.0), (7, 3.0), (4, 3.0), (6, 2.0), (9, 3.0)]:
        scale[0] = s
        x = tensor(np.random.default_rng(n), n, 3)
        same(compiled(x), f(x))


def test_values_taken_out_of_tensors_at_any_size():
    def f(x):
        return x * 2 if x.sum() > 0 else x - 1

    check(f, lambda rng, n: (tensor(rng, n, 3),), programs=64)


def test_arrays_as_arguments():
    def f(x):
        return dg.asarray(x) * 2 + 1

    def make(rng, n):
        return (rng.standard_normal((n, 3)).astype(np.float32),)

    check(f, make)


# --- declared ------------------------------------------------------------------------------------


def test_declared_sizes_are_symbolic_from_the_first_call_on():
    def f(x, y):
        return x @ y

    compiled = dg.compile(f, wait=True, dynamic={"x": {0: "batch"}, "y": {-1: "wide"}})
    for n, k in [(4, 3), (6, 3), (6, 5), (2, 2), (9, 4)]:
        x, y = tensor(np.random.default_rng(n), n, 5), tensor(np.random.default_rng(k), 5, k)
        same(compiled(x, y), f(x, y))
        same(compiled(x, y), f(x, y))
    (program,) = compiled.programs
    assert "f32[batch,wide]" in str(program.graph) and "f32[batch,5]" in compiled.explain()


def test_all_sizes_may_be_declared():
    compiled = check(pointwise, lambda rng, n: (tensor(rng, n, n + 1),), programs=2, dynamic=True)
    assert all(isinstance(p, Template) for p in compiled.programs if "s0" in str(p.graph))


@pytest.mark.parametrize(
    "dynamic",
    [{"z": {0: "n"}}, {"x": {0: "not a name"}}, {"x": {"0": "n"}}, 7, {"x": {0: "lambda"}}],
)
def test_a_declaration_that_makes_no_sense_is_an_error(dynamic):
    with pytest.raises(dg.ArgumentError, match="dynamic"):
        dg.compile(lambda x: x, dynamic=dynamic)


def test_limits_of_a_declared_size():
    def f(x, y=None):
        return dg.softmax(x @ x.T, -1) @ x, x.cumsum(0)

    batch = dg.Dim("batch", min=2, max=64)
    compiled = dg.compile(f, wait=True, dynamic={"x": {0: batch}, "y": {-1: "batch"}})
    for n in (5, 2, 64, 7, 33):
        x = tensor(np.random.default_rng(n), n, 5)
        for got, expected in zip(compiled(x), f(x), strict=True):
            same(got, expected)
        assert compiled.would_compile(x)
    (program,) = compiled.programs
    assert any(
        "batch = '2 to 64'" in str(a) or "from 2 to 64" in str(a) for a in program.assumptions
    )
    assert program.memory.arena_bytes >= 64 * 64 * 4
    for n in (1, 65, 0):
        with pytest.raises(dg.ArgumentError, match=rf"axis 0 of 'x' is {n}, .* from 2 to 64"):
            compiled(dg.ones(n, 5))
    with pytest.raises(dg.ArgumentError, match="axis 1 of 'y' is 70"):
        compiled(dg.ones(5, 5), y=dg.ones(3, 70))
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("given", [("a b",), ("n", 3, 2), ("n", -1), ("n", 0, 1.5), (7,)])
def test_limits_that_make_no_sense_are_errors(given):
    with pytest.raises(dg.ArgumentError, match="Dim"):
        dg.Dim(*given)
    both = {"x": {0: dg.Dim("n", max=3), 1: dg.Dim("n", max=4)}}
    with pytest.raises(dg.ArgumentError, match="two kinds of limits"):
        dg.compile(lambda x: x, dynamic=both)


def test_sizes_beyond_what_is_kept_are_made_again():
    compiled = dg.compile(pointwise, wait=True)
    compiled._arrivals.settle()  # sizes that come once may run eagerly
    for n in [*range(2, 90), 3, 5]:
        x = dg.ones(n, 2)
        same(compiled(x), pointwise(x))
    assert len(compiled.programs) == 2 and compiled.programs[1].calls > 80


# --- memory --------------------------------------------------------------------------------------


def through_arena(x):
    _, y = dg.scan(lambda c, row: (c, row @ dg.linalg.inv(c)), dg.eye(5) * 2, x)  # in Python
    return dg.softmax(y @ y.T, axis=-1) @ x, y.sum(0)


def test_programs_of_all_sizes_have_one_memory():
    compiled = check(through_arena, lambda rng, n: (tensor(rng, n, 5),), sizes=(59, 60, 7, 30, 40))
    (template,) = (p for p in compiled.programs if isinstance(p, Template))
    arenas = [i.arena for p in template.made.values() for i in p._executable._free if i.ground]
    assert len(arenas) >= 4 and len({a.ctypes.data for a in arenas}) == 1
    assert arenas[0].size == 64 + max(  # and not of the sizes that were rehearsed
        p._executable.memory.arena_bytes for p in template.made.values()
    )


def test_sizes_called_from_many_threads_at_once():
    compiled = check(through_arena, lambda rng, n: (tensor(rng, n, 5),), sizes=(40, 60, 7, 30, 59))
    rng = np.random.default_rng(0)
    given = [tensor(rng, n, 5) for n in (40, 60, 7, 30, 59, 12, 45, 33)]
    wanted = [through_arena(x) for x in given]

    def calls(i):
        for _ in range(20):
            same(compiled(given[i]), wanted[i])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(calls, range(8)))


def test_ground_is_for_one_run_at_a_time():
    ground = Ground()
    small, large = ground.memory("arena", 100), ground.memory("arena", 200)
    assert ground.memory("arena", 150) is large and small.size == 100
    assert ground.take() and not ground.take()
    ground.give()
    assert ground.take()


@pytest.mark.parametrize("kind", [collections.Counter, collections.OrderedDict, dict])
def test_sizes_as_keys_and_values_are_plain_numbers_after_a_call(kind: Any) -> None:
    def told(wrap: Any) -> Any:
        held = kind({2: 5})

        def f(x: Any, n: int) -> Any:
            held[n] = held.get(n, 0) + n
            return x[:n].sum()

        g = wrap(f)
        results = [g(dg.ones(6), n).tolist() for n in (1, 2, 3, 2, 4, 1, 5, 5)]
        assert all(type(v) is int for item in held.items() for v in item)
        return results, list(held.items()), list(reversed(held))

    assert told(lambda f: dg.compile(f, wait=True)) == told(lambda f: f)


@pytest.mark.parametrize("dynamic", [None, {"x": {0: "rows"}}])
@pytest.mark.parametrize(
    "kinds", [lambda x: [type(x.shape[0])], lambda x: list(map(type, x.shape))], ids=["called", "handed on"]
)  # fmt: skip
def test_a_size_is_an_int_to_code_that_asks_for_its_type(kinds, dynamic):
    def f(x):
        return x * 2 if int in kinds(x) else x * 3

    compiled = dg.compile(f, wait=True, dynamic=dynamic)
    for n in (3, 3, 4, 5, 6, 2):
        assert compiled(dg.ones(n)).tolist() == [2.0] * n

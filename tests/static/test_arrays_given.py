"""Arrays that only flow into the result (``return model(x).numpy()``), and functions that the engine wraps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import dualgraph as dg
from dualgraph import nn
from tests.side_by_side import Wrap, both_modes


def inputs() -> Iterator[Any]:
    yield from (dg.ones(2, 4) * i for i in range(8))


@both_modes(6)
def test_an_array_is_given(wrap: Wrap) -> Iterator[Any]:
    layer = nn.Linear(4, 3)

    @wrap
    @dg.no_grad()
    def predict(x: Any) -> Any:
        p = layer(x).softmax(-1)
        return {"p": p.numpy(), "best": (p.argmax(-1).numpy(), p.max().item())}

    @wrap
    def plain(x: Any) -> Any:
        return layer(x).detach().numpy()

    kept = []
    for x in inputs():
        kept.append((predict(x), plain(x)))
        yield kept
        kept[-1][1][0] = 7  # the caller's own


@both_modes(6)
def test_arrays_share_memory_as_in_eager_mode(wrap: Wrap) -> Iterator[Any]:
    total = dg.zeros(2, 4)

    @wrap
    def f(x: Any) -> Any:
        total.add_(x)
        y = x * 2
        a = y.numpy()
        y.add_(1)
        return a, a, y, y.view(8), y.T.numpy(), x.numpy(), total.numpy(), (x * 2).numpy()

    for x in inputs():
        given = f(x)
        arrays = [v.numpy() if isinstance(v, dg.Tensor) else v for v in (*given, x, total)]
        yield given, [[np.shares_memory(a, b) for a in arrays] for b in arrays]
        yield (
            [[a is b for a in arrays] for b in arrays],
            [(a.strides, a.flags.writeable) for a in arrays],
        )
        arrays[6] += 1
        yield total


@both_modes(0)
def test_arrays_that_the_code_looks_into(wrap: Wrap) -> Iterator[Any]:
    log = []

    @wrap
    def used(x: Any) -> Any:
        a = (x * 2).numpy()
        return a, a.max()

    @wrap
    def written(x: Any) -> Any:
        a = (x * 2).numpy()
        a[0] = 3
        return a

    @wrap
    def kept(x: Any) -> Any:
        a = (x * 2).numpy()
        log.append(a)
        return a

    for x in inputs():
        yield used(x), written(x), kept(x), log


@both_modes(8)
def test_modules_with_and_without_hooks(wrap: Wrap) -> Iterator[Any]:
    class Both(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean().item(), (x * 2).numpy()

    module = Both()
    f = wrap(module)
    for i, x in enumerate([*inputs(), *inputs()]):
        if i == 12:
            module.register_forward_hook(lambda m, given, out: (out[0] + 1, out[1] * out[0]))
        yield f(x)


@both_modes(12)
def test_decorated_functions(wrap: Wrap) -> Iterator[Any]:
    layer, scale = nn.Linear(4, 3), 2.0

    @dg.no_grad()
    def inner(x: Any) -> Any:
        return layer(x) * scale

    @wrap
    @dg.no_grad()
    def average(mean: Any) -> None:
        mean.mul_(0.9).add_(layer.weight, alpha=0.1)

    f, g, mean = wrap(inner), wrap(lambda x: inner(x).relu()), dg.zeros(3, 4)
    for i, x in enumerate(inputs()):
        if i > 4:
            scale = float(i)
        average(mean)
        yield f(x), g(x), mean


def test_a_saved_program_gives_arrays(tmp_path: Path) -> None:
    f = dg.compile(lambda x: ((x * 2).numpy(), x + 1), wait=True)
    expected = f(dg.ones(3))
    dg.save(f, tmp_path / "f.dg")
    given = dg.load(tmp_path / "f.dg")(dg.ones(3))
    assert type(given[0]) is np.ndarray and given[0].tolist() == expected[0].tolist()


@both_modes(6)
def test_tensors_made_of_arrays_read_them_on_each_call(wrap: Wrap) -> Iterator[Any]:
    wanted = (None, dg.float16, dg.float32, dg.float64)

    @wrap
    def made(a: Any) -> Any:
        return [
            *(dg.tensor(a, dtype=d) for d in wanted),
            *(dg.asarray(a, dtype=d, copy=c) for d in wanted for c in (None, True)),
        ]

    for i in range(16):
        a = np.random.default_rng(i).normal(size=(3, 4)) * 10.0 ** (i - 5)
        a.flat[:4] = np.nan, np.inf, -0.0, 65520
        given = made(a)
        arrays = [t.detach().numpy() for t in given]
        yield given, [(np.shares_memory(a, b), b.strides) for b in arrays]
        a[0, 0] = i  # the caller's own
        yield given


@both_modes(0)
def test_tensors_of_other_dtypes_are_made_of_the_arrays_they_were_made_of(
    wrap: Wrap,
) -> Iterator[Any]:
    made = wrap(lambda a: (dg.tensor(a, dtype=dg.int64), dg.asarray(a, dtype=dg.bool)))
    for i in range(3):
        yield made(np.array([0.0, 1e20, -1e20, 2.5]) * i)
        yield made(np.arange(6).reshape(2, 3).T * i)


@both_modes(3)
def test_each_tensor_of_one_array_shares_its_memory(wrap: Wrap) -> Iterator[Any]:
    several = wrap(lambda a: (dg.asarray(a) * 2, dg.asarray(a), dg.asarray(a)[1:]))
    for i in range(4):
        a = np.arange(3.0) * i
        given = several(a)
        a += 1
        yield given


@both_modes(0)
def test_results_on_the_tape_of_leaves_made_inside_are_differentiable(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda x: (x * 2).detach().requires_grad_().square().sum())
    for i in range(3):
        y = f(dg.ones(3) * i)
        y.backward()
        yield y


TABLE = np.arange(12.0).reshape(6, 2)


@both_modes(0)
def test_arrays_that_only_code_in_c_looks_into_are_compared(wrap: Wrap) -> Iterator[Any]:
    looked_up = wrap(lambda i: dg.asarray(TABLE[i]) * 2)
    with_more = wrap(lambda t, i: dg.asarray(t[i, 0]) + dg.tensor(np.float32(i)))
    joined = wrap(lambda a, b: dg.tensor([a, b]))
    swapped = wrap(lambda a: dg.asarray(a))
    for i in range(4):
        at, a = np.array([i, i + 1]), np.arange(3.0) * i
        yield looked_up(at), with_more(TABLE, at), joined(a, a + 1), swapped(a.astype(">f8"))


@both_modes(10)
def test_arrays_in_containers_are_inputs(wrap: Wrap) -> Iterator[Any]:
    net, kept = nn.Linear(3, 2), {}

    @wrap
    def loss(batch: Any) -> Any:
        if not isinstance(batch["y"], np.ndarray):
            return batch
        x = dg.asarray(batch["x"]).float() * np.sqrt(2.0)
        return (net(x).sum(-1) - dg.tensor(batch["y"])).square().mean()

    @wrap
    def pairs(batch: Any) -> Any:
        kept["last"] = batch[0]
        (x, y), z = batch, batch[0]
        return dg.asarray(x) - dg.asarray(y), z, batch

    for i in range(8):
        x, y = np.random.default_rng(i).normal(size=(2, 4, 3))
        batch = {"x": x, "y": y[0, :1] * 2}
        given = pairs((x, y))
        yield (
            loss(batch).detach(),
            given,
            batch["x"] is x,
            [v is x for v in (kept["last"], given[1])],
        )


@both_modes(6)
def test_sizes_of_arrays_are_those_of_each_call(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def mean(batch: Any) -> Any:
        x, y = batch["x"], batch["y"]
        return dg.asarray(x).sum() / x.shape[0] + len(y) * dg.asarray(y).sum() / y.size

    for i in range(10):
        yield mean({"x": np.ones((3 + i, 2)), "y": np.ones(5 + i)})

"""The mode on a GPU, with a stand-in for CuPy that notices every implicit transfer between host and device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.cuda import ArrayNamespaceBackend, cuda_backend
from dualgraph.core import backend as registry
from tests.backends.standin import DeviceArray, namespace

nn, F = dg.nn, dg.nn.functional


@pytest.fixture(autouse=True)
def standin() -> Iterator[None]:
    """The stand-in serves as the "cuda" backend during a test."""
    before = registry._FACTORIES.get("cuda", cuda_backend)
    registry.register_backend("cuda", lambda: ArrayNamespaceBackend(namespace))
    yield
    registry.register_backend("cuda", before)


def data(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def on(device: str, *arrays: Any) -> tuple[Any, ...]:
    return tuple(dg.tensor(a, device=device) for a in arrays)


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(
        a.detach().cpu().numpy(), b.detach().cpu().numpy(), rtol=1e-5, atol=1e-5
    )


def test_tensors_go_to_the_device_and_back() -> None:
    x = dg.tensor(data(2, 3)).to("cuda")
    assert isinstance(x._data, DeviceArray)
    assert str(x.device) == "cuda:0"
    assert x.cpu().tolist() == data(2, 3).tolist()
    assert x.tolist() == data(2, 3).tolist()
    assert "cuda:0" in repr(x)
    assert dg.zeros(2, device="cuda").device == x.device
    assert dg.ones(2, device="cuda").sum().item() == 2.0
    assert dg.arange(3, device="cuda").cuda().device == x.device
    with pytest.raises(dg.DeviceError):
        x + dg.ones(2, 3)
    with pytest.raises(dg.DualgraphError):
        x.numpy()


PROGRAMS: dict[str, Any] = {
    "elementwise": lambda x, y: (x * 2 + y).exp().tanh() / (y.abs() + 1) - x**2,
    "more words": lambda x, y: dg.erf(x) + dg.sin(y) * dg.log1p(x.abs()) + dg.where(x > y, x, 0.5).sigmoid(),
    "comparisons": lambda x, y: (x > y, (x > 0) & ~(y > 0), x.isnan(), dg.maximum(x, y), x.clamp(-1, 1)),
    "reductions": lambda x, y: (x.sum(), y.mean(0), x.max(1), x.std(), x.argmax(-1), (x > 0).any(), x.prod(1), x.norm()),
    "movement": lambda x, y: (x.T.reshape(-1), x[:, ::2], x.flip((0,)), dg.cat([x, y]), x.unsqueeze(0).expand(2, 3, 4), x.roll(1, 0)),
    "indexing": lambda x, y: (x[0], x[-1, 1:], x[x > 0], x[[0, 2]], x.gather(1, x.argmax(1, keepdim=True)), dg.nonzero(x > 0)),
    "products": lambda x, y: (x @ y.T, x.T @ y, (x.unsqueeze(0) @ y.T).sum(0)),
    "normalised": lambda x, y: (x.softmax(-1), y.log_softmax(0), F.layer_norm(x, (4,)), F.gelu(y), F.cross_entropy(x, y.argmax(1))),
    "sorted": lambda x, y: (x.sort(-1)[0], y.argsort(0), x.cumsum(0), x.topk(2)[0], dg.unique_values(x.round())),
    "dtypes": lambda x, y: (x.half() * 2, y.double().exp(), x.long() + 1, x.bool(), x.bfloat16() + y.bfloat16(), x.to(dg.complex64) * 1j),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_ops_compute_as_on_the_cpu(name: str) -> None:
    f = PROGRAMS[name]
    here, there = (f(*on(d, data(3, 4), data(3, 4, seed=1))) for d in ("cpu", "cuda"))
    for a, b in zip(*(v if isinstance(v, tuple) else (v,) for v in (here, there)), strict=True):
        for p, q in zip(*(v if isinstance(v, tuple) else (v,) for v in (a, b)), strict=True):
            assert (p.dtype, p.shape, str(q.device)) == (q.dtype, q.shape, "cuda:0")
            close(
                p.float() if p.dtype is not dg.complex64 else p.real,
                q.float() if p.dtype is not dg.complex64 else q.real,
            )


def test_writes_views_and_random_numbers() -> None:
    x, y = on("cuda", data(3, 4), data(4, seed=1))
    view = x[1]
    view.mul_(2)
    x[0] = y
    x[:, 1] += 1
    x[x > 1] = 0.5
    expected = data(3, 4)
    expected[1] *= 2
    expected[0] = data(4, seed=1)
    expected[:, 1] += 1
    expected[expected > 1] = 0.5
    assert x.cpu().tolist() == expected.tolist()
    assert view.cpu().tolist() == expected[1].tolist()
    dg.manual_seed(3)
    there = dg.rand(4, device="cuda").cpu(), dg.randn(4, device="cuda").cpu()
    dg.manual_seed(3)
    here = dg.rand(4), dg.randn(4)
    assert [t.tolist() for t in there[:1]] == [t.tolist() for t in here[:1]]
    close(there[1], here[1])


def test_gradients() -> None:
    grads = []
    for device in ("cpu", "cuda"):
        x, w = (t.requires_grad_() for t in on(device, data(3, 4), data(4, 2, seed=1)))
        loss = F.cross_entropy(
            (x @ w).tanh() + x.sum(1, keepdim=True), dg.tensor([0, 1, 1], device=device)
        )
        loss.backward()
        grads.append((x.grad, w.grad))
    for a, b in zip(*grads, strict=True):
        assert str(b.device) == "cuda:0"
        close(a, b)


def models(device: str) -> tuple[Any, Any]:
    dg.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(27, 4),
    ).to(device)
    return model, dg.optim.AdamW(model.parameters(), lr=0.01)


def steps(device: str, wrap: Any) -> list[Any]:
    """What three training steps leave behind."""
    model, optimizer = models(device)

    @wrap
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    out: list[Any] = []
    for i in range(3):
        x, y = on(device, data(2, 1, 6, 6, seed=i), np.array([i, 3]))
        out.append(step(x, y))
    return [*out, *(v for v in model.state_dict().values())]


def test_a_training_step_in_both_modes() -> None:
    eager = steps("cuda", lambda f: f)
    for a, b in zip(steps("cpu", lambda f: f), eager, strict=True):
        assert str(b.device) == "cuda:0"
        close(a.float(), b.float())
    made: list[Any] = []
    compiled = steps("cuda", lambda f: made.append(dg.compile(f, wait=True)) or made[-1])
    assert not [p.failure for p in made[0].programs if p.failure]
    assert sum(p.calls for p in made[0].programs), made[0].explain()
    for a, b in zip(eager, compiled, strict=True):
        assert a.cpu().tolist() == b.cpu().tolist()


def test_branches_items_and_captured_state_compiled() -> None:
    total = dg.zeros(4, device="cuda")

    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        total.add_(x.sum(0))
        return x * 2 if x.sum() > 0 else x[1:].exp()

    (x,) = on("cuda", data(3, 4))
    for sign in (1, 1, -1, -1, 1):
        expected = x * sign * 2 if (x * sign).sum() > 0 else (x * sign)[1:].exp()
        assert f(x * sign).cpu().tolist() == expected.cpu().tolist()
    assert sum(p.calls for p in f.programs) >= 2, f.explain()


def test_without_cupy_the_device_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    registry.register_backend("cuda", cuda_backend)
    with pytest.raises(dg.DeviceError, match="pip install"):
        dg.zeros(2, device="cuda")
    with pytest.raises(dg.DeviceError, match="pip install"):
        dg.ones(2).to("cuda")

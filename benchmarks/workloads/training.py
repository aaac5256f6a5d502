"""Training steps: MLP, LeNet, a GPT block and an LSTM, written once for dualgraph and torch, once for JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spec import Build, Call, Workload, compiled, torch_like
from .jax_steps import ADAM, ADAMW, SGD, gpt, lenet, lstm, mlp, training

RNG = np.random.default_rng(0)


def step_of(ns: Any, mode: str, model: Any, optimizer: Any, x: Any, y: Any, loss_of: Any) -> Call:
    """One training step as a call without arguments."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    fn = step if ns.__name__ == "torch" and mode == "eager" else compiled(ns, step, mode)
    return lambda: fn(x, y)


def _classes(ns: Any, batch: int) -> Any:
    return ns.from_numpy(RNG.integers(0, 10, batch))


def _mlp(batch: int, adam: bool) -> Any:
    def make(ns: Any, mode: str) -> Call:
        nn = ns.nn
        model = nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )
        optimizer = (
            ns.optim.Adam(model.parameters(), lr=1e-3)
            if adam
            else ns.optim.SGD(model.parameters(), lr=0.01)
        )
        x = ns.from_numpy(RNG.standard_normal((batch, 784)).astype("float32"))
        return step_of(
            ns, mode, model, optimizer, x, _classes(ns, batch), nn.functional.cross_entropy
        )

    return make


def _lenet(ns: Any, mode: str) -> Call:
    nn = ns.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    optimizer = ns.optim.Adam(model.parameters(), lr=1e-3)
    x = ns.from_numpy(RNG.standard_normal((64, 1, 28, 28)).astype("float32"))
    return step_of(ns, mode, model, optimizer, x, _classes(ns, 64), nn.functional.cross_entropy)


def _gpt(
    ns: Any, mode: str, width: int = 256, length: int = 128, batch: int = 8, heads: int = 8
) -> Call:
    nn = ns.nn
    F = nn.functional

    class Block(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
            q, k, v = (
                t.reshape(batch, length, heads, width // heads).transpose(1, 2) for t in (q, k, v)
            )
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    model = nn.Sequential(Block(), Block())
    optimizer = ns.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = (
        ns.from_numpy(RNG.standard_normal((batch, length, width)).astype("float32"))
        for _ in range(2)
    )
    return step_of(ns, mode, model, optimizer, x, y, F.mse_loss)


def _lstm(ns: Any, mode: str, steps: int = 50, batch: int = 32, width: int = 256) -> Call:
    nn = ns.nn
    model = nn.LSTM(width, width)

    class Last(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = model

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0]

    whole = Last()
    optimizer = ns.optim.SGD(whole.parameters(), lr=0.01)
    x, y = (
        ns.from_numpy(RNG.standard_normal((steps, batch, width)).astype("float32"))
        for _ in range(2)
    )
    return step_of(ns, mode, whole, optimizer, x, y, nn.functional.mse_loss)


def _workload(
    name: str, make: Any, must: float, aim: float, jax: Build | None = None, quick: bool = True
) -> list[Workload]:
    build = {**torch_like(make), **({"jax": jax} if jax else {})}
    mine = "dualgraph-eager"
    eager = {k: build[k] for k in (mine, "torch")}
    return [
        Workload(name, build, must, aim, quick=quick),
        Workload(f"{name}, eager", eager, 1.0, 1.5, mine=mine, quick=False),
    ]


def _once(name: str, make: Any, must: float, aim: float, jax: Build, measure: str) -> Workload:
    """A row that is not the time of a call in the long run; see `Workload.measure`."""
    build = {**torch_like(make), "jax": jax}
    peers = ("jax", "torch.compile") if measure != "memory" else ("torch", "jax")
    wanted = ("dualgraph", *peers)
    quick = make is _lenet and measure == "first"
    return Workload(
        f"{name}, {NAMES[measure]}", {k: build[k] for k in wanted}, must, aim, measure=measure,
        against=peers, quick=quick,
    )  # fmt: skip


NAMES = {
    "first": "first call until in use, nothing kept",
    "warm": "first call until in use, kernels kept from a run before",
    "memory": "growth of resident memory",
}


def _start(name: str, make: Any) -> Workload:
    """What a user waits for when the first captured call of a step begins, beside an eager call."""
    build = torch_like(make)
    return Workload(
        f"{name}, first call returns", {"dualgraph": _beside(make), "dualgraph-eager": build["dualgraph-eager"]},
        0.77, 0.9, measure="start", against=("dualgraph-eager",), quick=name.startswith("MLP"),
    )  # fmt: skip


def _beside(make: Any) -> Build:
    def build(_: str) -> Call:
        import dualgraph as ns

        call: Call = make(ns, "beside")
        return call

    return build


_STEPS: list[tuple[str, Any, Build]] = [
    ("MLP step, batch 64, SGD", _mlp(64, False), training(mlp(64), SGD)),
    ("LeNet step, batch 64, Adam", _lenet, training(lenet, ADAM)),
    ("GPT block step, AdamW", _gpt, training(gpt, ADAMW)),
]

WORKLOADS = [
    *_workload("MLP step, batch 64, SGD", _mlp(64, False), 1.3, 2, training(mlp(64), SGD)),
    *_workload("MLP step, batch 512, Adam", _mlp(512, True), 1.3, 2, training(mlp(512), ADAM)),
    *_workload("LeNet step, batch 64, Adam", _lenet, 1.5, 3, training(lenet, ADAM)),
    *_workload("GPT block step, AdamW", _gpt, 1.2, 1.5, training(gpt, ADAMW), quick=False),
    *_workload("LSTM step", _lstm, 1.3, 2, training(lstm, SGD), quick=False),
    *[_once(n, make, 1.0, 3, jax, "first") for n, make, jax in _STEPS],
    *[_once(n, make, 5, 20, jax, "warm") for n, make, jax in _STEPS],
    *[_start(n, make) for n, make, _ in _STEPS],
    *[_once(n, make, 1.0, 1.5, jax, "memory") for n, make, jax in _STEPS],
]

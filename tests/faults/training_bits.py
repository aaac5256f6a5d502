"""Prints, for each of several training steps, a digest of all bits after three steps; run as a program.

Not a test: the tests run it in surroundings that must change no bit. ``eager`` as argument: eager only.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn import functional as F


class Block(nn.Module):
    """A transformer block of width 32 on sequences of 20."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x: Any) -> Any:
        q, k, v = (
            t.reshape(3, 20, 4, 8).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(3, 20, 32))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Last(nn.Module):
    """All outputs of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(24, 40)

    def forward(self, x: Any) -> Any:
        return self.lstm(x)[0]


def mlp() -> tuple[Any, Any, Any, Any]:
    model = nn.Sequential(nn.Linear(200, 300), nn.ReLU(), nn.Dropout(0.2), nn.Linear(300, 10))
    return model, dg.randn(70, 200), dg.randint(0, 10, (70,)), F.cross_entropy


def lenet() -> tuple[Any, Any, Any, Any]:
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    return model, dg.randn(33, 1, 28, 28), dg.randint(0, 10, (33,)), F.cross_entropy


def lstm() -> tuple[Any, Any, Any, Any]:
    return Last(), dg.randn(15, 9, 24), dg.randn(15, 9, 40), F.mse_loss


def gpt() -> tuple[Any, Any, Any, Any]:
    return nn.Sequential(Block(), Block()), dg.randn(3, 20, 32), dg.randn(3, 20, 32), F.mse_loss


def digest(make: Any, compiled: bool) -> str:
    """Of the losses, the parameters and the gradients of three steps with AdamW."""
    dg.manual_seed(0)
    model, x, y, loss_of = make()
    optimizer = dg.optim.AdamW(model.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = dg.compile(step, wait=True) if compiled else step
    seen = hashlib.sha256()
    for _ in range(3):
        seen.update(run(x, y).detach().numpy().tobytes())
    for p in model.parameters():
        seen.update(p.detach().numpy().tobytes())
        seen.update(p.grad.numpy().tobytes())
    if compiled:
        assert run.programs and all(p.ready for p in run.programs), run.explain()
    return seen.hexdigest()


if __name__ == "__main__":
    if os.environ.get("ONE_CORE") and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for make in (mlp, lenet, lstm, gpt):
        bits = digest(make, compiled="eager" not in sys.argv)
        print(make.__name__, bits)

"""ResNet-18 inference."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spec import Call, Workload, compiled, torch_like
from .jax_steps import resnet18 as jax_resnet18

RNG = np.random.default_rng(0)


def resnet18(nn: Any) -> Any:
    """The network of He et al. (2015), 18 layers, 1000 classes."""

    class Basic(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, a: int, b: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(a, b, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(b)
            self.conv2 = nn.Conv2d(b, b, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(b)
            self.relu = nn.ReLU()
            self.down = (
                nn.Sequential(nn.Conv2d(a, b, 1, stride=stride, bias=False), nn.BatchNorm2d(b))
                if stride != 1 or a != b
                else nn.Identity()
            )

        def forward(self, x: Any) -> Any:
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.down(x))

    layers = [
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    width = 64
    for i, b in enumerate((64, 128, 256, 512)):
        layers += [Basic(width, b, 1 if i == 0 else 2), Basic(b, b, 1)]
        width = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _inference(ns: Any, mode: str) -> Call:
    model = resnet18(ns.nn).eval()
    x = ns.from_numpy(RNG.standard_normal((1, 3, 224, 224)).astype("float32"))
    fn = compiled(ns, model, mode)

    def call() -> Any:
        with ns.no_grad():
            return fn(x)

    return call


WORKLOADS = [
    Workload(
        "ResNet-18 inference, batch 1",
        {**torch_like(_inference), "jax": jax_resnet18},
        1.0,
        1.3,
        flops=3.64e9,
        quick=False,
    ),
]

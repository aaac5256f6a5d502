"""The convolutions of ResNet-18: forward, and with both gradients, at batch 1 and 8."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spec import Build, Call, Workload, compiled, torch_like

RNG = np.random.default_rng(0)

# input channels, output channels, input size, kernel, stride, padding
SHAPES = [
    (3, 64, 224, 7, 2, 3),
    (64, 64, 56, 3, 1, 1),
    (64, 128, 56, 3, 2, 1),
    (64, 128, 56, 1, 2, 0),
    (128, 128, 28, 3, 1, 1),
    (128, 256, 28, 3, 2, 1),
    (128, 256, 28, 1, 2, 0),
    (256, 256, 14, 3, 1, 1),
    (256, 512, 14, 3, 2, 1),
    (256, 512, 14, 1, 2, 0),
    (512, 512, 7, 3, 1, 1),
]


def _conv(batch: int, shape: tuple[int, ...], backward: bool) -> dict[str, Build]:
    channels, outs, size, kernel, stride, padding = shape

    def shared(ns: Any, mode: str) -> Call:
        x = ns.from_numpy(RNG.standard_normal((batch, channels, size, size)).astype("float32"))
        w = ns.from_numpy(RNG.standard_normal((outs, channels, kernel, kernel)).astype("float32"))
        conv = ns.nn.functional.conv2d
        if not backward:
            fn = compiled(ns, lambda x, w: conv(x, w, stride=stride, padding=padding), mode)

            def forward() -> Any:
                with ns.no_grad():
                    return fn(x, w)

            return forward
        if ns.__name__ == "torch":
            return _torch_gradients(ns, x, w, stride, padding)
        x.requires_grad_()
        w.requires_grad_()

        def both(x: Any, w: Any) -> Any:
            x.grad = w.grad = None
            y = conv(x, w, stride=stride, padding=padding)
            y.backward(ns.ones_like(y))

        fn = compiled(ns, both, mode)
        return lambda: fn(x, w)

    return {k: v for k, v in torch_like(shared).items() if k != "torch.compile"}


def _torch_gradients(torch: Any, x: Any, w: Any, stride: int, padding: int) -> Call:
    """Both gradients and no more, as our compiled program computes them."""
    y = torch.nn.functional.conv2d(x, w, stride=stride, padding=padding)
    ct, backward = torch.ones_like(y), torch.ops.aten.convolution_backward
    sides, mask = ([stride] * 2, [padding] * 2, [1, 1]), [True, True, False]
    return lambda: backward(ct, x, w, None, *sides, False, [0, 0], 1, mask)


def _workload(batch: int, shape: tuple[int, ...], backward: bool) -> Workload:
    channels, outs, size, kernel, stride, padding = shape
    out = (size + 2 * padding - kernel) // stride + 1
    flops = 2.0 * batch * outs * channels * kernel * kernel * out * out * (2 if backward else 1)
    part = "both gradients" if backward else "forward"
    name = f"conv {channels}->{outs} {size} k{kernel} s{stride}, batch {batch}, {part}"
    return Workload(
        name,
        _conv(batch, shape, backward),
        0.7,
        1.2,
        flops=flops,
        quick=batch == 8 and shape == SHAPES[1],
    )


WORKLOADS = [_workload(b, s, back) for back in (False, True) for b in (1, 8) for s in SHAPES]

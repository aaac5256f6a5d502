"""The training steps and the inference of the other files, once more for JAX: the same mathematics, jitted.

Parameters and optimiser state are donated, so that JAX may update them in place as the others do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..spec import Build, Call

Loss = Callable[[Any], Any]
SGD, ADAM, ADAMW = (0.01, None), (1e-3, 0.0), (1e-3, 0.01)  # learning rate, weight decay


def normal(rng: Any, *shape: int, scale: float = 1.0) -> Any:
    """A float32 array of normal numbers."""
    return (rng.standard_normal(shape) * scale).astype("float32")


def training(make: Callable[[Any], tuple[Loss, Any]], rule: tuple[float, float | None]) -> Build:
    """A build for a training step: ``make(rng)`` gives the loss as a function of the parameters, and those."""

    def build(_: str) -> Call:
        import jax
        import jax.numpy as jnp

        loss_of, given = make(np.random.default_rng(0))
        params = jax.tree.map(jnp.asarray, given)
        rate, decay = rule
        zeros = jax.tree.map(jnp.zeros_like, params)
        moments = (zeros, jax.tree.map(jnp.zeros_like, params)) if decay is not None else ()

        def step(params: Any, moments: Any, t: Any) -> Any:
            loss, g = jax.value_and_grad(loss_of)(params)
            if decay is None:
                return loss, jax.tree.map(lambda p, g: p - rate * g, params, g), moments, t
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], g)
            first, second = 1 - 0.9**t, jnp.sqrt(1 - 0.999**t)
            new = jax.tree.map(
                lambda p, m, v: (
                    p * (1 - rate * decay) - rate / first * m / (jnp.sqrt(v) / second + 1e-8)
                ),
                params,
                m,
                v,
            )
            return loss, new, (m, v), t

        fast = jax.jit(step, donate_argnums=(0, 1, 2))
        state = [params, moments, jnp.float32(0)]

        def call() -> None:
            _, *state[:] = fast(*state)
            jax.block_until_ready(state)

        return call

    return build


def cross_entropy(logits: Any, y: Any) -> Any:
    """The mean negative log-likelihood of the classes `y`."""
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def conv(x: Any, w: Any, stride: int = 1, padding: int = 0) -> Any:
    """A convolution of images as PyTorch lays them out."""
    import jax

    pad = [(padding, padding)] * 2
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), pad, dimension_numbers=("NCHW", "OIHW", "NCHW")
    )


def max_pool(x: Any, size: int, stride: int, padding: int = 0) -> Any:
    import jax

    pad = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return jax.lax.reduce_window(
        x, -np.inf, jax.lax.max, (1, 1, size, size), (1, 1, stride, stride), pad
    )


def lenet(rng: Any) -> tuple[Loss, Any]:
    """LeNet on 64 images of 28 x 28."""
    import jax
    import jax.numpy as jnp

    x, y = jnp.asarray(normal(rng, 64, 1, 28, 28)), jnp.asarray(rng.integers(0, 10, 64))
    shapes = [(6, 1, 5, 5), (16, 6, 5, 5), (400, 120), (120, 84), (84, 10)]
    params = [
        (normal(rng, *s, scale=0.1), np.zeros(s[0] if len(s) == 4 else s[1], "float32"))
        for s in shapes
    ]

    def loss(params: Any) -> Any:
        h = x
        for (w, b), pad in zip(params[:2], (2, 0), strict=True):
            h = max_pool(jax.nn.relu(conv(h, w, padding=pad) + b[:, None, None]), 2, 2)
        h = h.reshape(64, 400)
        for w, b in params[2:4]:
            h = jax.nn.relu(h @ w + b)
        return cross_entropy(h @ params[4][0] + params[4][1], y)

    return loss, params


def mlp(batch: int) -> Callable[[Any], tuple[Loss, Any]]:
    """784-512-512-10 with relu."""

    def make(rng: Any) -> tuple[Loss, Any]:
        import jax
        import jax.numpy as jnp

        x, y = jnp.asarray(normal(rng, batch, 784)), jnp.asarray(rng.integers(0, 10, batch))
        sizes = [(784, 512), (512, 512), (512, 10)]
        params = [(normal(rng, a, b, scale=a**-0.5), np.zeros(b, "float32")) for a, b in sizes]

        def loss(params: Any) -> Any:
            h = x
            for w, b in params[:-1]:
                h = jax.nn.relu(h @ w + b)
            return cross_entropy(h @ params[-1][0] + params[-1][1], y)

        return loss, params

    return make


def gpt(rng: Any) -> tuple[Loss, Any]:
    """Two blocks of width 256, 8 heads, 8 sequences of 128."""
    import jax
    import jax.numpy as jnp

    width, length, batch, heads = 256, 128, 8, 8
    x, y = (jnp.asarray(normal(rng, batch, length, width)) for _ in range(2))

    def block() -> dict[str, Any]:
        out: dict[str, Any] = {}
        sizes = {"qkv": (width, 3 * width), "out": (width, width)}
        sizes |= {"up": (width, 4 * width), "down": (4 * width, width)}
        for name, (a, b) in sizes.items():
            out[name] = normal(rng, a, b, scale=a**-0.5), np.zeros(b, "float32")
        for name in ("norm1", "norm2"):
            out[name] = np.ones(width, "float32"), np.zeros(width, "float32")
        return out

    def norm(h: Any, wb: Any) -> Any:
        mean = h.mean(-1, keepdims=True)
        return (h - mean) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5) * wb[0] + wb[1]

    def linear(h: Any, wb: Any) -> Any:
        return h @ wb[0] + wb[1]

    def loss(params: Any) -> Any:
        h = x
        for p in params:
            parts = jnp.split(linear(norm(h, p["norm1"]), p["qkv"]), 3, -1)
            q, k, v = (t.reshape(batch, length, heads, width // heads) for t in parts)
            mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
            h = h + linear(mixed.reshape(batch, length, width), p["out"])
            up = jax.nn.gelu(linear(norm(h, p["norm2"]), p["up"]), approximate=False)
            h = h + linear(up, p["down"])
        return ((h - y) ** 2).mean()

    return loss, [block(), block()]


def lstm(rng: Any) -> tuple[Loss, Any]:
    """50 steps of 32 rows of width 256, as a scan; the inputs' products are made before it, all at once."""
    import jax
    import jax.numpy as jnp

    steps, batch, width = 50, 32, 256
    x, y = (jnp.asarray(normal(rng, steps, batch, width)) for _ in range(2))
    scale = width**-0.5
    params = [normal(rng, width, 4 * width, scale=scale) for _ in range(2)]
    params += [np.zeros(4 * width, "float32") for _ in range(2)]

    def loss(params: Any) -> Any:
        w, u, b, c = params

        def step(carry: Any, row: Any) -> Any:
            h, cell = carry
            i, f, g, o = jnp.split(row + h @ u + c, 4, -1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (h, cell), h

        zeros = jnp.zeros((batch, width), "float32")
        out = jax.lax.scan(step, (zeros, zeros), x @ w + b)[1]
        return ((out - y) ** 2).mean()

    return loss, params


def resnet18(_: str) -> Call:
    """ResNet-18 on one image of 224 x 224; normalisation with fixed statistics."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)

    def weights(b: int, a: int, k: int) -> Any:
        w = normal(rng, b, a, k, k, scale=(a * k * k) ** -0.5)
        mean, shift = np.zeros(b, "float32"), np.zeros(b, "float32")
        return jax.tree.map(jnp.asarray, (w, mean, np.ones(b, "float32"), shift + 1, shift))

    blocks, width = [], 64
    for i, b in enumerate((64, 128, 256, 512)):
        for j in range(2):
            stride = 2 if i and not j else 1
            down = weights(b, width, 1) if stride == 2 else None
            blocks.append((weights(b, width, 3), weights(b, b, 3), down))
            width = b
    params = weights(64, 3, 7), blocks, jnp.asarray(normal(rng, 512, 1000, scale=0.04))
    x = jnp.asarray(normal(rng, 1, 3, 224, 224))

    def unit(h: Any, p: Any, stride: int, padding: int) -> Any:
        w, mean, var, gain, shift = (v[:, None, None] if i else v for i, v in enumerate(p))
        return (conv(h, w, stride, padding) - mean) / jnp.sqrt(var + 1e-5) * gain + shift

    @jax.jit
    def forward(params: Any, x: Any) -> Any:
        stem, blocks, head = params
        h = max_pool(jax.nn.relu(unit(x, stem, 2, 3)), 3, 2, 1)
        for one, two, down in blocks:
            stride = 2 if down else 1
            short = unit(h, down, 2, 0) if down else h
            h = jax.nn.relu(unit(jax.nn.relu(unit(h, one, stride, 1)), two, 1, 1) + short)
        return h.mean((2, 3)) @ head

    return lambda: forward(params, x).block_until_ready()

"""Random nests of transforms and control flow: source text of functions from a vector to a vector.

Each function is a small body, or a transform or control-flow op over functions made before it. The text uses ``C``
(compile, or nothing), ``W``, ``w`` (tensors that want gradients), ``N`` (a NumPy array), ``k`` (a number) and
``Twice`` (a custom function). All are valid for vectors of any length from 2 to 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LEAVES = (
    "return dg.tanh(x * w)",
    "return (W[: x.shape[0], : x.shape[0]] @ x).sin()",
    "return x * x.mean()",
    "return x.cumsum(0) * 0.3",
    "return dg.where(x > 0, x.sin(), x * 0.5)",
    "return x.softmax(0) * w",
    "y = x.clone(); y.mul_(k); y[0] = y[-1] + x[0]; return y.sin()",
    "y = x * 1; y[1:] += x[:-1]; return y.cos()",
    "y = x * w; z = y[1:]; z *= 2; y[0] += z.sum(); return y.tanh()",
    "return Twice.apply(x).sin()",
    "return x.flip((0,)) * dg.asarray(N[: x.shape[0]])",
    "return (x * x + 1).sqrt() - w",
    "return dg.sort(x).sin()",
    "return x.exp() / (1 + x.exp())",
    "return dg.nn.functional.layer_norm(x, (x.shape[0],)) * k",
    "return dg.concat([x[1:], x[:1]]) * x.amax()",
    "return (dg.outer(x, x) @ x).tanh()",
    "return x / (1 + x.norm())",
    "return dg.maximum(x, w) * x.prod().sin()",
    "return dg.stack([x, x * 2]).T.reshape(-1)[: x.shape[0]].sin()",
    "a, b = dg.split(dg.concat([x, x * x]), x.shape[0]); return (a * b).sin()",
    "return x.detach() * x + dg.where(x > 0, x, 0.5)",
)

# What is made of f (and g): {f} and {g} are calls' names; the orders of derivatives that each adds.
NESTS: tuple[tuple[str, int], ...] = (
    ("return {f}({g}(x))", 0),
    ("return {f}(x) + {g}(x) * 0.5", 0),
    ("y = {f}(x).clone(); y += x; y[0] = 0.5; return y", 0),
    ("return dg.grad(lambda z: {f}(z).sum())(x).tanh()", 1),
    ("v, d = dg.value_and_grad(lambda z: ({f}(z).sum(), z * 2), has_aux=True)(x); return (v[0] * d + v[1]).tanh()", 1),
    ("return dg.vmap({f})(dg.stack([x, x * 2, -x])).sum(0)", 0),
    ("return dg.vmap({f}, in_axes=1, out_axes=1)(dg.stack([x, x * 2], axis=1))[:, 1]", 0),
    ("return dg.vmap(lambda a, b: {f}(a) * b, (0, None))(dg.stack([x, w * x]), x.cos()).mean(0)", 0),
    ("return dg.vmap(dg.grad(lambda z: {f}(z).sum()))(dg.stack([x, x * 0.5]))[1].tanh()", 1),
    ("return dg.jvp({f}, (x,), (x.cos(),))[1].tanh()", 1),
    ("out, push = dg.linearize({f}, x); return (out + push(dg.ones_like(x))).tanh()", 1),
    ("out, pull = dg.vjp({f}, x); return (pull(out * 0.5)[0] + pull(x)[0]).tanh()", 1),
    ("return (dg.jacobian({f})(x) @ x).tanh()", 1),
    ("return (dg.jacfwd({f})(x) @ x).tanh()", 1),
    ("return (dg.hessian(lambda z: {f}(z).sum())(x) @ x).tanh()", 2),
    ("return dg.checkpoint({f})(x)", 0),
    ("return dg.checkpoint(lambda z: {f}({g}(z) * w))(x)", 0),
    ("return dg.cond(x.sum() > 0, {f}, {g}, x)", 0),
    ("return dg.cond(w > 1, lambda z: {f}(z) * w, lambda z: {g}(z) + x, x)", 0),
    ("s = x, dg.asarray(0); "
     "return dg.while_loop(lambda s: s[1] < 3, lambda s: ({f}(s[0]), s[1] + 1), s, max_steps=4)[0]", 0),
    ("return dg.while_loop(lambda s: (s * s).sum() < 2, lambda s: {f}(s) + s * 1.5 + 0.1, x, max_steps=3)", 0),
    ("return dg.scan(lambda c, z: (({f}(c) * 0.5 + z).sin(), c.sum()), x, dg.stack([x, x * w, x + 1]))[0]", 0),
    ("c, ys = dg.scan(lambda c, z: (c * 0.5, {f}(c + z)), x, dg.stack([x, w + x]), reverse=True); return ys[0] + c", 0),
    ("c, ys = dg.scan(lambda c, _: ({f}(c), {g}(c)), x, None, length=3); return ys.sum(0) * c", 0),
    ("return dg.map({f}, dg.stack([x, x.sin()])).sum(0)", 0),
    ("return dg.map(lambda p: {f}(p['a']) * p['b'], dict(a=dg.stack([x, x.sin()]), b=dg.stack([w, w * 2])))[1]", 0),
    ("z = x * 1 if x.requires_grad else x.clone().requires_grad_(); "
     "(d,) = dg.autograd.grad({f}(z).sum(), z, create_graph=True); return d.tanh()", 1),
    ("y = x\nfor i in range(2):\n    y = {f}(y) * 0.7 + i\nreturn y", 0),
    ("with dg.no_grad():\n    s = {f}(x).sum()\nreturn {g}(x) * s.sin()", 0),
)  # fmt: skip

ORDERS = 3  # derivatives of derivatives at most, within the text


class Nests:
    """Functions f0, f1, ... of which the last is made of others, `depth` deep."""

    def __init__(self, seed: int, depth: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.count = 0
        self.top, _ = self.function(depth)

    @property
    def source(self) -> str:
        return "\n".join(self.lines) + "\n"

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def function(self, depth: int) -> tuple[str, int]:
        """Writes a function; its name, and how many derivatives it takes."""
        if depth == 0:
            return self.written(self.pick(LEAVES)), 0
        f, orders = self.function(depth - 1)
        g, more = self.function(int(self.rng.integers(depth)))
        body, own = self.pick(NESTS)
        if max(orders, more) + own > ORDERS:
            body, own = NESTS[int(self.rng.integers(2))]
        return self.written(body.format(f=f, g=g)), max(orders, more) + own

    def written(self, body: str) -> str:
        name = f"f{self.count}"
        self.count += 1
        compiled = self.rng.random() < 0.3
        lines = [line for part in body.split("\n") for line in self._split(part)]
        self.lines += ["@C"] * compiled + [f"def {name}(x):", *(f"    {line}" for line in lines)]
        return name

    @staticmethod
    def _split(part: str) -> list[str]:
        return [part] if part.startswith(" ") else part.split("; ")

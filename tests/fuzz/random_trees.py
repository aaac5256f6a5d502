"""Random nests over trees: source text of functions ``f(p, s, *, k)`` that both JAX and dualgraph can run.

``p`` is ``{"a": (n,), "b": (n, 2)}``, ``s`` and ``k`` are numbers; a function gives a tree like ``p``. The text reaches
a library through names: ``vmap``, ``grad`` and the other transforms, ``cond``, ``scan``, ``while_loop``, ``loop_map``,
``C`` (compile), ``np`` (functions on arrays), and some of `test_tree_nests`. It holds for any n from 2 on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LEAVES = (
    'return {"a": np.sin(p["a"] * s), "b": p["b"] * k + p["a"][:, None]}',
    'return {"a": p["b"].sum(-1) * 0.3, "b": np.stack([p["a"], np.cos(p["a"])], axis=-1) * s}',
    'return {"a": np.tanh(p["a"] @ p["b"] @ p["b"].T * 0.2), "b": p["b"] / (1 + s * s)}',
    'return {"a": np.where(p["a"] > k, p["a"] * s, np.sin(p["a"])), "b": p["b"][::-1] * 0.5}',
    'return {"a": p["a"] * np.exp(-p["a"] ** 2), "b": np.flip(p["b"], 1) + s}',
    'u = p["a"] - p["a"].mean(); return {"a": u / np.sqrt((u * u).sum() + 1), "b": np.maximum(p["b"], u[:, None])}',
    'return {"a": p["a"][::-1] * p["b"][:, 0], "b": np.concatenate([p["b"][1:], p["b"][:1]], 0) * k}',
    'return {"a": p["a"] + stop(p["a"]) * s, "b": np.log(1 + p["b"] ** 2)}',
    'return {"a": np.cumsum(p["a"]) * 0.2, "b": np.swapaxes(np.swapaxes(p["b"], 0, -1), 0, 1) * s}',
    'return {"a": p["a"] * p["b"][0, -1], "b": np.reshape(np.reshape(p["b"], (-1,)) * s, p["b"].shape)}',
    'return {"a": np.abs(p["a"]) * k, "b": p["b"] * (p["a"] @ p["a"]) * 0.1}',
    'return {"a": np.sort(p["a"]) * s, "b": np.minimum(p["b"], 0.3) * k}',
)  # fmt: skip

AXES = {"a": (0, 1, -1, -2), "b": (0, 1, 2, -1, -2, -3)}

# Of f and g, each called with (p, s, k=k); {x} are axes put in; the orders of derivatives that it adds.
NESTS: tuple[tuple[str, int], ...] = (
    ("return {f}({g}(p, s, k=k), k, k=s)", 0),
    ("y, z = {f}(p, s, k=k), {g}(p, k, k=s); return add(y, scale(z, 0.5))", 0),
    ("return tame(grad(lambda q: total({f}(q, s, k=k)))(p))", 1),
    ("g, h = grad(lambda q, t: total({f}(q, t, k=k)), argnums=(0, 1))(p, s); return tame(scale(g, h))", 1),
    ("v, (g,) = value_and_grad(lambda q: total({f}(q, s, k=k)), argnums=(0,))(p); return tame(scale(g, v))", 1),
    ("g, y = grad(lambda t: (total({f}(p, t, k=k)), {g}(p, t, k=k)), has_aux=True)(s); return tame(scale(y, g))", 1),
    ("(v, y), g = value_and_grad(lambda q: (total({f}(q, s, k=k)), {{'q': q}}), has_aux=True)(p); "
     "return tame(add(scale(g, v), y['q']))", 1),
    ("return tame(grad({f}_total, argnums=0)(p, s, k=k))", 1),
    ("y, t = jvp(lambda q, u: {f}(q, u, k=k), (p, s), ({g}(p, s, k=k), k)); return tame(add(y, t))", 1),
    ("y, back = vjp(lambda q, u: {f}(q, u, k=k), p, s); d, e = back(tame(y)); return tame(scale(d, e))", 1),
    ("y, back, aux = vjp(lambda q: ({f}(q, s, k=k), total(q)), p, has_aux=True); "
     "return tame(scale(back(y)[0], aux))", 1),
    ("y, push = linearize(lambda q: {f}(q, s, k=k), p); return tame(add(push(p), push(scale(y, 0.5))))", 1),
    ("J = jacfwd(lambda t: {f}(p, t, k=k))(s); return tame(J)", 1),
    ("J = jacrev(lambda q: {f}(q, s, k=k))(p); return tame({{'a': J['a']['a'] @ p['a'], "
     "'b': np.tensordot(J['b']['b'], p['b'], 2)}})", 1),
    ("J = jacfwd(lambda q: {f}(q, s, k=k)['b'])(p); "
     "return tame({{'a': J['a'].sum((1, 2)), 'b': J['b'].sum((0, 1))}})", 1),
    ("H = hessian(lambda q: total({f}(q, s, k=k)))(p); return tame({{'a': H['a']['a'] @ p['a'], "
     "'b': np.tensordot(H['b']['a'], p['a'], 1)}})", 2),
    ("h = hessian(lambda t, u: total({f}(p, t, k=u)), argnums=(0, 1))(s, k); "
     "return tame(scale({g}(p, s, k=k), h[0][1]))", 2),
    ("P = {{'a': pile(p['a'], {a0}), 'b': pile(p['b'], {b0})}}; y = vmap(lambda q: {f}(q, s, k=k), "
     "in_axes=({{'a': {a0}, 'b': {b0}}},), out_axes={{'a': {a1}, 'b': {b1}}})(P); "
     "return {{'a': y['a'].sum({a1}), 'b': y['b'].mean({b1})}}", 0),
    ("y = vmap(lambda q, t: {f}(q, t, k=k), in_axes=({{'a': None, 'b': {b0}}}, 0))"
     "({{'a': p['a'], 'b': pile(p['b'], {b0})}}, np.stack([s, k, s * k])); return pick(y, -1)", 0),
    ("y = vmap(lambda q, t: {f}(q, t, k=k), in_axes=(None, -1), out_axes=-1)(p, np.stack([s, k])); "
     "return {{'a': y['a'][:, 0], 'b': y['b'][..., 1]}}", 0),
    ("y = vmap({f}, in_axes=(None, 0))(p, np.stack([s, s * 2]), k=np.stack([k, s])); return pick(y, 0)", 0),
    ("y, z = vmap(lambda q, t: ({f}(q, t, k=k), s * 2), (None, 0), (0, None))(p, np.stack([s, k])); "
     "return scale(pick(y, 1), z)", 0),
    ("y = vmap(grad(lambda t: total({f}(p, t, k=k))))(np.stack([s, k, s + k])); return tame(scale(p, y[1]))", 1),
    ("y = vmap(lambda t: vmap(lambda q: {f}(q, t, k=k))(heap(p)))(np.stack([s, k])); return pick(pick(y, 1), -1)", 0),
    ("y = vmap(lambda v: jvp(lambda q: {f}(q, s, k=k), (p,), (v,))[1])(heap(p)); return tame(pick(y, 2))", 1),
    ("return checkpoint({f})(p, s, k=k)", 0),
    ("return checkpoint(lambda q, *, c: {f}({g}(q, c, k=k), s, k=c))(p, c=s)", 0),
    ("return cond(s > k, lambda q: {f}(q, s, k=k), lambda q: {g}(q, s, k=k), p)", 0),
    ("return cond(total(p) > 0, lambda q, t: {f}(q, t, k=k), lambda q, t: scale(q, t), p, s)", 0),
    ("c, y = scan(lambda c, x: (tame({f}(c, x, k=k)), total(c)), p, np.stack([s, k, s])); return scale(c, y[0])", 0),
    ("c, y = scan(lambda c, x: (c * 0.5, {f}(x, c, k=k)), s, heap(p), reverse=True); return scale(pick(y, 0), c)", 0),
    ("c, y = scan(lambda c, x: ({{'q': {f}(c['q'], s, k=k), 'n': c['n'] + 1}}, (x, None)), "
     "{{'q': p, 'n': 0}}, None, length=2); "
     "return tame(c['q'])", 0),
    ("c = while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, tame({f}(c[1], s, k=k))), (0, p)); return c[1]", 0),
    ("y = loop_map(lambda q: {f}(q, s, k=k), heap(p)); return {{'a': y['a'].sum(0), 'b': y['b'][1]}}", 0),
    ("y = loop_map(lambda t: vmap(lambda q: {f}(q, t, k=k))(heap(p)), np.stack([s, k])); "
     "return pick(pick(y, 0), 1)", 0),
    ("y = p\nfor i in range(2):\n    y = tame({f}(y, s + i, k=k))\nreturn y", 0),
)  # fmt: skip

ORDERS = 3


class Trees:
    """Functions f0, f1, ... of which the last, `top`, is made of others, `depth` deep."""

    def __init__(self, seed: int, depth: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.count = 0
        self.top, self.orders = self._function(depth)

    @property
    def source(self) -> str:
        return "\n".join(self.lines) + "\n"

    def _pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def _function(self, depth: int) -> tuple[str, int]:
        if depth == 0:
            return self._written(self._pick(LEAVES)), 0
        f, first = self._function(depth - 1)
        g, second = self._function(int(self.rng.integers(depth)))
        body, own = self._pick(NESTS)
        while max(first, second) + own > ORDERS:
            body, own = self._pick(NESTS)
        axes = {f"{leaf}{i}": self._pick(AXES[leaf]) for leaf in "ab" for i in range(2)}
        return self._written(body.format(f=f, g=g, **axes)), max(first, second) + own

    def _written(self, body: str) -> str:
        name = f"f{self.count}"
        self.count += 1
        lines = [line for part in body.split("\n") for line in self._split(part)]
        self.lines += ["@C"] * (self.rng.random() < 0.3)
        self.lines += [f"def {name}(p, s, *, k):", *(f"    {line}" for line in lines)]
        self.lines += [f"def {name}_total(p, s, *, k):", f"    return total({name}(p, s, k=k))"]
        return name

    @staticmethod
    def _split(part: str) -> list[str]:
        return [part] if part.startswith(" ") else part.split("; ")

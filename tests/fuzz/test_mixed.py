"""Random programs whose sizes, numbers, branches on values and effects change from call to call, in both modes."""

from __future__ import annotations

import contextlib
import io
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import frozen

LINES = """
x = x * a
x = x + k // 2 + k % 3
x = x / (x.shape[0] + 1)
x = x - x.mean(0)
x = x[: x.shape[0] // 2 + 1]
x = dg.cat([x, y[:1]], 0)
x = x * math.sqrt(abs(a) + 1)
x = x.reshape(-1).reshape(x.shape)
x = dg.softmax(x, axis=0)
x = dg.cumsum(x, 0)
x = dg.sort(x, axis=0)
x = dg.roll(x, 1, 0)
x = x + y if x.shape == y.shape else x
x = x * 2 if x.sum() > 0 else x - 1
x = x * 3 if k > x.shape[0] else x
x = x + 1 if a > 0.5 else x
x = x + float(a) * int(k)
x = x * (x.shape[0] * a)
x = dg.full((x.shape[0], 4), a) + x
x = x + dg.arange(x.shape[0]).unsqueeze(1)
x = x.clamp(-a, k)
x = x[1:] if x.shape[0] > 2 else x
x = dg.topk(x, 1, 0)[0] + x
x = x + min(k, x.shape[0]) * max(a, 0.3)
x = dg.grad(lambda z: (z * z * a).sum())(x)
x = dg.einsum('ij,kj->ik', x, x) @ x
x = dg.scan(lambda c, r: (c + r * a, c), dg.zeros(4), x)[1]
x = x.std(0) + x if x.shape[0] > 1 else x
assert not x.isnan().any()
t += x.sum()
t.mul_(a)
x = x + t
log.append((a, k))
log.append(x.sum().item())
print(a, f'{k:03d}')
held['k'] = k * 2
""".strip().split("\n")
ENDS = ("x, x.sum(0)", "x, x.shape[0]", "x, a * 2", "x.sum(0), k + 1")


class Side:
    """The program with state of its own, and all that it shows."""

    def __init__(self, path: Path) -> None:
        self.state: dict[str, Any] = {"t": dg.zeros(()), "log": [], "held": {"k": 0}}
        self.names = {"dg": dg, "math": math, **self.state}
        exec(compile(path.read_text(), str(path), "exec"), self.names)
        self.call: Any = self.names["f"]

    def shows(self, *args: Any) -> Any:
        out = io.StringIO()
        with np.errstate(all="ignore"), contextlib.redirect_stdout(out):
            try:
                given = frozen(self.call(*args))
            except Exception as problem:
                given = type(problem)
        return given, frozen(self.state["t"]), repr(self.state), out.getvalue()


@pytest.mark.parametrize(
    "seed", [pytest.param(i, marks=[pytest.mark.soak] if i >= 12 else []) for i in range(100)]
)
def test_mixed_programs_are_as_in_eager_mode(seed: int, tmp_path: Path) -> None:
    r = random.Random(seed)
    body = [r.choice(LINES) for _ in range(r.randint(2, 6))]
    path = tmp_path / "program.py"
    indented = "".join(f"    {line}\n" for line in body)
    path.write_text(f"def f(x, y, a, k):\n    global t\n{indented}    return {r.choice(ENDS)}\n")
    eager, compiled = Side(path), Side(path)
    dynamic = {"x": {0: "n"}} if r.random() < 0.3 else None
    compiled.call = dg.compile(compiled.call, wait=True, dynamic=dynamic)
    floats, ints, sizes, signs = (r.random() < 0.6 for _ in range(4))
    for i in range(12):
        n = r.choice((8, 5, 3, 6, 12, 2, 1, 0, 17)) if sizes or i == 3 else 6
        a = r.choice((0.1, 0.25, 0.7, 1.5, -0.3)) if floats else 0.25
        k = r.choice((0, 1, 2, 3, 5, 8)) if ints else 3
        values = np.random.default_rng(seed * 100 + i).standard_normal((n, 4)) / 2
        x = dg.tensor((values + (r.choice((1, -1)) if signs else 1)).astype("float32"))
        y = dg.tensor(np.ones((r.choice((n, 4, 7)), 4), dtype="float32") * i)
        seen = eager.shows(x, y, a, k), compiled.shows(x, y, a, k)
        assert seen[0] == seen[1], f"call {i}\n{path.read_text()}\n{compiled.call.explain()}"

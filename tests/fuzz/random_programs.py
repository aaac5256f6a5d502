"""Random Python programs over tensors: source text of a function ``f(a, b, k, flag)`` and of its world.

Every program is valid by construction: the maker knows the shape of each variable. Programs branch on
tensor values and Python values, loop, write in place (inputs, views, state), read closures, draw random
numbers, and may compute gradients inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Shape = tuple[int, ...]

UNARY = (
    "{x}.exp().clamp(max=50.0)", "{x}.tanh()", "{x}.sigmoid()", "{x}.relu()", "{x}.sin()", "-{x}", "{x}.abs()",
    "({x} * {x})", "({x}.abs() + 0.5).sqrt()", "({x}.abs() + 1).log()", "dg.erf({x})", "{x}.clamp(-1, 2)",
    "{x}.round()", "{x}.sign()", "{x}.detach()", "{x}.clone()", "{x}.double().float()", "{x}.half().float()",
    "dg.nn.functional.gelu({x})", "{x}.flip((0,))", "{x}.cos()", "dg.nn.functional.softplus({x})",
    "{x}.bfloat16().float()", "{x}.floor()", "{x} / ({x} * {x} + 1)", "{x}.masked_fill({x} > 1, 0.25)",
    "dg.where({x} > 0, {x}, {x} * 0.1)", "dg.maximum({x}, {x} * 0.5)",
)  # fmt: skip
BINARY = ("{x} + {y}", "{x} - {y}", "{x} * {y}", "{x} / ({y} * {y} + 1)", "dg.minimum({x}, {y})", "dg.maximum({x}, {y})",
          "dg.where({x} > {y}, {x}, {y})", "{y} - {x}", "dg.atan2({x}, {y})")  # fmt: skip
NUMBERS = (
    "2",
    "0.5",
    "-1.25",
    "k",
    "C[0]",
    "C[1]",
    "len(C)",
    "0",
    "-0.0",
    "D['scale']",
    "1e-3",
    "True",
)
ALONG = ("{x}.softmax(-1)", "{x}.cumsum(-1)", "{x}.sort(-1)[0]", "{x}.log_softmax(-1)", "{x} - {x}.mean(-1, keepdim=True)",
         "dg.nn.functional.layer_norm({x}, ({x}.shape[-1],))", "{x} / ({x}.norm(dim=-1, keepdim=True) + 1)")  # fmt: skip
FOLDS = ("sum", "mean", "amax", "amin", "prod")


def sizes(seed: int) -> Shape:
    """The extents of the matrices of a program: small, odd, or longer than a block of a reduction."""
    return ((3, 4), (3, 4), (17, 35), (3, 530))[seed % 4]


class Maker:
    """Writes one program, statement by statement."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.indent = 1
        m, n = self.size = sizes(seed)
        self.shapes: dict[str, Shape] = {
            "a": (m, n),
            "b": (n,),
            "W": (m, n),
            "V": (n, m),
            "S": (m, n),
        }
        self.writable = {"S"}
        self.numbers: list[str] = []  # Python numbers to return
        self.count = 0

    def pick(self, items: Any) -> Any:
        items = list(items)
        return items[int(self.rng.integers(len(items)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def new(self, text: str, shape: Shape) -> str:
        self.count += 1
        name = f"v{self.count}"
        self.line(f"{name} = {text}")
        self.shapes[name] = shape
        return name

    def some(self, test: Any = lambda s: True) -> str | None:
        """A variable whose shape passes `test`, later ones more often."""
        found = [n for n, s in self.shapes.items() if test(s)]
        return self.pick(found[-8:]) if found else None

    # --- statements ---

    def unary(self) -> None:
        x = self.some()
        self.new(self.pick(UNARY if self.shapes[x] else UNARY[:9]).format(x=x), self.shapes[x])

    def binary(self) -> None:
        x = self.some()
        y = self.some(lambda s: self._fits(s, self.shapes[x]))
        if y is None or self.chance(0.3):
            y = self.pick(NUMBERS)
            self.new(
                f"{x} {self.pick('+-*')} {y}"
                if self.chance(0.7)
                else f"{y} {self.pick('+-*')} {x}",
                self.shapes[x],
            )
        else:
            self.new(self.pick(BINARY).format(x=x, y=y), self.shapes[x])

    @staticmethod
    def _fits(s: Shape, into: Shape) -> bool:
        return np.broadcast_shapes(s, into) == into if _compatible(s, into) else False

    def along(self) -> None:
        x = self.some(lambda s: len(s) > 0)
        self.new(self.pick(ALONG).format(x=x), self.shapes[x])

    def fold(self) -> None:
        x = self.some(lambda s: len(s) > 0)
        shape = self.shapes[x]
        fold = self.pick(FOLDS)
        if self.chance(0.3) and fold in ("sum", "mean", "prod"):
            self.new(f"{x}.{fold}()", ())
        else:
            axis = int(self.rng.integers(len(shape)))
            keep = self.chance(0.5)
            rest = tuple(1 if i == axis else d for i, d in enumerate(shape) if keep or i != axis)
            self.new(f"{x}.{fold}({axis}, keepdim={keep})", rest)

    def move(self) -> None:
        x = self.some(lambda s: len(s) == 2 and min(s) > 1)
        if x is None:
            return
        m, n = self.shapes[x]
        options: list[tuple[str, Shape]] = [
            (f"{x}.T", (n, m)), (f"{x}.reshape({m * n})", (m * n,)), (f"{x}[0]", (n,)), (f"{x}[:, 1:]", (m, n - 1)),
            (f"{x}[::-1] if False else {x}[1:]", (m - 1, n)), (f"{x}.unsqueeze(1)", (m, 1, n)),
            (f"dg.cat([{x}, {x} * 2], 0)", (2 * m, n)), (f"dg.stack([{x}, {x}])[1]", (m, n)),
            (f"{x}[dg.tensor([0, {m - 1}, 0])]", (3, n)), (f"{x}[:, -1]", (m,)), (f"{x}.expand(2, {m}, {n})", (2, m, n)),
            (f"{x}[[1, 0]]", (2, n)), (f"dg.nn.functional.pad({x}, (1, 0))", (m, n + 1)), (f"{x}.roll(1, 0)", (m, n)),
            (f"{x}[{x}[:, 0].argsort()]", (m, n)), (f"{x}.gather(1, {x}.argmax(1, keepdim=True))", (m, 1)),
        ]  # fmt: skip
        text, shape = self.pick(options)
        self.new(text, shape)

    def product(self) -> None:
        x = self.some(lambda s: len(s) == 2)
        y = self.some(lambda s: len(s) == 2 and x is not None and s[0] == self.shapes[x][1])
        if x is None or y is None:
            return
        self.new(f"({x} @ {y}).tanh()", (self.shapes[x][0], self.shapes[y][1]))

    def draw(self) -> None:
        m, n = self.size
        drawn = (
            f"dg.rand({m}, {n})",
            f"dg.randn({m}, {n})",
            "dg.nn.functional.dropout(a, 0.4)",
            "dg.rand_like(a)",
        )
        self.new(self.pick(drawn), self.size)

    def create(self) -> None:
        m, n = self.size
        ramp = f"dg.arange({m * n}.0).reshape({m}, {n}) * 0.01"
        made = (
            f"dg.zeros({m}, {n})",
            f"dg.ones({m}, {n}) * k",
            ramp,
            "dg.tensor(N)",
            "dg.asarray(N) * 2",
        )
        self.new(self.pick(made), self.size)

    def write(self) -> None:
        """An in-place write: on state, on an input, or on a fresh copy, perhaps through a view."""
        target = self.pick([*self.writable, None])
        if target is None:
            x = self.some(lambda s: len(s) == 2 and min(s) > 1)
            if x is None:
                return
            target = self.new(f"{x} * 1", self.shapes[x])
            if self.chance(0.7):
                self.writable.add(target)
        shape = self.shapes[target]
        y = self.some(lambda s: self._fits(s, shape)) or "k"
        row = self.some(lambda s: s == shape[1:])
        y, row = (
            f"{v}.detach()" if target in ("S", "a") and v in self.shapes else v for v in (y, row)
        )
        texts = [
            f"{target}.add_({y})", f"{target}.mul_(0.5)", f"{target}.add_(1)" if target == "S" else f"{target} += 1", f"{target}[0] = 0.5", f"{target}[:, 1] *= 2",
            f"{target}.clamp_(-2, 2)", f"{target}.T[1] += 1", f"{target}.view(-1)[2] = k", f"{target}[{target} > 1] = 0.75",
            f"{target}.copy_({target}.flip((0,)))", f"{target}[1:, 1:] = {target}[:-1, :-1].clone()",
        ]  # fmt: skip
        if row is not None:
            texts.append(f"{target}[1] = {row}")
        self.line(self.pick(texts))
        self.line(f"{target}.div_({target}.detach().abs().max() + 1)")

    def branch(self) -> None:
        """Both arms set the same new variable."""
        x = self.some(lambda s: len(s) > 0)
        condition = self.pick(
            (f"{x}.sum() > 0", f"bool(({x} > 0).any())", "flag", "k > 1", "C[0] > 2", f"{x}.max() < k", "len(C) > 2",
             f"int({x}.argmax()) % 2", "D.get('extra')", f"{x}.mean().item() > 0.1", "not flag and k")
        )  # fmt: skip
        self.count += 1
        name = f"v{self.count}"
        y = self.some(lambda s: s == self.shapes[x])
        self.line(f"if {condition}:")
        self.line(f"    {name} = {x} * 2")
        if self.chance(0.3):
            self.line("    S.add_(0.25)")
        self.line("else:")
        self.line(f"    {name} = {y} - 1" if self.chance(0.7) else f"    {name} = {x}")
        self.shapes[name] = self.shapes[x]

    def take(self) -> None:
        """A number is taken out: returned, used in arithmetic, compared, or used in an ``assert``."""
        x = self.some()
        fold = "" if self.shapes[x] == () else self.pick((".sum()", ".amax()", ".mean()"))
        self.count += 1
        n = f"n{self.count}"
        self.line(
            f"{n} = {x}.detach(){fold}.item()" if self.chance(0.5) else f"{n} = float({x}{fold})"
        )
        use = self.pick(("return", "return", "arithmetic", "compare", "assert", "round"))
        if use == "return":
            self.numbers.append(n)
        elif use == "assert":
            self.line(f"assert {n} == {n}, 'not a number'")
        elif use == "compare":
            y = self.some()
            self.new(f"{y} * 0.5 if {n} > 0.25 else {y} + 1", self.shapes[y])
        else:
            y = self.some()
            number = (
                f"max(-2.0, min(2.0, {n}))" if use == "arithmetic" else f"float(round({n}) % 3)"
            )
            self.new(f"{y} * ({number})", self.shapes[y])

    def loop(self) -> None:
        x = self.some()
        self.count += 1
        name = f"v{self.count}"
        self.line(f"{name} = {x} * 1")
        kind = self.pick(("range", "while", "list", "rows"))
        if kind == "range":
            self.line(f"for i in range({self.pick(('2', 'len(C)', '3'))}):")
            self.line(f"    {name} = {name} * 0.5 + i")
        elif kind == "while":
            self.line("n = 0")
            self.line(f"while {name}.detach().abs().sum() > 4 and n < 5:")
            self.line(f"    {name}, n = {name} * 0.5, n + 1")
        elif kind == "list":
            self.line("for c in C:")
            self.line(f"    {name} = {name} * c + 0.125")
        else:
            self.line("for row in a:")
            self.line(f"    {name} = {name} + row.detach().sum()")
        self.shapes[name] = self.shapes[x]

    def make(self, length: int) -> str:
        """The source of ``f``."""
        steps = (self.unary, self.binary, self.along, self.fold, self.move, self.product, self.draw, self.create,
                 self.write, self.branch, self.loop, self.take)  # fmt: skip
        weights = np.array([4, 5, 1.5, 2, 3, 1.5, 0.7, 0.7, 1.5, 1, 0.7, 0.5])
        if self.chance(0.3):
            self.writable.add("a")
        for _ in range(length):
            self.pick_step(steps, weights)()
        outs = [self.some() for _ in range(int(self.rng.integers(1, 5)))]
        self.ending(outs)
        return "def f(a, b, k, flag):\n" + "\n".join(self.lines) + "\n"

    def pick_step(self, steps: Any, weights: Any) -> Any:
        return steps[int(self.rng.choice(len(steps), p=weights / weights.sum()))]

    def ending(self, outs: list[str]) -> None:
        kind = self.pick(("plain", "plain", "backward", "grad", "second"))
        total = (
            " + ".join(f"(0.3 * {v}).tanh().sum()" for v in dict.fromkeys(outs))
            + " + (W * 0.1).sum()"
        )
        if kind == "backward":
            self.line(f"loss = {total}")
            self.line("loss.backward()")
            outs = [*outs, "loss"]
            outs = [f"{v}.detach()" for v in outs]
        elif kind == "grad":
            self.line(f"(g,) = dg.autograd.grad({total}, W)")
            outs = [f"{v}.detach()" for v in outs] + ["g"]
        elif kind == "second":
            self.line(f"(g,) = dg.autograd.grad({total}, W, create_graph=True)")
            outs = [*outs, "g.sin()"]
        if self.chance(0.15):
            outs = [*outs, f"{outs[0]}.sum().item()"]
        outs = [*outs, *self.numbers]
        form = self.pick(("({},)", "[{}]", "{{'y': {}}}", "{}"))
        if form == "{{'y': {}}}":
            self.line("return {" + ", ".join(f"'y{i}': {v}" for i, v in enumerate(outs)) + "}")
        else:
            self.line("return " + form.format(", ".join(outs)))


def _compatible(s: Shape, t: Shape) -> bool:
    return len(s) <= len(t) and all(d in (1, e) for d, e in zip(s[::-1], t[::-1], strict=False))


def random_program(seed: int) -> str:
    """The source of a random function ``f(a, b, k, flag)``."""
    maker = Maker(seed)
    return maker.make(int(maker.rng.integers(3, 25)))

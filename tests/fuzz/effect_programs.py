"""Random programs with effects: functions that print, append and count in nested branches, loops, context managers
and handlers, between writes to tensors; run twice, as they are and wrapped."""

from __future__ import annotations

import contextlib
import io
import linecache
import random
from typing import Any

import dualgraph as dg


class Writer:
    """Writes one program: a function ``step(x, self)`` and its helpers, below `PRELUDE`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lines: list[str] = []  # of text
        self.names = 0
        self.calls = False

    def put(self, depth: int, text: str) -> None:
        """Adds a line."""
        self.lines.append("    " * depth + text)

    def tensor(self) -> str:
        """An expression for a tensor."""
        r = self.rng
        return r.choice(
            [
                "x * 2",
                "x + y",
                "y.tanh()",
                "x.sin() + 1",
                "y * self.scale",
                "x.exp() * 0.1",
                "y.sum() + x",
                "x - W",
                "x * getattr(x, 'scale', 1.0)",
                "x * getattr(W, 'scale', 2.0)",
                "y * config.rate",
                "sum(pieces(y))",
                "y * (2.0 if hasattr(self, 'extra') else 0.5)",
            ]
        )

    def number(self) -> str:
        """An expression for a number."""
        return self.rng.choice(
            [
                "y.sum().item()",
                "float(y.mean())",
                "x.max().item()",
                "self.n",
                "round(y.sum().item(), 3)",
                "COUNT",
                "int(x.sum().item())",
                "W.sum().item()",
                "len(log)",
                "(x * y).sum().item() * 2",
            ]
        )

    def condition(self) -> str:
        """A condition."""
        return self.rng.choice(
            [
                "self.n % 3 == 0",
                "self.n % 2",
                "COUNT % 3 == 1",
                "y.sum().item() > 5",
                "x.sum() > 20",
                "self.flag",
                "len(log) > 12",
                "self.n > 4 and COUNT % 2",
                "x.ndim == 1",
                "self.n % 3 == 0 or y.max().item() > 1",
                "(s := y.sum().item()) > 4",
                "hasattr(self, 'extra')",
                "config.steps > 2",
            ]
        )

    def effect(self) -> str:
        """A statement that does something to Python state."""
        v = self.number()
        return self.rng.choice(
            [
                f"print({v})",
                f"log.append({v})",
                "self.n += 1",
                f"self.last = {v}",
                "bump()",
                f"self.note({v})",
                f"table['k'] = {v}",
                "table['c'] = table.get('c', 0) + 1",
                f"print(f'{{{v}}} {{self.n}}')",
                "log.append(y)",
                f"self.history.append({v})",
                "log.append([v.item() for v in (x, y) if v.ndim == 0])",
                f"record(log, {v})",
                "seen.add(self.n)",
                "self.tick()",
                f"log.extend([{v}, {self.number()}])",
                "log.clear()",
                "log.append(y.tolist())",
                f"total.append(sum(v for v in (1, {v})))",
                "table.setdefault('l', []).append(self.n)",
                "Thing.made += 1",
                f"for told in callbacks: told({v})",
                f"self.meter.update({v})",
                f"[told({v}) for told in callbacks]",
                f"config.seen.append({v})",
                "config.steps += 1",
                f"table.update(last={v})",
                "log.append(next(numbers(self.n)))",
                "log.extend(numbers(2))",
                "print(*[v for v in numbers(3)], sep='-')",
                "deep['a']['b'].append(self.n)",
                f"recent.appendleft({v})",
            ]
        )

    def simple(self, depth: int) -> None:
        """A statement without others in it."""
        r = self.rng.random()
        if r < 0.45:
            self.put(depth, self.effect())
        elif r < 0.7:
            self.put(depth, f"y = {self.tensor()}")
        elif r < 0.78:
            self.put(
                depth,
                self.rng.choice(
                    [
                        "W.add_(x.detach() * 0.1)",
                        "W.mul_(0.5)",
                        "y = y * 1; y[0] = 3.0",
                        "self.scale = self.scale",
                        "self.buf.copy_(y if y.ndim else x)",
                    ]
                ),
            )
        elif r < 0.86:
            self.put(depth, f"v{self.names} = {self.number()}")
            self.put(
                depth,
                self.rng.choice(
                    [
                        f"log.append(v{self.names})",
                        f"print(v{self.names} + 1)",
                        f"y = y + v{self.names}",
                        f"self.last = v{self.names}",
                    ]
                ),
            )
            self.names += 1
        elif not self.calls:
            self.put(depth, "y = y + 0.5")
        elif self.calls:
            self.put(
                depth,
                self.rng.choice(
                    ["y = inner(x, y, self)", "y = self.block(y)", "y = layers(y, self)"]
                ),
            )

    def block(self, depth: int, size: int) -> None:
        """Some statements."""
        for _ in range(self.rng.randint(1, size)):
            r = self.rng.random()
            if depth > 3 or r < 0.62:
                self.simple(depth)
            elif r < 0.76:
                self.put(depth, f"if {self.condition()}:")
                self.block(depth + 1, 2)
                if self.rng.random() < 0.3:
                    self.put(depth, f"elif {self.condition()}:")
                    self.block(depth + 1, 2)
                if self.rng.random() < 0.4:
                    self.put(depth, "else:")
                    self.block(depth + 1, 2)
            elif r < 0.85:
                self.put(
                    depth,
                    self.rng.choice(
                        [
                            "for i in range(2):",
                            "for i, k in enumerate('ab'):",
                            "for k, v in list(table.items())[:2]:",
                        ]
                    ),
                )
                self.block(depth + 1, 2)
                if self.rng.random() < 0.2:
                    self.put(depth + 1, f"if {self.condition()}:")
                    self.put(depth + 2, self.rng.choice(["break", "continue"]))
            elif r < 0.93:
                self.put(
                    depth,
                    self.rng.choice(
                        [
                            "with dg.no_grad():",
                            "with lock:",
                            "with span:",
                            "with span as s:",
                            "with gen('a'):",
                            "with contextlib.suppress(KeyError):",
                            "with gen('b'), span:",
                            "with timed(table, 't'):",
                        ]
                    ),
                )
                self.block(depth + 1, 2)
            else:
                kind = self.rng.random()
                self.put(depth, "try:")
                self.block(depth + 1, 2)
                if kind < 0.3:
                    self.put(
                        depth + 1,
                        self.rng.choice(
                            [
                                "risky(self.n)",
                                "table['x' * (self.n % 2)] += 1",
                                "risky(int(x.sum().item()))",
                            ]
                        ),
                    )
                if kind < 0.6:
                    self.put(depth, "except (KeyError, ZeroDivisionError):")
                    self.block(depth + 1, 1)
                if kind >= 0.6 or self.rng.random() < 0.3:
                    self.put(depth, "finally:")
                    self.block(depth + 1, 1)

    def write(self) -> str:
        """The text."""
        r = self.rng
        self.put(0, "def inner(x, y, self):")
        self.block(1, 2)
        self.put(1, "return y * 2")
        self.put(0, "def layers(y, self):")
        self.put(1, "x = y")
        self.block(1, 2)
        self.put(1, r.choice(["return y", "return x + y", "return y.tanh()"]))
        self.put(0, "class Thing(Base):")
        self.put(1, "def note(self, v):")
        self.put(
            2,
            r.choice(
                [
                    "self.notes.append(v)",
                    "self.total += v",
                    "if v > 3:\n            self.notes.append(v)",
                    "print('note', v)",
                    "self.total = max(self.total, v)",
                ]
            ),
        )
        self.put(1, "def block(self, y):")
        self.put(
            2,
            r.choice(
                ["self.n += 1", "self.history.append(y.sum().item())", "pass", "print(self.n)"]
            ),
        )
        self.put(2, "return y * 0.5")
        self.calls = True
        self.put(0, "def step(x, self):")
        self.put(1, "y = x * 1.5")
        self.block(1, 5)
        self.put(
            1,
            r.choice(
                [
                    "return y",
                    "return y + 1",
                    "return y.numpy()",
                    "return y, float(y.sum())",
                    "return {'y': y, 'l': y.tolist()}",
                    "return None",
                    "return y.sum().item()",
                    "return (y * 2).tolist()",
                    "return y, f'{y.sum().item():.3f}', self.n",
                ]
            ),
        )
        return "\n".join(self.lines) + "\n"


PRELUDE = """
import collections, contextlib, threading
import dualgraph as dg
lock = threading.RLock()
COUNT = 0
def bump():
    global COUNT
    COUNT += 1
def record(to, v):
    to.append(("r", v))
def risky(n):
    if n % 4 == 3:
        raise ZeroDivisionError("risky")
class Span:
    def __init__(self): self.a = self.b = 0
    def __enter__(self): self.a += 1; return self
    def __exit__(self, *e): self.b += 1
span = Span()
log, table, seen, total = [], {}, set(), []
@contextlib.contextmanager
def gen(name):
    log.append(name)
    yield
    log.append(name)
class timed:
    def __init__(self, to, key): self.to, self.key = to, key
    def __enter__(self): self.to[self.key] = self.to.get(self.key, 0) + 1
    def __exit__(self, *e): self.to[self.key + 'x'] = self.to.get(self.key + 'x', 0) + 1
def numbers(n):
    for i in range(n % 3 + 1):
        yield i * n
def pieces(y):
    for i in range(2):
        yield y * (i + 0.5)
class Meter:
    def __init__(self): self.total, self.count = 0.0, 0
    def update(self, v):
        self.total += v
        self.count += 1
    def __repr__(self): return f"{self.total} {self.count}"
class Config:
    def __init__(self): self.rate, self.steps, self.seen = 0.5, 0, []
    def __repr__(self): return f"{self.rate} {self.steps} {self.seen}"
config = Config()
callbacks = [lambda v: log.append(("cb", v))]
deep = {"a": {"b": []}}
recent = collections.deque(maxlen=2)
W = dg.ones(3)
class Base:
    made = 0
    def __init__(self):
        self.n, self.total, self.last, self.flag = 0, 0.0, None, True
        self.history, self.notes = [], []
        self.scale, self.buf, self.meter = dg.ones(3) * 0.7, dg.zeros(3), Meter()
    def tick(self):
        self.n += 1
        if self.n % 2: self.history.append(self.n)
"""


TOLD = ("log", "table", "seen", "total", "COUNT", "W", "config", "deep", "recent")


def change(i: int, space: dict[str, Any], thing: Any, x: Any) -> None:
    """What the world around a program does before call number `i`."""
    if i == 5:
        thing.meter = space["Meter"]()
    if i == 6:
        space["callbacks"].append(lambda v: space["W"].mul_(0.5))
    if i == 7:
        x.scale = space["W"].scale = 3.0
    if i == 8:
        thing.extra = True
        space["config"].rate = 0.25
    if i == 9:
        space["recent"] = space["collections"].deque([0], maxlen=3)
        thing.meter.update = lambda v: space["log"].append(("other", v))


def run_program(text: str, name: str, wrap: Any, calls: int = 10) -> tuple[list[str], Any]:
    """What the calls of a program gave, printed and left behind, as texts; and its function, wrapped."""
    space: dict[str, Any] = {"__name__": name}
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), space)
    thing = space["Thing"]()
    out, told = io.StringIO(), []
    f = wrap(space["step"])
    with contextlib.redirect_stdout(out):
        for i in range(calls):
            x = dg.tensor([1.0, 2.0, 3.0]) * ([1, 2, 3, 5][i % 4])
            change(i, space, thing, x)
            try:
                told.append(repr(f(x, thing)))
            except (
                KeyError,
                ZeroDivisionError,
                ValueError,
                TypeError,
                NameError,
                IndexError,
                RuntimeError,
                OverflowError,
            ) as e:
                told.append(f"{type(e).__name__}: {e}")
            told.append(
                repr(
                    [space[k] for k in TOLD]
                    + [space["span"].a, space["span"].b, space["Base"].made, type(thing).made]
                    + [dict(vars(thing))]
                )
            )
            told.append(out.getvalue()[-300:])
    return told, f


def effect_program(seed: int) -> str:
    """The text of a program."""
    return PRELUDE + Writer(random.Random(seed)).write()

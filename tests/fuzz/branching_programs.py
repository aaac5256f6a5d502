"""Random functions that branch on values: source text of ``f(x, y)`` over (4, 4) tensors, which gives two tensors."""

from __future__ import annotations

import random

OPS = (
    "{a} * w", "dg.tanh({a}) + {b}", "{a} @ W", "{a}.softmax(-1) * {b}", "({a} - {b}).sin()", "{a} * {b}.detach()",
    "{a}.flip((1,))", "dg.where({a} > 0, {a}, {b})", "{a} / (1 + {b} * {b})", "{a} + {b}.mean()",
    "dg.nn.functional.layer_norm({a}, (4,))", "{a}.clone()", "{a}.T.T * 0.5", "{a}.exp().log1p()",
    "dg.nn.functional.dropout({a}, 0.5)", "dg.checkpoint(lambda p: p.sin() * w)({a})",
    "dg.cond({a}.sum() > 0, lambda p: p * 2, lambda p: p - w, {b})",
    "dg.scan(lambda c, r: (c * 0.5 + r, None), {a}[0], {b})[0] + {a}",
)  # fmt: skip
PLAIN = 6  # of these ops are cheap
TESTS = (
    "{a}.sum() > 0", "{a}[0, 0] > {b}[1, 1]", "({a} > 0.5).any()", "{a}.mean().item() > 0", "not ({a} < 0).all()",
)  # fmt: skip


def source(seed: int) -> str:
    """The text of one function."""
    rng = random.Random(seed)
    lines, known = ["def f(x, y):"], ["x", "y"]

    def filled(items: tuple[str, ...]) -> str:
        return rng.choice(items).format(a=rng.choice(known), b=rng.choice(known))

    for i in range(rng.randint(3, 9)):
        kind, name = rng.random(), f"t{i}"
        if kind < 0.5:
            lines.append(f"    {name} = {filled(OPS)}")
        elif kind < 0.78:
            lines += [f"    if {filled(TESTS)}:", f"        {name} = {filled(OPS)}"]
            lines += ["    else:", f"        {name} = {filled(OPS)}"]
        elif kind < 0.86:
            lines += ["    with dg.no_grad():", f"        {name} = {filled(OPS[:PLAIN])}"]
        elif kind < 0.93:
            lines += [
                f"    {name} = {rng.choice(known)} * 1",
                f"    {name}[0] += {rng.choice(known)}[1]",
            ]
        else:
            early = f"{rng.choice(known)} * 2, {rng.choice(known)}"
            lines.append(f"    if {rng.choice(known)}.sum() > 3: return {early}")
            continue
        known.append(name)
    return "\n".join([*lines, f"    return {known[-1]}, {rng.choice(known)}"]) + "\n"

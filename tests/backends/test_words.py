"""Elementwise ops whose body looks into a parameter: native code or NumPy, with the same bits in both modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.words import needs_expansions, words_of
from dualgraph.core.kinds import elementwise
from dualgraph.core.prim import REGISTRY


def an_op(name: str, body: Any, params: dict[str, Any]) -> Any:
    """An elementwise op that is known to this test alone."""

    def samples(rng: Any) -> list[Any]:
        return [((rng.standard_normal(5),), params)]

    made = elementwise(dtype=lambda dtypes: (dtypes, dtypes[0]), name=name, samples=samples)(body)
    del REGISTRY[name]
    return made


def line(s: Any, x: Any, coef: tuple[float, ...]) -> Any:
    return x * coef[0] + coef[1]


def waves(s: Any, x: Any, coef: tuple[float, ...]) -> Any:
    for c in coef:
        x = s.exp(x * c)
    return x


def either(s: Any, x: Any, wave: bool) -> Any:
    return s.sin(x) if wave else x + 1.0


@pytest.mark.parametrize("size", [5, 700, 50_000])
@pytest.mark.parametrize(
    ("body", "params"),
    [(line, {"coef": (2.0, 1.0)}), (waves, {"coef": (-0.5, 0.25)}), (either, {"wave": True})],
)
def test_bodies_that_look_into_parameters_have_the_same_bits(
    body: Any, params: dict[str, Any], size: int
) -> None:
    op = an_op(f"looks_{body.__name__}_{size}", body, params)
    x = dg.asarray(np.random.default_rng(0).standard_normal(size).astype(np.float32))
    compiled = dg.compile(lambda v: op(v * 1.0, **params) - 1.0, wait=True)
    compiled(x)
    eager = op(x * 1.0, **params) - 1.0
    assert compiled(x).numpy().tobytes() == eager.numpy().tobytes()


def test_words_are_those_that_the_parameters_lead_to() -> None:
    op = an_op("leads", either, {"wave": True})
    assert "sin" in words_of(op, {"wave": True})
    assert needs_expansions(op, {"wave": True})
    assert not needs_expansions(op, {"wave": False})

"""Symbolic numbers in text: read back as what was printed, and nothing else."""

from __future__ import annotations

import math

import pytest

import dualgraph as dg
from dualgraph.core.numbers.guards import guarded
from dualgraph.core.numbers.sizing import to_float
from dualgraph.core.numbers.symbolic import hint, plain, source
from dualgraph.core.numbers.symbols import shown, symbol
from dualgraph.static.symbol_text import read_number

NUMBERS = (
    lambda n, m: 3 * n + 2, lambda n, m: n * m - 7, lambda n, m: (n + 1) // 2, lambda n, m: -(-n // 4),
    lambda n, m: n % 3, lambda n, m: n // m, lambda n, m: 1 << (n - 1).bit_length(), lambda n, m: to_float(n) / 3 * 0.1,
    lambda n, m: n**0.5,
    lambda n, m: math.ceil(n / 4) + math.floor(m * 0.3), lambda n, m: round(n / 7, 2), lambda n, m: -(n / m) + 1e-05,
    lambda n, m: 2.0 ** (n / 3), lambda n, m: n & 1, lambda n, m: round(n * 0.37), lambda n, m: n**7,
)  # fmt: skip


@pytest.mark.parametrize("make", NUMBERS)
def test_numbers_are_read_back(make):
    n, m = symbol(6, "rows"), symbol(4, "columns")
    with guarded():
        number = make(n, m)
    back = read_number(shown(number), {"rows": 6, "columns": 4})
    assert source(back) == source(number) and plain(back) == plain(number)
    assert type(back) is type(number)


@pytest.mark.parametrize(
    "text", ["__import__('os')", "s0.__class__", "[s0]", "9**9**9", "2**100*s0",
     "lambda: 1", "s0/0", "1e", "(", "s0 if s0 else 1", "x" * 5000, "'a'*9"]
)  # fmt: skip
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="is no number"):
        read_number(text, {"s0": 4})
    with pytest.raises(dg.GraphError):
        dg.parse(
            f"graph(%0: f32[2]) {{\n  %1: f32[2] = reshape(%0, shape=({{{text}}},))\n  return %1\n}}"
        )


def test_sizes_of_a_graph_are_read_first():
    node = "%1: f32[5*batch] = reshape(%0, shape=({5*batch},))"
    text = f"sizes batch=6\ngraph(%0: f32[batch,5]) {{\n  {node}\n  return %1\n}}"
    graph = dg.parse(text)
    assert str(graph) == text and hint(graph.in_types[0].shape[0]) == 6
    assert graph != dg.parse(text.replace("=6", "=7"))
    (out,) = graph.run(dg.ones(6, 5))
    assert out.shape == (30,)

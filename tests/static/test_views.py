"""Views and the reference interpreter: networkx, Graphviz, `Graph.run`."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import dualgraph  # noqa: F401  (installs ops and backends)
from dualgraph.core.errors import ArgumentError
from dualgraph.ops import arithmetic, reduce  # noqa: F401
from dualgraph.static.text import parse
from tests.passes import conftest  # noqa: F401
from tests.passes.random_graphs import random_graph

GRAPH = parse("""graph(%0: f32[2,3], %1: f32[3]) {
  %2: f32[2,3] = add(%0, %1)
  %3: f32[2,3] = multiply(%2, %2)
  %4: f32[2] = reduce_sum(%3, axes=(1,), keepdims=False)
  return %4, 2.0:f32
}""")


def test_networkx_has_an_edge_an_operand() -> None:
    drawn = GRAPH.to_networkx()
    assert sorted(map(str, drawn)) == ["0", "1", "2", "in0", "in1", "out0", "out1"]
    assert drawn.number_of_edges(0, 1) == 2
    assert nx.is_directed_acyclic_graph(drawn)
    assert nx.has_path(drawn, "in0", "out0") and not nx.has_path(drawn, "in0", "out1")


@pytest.mark.parametrize("seed", range(5))
def test_dot_names_every_node(seed: int) -> None:
    graph = random_graph(seed)
    dot = graph.to_dot()
    assert dot.startswith("digraph {") and dot.endswith("}")
    assert all(f'[label="{n.prim.name}"' in dot for n in graph.nodes)


def test_run_takes_arrays_numbers_and_trees() -> None:
    x, y = np.ones((2, 3), dtype=np.float32), np.arange(3, dtype=np.float32)
    for args in ((x, y), ((x, [y]),), ({"x": x, "y": y},)):
        total, two = GRAPH.run(*args)
        assert np.asarray(total).tolist() == [14.0, 14.0] and float(two) == 2.0
    assert [float(r) for r in parse("graph(%0: f32[]) { return %0 }").run(3)] == [3.0]


def test_run_refuses_what_does_not_fit() -> None:
    x = np.ones((2, 3), dtype=np.float32)
    with pytest.raises(ArgumentError, match="takes 2 inputs, 1 were given"):
        GRAPH.run(x)
    with pytest.raises(ArgumentError, match=r"input 1 is f32\[3\], not float64\[3\]"):
        GRAPH.run(x, np.zeros(3))

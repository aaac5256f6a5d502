"""Text of graphs: what is printed parses back to an equal graph, and what is wrong is said with its place."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

import dualgraph  # noqa: F401  (installs the ops)
from dualgraph.core import dtypes as dt
from dualgraph.core.constant import ConstArray
from dualgraph.core.devices import as_device
from dualgraph.core.errors import GraphError, Location
from dualgraph.core.node import Literal, Node, Var
from dualgraph.core.prim import lookup
from dualgraph.core.types import TensorType
from dualgraph.ops import creation, sorting  # noqa: F401
from dualgraph.static.graph import Graph, GraphBuilder, verify_types
from dualgraph.static.region import composite_region
from dualgraph.static.text import parse, to_text
from tests.passes.random_graphs import random_graph

TEXT = """\
graph(%0: f32[2,3], %1: f32[3]) {
  %2: f32[2,3] = add(%0, %1)  # train.py:12
  %3: f32[2] = reduce_sum(%2, axes=(1,), keepdims=False)
  return %3
}"""


def test_text_reads_as_the_example_does() -> None:
    graph = parse(TEXT)
    verify_types(graph)
    assert str(graph) == TEXT
    assert graph.nodes[0].where == Location("train.py", 12)


def test_source_lines_do_not_count_in_equality() -> None:
    assert (
        parse(TEXT)
        == parse(TEXT.replace("train.py:12", "other.py:7"))
        == parse(to_text(parse(TEXT), where=False))
    )


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_round_trip(seed: int) -> None:
    graph = random_graph(seed, 30)
    assert parse(str(graph)) == graph
    assert str(parse(str(graph))) == str(graph)


def with_param(value: Any) -> Graph:
    v = Var(0, TensorType(dt.float32, (2,)))
    return Graph((v,), (Node(lookup("copy"), (v,), {"p": value}, (Var(1, v.type),)),), ())


def odd_nan() -> float:
    return float(struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0])


VALUES = [
    0, -7, 2**80, True, False, None, 0.0, -0.0, 0.1, 1e-310, -1e300, math.inf, -math.inf, math.nan, odd_nan(),
    "plain", 'quo"te\\ \n # %0 é', (), (1,), (1, (2.0, "x"), None), [1, [2]], 1 + 2j, complex(-0.0, math.inf),
    dt.float32, dt.bool_, dt.bfloat16, as_device("cpu"), as_device("cuda:1"), TensorType(dt.int8, (3, 0)),
    TensorType(dt.float16, (), as_device("cuda")), slice(None, 3, -1), parse("graph() { return 1:i64 }"),
    ConstArray(np.arange(6, dtype=np.int32).reshape(2, 3)), ConstArray(np.array(-0.0)), ConstArray(np.zeros((0, 2))),
    ConstArray(np.array([True, False])), ConstArray(np.linspace(0, 1, 40, dtype=np.float32)),
    ConstArray(np.array([1 + 2j], dtype=np.complex64)), ConstArray(np.array([odd_nan(), math.nan, math.inf])),
    ConstArray(np.array([0x7FC1], dtype=np.uint16), dt.bfloat16), ConstArray(np.array([0.1], dtype=np.float16)),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_parameters_round_trip_exactly(value: Any) -> None:
    graph = with_param(value)
    found = parse(str(graph))
    assert found == graph
    assert type(found.nodes[0].params["p"]) is type(value)


def test_parameters_differ_where_their_types_or_bits_do() -> None:
    same = [0, 0.0, -0.0, False, (0,), (0.0,), [0]]
    graphs = [with_param(v) for v in same]
    assert all((a == b) == (i == j) for i, a in enumerate(graphs) for j, b in enumerate(graphs))
    assert with_param(math.nan) == with_param(float("nan")) != with_param(odd_nan())


@pytest.mark.parametrize(
    "literal", [Literal(2.0, dt.float32), Literal(2, dt.float32), Literal(-0.0, dt.float64), Literal(True, dt.bool_),
                Literal(1e-5, dt.bfloat16), Literal(math.nan, dt.float32), Literal(1 - 2j, dt.complex64)]
)  # fmt: skip
def test_literals_round_trip(literal: Literal) -> None:
    graph = Graph((), (), (literal,))
    assert parse(str(graph)) == graph
    assert type(parse(str(graph)).outputs[0].value) is type(literal.value)  # type: ignore[union-attr]


def test_several_results_and_long_headers_round_trip() -> None:
    builder = GraphBuilder()
    inputs = [builder.input(TensorType(dt.float32, (64, 128))) for _ in range(9)]
    outs = builder.add(
        lookup("sort_along"), (inputs[0],), {"axis": 0, "descending": False}, Location("a b.py", 3)
    )
    graph = builder.build([*outs, Literal(1, dt.int64)])
    assert "\n    %8: f32[64,128],\n) {" in str(graph)
    assert parse(str(graph)) == graph
    assert parse(str(graph)).nodes[0].where == Location("a b.py", 3)


def test_regions_print_their_bodies_indented() -> None:
    inner = GraphBuilder()
    x = inner.input(TensorType(dt.float32, (2,)))
    body = inner.build(inner.add(lookup("exp"), (x,), {}, Location("nn.py", 9)))
    builder = GraphBuilder()
    v = builder.input(x.type)
    params = {"name": "grow", "body": body}
    graph = builder.build(builder.add(composite_region, (v,), params, Location("train.py", 4)))
    assert str(graph) == (
        "graph(%0: f32[2]) {\n"
        '  %1: f32[2] = composite(%0, name="grow", body=graph(%0: f32[2]) {\n'
        "    %1: f32[2] = exp(%0)  # nn.py:9\n"
        "    return %1\n"
        "  })  # train.py:4\n"
        "  return %1\n"
        "}"
    )
    assert parse(str(graph)) == graph
    assert parse(str(graph)).nodes[0].where.line == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1, column 1: expected 'graph', found the end of the text"),
        ("graph() {", "line 1, column 10: expected a variable such as %0, found the end"),
        ("graph(%0: f32[2]) {\n  return %1\n}", "line 2, column 10: %1 is read before it is assigned"),
        ("graph(%0: f32[2], %0: f32[2]) { return }", "line 1, column 19: %0 is assigned twice"),
        ("graph(%0: q8[2]) { return }", "line 1, column 11: 'q8[2]' is not a type"),
        ("graph(%0: f32[2]) {\n  %1: f32[2] = no_such_op(%0)\n  return\n}", "line 2, column 16: there is no op named"),
        ("graph(%0: f32[2]) {\n  %1: f32[2] = exp(%0; %0)\n}", "line 2, column 22: ';' starts nothing known"),
        ("graph(%0: f32[2]) {\n  %1: f32[2] = exp(%1)\n  return\n}", "line 2, column 20: exp reads its own result"),
        ("graph(%0: f32[2]) {\n  %1: f32[2] = exp(p=1, %0)\n}", "line 2, column 25: expected a parameter"),
        ("graph(%0: f32[2]) {\n  %1: f32[2] = exp(%0, p=1, p=2)\n}", "line 2, column 29: parameter p is given twice"),
        ("graph(%0: f32[2]) {\n  %1: f32[2] = exp(%0, p=os.system)\n}", "line 2, column 28: '.' starts nothing"),
        ("graph(%0: f32[2]) {\n  %1: f32[2] = exp(%0, p=__import__)\n}", "line 2, column 26: expected a value"),
        ("graph() { return 1 }", "line 1, column 20: expected ':'"),
        ("graph() { return 1:f99 }", "line 1, column 20: f99 is not a dtype"),
        ("graph() { return } graph() { return }", "line 1, column 20: expected the end of the text"),
        ('graph() {\n %0: f32[2] = constant(data=array(f32[2], "AAA"), device="cpu")\n}', "line 2, column 35: "),
        ("graph() {\n %0: f32[2] = constant(data=array(f32[2], [1.0]), device=\"cpu\")\n}", "line 2, column 35: "),
    ],
)  # fmt: skip
def test_malformed_text_says_line_and_column(text: str, problem: str) -> None:
    with pytest.raises(GraphError) as caught:
        parse(text)
    assert problem in str(caught.value)


def test_every_prefix_of_a_text_is_an_error_of_its_own_kind() -> None:
    text = str(random_graph(3, 12))
    for end in range(len(text)):
        with pytest.raises(GraphError, match=r"line \d+, column \d+: "):
            parse(text[:end])


def test_parameters_without_a_text_form_are_refused() -> None:
    with pytest.raises(GraphError, match="has no text form"):
        str(with_param(object()))

"""Every rewrite rule keeps every bit: each is tried on all dtypes and parameters, on special values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dualgraph.backends.array import NumpyBackend
from dualgraph.core import dtypes as dt
from dualgraph.core.errors import DualgraphError, GraphError
from dualgraph.core.kinds import ELEMENTWISE
from dualgraph.core.node import Literal, Node, Var
from dualgraph.core.prim import Prim
from dualgraph.core.types import TensorType
from dualgraph.ops import algebra
from dualgraph.passes.dce import dce
from dualgraph.passes.rules import Apply, Letter, Rule, build, match, read_rules
from dualgraph.passes.simplify import Simplifier, rules_by_op, simplify
from dualgraph.static.graph import Graph, GraphBuilder, verify_types
from dualgraph.static.interpreter import interpret
from dualgraph.static.text import parse

BACKEND = NumpyBackend()
RULES = [r for rules in rules_by_op(False).values() for r in rules]
DTYPES = [
    dt.bool_,
    dt.uint8,
    dt.int8,
    dt.int64,
    dt.float16,
    dt.bfloat16,
    dt.float32,
    dt.float64,
    dt.complex64,
]
NUMBERS: list[Any] = [2.0, -0.25, 3.0, 2.0**120]
SHAPES = [(2, 3), (3, 1), (1, 1), ()]
PARAMS: dict[str, list[Any]] = {
    "axes": [(), (0,), (1,), (0, 1), (1, 0)],
    "shape": [(2, 3), (3, 2), (6,), (4, 2, 3), (5, 4, 2, 3)],
    "keepdims": [False, True],
    "dtype": ["float64", "float32", "int32", "float16", "bool"],
    "starts": [(0, 0), (1, 2)],
    "stops": [(2, 3), (-1, -1)],
    "steps": [(1, 1), (-1, -1)],
    "widths": [((0, 0), (0, 0)), ((1, 0), (0, 0))],
    "value": [0.0],
    "axis": [0],
    "taped": [False, True],
}


def specials(type: TensorType, seed: int) -> Any:
    """An array of this type with values that show every difference."""
    rng = np.random.default_rng(seed)
    if type.dtype is dt.bfloat16:
        values = np.array(
            [0, 0x8000, 0x3F80, 0xBF80, 0x7F80, 0xFF80, 0x7FC0, 0xFFC1, 1, 0x8001, 0x7F7F],
            np.uint16,
        )
    elif type.dtype.kind in "float complex":
        tiny = np.finfo(type.dtype.numpy).smallest_subnormal
        big = np.finfo(type.dtype.numpy).max
        some = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            np.inf,
            -np.inf,
            np.nan,
            -np.nan,
            tiny,
            -tiny,
            3 * tiny,
            big,
            0.1,
        ]
        values = np.array(some, dtype=type.dtype.numpy)
    elif type.dtype is dt.bool_:
        values = np.array([True, False])
    else:
        info = np.iinfo(type.dtype.numpy)
        values = np.array([0, 1, 2, 3, info.min, info.max], dtype=type.dtype.numpy)
    return rng.permutation(np.resize(values, max(values.size, type.size)))[: type.size].reshape(
        type.shape
    )


class Letters:
    """The letters of a pattern: those of operands, and those of parameters with the parameter's name."""

    def __init__(self, pattern: Apply) -> None:
        self.operands: dict[str, None] = {}
        self.params: dict[str, str] = {}
        self.visit(pattern)

    def visit(self, pattern: Apply) -> None:
        for arg in pattern.args:
            if isinstance(arg, Apply):
                self.visit(arg)
            elif isinstance(arg, Letter):
                self.operands[arg.name] = None
        self.params.update(
            {term.name: key for key, term in pattern.params if isinstance(term, Letter)}
        )


def instances(rule: Rule) -> Iterator[Graph]:
    """Graphs of the rule's left side, for all operands and parameters that its ops take."""
    letters = Letters(rule.pattern)
    types = [TensorType(d, s) for d in DTYPES for s in SHAPES]
    operands: list[Any] = [*types, *NUMBERS]
    choices = [PARAMS[key] for key in letters.params.values()]
    for first in types:
        alike = [o for o in operands if not isinstance(o, TensorType) or o.shape == first.shape]
        for rest in itertools.product(alike, repeat=len(letters.operands) - 1):
            for params in itertools.product(*choices):
                values = dict(zip(letters.params, params, strict=True))
                graph = instance(
                    rule, dict(zip(letters.operands, (first, *rest), strict=True)), values
                )
                if graph is not None:
                    yield graph


def instance(rule: Rule, operands: dict[str, Any], params: dict[str, Any]) -> Graph | None:
    builder = GraphBuilder()
    kind = next(t.dtype for t in operands.values() if isinstance(t, TensorType))
    bound: dict[str, Any] = dict(params)
    for name, value in operands.items():
        is_number = not isinstance(value, TensorType)
        if is_number and not kind.is_inexact:
            return None
        bound[name] = Literal(value, kind) if is_number else builder.input(value)

    def add(prim: Prim, inputs: tuple[Any, ...], given: dict[str, Any]) -> Any:
        if prim.kind is ELEMENTWISE:
            dtypes = tuple(
                v.type.dtype if isinstance(v, Var) else dt.of_scalar(getattr(v, "value", v))
                for v in inputs
            )
            compute = ELEMENTWISE.resolve(
                prim,
                tuple(
                    kind if isinstance(v, Literal) else d
                    for v, d in zip(inputs, dtypes, strict=True)
                ),
            )[0]
            inputs = tuple(
                v if isinstance(v, Var) else Literal(getattr(v, "value", v), c)
                for v, c in zip(inputs, compute, strict=True)
            )
            if any(v.type.dtype is not c for v, c in zip(inputs, compute, strict=True)):
                raise TypeError("needs casts")
        if not all(isinstance(v, (Var, Literal)) for v in inputs):
            raise TypeError("a number stands where an array is needed")
        return builder.add(prim, inputs, given)[0]

    try:
        out = build(rule.pattern, bound, add)
        graph = builder.build((out,))
        (result,) = interpret(graph, [specials(t, 0) for t in graph.in_types], BACKEND)
    except (DualgraphError, TypeError, ValueError, IndexError, OverflowError):
        return None  # these operands and parameters do not fit the ops
    return graph if result.shape == out.type.shape else None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_keeps_every_bit(rule: Rule) -> None:
    applied = 0
    for graph in instances(rule):
        producers = {v: n for n in graph.nodes for v in n.outputs}
        if match(rule, graph.nodes[-1], producers) is None:
            continue
        guarded = protect(graph)
        after = dce(Simplifier(guarded, {rule.pattern.prim: (rule,)}).result())
        verify_types(after)
        if after == guarded:
            continue
        applied += 1
        for seed in range(3):
            inputs = [specials(t, seed + i) for i, t in enumerate(graph.in_types)]
            wanted, found = (interpret(g, inputs, BACKEND)[0] for g in (guarded, after))
            same = np.asarray(wanted).tobytes() == np.asarray(found).tobytes()
            assert same, f"{rule}\n{graph}\n=>\n{after}\non {inputs}:\n{wanted}\n{found}"
    assert applied, f"never applied: {rule}"


def protect(graph: Graph) -> Graph:
    """The graph with its result read once more, so that it is no result of the program itself."""
    (out,) = graph.outputs
    assert isinstance(out, Var)
    fresh = Var(
        1 + max(v.id for v in graph.all_vars()), TensorType(out.type.dtype, (*out.type.shape, 1))
    )
    prim = (
        parse("graph(%0: f32[]) { %1: f32[1] = reshape(%0, shape=(1,)) return %1 }").nodes[0].prim
    )
    if out.type.size == 0:
        return graph
    join = (
        parse("graph(%0: f32[1]) { %1: f32[2] = concat_along(%0, %0, axis=0) return %1 }")
        .nodes[0]
        .prim
    )
    double = Var(fresh.id + 1, TensorType(out.type.dtype, (*out.type.shape, 2)))
    nodes = [
        *graph.nodes,
        Node(prim, (out,), {"shape": fresh.type.shape}, (fresh,)),
        Node(join, (fresh, fresh), {"axis": len(out.type.shape)}, (double,)),
    ]
    return graph.with_nodes(nodes, (double,))


def test_adding_positive_zero_is_no_identity_unless_math_is_fast() -> None:
    graph = parse(
        "graph(%0: f32[2], %1: f32[2]) { %2: f32[2] = add(%0, 0.0:f32) %3: f32[2] = multiply(%2, %1) return %3 }"
    )
    assert simplify(graph) == graph
    assert len(simplify(graph, fast_math=True).nodes) == 1


def test_fast_math_rules_are_read() -> None:
    assert len(rules_by_op(True)) >= len(rules_by_op(False)) > 20


@pytest.mark.parametrize("text", ["add(x, 0)", "x -> add(x, 0)", "no_such_op(x) -> x"])
def test_lines_that_are_no_rules_are_refused(text: str) -> None:
    with pytest.raises(GraphError):
        read_rules(text, vars(algebra))

"""Each pass on a small program, against a golden file: ``pytest tests/passes --refresh-golden`` rewrites them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.executor import Executable
from dualgraph.core.backend import backend_for
from dualgraph.core.devices import CPU
from dualgraph.core.kinds import ELEMENTWISE, REDUCTION
from dualgraph.core.node import Node
from dualgraph.passes.cse import cse
from dualgraph.passes.dce import dce
from dualgraph.passes.epilogue import fuse_epilogues
from dualgraph.passes.fold import fold
from dualgraph.passes.fuse import fuse
from dualgraph.passes.horizontal import fuse_horizontally
from dualgraph.passes.inline import inline
from dualgraph.passes.order import order, peak_bytes
from dualgraph.passes.pipeline import Hooks, optimise
from dualgraph.passes.reach import Reach
from dualgraph.passes.recompute import recompute
from dualgraph.passes.simplify import simplify
from dualgraph.passes.twins import share_bodies
from dualgraph.passes.widen import widen
from dualgraph.static.graph import Graph, verify_types
from dualgraph.static.text import parse
from tests.passes.fusible import may_be_fused
from tests.passes.random_graphs import random_graph

Golden = Callable[..., None]
everything: Callable[[Graph], bool] = lambda body: True  # noqa: E731
fuse_all = partial(fuse, can_fuse=may_be_fused, accept=everything)

SOFTMAX_COMPOSITE = """graph(%0: f32[8,16]) {
  %1: f32[8,16] = composite(%0, name="softmax", body=graph(%0: f32[8,16]) {
    %1: f32[8,1] = reduce_max(%0, axes=(1,), keepdims=True)
    %2: f32[8,16] = subtract(%0, %1)
    %3: f32[8,16] = exp(%2)
    %4: f32[8,1] = reduce_sum(%3, axes=(1,), keepdims=True)
    %5: f32[8,16] = divide(%3, %4)
    return %5
  })
  %2: f32[8,16] = negative(%1)
  return %2
}"""

# name -> (pass, program)
CASES: dict[str, tuple[Callable[[Graph], Graph], str]] = {
    "dce": (dce, """graph(%0: f32[4], %1: i64[2]) {
        %2: f32[4] = exp(%0)
        %3: f32[4] = negative(%2)
        %4: f32[2] = take_along(%0, %1, axis=0)
        %5: f32[4] = tanh(%2)
        return %5
    }"""),
    "epilogues": (lambda g: fuse_epilogues(fuse_all(g, singles=True), everything), """graph(
            %0: f32[4,8], %1: f32[8,8], %2: f32[8], %3: f32[4,8]) {
        %4: f32[4,8] = matmul(%0, %1)
        %5: f32[4,8] = add(%4, %2)
        %6: f32[4,8] = tanh(%5)
        %7: f32[4,8] = matmul(%6, %1)
        %8: f32[4,8] = matmul(%3, %1)
        %9: f32[4,8] = multiply(%7, %8)
        %10: f32[4] = reduce_sum(%7, axes=(1,), keepdims=False)
        return %9, %10, %5
    }"""),
    "widen": (widen, """graph(%0: bf16[4,8], %1: f32[4,8]) {
        %2: bf16[4,8] = cast(%1, dtype="bfloat16")
        %3: bf16[4,8] = multiply(%0, 0.3:bf16)
        %4: bf16[4,8] = add(%3, %2)
        %5: bf16[4] = reduce_sum(%4, axes=(1,), keepdims=False)
        %6: bf16[8,4] = permute(%4, axes=(1, 0))
        %7: f64[8,4] = cast(%6, dtype="float64")
        return %5, %7
    }"""),
    "cse": (cse, """graph(%0: f32[4], %1: f32[4], %2: u64[2]) {
        %3: f32[4] = add(%0, %1)
        %4: f32[4] = add(%1, %0)
        %5: f32[4] = subtract(%0, %1)
        %6: f32[4] = subtract(%1, %0)
        %7: f32[4] = multiply(%3, 0.0:f32)
        %8: f32[4] = multiply(%4, -0.0:f32)
        %9: u32[4] = random_bits(%2, size=4)
        %10: u64[2] = add(%2, 1:u64)
        %11: u32[4] = random_bits(%10, size=4)
        return %5, %6, %7, %8, %9, %11
    }"""),
    "cse_results": (cse, """graph(%0: f32[4]) {
        %1: f32[4] = exp(%0)
        %2: f32[4] = exp(%0)
        %3: f32[4] = tanh(%2)
        %4: f32[4] = reshape(%0, shape=(4,))
        %5: f32[4] = reshape(%0, shape=(4,))
        return %1, %2, %3, %4, %5
    }"""),
    "fold": (fold, """graph(%0: f32[2,3]) {
        %1: f32[] = full(shape=(), value=2.0, dtype="float32", device="cpu")
        %2: f32[] = multiply(%1, 3.0:f32)
        %3: f32[2,3] = broadcast_to(%2, shape=(2, 3))
        %4: f32[2,3] = multiply(%0, %3)
        %5: i64[3] = arange(start=0, step=1, size=3, dtype="int64", device="cpu")
        %6: f32[3] = cast(%5, dtype="float32")
        %7: f32[2,3] = add(%4, %6)
        %8: f32[9000] = full(shape=(9000,), value=1.0, dtype="float32", device="cpu")
        %9: f32[9000] = exp(%8)
        return %7, %9
    }"""),
    "simplify": (simplify, """graph(%0: f32[2,3], %1: bool[2,3]) {
        %2: f32[2,3] = multiply(%0, 1:f32)
        %3: f32[2,3] = add(-0.0:f32, %2)
        %4: f32[2,3] = add(%3, 0.0:f32)
        %5: f32[2,3] = divide(%4, 8.0:f32)
        %6: f32[2,3] = divide(%5, 3.0:f32)
        %7: f32[3,2] = permute(%6, axes=(1, 0))
        %8: f32[2,3] = permute(%7, axes=(1, 0))
        %9: f64[2,3] = cast(%8, dtype="float64")
        %10: f32[2,3] = cast(%9, dtype="float32")
        %11: bool[2,3] = logical_not(%1)
        %12: f32[2,3] = where(%11, %10, 0.0:f32)
        %13: f32[6] = reshape(%12, shape=(6,))
        %14: f32[3,2] = reshape(%13, shape=(3, 2))
        return %14
    }"""),
    "simplify_keeps_memory_apart": (simplify, """graph(%0: f32[2,3]) {
        %1: f32[2,3] = multiply(%0, 1.0:f32)
        %2: f32[2,3] = copy(%0)
        %3: f32[3,2] = permute(%2, axes=(1, 0))
        %4: f32[2,3] = exp(%0)
        %5: f32[2,3] = copy(%4)
        return %1, %3, %5
    }"""),
    "inline": (partial(inline, claims=lambda node: False), SOFTMAX_COMPOSITE),
    "fuse_softmax": (lambda g: fuse_all(inline(g, claims=lambda node: False)), SOFTMAX_COMPOSITE),
    "fuse_around_a_contraction": (fuse_all, """graph(%0: f32[4,8], %1: f32[8,8], %2: f32[8]) {
        %3: f32[4,8] = multiply(%0, 2.0:f32)
        %4: f32[4,8] = tanh(%3)
        %5: f32[4,8] = cumsum_along(%4, axis=0)
        %6: f32[1,8] = reshape(%2, shape=(1, 8))
        %7: f32[4,8] = add(%5, %6)
        %8: f32[4,8] = add(%7, %4)
        %9: f32[8,4] = permute(%8, axes=(1, 0))
        %10: f32[8,4] = negative(%9)
        return %10, %9
    }"""),
    "fuse_refused": (lambda g: fuse(g, may_be_fused, lambda body: not reads_its_sum(body)), """graph(%0: f32[8,16]) {
        %1: f32[8,16] = exp(%0)
        %2: f32[8,1] = reduce_sum(%1, axes=(1,), keepdims=True)
        %3: f32[8,16] = divide(%1, %2)
        %4: f32[8,16] = tanh(%3)
        return %4
    }"""),
    "recompute": (lambda g: recompute(fuse_all(g), everything, lambda node: 5.0, least=1), """
    graph(%0: f32[8,16], %1: f32[16]) {
        %2: f32[8,16] = add(%0, %1)
        %3: f32[8,16] = exp(%2)
        %4: f32[8,16] = multiply(%2, %3)
        %5: f32[8,16] = cumsum_along(%4, axis=0)
        %6: f32[8,16] = multiply(%5, %3)
        %7: f32[8,16] = add(%6, %2)
        return %7
    }"""),
    "recompute_together": (lambda g: recompute(fuse_all(g), everything, lambda node: 40.0, least=1), """
    graph(%0: f32[8,16]) {
        %2: f32[8,16] = cumsum_along(%0, axis=0)
        %3: f32[8,16] = exp(%2)
        %4: f32[8,16] = sin(%2)
        %5: f32[8,16] = tanh(%2)
        %6: f32[8,16] = add(%3, %5)
        %7: f32[8,16] = cumsum_along(%6, axis=0)
        %8: f32[8,16] = multiply(%7, %3)
        %9: f32[8,16] = multiply(%8, %4)
        %10: f32[8,16] = multiply(%9, %5)
        return %10
    }"""),
    "fuse_horizontally": (lambda g: fuse_horizontally(fuse_all(g), accept=everything), """
    graph(%0: f32[4], %1: f32[4], %2: f32[8], %3: f32[8]) {
        %4: f32[4] = multiply(%1, 0.1:f32)
        %5: f32[4] = subtract(%0, %4)
        %6: f32[8] = multiply(%3, 0.1:f32)
        %7: f32[8] = subtract(%2, %6)
        return %5, %7
    }"""),
}  # fmt: skip


def reads_its_sum(body: Graph) -> bool:
    """Whether something in the body reads a reduction of the body."""
    sums = {v for n in body.nodes if n.prim.kind is REDUCTION for v in n.outputs}
    return any(v in sums for n in body.nodes for v in n.inputs)


@pytest.mark.parametrize("name", CASES)
def test_pass_gives_the_golden_text(name: str, golden: Golden) -> None:
    apply, text = CASES[name]
    before = parse(text)
    verify_types(before)
    after = apply(before)
    verify_types(after)
    golden(name, before, after)


def test_cse_keeps_random_ops_apart() -> None:
    after = cse(parse(CASES["cse"][1]))
    assert sum(n.prim.name == "random_bits" for n in after.nodes) == 2


def test_dce_keeps_what_can_fail() -> None:
    assert any(n.prim.can_fail for n in dce(parse(CASES["dce"][1])).nodes)


def test_fold_never_folds_what_is_drawn_or_can_fail() -> None:
    graph = parse("""graph() {
        %0: i64[2] = arange(start=0, step=1, size=2, dtype="int64", device="cpu")
        %1: i64[2] = take_along(%0, %0, axis=0)
        return %1
    }""")
    assert fold(graph) == graph


def test_what_is_made_of_nothing_is_known() -> None:
    graph = parse("""graph(%0: f32[0,4]) {
        %1: f32[4] = reduce_sum(%0, axes=(0,), keepdims=False)
        %2: f32[4] = divide(%1, 0.0:f32)
        return %2
    }""")
    (node,) = dce(fold(graph)).nodes
    assert not node.inputs
    for mean in (lambda x: x.mean(), lambda x: x.var(0), lambda x: x.sum(1).mean() / 3):
        x = dg.ones(0, 4)  # the sign of the NaN, too
        f = dg.compile(mean, wait=True)
        assert [f(x).numpy().tobytes() for _ in range(3)] == [mean(x).numpy().tobytes()] * 3


def test_claimed_composites_stay() -> None:
    graph = parse(SOFTMAX_COMPOSITE)
    assert inline(graph, claims=lambda node: node.params["name"] == "softmax") == graph


def test_equal_kernels_have_equal_bodies() -> None:
    graph = parse("""graph(%0: f32[4], %1: f32[4], %2: f32[4]) {
        %3: f32[4] = cumsum_along(%0, axis=0)
        %4: f32[4] = multiply(%1, %3)
        %5: f32[4] = exp(%4)
        %6: f32[4] = cumsum_along(%5, axis=0)
        %7: f32[4] = multiply(%2, %6)
        %8: f32[4] = exp(%7)
        return %8
    }""")
    first, second = (n.params["body"] for n in fuse_all(graph).nodes if "body" in n.params)
    assert first == second


def test_groups_that_do_the_same_share_a_body_and_a_kernel() -> None:
    text = """graph(%0: f32[4], %1: f32[4], %2: f32[4]) {{
      %3: f32[4] = fused(%0, body=graph(%0: f32[4]) {{
        %1: f32[4] = multiply(%0, {}:f32)
        return %1
      }})
      %4: f32[4] = fused(%1, body=graph(%0: f32[4]) {{
        %1: f32[4] = multiply(%0, {}:f32)
        return %1
      }})
      return %3, %4
    }}"""
    for a, b in (
        ("0.0", "0.0"),
        ("0.0", "-0.0"),
    ):  # which are equal numbers, and do not do the same
        graph = parse(text.format(a, b))
        after = share_bodies(graph)
        assert after == graph
        first, second = (n.params["body"] for n in after.nodes)
        assert (first is second) is (a == b)
        kernels = Executable(after, backend_for(CPU)).kernels
        assert (kernels[0] is kernels[1]) is (a == b or kernels[0] is None)


@pytest.mark.parametrize("seed", range(30))
def test_fused_groups_are_convex(seed: int) -> None:
    fused = fuse_all(random_graph(seed, 60))
    assert nx.is_directed_acyclic_graph(fused.to_networkx())


@pytest.mark.parametrize("seed", range(30))
def test_reach_agrees_with_networkx(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 14
    reads = [[j for j in range(i) if rng.random() < 0.2] for i in range(n)]
    reach = Reach(reads)
    for _ in range(12):
        whole = nx.DiGraph()
        whole.add_nodes_from(reach.group)
        whole.add_edges_from(
            (reach.group[j], reach.group[i])
            for i in range(n)
            for j in reads[i]
            if reach.group[j] != reach.group[i]
        )
        a, b = (int(g) for g in rng.choice(sorted(set(reach.group)), 2, replace=False))
        assert reach.independent(a, b) == (
            not nx.has_path(whole, a, b) and not nx.has_path(whole, b, a)
        )
        together = nx.contracted_nodes(whole, a, b, self_loops=False, copy=True)
        assert reach.can_merge(a, b) == nx.is_directed_acyclic_graph(together)
        if reach.can_merge(a, b):
            reach.merge(a, b)


@pytest.mark.parametrize("seed", range(10))
def test_the_pipeline_records_each_pass(seed: int) -> None:
    graph = random_graph(seed, 60)
    hooks = Hooks(can_fuse=may_be_fused, accept=everything)
    after, records = optimise(graph, hooks)
    verify_types(after)
    assert records[-1].graph == after and records[0].nodes_before == len(graph.nodes)
    assert all(a.nodes_after == b.nodes_before for a, b in pairwise(records))
    assert "->" in str(records[0])


def test_without_hooks_nothing_is_fused() -> None:
    after, _ = optimise(random_graph(1, 60))
    assert all("body" not in n.params for n in after.nodes)


def test_order_frees_large_values_early() -> None:
    lines = [f"%{i}: f32[1000] = broadcast_to(%0, shape=(1000,))" for i in range(1, 9)]
    lines += [f"%{i + 8}: f32[1000] = exp(%{i})" for i in range(1, 9)]
    lines += [
        f"%{i + 16}: f32[] = reduce_sum(%{i + 8}, axes=(0,), keepdims=False)" for i in range(1, 9)
    ]
    text = (
        "graph(%0: f32[1]) {\n"
        + "\n".join(lines)
        + f"\nreturn {', '.join(f'%{i}' for i in range(17, 25))}\n}}"
    )
    graph = parse(text)
    verify_types(graph)
    assert peak_bytes(graph) == 8 * 4000 + 4 and peak_bytes(order(graph)) < 2 * 4000


def test_fuse_asks_before_it_fuses() -> None:
    def no_exp(node: Node) -> bool:
        return may_be_fused(node) and node.prim.kind is ELEMENTWISE and node.prim.name != "exp"

    graph = parse("""graph(%0: f32[4]) {
        %1: f32[4] = tanh(%0)
        %2: f32[4] = exp(%1)
        %3: f32[4] = negative(%2)
        %4: f32[4] = abs(%3)
        return %4
    }""")
    after: Any = fuse(graph, can_fuse=no_exp, accept=everything)
    assert [n.prim.name for n in after.nodes] == ["tanh", "exp", "fused"]


def test_strides_stay_where_they_show() -> None:
    graph = parse("""graph(%0: f32[3,2], %1: f32[3,4]) {
        %2: f32[2,3] = permute(%0, axes=(1, 0))
        %3: f32[2,3] = copy(%2)
        %4: f32[2,4] = matmul(%3, %1)
        %5: f32[2,3] = exp(%3)
        %6: f32[2,3] = copy(%5)
        %7: f32[2,4] = matmul(%6, %1)
        %8: f32[3,2] = copy(%0)
        %9: f32[3,2] = exp(%8)
        %10: f32[3,2] = permute(%5, axes=(1, 0))
        %11: f32[3,2] = copy(%10)
        return %4, %7, %9, %11
    }""")
    after = simplify(graph)
    copies = [n.outputs[0].id for n in after.nodes if n.prim.name == "copy"]
    assert copies == [
        3,
        11,
    ]  # the matrix product and the caller could tell these from what they copy

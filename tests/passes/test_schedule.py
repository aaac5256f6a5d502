"""Schedules, in-place steps and memory plans: run them, and check that no live buffers overlap."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from dualgraph.backends.array import NumpyBackend
from dualgraph.core import dtypes as dt
from dualgraph.core.node import Literal, Node, Var
from dualgraph.core.prim import lookup
from dualgraph.core.types import TensorType
from dualgraph.passes.fuse import fuse
from dualgraph.passes.inplace import donate, inplace
from dualgraph.passes.layout import fills, row_major, view_layout
from dualgraph.passes.memory import ALIGNMENT, RANKS, MemoryPlan, lower_bound, pack, plan_memory
from dualgraph.passes.order import order
from dualgraph.passes.schedule import Buffer, Schedule, schedule
from dualgraph.static.graph import Graph, GraphBuilder
from dualgraph.static.interpreter import as_scalar, interpret, literal_array, run_node
from tests.passes.fusible import may_be_fused
from tests.passes.random_graphs import random_graph, random_inputs

BACKEND = NumpyBackend()


def execute_plan(plan: Schedule, memory: MemoryPlan, inputs: list[Any]) -> list[Any]:
    """The obvious planned executor: every value lies where the plan puts it."""
    arena = np.full(memory.arena_bytes, 0xAB, dtype=np.uint8)
    store: dict[int, Any] = {}
    for b in plan.buffers:
        if b.id in memory.offsets:
            store[b.id] = arena[memory.offsets[b.id] : memory.offsets[b.id] + b.nbytes]
        else:
            store[b.id] = np.full(b.nbytes, 0xAB, dtype=np.uint8)

    def at(v: Var) -> Any:
        place = plan.places[v]
        return np.ndarray(
            v.type.shape,
            v.type.dtype.numpy,
            store[place.buffer],
            place.layout.offset,
            place.layout.strides,
        )

    for v, array in zip(plan.graph.inputs, inputs, strict=True):
        at(v)[...] = array
    for step in plan.steps:
        if not step.view:
            results = run_node(
                step.node, [at(v) if isinstance(v, Var) else v for v in step.node.inputs], BACKEND
            )
            for v, result in zip(step.node.outputs, [np.array(r) for r in results], strict=True):
                at(v)[...] = result
    return [
        literal_array(v, BACKEND) if isinstance(v, Literal) else at(v).copy()
        for v in plan.graph.outputs
    ]


def assert_no_live_overlap(plan: Schedule, memory: MemoryPlan) -> None:
    buffers = plan.temporaries
    for i, a in enumerate(buffers):
        start = memory.offsets[a.id]
        assert start % ALIGNMENT == 0 and start + a.nbytes <= memory.arena_bytes
        for b in buffers[i + 1 :]:
            other = memory.offsets[b.id]
            apart = start + a.nbytes <= other or other + b.nbytes <= start
            assert apart or not a.meets(b), f"{a} and {b} overlap"


@pytest.mark.parametrize("seed", range(80))
def test_planned_runs_give_the_bits_of_the_interpreter(seed: int) -> None:
    graph = random_graph(seed, 40)
    if seed % 2:
        graph = order(fuse(graph, can_fuse=may_be_fused, accept=lambda body: True))
    inputs = random_inputs(graph, seed)
    plan = schedule(graph)
    for final in (plan, inplace(plan)):
        memory = plan_memory(final)
        assert_no_live_overlap(final, memory)
        assert (
            memory.lower_bound_bytes
            <= memory.arena_bytes
            <= sum(-(-b.nbytes // 64) * 64 for b in final.temporaries)
        )
        with np.errstate(all="ignore"):
            wanted = interpret(graph, inputs, BACKEND)
            found = execute_plan(final, memory, inputs)
        assert [np.asarray(a).tobytes() for a in wanted] == [np.asarray(a).tobytes() for a in found]


def chain(n: int, shape: tuple[int, ...] = (8, 8)) -> Graph:
    """exp of exp of ... of the input."""
    builder = GraphBuilder()
    v = builder.input(TensorType(dt.float32, shape))
    for _ in range(n):
        (v,) = builder.add(lookup("exp"), (v,), {})
    return builder.build((v,))


def test_a_chain_needs_two_buffers_and_in_place_none_but_its_output() -> None:
    plan = schedule(chain(10))
    assert plan_memory(plan).arena_bytes == 2 * 256
    after = inplace(plan)
    assert plan_memory(after).arena_bytes == 0
    assert {after.buffer_of(v).role for n in after.graph.nodes for v in n.outputs} == {"output"}


def test_in_place_never_writes_to_inputs_nor_to_what_a_view_still_shows() -> None:
    builder = GraphBuilder()
    x = builder.input(TensorType(dt.float32, (4, 4)))
    (a,) = builder.add(lookup("exp"), (x,), {})
    (view,) = builder.add(lookup("permute"), (a,), {"axes": (1, 0)})
    (b,) = builder.add(lookup("negative"), (a,), {})
    (c,) = builder.add(lookup("add"), (b, view), {})
    plan = inplace(schedule(builder.build((c,))))
    assert [s.overwrites for s in plan.steps] == [
        (),
        (),
        (),
        ((0, 0),),
    ]  # c over b, for b is at the same index


def test_outputs_stay_out_of_the_arena() -> None:
    plan = schedule(chain(3))
    assert plan.buffer_of(plan.graph.outputs[0]).role == "output"  # type: ignore[arg-type]
    assert len(plan.temporaries) == 2


def test_a_view_of_a_temporary_that_leaves_makes_its_buffer_an_output() -> None:
    builder = GraphBuilder()
    x = builder.input(TensorType(dt.float32, (4, 4)))
    (a,) = builder.add(lookup("exp"), (x,), {})
    (view,) = builder.add(lookup("permute"), (a,), {"axes": (1, 0)})
    plan = schedule(builder.build((view,)))
    assert plan.steps[1].view and plan.buffer_of(a).role == "output" and not plan.temporaries


@pytest.mark.parametrize("rank", range(len(RANKS)))
@pytest.mark.parametrize("seed", range(10))
def test_packing_keeps_live_buffers_apart(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    buffers = []
    for i in range(60):
        first = int(rng.integers(50))
        type = TensorType(dt.uint8, (int(rng.integers(1, 5000)),))
        buffers.append(Buffer(i, "temporary", type, first, first + int(rng.integers(20))))
    offsets, total = pack(sorted(buffers, key=RANKS[rank]))
    for i, a in enumerate(buffers):
        for b in buffers[:i]:
            low, high = sorted((a, b), key=lambda x: offsets[x.id])
            assert offsets[low.id] + low.nbytes <= offsets[high.id] or not a.meets(b)
    assert lower_bound(buffers) <= total


def training_like(layers: int, rng: Any) -> Schedule:
    """Forward values kept for the way back: the lifetimes of a training step."""
    builder = GraphBuilder()
    widths = [int(rng.integers(8, 2048)) for _ in range(layers + 1)]
    v = builder.input(TensorType(dt.float32, (widths[0],)))
    kept = []
    for w in widths[1:]:
        (v,) = builder.add(lookup("slice"), (v,), {"starts": (0,), "stops": (1,), "steps": (1,)})
        (v,) = builder.add(lookup("broadcast_to"), (v,), {"shape": (w,)})
        (v,) = builder.add(lookup("exp"), (v,), {})
        kept.append(v)
        (v,) = builder.add(lookup("tanh"), (v,), {})
    for old in reversed(kept):
        (v,) = builder.add(lookup("slice"), (v,), {"starts": (0,), "stops": (1,), "steps": (1,)})
        (v,) = builder.add(lookup("multiply"), (v, old), {})
        (v,) = builder.add(lookup("sqrt"), (v,), {})
    return schedule(builder.build((v,)))


@pytest.mark.parametrize("seed", range(20))
def test_plans_of_training_steps_are_within_a_tenth_of_the_lower_bound(seed: int) -> None:
    plan = training_like(20, np.random.default_rng(seed))
    for final in (plan, inplace(plan)):
        memory = plan_memory(final)
        assert memory.arena_bytes <= 1.1 * memory.lower_bound_bytes


def test_a_memory_plan_says_what_it_saves() -> None:
    text = str(plan_memory(schedule(chain(10))))
    assert text.startswith(
        "arena 512 B for 9 buffers of 2.2 KiB (78% saved, 0.0% over the lower bound 512 B)"
    )


def test_views_are_what_the_kernel_says() -> None:
    base = TensorType(dt.float32, (2, 3, 4))
    x, out = Var(0, base), partial(Var, 1)

    def layout(name: str, **params: Any) -> Any:
        prim = lookup(name)
        (type,) = prim.infer((base,), params)
        return view_layout(Node(prim, (x,), params, (out(type),)), row_major(base))

    assert layout("permute", axes=(2, 0, 1)).strides == (4, 48, 16)
    assert layout("flip", axes=(0,)).offset == 48
    assert layout("broadcast_to", shape=(5, 2, 3, 4)).strides[0] == 0
    transposed = Node(
        lookup("permute"), (x,), {"axes": (2, 1, 0)}, (Var(1, TensorType(dt.float32, (4, 3, 2))),)
    )
    reshaped = Node(
        lookup("reshape"),
        transposed.outputs,
        {"shape": (24,)},
        (Var(2, TensorType(dt.float32, (24,))),),
    )
    assert view_layout(reshaped, view_layout(transposed, row_major(base))) is None  # type: ignore[arg-type]
    assert fills(base, row_major(base))
    assert as_scalar(Literal(1, dt.float32)).dtype == np.float32


def update(reader_after: bool) -> Graph:
    """An optimiser's step on a parameter, which is (or is not) read again afterwards."""
    builder = GraphBuilder()
    p, g = (builder.input(TensorType(dt.float32, (8,))) for _ in range(2))
    (step,) = builder.add(lookup("multiply"), (g, Literal(0.1, dt.float32)), {})
    (new,) = builder.add(lookup("subtract"), (p, step), {})
    (other,) = builder.add(lookup("exp"), (p if reader_after else step,), {})
    return builder.build((other, new))


def test_a_stored_result_is_written_into_its_input() -> None:
    plan, done = donate(schedule(update(reader_after=False)), [(0, 1)])
    assert done == ((0, 1),) and plan.places[plan.graph.outputs[1]].buffer == 0  # type: ignore[index]
    assert plan.steps[1].overwrites == ((0, 0),)


def test_an_input_that_is_read_later_is_not_written_early() -> None:
    plan, done = donate(schedule(update(reader_after=True)), [(0, 1)])
    assert done == () and plan.buffer_of(plan.graph.outputs[1]).role == "output"  # type: ignore[arg-type]


def test_regions_work_in_place_where_all_that_reads_the_operand_is_at_its_index() -> None:
    graph = fuse(update(reader_after=True), can_fuse=may_be_fused, accept=lambda body: True)
    plan, done = donate(schedule(graph), [(0, 1)])
    assert len(plan.steps) == 1 and done == ((0, 1),)
    builder = GraphBuilder()
    p = builder.input(TensorType(dt.float32, (4, 4)))
    (turned,) = builder.add(lookup("permute"), (p,), {"axes": (1, 0)})
    graph = builder.build(builder.add(lookup("add"), (p, turned), {}))
    fused = fuse(graph, can_fuse=may_be_fused, accept=lambda body: True, singles=True)
    assert donate(schedule(fused), [(0, 0)])[1] == ()

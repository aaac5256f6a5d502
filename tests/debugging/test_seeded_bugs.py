"""Bugs planted in passes, plans and kernels: `verify` finds each, and names the right pass."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends import executor
from dualgraph.backends.native import api as native
from dualgraph.passes import pipeline
from dualgraph.passes.memory import MemoryPlan
from dualgraph.passes.schedule import INPUT, OUTPUT, TEMPORARY, Schedule, merge
from tests.debugging import seeds
from tests.debugging.seeds import (
    dropped,
    in_region,
    literal,
    merged,
    other_op,
    params,
    removed,
    swapped,
    wrapped,
)

needs_native = pytest.mark.skipif(not native.available(), reason="no native code")


def model(x: Any, w: Any, total: Any, at: Any) -> Any:
    """A bit of everything: contraction, reductions, views, loops, branches, a write, an op that can fail."""
    y = (x @ w - 0.75) / (x + 3.0)
    z = dg.exp(y) * 0.3 + dg.sin(y - x)
    s = z.sum(0) - z.sum(1)
    m = dg.maximum(z, x).T[1:3, ::-1] * 1.5
    last, ys = dg.scan(lambda c, v: (dg.tanh(c - v * 0.9), c + v), s, z)
    b = dg.cond(last.sum() > 0, lambda a: a - 0.5, lambda a: a * 0.25, last)
    table = dg.asarray([1.0, 2.0, 3.0, 4.0]) + 0.5
    dg.take(x, at, axis=0)  # nobody reads it, but it can fail
    t = dg.tanh(table) - dg.flip(z, axis=0) + dg.flip(z, axis=1)
    q = dg.matmul(z, w)
    r = dg.matmul(q, w) - q
    total += s
    return (
        y,
        m,
        b,
        t,
        ys,
        dg.concat([z, y], axis=0).reshape(4, 8).sum(),
        dg.sort(z[1:3], axis=1),
        w.T - x,
        r,
    )


def arguments() -> tuple[Any, ...]:
    rng = np.random.default_rng(3)
    x, w, total = (dg.tensor(rng.standard_normal(s).astype("f4")) for s in ((4, 4), (4, 4), (4,)))
    return x, w, total, dg.asarray([1, 2])


FIRST, LAST = (
    inspect.getsourcelines(model)[1],
    inspect.getsourcelines(model)[1] + len(inspect.getsourcelines(model)[0]),
)


def expect(after: str, *, line: bool = True) -> Any:
    """The first divergence, which must name the pass and a line of the model."""
    found = dg.verify(model, *arguments())
    assert not found, "the bug was not found"
    worst = found.divergences[0]
    assert worst.after == after, str(found)
    assert {d.after for d in found.divergences} == {after}, str(found)
    assert worst.ulp > 0 and str(worst) in str(found)
    if line:
        file, _, number = worst.where.rpartition(":")
        assert file.endswith("test_seeded_bugs.py") and FIRST <= int(number) <= LAST, str(worst)
    return worst


def test_the_model_itself_is_sound() -> None:
    found = dg.verify(model, *arguments())
    assert found and found.checked > 400 and "all bits equal" in str(found)


# --- passes --------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "operands swapped": swapped("subtract"),
    "operands of a quotient swapped": swapped("divide"),
    "operands of a product swapped": swapped("matmul"),
    "another op": other_op("exp", "sin"),
    "maximum for minimum": other_op("maximum", "minimum"),
    "a number off by an ulp": literal(1 + 2**-22),
    "a sign lost": literal(-1.0),
    "a node dropped": dropped("tanh"),
    "precision lost on the way": wrapped("exp", ("cast", {"dtype": "float16"}), ("cast", {"dtype": "float32"})),
    "another axis": params("reduce_sum", axes=(1,)),
    "a slice shifted": params("slice", starts=(0, 3), stops=(2, -1)),
    "a view turned": params("permute", axes=(0, 1)),
    "another axis of a flip": params("flip", axes=(1,)),
    "order of a sum changed": wrapped("reduce_sum", *seeds.TURNED),
    "outputs swapped": seeds.outputs_swapped,
    "an output lost": seeds.output_lost,
    "a node before its operand": seeds.too_early,
    "a type that the op does not give": seeds.other_type,
    "ops with other parameters merged": merged("flip"),
    "an effect dropped": removed("index"),
    "a loop the other way": params("scan", reverse=True),
    "branches exchanged": seeds.branches_exchanged,
    "sorted the other way": params("sort_along", descending=True),
    "rows joined in another order": swapped("concat_along"),
}  # fmt: skip

PLACES = {  # the name of a pass, and the function in the pipeline that it is
    "inline": ["operands swapped", "a node dropped", "an effect dropped", "another axis of a flip"],
    "dce": ["an output lost", "an effect dropped", "a node before its operand"],
    "fold": ["a sign lost", "operands of a product swapped"],
    "simplify": [
        "operands of a quotient swapped", "another op", "a number off by an ulp", "precision lost on the way",
        "a view turned", "a slice shifted", "maximum for minimum", "rows joined in another order",
    ],
    "cse": ["ops with other parameters merged", "another axis", "outputs swapped"],
    "trim": ["a loop the other way", "branches exchanged"],
    "with_bodies": ["order of a sum changed", "a type that the op does not give"],
    "order": ["a node before its operand", "operands of a product swapped", "sorted the other way"],
    "renumber": ["outputs swapped", "sorted the other way"],
}  # fmt: skip
CASES = [(place, bug) for place, bugs in PLACES.items() for bug in bugs]
SHOWN = {"with_bodies": "bodies"}


def plant(monkeypatch: pytest.MonkeyPatch, place: str, bug: Any) -> None:
    """The pass, and then the bug, as the pipeline sees it."""
    original = getattr(pipeline, place)

    @functools.wraps(original)
    def faulty(graph: Any, *args: Any, **kwargs: Any) -> Any:
        after = original(graph, *args, **kwargs)
        try:
            return bug(after)
        except (LookupError, StopIteration, ValueError):  # a body that has no such node
            return after

    monkeypatch.setattr(pipeline, place, faulty)


@pytest.mark.parametrize(("place", "bug"), CASES, ids=[f"{p}: {b}" for p, b in CASES])
def test_a_wrong_pass_is_named(monkeypatch: pytest.MonkeyPatch, place: str, bug: str) -> None:
    plant(monkeypatch, place, WRONG[bug])
    found = dg.verify(model, *arguments())
    assert not found
    assert found.divergences[0].after == SHOWN.get(place, place), str(found)


def test_the_source_line_of_a_wrong_rewrite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "inline", other_op("exp", "sin"))
    worst = expect("inline")
    text, start = inspect.getsourcelines(model)
    assert "dg.exp(y)" in text[int(worst.where.rpartition(":")[2]) - start] and worst.node == "sin"


def test_a_constant_folded_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "fold", seeds.constant_moved)
    assert expect("fold").node == "constant"


def test_a_pass_that_raises_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any) -> Any:
        raise KeyError("what matmul reads")

    monkeypatch.setattr(pipeline, "cse", broken)
    worst = expect("cse")
    assert worst.node == "matmul" and "KeyError" in worst.problem


FUSED = {
    "operands swapped": swapped("subtract"), "another op": other_op("sin", "cos"), "a number moved": literal(1.5),
    "another axis": params("reduce_sum", axes=(1,)), "outputs swapped": seeds.outputs_swapped,
}  # fmt: skip


@needs_native
@pytest.mark.parametrize("place", ["fuse", "recompute", "fuse_horizontally"])
@pytest.mark.parametrize("bug", ["operands swapped", "another op", "a number moved"])
def test_a_fault_inside_of_a_fused_group_is_named(
    monkeypatch: pytest.MonkeyPatch, place: str, bug: str
) -> None:
    plant(monkeypatch, place, in_region(FUSED[bug]))
    worst = expect(place.replace("_", " "))
    assert worst.node in ("subtract", "cos", "multiply", "add", "divide"), str(worst)


# --- schedule and memory -------------------------------------------------------------------------


def change_plan(monkeypatch: pytest.MonkeyPatch, name: str, change: Any) -> None:
    original = getattr(executor, name)
    monkeypatch.setattr(executor, name, lambda *args, **kwargs: change(original(*args, **kwargs)))


def steps_exchanged(plan: Schedule) -> Schedule:
    steps = list(plan.steps)
    for i in range(len(steps) - 1, 0, -1):
        if set(steps[i].node.inputs) & set(steps[i - 1].node.outputs) and not steps[i].view:
            steps[i - 1], steps[i] = steps[i], steps[i - 1]
            return plan._replace(steps=tuple(steps))
    return plan


def step_lost(plan: Schedule) -> Schedule:
    at = next(i for i, s in enumerate(plan.steps) if not s.view and s.node.inputs)
    return plan._replace(steps=plan.steps[:at] + plan.steps[at + 1 :])


def view_moved(plan: Schedule) -> Schedule:
    v = next(
        (s.node.outputs[0] for s in plan.steps if s.view and s.node.prim.name == "slice"), None
    )
    if v is None:
        return plan
    place = plan.places[v]
    moved = place._replace(layout=place.layout._replace(offset=place.layout.offset - 4))
    return plan._replace(places={**plan.places, v: moved})


def lives_too_short(plan: Schedule) -> Schedule:
    return plan._replace(buffers=tuple(
        b._replace(last=b.last - 1) if b.role == TEMPORARY and b.last > b.first + 1 else b for b in plan.buffers
    ))  # fmt: skip


def over_a_value_that_is_read(plan: Schedule) -> Schedule:
    """A result over an operand that a later step reads."""
    for i, step in reversed(list(enumerate(plan.steps))):
        for v in step.node.inputs:
            buffer = plan.buffer_of(v) if v in plan.places else None
            if buffer is None or step.view or buffer.role != TEMPORARY or buffer.last <= i:
                continue
            out = step.node.outputs[0]
            if plan.buffer_of(out).role in (TEMPORARY, OUTPUT) and out.type == v.type:
                return merge(plan, i, 0, v)
    return plan


def over_an_input(plan: Schedule) -> Schedule:
    """A result in the memory of an argument that is read later, and that the caller keeps."""
    for i, step in enumerate(plan.steps):
        for v in plan.graph.inputs:
            out = step.node.outputs[0]
            if (
                not step.view
                and out.type == v.type
                and plan.buffer_of(v).last > i
                and plan.buffer_of(out).role != INPUT
            ):
                return merge(plan, i, 0, v)
    return plan


PLANS = {
    "steps exchanged": ("schedule", steps_exchanged),
    "a step lost": ("schedule", step_lost),
    "a view at another place": ("schedule", view_moved),
    "lives that end too early": ("inplace", lives_too_short),
    "a result over a value that is read": ("inplace", over_a_value_that_is_read),
    "a donation that is none": ("inplace", over_an_input),
}


@pytest.mark.parametrize("bug", PLANS)
def test_a_wrong_schedule_is_named(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    name, change = PLANS[bug]
    change_plan(monkeypatch, name, change)
    expect("schedule")


@needs_native
def test_a_kernel_that_may_not_work_in_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_may_overwrite", lambda node, result, operand: True)
    expect("schedule")


def all_at_0(plan: MemoryPlan) -> MemoryPlan:
    return plan._replace(offsets=dict.fromkeys(plan.offsets, 0))


def not_aligned(plan: MemoryPlan) -> MemoryPlan:
    return plan._replace(
        offsets={k: v + 4 for k, v in plan.offsets.items()}, arena_bytes=plan.arena_bytes + 64
    )


def too_small(plan: MemoryPlan) -> MemoryPlan:
    return plan._replace(arena_bytes=64)


def two_live_ones_together(plan: MemoryPlan) -> MemoryPlan:
    for a in plan.buffers:
        for b in plan.buffers:
            if a.id < b.id and a.meets(b) and a.nbytes and b.nbytes:
                return plan._replace(offsets={**plan.offsets, b.id: plan.offsets[a.id]})
    return plan


@pytest.mark.parametrize("change", [all_at_0, not_aligned, too_small, two_live_ones_together])
def test_a_wrong_memory_plan_is_named(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    change_plan(monkeypatch, "plan_memory", change)
    expect("memory plan")


# --- code generation and the whole ---------------------------------------------------------------

KERNELS = {
    "operands swapped": swapped("subtract"),
    "another op": other_op("exp", "exp2"),
    "a number off": literal(1 + 2**-20),
    "another reduction": other_op("reduce_sum", "reduce_max"),
    "a flip forgotten": other_op("sin", "cos"),
}


@needs_native
@pytest.mark.parametrize("bug", KERNELS)
def test_wrong_code_is_named(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    original = native.compile_group

    def faulty(body: Any) -> Any:
        try:
            return original(KERNELS[bug](body))
        except (LookupError, StopIteration, ValueError):
            return original(body)

    monkeypatch.setattr(executor.native, "compile_group", faulty)
    expect("code generation")


def test_an_executable_that_gives_results_in_another_order_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = executor.Executable.run

    def turned(self: Any, inputs: Any, commit: Any) -> Any:
        return original(
            self,
            inputs,
            lambda outs: commit([*outs[1:5], outs[0], *outs[5:]] if len(outs) > 8 else outs),
        )

    monkeypatch.setattr(executor.Executable, "run", turned)
    expect("execution", line=False)


def test_fifty_bugs_are_planted() -> None:
    planted = len(CASES) + 3 + 9 + len(PLANS) + 1 + 4 + len(KERNELS) + 1
    assert planted >= 50

"""verify: every node after every pass, every step of the plan and every kernel against the values of the eager run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backends import executor
from ..backends.hooks import hooks_for
from ..comparison import Snapshot, host_leaves
from ..core.backend import backend_for
from ..core.errors import CaptureError, describe
from ..core.node import Literal, Node, Var
from ..core.numbers.draws import drawn_again
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..jit.program import MISMATCH, Program
from ..jit.slots import arrays_of, held_at_capture
from ..jit.tracing import trace
from ..static.graph import Graph, renumber
from ..static.interpreter import literal_array
from ..static.region import is_region
from .checks import Divergence, PassChecker
from .plans import act_out, act_out_in_arena
from .values import Run, distance, run_graph


class Verification(NamedTuple):
    """What `verify` found; true when nothing diverged. The first divergence names the fault."""

    checked: int
    passes: tuple[str, ...]
    divergences: tuple[Divergence, ...]

    def __bool__(self) -> bool:
        return not self.divergences

    @property
    def ok(self) -> bool:
        """Whether every value had the bits of the eager run."""
        return not self.divergences

    def __str__(self) -> str:
        head = f"{self.checked} values checked after {len(self.passes)} passes and in the compiled program: "
        return head + (
            "all bits equal" if self.ok else "\n  ".join(["", *map(str, self.divergences)])
        )


def verify(fn: Any, *args: Any, **kwargs: Any) -> Verification:
    """Checks every node after every pass, the schedule, the memory plan, each kernel and the whole program.

    Each stage is judged by the values of the stage before it, the first by those of the eager run: a fault is
    reported where it comes in, with the node, its source line and the distance in ulp. Afterwards all
    tensors that the function reaches are as before.

    >>> import dualgraph as dg
    >>> bool(dg.verify(lambda x: dg.exp(x).sum(), dg.ones(3)))
    True
    """
    inner = getattr(fn, "_captured_function", fn)
    leaves = flatten((args, kwargs))[0]
    snapshot = Snapshot(inner, (args, kwargs))
    result, program, reasons = trace(inner, args, kwargs, leaves, use=getattr(fn, "_backend", None))
    if program is None:
        raise CaptureError(describe("verify", getattr(inner, "__name__", "fn"), "; ".join(reasons)))
    program.budget = getattr(fn, "_memory", None)
    eager = [*host_leaves(result), *snapshot.values()]
    after = _left_by_eager(program)
    snapshot.restore()
    inputs = arrays_of(program.trace.slots, leaves)
    checker = Checker(program, inputs)
    checker.capture(after)
    graph = checker.passes()
    if graph is not None:
        checker.executable(graph)
    if not checker.found:
        _check_call(checker, program, leaves, snapshot, eager)
        snapshot.restore()
    return Verification(checker.checked, tuple(checker.names), tuple(checker.found))


def _left_by_eager(program: Program) -> list[Any]:
    """Values that the eager run itself left in written tensors and gradients (None where it kept none)."""
    values: list[Any] = [None] * len(program.captured.outputs)
    for store in program.trace.stores:
        held = held_at_capture(program.trace.slots[store.input])
        values[store.output] = (
            None if held is None else np.array(held._data if isinstance(held, Tensor) else held)
        )
    for effect in program.trace.grads:
        if effect.output is not None and effect.owner._grad is not None:
            values[effect.output] = np.array(effect.owner._grad._data)
    return values


class Checker(PassChecker):
    """Goes through the stages of compiling one program, and notes what each did to the values."""

    def __init__(self, program: Program, inputs: list[Any]) -> None:
        hooks = hooks_for(program._device, program._use)
        super().__init__(program.captured, inputs, hooks, program.budget, [])
        self.program = program

    def capture(self, after: Sequence[Any]) -> None:
        """The captured graph against what the eager run left."""
        makers = self.graph.producers()
        for v, a, b in zip(self.graph.outputs, self.run.outputs, after, strict=True):
            if b is not None:
                self.differs("capture", makers.get(v) if isinstance(v, Var) else None, a, b, v.type)

    # --- the executable

    def executable(self, graph: Graph) -> None:
        """Schedule, memory plan, kernels and the whole of the executable."""
        program, backend = self.program, backend_for(self.program._device)
        direct = [
            s for s in program.trace.stores
            if not program._tracked and s.input in program._row_major
        ]  # fmt: skip
        stores = tuple((s.input, s.output) for s in direct)
        borrowed = program._borrowed | program._taken
        try:
            made = executor.Executable(renumber(graph), backend, borrowed, stores)
        except Exception as problem:
            self.failed("code generation", problem)
            return
        run = run_graph(made.graph, self.inputs)
        if backend.xp is np:
            self.steps(made, run)
        if not self.found:
            self.whole(made, run)

    def steps(self, made: Any, run: Run) -> None:
        """The plan, and each step by itself."""
        order = {id(s.node) for s in made.plan.steps}
        lost = [n for n in made.graph.nodes if id(n) not in order]
        if lost:
            self.report("schedule", lost[0], float("inf"), "it is in no step")
            return
        try:
            if act_out(made.plan, self.inputs, run.values, self.report):
                act_out_in_arena(made.plan, made.memory, self.inputs, run.values, self.report)
        except Exception as problem:
            self.failed("schedule", problem)
        if self.found:  # kernels run by plans, too
            return
        for i, step in enumerate(made.plan.steps):
            if not step.view:
                self.checked += len(step.node.outputs)
                self.kernel(made, i, run)

    def kernel(self, made: Any, i: int, run: Run) -> None:
        """One step as a program of its own; then with its results over its operands, as planned."""
        step = made.plan.steps[i]
        alone = single(step.node)
        given = [run.values[v] for v in alone.inputs]
        wanted = [run.values[v] for v in step.node.outputs]
        wrong = _off(alone, given, wanted, made.backend, ())
        if wrong:
            node = self.faulty(step.node, run, made.backend) or step.node
            self.report("code generation", node, *wrong)
            return
        stores = tuple(
            (alone.inputs.index(step.node.inputs[operand]), result)
            for result, operand in step.overwrites
        )
        wrong = _off(alone, given, wanted, made.backend, stores) if stores else None
        if wrong:
            ulp, problem = wrong
            self.report("schedule", step.node, ulp, problem or f"step {i} may not work in place")

    def faulty(self, node: Node, run: Run, backend: Any) -> Node | None:
        """The first node in a fused group whose own value comes out wrong."""
        if not is_region(node):
            return None
        body: Graph = node.params["body"]
        given = [
            literal_array(v, backend) if isinstance(v, Literal) else run.values[v]
            for v in node.inputs
        ]
        values = run_graph(body, given).values
        for inner in body.nodes:
            params = {"body": _upto(body, inner)}
            part = Node(node.prim, body.inputs, params, inner.outputs, inner.where)
            alone = Graph(body.inputs, (part,), inner.outputs)
            wrong = _off(alone, given, [values[v] for v in inner.outputs], backend, ())
            if wrong and not wrong[1]:
                return inner
        return None

    def whole(self, made: Any, run: Run) -> None:
        """All steps together."""
        copies = [made.backend.xp.array(a, order="C") for a in self.inputs]
        try:
            outs = made.run(copies, lambda arrays: [np.array(a) for a in arrays])
        except Exception as problem:
            self.failed("execution", problem)
            return
        makers = made.graph.producers()
        for v, a, b in zip(made.graph.outputs, outs, run.outputs, strict=True):
            self.differs("execution", makers.get(v) if isinstance(v, Var) else None, a, b, v.type)


def single(node: Node) -> Graph:
    """The graph of one node."""
    inputs = tuple(dict.fromkeys(v for v in node.inputs if isinstance(v, Var)))
    return Graph(inputs, (node,), node.outputs)


def _upto(body: Graph, node: Node) -> Graph:
    """The body that gives what `node` gives."""
    needed, nodes = set(node.outputs), []
    for n in reversed(body.nodes):
        if not needed.isdisjoint(n.outputs):
            nodes.append(n)
            needed.update(v for v in n.inputs if isinstance(v, Var))
    return Graph(body.inputs, tuple(reversed(nodes)), node.outputs)


def _off(
    graph: Graph, given: Sequence[Any], wanted: Sequence[Any], backend: Any, stores: Any
) -> tuple[float, str] | None:
    """How far a program for `graph` is off, or None."""
    arrays = [np.array(a, order="C") for a in given]
    borrowed = frozenset(o for _, o in stores)
    try:
        made = executor.Executable(graph, backend, borrowed, stores)
        outs = made.run(arrays, lambda found: [np.array(a) for a in found])
    except Exception as problem:
        return float("inf"), f"{type(problem).__name__}: {problem}"
    pairs = zip(outs, wanted, graph.outputs, strict=True)
    ulp = max((distance(a, b, v.type) for a, b, v in pairs), default=0.0)
    return (ulp, "") if ulp else None


def _check_call(
    checker: Checker, program: Program, leaves: list[Any], snapshot: Snapshot, eager: list[Any]
) -> None:
    """The program as it is called, with all that it stores."""
    program.build()
    if program.failure is not None:
        raise program.failure
    with drawn_again(program.trace.draws):
        again = program.call(leaves)
    if again is MISMATCH:
        checker.report("execution", None, float("inf"), program.mismatch)
        return
    found = [*host_leaves(again), *snapshot.values()]
    for a, b in zip(eager, found, strict=True):
        if a is None or b is None:
            continue
        (x, dtype), (y, _) = a, b
        ulp = distance(x, y, _Typed(dtype))
        checker.checked += 1
        if ulp:
            checker.report("execution", None, ulp, "a result or a written tensor differs")


class _Typed(NamedTuple):
    """What has a dtype, for `distance`."""

    dtype: Any

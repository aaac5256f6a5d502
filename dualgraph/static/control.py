"""Control flow as ops: a condition, a loop and a scan, whose branches and steps are graphs.

What they do is written here once, over the reference interpreter; the planned executor runs the same steps
through compiled bodies. Gradients and batches are defined in `dualgraph.control`, where bodies can be
run on tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend
from ..core.dtypes import bool_, int64
from ..core.errors import GraphError
from ..core.kinds import Kind
from ..core.node import Node
from ..core.prim import Prim
from ..core.types import TensorType
from .graph import Graph, GraphBuilder
from .interpreter import interpret
from .prepared import prepared

Arrays = Sequence[Any]
Trimmed = tuple[list[bool], dict[str, Any]]  # which results are left, and the parameters for them


class Control(Kind):
    """Parameters that are graphs say what is done; the op says when and how often."""

    name = "control"
    computes = False
    has_bodies = True

    def run(self, prim: Prim, backend: Any, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return prim.kernel(backend, *arrays, **params)


CONTROL = Control()


def is_control(node: Node) -> bool:
    """Whether the node is a condition or a loop, so that its graph parameters are bodies to run."""
    return node.prim.kind is CONTROL


def _check(what: str, found: Iterable[TensorType], expected: Iterable[TensorType]) -> None:
    found, expected = tuple(found), tuple(expected)
    if found != expected:
        raise GraphError(f"{what}: {found}, not {expected}")


def _rows(backend: ArrayBackend, array: Any) -> Any:
    """The array in row-major order, which is how bodies get what changes from step to step."""
    return array if array.flags.c_contiguous else backend.xp.ascontiguousarray(array)


def _own(backend: ArrayBackend, results: Arrays, given: Arrays) -> list[Any]:
    """Results in memory of their own, neither an operand's nor another result's."""
    seen = {id(a) for a in given}
    out = []
    for r in results:
        if r.base is not None or id(r) in seen or not r.flags.c_contiguous:
            r = backend.xp.array(r, order="C")
        seen.add(id(r))
        out.append(r)
    return out


def _giving(graph: Graph, kept: Sequence[bool]) -> Graph:
    """The graph with those of its outputs that are kept."""
    outputs = tuple(v for v, keep in zip(graph.outputs, kept, strict=True) if keep)
    return graph.with_nodes(graph.nodes, outputs)


def _alike(results: Sequence[Any]) -> list[int]:
    """For each result the first one that is the same."""
    first: dict[Any, int] = {}
    return [first.setdefault(v, i) for i, v in enumerate(results)]


# --- cond --------------------------------------------------------------------------------------


def _cond(backend: Any, pred: Any, *operands: Any, true: Graph, false: Graph) -> Any:
    """The results of `true` on the operands where `pred` holds, else those of `false`."""
    branch = true if bool(backend.to_numpy(pred)) else false
    return _own(backend, interpret(branch, operands, backend), operands)


def _trim_cond(read: list[bool], true: Graph, false: Graph) -> Trimmed:
    return read, {"true": _giving(true, read), "false": _giving(false, read)}


def _alike_cond(true: Graph, false: Graph) -> list[int]:
    return _alike(list(zip(true.outputs, false.outputs, strict=True)))


cond_op = Prim("cond", CONTROL, _cond, multiple=True, trim=_trim_cond, alike=_alike_cond)


@cond_op.type
def _cond_type(
    pred: TensorType, *operands: TensorType, true: Graph, false: Graph
) -> tuple[TensorType, ...]:
    if pred.dtype is not bool_ or pred.shape:
        raise GraphError(f"the predicate of a condition is bool[], not {pred}")
    _check("operands of the true branch", true.in_types, operands)
    _check("operands of the false branch", false.in_types, operands)
    _check("results of the false branch", false.out_types, true.out_types)
    return true.out_types


# --- scan --------------------------------------------------------------------------------------


def step_order(length: int, reverse: bool) -> range:
    """The steps of a scan in the order in which they run."""
    return range(length - 1, -1, -1) if reverse else range(length)


def _scan(
    backend: Any, *arrays: Any, body: Graph, carries: int, slices: int, length: int, reverse: bool, saves: bool
) -> Any:  # fmt: skip
    """``carry, y[i] = body(carry, x[i], constants)`` for each i; gives the last carry, and the ys stacked.

    Operands are the first carry (`carries` of them), what is sliced along axis 0 (`slices`), and constants.
    With `saves` the last ys are the carries that each step started from, which the gradient needs.
    """
    carry = [_rows(backend, a) for a in arrays[:carries]]
    xs = [_rows(backend, a) for a in arrays[carries : carries + slices]]
    constants = arrays[carries + slices :]
    ys = [backend.xp.empty((length, *t.shape), t.dtype.numpy) for t in body.out_types[carries:]]
    step = prepared(body, backend)
    for i in step_order(length, reverse):
        outs = step([*carry, *(x[i, ...] for x in xs), *constants])
        carry = [_rows(backend, a) for a in outs[:carries]]
        for y, out in zip(ys, outs[carries:], strict=True):
            y[i, ...] = out
    return [*_own(backend, carry, arrays), *ys]


def _trim_scan(read: list[bool], **params: Any) -> Trimmed:
    carries, body = params["carries"], params["body"]
    kept = [True] * carries + read[carries:]
    if params["saves"] and any(read[len(read) - carries :]):  # all or none
        kept[len(kept) - carries :] = [True] * carries
    saves = params["saves"] and kept[-1]
    return kept, {**params, "body": _giving(body, kept), "saves": saves}


def _alike_scan(**params: Any) -> list[int]:
    carries, results = params["carries"], params["body"].outputs
    return _alike([*(("carry", i) for i in range(carries)), *results[carries:]])


def _in_groups(times: int, **params: Any) -> tuple[dict[str, Any], ...] | None:
    """The same loop as loops one after the other, on carries and constants alike: the first does `times` steps in one,
    the second those that are left. None where steps take or give slices."""
    body, carries = params["body"], params["carries"]
    if params["slices"] or len(body.outputs) != carries:
        return None
    whole, rest = divmod(params["length"], times)
    first = {**params, "body": _repeated(body, carries, times), "length": whole}
    return (first, {**params, "length": rest}) if rest else (first,)


def _repeated(body: Graph, carries: int, times: int) -> Graph:
    """A body that does what `body` does, so many times."""
    builder = GraphBuilder()
    inputs = [builder.input(t) for t in body.in_types]
    carry: list[Any] = list(inputs[:carries])
    for _ in range(times):
        carry = builder.splice(body, (*carry, *inputs[carries:]))
    return builder.build(carry)


scan_op = Prim(
    "scan", CONTROL, _scan, multiple=True, trim=_trim_scan, alike=_alike_scan, in_groups=_in_groups
)


@scan_op.type
def _scan_type(
    *types: TensorType, body: Graph, carries: int, slices: int, length: int, reverse: bool, saves: bool
) -> tuple[TensorType, ...]:  # fmt: skip
    init, xs, constants = (
        types[:carries],
        types[carries : carries + slices],
        types[carries + slices :],
    )
    if any(x.shape[:1] != (length,) for x in xs):
        raise GraphError(f"a scan of {length} steps cannot go over {xs}")
    rows = (TensorType(x.dtype, x.shape[1:], x.device) for x in xs)
    _check("operands of the body", body.in_types, (*init, *rows, *constants))
    _check("the carry after a step", body.out_types[:carries], init)
    stacked = (TensorType(t.dtype, (length, *t.shape), t.device) for t in body.out_types[carries:])
    return (*init, *stacked)


# --- while -------------------------------------------------------------------------------------


def _while(
    backend: Any, *arrays: Any, test: Graph, body: Graph, carries: int, max_steps: int | None, saves: bool
) -> Any:  # fmt: skip
    """``carry = body(carry, constants)`` while ``test(carry, constants)``, at most `max_steps` times.

    With `saves` the number of steps follows, and the carries that each step started from, stacked; rows
    of steps not taken are 0.
    """
    carry, constants = [_rows(backend, a) for a in arrays[:carries]], arrays[carries:]
    saved = [
        backend.xp.zeros((max_steps, *t.shape), t.dtype.numpy) for t in body.out_types if saves
    ]
    step, check, advance = 0, prepared(test, backend), prepared(body, backend)
    while step != max_steps and goes_on(backend, check([*carry, *constants])):
        for rows, array in zip(saved, carry if saves else (), strict=True):
            rows[step, ...] = array
        carry = [_rows(backend, a) for a in advance([*carry, *constants])]
        step += 1
    last = _own(backend, carry, arrays)
    return [*last, backend.xp.asarray(step, dtype="int64"), *saved] if saves else last


def goes_on(backend: ArrayBackend, outs: Arrays) -> bool:
    """What the test of a loop decided."""
    return bool(backend.to_numpy(outs[0]))


def _trim_while(read: list[bool], **params: Any) -> Trimmed:
    carries = params["carries"]
    if any(read[carries:]) or not params["saves"]:
        return [True] * len(read), params
    return [i < carries for i in range(len(read))], {**params, "saves": False}


while_op = Prim("while_loop", CONTROL, _while, multiple=True, trim=_trim_while)


@while_op.type
def _while_type(
    *types: TensorType, test: Graph, body: Graph, carries: int, max_steps: int | None, saves: bool
) -> tuple[TensorType, ...]:
    _check("operands of the test", test.in_types, types)
    _check("operands of the body", body.in_types, types)
    _check("the carry after a step", body.out_types, types[:carries])
    if [(t.dtype, t.shape) for t in test.out_types] != [(bool_, ())]:
        raise GraphError(f"the test of a loop gives bool[], not {test.out_types}")
    if not saves:
        return types[:carries]
    if max_steps is None:
        raise GraphError("only a loop with max_steps can save its carries")
    saved = (TensorType(t.dtype, (max_steps, *t.shape), t.device) for t in types[:carries])
    return (*types[:carries], TensorType(int64, (), body.out_types[0].device), *saved)


# --- what bodies are given -----------------------------------------------------------------------

Turn = dict[str, list[Any]]  # inputs by body (its parameter)


def turns(
    node: Node, operands: Arrays, run: Callable[[str, list[Any]], list[Any]]
) -> Iterator[Turn]:
    """What the bodies of a condition or loop are given, turn by turn; ``run(parameter, inputs)`` gives what one makes.

    Of a condition it is one turn, of the branch that the predicate chooses. The last turn of a while loop has no body
    where its test fails. A turn's body is run when the next one is asked for.
    """
    if node.prim is cond_op:
        chosen = {"true" if bool(np.asarray(operands[0])) else "false": list(operands[1:])}
        yield chosen
        for key, given in chosen.items():
            run(key, given)
        return
    p, step = node.params, 0
    carry, rest = list(operands[: p["carries"]]), list(operands[p["carries"] :])
    order = step_order(p["length"], p["reverse"]) if node.prim is scan_op else ()
    while node.prim is scan_op and step < len(order):
        given = [*carry, *(x[order[step], ...] for x in rest[: p["slices"]]), *rest[p["slices"] :]]
        yield {"body": given}
        carry, step = run("body", given)[: p["carries"]], step + 1
    while node.prim is while_op and step != p["max_steps"]:
        given = [*carry, *rest]
        goes = bool(np.asarray(run("test", given)[0]))
        yield {"test": given, "body": given} if goes else {"test": given}
        if not goes:
            return
        carry, step = run("body", given), step + 1

"""Deriving bodies: graphs made from graphs - their gradients, their batches - without running anything.

A function of tensors is run on stand-ins, which have types but no values, and what it does is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.context import as_before, grad_mode, state
from ..core.dtypes import get_default_dtype
from ..core.errors import CaptureError, Location, describe
from ..core.kinds import ELEMENTWISE
from ..core.node import Literal, Node, Var
from ..core.numbers.live import LIVE, NUMBERS
from ..core.numbers.symbolic import is_symbolic, plain
from ..core.sweep import ancestors_reaching, reverse
from ..core.types import TensorType
from ..eager.autograd import apply_rule
from ..eager.dispatch import constant
from ..eager.scalars import LiveScalar, Scalar
from ..eager.tensor import Edge, Tensor
from ..ops.arithmetic import add
from ..ops.creation import full
from ..static.capture import Tracer
from ..static.graph import Graph, evaluate
from ..static.region import bodies, is_region
from ..static.symbolic import Following
from ..static.trace import Slot

MAX_CACHED = 256


class AbstractTracer(Tracer):
    """Writes down ops that are not run: their results are stand-ins."""

    quick = False
    takes_numbers = False

    def __init__(self) -> None:
        super().__init__()
        self.depth = levels()
        self._outer: Any = None

    def execute(self, *call: Any) -> tuple[Any, ...]:
        types: tuple[TensorType, ...] = call[-1]
        return tuple(_no_values(t) for t in types)

    def concretize(self, t: Any, value: Any) -> Any:
        raise CaptureError(
            describe("derive", str(t.tensor_type), "a rule looks at values, which a body has not")
        )

    def __enter__(self) -> AbstractTracer:
        self._outer, state.tracer = state.tracer, self
        return self

    def __exit__(self, *exc: object) -> None:
        state.tracer = self._outer


class FollowingAbstract(Following, AbstractTracer):
    """An `AbstractTracer` of symbolic sizes."""

    execute = AbstractTracer.execute  # type: ignore[assignment]

    def sizes_read(self) -> None:
        if self._outer is not None:
            self._outer.sizes_read()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        for ref in self.marked:
            t = ref()
            if t is not None and t._dims is not None:
                del t._dims


def levels() -> int:
    """How many vmaps run."""
    return 0 if state.batching is None else len(state.batching.levels)


def _no_values(t: TensorType) -> Any:
    return np.broadcast_to(np.zeros((), t.dtype.numpy), plain(t.shape))


def stand_in(t: TensorType) -> Tensor:
    """A tensor of a type, without values."""
    return Tensor(_no_values(t), t.dtype, t.device)


class as_in_bodies:
    """Context manager: hooks on saved tensors are off inside, as a loop is one entry of the tape."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = state.batching
        state.batching = self._before and self._before.of_bodies()

    def __exit__(self, *exc: object) -> None:
        state.batching = self._before


def derive(
    fn: Callable[..., Sequence[Tensor]],
    types: Sequence[TensorType],
    numbers: list[Slot] | None = None,
) -> Graph:
    """The graph of what `fn` does with tensors of these types. It may close over no tensor.

    Where `numbers` is given, it may close over live numbers: further inputs, listed there.
    """
    symbolic = any(is_symbolic(t.shape) for t in types)
    tracer = FollowingAbstract() if symbolic else AbstractTracer()
    tracer.takes_numbers = numbers is not None
    given = [stand_in(t) for t in types]
    with as_before(), as_in_bodies(), tracer, grad_mode(False):
        for i, (t, type) in enumerate(zip(given, types, strict=True)):
            tracer.add_root(t, Slot("leaf", (i, t), type))
        outs = tuple(tracer.var_of(t) for t in fn(*given))
    further = [r.slot for r in tracer.roots[len(given) :]]
    if numbers is not None:
        numbers[:] = further
    if any(s.kind != "computed" for s in further):
        raise CaptureError("a derived body reads a tensor that is none of its operands")
    return Graph(tuple(r.var for r in tracer.roots), _live(tracer.nodes, outs), outs)


def _live(nodes: Sequence[Node], outs: Sequence[Any]) -> tuple[Node, ...]:
    """The nodes that results depend on, and those that do more than compute."""
    read = {v for v in outs if isinstance(v, Var)}
    kept = []
    for node in reversed(nodes):
        stays = node.prim.can_fail or node.prim.details.get("effect")
        if stays or not read.isdisjoint(node.outputs):
            kept.append(node)
            read.update(v for v in node.inputs if isinstance(v, Var))
    return tuple(reversed(kept))


# The latest last; comparing keys is Python, so other threads come in the midst of it
_cache: dict[Any, Any] = {}


def cached(key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives, kept for as long as it is among the latest asked for.

    What has symbolic sizes is made anew: guards are taken down while it is.
    """
    if _has_symbols(key):
        return make()
    key = (key, tuple(_lines(key)), get_default_dtype())
    found = _cache.pop(key, None)
    _cache[key] = found = make() if found is None else found
    if len(_cache) > MAX_CACHED:
        oldest, *_ = list(_cache)
        _cache.pop(oldest, None)
    return found


def _lines(value: Any) -> Iterator[Location]:
    """The source lines of the graphs in a key: derived ops have those of the ops that they come from."""
    if type(value) is Graph:
        for node in value.nodes:
            yield node.where
            yield from _lines(tuple(bodies(node).values()))
    elif type(value) is tuple:
        for v in value:
            yield from _lines(v)


def _has_symbols(value: Any) -> bool:
    if type(value) is Graph:
        return any(is_symbolic(t.shape) for t in value.all_types())
    return any(map(_has_symbols, value)) if type(value) is tuple else is_symbolic(value)


# --- running graphs on tensors -----------------------------------------------------------------


def run_on_tensors(
    graph: Graph,
    inputs: Sequence[Tensor],
    leaves: Collection[Var] = (),
    known: Mapping[Var, Tensor] | None = None,
    values: dict[Var, tuple[list[Any], Tensor]] | None = None,
) -> list[Tensor]:
    """The graph's outputs, computed op by op on tensors, so that tape and capture see each op.

    What sees them is told the source lines that they have in the graph. Single results in `leaves` go to `values`
    with the operands of their ops, and are on the tape whatever they come from. Values in `known` are not computed
    (though the tape has the ops that would).
    """

    tracer = state.tracer

    def apply(node: Any, operands: list[Any]) -> Any:
        if is_region(node):
            return run_on_tensors(node.params["body"], operands)
        if tracer is not None and node.where.line:
            tracer.at = node.where
        args = [v.value if isinstance(v, Literal) else v for v in operands]
        if all(isinstance(v, Literal) for v in operands) and operands:
            args[0] = constant(operands[0].value, operands[0].dtype, state.device)
        elif node.prim.kind is not ELEMENTWISE:
            args = [_as_tensor(x, v) for x, v in zip(args, node.inputs, strict=True)]
        out = node.prim(*args, **node.params)
        if known and not known.keys().isdisjoint(node.outputs):
            _named(out if node.prim.multiple else (out,), [known.get(v) for v in node.outputs])
        if values is not None and node.outputs and node.outputs[0] in leaves:
            out = out if out._edge() is not None else _leaf(out)
            values[node.outputs[0]] = args, out
        return out if node.prim.multiple else (out,)

    try:
        return evaluate(graph, inputs, apply)
    finally:
        if tracer is not None:
            tracer.at = None


def _as_tensor(x: Any, v: Any) -> Any:
    """What stands for a Python number where an op takes tensors alone; `v` has its dtype."""
    if type(x) in NUMBERS and isinstance(v, Var):
        made = LiveScalar(x, v.type.dtype) if type(x) in LIVE else Scalar(x, v.type.dtype)
        tensor = made.tensor()
        return Tensor(np.asarray(made.array), v.type.dtype) if tensor is None else tensor
    return x


def filled(t: TensorType, value: float = 0.0) -> Tensor:
    """A tensor of a type with one value everywhere. The sum of nothing is -0.0, which no addition sees."""
    return full(shape=t.shape, value=value, dtype=t.dtype.name, device=str(t.device))  # type: ignore[no-any-return]


# --- gradients ---------------------------------------------------------------------------------


def pull(
    graph: Graph,
    inputs: Sequence[Tensor],
    wanted: Sequence[bool],
    cts: Sequence[Tensor | None],
    begun: Sequence[Tensor | None],
    also: Sequence[Var] = (),
    known: Mapping[Var, Tensor] | None = None,
) -> tuple[list[Tensor | None], list[tuple[list[Any], Tensor | None]]]:
    """Cotangents of the wanted inputs of `graph` for those of its outputs; and for values in `also`, single results
    of nodes, the operands of the nodes and the cotangents. Values in `known` need not be computed.

    Sums in `begun`, one an input, are continued, so that gradients of a loop are summed use by use in
    reverse order of time, as those of the unrolled loop would be.
    """
    with grad_mode(True):
        leaves = [_leaf(x) if w else x for x, w in zip(inputs, wanted, strict=True)]
        edges = [leaf._edge() if w else None for leaf, w in zip(leaves, wanted, strict=True)]
        values: dict[Var, tuple[list[Any], Tensor]] = {}
        results = run_on_tensors(graph, leaves, set(also), known, values)
        watched = [values[v] for v in also]
        edges += [t._edge() for _, t in watched]
        begun = [*begun, *[None] * len(watched)]
    roots = []
    for r, ct in zip(results, cts, strict=True):
        edge = r._edge() if isinstance(r, Tensor) else None
        if edge is not None and ct is not None:
            roots.append((edge, ct))
    cotangents = _totals(roots, edges, begun)
    given = [operands for operands, _ in watched]
    return cotangents[: len(inputs)], list(zip(given, cotangents[len(inputs) :], strict=True))


def _totals(
    roots: Sequence[tuple[Edge, Tensor]],
    edges: Sequence[Edge | None],
    begun: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """What a sweep from `roots` brings to leaves at `edges`, on top of the sums begun for them."""
    pending = {id(e[0]): [b] for e, b in zip(edges, begun, strict=True) if e and b is not None}
    targets = {id(e[0]) for e in edges if e is not None}
    found: dict[int, Tensor | None] = {}

    def collect(node: Any, slots: list[Any]) -> None:
        if id(node) in targets:
            found[id(node)] = slots[0]

    wanted = ancestors_reaching([e[0] for e, _ in roots], targets)
    reverse(roots, apply_rule, add, wanted, collect, pending)
    return [
        None if e is None else found.get(id(e[0]), b) for e, b in zip(edges, begun, strict=True)
    ]


def _leaf(x: Tensor) -> Tensor:
    """A leaf of the tape that stands for `x`."""
    out = Tensor(x._data, x.dtype, x.device)
    out._requires_grad = True
    state.tracer.name(out, x)
    return out


def _named(outs: Sequence[Tensor], known: Sequence[Tensor | None]) -> None:
    """Makes results of an op, with their place on the tape, stand for known tensors - in what rules read, too."""
    for out, other in zip(outs, known, strict=True):
        if other is not None:
            if state.tracer is not None:
                state.tracer.name(out, other)
            out._data = other._data
    node = next((out._node for out in outs if out._node is not None), None)
    if node is not None and node.saved is not None and node.saved[1] is not None:
        kept, results = node.saved
        pairs = zip(results, known, strict=True)
        node.saved = (kept, tuple((r[0] if k is None else k._data, *r[1:]) for r, k in pairs))


def settled(cts: Sequence[Tensor | None], types: Sequence[TensorType]) -> list[Tensor]:
    """Cotangents with zeros for those that nothing reached."""
    return [filled(t) if ct is None else ct for ct, t in zip(cts, types, strict=True)]

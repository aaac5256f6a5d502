"""Node: one application of an op. The same record is a line of a graph and an entry of the tape."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .constant import exact
from .context import state
from .dtypes import DType
from .errors import NOWHERE, AutogradError, Location, describe, location_of
from .hooks import ENTERED, PASSED, HookHandle, hang
from .numbers.symbolic import is_symbolic, source
from .types import TensorType

STEP = 1 << 128  # between the times of two entries of the tape, so that others can be put there
sequence = itertools.count(0, STEP)


class Var:
    """An SSA value of a graph: assigned once, known by its number. Treated as frozen."""

    __slots__ = ("id", "type")

    def __init__(self, id: int, type: TensorType) -> None:
        self.id = id
        self.type = type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Var) and self.id == other.id and self.type == other.type

    def __hash__(self) -> int:
        return self.id

    def __str__(self) -> str:
        return f"%{self.id}"

    def __repr__(self) -> str:
        return f"Var(id={self.id}, type={self.type})"


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A Python number as operand. Two are equal when their bits and dtypes are (-0.0 is not 0.0)."""

    value: Any
    dtype: DType

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, ())

    def __str__(self) -> str:
        value = source(self.value) if is_symbolic(self.value) else repr(self.value)
        return f"{value}:{self.dtype.short}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Node:
    """``outputs = prim(inputs, params)``, from the user's line `where`. Treated as frozen.

    In a graph inputs are `Var` or `Literal` and outputs are `Var`. On the tape an input is the
    edge ``(producer node, output index)``, or None where no gradient is wanted.
    """

    __slots__ = ("inputs", "outputs", "params", "prim", "where")

    def __init__(
        self,
        prim: Any,
        inputs: tuple[Any, ...],
        params: dict[str, Any],
        outputs: tuple[Any, ...] = (),
        where: Location = NOWHERE,
    ) -> None:
        self.prim = prim
        self.inputs = inputs
        self.params = params
        self.outputs = outputs
        self.where = where

    def key(self) -> tuple[Any, ...]:
        """What the node computes, without what it is called."""
        return (
            self.prim.name,
            self.inputs,
            tuple((k, exact(v)) for k, v in sorted(self.params.items())),
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Node) and self.outputs == other.outputs and self.key() == other.key()
        )

    def __hash__(self) -> int:
        return hash((self.prim.name, self.inputs, self.outputs))

    def __repr__(self) -> str:
        outs = ", ".join(map(str, self.outputs))
        return f"{outs} = {self.prim.name}({', '.join(map(str, self.inputs))}, {self.params})"


class TapeOp:
    """What the reverse sweep asks the op of a tape entry, besides its rule."""

    __slots__ = ()
    takes_over = False  # the rule is given the sums that later ops began, and continues them (NotImplemented: it
    # cannot now, but ``unfold(node)`` puts those of the single ops in its place, and gives the new ones in order)
    asks_needed = False  # the rule takes which operands want a gradient, as `needed`
    # Unfolded, the entry is that of its last op; else it passes on to those of others
    in_place = False
    context: Any = None  # what has the attributes that an entry does not have itself
    as_its_ops = False  # gradients are those of the ops that ran, so that a graph of these has them

    def must_unfold(self, node: TapeNode) -> bool:
        """Whether a sweep that begins now needs the entries of the single ops."""
        return False

    def maker(self, index: int) -> str:
        """The name of what made result `index`, where that is not the op itself."""
        return str(self.name)  # type: ignore[attr-defined]


class TapeNode(Node):
    """A tape entry: a node, what its vjp rule needs, and its place in time (`seq`)."""

    __slots__ = ("__weakref__", "_at", "hooks", "released", "saved", "seq")

    def __init__(
        self,
        prim: Any,
        inputs: tuple[Any, ...],
        params: dict[str, Any],
        outputs: tuple[Any, ...],
        at: Any = None,
        saved: Any = None,
    ) -> None:
        self.prim = prim
        self.inputs = inputs
        self.params = params
        self.outputs = outputs
        self._at = at  # the user's frame as (code, instruction): `where` works out its line
        self.saved = saved  # operands and results that the rule reads, each with its version
        self.seq = next(sequence)
        self.hooks: dict[int, list[Any]] | None = None
        self.released = False

    def __getattr__(self, name: str) -> Any:
        context = None if name in Node.__slots__ else getattr(self.prim, "context", None)
        if context is None or name.startswith("__") or not hasattr(context, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(context, name)

    @property
    def where(self) -> Location:  # type: ignore[override]
        """The user's line that recorded this entry."""
        return location_of(self._at)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def name(self) -> str:
        """The name of the op, of a composite that is one entry that of its last one."""
        if self.prim is None:
            return "leaf"
        if self.prim is THROUGH and len(self.inputs) == 1 and self.inputs[0] is not None:
            return self.inputs[0][0].maker(self.inputs[0][1])  # type: ignore[no-any-return]
        return self.prim.maker(0) if self.prim.in_place else str(self.prim.name)

    def maker(self, index: int) -> str:
        """The name of the op that made result `index`, in a compiled call or a composite that is one entry, too."""
        return "leaf" if self.prim is None else self.prim.maker(index)

    @property
    def next_functions(self) -> tuple[tuple[TapeNode | None, int], ...]:
        """The entries that the operands came from, each with the number of its result; None is a constant."""
        if self.prim is not None and self.prim.in_place and not self.released:
            self.prim.unfold(self)
        return tuple((None, 0) if edge is None else (edge[0], edge[1]) for edge in self.inputs)

    def register_prehook(self, fn: Callable[[tuple[Any, ...]], Any]) -> HookHandle:
        """Calls ``fn(gradients of the results)`` before a sweep runs the rule of this entry; a tuple that it returns
        takes their place.

        Raises AutogradError where the entry is a compiled call with several results, whose ops are not entries.

        >>> import dualgraph as dg
        >>> x = dg.tensor([1.0, 2.0], requires_grad=True)
        >>> y = x * 3
        >>> handle = y.grad_fn.register_prehook(lambda gradients: (gradients[0] * 10,))
        >>> y.sum().backward(); x.grad
        tensor([30., 30.])
        """
        return self._hang(ENTERED, fn)

    def register_hook(self, fn: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]) -> HookHandle:
        """Calls ``fn(gradients of the operands, gradients of the results)`` when a sweep has run the rule of this
        entry; a tuple that it returns takes the place of the first.

        For an operand that wants none there is None. For a leaf the first tuple is empty, and `fn` is called when its
        ``.grad`` is added up. Raises AutogradError as `register_prehook` does.

        >>> import dualgraph as dg
        >>> x = dg.tensor([1.0, 2.0], requires_grad=True)
        >>> y = x * 3
        >>> handle = y.grad_fn.register_hook(lambda operands, results: print(operands[0], results[0]))
        >>> y.sum().backward()
        tensor([3., 3.]) tensor([1., 1.])
        """
        return self._hang(PASSED, fn)

    def _hang(self, place: int, fn: Callable[..., Any]) -> HookHandle:
        node, tracer = self._single(), state.tracer
        leaf = None if node.prim is not None else node.saved()
        if tracer is None:
            here = False
        elif leaf is not None:
            here = tracer.knows(leaf) and not tracer.is_root(leaf)
        else:
            here = node.seq > tracer.began
        return hang(node, place, fn, here)

    def _single(self) -> TapeNode:
        """The entry of the one op whose result this is: a compiled call is unfolded."""
        if self.prim is None or self.released or not (self.prim.takes_over or self.prim is THROUGH):
            return self
        if len(self.outputs) > 1 or state.sweep_ends is not None:
            problem = f"hooks are set on single ops, and {self.name()} is one entry of {len(self.outputs)} results"
            if len(self.outputs) == 1:
                problem = f"{self.name()} stands for several ops, which cannot have hooks while a sweep goes on"
            remedy = "set one on a tensor: y.register_hook(...)"
            raise AutogradError(describe("register_hook", "", problem, remedy, self.where))
        if self.prim is not THROUGH:
            self.prim.unfold(self)
        return resolved((self, 0))[0]

    @property
    def variable(self) -> Any:
        """The leaf that this entry stands for; entries of ops have none."""
        leaf = None if self.prim is not None else self.saved()
        if leaf is None:
            raise AttributeError(f"{self} is the entry of no leaf")
        return leaf

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class Through(TapeOp):
    """The op of an entry that was unfolded: its results are those of other entries, which it has as inputs."""

    name = "unfolded"
    multiple = True
    reads_out = False
    as_its_ops = True

    def saves(self, i: int) -> bool:
        """Whether the rule reads the values of operand `i`."""
        return False

    def vjp_rule(self, cts: tuple[Any, ...], _outs: Any, *_operands: Any) -> list[Any]:
        """The cotangents as they are."""
        return list(cts)


THROUGH = Through()


def resolved(edge: tuple[TapeNode, int]) -> tuple[TapeNode, int]:
    """The edge to what made a result, where `edge` leads to an entry that was unfolded."""
    node, index = edge
    while (
        node.prim is THROUGH
        and node.inputs[index] is not None
        and not (node.hooks and index in node.hooks)
    ):
        node, index = node.inputs[index]
    return node, index

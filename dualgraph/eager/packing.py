"""Packing: what the tape saves goes through functions of the user's, who may keep it elsewhere.

While hooks are on, ops take the long way through dispatch, as inside of `vmap`, and each new entry of the tape is told
here: its op gives way to one that has the values unpacked before it calls the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.context import grad_mode, state, unbatched, unrepeatable
from ..core.errors import AutogradError, Location, describe
from ..core.node import TapeNode, TapeOp
from ..core.prim import Prim
from ..core.types import TensorType
from .autograd import Spoiled, written_at
from .batching import Batching
from .tensor import Edge, Tensor

Unpack = Callable[[Any], Any]


class Packed:
    """A saved tensor as the user keeps it, and what it takes to have it back with its place on the tape."""

    __slots__ = ("cell", "edge", "held", "type", "unpack", "version")

    def __init__(
        self, t: Tensor, edge: Edge | None, pack: Callable[[Any], Any], unpack: Unpack
    ) -> None:
        self.type, self.edge, self.unpack = t.tensor_type, edge, unpack
        self.cell, self.version = t._version_cell(), t._version
        with grad_mode(False), unbatched():
            self.held = pack(t)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return self.type.shape

    @property
    def dtype(self) -> Any:
        """Of the tensor."""
        return self.type.dtype

    def restored(self, op: str, where: Location | None = None) -> Tensor:
        """The tensor, for the rule of `op`."""
        unrepeatable("saved tensors were unpacked")
        with grad_mode(False), unbatched():
            given = self.unpack(self.held)
        if not isinstance(given, Tensor) or given.tensor_type != self.type:
            got = given.tensor_type if isinstance(given, Tensor) else type(given).__name__
            problem = f"saved_tensors_hooks unpacked {got} in the place of {self.type}"
            raise AutogradError(describe(op, str(self.type), problem, "", where))
        if given._cell is self.cell and self.cell[0] != self.version:
            problem = "a value that was saved for the gradient was changed in place"
            return Spoiled(op, where, self.type, problem + written_at(self.cell))
        out = Tensor(given._data, given.dtype, given.device)
        out._cell = given._cell
        if self.edge is not None:
            out._node, out._index = self.edge
        return out


class PackedOp(TapeOp):
    """The op of an entry whose saved values are packed: the rule of `prim` on what is unpacked."""

    multiple = True
    reads_out = False

    def __init__(self, prim: Prim, results: tuple[Packed, ...] | None, where: Location) -> None:
        self.name, self.prim, self.results, self.where = prim.name, prim, results, where
        self.asks_needed = prim.asks_needed

    def saves(self, i: int) -> bool:
        """What is saved is packed: none of it counts as an operand that is kept."""
        return False

    def vjp_rule(
        self, cts: tuple[Any, ...], types: tuple[TensorType, ...], *kept: Any, **params: Any
    ) -> Any:
        """Cotangents by the rule of the op."""
        at = self.where
        operands = [k.restored(self.name, at) if type(k) is Packed else k for k in kept]
        outs: Any = (
            types if self.results is None else [r.restored(self.name, at) for r in self.results]
        )
        if self.prim.multiple:
            return self.prim.vjp_rule(cts, tuple(outs), *operands, **params)  # type: ignore[misc]
        return self.prim.vjp_rule(cts[0], outs[0], *operands, **params)  # type: ignore[misc]


def _result(data: Any, cell: Any, version: int, dtype: Any, device: Any, same: Any) -> Tensor:
    """A result that is to be saved, without its place on the tape."""
    out = Tensor(data if same is None else same._data, dtype, device)
    out._cell = cell
    return out


class Packing(Batching):
    """The handler of ops while hooks are on; it is told of results. While a `vmap` runs, it serves as that's."""

    stays = True

    def __init__(self, pack: Callable[[Any], Any], unpack: Unpack) -> None:
        super().__init__()
        self.pack, self.unpack = pack, unpack

    def note(self, outs: tuple[Tensor, ...]) -> None:
        """Packs what the entry that made `outs` saved."""
        if self.levels:
            return super().note(outs)
        for node in {o._node for o in outs if o._node is not None}:
            if isinstance(node.prim, Prim):
                self._wrap(node)
        return None

    def _wrap(self, node: TapeNode) -> None:
        kept, results = node.saved
        packed = None
        if results is not None:
            packed = tuple(self.packed(_result(*r), (node, i)) for i, r in enumerate(results))
        operands = tuple(
            self.packed(k[0], edge) if type(k) is tuple else k
            for k, edge in zip(kept, node.inputs, strict=True)
        )
        node.prim, node.saved = PackedOp(node.prim, packed, node.where), (operands, None)

    def packed(self, t: Tensor, edge: Edge | None) -> Packed:
        """A tensor that is to be saved, packed."""
        return Packed(t, edge, self.pack, self.unpack)

    def of_bodies(self) -> Batching | None:
        """None where no vmap runs: a loop is one entry of the tape, and packed as that."""
        return self if self.levels else None

    def enter(self, x: Tensor) -> Tensor:
        """x itself where no vmap runs."""
        return super().enter(x) if self.levels else x

    def spread(self, counter: Tensor, step: int) -> tuple[Tensor, int]:
        """One state where no vmap runs."""
        return super().spread(counter, step) if self.levels else (counter, step)


def start(pack: Callable[[Any], Any], unpack: Unpack) -> Any:
    """Switches hooks on for this thread; gives what was in their place, for `stop`."""
    before = state.batching
    if before is not None and not isinstance(before, Packing):
        problem = "hooks on saved tensors cannot begin inside of a vmap"
        raise AutogradError(describe("saved_tensors_hooks", "", problem, "enter them around it"))
    unrepeatable("hooks on saved tensors were switched on")
    state.batching = Packing(pack, unpack)
    return before


def stop(before: Any) -> None:
    """Switches back to what `start` gave."""
    state.batching = before

"""Symbolic capture: an eager run whose graph holds for other sizes.

The tensors of the run have their real values and sizes; beside these the tracer keeps sizes that are
`SymInt`s, which the engine reads in place of plain ones. What it decides by them is a guard.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from ..core.backend import execute
from ..core.errors import Location, user_location
from ..core.node import Var
from ..core.numbers.symbolic import SymShape, is_symbolic
from ..core.types import Shape, TensorType
from .capture import Tracer
from .filling import at_hand
from .graph import Operand
from .lengths import followed_lengths
from .trace import Slot


class Following(Tracer):
    """What tracers have in common that keep symbolic sizes beside the tensors they see."""

    quick = False

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self.marked: list[weakref.ref[Any]] = []  # tensors that have symbolic sizes from it

    @staticmethod
    def execute(
        backend: Any, prim: Any, arrays: Any, types: Any, params: Any, out_types: Any
    ) -> Any:
        """Runs an op; kernels get plain numbers."""
        return execute(backend, prim, arrays, types, at_hand(params), out_types)

    def sizes_read(self) -> None:
        """A size is read as the number it is, where it cannot be followed."""
        raise NotImplementedError

    def _new_var(self, type: TensorType) -> Var:
        return super()._new_var(type._replace(shape=tuple(type.shape)))

    def _set(self, t: Any, operand: Operand) -> None:
        super()._set(t, operand)
        shape = operand.type.shape
        if is_symbolic(shape):
            self.follow(t, shape)
        elif t._dims is not None:
            del t._dims

    def follow(self, t: Any, shape: Shape) -> None:
        """Gives a tensor these sizes."""
        if t._dims is None:
            self.marked.append(weakref.ref(t))
        t._dims = SymShape(shape)

    def record(
        self, prim: Any, args: list[Any], params: dict[str, Any], outs: tuple[Any, ...], where: Any
    ) -> None:
        params = {k: tuple(v) if type(v) is SymShape else v for k, v in params.items()}
        inputs = tuple(map(self.operand, args))
        types = prim.infer(tuple(v.type for v in inputs), params)
        for out, result in zip(outs, types, strict=True):
            if is_symbolic(result.shape):
                self.follow(out, result.shape)
        super().record(prim, args, params, outs, where)


class SymbolicTracer(Following):
    """A tracer of arguments that have symbolic sizes.

    ``shapes``: the symbolic shapes of argument leaves; ``read_at``: where something read a size as the number
    it is (then each size it has not met is tried with an eager run first).
    """

    def __init__(self, shapes: Mapping[int, Shape]) -> None:
        super().__init__()
        self.shapes = shapes
        self.read_at: Location | None = None
        self._lengths = followed_lengths()

    def sizes_read(self) -> None:
        if self.read_at is None:
            self.read_at = user_location()

    def add_root(self, t: Any, slot: Slot) -> Var:
        return super().add_root(t, self._symbolic(slot, t._dims))

    def know_array(self, array: Any, slot: Slot) -> None:
        super().know_array(array, self._symbolic(slot, None))

    def _symbolic(self, slot: Slot, dims: Shape | None) -> Slot:
        if slot.kind == "leaf":
            dims = self.shapes.get(slot.key[0])
        elif slot.kind == "leaf grad":
            dims = self.shapes.get(slot.key)
        if dims is None or is_symbolic(slot.type.shape):
            return slot
        return slot._replace(type=slot.type._replace(shape=dims))

    def __enter__(self) -> Tracer:
        super().__enter__()
        self._lengths.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lengths.__exit__(None, None, None)
        super().__exit__(*exc)
        for ref in self.marked:
            t = ref()
            if t is not None and t._dims is not None:
                del t._dims

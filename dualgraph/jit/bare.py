"""Bare programs: those that do nothing but make fresh tensors, so that running one takes few steps, or no Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..backends.executor import Executable, as_they_are
from ..core.trees import TreeDef
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..static.trace import Trace
from .results import Result
from .slots import places_of


class Bare(NamedTuple):
    """What a bare program is run on, and the types of what it makes: one tensor (`single`), or a tuple of them.

    ``places``: for each input the argument leaf that it is, -2, -3 ... for promoted numbers, or the tensor that it
    always is; ``inputs`` are their types.
    """

    places: tuple[int | Tensor, ...]
    inputs: tuple[TensorType, ...]
    types: tuple[TensorType, ...]
    single: bool

    def run(self, executable: Executable, leaves: Sequence[Any], extra: Sequence[Any]) -> Any:
        """The results for the leaves of a call without promoted numbers; `extra` are further arrays."""
        given = [(leaves[p] if type(p) is int else p)._data for p in self.places]
        for array, t in zip(given, self.inputs, strict=True):
            if not t.of_array(array):  # another thread may exchange it at any time
                raise ValueError("a tensor was given other memory")
        made = executable.run([*given, *extra], as_they_are)
        results = [Tensor(a, t.dtype, t.device) for a, t in zip(made, self.types, strict=True)]
        return results[0] if self.single else tuple(results)


def bare_form(
    trace: Trace, results: Sequence[Result], tree: TreeDef, types: tuple[TensorType, ...]
) -> Bare | None:
    """A program as a bare one; None where it writes, gives gradients or values, or a tree that is no flat tuple."""
    places = places_of(trace.slots)
    if places is None or trace.stores or trace.grads or trace.concrete:
        return None
    if any(s.required for s in trace.slots):
        return None
    single = tree.kind is None
    if not single and (tree.kind is not tuple or any(c.kind is not None for c in tree.children)):
        return None
    plain = (
        r.kind == "output" and not (r.requires_grad or r.array) and r.base is None for r in results
    )
    if not all(plain) or [r.key for r in results] != list(range(len(types))):
        return None
    return Bare(places, tuple(s.type for s in trace.slots), types, single)

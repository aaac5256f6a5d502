"""What the executors and the eager backend use of native code."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ...core.dtypes import DType
from ...core.kinds import ELEMENTWISE
from ...core.node import Node, Var
from ...core.prim import Prim
from ...core.types import TensorType
from ...static.graph import Graph
from .expressions import DTYPES, MONOIDS, check_node
from .loop_ir import Unsupported, overwritable
from .lower import Strides

if TYPE_CHECKING:
    from .kernel import NativeKernel

__all__ = [
    "Unsupported",
    "available",
    "can_lower",
    "chain",
    "compile_group",
    "elementwise",
    "elementwise_kernel",
    "fold",
    "has_fold",
    "has_kernel",
    "instructions",
    "may_overwrite",
    "reduce_kernel",
    "supports",
]


@cache
def available() -> bool:
    """Whether native code can be made: llvmlite is there and ``DUALGRAPH_NATIVE`` is not 0."""
    return (
        os.environ.get("DUALGRAPH_NATIVE", "1") != "0"
        and importlib.util.find_spec("llvmlite") is not None
    )


def supports(node: Node) -> bool:
    """Whether a node like this can be part of a fused kernel (its neighbours may still rule it out)."""
    try:
        check_node(node)
    except Unsupported:
        return False
    return True


def can_lower(body: Graph) -> bool:
    """Whether the body of a fused group can be one kernel."""
    if not available():
        return False
    from .kernel import lowered

    try:
        lowered(body)
    except Unsupported:
        return False
    return True


def instructions(node: Node) -> float:
    """How many instructions an elementwise node of a kernel takes for each element; index maps take none."""
    from .weights import weight

    if node.prim.kind is not ELEMENTWISE:
        return 0.0
    dtypes = tuple(v.type.dtype.name for v in node.inputs)
    return weight(node.prim, dtypes, node.params, node.outputs[0].type.dtype.name)


def may_overwrite(node: Node, result: int, operand: int) -> bool:
    """Whether the kernel of a fused region may write a result into the memory of an operand.

    False for bodies that are not one kernel.
    """
    from .kernel import lowered

    try:
        kernel = lowered(node.params["body"])
    except Unsupported:
        return False
    return operand in overwritable(kernel)[result]


def compile_group(body: Graph, in_strides: Strides | None = None) -> NativeKernel:
    """Compiles a fused body for its shapes.

    `in_strides`: for each input its strides in elements, or None for C-contiguous.
    Raises Unsupported where the body must run op by op.
    """
    from .kernel import NativeKernel, lowered

    return NativeKernel(lowered(body, in_strides))


def elementwise_kernel(
    prim: Prim, dtypes: tuple[DType, ...], params: dict[str, Any], scalar: tuple[bool, ...]
) -> Callable[..., Any]:
    """``kernel(arrays, shape, out=None)`` for one elementwise op; see `eager.elementwise_kernel`."""
    from . import eager

    return eager.elementwise_kernel(prim, dtypes, params, scalar)


def elementwise(
    prim: Prim, arrays: Sequence[Any], dtypes: tuple[DType, ...], params: dict[str, Any]
) -> Any:
    """Runs an elementwise op on NumPy arrays of any layout that broadcast together, in native code."""
    from . import eager

    return eager.elementwise(prim, arrays, dtypes, params)


def reduce_kernel(
    monoid: str, dtype: DType, out_dtype: DType
) -> Callable[[Any, tuple[int, int, int]], Any]:
    """``kernel(x, (outer, n, inner))`` folds the middle axis of a C-contiguous array in the canonical order."""
    from . import eager

    return eager.reduce_kernel(monoid, dtype, out_dtype)


def fold(monoid: str, x: Any, axes: tuple[int, ...], dtype: DType, out_dtype: DType) -> Any:
    """Folds `axes` of a NumPy array of any layout in the canonical order; the axes are dropped."""
    from . import eager

    return eager.fold(monoid, x, axes, dtype, out_dtype)


@cache
def has_kernel(prim: Prim, dtypes: tuple[DType, ...]) -> bool:
    """Whether native code can be made for an elementwise op on these dtypes."""
    types = tuple(TensorType(d, ()) for d in dtypes)
    literals = tuple(Var(i, t) for i, t in enumerate(types))
    try:
        out = prim.infer(types, {})
    except TypeError:
        return False
    return supports(
        Node(prim, literals, {}, tuple(Var(len(types) + i, t) for i, t in enumerate(out)))
    )


def has_fold(monoid: str, dtype: DType) -> bool:
    """Whether reductions of this kind have native code."""
    return monoid in MONOIDS and dtype in DTYPES


def chain(steps: Sequence[Callable[[], None]]) -> list[Callable[[], None]]:
    """Steps of a program, with neighbouring small bound kernels joined into one foreign call."""
    from . import chain as module

    return module.chain(steps)

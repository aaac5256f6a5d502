"""What the executors and the eager backend ask of native code; reached through `api`, which waits to load it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from ...core.dtypes import DType
from ...core.kinds import CONTRACTION, ELEMENTWISE
from ...core.node import Node, Var
from ...core.prim import Prim
from ...core.types import TensorType
from ...static.graph import Graph
from . import contract, disk_cache, version
from .aside import aside
from .beside import fold_shared
from .contract.fused import FusedContraction
from .eager import elementwise, fold
from .expressions import DTYPES, MONOIDS, check_node
from .jit import jit
from .kernel import NativeKernel, lowered, machine_of, remember, remembered, written
from .loop_ir import Unsupported
from .segments import Operands, Segment, all_native, native_steps
from .weights import weight

__all__ = [
    "Operands",
    "Segment",
    "Unsupported",
    "all_native",
    "begin",
    "can_finish",
    "can_lower",
    "compile_group",
    "elementwise",
    "fold",
    "fold_shared",
    "has_fold",
    "has_kernel",
    "instructions",
    "is_lawful",
    "keep",
    "make_all",
    "may_overwrite",
    "name_of",
    "native_steps",
    "read",
    "remember",
    "remembered",
    "supports",
    "versions",
    "weight",
]


def supports(node: Node) -> bool:
    """Whether a node like this can be part of a fused kernel (its neighbours may still rule it out)."""
    try:
        check_node(node)
    except Unsupported:
        return False
    return True


def can_lower(body: Graph) -> bool:
    """Whether the body of a fused group can be one kernel."""
    try:
        lowered(body)
    except Unsupported:
        return False
    return True


def instructions(node: Node) -> float:
    """How many instructions an elementwise node of a kernel takes for each element; index maps take none."""
    if node.prim.kind is not ELEMENTWISE:
        return 0.0
    dtypes = tuple(v.type.dtype.name for v in node.inputs)
    return weight(node.prim, dtypes, node.params, node.outputs[0].type.dtype.name)


def may_overwrite(node: Node, result: int, operand: int) -> bool:
    """Whether the kernel of a fused region may write a result into the memory of an operand.

    False for bodies that are not one kernel.
    """
    body = node.params["body"]
    if body.nodes[0].prim.kind is CONTRACTION:
        return contract.may_overwrite(body, result, operand)
    try:
        kernel = lowered(body)
    except Unsupported:
        return False
    return operand in written(kernel).overwritable[result]


def can_finish(body: Graph) -> bool:
    """Whether one kernel can compute a contraction, the first node of a body, and all that comes after it."""
    return contract.fits(body)


def is_lawful(node: Node) -> bool:
    """Whether a contraction is computed here in both modes, its sums in the one order that depends on no layout."""
    types = [v.type for v in node.inputs if isinstance(v, Var)]
    return contract.claimed(node.prim.name, *(t.dtype.numpy for t in types)) is not None


def compile_group(body: Graph) -> NativeKernel | FusedContraction:
    """Compiles a fused body for its shapes. Raises Unsupported where the body must run op by op."""
    if body.nodes[0].prim.kind is CONTRACTION:
        return FusedContraction(body)
    return NativeKernel(lowered(body))


def begin(bodies: Iterable[Graph]) -> None:
    """Lets code be made for fused bodies, several at once; `compile_group` then finds it, or waits for it."""
    for body in bodies:
        with suppress(Unsupported):
            if body.nodes[0].prim.kind is CONTRACTION:
                contract.begin(body)
            else:
                machine_of(written(lowered(body)))


def versions() -> tuple[str, str] | None:
    """What kept programs depend on: the sources of this package, then the processor and the makers of code; None
    where nothing is kept."""
    sources = version.versions().programs
    return (sources, jit().tag) if sources and disk_cache.directory() is not None else None


def name_of(text: bytes, about: tuple[object, ...]) -> str:
    """The name under which something is kept that follows from a text and what it is about."""
    return disk_cache.key(text, repr(about))


def read(name: str) -> bytes | None:
    """What is kept under a name."""
    return disk_cache.read(name, disk_cache.PROGRAMS)


def keep(name: str, data: bytes) -> None:
    """Keeps something for other processes, beside the caller."""
    aside(lambda: disk_cache.write(name, data, disk_cache.PROGRAMS))


def make_all() -> None:
    """Has the code made, beside the caller, that eager calls did without; for later calls, and for other processes."""
    aside(jit().make_all)


@cache
def has_kernel(
    prim: Prim, dtypes: tuple[DType, ...], params: tuple[tuple[str, Any], ...] = ()
) -> bool:
    """Whether native code can be made for an elementwise op on these dtypes, with these parameters."""
    types = tuple(TensorType(d, ()) for d in dtypes)
    operands = tuple(Var(i, t) for i, t in enumerate(types))
    try:
        out = prim.infer(types, dict(params))
    except TypeError:
        return False
    results = tuple(Var(len(types) + i, t) for i, t in enumerate(out))
    return supports(Node(prim, operands, dict(params), results))


def has_fold(monoid: str, dtype: DType) -> bool:
    """Whether reductions of this kind have native code."""
    return monoid in MONOIDS and dtype in DTYPES

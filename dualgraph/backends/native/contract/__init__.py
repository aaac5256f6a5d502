"""Native contractions: matrix products and convolutions in explicit-vector LLVM IR, for both modes.

For each output element the products are accumulated by fma in order of k in blocks of 256, each block from
+0, and the blocks' sums are added in order. So a result's bits depend on its row and column alone: not on
the sizes of the operands, their layout, the batch, the vectors of the processor or the number of threads.

Its modules decide how a product runs and fill records of int64 for the code:

    product     matrix products of arrays: begin here            matvec (one row), small (many small ones)
    convolution convolutions of arrays                           input_gradient, images (as products), taps, planewise,
                                                                 lanewise (depthwise)
    fused       a contraction and what follows it                epilogue, reads (its arrays), seat (its operands and
                                                                 result)
    plan        how one product runs                         tiling (as numbers decide), operands, tables (of offsets),
                                                                 cuts (for threads)
    layout      how images lie                                   turning (weights), weave (two images into one)
    stages      recipes: stages in order                         again (the same for other sizes)

or write the code, in LLVM IR:

    kernels     compiled when first needed: begin here           shape (of a tile), code (what IR is written with)
    driver      the loops around the micro-kernel                micro, pack, fold (sums of blocks), finish (epilogues)
    team        threads that work through stages                 brief (a stage alone), copy (lines of images)
    squares     elements transposed in registers                 rowwise, dots_code (products of one row)
                                                                 small_code, planewise_code, lanewise_code, weave_code
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from .. import api

CLAIMED = ("matmul", "conv", "conv_input", "conv_weight")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@cache
def claimed(name: str, *dtypes: Any) -> Callable[..., Any] | None:
    """The kernel ``kernel(*arrays, out=None, **params)`` that takes the place of the op's own on arrays
    of these NumPy dtypes, in both modes; None where the op keeps its own."""
    if (
        name not in CLAIMED
        or not api.available()
        or dtypes[0] not in DTYPES
        or len(set(dtypes)) > 1
    ):
        return None
    product = import_module(".product", __name__)
    if not product.available():
        return None
    place = product if name == "matmul" else import_module(".convolution", __name__)
    kernel: Callable[..., Any] = getattr(place, name)
    return kernel


def begin(body: Any) -> Any:
    """The machine code of what a body does after its contraction, on its way; raises Unsupported if there is none."""
    return import_module(".fused", __name__).begin(body)


def fits(body: Any) -> bool:
    """Whether a body is a contraction, then elementwise ops that one kernel can do on its result."""
    node = body.nodes[0]
    if claimed(node.prim.name, *(v.type.dtype.numpy for v in node.inputs)) is None:
        return False
    return bool(import_module(".fused", __name__).fits(body))


def may_overwrite(body: Any, result: int, operand: int) -> bool:
    """Whether the kernel of a body that `fits` may write a result to the memory of an operand."""
    return bool(import_module(".fused", __name__).may_overwrite(body, result, operand))


def write(name: str, room: Any, out: Any, x: Any, y: Any, **params: Any) -> None:
    """Writes an op that `claimed` has a kernel for into a native program: results, then operands."""
    if name == "matmul":
        import_module(".product", __name__).write_matmul(room, out, x, y)
    else:
        import_module(".convolution", __name__).write(name, room, out, x, y, **params)

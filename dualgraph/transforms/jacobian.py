"""Jacobians and Hessians: all derivatives at once, as a vmap of pullbacks or of pushforwards."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..core.trees import flatten, unflatten
from ..eager.creation import eye
from ..eager.functions import concat, reshape
from ..eager.tensor import Tensor
from ..ops.arithmetic import cast
from ..ops.movement import slice_
from .grad import _places, vjp
from .jvp import linearize
from .vmap import vmap


def _basis(leaves: Sequence[Tensor]) -> list[Tensor]:
    """For each leaf the rows that, together, are an identity matrix over all elements of all leaves."""
    sizes = [x._data.size for x in leaves]
    total = sum(sizes)
    out, start = [], 0
    for x, n in zip(leaves, sizes, strict=True):
        part = eye(total, n, k=-start, dtype=x.dtype, device=x.device)
        out.append(reshape(part, (total, *x.shape)))
        start += n
    return out

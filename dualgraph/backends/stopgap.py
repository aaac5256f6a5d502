"""Stopgaps: an op's own kernel on NumPy in the place of native code that is not there yet, with the same bits.

Making code takes tens of milliseconds, small arrays far less on NumPy. So nobody waits for code that only serves
them: what few calls ask for is left unmade, and calls take the code from when it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..core.dtypes import from_numpy
from ..core.kinds import ELEMENTWISE
from ..core.prim import Prim
from ..core.types import TensorType
from .native import api as native
from .native.awaited import Unmade, or_unmade
from .scalar_single import SingleScalar
from .words import needs_expansions

MOST = 1 << 20  # elements of operands and results that NumPy goes through sooner than code is made
STEPS = 400_000  # instructions of native code for all elements, where NumPy has several functions for each
EXACT = SimpleNamespace(xp=np, scalar=SingleScalar(np))  # a backend with the bits of native code


def at_once(
    kernel: Callable[..., Any], prim: Prim, arrays: Sequence[Any], params: dict[str, Any], *given: Any, **named: Any
) -> Any:  # fmt: skip
    """``kernel(*given, **named)``, which runs the native code of an op on `arrays`; what the op's own kernel gives
    where that is sooner."""
    try:
        return or_unmade(kernel, *given, **named)
    except Unmade:
        out = _own(prim, tuple(arrays), params)
        return kernel(*given, **named) if out is None else out


def _own(prim: Prim, arrays: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """What an op's own kernel gives, row by row; None where the code is worth waiting for."""
    types = tuple([TensorType(from_numpy(a.dtype), a.shape) for a in arrays])
    results = prim.infer(types, params)
    elements = sum([prod(t.shape) for t in (*types, *results)])
    if elements > MOST or (
        _is_expanded(prim, params) and _steps(prim, types, params, results[0]) > STEPS
    ):
        return None
    made = prim.kind.run(prim, EXACT, arrays, params)
    outs = [np.asarray(x, order="C") for x in (made if prim.multiple else (made,))]
    if prim.kind.computes and any(map(_has_nan, outs)):
        return None  # NumPy may give it the other sign
    return tuple(outs) if prim.multiple else outs[0]


def _is_expanded(prim: Prim, params: dict[str, Any]) -> bool:
    return prim.kind is ELEMENTWISE and needs_expansions(prim, params)


def _steps(prim: Prim, types: Sequence[TensorType], params: dict[str, Any], out: TensorType) -> int:
    each: int = native.weight(prim, tuple([t.dtype.name for t in types]), params, out.dtype.name)
    return each * prod(out.shape)


def _has_nan(x: Any) -> bool:
    return x.dtype.kind == "f" and bool(np.isnan(x).any())

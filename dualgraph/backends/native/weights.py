"""Weights: how many instructions an elementwise op takes, found by writing its code once."""

from __future__ import annotations

from functools import cache
from typing import Any

from ...core.constant import exact
from ...core.process import forks
from . import ir
from .emit.scalar import LLVMScalar
from .expressions import Expr
from .loop_ir import ScalarBody, Unsupported

_known: dict[Any, int] = {}
_lock = forks.lock()
REFUSALS = (TypeError, AttributeError, NotImplementedError, KeyError, ValueError)


def weigh(e: Expr) -> int:
    """Instructions of the op that computes `e`; raises Unsupported where it has no native code."""
    prim, params, _ = e.data
    return weight(prim, tuple(a.dtype.name for a in e.args), dict(params), e.dtype.name)


def weight(prim: ScalarBody, dtypes: tuple[str, ...], params: dict[str, Any], out: str) -> int:
    """Instructions of an op on operands of these dtypes; raises Unsupported where it has no native code."""
    key = prim.name, dtypes, exact(params), out
    if key not in _known:
        with _lock:  # one function takes the code of all ops
            _known[key] = _count(prim, dtypes, params, out)
    if _known[key] < 0:
        raise Unsupported(f"{prim.name} of {', '.join(dtypes)} has no native code")
    return _known[key]


def _count(prim: ScalarBody, dtypes: tuple[str, ...], params: dict[str, Any], out: str) -> int:
    s = _blank()
    operands = [s.wrap(ir.Constant(s.type_of(d), ir.Undefined), d) for d in dtypes]
    before = _length(s)
    try:
        result = prim.kernel(s, *operands, **params)
    except REFUSALS:
        return -1
    return -1 if getattr(result, "dtype", out) != out else _length(s) - before


def _length(s: LLVMScalar) -> int:
    return sum(len(block.instructions) for block in s.builder.function.blocks)


@cache
def _blank() -> LLVMScalar:
    """A handler that writes code nobody runs."""
    fn = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "blank")
    return LLVMScalar(ir.IRBuilder(fn.append_basic_block()))

"""Plans as C sees them: for each elementwise op a table from the codes of its operands to a record."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ....core.prim import REGISTRY, Prim
from ..aside import aside
from ..eager import elementwise_kernel
from ..entry import has_kernel
from ..loop_ir import Unsupported

HOT = 24  # calls until a kernel is begun, beside those that go on without
OPERANDS = 3
NUMBERS = {"float32": 1, "float64": 2, "int64": 3, "int32": 4, "bool": 5}  # how C writes a number


class Record(ctypes.Structure):
    """What `apply` reads of a plan. The objects are kept alive by `Kept`."""

    _fields_ = (
        ("kernels", ctypes.c_void_p * 2**OPERANDS),  # by the operands that are single elements
        ("calls", ctypes.c_int32 * 2**OPERANDS),  # that would have had a kernel
        ("run", ctypes.c_void_p),  # a Python function of arrays
        ("dtype", ctypes.c_void_p),  # of the result
        ("descr", ctypes.c_void_p),  # NumPy's
        ("itemsize", ctypes.c_int64),
        ("itemsizes", ctypes.c_int64 * OPERANDS),  # of the operands
        ("limit", ctypes.c_int64),  # more elements than these are left to Python, which splits them
        ("numbers", ctypes.c_int8 * OPERANDS),  # what a Python number becomes; 0: it is a tensor
        ("native", ctypes.c_int8),  # whether there are kernels
        ("casts", ctypes.c_int8),  # whether operands are cast first
        # of the dtypes that they are cast to; null: as they are
        ("names", ctypes.c_void_p * OPERANDS),
        ("taped", ctypes.c_int8),  # whether results can have a gradient
        ("reads", ctypes.c_int64),  # operands whose values the gradient reads, as a mask
        ("reads_out", ctypes.c_int64),
    )


OFFSETS = {f"PLAN_{name.upper()}": getattr(Record, name).offset for name, _ in Record._fields_}


class Kept:
    """A record and all that it points to."""

    def __init__(self, prim: Prim, plan: Any) -> None:
        self.prim = prim
        self.plan = plan
        self.kernels: dict[int, Any] = {}
        self.record = record = Record()
        self.address = ctypes.addressof(record)
        record.native = has_kernel(prim, plan.operands)
        record.limit = 2**62
        record.run = id(plan.run)
        record.dtype = id(plan.dtype)
        record.descr, record.itemsize = id(plan.dtype.numpy), plan.dtype.itemsize
        record.taped = prim.vjp_rule is not None and plan.dtype.is_inexact
        record.reads_out = prim.reads_out
        for i, (dtype, number) in enumerate(zip(plan.operands, plan.scalars, strict=True)):
            record.numbers[i] = NUMBERS.get(dtype.name, 127) if number is not None else 0
            record.itemsizes[i] = dtype.itemsize
            if plan.casts is not None and plan.casts[i] is not None:
                record.casts, record.names[i] = True, id(plan.casts[i])
            record.reads |= prim.saves(i) << i

    def grow(self, mask: int) -> None:
        """Makes a kernel and enters it."""
        operands = self.plan.operands
        if not self.record.native or mask in self.kernels:
            return
        alone = tuple(bool(mask >> i & 1) for i in range(len(operands)))
        try:
            kernel = elementwise_kernel(self.prim, operands, {}, alone)
        except (Unsupported, RuntimeError):
            self.record.native = False
            return
        self.kernels[mask] = kernel
        self.record.limit = kernel.split
        self.record.kernels[mask] = kernel.machine.addresses["flat"]


_records: dict[int, Kept] = {}  # by address; records are never freed, so no address comes twice


def enter(prim: Prim, key: int, plan: Any) -> None:
    """Enters a plan in the table of its op."""
    if plan is None or len(plan.operands) > OPERANDS:
        return
    table = getattr(prim, "table", None)
    if table is None:
        table = prim.table = np.zeros(32 ** len(plan.operands), dtype=np.uintp)
    if key < len(table):
        kept = Kept(prim, plan)
        _records[kept.address] = kept
        table[key] = kept.address


def forget() -> None:
    """Empties all tables: what plans depended on has changed."""
    for prim in REGISTRY.values():
        prim.recipes.clear()
        table = getattr(prim, "table", None)
        if table is not None:
            table[:] = 0


def grow(address: int, mask: int) -> None:
    """A plan was used often, with single elements where `mask` says so: has its kernel made, beside the caller."""
    kept = _records[address]
    aside(lambda: kept.grow(mask))

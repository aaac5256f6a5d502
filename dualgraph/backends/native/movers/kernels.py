"""Kernels: functions in LLVM IR, compiled when first needed, over pointers and int64 numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import numpy as np

from .. import ir
from ..addresses import address_of as address_of_array
from ..contract.code import Writer, i64
from ..emit.parts import I64, PTR, VOID
from ..jit import Machine, jit
from ..team.room import Room, in_order, open_room
from ..team.spots import Late, NotNative, Ref, Spot
from ..team.team import team
from ..threads import pool

LANES = 16
PARALLEL_BYTES = 1 << 22  # memory touched from which a second thread is worth waking
TYPES = {
    "h": ir.HalfType(), "f": ir.FloatType(), "d": ir.DoubleType(), "b": ir.IntType(8), "i": ir.IntType(32),
    "l": ir.IntType(64),
}  # fmt: skip
SIZE = {"h": 2, "f": 4, "d": 8, "b": 1, "i": 4, "l": 8}
FLOATING = "hfd"
BITS = {1: ir.IntType(8), 2: ir.IntType(16), 4: ir.IntType(32), 8: ir.IntType(64)}


class Mover:
    """A kernel whose machine code is on its way: as a ``function``, which waits for it, and for native programs."""

    def __init__(self, machine: Machine, signature: Any) -> None:
        self.machine = machine
        self._signature = signature

    @cached_property
    def function(self) -> Any:
        """What Python calls."""
        return self._signature(self.machine.addresses["mover"])


def kernel(
    pointers: int, numbers: int, nested: bool = False
) -> Callable[[Callable[..., None]], Callable[..., Any]]:
    """Decorator: ``emit(w, *how)`` writes the body of a function of so many arguments; made into
    ``get(*how)``, which gives its `Mover`.

    The last numbers are where it begins and ends; one of two `nested` loops has those of the outer one before, and may
    be shared out by either.
    """
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers, *[ctypes.c_int64] * numbers)

    def wrap(emit: Callable[..., None]) -> Callable[..., Any]:
        @cache
        def get(*how: Any) -> Mover:
            def text() -> str:
                module = ir.Module(name=emit.__name__)
                w = Writer(module, "mover", (*[PTR] * pointers, *[I64] * numbers))
                emit(w, *how)
                w.b.ret_void()
                for after in behind:
                    _emit_block(w, pointers, numbers, after)
                return str(module)

            behind = () if numbers < 2 else (0, 2) if nested else (0,)
            name = f"{emit.__module__}.{emit.__name__}{how!r}"
            symbols = ("mover", *(f"block{after}" for after in behind))
            return Mover(jit().compile(name, symbols, text), signature)

        return get

    return wrap


def _emit_block(w: Writer, pointers: int, numbers: int, after: int) -> None:
    """``block<after>(words, scratch, begin, end)``: the other arguments, of which `after` come last, are words."""
    fn = ir.Function(w.module, ir.FunctionType(VOID, [PTR, PTR, I64, I64]), f"block{after}")
    fn.attributes |= {"noinline", "optnone"}  # little time in LLVM, for what a call does once
    b = ir.IRBuilder(fn.append_basic_block())
    words, _, begin, end = fn.args
    kinds = [*[PTR] * pointers, *[I64] * (numbers - 2)]
    own = [b.load(b.gep(words, [i64(i)], source_etype=I64), typ=t) for i, t in enumerate(kinds)]
    at = len(own) - after
    b.call(w.fn, [*own[:at], begin, end, *own[at:]])
    b.ret_void()


def address_of(x: Any) -> Any:
    """Where the first element of an array lies, or of a spot."""
    return x.at if type(x) is Spot else address_of_array(x)


def element_code(dtype: Any, narrow: bool = False) -> str | None:
    """The key in TYPES of a NumPy dtype that can be computed with; None if it cannot.

    `narrow`: float16, and uint8 by words that ask for no sign, too.
    """
    code = {"f4": "f", "f8": "d", "i4": "i", "i8": "l"}.get(dtype.str[1:])
    if narrow and code is None:
        code = {"f2": "h", "u1": "b"}.get(dtype.str[1:])
    return code if dtype.isnative else None


def dense(*arrays: Any) -> bool:
    """Whether all are row-major NumPy arrays."""
    return all(type(a) in (np.ndarray, Spot) and a.flags.c_contiguous for a in arrays)


def share(
    call: Mover, fixed: tuple[Any, ...], extent: int, nbytes: int, grain: int = 1, after: tuple[int, ...] = (),
    spots: tuple[tuple[Any, ...], tuple[Any, ...]] | None = None, keep: Any = None,
) -> None:  # fmt: skip
    """``call(*fixed, begin, end, *after)`` over ``range(extent)``; by several threads if it touches much memory.

    `spots`: operands and results, which may be spots of a program being written; `keep` holds tables.
    """
    if spots is not None and any(type(s) is Spot for s in spots[1]):
        _write(call, (*fixed, *after), len(after), extent, nbytes, grain, spots, keep)
    elif nbytes < PARALLEL_BYTES or pool.size == 1:
        call.function(*fixed, 0, extent, *after)
    else:
        address = call.machine.addresses[f"block{len(after)}"]
        team().share(address, (*fixed, *after), extent, grain)


def _write(
    call: Mover, words: tuple[Any, ...], after: int, extent: int, nbytes: int, grain: int,
    spots: tuple[tuple[Any, ...], tuple[Any, ...]], keep: Any,
) -> None:  # fmt: skip
    """As `share`, written into the program that is open."""
    room: Room = open_room()
    reads, writes = ([s for s in group if type(s) is Spot] for group in spots)
    if not all(isinstance(x, int | Ref) for x in words):
        raise NotNative("an argument that is no address and no number")
    address = Late(call.machine, f"block{after}")
    held = keep, call.machine, [s for s in spots[0] if type(s) is not Spot]
    room.run(address, words, extent, reads, writes, grain, 0, nbytes // 4, held)


__all__ = [
    "BITS",
    "FLOATING",
    "LANES",
    "SIZE",
    "TYPES",
    "address_of",
    "dense",
    "element_code",
    "in_order",
    "kernel",
    "share",
]

"""Native kernels: compiled loop IR with a foreign call in front of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from .emit_llvm import emit
from .jit import jit
from .loop_ir import Kernel, Size, Unsupported

RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
NEST = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class NativeKernel:
    """A compiled kernel. Its buffers are the inputs, then the outputs, in the order of the body.

    An output may share memory with an input where both are read and written at the same places.
    Calls release the interpreter lock; any number may run at once.
    """

    def __init__(self, kernel: Kernel) -> None:
        compiler = jit()
        code = emit(kernel, has_fma=compiler.has_fma)
        names = tuple(f"nest{k}" for k in range(len(kernel.nests)))
        try:
            self.machine = compiler.compile(code.text, ("run", *names))
        except RuntimeError as error:
            raise Unsupported(f"LLVM refused the kernel: {error}") from error
        self.kernel = kernel
        self.text = code.text
        self.scratch = code.scratch
        self.call = RUN(self.machine.addresses["run"])
        self.nests = tuple(NEST(self.machine.addresses[name]) for name in names)

    @property
    def extents(self) -> tuple[int | None, ...]:
        """Turns of each nest's parallel loop, None where known only at the call."""
        return tuple(_extent(nest.parallel.axes) for nest in self.kernel.nests)

    @property
    def in_elements(self) -> tuple[bool, ...]:
        """Whether a turn of the nest's parallel loop is one element (else a row of them)."""
        return tuple(n.parallel.vector and bool(n.parallel.axes) for n in self.kernel.nests)

    def assembly(self) -> str:
        """The machine's assembly language, to read."""
        return jit().disassemble(self.text)

    def pointers(self, addresses: Sequence[int]) -> Any:
        """The argument block for buffers at these addresses, with scratch memory of its own."""
        block = (ctypes.c_void_p * (len(addresses) + 1))(*addresses)
        if self.scratch:
            block.memory = np.empty(self.scratch, dtype=np.uint8)  # type: ignore[attr-defined]
            block[len(addresses)] = block.memory.ctypes.data  # type: ignore[attr-defined]
        return block

    def run(self, in_arrays: Sequence[Any], out_arrays: Sequence[Any]) -> None:
        """Runs on arrays that lie as the kernel was compiled for, outputs C-contiguous."""
        self.call(self.pointers([a.ctypes.data for a in (*in_arrays, *out_arrays)]), None)

    def bind_pointers(self, pointers: Sequence[int]) -> Callable[[], None]:
        """A call without arguments on buffers at fixed addresses; the caller keeps them alive."""
        block = self.pointers(pointers)
        call, address = self.call, ctypes.addressof(block)

        def bound() -> None:
            call(address, None)

        bound.block = block  # type: ignore[attr-defined]
        bound.kernel = self  # type: ignore[attr-defined]
        return bound


def _extent(axes: Sequence[Any]) -> int | None:
    return None if any(isinstance(a.extent, Size) for a in axes) else prod(a.extent for a in axes)

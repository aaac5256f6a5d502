"""Generators: threads that turn LLVM modules into object code, beside the caller and beside each other.

Such a thread holds the interpreter lock as little as can be: a caller busy with Python would keep it waiting.
It makes one foreign call a module; all else is the caller's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm

from ...core.workers import Job, Workers

THREADS = 4  # at most


class Generators:
    """Code generators for one target, each with a target machine made by `machine`."""

    def __init__(self, machine: Callable[[], Any]) -> None:
        self._machine = machine
        self._local = threading.local()
        self._workers = Workers("dualgraph-codegen", min(THREADS, os.cpu_count() or 1))

    def start(self, text: str) -> Job[Any]:
        """Begins to make object code of IR text; `finished` gives it. Raises RuntimeError for bad IR."""
        module = llvm.parse_assembly(text, context=llvm.create_context())
        return self._workers.submit(lambda: self._generate(module))

    def _generate(self, module: Any) -> Any:
        """A memory buffer of LLVM's, or the object code itself."""
        local = self._local
        if not hasattr(local, "machine"):
            local.machine = self._machine()
        emit = getattr(llvm.ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
        if emit is None:
            return bytes(local.machine.emit_object(module))
        # llvmlite's wrapper runs one call at a time; machines and contexts of their own need no lock.
        problem = ctypes.c_char_p()
        buffer = emit(local.machine, module, 1, ctypes.byref(problem))
        if not buffer:
            raise RuntimeError((problem.value or b"no object code").decode(errors="replace"))
        return module, buffer


def finished(made: Any) -> bytes:
    """The object code that a generator has made."""
    if isinstance(made, bytes):
        return made
    lib, buffer = llvm.ffi.lib, made[1]
    start, size = lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer)
    try:
        return ctypes.string_at(start, size)
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(buffer)

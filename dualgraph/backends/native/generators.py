"""Generators: LLVM itself - modules into object code, beside the caller and beside each other, and what else it does.

Importing this module loads LLVM. A thread that generates code holds the interpreter lock as little as can be: a
caller busy with Python would keep it waiting. It makes one foreign call a module; all else is the caller's.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from ...core.process import forks
from ...core.process.turns import modest
from ...core.process.workers import Job, Workers, at_last
from .host import Host
from .ir.values import COLD

THREADS = 4  # at most
OPTIMISE = 2  # of the code generator alone; no IR passes run
PLAIN = 0  # of modules that are cold
LONG = 100_000  # characters from which a module waits for others of its kind: calls may wait for the short ones
# LLVM's passes that make registers of locals on the stack, in functions and then in those called in place; any more
# take many times as long.
TIDY = "sroa", "simplify_cfg", "always_inliner", "sroa", "instruction_combine", "simplify_cfg"
LOCK = getattr(llvm.ffi.lib, "_lock", None)  # llvmlite's; whoever drops a module holds it


class _Inside:
    """Entered around long calls of LLVM, which do not take llvmlite's lock. Once the interpreter ends, nobody but the
    main thread comes into LLVM any more, here or with that lock: what LLVM needs is gone soon, and a daemon thread
    that came out of it then would end with the lock held, for which the main thread waits where it drops modules."""

    def __init__(self) -> None:
        self._forget()
        self._last = 0  # the thread that alone may enter
        forks.forget(self._forget)
        at_last(self._end)

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._last in (0, threading.get_ident()))
            self._count += 1

    def __exit__(self, *_: Any) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._last = threading.get_ident()
            self._changed.wait_for(lambda: not self._count)
        if LOCK is not None:
            LOCK.__enter__()  # for good


_inside = _Inside()
if LOCK is not None:
    forks.free(LOCK)


class Generators:
    """LLVM's code generators for one host."""

    def __init__(self, host: Host) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._host = host
        self._local = threading.local()
        self._workers = Workers("dualgraph-codegen", min(THREADS, os.cpu_count() or 1))
        self._apart = Workers("dualgraph-codegen-long", 1)
        self._lock = forks.lock()
        self._names = itertools.count()
        self._linker: Any = None

    def target_machine(self, effort: int = OPTIMISE) -> Any:
        """A code generator of LLVM's; for one thread at a time."""
        target = llvm.Target.from_default_triple()
        return target.create_target_machine(
            cpu=self._host.cpu,
            features=self._host.features,
            opt=effort,
            reloc="pic",
            codemodel="small",
            jit=True,
        )

    def start(self, text: str) -> Job[Any]:
        """Begins to make object code of IR text; `finished` gives it. Raises RuntimeError for bad IR."""
        workers = self._workers if len(text) < LONG else self._apart
        workers.check()
        module = llvm.parse_assembly(text, context=llvm.create_context())
        effort = PLAIN if text.startswith(COLD) else OPTIMISE
        return workers.submit(lambda: self._generate(module, effort))

    def _generate(self, module: Any, effort: int) -> Any:
        """A memory buffer of LLVM's, or the object code itself."""
        machines = self._local.__dict__  # by effort
        if not machines:
            modest()
        machine = machines.get(effort) or machines.setdefault(effort, self.target_machine(effort))
        emit = getattr(llvm.ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
        if emit is None:
            return bytes(machine.emit_object(module))
        # llvmlite's wrapper runs one call at a time; machines and contexts of their own need no lock.
        problem = ctypes.c_char_p()
        with _inside:
            buffer = emit(machine, module, 1, ctypes.byref(problem))
        if not buffer:
            raise RuntimeError((problem.value or b"no object code").decode(errors="replace"))
        return module, buffer

    def link(self, code: bytes, symbols: tuple[str, ...]) -> tuple[Any, dict[str, int]]:
        """Loads object code: what keeps it loaded, and the addresses of its functions."""
        with self._lock:
            if self._linker is None:
                self._linker = llvm.create_lljit_compiler(self.target_machine())
            library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
            for symbol in symbols:
                library.export_symbol(symbol)
            tracker = library.link(self._linker, f"kernel{next(self._names)}")
            return tracker, {s: tracker[s] for s in symbols}

    def disassemble(self, text: str) -> str:
        """The machine's assembly language for IR text, to read."""
        return str(self.target_machine().emit_assembly(llvm.parse_assembly(text)))

    def tidied(self, text: str) -> str:
        """IR text after the passes that code needs whose locals lie on the stack."""
        module = llvm.parse_assembly(text, context=llvm.create_context())
        tuning = llvm.create_pipeline_tuning_options(speed_level=1)
        builder = llvm.create_pass_builder(self.target_machine(), tuning)
        manager = llvm.create_new_module_pass_manager()
        add = [getattr(manager, f"add_{name}_pass", None) for name in TIDY]
        for each in add if None not in add else ():
            each()
        if None in add:  # not in this llvmlite
            manager = builder.getModulePassManager()
        run = getattr(llvm.ffi.lib.LLVMPY_RunNewModulePassManager, "_cfn", None)
        if run is None:
            manager.run(module, builder)
        else:  # takes longest of all; as in `_generate`, others need not wait for it
            with _inside:
                run(manager, module, builder)
        return str(module)


def asked() -> Host:
    """This machine, as LLVM sees it."""
    makers = f"{llvmlite.__version__}|{'.'.join(map(str, llvm.llvm_version_info))}"
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell for this processor
        return Host(makers, llvm.get_host_cpu_name(), "", False)
    wide = ",-prefer-256-bit" if features.get("avx512f") else ""
    has_fma = bool(features.get("fma") or features.get("neon"))
    return Host(makers, llvm.get_host_cpu_name(), features.flatten() + wide, has_fma)


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

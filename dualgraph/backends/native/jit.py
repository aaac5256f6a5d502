"""JIT: LLVM IR text becomes machine code in this process."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from . import disk_cache

OPTIMISE = 2  # of the code generator alone; no IR passes run


class Jit:
    """The process's JIT: one code generator, and a cache of what was compiled, by IR text."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.lock = threading.Lock()
        self.cache: dict[str, Machine] = {}
        self.cpu, self.features, self.has_fma = _target()
        self.machine = self._machine()
        self._names = itertools.count()
        self._linker = llvm.create_lljit_compiler(self._machine())

    def _machine(self) -> Any:
        target = llvm.Target.from_default_triple()
        return target.create_target_machine(
            cpu=self.cpu,
            features=self.features,
            opt=OPTIMISE,
            reloc="pic",
            codemodel="small",
            jit=True,
        )

    @cached_property
    def tag(self) -> str:
        """What object code depends on besides the IR."""
        version = ".".join(map(str, llvm.llvm_version_info))
        return f"{llvmlite.__version__}|{version}|{self.cpu}|{self.features}|{OPTIMISE}"

    def compile(
        self, text: str, symbols: tuple[str, ...], source: Callable[[], str] | None = None
    ) -> Machine:
        """Machine code of IR text; compiled once for equal text.

        With `source`, `text` is a name that says all the IR depends on, and `source` makes the IR where no
        object code is kept under that name.
        """
        with self.lock:
            found = self.cache.get(text)
            if found is None:
                found = self.cache[text] = self._compile(text, symbols, source)
            return found

    def _compile(
        self, text: str, symbols: tuple[str, ...], source: Callable[[], str] | None
    ) -> Machine:
        key = disk_cache.key(text, self.tag)
        code = disk_cache.read(key)
        if code is None:
            code = self.assemble(source() if source else text)
            disk_cache.write(key, code)
        library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol in symbols:
            library.export_symbol(symbol)
        tracker = library.link(self._linker, f"kernel{next(self._names)}")
        return Machine(tracker, {s: tracker[s] for s in symbols})

    def assemble(self, text: str) -> bytes:
        """Object code of IR text."""
        return bytes(self.machine.emit_object(llvm.parse_assembly(text)))

    def disassemble(self, text: str) -> str:
        """The machine's assembly language for IR text, to read."""
        return str(self.machine.emit_assembly(llvm.parse_assembly(text)))


def _target() -> tuple[str, str, bool]:
    """CPU name, features, and whether it has a fused multiply-add: the host, or the level in ``DUALGRAPH_CPU``.

    A level (``x86-64``, ``x86-64-v2``, ``-v3``, ``-v4``) makes code for older machines; its bits are the same.
    """
    level = os.environ.get("DUALGRAPH_CPU")
    if level:
        return level, "", level in ("x86-64-v3", "x86-64-v4")
    features = llvm.get_host_cpu_features()
    wide = ",-prefer-256-bit" if features.get("avx512f") else ""
    has_fma = bool(features.get("fma") or features.get("neon"))
    return llvm.get_host_cpu_name(), features.flatten() + wide, has_fma


class Machine:
    """Loaded machine code: addresses of its functions, valid while it lives."""

    __slots__ = ("addresses", "tracker")

    def __init__(self, tracker: Any, addresses: dict[str, int]) -> None:
        self.tracker = tracker
        self.addresses = addresses


_lock = threading.Lock()
_jit: list[Jit] = []


def jit() -> Jit:
    """The process's JIT, made when first needed."""
    if not _jit:
        with _lock:
            if not _jit:
                _jit.append(Jit())
    return _jit[0]

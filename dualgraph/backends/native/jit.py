"""JIT: LLVM IR text becomes machine code in this process."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm

from ...core.interrupts import Unbroken
from . import disk_cache
from .aside import aside
from .generators import Generators, finished
from .version import version

if TYPE_CHECKING:
    from ...core.workers import Job

OPTIMISE = 2  # of the code generator alone; no IR passes run


class Jit:
    """The process's JIT: code generators, and a cache of what was compiled, by IR text or name."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.lock = threading.Lock()
        self.cache: dict[str, Machine] = {}
        self.cpu, self.features, self.has_fma = _target()
        self.generators = Generators(self.target_machine)
        self._names = itertools.count()
        self._linker = llvm.create_lljit_compiler(self.target_machine())

    def target_machine(self) -> Any:
        """A code generator of LLVM's; for one thread at a time."""
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
    def has_avx512(self) -> bool:
        """Whether there are registers of 512 bits."""
        needed = {"+avx512f", "+avx512vl", "+avx512dq"}
        return self.cpu == "x86-64-v4" or needed <= set(self.features.split(","))

    @cached_property
    def tag(self) -> str:
        """What object code depends on besides the IR."""
        version = ".".join(map(str, llvm.llvm_version_info))
        return f"{llvmlite.__version__}|{version}|{self.cpu}|{self.features}|{OPTIMISE}"

    def compile(
        self, text: str, symbols: tuple[str, ...], source: Callable[[], str] | None = None
    ) -> Machine:
        """Machine code of IR text; compiled once for equal text, beside the caller until it is asked for addresses.

        With `source`, `text` is a name that says all the IR depends on besides the code that writes it, and
        `source` makes the IR where no object code is kept under that name.
        """
        if source is not None:
            text, source = (f"{version()} {text}", source) if version() else (source(), None)
        machine = self.cache.get(text)
        if machine is None:
            machine = self.cache.setdefault(text, Machine(self, text, symbols, source))
            machine.start()
        return machine

    def assemble(self, text: str) -> Job[Any]:
        """Object code of IR text, on its way; `finished` takes it out."""
        return self.generators.start(text)

    def link(self, code: bytes, symbols: tuple[str, ...]) -> tuple[Any, dict[str, int]]:
        """Loads object code: what keeps it loaded, and the addresses of its functions."""
        with self.lock:
            library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
            for symbol in symbols:
                library.export_symbol(symbol)
            tracker = library.link(self._linker, f"kernel{next(self._names)}")
            return tracker, {s: tracker[s] for s in symbols}

    def disassemble(self, text: str) -> str:
        """The machine's assembly language for IR text, to read."""
        return str(self.target_machine().emit_assembly(llvm.parse_assembly(text)))


def _target() -> tuple[str, str, bool]:
    """CPU name, features, and whether it has a fused multiply-add: the host, or the level in ``DUALGRAPH_CPU``.

    A level (``x86-64``, ``x86-64-v2``, ``-v3``, ``-v4``) makes code for older machines; its bits are the same.
    """
    level = os.environ.get("DUALGRAPH_CPU")
    if level:
        return level, "", level in ("x86-64-v3", "x86-64-v4")
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell for this processor
        return llvm.get_host_cpu_name(), "", False
    wide = ",-prefer-256-bit" if features.get("avx512f") else ""
    has_fma = bool(features.get("fma") or features.get("neon"))
    return llvm.get_host_cpu_name(), features.flatten() + wide, has_fma


class Machine:
    """Machine code, compiled and loaded when first needed: addresses of its functions, valid while it lives."""

    __slots__ = ("_addresses", "_code", "_jit", "_lock", "_source", "_symbols", "_text", "tracker")

    def __init__(
        self, jit: Jit, text: str, symbols: tuple[str, ...], source: Callable[[], str] | None
    ) -> None:
        self._jit = jit
        self._text = text
        self._symbols = symbols
        self._source = source
        self._lock = threading.Lock()
        self._code: bytes | Job[Any] | None = None
        self._addresses: dict[str, int] | None = None
        self.tracker: Any = None

    def start(self) -> None:
        """Finds the object code on disk, or begins to make it."""
        with Unbroken(), self._lock:  # an interrupt would leave LLVM's lock locked for good
            self._start()

    def _start(self) -> bytes | Job[Any]:
        if self._code is None:
            code = disk_cache.read(self._key())
            text = self._text
            if code is None and self._source is not None:
                text = self._source()
            self._code = self._jit.assemble(text) if code is None else code
        return self._code

    def _key(self) -> str:
        return disk_cache.key(self._text, self._jit.tag)

    @property
    def addresses(self) -> dict[str, int]:
        """The address of each function; waits for the code. Raises RuntimeError if LLVM refuses the IR."""
        if self._addresses is None:
            with Unbroken(), self._lock:
                if self._addresses is None:
                    self._load()
        return self._addresses  # type: ignore[return-value]

    def _load(self) -> None:
        code = self._start()
        if not isinstance(code, bytes):
            code = self._code = finished(code.result())
            key, made = self._key(), code
            aside(lambda: disk_cache.write(key, made))
        self.tracker, self._addresses = self._jit.link(code, self._symbols)
        self._code, self._source = b"", None  # needed no more


_lock = threading.Lock()
_jit: list[Jit] = []


def jit() -> Jit:
    """The process's JIT, made when first needed."""
    if not _jit:
        with Unbroken(), _lock:
            if not _jit:
                _jit.append(Jit())
    return _jit[0]

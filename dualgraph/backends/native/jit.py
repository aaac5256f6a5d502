"""JIT: LLVM IR text becomes machine code in this process. LLVM is loaded once some code is not on disk."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ...core.process import forks
from ...core.process.interrupts import Unbroken
from ...core.process.workers import Job, check_ending
from . import disk_cache
from .aside import aside
from .awaited import Unmade, waits
from .host import host
from .loader import load
from .version import version

ENOUGH = 4  # callers that would do without code, until it is made


class Jit:
    """The process's JIT: code generators, and a cache of what was compiled, by IR text or name."""

    def __init__(self) -> None:
        self.cache: dict[str, Machine] = {}
        self.host = host()
        self.cpu, self.features, self.has_fma = self.host[1:]
        self.has_avx512 = self.host.has_avx512
        self.tag = "|".join(self.host[:3])  # what object code depends on besides the IR
        self._lock = forks.lock()

    @cached_property
    def _module(self) -> Any:
        return importlib.import_module(".generators", __package__)

    @cached_property
    def llvm(self) -> Any:
        """LLVM's code generators (`generators.Generators`), loaded now."""
        module = self._module
        with self._lock:
            return self.__dict__.get("llvm") or module.Generators(self.host)

    def compile(
        self, text: str, symbols: tuple[str, ...], source: Callable[[], str] | None = None
    ) -> Machine:
        """Machine code of IR text; compiled once for equal text, beside the caller until it is asked for addresses.

        With `source`, `text` is a name that says all the IR depends on besides the code that writes it, and
        `source` makes the IR where no object code is kept under that name. Raises Unmade where the caller does without.
        """
        check_ending()
        if source is not None:
            text, source = (f"{version()} {text}", source) if version() else (source(), None)
        machine = self.cache.get(text)
        if machine is None:
            machine = self.cache.setdefault(text, Machine(self, text, symbols, source))
        if not machine.begun:
            machine.ask()
        return machine

    def make_all(self) -> None:
        """Begins to make the code that was asked for and left unmade: for later calls, and for other processes."""
        for machine in list(self.cache.values()):
            check_ending()
            if not machine.begun:
                machine.start()

    def assemble(self, text: str) -> Job[Any]:
        """Object code of IR text, on its way; `finished` takes it out."""
        job: Job[Any] = self.llvm.start(text)
        return job

    def finished(self, job: Job[Any]) -> bytes:
        """The object code that `assemble` has begun; waits for it."""
        code: bytes = self._module.finished(job.result())
        return code

    def link(self, code: bytes, symbols: tuple[str, ...]) -> tuple[Any, dict[str, int]]:
        """Loads object code: what keeps it loaded, and the addresses of its functions."""
        found: tuple[Any, dict[str, int]] = load(code, symbols) or self.llvm.link(code, symbols)
        return found

    def disassemble(self, text: str) -> str:
        """The machine's assembly language for IR text, to read."""
        return str(self.llvm.disassemble(text))


class Machine:
    """Machine code, compiled and loaded when first needed: addresses of its functions, valid while it lives."""

    __slots__ = (
        "_addresses", "_asked", "_code", "_jit", "_lock", "_source", "_symbols", "_text", "begun", "tracker",
    )  # fmt: skip

    def __init__(
        self, jit: Jit, text: str, symbols: tuple[str, ...], source: Callable[[], str] | None
    ) -> None:
        self._jit = jit
        self._text = text
        self._symbols = symbols
        self._source = source
        self._lock = forks.lock()
        self._code: bytes | Job[Any] | None = None
        self._addresses: dict[str, int] | None = None
        self._asked = 0
        self.begun = False
        self.tracker: Any = None

    def ask(self) -> None:
        """Begins as `start` does; but for callers that do not wait, code that is not on disk is left unmade until some
        have asked."""
        if not waits() and self._asked < ENOUGH:
            with Unbroken(), self._lock:
                if not self._asked:
                    self._code = self._code or disk_cache.read(self._key())
                self._asked += 1
            if self._code is None:
                raise Unmade
        self.start()

    def start(self) -> None:
        """Finds the object code on disk, or begins to make it."""
        with Unbroken(), self._lock:  # an interrupt would leave LLVM's lock locked for good
            begun, self.begun = self.begun, True
            found = begun or isinstance(self._start(), bytes)
        if not found:
            aside(self._keep)  # not under the lock: when the interpreter ends it is done at once

    def _start(self) -> bytes | Job[Any]:
        """The object code if it is on disk or made already, else the job that makes it."""
        if self._code is None:
            code = disk_cache.read(self._key())
            text = self._text
            if code is None and self._source is not None:
                text = self._source()
            self._code = self._jit.assemble(text) if code is None else code
        return self._code

    def _keep(self) -> None:
        """Sees to it that the code gets on disk, even if nobody asks for it in this process."""
        with Unbroken(), self._lock:
            if self._addresses is None:
                self._finished()

    def _finished(self) -> bytes:
        """The object code, waited for and sent to the disk."""
        code = self._start()
        if isinstance(code, bytes):
            return code
        made = self._code = self._jit.finished(code)
        key = self._key()
        aside(lambda: disk_cache.write(key, made))
        return made

    def _key(self) -> str:
        return disk_cache.key(self._text, self._jit.tag)

    @property
    def addresses(self) -> dict[str, int]:
        """The address of each function; waits for the code. Raises RuntimeError if LLVM refuses the IR, and Unmade
        where the caller does not wait."""
        if self._addresses is None:
            if not waits() and not self._made():
                raise Unmade
            with Unbroken(), self._lock:
                if self._addresses is None:
                    self._load()
        return self._addresses  # type: ignore[return-value]

    def _made(self) -> bool:
        """Whether there is nothing to wait for."""
        code = self._code
        return isinstance(code, bytes) or (code is not None and code.done)

    def _load(self) -> None:
        self.tracker, self._addresses = self._jit.link(self._finished(), self._symbols)
        self._code, self._source = b"", None  # needed no more


_lock = forks.lock()
_jit: list[Jit] = []


def jit() -> Jit:
    """The process's JIT, made when first needed."""
    if not _jit:
        with Unbroken(), _lock:
            if not _jit:
                _jit.append(Jit())
    return _jit[0]

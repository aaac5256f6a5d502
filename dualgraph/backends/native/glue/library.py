"""Libraries of glue: functions compiled together, and put before Python as builtins and methods."""

from __future__ import annotations

import ast
import ctypes
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ....core.process.forever import forever
from ..jit import Machine, jit
from ..version import version
from . import capi
from .capi import NAMES, TABLE, GlueError

FASTCALL, KEYWORDS, NOARGS, ONE = 0x80, 0x02, 0x04, 0x08  # how CPython calls a C function
_NAMED = re.compile(r"\b([co]\.\w+)")


def possible() -> bool:
    """Whether this interpreter is one that glue is made for: CPython with its lock, 64 bits."""
    if sys.implementation.name != "cpython" or sys.maxsize < 2**32:
        return False
    locked: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return locked() and hasattr(ctypes, "pythonapi")


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Library:
    """Glue functions that are compiled together.

    Given: modules of glue functions (all that stand at the margin), by name, and text with more; the `entries`, which
    are the functions that Python asks for; the objects that ``o.NAME`` means and the numbers that ``n.NAME`` means.
    Everything that C comes to point to is kept alive for good.
    Object code is kept in the disk cache; where it is there, no source is read.
    Raises AttributeError where this interpreter lacks a C function that is called, GlueError for text that is not
    in the language.
    """

    def __init__(
        self, modules: Sequence[str] = (), text: str = "", *, entries: Sequence[str],
        objects: Mapping[str, Any] | None = None, numbers: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.modules, self.text, self.entries = tuple(modules), text, tuple(entries)
        self.objects = dict(objects or {})
        self.numbers = dict(numbers or {})
        symbols = (TABLE, NAMES, *self.entries)
        # A machine of its own, not one by text from the JIT: its table is this library's alone.
        self.machine = (
            Machine(jit(), f"{version()} {self._name()}", symbols, self._translated)
            if version()
            else Machine(jit(), self._translated(), symbols, None)
        )
        names = ctypes.string_at(self.address(NAMES)).decode().split()
        table = (ctypes.c_void_p * len(names)).from_address(self.address(TABLE))
        for i, name in enumerate(names):
            table[i] = self._value(name)
        _kept.append(self)

    def address(self, name: str) -> int:
        """Where an entry is."""
        return self.machine.addresses[name]

    def builtin(
        self, name: str, function: str, flags: int = FASTCALL, doc: str = "", self_: Any = None
    ) -> Any:
        """A builtin function; C sees `self_` as its first argument."""
        make = ctypes.pythonapi.PyCMethod_New
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        given = None if self_ is None else id(self_)
        _kept.append(self_)
        return make(self._definition(name, function, flags, doc), given, None, None)

    def method(
        self, owner: type, name: str, function: str, flags: int = FASTCALL, doc: str = ""
    ) -> Any:
        """A method descriptor of a class; C sees the object it is called on as its first argument."""
        make = ctypes.pythonapi.PyDescr_NewMethod
        make.restype, make.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
        return make(owner, self._definition(name, function, flags, doc))

    def _definition(self, name: str, function: str, flags: int, doc: str) -> int:
        made = _MethodDef(
            name.encode(), self.address(function), flags, doc.encode() if doc else None
        )
        _kept.append(made)
        return ctypes.addressof(made)

    def _known(self, name: str) -> bool:
        kind, _, rest = name.partition(".")
        return rest in self.objects if kind == "o" else capi.listed(rest)

    def _value(self, name: str) -> int:
        kind, _, rest = name.partition(".")
        return id(self.objects[rest]) if kind == "o" else capi.address(rest)

    def _name(self) -> str:
        """All that the code depends on besides the sources of this package."""
        known = sorted(self.objects), sorted(self.numbers.items())
        return f"glue\n{self.modules}\n{self.entries}\n{known}\n{self.text}"

    def _translated(self) -> str:
        texts = [*map(_source, self.modules), self.text]
        named = dict.fromkeys(x for text in texts for x in _NAMED.findall(text))
        table = [x for x in named if self._known(x)]
        # text by text: parsing keeps the interpreter's lock
        parsed = [s for text in texts for s in _parsed(text)]
        functions = [s for s in parsed if isinstance(s, ast.FunctionDef)]
        language = importlib.import_module(".language", __package__)
        module = language.Translation(functions, self.entries, self.numbers, table).module
        return str(jit().llvm.tidied(str(module)))


def _parsed(text: str) -> list[ast.stmt]:
    """The statements of a text. CPython 3.11 may fail where two threads parse at once, as ours and a notebook's do."""
    for _ in range(20):
        try:
            return ast.parse(text).body
        except SystemError:
            continue
    return ast.parse(text).body


def _source(module: str) -> str:
    """The source of a module, which is not imported."""
    spec = importlib.util.find_spec(module)
    found: str | None = spec.loader.get_source(module) if spec and spec.loader else None  # type: ignore[attr-defined]
    if found is None:
        raise GlueError(f"the source of {module} is not there")
    return found


_kept: list[Any] = forever([])

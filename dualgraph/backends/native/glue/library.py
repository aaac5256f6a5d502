"""Libraries of glue: functions compiled together, and put before Python as builtins and methods."""

from __future__ import annotations

import ast
import ctypes
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ....core.process.forever import forever
from ..jit import Machine, jit
from ..version import version
from . import capi
from .capi import TABLE

FASTCALL, KEYWORDS, NOARGS, ONE = 0x80, 0x02, 0x04, 0x08  # how CPython calls a C function
_NAMES = re.compile(r"\b([co]\.\w+)")
_FUNCTIONS = re.compile(r"^def (\w+)", re.MULTILINE)


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

    Given: modules or texts of glue functions (all that stand at the margin), the objects that ``o.NAME`` means
    and the numbers that ``n.NAME`` means. Everything that C comes to point to is kept alive for good.
    Object code is kept in the disk cache; where it is there, nothing is translated.
    Raises AttributeError where this interpreter lacks a C function that is called, GlueError for text that is not
    in the language.
    """

    def __init__(
        self,
        *sources: ModuleType | str,
        objects: Mapping[str, Any] | None = None,
        numbers: Mapping[str, int] | None = None,
    ) -> None:
        self.text = "\n".join(s if isinstance(s, str) else inspect.getsource(s) for s in sources)
        self.objects = dict(objects or {})
        self.numbers = dict(numbers or {})
        self.table = [x for x in dict.fromkeys(_NAMES.findall(self.text)) if self._known(x)]
        name = f"glue\n{sorted(self.numbers.items())}\n{self.table}\n{self.text}"
        symbols = (TABLE, *_FUNCTIONS.findall(self.text))
        # A machine of its own, not one by text from the JIT: its table is this library's alone.
        self.machine = (
            Machine(jit(), f"{version()} {name}", symbols, self._translated)
            if version()
            else Machine(jit(), self._translated(), symbols, None)
        )
        entries = (ctypes.c_void_p * len(self.table)).from_address(self.address(TABLE))
        for i, name in enumerate(self.table):
            entries[i] = self._value(name)
        _kept.append(self)

    def address(self, name: str) -> int:
        """Where a glue function is."""
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

    def _translated(self) -> str:
        body = ast.parse(self.text).body
        functions = [s for s in body if isinstance(s, ast.FunctionDef)]
        language = importlib.import_module(".language", __package__)
        module = language.Translation(functions, self.numbers, self.table).module
        return str(jit().llvm.optimised(str(module)))  # the language writes its locals to the stack


_kept: list[Any] = forever([])

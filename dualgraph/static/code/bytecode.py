"""Bytecode: which names a function's code mentions, writes and imports."""

from __future__ import annotations

import dis
import functools
import inspect
import re
import sys
import types
from collections.abc import Callable, Sequence, Set
from typing import Any, NamedTuple, TypeVar

ATTRIBUTE_WRITES = frozenset(("STORE_ATTR", "DELETE_ATTR"))
SHIFTED = frozenset(("LOAD_GLOBAL",)) if sys.version_info >= (3, 11) else frozenset()
KNOWN = sys.version_info < (3, 14)  # whether an instruction is a code and one byte, as read here
GENERATES = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

# What tensors tell of themselves beside their type.
UNFOLLOWED = frozenset("_version data_ptr is_leaf grad_fn".split())
REFLECTION = frozenset(
    """getattr setattr delattr hasattr vars dir globals locals __dict__ __getattribute__ attrgetter
    methodcaller""".split()
)
BUFFERS = frozenset(
    "memoryview bytes bytearray from_bytes frombuffer".split()
)  # read the memory of arrays

Found = TypeVar("Found", bound=Callable[..., Any])

_names_of = {
    code: name
    for name, code in dis.opmap.items()
    if name in ATTRIBUTE_WRITES or "GLOBAL" in name or name.endswith("_NAME")
}
_EXTENDED = dis.opmap["EXTENDED_ARG"]
_MATCHES_CLASS = dis.opmap["MATCH_CLASS"]
_FIELD = re.compile(r"\{[^{}]*\}")
_PART = re.compile(r"\.([^\W\d]\w*)")
_WANTED = re.compile(b"[" + re.escape(bytes(_names_of)) + b"]", re.DOTALL)


def kept_by_place(find: Found) -> Found:
    """Keeps what ``find(code, ...)`` gives, where that has the code itself in it.

    Code may be equal to that of another file, as of a cell that is run again; on Python 3.10, of other lines, too.
    """

    @functools.lru_cache(maxsize=4096)
    def kept(file: str, lines: bytes, *args: Any) -> Any:
        return find(*args)

    @functools.wraps(find)
    def of(code: types.CodeType, *args: Any) -> Any:
        return kept(code.co_filename, code.co_linetable, code, *args)

    return of  # type: ignore[return-value]


@kept_by_place
def codes(code: types.CodeType) -> tuple[types.CodeType, ...]:
    """A code object and those of the functions, lambdas and comprehensions inside it."""
    out = [code]
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            out.extend(codes(const))
    return tuple(out)


def generates(code: types.CodeType) -> bool:
    """Whether a call makes a generator or a coroutine, so that its code runs later."""
    return bool(code.co_flags & GENERATES)


class Names(NamedTuple):
    """What one code object mentions, those inside of it left out."""

    mentioned: frozenset[str]  # with strings that could be names
    written: frozenset[str]  # attributes
    imported: tuple[str, ...]  # modules
    variables: frozenset[str]  # global ones


@functools.lru_cache(maxsize=4096)
def code_names(code: types.CodeType) -> Names:
    """The names that code mentions."""
    return _sorted(_named(code), _uses(code))


def _named(code: types.CodeType) -> set[str]:
    named = set(code.co_names)
    tuples = False
    for const in code.co_consts:
        kind = type(const)
        if kind is str:
            if const.isidentifier():
                named.add(const)
            elif "{" in const:
                named |= names_in_text(const)
        elif kind is bytes:  # whose methods read memory
            named.add("bytes")
        elif kind is tuple:
            tuples = True
    # The bytes are copied when they are asked for, and a pattern of a class has a tuple of names
    if tuples and _MATCHES_CLASS in code.co_code[::2]:
        named |= names_in_patterns(code)
    return named


@functools.lru_cache(maxsize=4096)
def all_named(code: types.CodeType) -> frozenset[str]:
    """The names that a function's code, and the code inside it, mentions."""
    return frozenset().union(*map(_named, codes(code)))


def _sorted(named: Set[str], uses: Sequence[tuple[str, str]]) -> Names:
    """What is mentioned, with the instructions that tell what for."""
    written: set[str] = set()
    variables: set[str] = set()
    imported: list[str] = []
    for op, name in uses:
        (written if op in ATTRIBUTE_WRITES else variables).add(name)
        if op == "IMPORT_NAME":
            imported.append(name)
    return Names(frozenset(named), frozenset(written), tuple(imported), frozenset(variables))


def names_in_patterns(code: types.CodeType) -> frozenset[str]:
    """The attributes that patterns of classes read (``case Point(x=0)``), and what says those of positions."""
    tuples = (c for c in code.co_consts if isinstance(c, tuple))
    return frozenset({"__match_args__", *(n for t in tuples for n in t if isinstance(n, str))})


def names_in_text(text: str) -> frozenset[str]:
    """What a string may name: an attribute, or those in the fields of a format (``"{0.mode}"``)."""
    if text.isidentifier():
        return frozenset((text,))
    fields = _FIELD.findall(text) if "{" in text else ()
    return frozenset(n for field in fields for n in _PART.findall(field))


def global_names(code: types.CodeType) -> frozenset[str]:
    """Names that code reads or writes as globals."""
    return code_names(code).variables


def _uses(code: types.CodeType) -> tuple[tuple[str, str], ...]:
    """The instructions that write attributes, import, or use globals, each with its name."""
    if not KNOWN:
        return _told(code)
    out, names, raw = [], code.co_names, code.co_code
    ops = raw[::2]
    for found in _WANTED.finditer(ops):
        at = found.start()
        number, i, shift = raw[2 * at + 1], at - 1, 8
        while i >= 0 and ops[i] == _EXTENDED:  # higher bytes stand before
            number |= raw[2 * i + 1] << shift
            i, shift = i - 1, shift + 8
        name = _names_of[ops[at]]
        out.append((name, names[number >> (name in SHIFTED)]))
    return tuple(out)


def _told(code: types.CodeType) -> tuple[tuple[str, str], ...]:
    """The same, as the standard library reads it: slower, and true of all versions."""
    wanted = set(_names_of.values())
    return tuple((i.opname, i.argval) for i in dis.get_instructions(code) if i.opname in wanted)


@functools.lru_cache(maxsize=1024)
def only_called(code: types.CodeType, name: str) -> bool:
    """Whether all that code does with a global is to call it, which is known from Python 3.11 on."""
    uses = (i for c in codes(code) for i in dis.get_instructions(c) if i.argval == name)
    of_globals = [i for i in uses if "GLOBAL" in i.opname or i.opname.endswith("_NAME")]
    return all(i.opname in SHIFTED and (i.arg or 0) & 1 for i in of_globals)


class Mentions(NamedTuple):
    """What a function's code, and the code inside it, mentions."""

    names: frozenset[str]
    written: frozenset[str]
    imported: tuple[str, ...]
    variables: tuple[str, ...]  # global ones
    unfollowed: tuple[str, ...]
    enclosing: frozenset[str]  # variables of enclosing functions

    @property
    def reflects(self) -> bool:
        """Whether it may read attributes by names that are not seen."""
        return not self.names.isdisjoint(REFLECTION)

    @property
    def buffers(self) -> bool:
        """Whether it may read the memory of arrays unseen."""
        return not self.names.isdisjoint(BUFFERS)


@functools.lru_cache(maxsize=4096)
def mentions(code: types.CodeType, apart: tuple[range, ...] = ()) -> Mentions:
    """What code mentions, the instructions at the offsets in `apart` left out."""
    inside = codes(code)
    enclosing = frozenset(code.co_freevars)
    told = [code_names(c) for c in (inside[1:] if apart else inside)]
    if apart:
        rest, enclosing = _mentioned(code, apart)
        told.insert(0, rest)
        enclosing |= frozenset().union(*(c.co_freevars for c in inside[1:])) & {*code.co_freevars}
    names, written, imported, variables = told[0] if len(told) == 1 else _together(told)
    return Mentions(
        names,
        written,
        imported,
        tuple(sorted(v for v in variables if v.isidentifier())),  # pytest puts others in
        tuple(sorted(names & UNFOLLOWED)),
        enclosing,
    )


def _together(told: Sequence[Names]) -> Names:
    """What several code objects mention."""
    names, written, imported, variables = zip(*told, strict=True)
    return Names(
        frozenset().union(*names),
        frozenset().union(*written),
        tuple(module for some in imported for module in some),
        frozenset().union(*variables),
    )


def _mentioned(code: types.CodeType, apart: tuple[range, ...]) -> tuple[Names, frozenset[str]]:
    """What `code_names` gives, and the variables of enclosing functions, of a part of the code."""
    names: set[str] = set()
    uses: list[tuple[str, str]] = []
    enclosing: set[str] = set()
    for i in dis.get_instructions(code):
        if any(i.offset in r for r in apart):
            continue
        if i.opcode in dis.hasname:
            names.add(i.argval)
            if i.opcode in _names_of:
                uses.append((i.opname, i.argval))
        elif i.opcode in dis.hasfree:
            enclosing.add(i.argval)
        elif isinstance(i.argval, str) and i.opcode in dis.hasconst:
            names |= names_in_text(i.argval)
        elif i.opcode == _MATCHES_CLASS:
            names |= names_in_patterns(code)
    return _sorted(names, uses), frozenset(enclosing)


@functools.lru_cache(maxsize=256)
def names_in_class(cls: type) -> frozenset[str]:
    """The names in the code of a class of the engine's."""
    if not cls.__module__.startswith("dualgraph"):
        return frozenset()
    found = [v for v in vars(cls).values() if isinstance(v, types.FunctionType)]
    return frozenset().union(*(mentions(v.__code__).names for v in found))

"""Bytecode: which names a function's code mentions, writes and imports."""

from __future__ import annotations

import dis
import functools
import re
import sys
import types
from typing import Any, NamedTuple

ATTRIBUTE_WRITES = frozenset(("STORE_ATTR", "DELETE_ATTR"))
SHIFTED = frozenset(("LOAD_GLOBAL",)) if sys.version_info >= (3, 11) else frozenset()
KNOWN = sys.version_info < (3, 14)  # whether an instruction is a code and one byte, as read here

# What tensors tell of themselves beside their type.
UNFOLLOWED = frozenset("_version data_ptr is_leaf grad_fn".split())
REFLECTION = frozenset(
    """getattr setattr delattr hasattr vars dir globals locals __dict__ __getattribute__ attrgetter
    methodcaller""".split()
)
BUFFERS = frozenset("memoryview bytes bytearray".split())  # builtins that read the memory of arrays

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


@functools.lru_cache(maxsize=4096)
def codes(code: types.CodeType) -> tuple[types.CodeType, ...]:
    """A code object and those of the functions, lambdas and comprehensions inside it."""
    out = [code]
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            out.extend(codes(const))
    return tuple(out)


@functools.lru_cache(maxsize=4096)
def code_names(code: types.CodeType) -> tuple[frozenset[str], frozenset[str], tuple[str, ...]]:
    """Names that code mentions (with strings that could be names), attribute names it writes, modules it imports."""
    strings = [c for c in code.co_consts if isinstance(c, str)]
    named = frozenset().union(*map(names_in_text, strings))
    if _MATCHES_CLASS in code.co_code[::2]:
        named |= names_in_patterns(code)
    uses = _uses(code)
    written = frozenset(name for op, name in uses if op in ATTRIBUTE_WRITES)
    imported = tuple(name for op, name in uses if op == "IMPORT_NAME")
    return named.union(code.co_names), written, imported


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


@functools.lru_cache(maxsize=4096)
def global_names(code: types.CodeType) -> frozenset[str]:
    """Names that code reads or writes as globals."""
    return frozenset(name for op, name in _uses(code) if op not in ATTRIBUTE_WRITES)


@functools.lru_cache(maxsize=4096)
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


@functools.lru_cache(maxsize=1024)
def attributes_of(code: types.CodeType, name: str) -> frozenset[str]:
    """The attributes that code reads of a global, such as ``is_integer`` of `float`."""
    found: set[str] = set()
    for c in codes(code):
        of_global = False
        for i in dis.get_instructions(c):
            if of_global and i.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                found.add(i.argval)
            of_global = "GLOBAL" in i.opname and i.argval == name
    return frozenset(found)


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
    if apart:
        inside = inside[1:]
    told = [code_names(c) for c in inside]
    variables = frozenset().union(*map(global_names, inside))
    enclosing = frozenset(code.co_freevars)
    if apart:
        rest, more, enclosing = _mentioned(code, apart)
        told, variables = [rest, *told], variables | more
        enclosing |= frozenset().union(*(c.co_freevars for c in inside)) & {*code.co_freevars}
    names = frozenset().union(*(t[0] for t in told))
    return Mentions(
        names,
        frozenset().union(*(t[1] for t in told)),
        tuple(module for t in told for module in t[2]),
        tuple(sorted(v for v in variables if v.isidentifier())),  # pytest puts others in
        tuple(sorted(names & UNFOLLOWED)),
        enclosing,
    )


def _mentioned(
    code: types.CodeType, apart: tuple[range, ...]
) -> tuple[Any, frozenset[str], frozenset[str]]:
    """What `code_names` gives, the global variables, and those of enclosing functions, of a part of the code."""
    names: set[str] = set()
    uses: list[tuple[str, str]] = []
    enclosing: set[str] = set()
    for i in dis.get_instructions(code):
        if any(i.offset in r for r in apart):
            continue
        if i.opcode in dis.hasname:
            names.add(i.argval)
            uses.append((i.opname, i.argval))
        elif i.opcode in dis.hasfree:
            enclosing.add(i.argval)
        elif isinstance(i.argval, str) and i.opcode in dis.hasconst:
            names |= names_in_text(i.argval)
        elif i.opcode == _MATCHES_CLASS:
            names |= names_in_patterns(code)
    written = frozenset(n for op, n in uses if op in ATTRIBUTE_WRITES)
    imported = tuple(n for op, n in uses if op == "IMPORT_NAME")
    variables = frozenset(n for op, n in uses if "GLOBAL" in op or op.endswith("_NAME"))
    return (frozenset(names), written, imported), variables, frozenset(enclosing)


@functools.lru_cache(maxsize=256)
def names_in_class(cls: type) -> frozenset[str]:
    """The names in the code of a class of the engine's."""
    if not cls.__module__.startswith("dualgraph"):
        return frozenset()
    found = [v for v in vars(cls).values() if isinstance(v, types.FunctionType)]
    return frozenset().union(*(mentions(v.__code__).names for v in found))

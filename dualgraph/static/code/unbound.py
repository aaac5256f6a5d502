"""Unbound: methods that code reads from classes of numbers and arrays (``np.ndarray.sum``), which take no stand-ins."""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from .bytecode import all_named, codes

DESCRIPTORS: Any = (
    types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
READS = frozenset(("LOAD_ATTR", "LOAD_METHOD", "LOAD_CONST"))  # the last: of getattr()
PADDING = frozenset(("CACHE", "EXTENDED_ARG", "PUSH_NULL"))


@functools.lru_cache(maxsize=4096)
def unbound(code: types.CodeType, kind: type, names: frozenset[str]) -> tuple[str, ...]:
    """The methods and attributes of objects that code reads from the class `kind`, which has these names there."""
    methods = _methods(kind)
    mentioned = all_named(code)
    if methods.isdisjoint(mentioned) or names.isdisjoint(mentioned.union(code.co_freevars)):
        return ()
    steps = [list(_steps(c)) for c in codes(code)]
    known, before = set(names), -1
    read: set[Any] = set()
    while len(known) != before:
        before = len(known)
        for (op, name), (following, attribute) in (p for s in steps for p in pairwise(s)):
            loaded = op.startswith(("LOAD", "IMPORT_FROM")) and op != "LOAD_CONST"
            if loaded and name in known and following.startswith("STORE"):
                known.add(attribute)
            elif loaded and name in known and following in READS:
                read.add(attribute)
    return tuple(f"{kind.__name__}.{n}" for n in sorted(read & methods))


@functools.cache
def _methods(kind: type) -> frozenset[str]:
    return frozenset(n for n, v in vars(kind).items() if isinstance(v, DESCRIPTORS))


def _steps(code: types.CodeType) -> Iterator[tuple[str, Any]]:
    """The instructions with their arguments; those that use two variables as two."""
    for i in dis.get_instructions(code):
        first, _, second = i.opname.partition("_FAST_")
        if second.endswith("_FAST"):  # from Python 3.13 on
            yield first, i.argval[0]
            yield second, i.argval[1]
        elif i.opname not in PADDING:
            yield i.opname, i.argval

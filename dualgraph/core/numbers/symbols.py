"""Symbols: sizes by name, and numbers worked out from them as users read them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .guards import mode
from .polynomial import SYMBOL, evaluator, symbols_in, written
from .symbolic import SymFloat, SymInt, plain, source

_atoms: dict[str, str] = {}  # of each name of a symbol
_names: dict[str, str] = {}  # the other way round


def symbol(value: int, name: str = "") -> SymInt:
    """The symbol of a name (a fresh one without), which is `value` now. Symbols are sizes: never negative."""
    atom = _atoms.get(name)
    if atom is None:
        atom = f"d{len(_atoms)}"
        _atoms[name or f"#{atom}"] = atom
        _names[atom] = name or atom
    return SymInt(value, {(atom,): 1})


def atom_of(x: SymInt) -> str:
    """The name of a symbol in `source`."""
    return written(x.poly)


def readable(text: str) -> str:
    """A source with the names that users know."""
    return SYMBOL.sub(lambda m: _names.get(m[0], m[0]), text)


def shown(n: Any) -> str:
    """A number as text: symbolic ones by name, but plain while a capture goes on, which is an eager run."""
    if type(n) is SymInt and (mode.guards is None or mode.proving):
        return readable(written(n.poly))
    if type(n) is SymFloat and (mode.guards is None or mode.proving):
        return readable(n.text)
    return repr(plain(n))


@lru_cache(4096)
def _generic(text: str) -> int:
    values = {a: _UNUSUAL[int(a[1:]) % len(_UNUSUAL)] for a in symbols_in(text)}
    return evaluator(tuple(values), [text])(*values.values())[0]  # type: ignore[no-any-return]


_UNUSUAL = (37, 41, 43, 47, 53, 59, 61, 67)


def generic(value: Any) -> Any:
    """`value` with unusual numbers for symbolic ones: what comes out equal for these is so for a reason."""
    if type(value) is SymInt:
        return _generic(source(value))
    if type(value) is tuple:
        return tuple([generic(v) for v in value])
    return value

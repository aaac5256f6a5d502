"""Words: which words of the scalar language an op's body says, found by letting it speak to a listener."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..core.prim import Prim
from .scalar_numpy import BINARY, UNARY, ExactArrayScalar

# Words that every handler computes by the same IEEE operations.
EXACT = frozenset(
    name for name in vars(ExactArrayScalar) if not name.startswith("_")
) | {
    "minimum", "maximum", "isnan", "isinf", "isfinite", "signbit", "sign", "logical_and", "logical_or",
    "logical_xor", "logical_not", "shift_left", "shift_right", "mulhi_u32", "int_pow", "lift", "is_float",
}  # fmt: skip
assert not EXACT & (UNARY.keys() | BINARY.keys())


class _Listener:
    """A handler and a value in one: every word and operator gives the listener again."""

    def __init__(self, heard: set[str]) -> None:
        self._heard = heard

    def __getattr__(self, word: str) -> Any:
        self._heard.add(word)
        return lambda *_operands, **_named: self

    def __bool__(self) -> bool:
        return True


def _same(self: _Listener, *_: Any) -> _Listener:
    return self


for _name in (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "neg", "and", "rand", "or", "ror",
    "xor", "rxor", "invert", "lshift", "rshift", "lt", "le", "gt", "ge", "eq", "ne",
):  # fmt: skip
    setattr(_Listener, f"__{_name}__", _same)
_Listener.__hash__ = object.__hash__  # type: ignore[method-assign]


def words_of(prim: Prim, params: Mapping[str, Any]) -> frozenset[str]:
    """The words that an elementwise op's body says, given these parameters: it may branch on them."""
    heard: set[str] = set()
    listener = _Listener(heard)
    parameters = inspect.signature(prim.kernel).parameters.values()
    operands = [p for p in parameters if p.default is p.empty and p.name not in params]
    prim.kernel(*[listener for _ in operands], **params)
    return frozenset(heard)


def needs_expansions(prim: Prim, params: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether the body says a word that handlers may compute differently, such as exp."""
    return bool(words_of(prim, params) - EXACT)

"""Symbolic sizes: integers that know how they were worked out from the sizes that may change.

A `SymInt` is an int - its value is the one at hand - with a polynomial beside it. Arithmetic gives further
ones. A comparison whose outcome other sizes could change is taken down as a guard, a condition that must hold
for what was decided to be right; where the number is used as such (``int(n)``), the guard says that it is
this very number. So code that works on sizes runs as it is, once, and says for which sizes it would run the same.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .guards import mode, note
from .polynomial import SYMBOL, TESTS, Poly, added, decided, multiplied, quotient, written

_atoms: dict[str, str] = {}  # of each name of a symbol
_names: dict[str, str] = {}  # the other way round
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def hint(n: Any) -> Any:
    """The plain number, for a choice that is right either way."""
    return int.__int__(n) if isinstance(n, SymInt) else n


def plain(value: Any) -> Any:
    """`value` with plain numbers for symbolic ones, in tuples, lists and dicts too."""
    kind = type(value)
    if kind is SymInt:
        return int.__int__(value)
    if kind is SymFloat:
        return float.__float__(value)
    if kind is tuple or kind is SymShape:
        return tuple([plain(v) for v in value])
    if kind is list:
        return [plain(v) for v in value]
    if kind is dict:
        return {k: plain(v) for k, v in value.items()}
    return value


def is_symbolic(value: Any) -> bool:
    """Whether there is a symbolic number in `value` (tuples, lists and dicts included)."""
    kind = type(value)
    if kind is SymInt or kind is SymFloat:
        return True
    if kind is tuple or kind is list or kind is SymShape:
        return any(map(is_symbolic, value))
    return kind is dict and any(map(is_symbolic, value.values()))


class SymShape(tuple[int, ...]):
    """A shape with symbolic sizes. Shapes of another length differ from it, whatever their sizes are."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        alike = isinstance(other, tuple) and len(other) == len(self)
        return alike and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


def is_one(n: Any) -> bool:
    """Whether a size is always 1; one that happens to be 1 goes the general way."""
    return type(n) is int and n == 1


def surely_equal(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two shapes are equal for all sizes: takes no guards."""
    if mode.guards is None:
        return a == b
    return len(a) == len(b) and all(_poly(x) == _poly(y) for x, y in zip(a, b, strict=True))


# --- integers ------------------------------------------------------------------------------------


def _poly(x: Any) -> Poly:
    if type(x) is SymInt:
        return x.poly
    return {(): int(x)} if x else {}


def _decide(p: Poly, op: str) -> bool | None:
    return decided(p, op, 1 if mode.proving else 0)


def _compare(op: str) -> Callable[[Any, Any], Any]:
    test = TESTS[op]

    def compare(x: SymInt, y: Any) -> Any:
        if type(y) is SymFloat or isinstance(y, float):
            return _noted(test(hint(x), plain(y)), source(x), op, source(y))
        if not isinstance(y, int):
            return NotImplemented
        found = test(int.__int__(x), int.__int__(y))
        if mode.guards is None:
            return found
        p = added(x.poly, _poly(y), -1)
        known = _decide(p, op)
        if known is not None:
            return known
        if mode.proving and op in ("==", "!="):
            for text in (written(p), written(added({}, p, -1))) if mode.known else ():
                if f"{text} == 0" in mode.known:
                    note(f"{text} == 0")
                    return op == "=="
            return op == "!="
        return _noted(found, written(p), op, "0")

    return compare


def _noted(found: bool, left: str, op: str, right: str) -> bool:
    if mode.guards is not None:
        mode.guards[f"{left} {op if found else _OPPOSITE[op]} {right}"] = None
    return found


def _made(value: int, poly: Poly) -> int:
    if not poly or (len(poly) == 1 and () in poly):
        return value
    out = int.__new__(SymInt, value)
    out.poly = poly
    return out


def _arithmetic(name: str, of_polys: Callable[[Poly, Poly], Poly], sign: str) -> Any:
    number: Callable[[Any, Any], Any] = getattr(operator, name)

    def forward(x: SymInt, y: Any) -> Any:
        if isinstance(y, float):
            return sym_float(number(float(hint(x)), plain(y)), f"({source(x)}{sign}{source(y)})")
        if not isinstance(y, int):
            return NotImplemented
        return _made(number(hint(x), hint(y)), of_polys(x.poly, _poly(y)))

    def backward(x: SymInt, y: Any) -> Any:
        if isinstance(y, float):
            return sym_float(number(plain(y), float(hint(x))), f"({source(y)}{sign}{source(x)})")
        if not isinstance(y, int):
            return NotImplemented
        return _made(number(hint(y), hint(x)), of_polys(_poly(y), x.poly))

    return forward, backward


def _floor(x: Any, y: Any) -> Any:
    """``x // y``."""
    value, p, q = hint(x) // hint(y), _poly(x), _poly(y)
    if type(y) is SymInt:
        _mark(y, "!=", 0)
    if len(q) == 1:
        whole, rest = quotient(p, q)
        if not rest:
            return _made(value, whole)
        if type(y) is not SymInt and y > 0:
            return _made(value, added(whole, {(f"(({written(rest)})//{y})",): 1}))
    return _made(value, {(f"(({written(p)})//({written(q)}))",): 1})


def _modulo(x: Any, y: Any) -> Any:
    """``x % y``."""
    value, p, q = hint(x) % hint(y), _poly(x), _poly(y)
    if type(y) is SymInt:
        _mark(y, "!=", 0)
    if len(q) == 1:
        _, rest = quotient(p, q)
        if not rest:
            return 0
        if type(y) is not SymInt and y > 0:
            if set(rest) == {()}:
                return value
            return _made(value, {(f"(({written(rest)})%{y})",): 1})
    return _made(value, {(f"(({written(p)})%({written(q)}))",): 1})


def _mark(x: Any, op: str, y: int) -> None:
    """Takes down that ``x op y`` was relied on."""
    if mode.guards is not None and not (mode.proving and op == "!="):
        p = added(_poly(x), _poly(y), -1)
        if _decide(p, op) is None:
            mode.guards[f"{written(p)} {op} 0"] = None


def _either(fn: Callable[[Any, Any], Any]) -> Any:
    def forward(x: Any, y: Any) -> Any:
        return fn(x, y) if isinstance(y, int) else _as_number(x, y, fn)

    def backward(x: Any, y: Any) -> Any:
        return fn(y, x) if isinstance(y, int) else _as_number(x, y, lambda a, b: fn(b, a))

    return forward, backward


def _as_number(x: Any, y: Any, fn: Callable[[Any, Any], Any]) -> Any:
    return fn(int(x), plain(y)) if isinstance(y, float) else NotImplemented


def _true(x: Any, y: Any) -> Any:
    """``x / y``."""
    return sym_float(plain(x) / plain(y), f"({source(x)}/{source(y)})")


def _divides(x: Any, y: Any) -> Any:
    return _true(x, y) if isinstance(y, (int, float)) else NotImplemented


def _pinned(name: str) -> Any:
    """A method of int that wants the number itself: it holds for this number alone."""
    method = getattr(int, name)

    def use(x: SymInt, *args: Any) -> Any:
        return method(int(x), *map(plain, args))

    return use


class SymInt(int):
    """A size that may change, or a number worked out from some: its value now, and a polynomial.

    >>> n = symbol(4)
    >>> m = 3 * n + 2
    >>> m, source(m - 2) == source(n * 3), m // 1 == m
    (14, True, True)
    """

    poly: Poly

    __add__, __radd__ = _arithmetic("add", added, "+")
    __sub__, __rsub__ = _arithmetic("sub", lambda p, q: added(p, q, -1), "-")
    __mul__, __rmul__ = _arithmetic("mul", multiplied, "*")
    __floordiv__, __rfloordiv__ = _either(_floor)
    __mod__, __rmod__ = _either(_modulo)
    __truediv__ = _divides
    __eq__, __ne__ = _compare("=="), _compare("!=")
    __lt__, __le__ = _compare("<"), _compare("<=")
    __gt__, __ge__ = _compare(">"), _compare(">=")
    __hash__ = int.__hash__

    def __rtruediv__(self, y: Any) -> Any:
        return _true(y, self) if isinstance(y, (int, float)) else NotImplemented

    def __divmod__(self, y: Any) -> Any:
        return self // y, self % y

    def __rdivmod__(self, y: Any) -> Any:
        return y // self, y % self

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __pow__(self, k: Any, modulus: Any = None) -> Any:
        if type(k) is int and 0 < k < 5 and modulus is None:
            return self if k == 1 else self * self ** (k - 1)
        return pow(int(self), plain(k), modulus)

    def __int__(self) -> int:
        _mark(self, "==", hint(self))
        return int.__int__(self)

    __trunc__ = __floor__ = __ceil__ = __index__ = __int__

    def __round__(self, digits: Any = None) -> Any:
        return self if digits is None else round(int(self), digits)

    def __float__(self) -> float:
        return float(int(self))

    def __reduce__(self) -> Any:
        return int, (hint(self),)

    __copy__ = __pos__

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    __repr__ = int.__repr__


for _name in "and rand or ror xor rxor lshift rlshift rshift rrshift invert rpow".split():
    setattr(SymInt, f"__{_name}__", _pinned(f"__{_name}__"))
for _name in "bit_length to_bytes as_integer_ratio conjugate".split():
    setattr(SymInt, _name, _pinned(_name))


# --- floats --------------------------------------------------------------------------------------


def sym_float(value: float, text: str) -> float:
    out = float.__new__(SymFloat, value)
    out.text = text
    return out


def _float_op(name: str, sign: str) -> Any:
    number: Callable[[Any, Any], Any] = getattr(operator, name)

    def forward(x: Any, y: Any) -> Any:
        if not isinstance(y, (int, float)):
            return NotImplemented
        return sym_float(number(plain(x), plain(y)), f"({source(x)}{sign}{source(y)})")

    def backward(x: Any, y: Any) -> Any:
        if not isinstance(y, (int, float)):
            return NotImplemented
        return sym_float(number(plain(y), plain(x)), f"({source(y)}{sign}{source(x)})")

    return forward, backward


def _float_compare(op: str) -> Any:
    def compare(x: Any, y: Any) -> Any:
        if not isinstance(y, (int, float)):
            return NotImplemented
        if type(y) is SymFloat and y.text == x.text and x == x:
            return TESTS[op](0, 0)
        if mode.proving and op in ("==", "!="):
            return op == "!="
        return _noted(TESTS[op](plain(x), plain(y)), source(x), op, source(y))

    return compare


class SymFloat(float):
    """A float worked out from sizes: its value now, and the Python source that gives it."""

    text: str

    __add__, __radd__ = _float_op("add", "+")
    __sub__, __rsub__ = _float_op("sub", "-")
    __mul__, __rmul__ = _float_op("mul", "*")
    __truediv__, __rtruediv__ = _float_op("truediv", "/")
    __pow__, __rpow__ = _float_op("pow", "**")
    __hash__ = float.__hash__

    def __neg__(self) -> Any:
        return sym_float(-plain(self), f"(-{self.text})")

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return sym_float(abs(plain(self)), f"abs({self.text})")

    def __bool__(self) -> bool:
        return bool(self != 0.0)

    def __float__(self) -> float:
        value: float = plain(self)
        _noted(True, self.text, "==", repr(value))
        return value

    def __int__(self) -> int:
        return int(float(self))

    __trunc__ = __int__

    def __floor__(self) -> int:
        return float(self).__floor__()

    def __ceil__(self) -> int:
        return float(self).__ceil__()

    def __round__(self, digits: Any = None) -> Any:
        return round(float(self), digits)

    def __reduce__(self) -> Any:
        return float, (plain(self),)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    __repr__ = float.__repr__


for _op, _name in zip(TESTS, "eq ne lt le gt ge".split(), strict=True):
    setattr(SymFloat, f"__{_name}__", _float_compare(_op))


# --- making and evaluating -----------------------------------------------------------------------


def symbol(value: int, name: str = "") -> SymInt:
    """The symbol of a name (a fresh one without), which is `value` now. Symbols are sizes: never negative."""
    atom = _atoms.get(name)
    if atom is None:
        atom = f"d{len(_atoms)}"
        _atoms[name or f"#{atom}"] = atom
        _names[atom] = name or atom
    out = _made(value, {(atom,): 1})
    assert isinstance(out, SymInt)
    return out


def source(x: Any) -> str:
    """Python source of a number, in names of symbols."""
    if type(x) is SymInt:
        text = written(x.poly)
        return text if len(x.poly) == 1 and "-" not in text else f"({text})"
    if type(x) is SymFloat:
        return x.text
    return f"({x!r})" if x == x and abs(x) != float("inf") else f"float('{x!r}')"


def atom_of(x: SymInt) -> str:
    """The name of a symbol in `source`."""
    return written(x.poly)


def symbols_in(text: str) -> set[str]:
    """The names of symbols in a source."""
    return set(SYMBOL.findall(text))


def renamed(text: str) -> str:
    """A source with its symbols named in order of appearance: equal for what is equal but for that."""
    numbers: dict[str, int] = {}
    return SYMBOL.sub(lambda m: f"n{numbers.setdefault(m[0], len(numbers))}", text)


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


def evaluator(symbols: tuple[str, ...], texts: list[str]) -> Callable[..., tuple[Any, ...]]:
    """A function of the symbols' values that gives what the sources stand for."""
    body = "".join(f"{t}, " for t in texts)
    return eval(f"lambda {', '.join(symbols)}: ({body})")  # type: ignore[no-any-return]

"""Symbolic sizes: integers that know how they were worked out from the sizes that may change.

A `SymInt` is a number - its value is the one at hand - with a polynomial beside it. Arithmetic gives further
ones. A comparison whose outcome other sizes could change is taken down as a guard, a condition that must hold
for what was decided to be right. So code that works on sizes runs as it is, once, and says for which sizes it
would run the same.

Where the number itself is read, that is seen, too (`followed`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .followed import Followed, Size, leaked
from .guards import mode, note
from .polynomial import (
    OPPOSITE,
    TESTS,
    Poly,
    added,
    decided,
    multiplied,
    quotient,
    written,
)


def hint(n: Any) -> Any:
    """The plain number, for a choice that is right either way."""
    kind = type(n)
    if kind is SymInt:
        return n.value
    return n._read() if issubclass(kind, Followed) and kind is not SymFloat else n


def plain(value: Any) -> Any:
    """`value` with plain numbers for symbolic ones, in tuples, lists and dicts too."""
    kind = type(value)
    if kind is SymInt or kind is SymFloat:
        return value.value
    if issubclass(kind, Followed):
        return value._read()
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


def _is_input(y: Any) -> bool:
    """Whether a float is followed in another way (`live`): what comes of both is its matter."""
    return isinstance(y, Followed) and type(y) is not SymFloat and isinstance(y, float)


def _compare(op: str) -> Callable[[Any, Any], Any]:
    """A comparison of sizes; where other sizes could decide otherwise, what it found is a guard."""
    test = TESTS[op]

    def compare(x: SymInt, y: Any) -> Any:
        if _is_input(y):
            return NotImplemented
        if isinstance(y, float):
            return _noted(test(x.value, plain(y)), source(x), op, source(y))
        if not isinstance(y, int):
            return NotImplemented
        found = test(x.value, hint(y))
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
        mode.guards[f"{left} {op if found else OPPOSITE[op]} {right}"] = None
    return found


def _made(value: int, poly: Poly) -> Any:
    if not poly or (len(poly) == 1 and () in poly):
        return value
    return SymInt(value, poly)


def term(value: Any, text: str) -> Any:
    """A number that no polynomial can say, by the source that gives it."""
    return SymInt(value, {(text,): 1}) if type(value) is int else sym_float(value, text)


def _other(x: Any, y: Any, fn: Callable[[Any, Any], Any]) -> Any:
    """``fn`` of the number itself and of something that is no real number."""
    known = type(y).__module__ in ("builtins", "decimal", "fractions", "numpy")
    return fn(leaked(x), y) if known else NotImplemented


def _arithmetic(name: str, of_polys: Callable[[Poly, Poly], Poly], sign: str) -> Any:
    number: Callable[[Any, Any], Any] = getattr(operator, name)

    def forward(x: SymInt, y: Any) -> Any:
        if isinstance(y, int):
            return _made(number(x.value, hint(y)), of_polys(x.poly, _poly(y)))
        if _is_input(y):
            return NotImplemented
        if isinstance(y, float):
            return sym_float(number(x.value, plain(y)), f"({source(x)}{sign}{source(y)})")
        return _other(x, y, number)

    def backward(x: SymInt, y: Any) -> Any:
        if isinstance(y, int):
            return _made(number(hint(y), x.value), of_polys(_poly(y), x.poly))
        if isinstance(y, float):
            return sym_float(number(plain(y), x.value), f"({source(y)}{sign}{source(x)})")
        return _other(x, y, lambda a, b: number(b, a))

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


def _either(fn: Callable[[Any, Any], Any], sign: str) -> Any:
    number = {"//": operator.floordiv, "%": operator.mod}[sign]
    of_floats, back = _text_op(number, sign)

    def forward(x: Any, y: Any) -> Any:
        return fn(x, y) if isinstance(y, int) else of_floats(x, y)

    def backward(x: Any, y: Any) -> Any:
        return fn(y, x) if isinstance(y, int) else back(x, y)

    return forward, backward


def _text_op(number: Callable[[Any, Any], Any], sign: str) -> Any:
    """An operator whose result is known by its source alone."""

    def of(a: Any, b: Any) -> Any:
        if sign in ("/", "//", "%"):
            _nonzero(b)
        value = number(plain(a), plain(b))
        if type(value) is complex:
            return number(*(leaked(n) if is_symbolic(n) else n for n in (a, b)))
        return term(value, f"({source(a)}{sign}{source(b)})")

    def forward(x: Any, y: Any) -> Any:
        if _is_input(y):
            return NotImplemented
        return of(x, y) if isinstance(y, (int, float)) else _other(x, y, number)

    def backward(x: Any, y: Any) -> Any:
        real = isinstance(y, (int, float))
        return of(y, x) if real else _other(x, y, lambda a, b: number(b, a))

    return forward, backward


def _nonzero(n: Any) -> None:
    if type(n) is SymInt:
        _mark(n, "!=", 0)
    elif type(n) is SymFloat:
        _noted(n.value != 0, n.text, "!=", "0")


def _bits(name: str, sign: str) -> Any:
    """An operator of ints only."""
    number: Callable[[Any, Any], Any] = getattr(operator, name)
    forward, backward = _text_op(number, sign)
    return (
        lambda x, y: forward(x, y) if isinstance(y, int) else _other(x, y, number),
        lambda x, y: backward(x, y) if isinstance(y, int) else _other(x, y, lambda a, b: number(b, a)),
    )  # fmt: skip


if TYPE_CHECKING:

    class _Int(Size, int):
        """To type checkers it is an int."""

    class _Float(Size, float):
        """To type checkers it is a float."""

else:
    _Int = _Float = Size


class SymInt(_Int):
    """A size that may change, or a number worked out from some: its value now, and a polynomial.

    ``shape``: of the number of elements of a tensor its shape; such a one can be called as in PyTorch.

    >>> n = SymInt(4, {("d0",): 1})
    >>> m = 3 * n + 2
    >>> m, source(m - 2) == source(n * 3), m // 1 == m
    (14, True, True)
    """

    __slots__ = ("poly", "shape", "value")
    poly: Poly
    shape: tuple[int, ...] | None

    def __init__(self, value: int, poly: Poly) -> None:
        self.value = value
        self.poly = poly
        self.shape = None

    def pin(self) -> None:
        _mark(self, "==", self.value)

    __class__ = property(lambda self: int)

    __add__, __radd__ = _arithmetic("add", added, "+")
    __sub__, __rsub__ = _arithmetic("sub", lambda p, q: added(p, q, -1), "-")
    __mul__, __rmul__ = _arithmetic("mul", multiplied, "*")
    __floordiv__, __rfloordiv__ = _either(_floor, "//")
    __mod__, __rmod__ = _either(_modulo, "%")
    __truediv__, __rtruediv__ = _text_op(operator.truediv, "/")
    __and__, __rand__ = _bits("and_", "&")
    __or__, __ror__ = _bits("or_", "|")
    __xor__, __rxor__ = _bits("xor", "^")
    __lshift__, __rlshift__ = _bits("lshift", "<<")
    __rshift__, __rrshift__ = _bits("rshift", ">>")
    __eq__, __ne__ = _compare("=="), _compare("!=")
    __lt__, __le__ = _compare("<"), _compare("<=")
    __gt__, __ge__ = _compare(">"), _compare(">=")
    __hash__ = Size.__hash__
    _power, _rpower = _text_op(operator.pow, "**")

    def __call__(self, dim: int | None = None) -> Any:
        if self.shape is None:
            raise TypeError("'int' object is not callable")
        return self.shape if dim is None else self.shape[dim]

    def __neg__(self) -> Any:
        return self * -1

    def __invert__(self) -> Any:
        return -self - 1

    def __pow__(self, k: Any, modulus: Any = None) -> Any:
        if modulus is not None:
            return pow(leaked(self), plain(k), modulus)
        if type(k) is int and 0 < k < 5:
            return self if k == 1 else self * self ** (k - 1)
        if type(k) is SymInt and k < 0:
            return leaked(self) ** leaked(k)
        return self._power(k) if bool(self) else leaked(self) ** plain(k)

    def __rpow__(self, y: Any, modulus: Any = None) -> Any:
        if modulus is None and self >= 0:
            return self._rpower(y)
        return pow(plain(y), leaked(self), modulus)

    __index__ = Size.__int__

    def __trunc__(self) -> Any:
        return self

    __floor__ = __ceil__ = __trunc__

    def __round__(self, digits: Any = None) -> Any:
        return self if digits is None else round(leaked(self), digits)

    def bit_length(self) -> Any:
        """Bits of the number."""
        return term(self.value.bit_length(), f"({source(self)}).bit_length()")

    numerator = property(__trunc__)
    denominator = property(lambda self: 1)


# --- floats --------------------------------------------------------------------------------------


def sym_float(value: float, text: str) -> Any:
    return SymFloat(float(value), text)


def _float_compare(op: str) -> Any:
    """A comparison of symbolic floats; what it found is a guard."""

    def compare(x: Any, y: Any) -> Any:
        if not isinstance(y, (int, float)) or _is_input(y):
            return NotImplemented
        if type(y) is SymFloat and y.text == x.text and x.value == x.value:
            return TESTS[op](0, 0)
        if mode.proving and op in ("==", "!="):
            return op == "!="
        return _noted(TESTS[op](x.value, plain(y)), x.text, op, source(y))

    return compare


class SymFloat(_Float):
    """A float worked out from sizes: its value now, and the Python source that gives it."""

    __slots__ = ("text", "value")
    text: str

    def __init__(self, value: float, text: str) -> None:
        self.value = value
        self.text = text

    def pin(self) -> None:
        _noted(True, self.text, "==", repr(self.value))

    __class__ = property(lambda self: float)

    __add__, __radd__ = _text_op(operator.add, "+")
    __sub__, __rsub__ = _text_op(operator.sub, "-")
    __mul__, __rmul__ = _text_op(operator.mul, "*")
    __truediv__, __rtruediv__ = _text_op(operator.truediv, "/")
    __floordiv__, __rfloordiv__ = _text_op(operator.floordiv, "//")
    __mod__, __rmod__ = _text_op(operator.mod, "%")
    _power, _rpower = _text_op(operator.pow, "**")
    __eq__, __ne__ = _float_compare("=="), _float_compare("!=")
    __lt__, __le__ = _float_compare("<"), _float_compare("<=")
    __gt__, __ge__ = _float_compare(">"), _float_compare(">=")
    __hash__ = Size.__hash__

    def __pow__(self, k: Any, modulus: Any = None) -> Any:
        return self._power(k) if self > 0 else leaked(self) ** plain(k)

    def __rpow__(self, y: Any, modulus: Any = None) -> Any:
        return self._rpower(y) if plain(y) > 0 else plain(y) ** leaked(self)

    def __neg__(self) -> Any:
        return sym_float(-self.value, f"(-{self.text})")

    def __trunc__(self) -> Any:
        return term(int(self.value), f"trunc({self.text})")

    def __floor__(self) -> Any:
        return term(self.value.__floor__(), f"floor({self.text})")

    def __ceil__(self) -> Any:
        return term(self.value.__ceil__(), f"ceil({self.text})")

    def __round__(self, digits: Any = None) -> Any:
        if digits is None:
            return term(round(self.value), f"round({self.text})")
        return sym_float(round(self.value, plain(digits)), f"round({self.text}, {source(digits)})")


SYMBOLIC = (SymInt, SymFloat)


def source(x: Any) -> str:
    """Python source of a number, in names of symbols."""
    if type(x) is SymInt:
        ((atoms, count), *more) = x.poly.items()
        alone = len(atoms) == count == 1 and not more  # a product is no operand by itself
        return atoms[0] if alone else f"({written(x.poly)})"
    if type(x) is SymFloat:
        return x.text
    x = float(x) if isinstance(x, float) else int(x)
    return f"({x!r})" if x == x and abs(x) != float("inf") else f"float('{x!r}')"


# What messages of errors call them, Python's own among them.
SymInt.__name__, SymFloat.__name__ = "int", "float"

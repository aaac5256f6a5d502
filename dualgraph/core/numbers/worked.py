"""Worked numbers: integers that write down how they follow from some sizes, as code works with them.

Code that prepares something for sizes runs once on them. What it decides by comparing them is a condition; what it
has other code find for plain numbers (`Working.call`) is found anew; where a number comes to lie in memory is noted
(`Working.put`). All that becomes one Python function: for other sizes it does what the code would do again, in a
fraction of the time, or says that the code would have gone another way.

Nothing is read unseen: a number that is asked for its value raises `Unfollowed`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .polynomial import OPPOSITE, TESTS, Poly, added, decided, multiplied, quotient, written


class Unfollowed(Exception):
    """A worked number was read where it cannot be followed."""


class Working:
    """How numbers follow from sizes.

    >>> work = Working()
    >>> n = work.size(6)
    >>> cells = np.zeros(2, dtype=np.int64)
    >>> work.put(cells, 1, n // 4 * 16 if n > 2 else 0)
    >>> again = work.function()
    >>> again(13), cells.tolist(), again(2)
    (True, [0, 48], False)
    """

    def __init__(self) -> None:
        self._sizes: list[str] = []
        self._count = 0
        self._lines: list[str] = []
        self._conditions: set[str] = set()
        self._calls: list[Callable[..., Any]] = []
        self._places: dict[int, tuple[Any, list[int], list[str]]] = {}  # by identity of the array
        self._made: dict[Any, Any] = {}
        # Numbers that are places in memory, each with the places that it must not overlap.
        self._apart: dict[str, set[str]] = {}

    def size(self, value: int) -> Worked:
        """A size, which is `value` while the code runs; sizes are never negative."""
        self._sizes.append(f"d{self._count}")
        return self._fresh(value)

    def _fresh(self, value: int) -> Worked:
        self._count += 1
        return Worked(self, value, {(f"d{self._count - 1}",): 1})

    def call(self, fn: Callable[..., Sequence[int] | None], *args: Any) -> tuple[Any, ...]:
        """What ``fn(*args)`` gives for plain numbers, ints that are not negative, always so many; None: there is
        no going on."""
        found = fn(*map(plainly, args))
        if found is None:
            raise Unfollowed("nothing for the sizes at hand")
        results = tuple(map(self._fresh, found))
        names = "".join(f"{_text(r)}," for r in results)
        given = ", ".join(map(_text, args))
        self._lines += [f"r = c{len(self._calls)}({given})", "if r is None: return None"]
        self._lines += [f"({names}) = r"] if results else []
        self._calls.append(fn)
        return results

    def once(self, what: Any, numbers: Sequence[Any], make: Callable[[], Any]) -> Any:
        """``make()``, or what it gave before for the same `what` and the same numbers, which may be in tuples."""
        key = what, _text(tuple(numbers))
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def keep_apart(self, place: Any, *others: Any) -> None:
        """Says that what lies at `place` never meets what lies at the others; all are results of `call`."""
        (own,), rest = _atoms(place), frozenset[str]().union(*map(_atoms, others))
        self._apart.setdefault(own, set()).update(rest)
        for other in rest:
            self._apart.setdefault(other, set()).add(own)

    def are_apart(self, place: Any, other: Any) -> bool:
        """Whether two addresses are in memory that was said never to meet."""
        own, theirs = ([a for a in _atoms(x) if a in self._apart] for x in (place, other))
        return len(own) == len(theirs) == 1 and theirs[0] in self._apart[own[0]]

    def condition(self, text: str) -> None:
        """Takes down what must hold."""
        if text not in self._conditions:
            self._conditions.add(text)
            self._lines.append(f"if not ({text}): return None")

    def put(self, array: Any, index: int, value: Any) -> None:
        """Says that a number lies in an array of int64: at its place, or in a row of them for all columns."""
        _, indexes, texts = self._places.setdefault(id(array), (array, [], []))
        indexes.append(index)
        texts.append(_text(value))

    def function(self, wanted: Sequence[Any] = (), take: Callable[..., Any] | None = None) -> Any:
        """``again(*sizes)`` puts all numbers in their places, and hands those `wanted` to ``take(*numbers)``; False
        (and no place is changed) where the code would have gone another way."""
        places = [(array, np.array(at)) for array, at, _ in self._places.values()]
        texts = [text for _, _, own in self._places.values() for text in own]
        common: dict[str, str] = {}
        for text in texts:
            common.setdefault(text, f"v{len(common)}")
        body = [*self._lines, *(f"{name} = {text}" for text, name in common.items())]
        found = ", ".join([f"({', '.join([*map(_text, wanted), ''])})"])
        numbers = "".join(f"{common[text]}, " for text in texts)
        source = f"def work({', '.join(self._sizes)}):\n"
        source += "".join(f"    {line}\n" for line in [*body, f"return {found}, ({numbers})"])
        scope: dict[str, Any] = {f"c{i}": fn for i, fn in enumerate(self._calls)}
        exec(source, scope)
        work = scope["work"]

        def again(*sizes: int) -> bool:
            got = work(*sizes)
            if got is None:
                return False
            values = np.array(got[1], dtype=np.int64)
            at = 0
            for array, indexes in places:
                own = values[at : at + len(indexes)]
                array[indexes] = own if array.ndim == 1 else own[:, None]
                at += len(indexes)
            if take is not None:
                take(*got[0])
            return True

        return again


def _poly(x: Any) -> Poly:
    if type(x) is Worked:
        return x.poly
    return {(): int(x)} if x else {}


def _text(x: Any) -> str:
    if type(x) is Worked:
        return written(x.poly)
    if type(x) is tuple:
        return f"({''.join(f'{_text(v)}, ' for v in x)})"
    return repr(int(x))


def plainly(x: Any) -> Any:
    """The number that a worked one is at hand, for a choice that is right either way; in tuples, too."""
    if type(x) is tuple:
        return tuple(map(plainly, x))
    return x.value if type(x) is Worked else x


def working(*values: Any) -> Working | None:
    """What the first worked number among values (and in tuples and lists of them) belongs to."""
    for v in values:
        if type(v) is Worked:
            return v.work
        if isinstance(v, (tuple, list)):
            found = working(*v)
            if found is not None:
                return found
    return None


def filled(array: Any, values: Sequence[Any]) -> Any:
    """An array of int64 with numbers, worked and plain ones, from its start on (in each column, if it has some)."""
    numbers = np.array([plainly(v) for v in values], dtype=np.int64)
    array[: len(values)] = numbers if array.ndim == 1 else numbers[:, None]
    for i, v in enumerate(values):
        if type(v) is Worked:
            v.work.put(array, i, v)
    return array


def largest(x: Any, y: Any) -> Any:
    """``max(x, y)``, which takes down no condition."""
    work = working(x, y)
    if work is None:
        return max(x, y)
    p = added(_poly(x), _poly(y), -1)
    above = decided(p, ">=")
    if above is not None:
        return x if above else y
    value = max(plainly(x), plainly(y))
    return Worked(work, value, {(f"max({_text(x)}, {_text(y)})",): 1})


def alike(x: Any, y: Any) -> bool:
    """Whether two numbers are the same at all sizes; takes down no condition."""
    if type(x) is Worked or type(y) is Worked:
        return _poly(x) == _poly(y)
    return bool(x == y)


def may_meet(low: Any, high: Any, other_low: Any, other_high: Any) -> bool:
    """Whether two ranges have something in common; True where they may have at some sizes (one
    end at least is a worked number)."""
    work = working(low, high, other_low, other_high)
    assert work is not None
    ends = (other_low, high), (low, other_high)
    if any(decided(added(_poly(x), _poly(y), -1), ">=") for x, y in ends):
        return False
    return not work.are_apart(low, other_low)


def _atoms(x: Any) -> frozenset[str]:
    return frozenset(a for m in _poly(x) for a in m)


def _made(work: Working, value: int, poly: Poly) -> Any:
    return value if not poly or (len(poly) == 1 and () in poly) else Worked(work, value, poly)


def _no_int(x: Worked, y: Any) -> Any:
    return _unfollowed(x) if isinstance(y, (float, complex)) else NotImplemented


def _arithmetic(name: str, of_polys: Callable[[Poly, Poly], Poly]) -> Any:
    """An operator of worked numbers and its reflected form."""
    number: Callable[[Any, Any], Any] = getattr(operator, name)

    def forward(x: Worked, y: Any) -> Any:
        if not isinstance(y, (int, np.integer)):
            return _no_int(x, y)
        return _made(x.work, number(x.value, plainly(y)), of_polys(x.poly, _poly(y)))

    def backward(x: Worked, y: Any) -> Any:
        if not isinstance(y, (int, np.integer)):
            return _no_int(x, y)
        return _made(x.work, number(plainly(y), x.value), of_polys(_poly(y), x.poly))

    return forward, backward


def _divided(sign: str) -> Any:
    """``//`` or ``%`` of worked numbers and its reflected form: a polynomial if the division leaves no rest."""
    number = {"//": operator.floordiv, "%": operator.mod}[sign]

    def of(x: Any, y: Any) -> Any:
        work = working(x, y)
        assert work is not None
        p, q, value = _poly(x), _poly(y), number(plainly(x), plainly(y))
        if type(y) is Worked:
            work.condition(f"{_text(y)} != 0")
        if len(q) == 1:
            whole, rest = quotient(p, q)
            if not rest:
                return _made(work, value, whole) if sign == "//" else 0
            if type(y) is not Worked and y > 0 and set(rest) != {()}:
                left: Poly = {(f"(({written(rest)}){sign}{y})",): 1}
                return _made(work, value, added(whole, left) if sign == "//" else left)
        return Worked(work, value, {(f"(({written(p)}){sign}({written(q)}))",): 1})

    return (lambda x, y: of(x, y)), (lambda x, y: of(y, x))


def _compare(op: str) -> Any:
    """A comparison of worked numbers; where other sizes could decide otherwise, what it found is a condition."""
    test = TESTS[op]

    def compare(x: Worked, y: Any) -> Any:
        if not isinstance(y, (int, np.integer)):
            return NotImplemented
        if type(y) is Worked and y.work is not x.work:  # from something kept of another program
            raise Unfollowed("two numbers that have nothing to do with each other are compared")
        p = added(x.poly, _poly(y), -1)
        known = decided(p, op)
        if known is not None:
            return known
        found = test(x.value, plainly(y))
        x.work.condition(f"{written(p)} {op if found else OPPOSITE[op]} 0")
        return found

    return compare


def _unfollowed(x: Any, *_: Any) -> Any:
    raise Unfollowed(f"a number that is worked out as {_text(x)} was read")


if TYPE_CHECKING:
    _Int = int
else:
    _Int = object


class Worked(_Int):
    """An integer that follows from sizes: its value at those at hand, and a polynomial."""

    __slots__ = ("poly", "value", "work")
    value: int
    poly: Poly
    work: Working

    def __new__(cls, work: Working, value: int, poly: Poly) -> Worked:
        out = object.__new__(cls)
        out.work, out.value, out.poly = work, value, poly
        return out

    __class__ = property(lambda self: int)

    __add__, __radd__ = _arithmetic("add", added)
    __sub__, __rsub__ = _arithmetic("sub", lambda p, q: added(p, q, -1))
    __mul__, __rmul__ = _arithmetic("mul", multiplied)
    __floordiv__, __rfloordiv__ = _divided("//")
    __mod__, __rmod__ = _divided("%")
    __eq__, __ne__ = _compare("=="), _compare("!=")
    __lt__, __le__ = _compare("<"), _compare("<=")
    __gt__, __ge__ = _compare(">"), _compare(">=")
    __index__ = __int__ = __float__ = __array__ = __truediv__ = __rtruediv__ = _unfollowed
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _unfollowed
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = bit_length = _unfollowed
    __pow__ = __rpow__ = __divmod__ = __rdivmod__ = __round__ = _unfollowed
    __str__ = __format__ = _unfollowed
    __array_ufunc__ = None

    def __hash__(self) -> int:
        return hash(frozenset(self.poly.items()))

    def __neg__(self) -> Any:
        return self * -1

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __repr__(self) -> str:
        return f"{self.value} ({_text(self)})"

"""Live numbers: what stands for a Python number during a capture that takes it as an input.

A live number has the value of the number and writes down what is done with it: arithmetic gives further live
numbers, and what Python learns from one (a comparison, ``int(x)``, ``str(x)``, a look at the value itself) becomes
a condition. `formulas` makes a function of it all, which says for other values whether the code would do the
same, and with which numbers.

Code in C has to ask for the value (`followed`), and is told, and that is a condition, too.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np

from .followed import Followed, leaked
from .symbolic import SYMBOLIC, SymFloat, SymInt


class Mode(threading.local):
    """The capture of this thread that takes numbers as inputs, by its formulas; None where there is none."""

    formulas: Any = None


mode = Mode()
STRANGERS = (Number, np.generic, SymInt, SymFloat)  # numbers that arithmetic is not followed with
# NumPy's scalars that are numbers; arithmetic with them and their functions is followed as Python's is
WHOLE: tuple[type, ...] = tuple(
    np.dtype(f"{u}int{bits}").type for u in ("", "u") for bits in (8, 16, 32, 64)
)
BROKEN: tuple[type, ...] = (np.float16, np.float32, np.float64)
# What an operator of NumPy's scalars may work out in another way than the function of this name that it asks for.
NOT_AS_OPERATORS = frozenset((np.power, np.floor_divide, np.remainder, np.divmod, np.float_power))


def given(x: Any) -> Any:
    """The plain number behind a live one; other values as they are. Says nothing to the capture."""
    return x._live_value if type(x) in LIVE else x


def settled(x: Any) -> Any:
    """`x` with plain numbers for live ones, in tuples, lists, dicts and slices, too; the capture is for these alone."""
    kind = type(x)
    if kind in LIVE:
        return x._read()
    if kind is tuple:
        return tuple([settled(v) for v in x])
    if kind is list:
        return [settled(v) for v in x]
    if kind is dict:
        return {settled(k): settled(v) for k, v in x.items()}
    if kind is slice:
        return slice(settled(x.start), settled(x.stop), settled(x.step))
    return x


def holds_live(x: Any) -> bool:
    """Whether `x` is a live number, or a tuple, list, dict or slice with one inside."""
    kind = type(x)
    if kind in LIVE:
        return True
    if kind is tuple or kind is list:
        return any(map(holds_live, x))
    if kind is dict:
        return any(map(holds_live, x.values()))
    return kind is slice and (holds_live(x.start) or holds_live(x.stop) or holds_live(x.step))


class Live(Followed):
    """A number that the capture takes as an input, or what arithmetic made of some.

    ``_live_code``: what it is called in the function that ``_live_formulas`` make; ``_live_text``: what users read;
    ``_live_sources``: the inputs that it depends on.
    """

    __slots__ = (
        "__weakref__", "_live_code", "_live_formulas", "_live_sources", "_live_text", "_live_value",
    )  # fmt: skip
    _live_kind: type = object

    def __init__(
        self, formulas: Any, value: Any, code: str, text: str, sources: frozenset[int]
    ) -> None:
        self._live_formulas = formulas
        self._live_value = value
        self._live_code = code
        self._live_text = text
        self._live_sources = sources

    @property
    def _live_recorded(self) -> bool:
        """Whether what is done with it is written down."""
        return mode.formulas is self._live_formulas and mode.formulas is not None

    def _held(self) -> Any:
        return self._live_value

    def _read(self) -> Any:
        # Other numbers may be cut to the same whole one.
        exactly = not self._live_text.startswith("int(")
        return self._live_told("{}", self._live_value, exactly)

    def _live_told(self, form: str, value: Any, exactly: bool = False) -> Any:
        """`value`, which Python learns of the number."""
        if self._live_recorded:
            self._live_formulas.told(form, value, (self,), exactly)
        return value

    # --- what Python asks of a number ---

    def __bool__(self) -> bool:
        return bool(self._live_told("bool({})", bool(self._live_value)))

    def __int__(self) -> int:
        if type(self._live_value) is not float:
            return int(self._read())
        return int(self._live_told("int({})", int(self._live_value)))

    def __format__(self, spec: str) -> str:
        return str(self._live_told(f"format({{}}, {spec!r})", format(self._live_value, spec)))

    def __round__(self, digits: Any = None) -> Any:
        digits = settled(digits)
        return _made(lambda x: round(x, digits), f"round({{}}, {digits!r})", (self,))

    def __trunc__(self) -> Any:
        return _made(int, "int({})", (self,))

    def __floor__(self) -> Any:
        return _made(lambda x: x.__floor__(), "{}.__floor__()", (self,))

    def __ceil__(self) -> Any:
        return _made(lambda x: x.__ceil__(), "{}.__ceil__()", (self,))

    def __neg__(self) -> Any:
        return _made(operator.neg, "-{}", (self,))

    def __abs__(self) -> Any:
        return _made(abs, "abs({})", (self,))

    # --- what NumPy asks ---

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = method == "__call__" and not kwargs and ufunc.nout == 1
        if plain and ufunc not in NOT_AS_OPERATORS and all(type(v) in NUMBERS for v in inputs):
            return called(ufunc, inputs)
        return getattr(ufunc, method)(*settled(inputs), **settled(kwargs))


class LiveFloat(Live):
    """A live number that is a float."""

    __slots__ = ()
    _live_kind = float
    __class__ = property(lambda self: float)


class LiveInt(Live):
    """A live number that is an int."""

    __slots__ = ()
    _live_kind = int
    __class__ = property(lambda self: int)

    def __index__(self) -> int:
        return int(self._read())


def _of_numpy(kind: type) -> type[Live]:
    base = LiveInt if kind in WHOLE else Live
    held = {"__slots__": (), "_live_kind": kind, "__class__": property(lambda self: kind)}
    return type(kind.__name__, (base,), held)


LIVE_NUMPY = {kind: _of_numpy(kind) for kind in (*WHOLE, *BROKEN)}
LIVE_OF: dict[type, type[Live]] = {float: LiveFloat, int: LiveInt, **LIVE_NUMPY}  # by kind
for _kind, _live in LIVE_OF.items():
    _live.__name__ = _kind.__name__  # what messages of errors call them, Python's own among them
LIVE = frozenset(LIVE_OF.values())
PLAIN = frozenset((bool, *LIVE_OF))
NUMBERS = PLAIN | LIVE


def as_python(x: Live) -> Any:
    """A live number of NumPy's as a live int or float, as ops take it; others as they are."""
    if type(x._live_value) in LIVE_NUMPY:
        return _made(lambda v: v.item(), "{}.item()", (x,))
    return x


def called(fn: Any, operands: tuple[Any, ...]) -> Any:
    """What a function of numbers gives for these, some of them live; it depends on their values alone."""
    form = f"{{}}({', '.join(['{}'] * len(operands))})"
    return _made(lambda _, *values: fn(*values), form, (fn, *operands))


# How objects of some types give the number that they stand for: `eager` says so of tensors.
NUMBER_IN: dict[type, Callable[[Any], Any]] = {}


def converted(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``kind(*args, **kwargs)``, where `kind` is float or int; live for one live number, or a tensor that gives one."""
    if len(args) == 1 and type(args[0]) in NUMBER_IN:
        args = (NUMBER_IN[type(args[0])](args[0]),)
    if len(args) != 1 or kwargs or type(args[0]) not in LIVE:
        return kind(*settled(args), **settled(kwargs))
    x = args[0]
    return x if x._live_kind is kind else _made(kind, f"{kind.__name__}({{}})", (x,))


def _made(fn: Callable[..., Any], form: str, operands: tuple[Any, ...]) -> Any:
    """What `fn` gives for operands, live where it is a number and the capture takes it down."""
    first = next(x for x in operands if type(x) in LIVE)
    try:
        value = fn(*map(given, operands))
    except Exception:
        settled(operands)  # the path depends on the error, if that is caught
        raise
    if not first._live_recorded:
        return value
    if type(value) is bool or type(value) is np.bool_:
        first._live_formulas.told(form, value, operands, False)
        return value
    if type(value) not in LIVE_OF:
        settled(operands)
        return value
    return first._live_formulas.made(form, value, operands)


def _with_size(x: Live, y: Any) -> bool:
    """Whether a float meets a size: the size is looked at, and the float goes on to be any number."""
    return type(y) in SYMBOLIC and x._live_kind is float


def _arithmetic(name: str, sign: str) -> Any:
    """An operator of live numbers and its reflected form; both give live numbers."""
    number: Callable[[Any, Any], Any] = getattr(operator, name)

    def apply(x: Any, y: Any) -> Any:
        for v in (x, y):
            if type(v) not in NUMBERS:
                if isinstance(v, STRANGERS):
                    return number(settled(x), settled(y))
                return NotImplemented
        return _made(number, f"{{}} {sign} {{}}", (x, y))

    def forward(x: Live, y: Any) -> Any:
        return apply(x, leaked(y) if _with_size(x, y) else y)

    def backward(x: Live, y: Any) -> Any:
        return apply(leaked(y) if _with_size(x, y) else y, x)

    return forward, backward


def _compare(name: str, sign: str) -> Any:
    """A comparison of live numbers; what it found is a condition."""
    test: Callable[[Any, Any], Any] = getattr(operator, name)

    def compare(x: Live, y: Any) -> Any:
        y = leaked(y) if _with_size(x, y) else y
        if type(y) not in NUMBERS:
            if isinstance(y, STRANGERS):
                return test(x._read(), y)
            return NotImplemented
        found = test(x._live_value, given(y))
        if x._live_recorded:
            x._live_formulas.told(f"{{}} {sign} {{}}", found, (x, y), False)
        return found

    return compare


for _name, _sign in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    setattr(Live, f"__{_name}__", _compare(_name, _sign))
for _name, _sign in {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%",
}.items():  # fmt: skip
    _forward, _backward = _arithmetic(_name, _sign)
    setattr(Live, f"__{_name}__", _forward)
    setattr(Live, f"__r{_name}__", _backward)
for _name, _sign in {"and_": "&", "or_": "|", "xor": "^", "lshift": "<<", "rshift": ">>"}.items():
    _forward, _backward = _arithmetic(_name, _sign)
    setattr(LiveInt, f"__{_name.rstrip('_')}__", _forward)
    setattr(LiveInt, f"__r{_name.rstrip('_')}__", _backward)

_power, _powered = _arithmetic("pow", "**")


def _pow(x: Any, y: Any, modulus: Any = None) -> Any:
    return _power(x, y) if modulus is None else pow(*settled((x, y, modulus)))


def _rpow(x: Any, y: Any, modulus: Any = None) -> Any:
    return _powered(x, y) if modulus is None else pow(*settled((y, x, modulus)))


def _invert(x: LiveInt) -> Any:
    return _made(operator.invert, "~{}", (x,))


for _class, _name, _method in (
    (Live, "__pow__", _pow), (Live, "__rpow__", _rpow), (LiveInt, "__invert__", _invert)
):  # fmt: skip
    setattr(_class, _name, _method)

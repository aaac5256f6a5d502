"""Live calls: `float`, `int`, `type` and the functions of `math` as live numbers need them, put where code reads them.

``math.sqrt(lr)`` and ``float(n)`` ask a live number for its value at C level, where nothing tells what became of it.
So during a capture with live numbers, code that reads such a function gets one that does the same, and takes down that
it did.
"""

from __future__ import annotations

import functools
import math
from types import BuiltinFunctionType, ModuleType
from typing import Any

from .followed import Followed
from .live import LIVE, NUMBERS, called, converted, settled

# Numbers to a number, by their values alone. `floor`, `ceil` and `trunc` ask the live number itself.
_NAMES = """
acos acosh asin asinh atan atan2 atanh cbrt comb copysign cos cosh degrees erf erfc exp exp2 expm1 fabs factorial
fma fmod gamma gcd hypot isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 nextafter perm pow
radians remainder sin sinh sqrt tan tanh ulp
""".split()


def _followed(fn: Any) -> Any:
    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs or not any(type(a) in LIVE for a in args):
            return fn(*args, **kwargs) if not kwargs else fn(*settled(args), **settled(kwargs))
        if all(type(a) in NUMBERS for a in args):
            return called(fn, args)
        return fn(*settled(args))

    return call


FOLLOWED: dict[Any, Any] = {
    fn: _followed(fn) for fn in (getattr(math, name, None) for name in _NAMES) if fn is not None
}


MODULE = ModuleType("math", math.__doc__)  # what stands for the module itself
vars(MODULE).update({k: FOLLOWED.get(v, v) if callable(v) else v for k, v in vars(math).items()})


def followed(x: Any) -> Any:
    """What stands for a function of `math`, or for the module; None for all else."""
    if x is math:
        return MODULE
    return FOLLOWED.get(x) if type(x) is BuiltinFunctionType else None


# --- the builtins ------------------------------------------------------------------------------


class Conversion(type):
    """The class of what stands for `float`, `int` or `type` while these are looked up as globals: all but a call is
    theirs."""

    _plain: type

    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, cls._plain)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls._plain)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls._plain

    def __hash__(cls) -> int:
        return hash(cls._plain)


# The name by which flows know the call
def __float__(cls: Conversion, *args: Any, **kwargs: Any) -> Any:
    return converted(float, args, kwargs)


def __int__(cls: Conversion, *args: Any, **kwargs: Any) -> Any:
    return converted(int, args, kwargs)


def __type__(cls: Conversion, *args: Any, **kwargs: Any) -> Any:
    """The type of what a live number stands for: those of inputs are checked, and others follow from them."""
    if len(args) == 1 and not kwargs and isinstance(args[0], Followed):
        return type(args[0]._held())
    return type(*args, **kwargs)


def _conversion(plain: type, call: Any) -> Conversion:
    meta = type("Conversion", (Conversion,), {"__call__": call})
    made: Conversion = meta(plain.__name__, (plain,), {"__module__": "builtins", "_plain": plain})
    return made


CONVERSIONS: dict[str, Conversion] = {
    "float": _conversion(float, __float__),
    "int": _conversion(int, __int__),
    "type": _conversion(type, __type__),
}

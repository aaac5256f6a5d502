"""Live calls: the functions of `math` as live numbers need them, which they put into the places that code reads.

``math.sqrt(lr)`` asks a live number for its value at C level, where nothing tells what became of it. So during a
capture with live numbers, code that reads such a function gets one that does the same, and takes down that it did.
"""

from __future__ import annotations

import functools
import math
from types import BuiltinFunctionType, ModuleType
from typing import Any

from .live import LIVE, NUMBERS, called, settled

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

"""Draws: random numbers of Python's and NumPy's generators, and readings of clocks, which a capture is told of.

``random.random()`` and ``time.perf_counter()`` give another number on each call. So during a capture the places where
code finds such a function, or a generator, hold a stand-in: it does the same, and tells the capture, which cuts the
program there and has each call draw its own number (`Draw`), once and in order.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType, MethodType
from typing import Any

from .. import recipes
from ..constant import exact
from ..context import state
from ..errors import user_location
from ..watch import origin_of, unchanging

# Methods that give a number by their arguments and the generator's state alone.
OF_PYTHON = frozenset(
    """random uniform randint randrange gauss normalvariate lognormvariate betavariate expovariate gammavariate
    paretovariate triangular vonmisesvariate weibullvariate getrandbits choice _randbelow""".split()
)
OF_NUMPY = frozenset(
    """beta binomial chisquare choice exponential f gamma geometric gumbel hypergeometric integers laplace logistic
    lognormal logseries negative_binomial noncentral_chisquare noncentral_f normal pareto poisson power rand randint
    randn random random_integers random_sample ranf rayleigh sample standard_cauchy standard_exponential standard_gamma
    standard_normal standard_t triangular uniform vonmises wald weibull zipf permutation permuted dirichlet multinomial
    multivariate_normal""".split()
)
SOURCES = {
    ("random", "Random"): OF_PYTHON,
    ("numpy.random._generator", "Generator"): OF_NUMPY,
    ("numpy.random.mtrand", "RandomState"): OF_NUMPY,
}
MODULES = "random", "numpy.random", "numpy.random.mtrand", "time"
CLOCKS = frozenset(
    clock
    for name in ("perf_counter", "time", "monotonic", "process_time", "thread_time")
    for clock in (getattr(time, name, None), getattr(time, f"{name}_ns", None))
    if clock is not None
)
# Modules that look at clocks for their own use.
OTHERS = sys.stdlib_module_names - {"__main__"} | {"dualgraph"}
# Names of what draws, or puts a generator into another state.
NAMES = OF_PYTHON | OF_NUMPY | frozenset("shuffle sample choices".split())


@functools.lru_cache(maxsize=1024)
def methods_of(kind: Any) -> frozenset[str]:
    """The methods of generators of this type that can be followed; empty for all other types."""
    module, name = kind.__module__, kind.__name__
    known = SOURCES.get((module, name)) if isinstance(module, str) else None
    return known if known and vars(sys.modules[module]).get(name) is kind else frozenset()


def is_source(value: Any) -> bool:
    """Whether a value is a generator of random numbers, or a method of one."""
    if type(value) is BuiltinFunctionType or type(value) is MethodType:
        value = value.__self__
    kind: Any = type(value)
    return bool(methods_of(kind))


def is_clock(value: Any) -> bool:
    """Whether a value is a function that tells the time."""
    return type(value) is BuiltinFunctionType and value in CLOCKS


def is_drawn(value: Any) -> bool:
    """Whether a value is a generator, a method of one, or a clock."""
    return is_source(value) or is_clock(value)


class Draw:
    """A call of a clock or a generator's method; the generator is always the same, or argument leaf number `leaf`."""

    __slots__ = ("args", "kwargs", "leaf", "method")

    def __init__(
        self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...],
        leaf: int | None = None,
    ) -> None:  # fmt: skip
        self.method, self.args, self.kwargs, self.leaf = method, args, kwargs, leaf

    @property
    def name(self) -> str:
        """What users know it by."""
        owner = self.method.__self__  # type: ignore[attr-defined]
        kind = getattr(owner, "__name__", type(owner).__name__)  # a clock's is a module
        return f"{kind}.{self.method.__name__}()"

    @property
    def of_clock(self) -> bool:
        """Whether it tells the time."""
        return is_clock(self.method)

    def same(self, other: Any) -> bool:
        """Whether another draw is from the same generator, in the same way."""
        if type(other) is not Draw or self.leaf != other.leaf:
            return False
        alike = self.method == other.method if self.leaf is None else self.name == other.name
        return alike and exact((self.args, self.kwargs)) == exact((other.args, other.kwargs))

    def number(self, leaves: Sequence[Any] | None = None) -> Any:
        """The next number in a call with these leaves (None: the captured one): one that was drawn before for a call
        that could not use it, or a new one."""
        if again.numbers:
            draw, number = again.numbers.popleft()
            if self.same(draw):
                return number
            again.numbers.clear()
        method = self.method
        if leaves is not None and self.leaf is not None:
            method = getattr(leaves[self.leaf], method.__name__)
        return method(*self.args, **dict(self.kwargs))


class Reading:
    """A number of an array that was drawn, or that NumPy worked out of some: it is read, as a call goes on with it."""

    __slots__ = ("recipe",)
    name = "a number of an array that is drawn"
    of_clock = False

    def __init__(self, recipe: Any) -> None:
        self.recipe = recipe

    def same(self, other: Any) -> bool:
        """Whether another is the same number of such arrays."""
        return type(other) is Reading and recipes.same(self.recipe, other.recipe)

    def number(self, leaves: Sequence[Any]) -> Any:
        """The number, in a call that has these arrays."""
        return recipes.value(self.recipe, leaves, {})


class Whole:
    """The array of a tensor, which is taken out as a whole: a call goes on whatever is in it."""

    __slots__ = ()
    name = "the array of a tensor"
    of_clock = False

    def same(self, other: Any) -> bool:
        """Whether another takes an array, too."""
        return type(other) is Whole


class Again(threading.local):
    """The numbers that a compiled call of this thread has drawn before it was left: who goes on with it gets them."""

    def __init__(self) -> None:
        self.numbers: deque[tuple[Draw, Any]] = deque()


again = Again()


@contextmanager
def drawn_again(numbers: Sequence[tuple[Draw, Any]]) -> Iterator[None]:
    """What runs inside draws these numbers first."""
    before, again.numbers = again.numbers, deque(numbers)
    try:
        yield
    finally:
        again.numbers = before


# --- stand-ins ------------------------------------------------------------------------------------


def stand_in(value: Any, leaf: int | None = None) -> Any:
    """What is put where code finds a generator, a method of one, or another function of their modules; with `leaf` it
    is an argument."""
    kind: Any = type(value)
    if methods_of(kind):
        return Source(value, leaf)
    owner: Any = type(getattr(value, "__self__", None))
    if is_clock(value):
        return _marked(_telling_time(value), value)
    if getattr(value, "__name__", "") not in methods_of(owner):
        return _marked(_unfollowed(value), value)
    return _marked((_choosing if _chooses(value) else _drawing)(value, leaf), value)


def _marked(function: Any, value: Any) -> Any:
    function._stands_for = value
    return function


def stood_for(value: Any) -> Any:
    """The generator, function or array that a stand-in stands for; other values as they are."""
    return getattr(value, "_stands_for", value) if type(value) in STANDING else origin_of(value)


def _drawing(method: Any, leaf: int | None) -> Any:
    @functools.wraps(method)
    def draw(*args: Any, **kwargs: Any) -> Any:
        if state.tracer is None and not again.numbers:
            return method(*args, **kwargs)
        try:
            every = args, tuple(sorted(kwargs.items()))
            given, named = recipes.constant(unchanging(every))
        except TypeError:
            _refuse(f"{method.__name__}() draws from what may change")
            return _plainly_called(method, args, kwargs)
        drawn = Draw(method, given, named, leaf)
        number, tracer = drawn.number(), state.tracer
        if tracer is None or tracer.watches:
            return number
        if tracer.of_body:
            _refuse(f"{method.__name__}() is called in the body of a loop or a branch")
            return number
        return tracer.drawn(drawn, number)

    return draw


def _telling_time(clock: Any) -> Any:
    read = _drawing(clock, None)

    @functools.wraps(clock)
    def now() -> Any:
        caller = sys._getframe(1).f_globals.get("__name__")
        return clock() if str(caller).partition(".")[0] in OTHERS else read()

    return now


def _chooses(method: Any) -> bool:
    return type(method.__self__).__module__ == "random" and method.__name__ == "choice"


def _choosing(method: Any, leaf: int | None) -> Any:
    """Python's `choice`, which draws an index; what is chosen may be anything."""
    index = _drawing(method.__self__._randbelow, leaf)

    @functools.wraps(method)
    def choice(seq: Any) -> Any:
        return seq[index(len(seq))] if len(seq) else method(seq)

    return choice


def _unfollowed(function: Any) -> Any:
    told = "the time" if function.__module__ == "time" else "a generator of random numbers"

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        _refuse(f"{function.__name__}() changes or reads {told}")
        return _plainly_called(function, args, kwargs)

    return call


def _plainly_called(function: Any, args: Any, kwargs: Any) -> Any:
    """A call without stand-ins among the arguments, which code in C may not take."""
    return function(*map(stood_for, args), **{k: stood_for(v) for k, v in kwargs.items()})


def _refuse(what: str) -> None:
    """The capture in progress is told that no program does this; the body of a loop may well do it when it is run."""
    tracer = state.tracer
    while tracer is not None and tracer.of_body:
        tracer = tracer._outer
    if tracer is not None:
        tracer.refusals.append(f"{what} at {user_location()}")


class Source:
    """What stands for a generator: methods that draw are followed, all else is told to the capture."""

    __slots__ = ("_leaf", "_stands_for")
    __class__ = property(lambda self: type(self._stands_for))

    def __init__(self, source: Any, leaf: int | None = None) -> None:
        self._stands_for, self._leaf = source, leaf

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stands_for, name)
        if callable(found):
            return stand_in(found, self._leaf)
        _refuse(f".{name} of a generator of random numbers is read")
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Source.__slots__:
            return object.__setattr__(self, name, value)
        _refuse(f".{name} of a generator of random numbers is set")
        setattr(self._stands_for, name, value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        _refuse("a generator of random numbers is copied")
        return self._stands_for.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return repr(self._stands_for)

    def __eq__(self, other: object) -> bool:
        return bool(self._stands_for == stood_for(other))

    def __hash__(self) -> int:
        return hash(self._stands_for)


STANDING = (Source, type(stand_in))

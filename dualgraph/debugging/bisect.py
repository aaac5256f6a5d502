"""bisect: the pass or rewrite that changes a result, found by halving the number of those applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..comparison import Snapshot, host_leaves
from ..core.errors import CaptureError, describe
from ..core.numbers.draws import drawn_again
from ..core.trees import flatten
from ..core.ulp import ulp_of
from ..jit.program import MISMATCH
from ..jit.tracing import trace
from ..passes.fuel import FUEL

ALL = 1 << 60


class Culprit(NamedTuple):
    """The application that makes the difference: with ``DUALGRAPH_FUEL`` below `fuel` all is well.

    ``what``: the pass, or the rewrite; None where nothing of the `units` applied does.
    """

    fuel: int
    what: str | None
    units: int

    def __bool__(self) -> bool:
        return self.what is not None

    def __str__(self) -> str:
        if self.what is None:
            return f"all {self.units} passes and rewrites keep the bits"
        return f"number {self.fuel} of {self.units}: {self.what}"


def bisect(fn: Any, *args: Any, check: Callable[[], bool] | None = None, **kwargs: Any) -> Culprit:
    """The first pass or rewrite after which ``fn(*args)`` has other bits compiled than eagerly.

    With `check` it is the first after which ``check()`` is false: a function of no arguments that
    compiles (with ``wait=True``, afresh) and looks at the result; `fn` may be None then.

    >>> import dualgraph as dg
    >>> bool(dg.bisect(lambda x: dg.exp(x).sum(), dg.ones(3)))  # nothing is wrong
    False
    """
    sound = check or (lambda: same_bits(fn, args, kwargs))
    with FUEL.limited(ALL) as fuel:
        well, units = sound(), fuel.used
    if well:
        return Culprit(units, None, units)
    low, high = 0, units  # well with `low` units, if with any; wrong with `high`
    what = "code generation"
    with FUEL.limited(0):
        if not sound():
            return Culprit(0, "no pass: capture, schedule or code generation", units)
    while high - low > 1:
        middle = (low + high) // 2
        with FUEL.limited(middle):
            if sound():
                low = middle
            else:
                high = middle
    with FUEL.limited(high) as fuel:
        sound()
        what = fuel.last
    return Culprit(high, what, units)


def same_bits(fn: Any, args: Any, kwargs: Any) -> bool:
    """Whether a fresh capture of ``fn(*args)`` has the bits of the eager run; what it wrote is put back."""
    inner = getattr(fn, "_captured_function", fn)
    leaves = flatten((args, kwargs))[0]
    snapshot = Snapshot(inner, (args, kwargs))
    result, program, reasons = trace(inner, args, kwargs, leaves)
    if program is None:
        raise CaptureError(describe("bisect", getattr(inner, "__name__", "fn"), "; ".join(reasons)))
    expected = [*host_leaves(result), *snapshot.values()]
    snapshot.restore()
    program.build()
    with drawn_again(program.trace.draws):
        again = MISMATCH if program.failure is not None else program.call(leaves)
    found = [*host_leaves(again), *snapshot.values()] if again is not MISMATCH else []
    snapshot.restore()
    return bool(found) and all(map(_equal, expected, found))


def _equal(a: Any, b: Any) -> bool:
    return a is b if a is None or b is None else ulp_of(a[0], b[0], a[1]) == 0

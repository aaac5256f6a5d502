"""What scripts ask for when they want runs that repeat. Here all do: the settings are kept, and change nothing."""

from __future__ import annotations

from .core.context import unrepeatable
from .core.errors import ArgumentError


class _Wanted:
    deterministic = False
    precision = "highest"


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Asks for results that repeat, which they do anyway: one seed gives one result, on any number of threads.

    >>> dg.use_deterministic_algorithms(True)
    >>> dg.are_deterministic_algorithms_enabled()
    True
    """
    unrepeatable("it sets whether results repeat")
    _Wanted.deterministic = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was last told; False at first.

    >>> dg.are_deterministic_algorithms_enabled() in (True, False)
    True
    """
    unrepeatable("it asks whether results repeat")
    return _Wanted.deterministic


def set_float32_matmul_precision(precision: str) -> None:
    """How exact float32 products must be at least: "highest", "high" or "medium". They are as by "highest" always.

    >>> dg.set_float32_matmul_precision("high")
    >>> dg.get_float32_matmul_precision()
    'high'
    """
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(f"precision is 'highest', 'high' or 'medium', not {precision!r}")
    unrepeatable("it sets the precision of products")
    _Wanted.precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was last told; "highest" at first.

    >>> dg.get_float32_matmul_precision() in ("highest", "high", "medium")
    True
    """
    unrepeatable("it asks for the precision of products")
    return _Wanted.precision

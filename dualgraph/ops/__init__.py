"""The op set: definitions only. What most new ops need is here: the decorators, and the dtype rules."""

from ..core.kinds import (
    chosen,
    elementwise,
    integral,
    logical,
    magnitude,
    numeric,
    opaque,
    ordered,
    real,
    real_float,
    reduction,
    to_bool,
    to_float,
)

__all__ = [
    "chosen",
    "elementwise",
    "integral",
    "logical",
    "magnitude",
    "numeric",
    "opaque",
    "ordered",
    "real",
    "real_float",
    "reduction",
    "to_bool",
    "to_float",
]

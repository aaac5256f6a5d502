"""Activations that write their result into the operand's memory: ``relu_(x)`` and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...eager import Tensor
from . import activation

EXAMPLE = """    >>> x = dg.ones(2)
    >>> dg.nn.functional.{}_(x{}) is x
    True
    """


def _in_place(name: str) -> Callable[..., Tensor]:
    plain = getattr(activation, name)

    def call(input: Tensor, *args: Any, **params: Any) -> Tensor:
        return plain(input, *args, **params, inplace=True)  # type: ignore[no-any-return]

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"`{name}`, written into `input`.\n\n{EXAMPLE.format(name, ', 0.5, 0.0' * (name == 'threshold'))}"
    return call


celu_, elu_, hardtanh_ = _in_place("celu"), _in_place("elu"), _in_place("hardtanh")
leaky_relu_, relu_, rrelu_ = _in_place("leaky_relu"), _in_place("relu"), _in_place("rrelu")
selu_, threshold_ = _in_place("selu"), _in_place("threshold")

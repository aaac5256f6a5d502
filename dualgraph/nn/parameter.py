"""Parameter: a tensor that a module trains."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor, asarray


class Parameter(Tensor):
    """A leaf tensor that registers itself when it is assigned to a module's attribute.

    It shares the memory of `data` and requires gradients unless told otherwise.

    >>> dg.nn.Parameter(dg.zeros(2)).requires_grad
    True
    """

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        source = data if isinstance(data, Tensor) else asarray(data)
        super().__init__(source._data, source.dtype, source.device)
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameter, (self.detach(), self.requires_grad)

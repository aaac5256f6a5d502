"""Conversion: a module's tensors cast to another dtype or moved to another device, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..eager import Tensor

Self = TypeVar("Self", bound="Convertible")


class Convertible:
    """What `Module` can do with all of its tensors at once."""

    _buffers: dict[str, Tensor | None]
    parameters: Callable[..., Iterator[Any]]
    modules: Callable[..., Iterator[Any]]

    def _convert(self: Self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Replaces the values of all parameters, their gradients and buffers by ``fn(value)``."""
        for param in self.parameters():
            grad = param.grad
            param.data = fn(param.detach())
            if grad is not None:
                param.grad = fn(grad.detach())
        done: dict[int, Tensor] = {}
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    if id(buffer) not in done:
                        done[id(buffer)] = fn(buffer)
                    module._buffers[name] = done[id(buffer)]
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Moves to a device and casts floating tensors: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``."""

        def convert(x: Tensor) -> Tensor:
            out = x.to(*args, **kwargs)
            whole = out.dtype is not x.dtype and not x.dtype.is_inexact
            return x.to(device=out.device) if whole else out  # integers and bools keep their dtype

        return self._convert(convert)

    def type(self: Self, dst_type: Any) -> Self:
        """Casts all parameters and buffers."""
        return self._convert(lambda x: x.type(dst_type))

    def float(self: Self) -> Self:
        """Casts floating tensors to float32."""
        return self.to(dtype="float32")

    def double(self: Self) -> Self:
        """Casts floating tensors to float64."""
        return self.to(dtype="float64")

    def half(self: Self) -> Self:
        """Casts floating tensors to float16."""
        return self.to(dtype="float16")

    def bfloat16(self: Self) -> Self:
        """Casts floating tensors to bfloat16."""
        return self.to(dtype="bfloat16")

    def cpu(self: Self) -> Self:
        """Moves to the CPU."""
        return self.to(device="cpu")

    def cuda(self: Self, device: Any = "cuda") -> Self:
        """Moves to a GPU."""
        return self.to(device=f"cuda:{device}" if isinstance(device, int) else device)

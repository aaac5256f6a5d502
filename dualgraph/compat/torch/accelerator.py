"""``torch.accelerator``: the device that is faster than the CPU, where there is one."""

from __future__ import annotations

from ...core.devices import Device
from ...cuda import device_count, is_available, synchronize


def current_accelerator(check_available: bool = False) -> Device | None:
    """The GPU; None without one.

    >>> import dualgraph.compat.torch as torch
    >>> device = torch.accelerator.current_accelerator() or torch.device("cpu")
    """
    return Device("cuda") if is_available() else None


__all__ = ["current_accelerator", "device_count", "is_available", "synchronize"]

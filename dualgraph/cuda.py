"""What scripts ask of ``torch.cuda``: whether there is a GPU, how many, and waiting for them.

>>> device = "cuda" if dg.cuda.is_available() else "cpu"
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from .eager.random import manual_seed

__all__ = [
    "device_count",
    "empty_cache",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "memory_allocated",
    "memory_reserved",
    "synchronize",
]


def __getattr__(name: str) -> Any:
    if name == "amp":  # PyTorch's older place of it
        return importlib.import_module(".amp", __package__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


manual_seed_all = manual_seed  # one generator draws for all devices


def _runtime() -> Any:
    """CuPy's runtime, or None without CuPy."""
    if importlib.util.find_spec("cupy") is None:
        return None
    return importlib.import_module("cupy").cuda.runtime


def device_count() -> int:
    """The number of GPUs that CuPy sees; 0 without CuPy.

    >>> dg.cuda.device_count() >= 0
    True
    """
    runtime = _runtime()
    if runtime is None:
        return 0
    try:
        return int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError:  # no driver, or no GPU
        return 0


def is_available() -> bool:
    """Whether tensors can be put on ``"cuda"``.

    >>> dg.cuda.is_available() in (True, False)
    True
    """
    return device_count() > 0


def synchronize(device: Any = None) -> None:
    """Waits until the GPU has done what it was asked to; nothing without one."""
    if is_available():
        _runtime().deviceSynchronize()


def empty_cache() -> None:
    """Gives the memory of the GPU that nothing uses back to the system; nothing without one."""
    if is_available():
        importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()


def memory_allocated(device: Any = None) -> int:
    """The bytes of the GPU that tensors take; 0 without one.

    >>> dg.cuda.memory_allocated() >= 0
    True
    """
    return (
        int(importlib.import_module("cupy").get_default_memory_pool().used_bytes())
        if is_available()
        else 0
    )


def memory_reserved(device: Any = None) -> int:
    """The bytes of the GPU that this process holds, those that wait to be used again included; 0 without one.

    >>> dg.cuda.memory_reserved() >= dg.cuda.memory_allocated()
    True
    """
    return (
        int(importlib.import_module("cupy").get_default_memory_pool().total_bytes())
        if is_available()
        else 0
    )

"""Hooks: what the passes may ask of the backend that will run the graph."""

from __future__ import annotations

from ..core.devices import CPU, Device
from ..passes.pipeline import Hooks
from .native import api as native


def hooks_for(device: Device, use: str | None = None) -> Hooks:
    """The answers for programs on `device`; `use="numpy"` keeps native code out."""
    if device is not CPU or use == "numpy" or not native.available():
        return Hooks()
    return Hooks(
        can_fuse=native.supports,
        accept=native.can_lower,
        finish=native.can_finish,
        lawful=native.is_lawful,
        weigh=native.instructions,
        singles=True,
    )

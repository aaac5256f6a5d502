"""``torch.types``: names for annotations."""

from collections.abc import Sequence
from typing import TypeAlias

from ...core.devices import Device as _Device

Number: TypeAlias = int | float | bool
Device: TypeAlias = _Device | str | int | None
_size: TypeAlias = Sequence[int]

__all__ = ["Device", "Number"]

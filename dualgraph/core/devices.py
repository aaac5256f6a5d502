"""Devices: where a tensor's memory lives."""

from __future__ import annotations

from typing import Any

from .errors import DeviceError


class Device:
    """A place for arrays: ``cpu``, or ``cuda:0``. Devices of one name are one object."""

    __slots__ = ("index", "type")

    def __init__(self, type: str, index: int = 0) -> None:
        self.type = type
        self.index = index

    def __repr__(self) -> str:
        return f"device('{self}')"

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self is as_device(other)
        return self is other

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return as_device, (str(self),)


CPU = Device("cpu")
_KNOWN: dict[str, Device] = {"cpu": CPU}
TYPES = ("cpu", "cuda")


def as_device(spec: Any) -> Device:
    """The ``Device`` meant by a ``Device`` or a name such as ``"cpu"``, ``"cuda"`` or ``"cuda:1"``."""
    if type(spec) is Device:
        return spec
    if isinstance(spec, str):
        found = _KNOWN.get(spec)
        if found is not None:
            return found
        kind, _, number = spec.partition(":")
        if kind in TYPES and (not number or number.isdigit()):
            index = int(number or 0)
            name = "cpu" if kind == "cpu" else f"{kind}:{index}"
            return _KNOWN.setdefault(spec, _KNOWN.setdefault(name, Device(kind, index)))
    raise DeviceError(f"{spec!r} is not a device; use 'cpu', 'cuda' or 'cuda:<number>'")

"""Devices: where a tensor's memory lives."""

from __future__ import annotations

from typing import Any

from .errors import DeviceError

TYPES = ("cpu", "cuda")
_KNOWN: dict[str, Device] = {}


class Device:
    """A place for arrays: ``cpu``, or ``cuda:0``. Devices of one name are one object.

    >>> dg.device("cuda", 1) is dg.device("cuda:1"), dg.device("cpu") == "cpu"
    (True, True)
    """

    __slots__ = ("index", "type")

    type: str
    index: int

    def __new__(cls, type: Any, index: int | None = None) -> Device:
        name = str(type) if index is None else f"{type}:{index}"
        found = _KNOWN.get(name)
        if found is not None:
            return found
        kind, _, number = name.partition(":")
        if kind not in TYPES or (number and not number.isdigit()):
            raise DeviceError(f"{name!r} is not a device; use 'cpu', 'cuda' or 'cuda:<number>'")
        made = object.__new__(cls)
        made.type, made.index = kind, 0 if kind == "cpu" else int(number or 0)
        return _KNOWN.setdefault(name, _KNOWN.setdefault(str(made), made))

    def __repr__(self) -> str:
        return f"device('{self}')"

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self is _KNOWN.get(other) or str(self) == other
        return self is other

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return as_device, (str(self),)


CPU = Device("cpu")


def as_device(spec: Any) -> Device:
    """The ``Device`` meant by a ``Device`` or a name such as ``"cpu"``, ``"cuda"`` or ``"cuda:1"``."""
    return spec if type(spec) is Device else Device(spec)

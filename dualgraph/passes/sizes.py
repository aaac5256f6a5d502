"""Sizes: numbers of bytes as text, and text as numbers of bytes."""

from __future__ import annotations

import re

from ..core.errors import ArgumentError


def human(nbytes: int) -> str:
    """``1.5 MiB``."""
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def budget_text(nbytes: int) -> str:
    """A text for `as_bytes` that gives these bytes, or up to a hundredth more.

    >>> budget_text(655_360), budget_text(2_100_000)
    ('656KB', '2100KB')
    """
    power = next(p for p in range(5) if nbytes <= 9999 * 1000**p or p == 4)
    return f"{-(-nbytes // 1000**power)}{' KMGT'[power].strip()}B"


def as_bytes(size: int | str) -> int:
    """A number of bytes, or a text such as ``"300MB"`` (powers of 1000) or ``"1.5 GiB"`` (of 1024).

    >>> as_bytes("300MB"), as_bytes("1.5 KiB"), as_bytes(64)
    (300000000, 1536, 64)
    """
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT]?)(i?)B)?\s*", size, re.IGNORECASE)
    if found is None:
        raise ArgumentError(
            f"{size!r} is not a size; use a number of bytes or a text such as '300MB'"
        )
    number, letter, binary = found.groups()
    power = " KMGT".index(letter.upper()) if letter else 0
    return int(float(number) * (1024 if binary else 1000) ** power)

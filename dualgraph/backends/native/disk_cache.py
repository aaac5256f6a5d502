"""Disk cache: object code of kernels kept between processes.

``DUALGRAPH_CACHE_DIR`` says where (default: the user's cache directory), ``DUALGRAPH_CACHE=0`` switches it
off. An entry is written whole or not at all and carries its own checksum; one that does not match is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

LIMIT = 256 * 2**20  # bytes; the oldest entries go first
_written = 0


def directory() -> Path | None:
    """Where entries are kept, or None."""
    if os.environ.get("DUALGRAPH_CACHE", "1") == "0":
        return None
    chosen = os.environ.get("DUALGRAPH_CACHE_DIR")
    base = (
        Path(chosen)
        if chosen
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualgraph"
    )
    return base / "kernels"


def key(text: str, tag: str) -> str:
    """The name of the entry for IR text compiled for a machine."""
    return hashlib.sha256(f"{tag}\n{text}".encode()).hexdigest()


def read(name: str) -> bytes | None:
    """The object code kept under a name."""
    place = directory()
    if place is None:
        return None
    try:
        data = (place / name).read_bytes()
    except OSError:
        return None
    code = data[32:]
    return code if code and hashlib.sha256(code).digest() == data[:32] else None


def write(name: str, code: bytes) -> None:
    """Keeps object code; failing to is no error."""
    place = directory()
    if place is None:
        return
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(temporary, place / name)
        _trim(place, len(code))


def _trim(place: Path, size: int) -> None:
    """Every few megabytes, drops the oldest entries beyond the limit."""
    global _written
    _written += size
    if _written < LIMIT // 64:
        return
    _written = 0
    entries = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(place))
    excess = sum(size for _, size, _ in entries) - LIMIT
    for _, bytes_, path in entries:
        if excess <= 0:
            break
        os.unlink(path)
        excess -= bytes_

"""Disk cache: object code of kernels kept between processes.

``DUALGRAPH_CACHE_DIR`` says where (default: the user's cache directory), ``DUALGRAPH_CACHE=0`` switches it
off. An entry is written whole or not at all and carries its own checksum; one that does not match is ignored,
as is one that belongs to another user (but root), since entries are run. A folder that cannot be read or
written is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

KERNELS = "kernels"
PROGRAMS = "programs"  # and what is known of the processor and of our sources
LIMIT = 256 * 2**20  # bytes; the oldest entries go first
_written = 0


def directory(folder: str = KERNELS) -> Path | None:
    """Where entries of a kind are kept, or None."""
    if os.environ.get("DUALGRAPH_CACHE", "1") == "0":
        return None
    chosen = os.environ.get("DUALGRAPH_CACHE_DIR")
    if chosen:
        return Path(chosen) / folder
    general = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(general) if general else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return None
    return base / "dualgraph" / folder


def key(text: str | bytes, tag: str) -> str:
    """The name of the entry for IR text compiled for a machine, or for what else follows from a text and a tag."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(f"{len(tag)} {tag}\n".encode() + data).hexdigest()


def whole(data: bytes) -> bytes | None:
    """The object code in an entry; None if it is damaged."""
    code = data[32:]
    return code if code and hashlib.sha256(code).digest() == data[:32] else None


def read(name: str, folder: str = KERNELS) -> bytes | None:
    """The object code, or what else is kept, under a name."""
    place = directory(folder)
    if place is None:
        return None
    try:
        with open(place / name, "rb", buffering=0) as file:
            return whole(file.read()) if _trusted(file.fileno()) else None
    except OSError:
        return None


def _trusted(file: int) -> bool:
    """Whether a file belongs to this user or to root."""
    return not hasattr(os, "getuid") or os.fstat(file).st_uid in (os.getuid(), 0)


def write(name: str, code: bytes, folder: str = KERNELS) -> None:
    """Keeps object code, or something else; failing to is no error."""
    place = directory(folder)
    if place is None:
        return
    temporary = ""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place)
        _fill(handle, hashlib.sha256(code).digest() + code)
        os.replace(temporary, place / name)
        temporary = ""
        _trim(place, len(code))
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _fill(handle: int, data: bytes) -> None:
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _trim(place: Path, size: int) -> None:
    """Every few megabytes, drops the oldest entries beyond the limit."""
    global _written
    _written += size
    if _written < LIMIT // 64:
        return
    _written = 0
    with os.scandir(place) as found:
        entries = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in found)
    excess = sum(size for _, size, _ in entries) - LIMIT
    for _, bytes_, path in entries:
        if excess <= 0:
            break
        os.unlink(path)
        excess -= bytes_

"""Version: what kept files depend on besides what they were asked for - the code that makes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from . import disk_cache
from .aside import aside

KERNELS = ("core", "ops", "backends/native")  # what decides which IR is written
PROGRAMS = ("static", "passes", "backends")  # and which graph


class Version(NamedTuple):
    """Digests of the sources that decide what kernels are, and what programs are; empty where there are none."""

    kernels: str
    programs: str


@cache
def versions() -> Version:
    """The digests. Which sources have which digest is kept, too, by their names, sizes and times of change."""
    try:
        files = [sorted(_sources(parts)) for parts in (KERNELS, PROGRAMS)]
        if not files[0]:
            return Version("", "")
        name = disk_cache.key(repr(files), "sources")
        known = (
            (disk_cache.read(name, disk_cache.PROGRAMS) or b"").decode("ascii", "replace").split()
        )
        if len(known) == 2:
            return Version(*known)
        own, more = (_digest(path for path, *_ in some) for some in files)
    except OSError:
        return Version("", "")
    text = f"{own} {own}{more}"
    aside(lambda: disk_cache.write(name, text.encode(), disk_cache.PROGRAMS))
    return Version(*text.split())


def version() -> str:
    """A digest of the sources that decide what IR is written; empty where they cannot be read."""
    return versions().kernels


def _sources(parts: tuple[str, ...]) -> Iterator[tuple[str, int, int, int, int]]:
    """The files, and what changes when they do."""
    top = Path(__file__).parents[2]
    folders = [os.path.join(top, part) for part in parts]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    s = entry.stat()
                    yield entry.path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino
                elif entry.is_dir() and not entry.name.startswith("__"):
                    folders.append(entry.path)


def _digest(files: Iterator[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()

"""Host: the processor that code is made for, and LLVM's version; LLVM is loaded once to ask, then never for this."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import NamedTuple

from . import disk_cache
from .aside import aside

DESCRIPTION = "/proc/cpuinfo"
VARYING = ("processor", "cpu MHz", "bogomips", "BogoMIPS", "apicid", "initial apicid", "core id")


class Host(NamedTuple):
    """``makers``: the versions of llvmlite and LLVM. ``cpu`` and ``features``: as LLVM calls them."""

    makers: str
    cpu: str
    features: str
    has_fma: bool

    @property
    def has_avx512(self) -> bool:
        """Whether there are registers of 512 bits."""
        needed = {"+avx512f", "+avx512vl", "+avx512dq"}
        return self.cpu == "x86-64-v4" or needed <= set(self.features.split(","))


@cache
def host() -> Host:
    """This machine, or the level in ``DUALGRAPH_CPU``.

    A level (``x86-64``, ``x86-64-v2``, ``-v3``, ``-v4``) makes code for older machines; its bits are the same.
    """
    machine = _remembered() or _asked()
    level = os.environ.get("DUALGRAPH_CPU")
    if not level:
        return machine
    return Host(machine.makers, level, "", level in ("x86-64-v3", "x86-64-v4"))


def _remembered() -> Host | None:
    """What LLVM said on a machine of this description."""
    name = _name()
    fields = (
        (disk_cache.read(name, disk_cache.PROGRAMS) or b"").decode("utf-8", "replace").split("\n")
        if name
        else []
    )
    return Host(*fields[:3], fields[3] == "1") if len(fields) == 4 else None


def _asked() -> Host:
    """What LLVM says."""
    found: Host = importlib.import_module(".generators", __package__).asked()
    name = _name()
    if name is not None:
        text = "\n".join((*found[:3], str(int(found.has_fma))))
        aside(lambda: disk_cache.write(name, text.encode(), disk_cache.PROGRAMS))
    return found


@cache
def _name() -> str | None:
    """The file that keeps the answer: by the system's description of the processor, and LLVM's library."""
    spec = importlib.util.find_spec("llvmlite")
    try:
        with open(DESCRIPTION, encoding="utf-8", errors="replace") as file:
            lines = file.read(8192).split("\n\n")[0].splitlines()
        folders = [os.path.join(f, "binding") for f in spec.submodule_search_locations or ()]  # type: ignore[union-attr]
        library = []
        for folder in folders:
            with os.scandir(folder) as entries:
                library += [
                    (e.path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
                    for e in entries
                    if "llvmlite" in e.name and (s := e.stat())
                ]
    except (OSError, AttributeError):
        return None
    fixed = [line for line in lines if not line.startswith(VARYING)]
    return disk_cache.key(repr((fixed, sorted(library))), "host") if library else None

"""Loader: relocatable object code of x86-64 ELF put into memory, without LLVM.

Our code refers to itself, and now and then to a function of the C library: a handful of relocations is all there is
(System V Application Binary Interface, AMD64 Architecture Processor Supplement, chapters 4 and 5). `load` gives None
for whatever it does not know, and on other systems: LLVM's own linker takes that. Unwind tables are not registered:
nothing is thrown through this code.

    one mapping:  code and constants (executable, not writable) | data and slots (writable, not executable)
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from functools import cache
from typing import Any, NamedTuple

NULL, PROGRAM, SYMBOLS, STRINGS, RELOCATIONS, ZEROS, UNWIND = 0, 1, 2, 3, 4, 8, 0x70000001
WRITE, ALLOCATE = 1, 2
PLAIN64, PC32, PLT32, SLOT, SLOT_OLD, SLOT_REX = 1, 2, 4, 9, 41, 42  # R_X86_64_...
JUMP = b"\xff\x25\0\0\0\0"  # jmp *(%rip), the address behind it
NO_PAGES = 2**64 - 1  # MAP_FAILED
OUTSIDE, ABSOLUTE, COMMON = 0, 0xFFF1, 0xFFF2


class Unknown(Exception):
    """Something that this loader has no rule for."""


class Section(NamedTuple):
    """An entry of the section table."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class Loaded(NamedTuple):
    """Code that can be called while this object lives: its memory, and the addresses of its functions."""

    memory: Any
    addresses: dict[str, int]


def load(code: bytes, symbols: tuple[str, ...]) -> Loaded | None:
    """Object code ready to be called; None where LLVM has to do it. Raises KeyError for a symbol that is not in it."""
    if not possible():
        return None
    try:
        return _Object(code).loaded(symbols)
    except (Unknown, struct.error, IndexError, OSError, ValueError):
        return None


@cache
def possible() -> bool:
    """Whether code is loaded here: Linux on x86-64."""
    return (
        sys.platform == "linux"
        and platform.machine() == "x86_64"
        and sys.maxsize > 2**32
        and hasattr(mmap, "MAP_PRIVATE")
    )


@cache
def _process() -> Any:
    """The functions of this process, the C library's among them."""
    process = ctypes.CDLL(None)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    process.mmap.restype = pointer
    process.mmap.argtypes = (pointer, size, number, number, number, ctypes.c_long)
    process.mprotect.argtypes = (pointer, size, number)
    process.munmap.argtypes = (pointer, size)
    return process


class Memory:
    """Pages of our own, given back with this object; not when the interpreter ends: threads may be in their code."""

    __slots__ = ("address", "size")

    def __init__(self, size: int) -> None:
        self.address = 0
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        made = _process().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if made is None or made == NO_PAGES:
            raise OSError("no memory for code")
        self.address = made

    def fill(self, image: bytearray, fixed: int) -> None:
        """Takes its contents; the first `fixed` bytes, whole pages, may be run from then on, and not be written."""
        given = (ctypes.c_char * len(image)).from_buffer(image)
        ctypes.memmove(self.address, given, len(image))
        if _process().mprotect(self.address, fixed, mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError("memory cannot be made executable")

    def __del__(self, ending: Any = sys.is_finalizing) -> None:
        if self.address and not ending():
            _process().munmap(self.address, self.size)


class _Object:
    """An object file, and where its sections go."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        if code[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", code, 16) != (1, 62):
            raise Unknown
        (table,) = struct.unpack_from("<Q", code, 40)
        _, count, _ = struct.unpack_from("<HHH", code, 58)
        self.sections = [
            Section(*struct.unpack_from("<IIQQQQIIQQ", code, table + 64 * i)) for i in range(count)
        ]
        self._place()
        self.symbols = self._symbols()

    def _place(self) -> None:
        """Offsets of the sections that are loaded: first those that stay as they are, then those that are written."""
        self.places: dict[int, int] = {}
        end = 0
        for writable in (0, WRITE):
            for i, s in enumerate(self.sections):
                wanted = s.flags & ALLOCATE and s.kind not in (UNWIND, NULL) and s.size
                if not wanted or s.flags & WRITE != writable:
                    continue
                if s.kind not in (PROGRAM, ZEROS):
                    raise Unknown
                end = _aligned(end, max(s.alignment, 1))
                self.places[i] = end
                end += s.size
            if not writable:
                # Jumps to functions outside, one for each symbol that may be one.
                self.jumps = end = _aligned(end, 16)
                end += 16 * self._outside()
                self.writable = end = _aligned(end, mmap.PAGESIZE)
        self.slots = self.end = _aligned(end, 8)

    def _outside(self) -> int:
        return sum(1 for section, _, _ in self._entries() if section == OUTSIDE)

    def _entries(self) -> list[tuple[int, int, int]]:
        """For each symbol its section, its value, and where its name is."""
        for s in self.sections:
            if s.kind == SYMBOLS:
                names = self.sections[s.link].offset
                data = self.code[s.offset : s.offset + s.size]
                return [
                    (section, value, names + name)
                    for name, _, _, section, value, _ in struct.iter_unpack("<IBBHQQ", data)
                ]
        return []

    def _symbols(self) -> list[tuple[int | None, str]]:
        """For each symbol its offset in the mapping (None: it is not loaded, or outside), and its name."""
        found: list[tuple[int | None, str]] = []
        for section, value, at in self._entries():
            if section in (ABSOLUTE, COMMON) and value:
                raise Unknown
            base = self.places.get(section)
            name = self.code[at : self.code.index(b"\0", at)].decode()
            found.append((None if base is None else base + value, name))
        return found

    def loaded(self, symbols: tuple[str, ...]) -> Loaded:
        """Puts the code into memory, with its references in place."""
        patches, slots, jumps = self._relocations()
        image = bytearray(self.slots + 8 * len(slots))
        memory = Memory(len(image))
        base = memory.address
        for i, place in self.places.items():
            s = self.sections[i]
            if s.kind == PROGRAM:
                image[place : place + s.size] = self.code[s.offset : s.offset + s.size]
        for name, place in jumps.items():
            image[place : place + 14] = JUMP + struct.pack("<Q", _outside_address(name))
        for symbol, place in slots.items():
            struct.pack_into("<Q", image, place, self._absolute(symbol, base))
        for form, place, value in patches:
            struct.pack_into(form, image, place, value + (base if form == "<Q" else 0))
        memory.fill(image, self.writable)
        where = {name: offset for offset, name in self.symbols if offset is not None and name}
        return Loaded(memory, {s: base + where[s] for s in symbols})

    def _absolute(self, symbol: int, base: int) -> int:
        offset, name = self.symbols[symbol]
        return base + offset if offset is not None else _outside_address(name)

    def _relocations(self) -> tuple[list[tuple[str, int, int]], dict[int, int], dict[str, int]]:
        """What is written where (64 bits: beside the mapping's address); slots by symbol; jumps by name."""
        patches: list[tuple[str, int, int]] = []
        slots: dict[int, int] = {}
        jumps: dict[str, int] = {}
        for s in self.sections:
            base = self.places.get(s.info) if s.kind == RELOCATIONS else None
            if base is None:
                continue
            data = self.code[s.offset : s.offset + s.size]
            for offset, info, addend in struct.iter_unpack("<QQq", data):
                symbol, kind, place = info >> 32, info & 0xFFFFFFFF, base + offset
                target, name = self.symbols[symbol]
                if kind in (SLOT, SLOT_OLD, SLOT_REX):
                    at = slots.setdefault(symbol, self.slots + 8 * len(slots))
                    patches.append(("<i", place, at + addend - place))
                elif kind in (PC32, PLT32):
                    if target is None:
                        if kind == PC32 or not name:
                            raise Unknown
                        target = jumps.setdefault(name, self.jumps + 16 * len(jumps))
                    patches.append(("<i", place, target + addend - place))
                elif kind == PLAIN64 and target is not None:
                    patches.append(("<Q", place, target + addend))
                else:
                    raise Unknown
        return patches, slots, jumps


def _outside_address(name: str) -> int:
    """The address of a function of this process."""
    try:
        found: int | None = ctypes.cast(getattr(_process(), name), ctypes.c_void_p).value
    except AttributeError as error:
        raise Unknown from error
    if not found:
        raise Unknown
    return found


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment

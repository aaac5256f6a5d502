"""Recipes: a contraction as stages over the arrays of a call and a workspace, for any number of threads."""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from ....core.process import forks
from ..team.room import Room
from ..team.spots import ZERO_WORD, Late, NotNative, Ref, Spot
from ..team.team import team as native_team
from ..thread_memory import ALIGN, memory
from ..threads import pool
from . import kernels
from .team import LINE, MOVED, PART, POINTERS, SAMPLE, STAGE

SHARED = 250_000  # work, in products, that is not cut further
HELPED = 2_000_000  # work from which other threads are asked to help


@cache
def _politely() -> int:
    """The address of the system's function that offers the processor to others."""
    library, name = ("kernel32", "SwitchToThread") if os.name == "nt" else (None, "sched_yield")
    function = getattr(ctypes.CDLL(library), name)
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Stage(NamedTuple):
    """``function(record, pointers, scratch, begin, end)`` for `units` units that do not depend on each other.

    `work` is about how many products all units take, `scratch` the bytes
    that a thread needs of its own. ``ahead``: it reads one array that lasts (its slot), and fills a slot. Its
    `code` may be on its way.
    """

    code: int | Late
    record: Record
    units: int
    work: int
    scratch: int = 0
    ahead: tuple[int, int] | None = None

    @property
    def function(self) -> int:
        """The address of the function; waits for the code."""
        return self.code.found() if isinstance(self.code, Late) else self.code

    @property
    def place(self) -> int:
        """The address of the record."""
        return self.record.address

    @property
    def grain(self) -> int:
        """Units that are taken at a time."""
        return max(
            1, min(-(-self.units // pool.size), SHARED * self.units // max(1, 2 * self.work))
        )


class Record:
    """Numbers as native code reads them, int64 at an `address`; it keeps alive what it has addresses of."""

    __slots__ = ("address", "kept", "words")

    def __init__(self, values: Iterable[int], kept: Any = None) -> None:
        self.words, self.kept = array("q", values), kept
        self.address: int = self.words.buffer_info()[0]


_making = forks.lock()


class Recipe:
    """Stages, each over what the ones before it have left; `arrays` of them are given by the caller.

    Calls may run at once; each has a workspace of its own. Arrays in the slots of `lasting` are the same in all
    turns of a loop that the stages are part of.
    """

    whole_units = False  # whether stages may be cut in any number of units

    def __init__(self, arrays: int, lasting: frozenset[int] = frozenset()) -> None:
        self.arrays = arrays
        self.lasting = lasting
        self.stages: list[Stage] = []
        self.sizes: dict[str, int] = {}  # of the slots in the workspace
        self._table: Any = None

    def room(self, name: str, size: int) -> int:
        """A slot for so many bytes of workspace; asked for twice, one that serves both purposes in turn."""
        self.sizes[name] = max(size, self.sizes.get(name, 0))
        slot = self.arrays + list(self.sizes).index(name)
        assert slot < POINTERS, "too many slots"
        return slot

    def before(self, name: str, size: int) -> int:
        """A slot for what is there before the stages that are put in next begin."""
        return self.room(name, size)

    @property
    def bytes(self) -> int:
        """Bytes of workspace that a call needs."""
        return sum(size + -size % ALIGN for size in self.sizes.values())

    def add(self, *stages: Stage) -> None:
        """Puts stages at the end; those without units are left out."""
        self.stages += [s for s in stages if s.units]

    prepare = add

    @property
    def work(self) -> int:
        return sum(s.work for s in self.stages)

    def make_ready(self) -> None:
        """Builds the table that the team reads; once, whatever threads ask for it."""
        with _making:
            if self._table is None:
                self._make_ready()

    def _make_ready(self) -> None:
        """Builds the table, and decides how many threads help."""
        fields = [v for s in self.stages for v in (s.function, s.place, s.units, s.grain)]
        assert len(fields) == len(self.stages) * len(STAGE)
        table = Record(fields)
        self.table = table.address
        sizes = [size + -size % ALIGN for size in self.sizes.values()]
        self.offsets = [0, *accumulate(sizes)]
        self.scratch = max((s.scratch for s in self.stages), default=0)
        widest = max((s.units for s in self.stages), default=0)
        self.helpers = min(pool.size, widest) - 1 if self.work >= HELPED else 0
        self._state = ctypes.c_int64 * (2 * LINE // 8 * len(self.stages))
        self._pointers = ctypes.c_void_p * POINTERS
        self.perform = kernels.team().perform
        self._perform_at = ctypes.cast(self.perform, ctypes.c_void_p).value or 0
        self._table = table  # last: it says to other threads that all is there

    def __call__(self, *addresses: int) -> None:
        """Runs on arrays at these addresses."""
        if self._table is None:
            self.make_ready()
        *offsets, total = self.offsets
        start = memory("workspace", total) if offsets else 0
        pointers = self._pointers(*addresses, *[start + offset for offset in offsets])
        state = self._state()
        if self.helpers > 0:
            words = (
                self._perform_at,
                self.table,
                len(self.stages),
                *map(ctypes.addressof, (state, pointers)),
            )
            native_team().share(
                native_team().join, (*words, _politely()), self.helpers + 1, scratch=self.scratch
            )
        else:
            self.take(state, pointers)

    def write(self, room: Room, *arrays: Spot, results: int = 1) -> None:
        """The stages in a native program, on arrays that will be there; the last ones are the results."""
        if not self.work:
            raise NotNative("a product of nothing")
        ready = {s.ahead[1] for s in self.stages if s.ahead is not None}
        spots = list(arrays)
        for i, size in enumerate(self.sizes.values(), self.arrays):
            spots.append(room.keep(size) if i in ready else room.take((size,), np.uint8))
        places = [s.at for s in spots] + [Ref(ZERO_WORD)] * (POINTERS - len(spots))
        written = [s for i, s in enumerate(spots) if i >= len(arrays) - results and i not in ready]
        for s in self.stages:
            words = s.function, s.place, *places
            reads, writes = spots, written
            if s.ahead is not None:
                reads, writes = [spots[s.ahead[0]]], [spots[s.ahead[1]]]
            room.run(
                native_team().stage, words, s.units, reads, writes,
                scratch=s.scratch, work=s.work, keep=s.record, ahead=s.ahead is not None,
            )  # fmt: skip

    def take(self, state: Any, pointers: Any) -> None:
        """Works through the stages with whoever else does."""
        self.perform(
            self.table,
            len(self.stages),
            state,
            pointers,
            memory("scratch", self.scratch),
            _politely(),
        )


class Pieces:
    """A part of a recipe that runs piece by piece - images, or groups of their channels - all its stages for one
    after the other, so that what they hand on stays in the cache: it lies in memory of the thread's own.

    The units of each stage are the same number for each piece, in order.
    """

    whole_units = True
    lasting: frozenset[int] = frozenset()

    def __init__(self, recipe: Recipe, pieces: int) -> None:
        self.recipe, self.pieces = recipe, pieces
        self.arrays = recipe.arrays
        self.stages: list[Stage] = []
        self.moved: list[tuple[int, int]] = []  # slots, and bytes of a piece

    def room(self, name: str, size: int) -> int:
        """A slot for so many bytes, of all pieces; names are used once."""
        slot = self.recipe.room(name, 0)
        self.moved.append((slot, size // self.pieces))
        return slot

    def before(self, name: str, size: int) -> int:
        """A slot that all pieces read; it is of its own."""
        return self.recipe.room(f"{name} of {len(self.recipe.sizes)}", size)

    def add(self, *stages: Stage) -> None:
        """Puts stages at the end; those without units are left out."""
        self.stages += [s for s in stages if s.units]

    def prepare(self, *stages: Stage) -> None:
        """Puts stages before all pieces."""
        self.recipe.add(*stages)

    def close(self) -> None:
        """Puts them all into the recipe, as one stage."""
        offset, places = 0, []
        for slot, size in self.moved:
            places += [slot, size, offset]
            offset += size + -size % ALIGN
        parts = [v for s in self.stages for v in (s.function, s.place, s.units // self.pieces)]
        head = len(self.stages), len(self.moved), offset
        assert len(head) == len(SAMPLE) and len(places) == len(self.moved) * len(MOVED)
        assert len(parts) == len(self.stages) * len(PART)
        values = Record([*head, *places, *parts], [s.record for s in self.stages])
        scratch = offset + max(s.scratch for s in self.stages)
        work = sum(s.work for s in self.stages)
        self.recipe.add(Stage(kernels.team().each, values, self.pieces, work, scratch))


@contextmanager
def in_pieces(recipe: Recipe, pieces: int) -> Iterator[Recipe | Pieces]:
    """What to put stages into that are to run in so many pieces; 0 for all at once."""
    if not pieces:
        yield recipe
        return
    inner = Pieces(recipe, pieces)
    yield inner
    inner.close()

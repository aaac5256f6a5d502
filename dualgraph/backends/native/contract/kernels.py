"""Compiled kernels: each is made when first needed, once for a processor, and kept on disk."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..addresses import DIRECT, HEADER
from ..jit import Machine, jit
from ..team.spots import Late
from ..team.team import begin as begin_team
from ..threads import pool
from .copy import emit_copy
from .dots_code import emit_dots
from .driver import emit_driver
from .fold import emit_fold
from .lanewise_code import emit_lanewise
from .micro import Line, emit_micro
from .pack import emit_pack
from .planewise_code import Form as PlaneForm
from .planewise_code import emit_planewise
from .rowwise import emit_rowwise
from .shape import Geometry, geometry
from .small_code import emit_small
from .team import emit_team
from .weave_code import emit_weave

WHOLE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
# keeps the interpreter lock: less to do for a short call
BRIEF = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 4)
PERFORM = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 4)
STAGES = ("run", "pack_x", "pack_y", "finish", "apart")
_kept: list[Machine] = []  # machine code that addresses in plans point into


def vector_bytes() -> int:
    """The width of this processor's vectors."""
    cpu, features = jit().cpu, jit().features.split(",")
    if cpu == "x86-64-v4" or {"+avx512f", "+avx512vl", "+avx512dq"} <= set(features):
        return 64
    return 32 if cpu == "x86-64-v3" or "+avx2" in features else 16


@cache
def _machine(symbols: tuple[str, ...], emit: Callable[..., str], *args: Any) -> Machine:
    """Machine code of what `emit` writes for these arguments; with a version, it need not be written again."""
    machine = jit().compile(f"{emit.__name__}{args}", symbols, lambda: emit(*args))
    _kept.append(machine)
    return machine


def _address(symbol: str, emit: Callable[..., str], *args: Any) -> int:
    return _machine((symbol,), emit, *args).addresses[symbol]


def _late(symbol: str, emit: Callable[..., str], *args: Any) -> Late:
    return Late(_machine((symbol,), emit, *args), symbol)


@cache
def shape_for(dtype: str) -> Geometry:
    """The register blocking of this processor for float32 or float64."""
    return geometry(dtype, vector_bytes())


@cache
def micro(
    shape: Geometry, rows: int, vectors: int, masked: bool, tabled: bool, line: Line | None = None
) -> int:
    """The address of a micro-kernel."""
    return _address("micro", emit_micro, shape, rows, vectors, masked, tabled, line)


@cache
def pack(shape: Geometry, tables: bool) -> int:
    """The address of a packing function."""
    return _address("pack", emit_pack, shape, tables)


Form = tuple[int, int, bool, bool, Line | None]  # of a micro-kernel: what `micro` is given


@cache
def micros(
    shape: Geometry, forms: tuple[Form | None, ...], packs: tuple[bool, ...]
) -> tuple[int, ...]:
    """The addresses of a product's micro-kernels, all made at once with what packs its operands; 0 for None."""
    begin(shape, [f for f in forms if f], packs)
    return tuple(micro(shape, *f) if f else 0 for f in forms)


def begin(shape: Geometry, micros: Iterable[Form], packs: Iterable[bool]) -> None:
    """Lets the kernels of a product be made at once: what is asked for next is on its way."""
    _driver()
    for tables in packs:
        _machine(("pack",), emit_pack, shape, tables)
    for how in micros:
        _machine(("micro",), emit_micro, shape, *how)
    _team()
    if pool.size > 1:
        begin_team()


@cache
def copy(shape: Geometry) -> Late:
    """The copying function, which puts images where products read them through tables."""
    found = _late("copy", emit_copy, shape)
    begin(shape, (), (True,))
    return found


@cache
def weave(shape: Geometry) -> Late:
    """The function that weaves lines."""
    return _late("weave", emit_weave, shape)


@cache
def fold(shape: Geometry) -> Late:
    """The function that adds the sums of blocks."""
    return _late("fold", emit_fold, shape)


@cache
def lanewise(shape: Geometry, rows: int, columns: int, dilation: int) -> Late:
    """A weight gradient with groups in lanes."""
    return _late("lanewise", emit_lanewise, shape, rows, columns, dilation)


@cache
def planewise(shape: Geometry, form: PlaneForm) -> Late:
    """A convolution of planes read in place."""
    return _late("planewise", emit_planewise, shape, form)


@dataclass(frozen=True)
class Entries:
    """The driver's entries: stages of a product (addresses), and whole products on array objects or addresses."""

    run: int
    pack_x: int
    pack_y: int
    finish: int
    apart: int
    whole: Any
    brief: Any


@cache
def driver() -> Entries:
    """The compiled driver; the whole ones take array objects (their ids) if DIRECT, else addresses."""
    at = _driver().addresses
    whole = at["flat" if DIRECT else "whole"]
    return Entries(*(at[s] for s in STAGES), WHOLE(whole), BRIEF(whole))


def _driver() -> Machine:
    return _machine((*STAGES, "whole", "flat"), emit_driver, HEADER)


@dataclass(frozen=True)
class Team:
    """What recipes run with: ``perform`` as a callable, ``each`` as an address."""

    perform: Any
    each: int


@dataclass(frozen=True)
class OneStage:
    """A product of one stage: as that, and in one call."""

    run: int
    whole: Any
    brief: Any


def _one_stage(name: str, emit: Callable[..., str], shape: Geometry) -> OneStage:
    at = _machine((name, "whole", "flat"), emit, shape, HEADER).addresses
    whole = at["flat" if DIRECT else "whole"]
    return OneStage(at[name], WHOLE(whole), BRIEF(whole))


@cache
def rowwise(shape: Geometry) -> OneStage:
    """The compiled functions of `rowwise`: matrix times vector."""
    return _one_stage("rowwise", emit_rowwise, shape)


@cache
def small(shape: Geometry) -> OneStage:
    """The compiled functions of `small_code`: many small products."""
    return _one_stage("small", emit_small, shape)


@dataclass(frozen=True)
class Dots:
    """Inner products: their stages, and both in one call."""

    run: int
    join: int
    whole: Any
    brief: Any


@cache
def dots(shape: Geometry) -> Dots:
    """The compiled functions of `dots_code`."""
    at = _machine(("dots", "join", "whole", "flat"), emit_dots, shape, HEADER).addresses
    whole = at["flat" if DIRECT else "whole"]
    return Dots(at["dots"], at["join"], WHOLE(whole), BRIEF(whole))


@cache
def team() -> Team:
    """The compiled functions of `team`."""
    at = _team().addresses
    return Team(PERFORM(at["perform"]), at["each"])


def _team() -> Machine:
    return _machine(("perform", "each"), emit_team)

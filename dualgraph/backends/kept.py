"""Kept programs: what the passes made of a captured graph, and its kernels' loop IR, for the next process.

A file lies in a folder beside the kept kernels, under the same rules (see `native.disk_cache`), and is named after the
captured graph (or that of a composite or a tape of eager mode), source lines included, the options, and the sources of
this package. What is read back is a graph as the passes would make it again; a file that is damaged, or that this
version cannot read, is as good as none.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from ..core.numbers.symbolic import is_symbolic
from ..core.prim import REGISTRY, Prim
from ..passes.fuel import FUEL
from ..passes.pipeline import Hooks, PassRecord, optimise
from ..static.constants import is_constant
from ..static.graph import Graph, renumber
from ..static.region import bodies, is_region
from .native import api as native

LEAST = 8  # nodes of a program that is worth a file
MOST = 1 << 20  # bytes of arrays in a program that is kept
ENABLED = True
OWN = __package__.partition(".")[0]
FOREIGN = (
    "builtins",
    "copyreg",
    "numpy",
)  # modules whose functions and types may be named in a file


def optimised(
    graph: Graph, hooks: Hooks, fast_math: bool, budget: int | None, keep: bool = True
) -> tuple[Graph, list[PassRecord]]:
    """As `optimise`, then `renumber`; the records are empty where an earlier process has done the work."""
    name = _name(graph, hooks, fast_math, budget) if keep else None
    found = None if name is None else _read(name)
    if found is not None:
        return found, []
    out, records = optimise(graph, hooks, fast_math, budget=budget)
    out = renumber(out)
    if name is not None:
        _write(name, out)
    return out, records


def _name(graph: Graph, hooks: Hooks, fast_math: bool, budget: int | None) -> str | None:
    """The name of the file; None where none is kept."""
    if not ENABLED or FUEL.limit is not None or len(graph.nodes) < LEAST or hooks == Hooks():
        return None
    if _is_heavy(graph):
        return None
    versions = native.versions()
    text = None if versions is None else _dumped(graph)
    if text is None:
        return None
    return native.name_of(
        text, (*versions, sys.version_info[:3], np.__version__, fast_math, budget)
    )


def _read(name: str) -> Graph | None:
    """The graph in a file; its kernels need not be lowered any more."""
    data = native.read(name)
    if data is None:
        return None
    try:
        graph, kernels = pickle.loads(data)
        known = list(_fused(graph))
        if len(known) != len(kernels):
            return None
    except Exception:  # whatever it is that pickle stumbles over
        return None
    for body, kernel in zip(known, kernels, strict=True):
        if kernel is not None:
            native.remember(body, kernel)
    result: Graph = graph
    return result


def _is_heavy(graph: Graph) -> bool:
    """Whether a graph holds much data."""
    return sum(n.outputs[0].type.nbytes for n in graph.nodes if is_constant(n)) > MOST


def _write(name: str, graph: Graph) -> None:
    if _is_heavy(graph):
        return
    kernels = [native.remembered(body) for body in _fused(graph)]
    data = _dumped((graph, kernels))
    if data is not None:
        native.keep(name, data)


def _fused(graph: Graph) -> Iterator[Graph]:
    """The bodies of all fused groups, those in loops and branches included."""
    for node in graph.nodes:
        for body in bodies(node).values():
            if is_region(node):
                yield body
            else:
                yield from _fused(body)


class _Pickler(pickle.Pickler):
    """Writes graphs of our own ops over plain values, and nothing else."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Prim):
            if REGISTRY.get(value.name) is not value or not _is_own(value.kernel.__module__):
                raise pickle.PicklingError(f"{value} may be another op elsewhere")
        elif isinstance(value, type) or callable(value):
            module = getattr(value, "__module__", None) or ""
            if not _is_own(module) and module.partition(".")[0] not in FOREIGN:
                raise pickle.PicklingError(f"{value} may be something else elsewhere")
        elif is_symbolic(value):
            raise pickle.PicklingError("the size belongs to this process")
        elif names := _fields(type(value)):
            return type(value), tuple([getattr(value, name) for name in names])
        return NotImplemented


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    """The fields of a frozen dataclass that its constructor takes as they are: much quicker to read than its state."""
    own = hasattr(kind, "__post_init__") or kind.__reduce__ is not object.__reduce__
    if own or not dataclasses.is_dataclass(kind):
        return ()
    fields = dataclasses.fields(kind)
    plain = kind.__dataclass_params__.frozen and all(f.init and not f.kw_only for f in fields)
    return tuple(f.name for f in fields) if plain else ()


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == OWN


def _dumped(value: Any) -> bytes | None:
    """The value as bytes; None where it holds something that means nothing to other processes."""
    out = io.BytesIO()
    try:
        _Pickler(out, 5).dump(value)
    except Exception:  # whatever it is that pickle stumbles over
        return None
    return out.getvalue()

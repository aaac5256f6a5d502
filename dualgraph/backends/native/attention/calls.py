"""Calls of the attention kernels: records made once for operands of one layout, and the split between threads."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from ....core.numbers.worked import working
from ..addresses import address_of
from ..contract import kernels
from ..contract.cuts import Cut
from ..contract.operands import Product, Strided
from ..contract.plan import Plan
from ..contract.product import START, starts_of
from ..contract.stages import Record
from ..contract.tables import make_room, name_of
from ..jit import jit
from ..team.room import Room
from ..team.spots import ZERO_WORD, Ref, Spot
from ..team.team import passing
from ..thread_memory import memory
from ..threads import pool
from . import backward, forward
from .code import KEYS, LANES, ROWS, How

LIMIT = 1024  # records kept
SPLIT = 16_000_000  # products from which waking a thread pays
ALIGN = 64
_calls: dict[Any, Any] = {}
Steps = tuple[int, int]  # of a `Strided` operand


@cache
def _compiled(emit: Callable[[How], str], symbol: str, pointers: int, how: How) -> Any:
    """A compiled kernel, as a Python function."""
    name = f"{emit.__module__}.{emit.__name__} {symbol} {how}"
    machine = jit().compile(name, (symbol,), lambda: emit(how))
    signature = ctypes.CFUNCTYPE(
        None, *[ctypes.c_void_p] * pointers, ctypes.c_int64, ctypes.c_int64
    )
    function = signature(machine.addresses[symbol])
    function.machine = machine  # type: ignore[attr-defined]
    return function


@lru_cache(maxsize=LIMIT)
def _plan(dtype: str, m: int, n: int, k: int, x: Steps, y: Steps, step: int) -> Plan:
    """A product of one block, which is the same in calls with more matrices."""
    product = Product(dtype, m, n, k, Strided(*x), Strided(*y), step, (START, START, START))
    return Plan(product, cut=Cut(m, n))


class _Call:
    """What both kernels need to know of operands of one layout."""

    def __init__(
        self, lead: tuple[int, ...], operands: dict[str, Any], mask: Any, causal: bool, scale: float
    ) -> None:
        query, value = operands["query"], operands["value"]
        self.queries, self.width = query.shape[-2:]
        self.keys, self.values = value.shape[-2:]
        self.dtype, self.size = query.dtype, query.itemsize
        self.matrices = prod(lead)
        self.lead = lead
        element = "float" if self.size == 4 else "double"
        kind = "" if mask is None else "bool" if mask.dtype == bool else "add"
        along = mask is not None and mask.shape[-2] > 1 and mask.strides[-2] != 0
        self.how = How(element, causal, kind, along)
        self.blocks = -(-self.queries // ROWS)
        self.kept: list[Any] = []
        self.memory = 0
        self.fields = {
            "run": kernels.driver().apart,
            "pack": kernels.pack(kernels.shape_for(name_of(self.dtype)), False),
            "scale": struct.unpack("<q", struct.pack("<d", scale))[0],
            "queries": self.queries,
            "keys": self.keys,
            "width": self.width,
            "values": self.values,
            "blocks": self.blocks,
            "mask_at": self.table(lead, mask) if mask is not None else 0,
            "mask_row": mask.strides[-2] if along else 0,
            "mask_key": mask.strides[-1] if mask is not None and mask.shape[-1] > 1 else 0,
        }
        for name, x in operands.items():
            rows = name in ("lse", "delta")
            self.fields[f"{name}_at"] = self.table(lead, x[..., None] if rows else x)
            if not rows:
                self.fields[f"{name}_row"], self.fields[f"{name}_column"] = x.strides[-2:]

    def table(self, lead: tuple[int, ...], x: Any) -> int:
        """The address of a table of where the matrices of x begin."""
        self.kept.append(starts_of(lead, x))
        return address_of(self.kept[-1])

    def room(self, *elements: int) -> list[int]:
        """Places in the scratch memory for so many elements each."""
        places = []
        for count in elements:
            places.append(self.memory)
            self.memory += -(-count * self.size // ALIGN) * ALIGN
        return places

    @staticmethod
    def turned(width: int) -> int:
        """Room for a transposed block of queries: squares are written whole."""
        return -(-width // LANES) * LANES * ROWS

    @cached_property
    def block_sizes(self) -> list[tuple[int, int, int]]:
        """Kinds of blocks: 0 for full ones and 1 for the last, their queries, and counts of keys."""
        found = {}
        for i in range(self.blocks):
            rows = min(ROWS, self.queries - i * ROWS)
            end = min(self.keys, (i + 1) * ROWS) if self.how.causal else self.keys
            for keys in {min(KEYS, end), end % KEYS or min(KEYS, end)}:
                found[int(rows < ROWS), rows, keys] = None
        return list(found)

    def products(self, sizes: Callable[[int, int], tuple[Any, ...]]) -> int:
        """A table of products: ``sizes(queries, keys)`` gives m, n, k, the operands and the result's row."""
        table = np.zeros((2, KEYS + 1, 2), dtype=np.int64)
        for kind, rows, keys in self.block_sizes:
            plan = _plan(name_of(self.dtype), *sizes(rows, keys))
            self.kept.append(plan)
            self.product_memory = max(getattr(self, "product_memory", 0), plan.tiling.scratch)
            table[kind, keys] = plan.address, 1
        self.kept.append(table)
        return address_of(table)

    def record(self, names: tuple[str, ...], **more: int) -> Record:
        """The fields as the kernel reads them."""
        fields = {**self.fields, **more}
        return Record([fields[n] for n in names])

    def likeness(self, other: str, width: int) -> int:
        """Products of keys or values with a transposed block of queries."""
        size, step = self.size, ROWS * self.size
        operand = self.fields[f"{other}_row"], self.fields[f"{other}_column"]
        turned = size, step

        def sizes(rows: int, keys: int) -> tuple[Any, ...]:
            return keys, -(-rows // LANES) * LANES, width, operand, turned, step

        return self.products(sizes)

    def parts(self) -> list[tuple[Any, int]]:
        """The calls of the kernel: records, and their units."""
        raise NotImplementedError

    def numbers(self) -> list[int]:
        """What a native program is told of each call: function, record, units, scratch memory and work."""
        function = next(iter(self.call.machine.addresses.values()))
        return [
            v
            for given, units in self.parts()
            for v in (function, given.address, units, self.memory, self.work)
        ]

    def finish_memory(self) -> int:
        """Where the scratch memory of products begins; it comes last."""
        begin = self.memory
        self.memory += self.product_memory
        return begin


class Forward(_Call):
    """Attention of operands of one layout."""

    def __init__(self, lead: Any, operands: Any, mask: Any, causal: bool, scale: float) -> None:
        super().__init__(lead, operands, mask, causal, scale)
        size, step = self.size, ROWS * self.size
        value = self.fields["value_column"], self.fields["value_row"]
        weights = size, step

        def mixture(rows: int, keys: int) -> tuple[Any, ...]:
            return rows, self.values, keys, weights, value, self.values * size

        more = {
            "likeness": self.likeness("key", self.width),
            "mixture": self.products(mixture),
        }
        names = ("scores", "turned", "part", "tops", "sums", "factors")
        counts = (KEYS * ROWS, self.turned(self.width), self.values * ROWS, ROWS, ROWS, ROWS)
        more.update(zip(names, self.room(*counts), strict=True))
        more["products"] = self.finish_memory()
        self.fields.update(more)
        self.given = self.record(forward.FIELDS)
        self.call = _compiled(forward.emit_forward, "attention", 8, self.how)
        self.units = self.matrices * self.blocks
        self.work = self.matrices * self.queries * self.keys * (self.width + self.values)

    def parts(self) -> list[tuple[Any, int]]:
        return [(self.given, self.units)]

    def __call__(self, pointers: tuple[int, ...]) -> None:
        address = self.given.address

        def part(begin: int, end: int, _: int) -> None:
            self.call(address, *pointers, memory("scratch", self.memory), begin, end)

        _spread(part, self.units, self.work)


class Backward(_Call):
    """Attention's gradient for operands of one layout."""

    def __init__(self, lead: Any, operands: Any, mask: Any, causal: bool, scale: float) -> None:
        super().__init__(lead, operands, mask, causal, scale)
        size, step = self.size, ROWS * self.size
        fields, width, values = self.fields, self.width, self.values
        self.key_blocks = -(-self.keys // KEYS)
        keyed = step, size
        across = {n: (fields[f"{n}_column"], fields[f"{n}_row"]) for n in ("ct", "query", "key")}
        more = {
            "key_blocks": self.key_blocks,
            "likeness": self.likeness("key", width),
            "slope": self.likeness("value", values),
            "to_value": self.products(
                lambda r, k: (k, values, r, keyed, across["ct"], values * size)
            ),
            "to_key": self.products(
                lambda r, k: (k, width, r, keyed, across["query"], width * size)
            ),
            "to_query": self.products(
                lambda r, k: (r, width, k, (size, step), across["key"], width * size)
            ),
        }
        names = ("scores", "slopes", "turned", "turned_ct", "part")
        part = max(KEYS, ROWS) * max(width, values)
        counts = (KEYS * ROWS, KEYS * ROWS, self.turned(width), self.turned(values), part)
        more.update(zip(names, self.room(*counts), strict=True))
        more["products"] = self.finish_memory()
        fields.update(more)
        ways = (backward.WHOLE, backward.BY_KEYS, backward.BY_QUERIES)
        self.given = [self.record(backward.FIELDS, way=w) for w in ways]
        self.call = _compiled(backward.emit_backward, "attention_grad", 12, self.how)
        self.work = self.matrices * self.queries * self.keys * (3 * width + 2 * values)

    def _even(self) -> bool:
        """Whether there is a matrix for each thread, or too little to share."""
        even = self.matrices % pool.size == 0 or self.matrices >= 4 * pool.size
        return even or self.work < SPLIT

    def parts(self) -> list[tuple[Any, int]]:
        whole, by_keys, by_queries = self.given
        if self._even():
            return [(whole, self.matrices)]
        by_keys = by_keys, self.matrices * self.key_blocks
        return [by_keys, (by_queries, self.matrices * self.blocks)]

    def __call__(self, pointers: tuple[int, ...]) -> None:
        def part(record: Any, begin: int, end: int, _: int) -> None:
            address = record.address
            self.call(address, *pointers, memory("scratch", self.memory), begin, end)

        whole, by_keys, by_queries = self.given
        if self._even():
            _spread(partial(part, whole), self.matrices, self.work)
        else:
            _spread(partial(part, by_keys), self.matrices * self.key_blocks, self.work)
            _spread(partial(part, by_queries), self.matrices * self.blocks, self.work)


def _spread(part: Callable[[int, int, int], None], units: int, work: int) -> None:
    if work < SPLIT or pool.size == 1:
        part(0, units, 0)
    else:
        pool.split(part, units, 1)


def _call_for(make: Any, operands: dict[str, Any], mask: Any, causal: bool, scale: float) -> Any:
    """The call for operands of one layout, made once."""
    layout = tuple((x.shape, x.strides) for x in operands.values())
    own = None if mask is None else (mask.shape, mask.strides, mask.dtype)
    key = (make, operands["query"].dtype, layout, own, causal, scale)
    found = _calls.get(key)
    if found is None:
        make_room(_calls, LIMIT)
        leads = [x.shape[: -1 if n in ("lse", "delta") else -2] for n, x in operands.items()]
        leads += [] if mask is None else [mask.shape[:-2]]
        lead = np.broadcast_shapes(*leads)
        found = _calls[key] = make(lead, operands, mask, causal, scale)
    return found


def _told(
    make: Any, operands: dict[str, Any], mask: Any, causal: bool, scale: float
) -> tuple[Sequence[int], Any]:
    """The numbers of a call for operands whose sizes may change, and what has to stay alive."""
    spots = [*operands.values(), *(() if mask is None else (mask,))]
    work = working([(s.shape, s.strides) for s in spots])
    if work is None:
        found = _call_for(make, operands, mask, causal, scale)
        return found.numbers(), found
    layouts = tuple((s.shape, s.strides) for s in spots)
    what = make, tuple(operands), *(s.dtype for s in spots), causal, scale
    kept: list[Any] = []

    def again(*layouts: Any) -> Sequence[int]:  # of two calls, if one does nothing
        own = [
            Spot(Ref(ZERO_WORD), shape, s.dtype, strides)
            for s, (shape, strides) in zip(spots, layouts, strict=True)
        ]
        given = dict(zip(operands, own, strict=False))
        call = _call_for(make, given, None if mask is None else own[-1], causal, scale)
        kept[:] = [call]
        return [*call.numbers(), *[0] * (10 - len(call.numbers()))]

    return work.once(what, layouts, lambda: (work.call(again, *layouts), kept))  # type: ignore[no-any-return]


def _write(
    room: Room, numbers: Sequence[int], kept: Any, operands: Sequence[Spot], results: Sequence[Spot]
) -> None:
    """The calls of a kernel in a native program."""
    for i in range(0, len(numbers), 5):
        function, place, units, scratch, work = numbers[i : i + 5]
        words = [function, place, *(s.at for s in (*operands, *results))]
        room.run(
            passing(len(words) - 1), words, units, operands, results,
            scratch=scratch, work=work, keep=kept,
        )  # fmt: skip


def _declines(query: Any, key: Any, value: Any) -> bool:
    """Whether there is nothing to compute with."""
    return 0 in (*query.shape, *key.shape, *value.shape)


def _ready(out: Any, count: int) -> bool:
    return out is None or (len(out) == count and all(o.flags.c_contiguous for o in out))


def attention(
    query: Any, key: Any, value: Any, *mask: Any, causal: bool, scale: float, out: Any = None
) -> Any:
    """``softmax(query @ key.T * scale + mask) @ value`` and the rows' ``lse``; both float32 or float64."""
    if _declines(query, key, value) or not _ready(out, 2) or (mask and mask[0].size == 0):
        return None
    operands = {"query": query, "key": key, "value": value}
    own = mask[0] if mask else None
    call = _call_for(Forward, operands, own, causal, scale)
    if out is None:
        shape = (*call.lead, call.queries)
        out = np.empty((*shape, call.values), query.dtype), np.empty(shape, query.dtype)
    given = (query, key, value, own if mask else query, *out)
    call(tuple(map(address_of, given)))
    return out


def write_attention(
    room: Room, out: tuple[Spot, ...], query: Spot, key: Spot, value: Spot, *mask: Spot, causal: bool, scale: float
) -> None:  # fmt: skip
    """`attention` in a native program."""
    operands = {"query": query, "key": key, "value": value}
    own = mask[0] if mask else None
    numbers, kept = _told(Forward, operands, own, causal, scale)
    _write(room, numbers, kept, (query, key, value, own or query), out)


def write_attention_grad(
    room: Room, out: tuple[Spot, ...], ct: Spot, query: Spot, key: Spot, value: Spot, lse: Spot, delta: Spot,
    *mask: Spot, causal: bool, scale: float,
) -> None:  # fmt: skip
    """`attention_grad` in a native program."""
    lse, delta = room.dense(lse), room.dense(delta)
    operands = {"ct": ct, "query": query, "key": key, "value": value, "lse": lse, "delta": delta}
    own = mask[0] if mask else None
    numbers, kept = _told(Backward, operands, own, causal, scale)
    _write(room, numbers, kept, (ct, query, key, value, lse, delta, own or query), out)


def attention_grad(
    ct: Any,
    query: Any,
    key: Any,
    value: Any,
    lse: Any,
    delta: Any,
    *mask: Any,
    causal: bool,
    scale: float,
    out: Any = None,
) -> Any:
    """Gradients along query, key and value."""
    if _declines(query, key, value) or not _ready(out, 3) or 0 in (*ct.shape, *delta.shape):
        return None
    if mask and mask[0].size == 0:
        return None
    lse, delta = (
        x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x) for x in (lse, delta)
    )
    operands = {"ct": ct, "query": query, "key": key, "value": value, "lse": lse, "delta": delta}
    own = mask[0] if mask else None
    call = _call_for(Backward, operands, own, causal, scale)
    if out is None:
        out = tuple(np.empty((*call.lead, *x.shape[-2:]), query.dtype) for x in (query, key, value))
    given = (ct, query, key, value, lse, delta, own if mask else query, *out)
    call(tuple(map(address_of, given)))
    return out

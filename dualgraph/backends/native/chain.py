"""Chains: kernels that run one after the other through one foreign call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

from .jit import jit
from .kernel import RUN, BoundKernel

# run(table, _) calls table[i].run(table[i].block, table[i].extents) for each entry up to one without a function.
WALK = """
define void @run(ptr %table, ptr %unused) {
entry:
  br label %head
head:
  %entry.at = phi ptr [ %table, %entry ], [ %next, %body ]
  %fn = load ptr, ptr %entry.at
  %end = icmp eq ptr %fn, null
  br i1 %end, label %done, label %body
body:
  %block.at = getelementptr ptr, ptr %entry.at, i64 1
  %block = load ptr, ptr %block.at
  %extents.at = getelementptr ptr, ptr %entry.at, i64 2
  %extents = load ptr, ptr %extents.at
  call void %fn(ptr %block, ptr %extents)
  %next = getelementptr ptr, ptr %entry.at, i64 3
  br label %head
done:
  ret void
}
"""


class Chain:
    """Bound kernels in order; calling it runs them all in the calling thread."""

    def __init__(self, kernels: Sequence[BoundKernel]) -> None:
        self.kernels = tuple(kernels)
        entries = [
            address
            for k in kernels
            for address in (
                k.kernel.machine.addresses["run"],
                ctypes.addressof(k.block),
                k.kernel.extents,
            )
        ]
        self._table = (ctypes.c_void_p * (len(entries) + 3))(*entries)
        self._machine = jit().compile(WALK, ("run",))
        self._call = RUN(self._machine.addresses["run"])
        self._address = ctypes.addressof(self._table)

    def __call__(self) -> None:
        self._call(self._address, None)


def chain(steps: Sequence[Callable[[], None]]) -> list[Callable[[], None]]:
    """The same steps with each run of neighbouring small kernels made one call."""
    out: list[Callable[[], None]] = []
    small: list[BoundKernel] = []
    for step in steps:
        if isinstance(step, BoundKernel) and not step.kernel.large:
            small.append(step)
            continue
        out += _one(small)
        small = []
        out.append(step)
    return out + _one(small)


def _one(kernels: list[BoundKernel]) -> list[Callable[[], None]]:
    return [Chain(kernels)] if len(kernels) > 1 else list(kernels)

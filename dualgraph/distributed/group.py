"""Groups: processes as one of them sees them, and what each may ask of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import ArgumentError, StateError
from .wires import Place, Wires


class ProcessGroup:
    """The processes as one of them sees them: its `rank`, how many there are (`size`), and which (`ranks`).

    Invariant: all processes of a group call the same methods in the same order.

    >>> dg.distributed.ProcessGroup(0, 1, ("127.0.0.1", 29500), timeout=5.0).ranks
    (0,)
    """

    def __init__(self, rank: int, size: int, address: Place, timeout: float) -> None:
        if not 0 <= rank < size:
            raise ArgumentError(f"ProcessGroup: rank {rank} is none of {size} processes")
        self._join(Wires(rank, size, address, timeout), tuple(range(size)))

    def _join(self, wires: Wires, ranks: tuple[int, ...]) -> None:
        self._wires, self.ranks, self.size = wires, ranks, len(ranks)
        self.rank = ranks.index(wires.rank) if wires.rank in ranks else -1

    def part(self, ranks: tuple[int, ...]) -> ProcessGroup:
        """Some of these processes as a group."""
        if not set(ranks) <= set(self.ranks) or len(set(ranks)) < len(ranks) or not ranks:
            raise ArgumentError(f"new_group: {ranks} are not some of the processes {self.ranks}")
        out = object.__new__(ProcessGroup)
        out._join(self._wires, ranks)
        return out

    def close(self) -> None:
        """Ends the talk of this process, in all its groups."""
        self._wires.close()

    def place_of(self, rank: int) -> int:
        """Where the process that has `rank` among all stands in this group."""
        if rank not in self.ranks:
            raise ArgumentError(f"distributed: process {rank} is none of {self.ranks}")
        return self.ranks.index(rank)

    def is_at(self, rank: int) -> bool:
        """Whether this process has `rank` among all."""
        return self.place_of(rank) == self.rank

    def send(self, rank: int, message: bytes) -> None:
        """Sends bytes to the process that has `rank` among all."""
        if self.is_at(rank):
            raise ArgumentError("distributed: a process does not send to itself")
        self._wires.send(rank, message)

    def recv(self, rank: int) -> bytes:
        """The next bytes that the process sends which has `rank` among all."""
        if self.is_at(rank):
            raise ArgumentError("distributed: a process does not send to itself")
        return self._wires.recv(rank)

    def swap(self, own: bytes, answer: Callable[[list[bytes]], list[bytes]]) -> bytes:
        """What `answer`, asked by the first process with the bytes of all, gives for this one."""
        if self.rank < 0:
            raise StateError(f"distributed: this process is none of the group's, {self.ranks}")
        first, *others = self.ranks
        if self.rank:
            self._wires.send(first, own)
            return self._wires.recv(first)
        mine, *theirs = answer([own, *map(self._wires.recv, others)])
        for rank, result in zip(others, theirs, strict=True):
            self._wires.send(rank, result)
        return mine

    def exchange(self, array: Any, answer: Callable[[list[Any]], list[Any]]) -> Any:
        """`swap` of arrays that have one dtype and one size, as flat ones."""
        array = np.ascontiguousarray(array)

        def of_arrays(given: list[bytes]) -> list[bytes]:
            arrays = [np.frombuffer(g, array.dtype) for g in given]
            if len({a.size for a in arrays}) > 1:
                raise StateError(f"distributed: processes gave {[a.size for a in arrays]} elements")
            return [result.tobytes() for result in answer(arrays)]

        return np.frombuffer(self.swap(array.tobytes(), of_arrays), array.dtype)

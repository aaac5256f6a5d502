"""Several processes that compute one thing together, each with a part of the data, under the names of
``torch.distributed``: sums of their tensors, copies from one to all, meetings.

Each process calls `init_process_group` with its rank. They talk over TCP in a star: rank 0 takes what the others send,
in the order of their ranks, and sends each the result, so that a sum has the same bits in every process and every run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from enum import Enum
from multiprocessing import get_context
from multiprocessing.connection import Client, Connection, Listener
from typing import Any
from urllib.parse import urlparse

import numpy as np

from .core.errors import ArgumentError, StateError
from .eager import Tensor, no_grad

KEY = b"dualgraph"  # told apart from other programs at the same port; it keeps no secret


class ReduceOp(Enum):
    """How tensors of all processes become one."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4


_FOLDS: dict[ReduceOp, Any] = {
    ReduceOp.SUM: np.add, ReduceOp.AVG: np.add, ReduceOp.PRODUCT: np.multiply, ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
}  # fmt: skip


class ProcessGroup:
    """The processes as one of them sees them: its `rank`, how many there are (`size`), and the wires between.

    Invariant: all processes call the same methods in the same order.
    """

    def __init__(self, rank: int, size: int, address: tuple[str, int], timeout: float) -> None:
        if not 0 <= rank < size:
            raise ArgumentError(f"ProcessGroup: rank {rank} is none of {size} processes")
        self.rank, self.size = rank, size
        self._wires: list[Connection] = []  # of rank 0 to each other one; of others to rank 0
        if size > 1:
            self._wires = _taken(address, size) if rank == 0 else [_dialled(address, rank, timeout)]

    def close(self) -> None:
        """Ends the talk."""
        for wire in self._wires:
            wire.close()
        self._wires = []

    def exchange(self, array: Any, answer: Callable[[list[Any]], list[Any]]) -> Any:
        """What `answer`, asked by rank 0 with the arrays of all ranks, gives for this one."""
        array = np.ascontiguousarray(array)
        if self.rank:
            self._wires[0].send_bytes(array.tobytes())
            return np.frombuffer(self._wires[0].recv_bytes(), array.dtype)
        kind = array.dtype
        given = [
            array.reshape(-1),
            *(np.frombuffer(wire.recv_bytes(), kind) for wire in self._wires),
        ]
        if any(a.size != array.size for a in given):
            raise StateError(f"distributed: processes gave {[a.size for a in given]} elements")
        own, *others = answer(given)
        for wire, result in zip(self._wires, others, strict=True):
            wire.send_bytes(result.tobytes())
        return own


def _taken(address: tuple[str, int], size: int) -> list[Connection]:
    """Wires to the ranks from 1 on, in their order."""
    with Listener(address, backlog=size, authkey=KEY) as listener:
        wires = {}
        for _ in range(size - 1):
            wire = listener.accept()
            wires[int(wire.recv_bytes())] = wire
    return [wires[rank] for rank in range(1, size)]


def _dialled(address: tuple[str, int], rank: int, timeout: float) -> Connection:
    """The wire to rank 0, which may not be there yet."""
    end = time.monotonic() + timeout
    while True:
        try:
            wire = Client(address, authkey=KEY)
            break
        except ConnectionError:
            if time.monotonic() > end:
                raise StateError(
                    f"distributed: nobody answers at {address} in {timeout} s"
                ) from None
            time.sleep(0.02)
    wire.send_bytes(str(rank).encode())
    return wire


# --- the group of this process -------------------------------------------------------------------

_group: ProcessGroup | None = None


def is_available() -> bool:
    """Whether there is such a thing here: always.

    >>> dg.distributed.is_available()
    True
    """
    return True


def is_initialized() -> bool:
    """Whether `init_process_group` was called.

    >>> dg.distributed.is_initialized()
    False
    """
    return _group is not None


def init_process_group(
    backend: str | None = None, init_method: str | None = None, timeout: Any = 300.0, world_size: int = -1,
    rank: int = -1, **_: Any,
) -> None:  # fmt: skip
    """Joins the others; returns when all are there. `timeout` is in seconds, or a ``timedelta``.

    `init_method` is ``tcp://host:port`` of rank 0, or ``env://``: the variables ``MASTER_ADDR`` and ``MASTER_PORT``,
    and ``RANK`` and ``WORLD_SIZE`` for numbers that are not given. `backend` changes nothing.

    >>> dg.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> dg.distributed.get_world_size()
    1
    >>> dg.distributed.destroy_process_group()
    """
    global _group
    if _group is not None:
        raise StateError(
            "init_process_group: this process has a group; destroy_process_group() ends it"
        )
    size = int(os.environ.get("WORLD_SIZE", "1")) if world_size < 0 else world_size
    place = int(os.environ.get("RANK", "0")) if rank < 0 else rank
    host, port = (
        os.environ.get("MASTER_ADDR", "127.0.0.1"),
        int(os.environ.get("MASTER_PORT", "29500")),
    )
    if init_method not in (None, "env://"):
        url = urlparse(init_method)
        if url.scheme != "tcp" or not url.hostname or not url.port:
            raise ArgumentError(
                f"init_process_group: init_method={init_method!r} is no tcp://host:port"
            )
        host, port = url.hostname, url.port
    seconds = timeout.total_seconds() if hasattr(timeout, "total_seconds") else float(timeout)
    _group = ProcessGroup(place, size, (host, port), seconds)


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leaves the others."""
    global _group
    _the(group).close()
    if group is None or group is _group:
        _group = None


def _the(group: ProcessGroup | None) -> ProcessGroup:
    found = _group if group is None else group
    if found is None:
        raise StateError("distributed: call init_process_group() first")
    return found


def get_rank(group: ProcessGroup | None = None) -> int:
    """The number of this process."""
    return _the(group).rank


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many processes there are."""
    return _the(group).size


def get_backend(group: ProcessGroup | None = None) -> str:
    """PyTorch's name for what processes talk by."""
    _the(group)
    return "gloo"


def _array(t: Tensor) -> Any:
    return t.detach().cpu().numpy()


def _put(t: Tensor, found: Any) -> None:
    with no_grad():
        t.copy_(t.new_tensor(found.reshape(t.shape)) if t.ndim else t.new_tensor(found[0].item()))


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: ProcessGroup | None = None
) -> None:
    """Writes the sum (or what `op` says) of the tensors of all processes into each of them."""
    here = _the(group)

    def answer(given: list[Any]) -> list[Any]:
        out = given[0]
        for other in given[1:]:
            out = _FOLDS[op](out, other)
        if op is ReduceOp.AVG:
            out = out / out.dtype.type(len(given))
        return [out] * len(given)

    _put(tensor, here.exchange(_array(tensor), answer))


def reduce(
    tensor: Tensor, dst: int = 0, op: ReduceOp = ReduceOp.SUM, group: ProcessGroup | None = None
) -> None:
    """`all_reduce`, of which process `dst` alone keeps the result."""
    result = tensor if get_rank(group) == dst else tensor.detach().clone()
    all_reduce(result, op, group)


def broadcast(tensor: Tensor, src: int = 0, group: ProcessGroup | None = None) -> None:
    """Writes the tensor of process `src` into those of all."""
    _put(tensor, _the(group).exchange(_array(tensor), lambda given: [given[src]] * len(given)))


def all_gather(
    tensor_list: Sequence[Tensor], tensor: Tensor, group: ProcessGroup | None = None
) -> None:
    """Writes the tensors of all processes, by rank, into those of the list."""
    here = _the(group)
    if len(tensor_list) != here.size:
        raise ArgumentError(
            f"all_gather: {len(tensor_list)} tensors for the results of {here.size} processes"
        )
    found = here.exchange(_array(tensor), lambda given: [np.concatenate(given)] * len(given))
    for t, part in zip(tensor_list, np.split(found, here.size), strict=True):
        _put(t, part)


def barrier(group: ProcessGroup | None = None) -> None:
    """Waits until all processes are here."""
    _the(group).exchange(np.zeros(1), lambda given: given)


def spawn(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1) -> None:
    """Calls ``fn(rank, *args)`` in so many new processes, and waits for them; `fn` stands in a module.

    A process that fails ends the others, and is an error here.
    """
    work = [get_context("spawn").Process(target=fn, args=(rank, *args)) for rank in range(nprocs)]
    for process in work:
        process.start()
    failed = 0
    for process in work:
        process.join()
        if process.exitcode and not failed:
            failed = process.exitcode
            for other in work:
                other.terminate()
    if failed:
        raise StateError(f"spawn: a process ended with exit code {failed}")


__all__ = [
    "ProcessGroup", "ReduceOp", "all_gather", "all_reduce", "barrier", "broadcast", "destroy_process_group",
    "get_backend", "get_rank", "get_world_size", "init_process_group", "is_available", "is_initialized", "reduce",
    "spawn",
]  # fmt: skip

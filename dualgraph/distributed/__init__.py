"""Several processes that compute one thing together, each with a part of the data, under the names of
``torch.distributed``: sums of their tensors, copies from one to all, messages from one to another, meetings.

Each process calls `init_process_group` with its rank. They talk over TCP in a star: the first process of a group takes
what the others send, in the order of their ranks, and sends each the result, so that a sum has the same bits in every
process and every run. Objects travel as pickles: the processes of a group trust each other.

Its modules:

    wires     connections between processes, made when two first talk
    group     the processes of a group, and what each may ask of all
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Sequence
from enum import Enum
from multiprocessing import get_context
from typing import Any, TypeVar
from urllib.parse import urlparse

import numpy as np

from ..core.errors import ArgumentError, StateError
from ..eager import Tensor, no_grad
from .group import ProcessGroup

F = TypeVar("F", bound=Callable[..., Any])


class ReduceOp(Enum):
    """How tensors of all processes become one.

    >>> [op.name for op in dg.distributed.ReduceOp]
    ['SUM', 'AVG', 'PRODUCT', 'MIN', 'MAX']
    """

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4


_FOLDS: dict[ReduceOp, Any] = {
    ReduceOp.SUM: np.add, ReduceOp.AVG: np.add, ReduceOp.PRODUCT: np.multiply, ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
}  # fmt: skip


class Work:
    """What a call with ``async_op=True`` gives: it is done already.

    >>> dg.distributed.Work().wait()
    True
    """

    def wait(self, timeout: Any = None) -> bool:
        """True, at once."""
        return True

    def is_completed(self) -> bool:
        """Whether it is done: always."""
        return True


def _awaitable(fn: F) -> F:
    """Decorator: with ``async_op=True`` the call, which is done when it returns, gives a `Work`."""

    @functools.wraps(fn)
    def call(*args: Any, async_op: bool = False, **kwargs: Any) -> Work | None:
        fn(*args, **kwargs)
        return Work() if async_op else None

    return call  # type: ignore[return-value]


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
    and ``RANK`` and ``WORLD_SIZE`` for numbers that are not given. `backend` changes nothing. Raises StateError where
    some do not come within `timeout`, and later where a process waits longer than that for another, or one has gone.

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
    """Leaves the others; see `init_process_group`.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> dg.distributed.destroy_process_group()
    >>> dg.distributed.is_initialized()
    False
    """
    global _group
    _the(group).close()
    if group is None or group is _group:
        _group = None


def new_group(ranks: Sequence[int] | None = None, **_: Any) -> ProcessGroup:
    """A group of some processes. All processes call it; in those that are not of it, its rank is -1.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> dg.distributed.get_rank(dg.distributed.new_group([0]))
    0
    >>> dg.distributed.destroy_process_group()
    """
    whole = _the(None)
    return whole.part(whole.ranks if ranks is None else tuple(sorted(ranks)))


def _the(group: ProcessGroup | None) -> ProcessGroup:
    found = _group if group is None else group
    if found is None:
        raise StateError("distributed: call init_process_group() first")
    return found


def get_rank(group: ProcessGroup | None = None) -> int:
    """The number of this process in the group; -1 where it is not of it.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> dg.distributed.get_rank()
    0
    >>> dg.distributed.destroy_process_group()
    """
    return _the(group).rank


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many processes there are.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> dg.distributed.get_world_size()
    1
    >>> dg.distributed.destroy_process_group()
    """
    return _the(group).size


def get_backend(group: ProcessGroup | None = None) -> str:
    """PyTorch's name for what processes talk by: ``gloo``.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> dg.distributed.get_backend()
    'gloo'
    >>> dg.distributed.destroy_process_group()
    """
    _the(group)
    return "gloo"


# --- tensors -------------------------------------------------------------------------------------


def _array(t: Tensor) -> Any:
    return t.detach().cpu().numpy()


def _put(t: Tensor, found: Any) -> None:
    with no_grad():
        t.copy_(t.new_tensor(found.reshape(t.shape)) if t.ndim else t.new_tensor(found[0].item()))


@_awaitable
def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: ProcessGroup | None = None
) -> None:
    """Writes the sum (or what `op` says) of the tensors of all processes into each of them.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> x = dg.ones(2); dg.distributed.all_reduce(x); x.tolist()
    [1.0, 1.0]
    >>> dg.distributed.destroy_process_group()
    """

    def answer(given: list[Any]) -> list[Any]:
        out = given[0]
        for other in given[1:]:
            out = _FOLDS[op](out, other)
        if op is ReduceOp.AVG:
            out = out / out.dtype.type(len(given))
        return [out] * len(given)

    _put(tensor, _the(group).exchange(_array(tensor), answer))


@_awaitable
def reduce(
    tensor: Tensor, dst: int = 0, op: ReduceOp = ReduceOp.SUM, group: ProcessGroup | None = None
) -> None:
    """`all_reduce`, of which process `dst` alone keeps the result.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> x = dg.ones(2); dg.distributed.reduce(x, dst=0); x.tolist()
    [1.0, 1.0]
    >>> dg.distributed.destroy_process_group()
    """
    here = _the(group)
    all_reduce(tensor if here.is_at(dst) else tensor.detach().clone(), op, here)


@_awaitable
def broadcast(tensor: Tensor, src: int = 0, group: ProcessGroup | None = None) -> None:
    """Writes the tensor of process `src` into those of all.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> x = dg.ones(2); dg.distributed.broadcast(x, src=0); x.tolist()
    [1.0, 1.0]
    >>> dg.distributed.destroy_process_group()
    """
    here = _the(group)
    at = here.place_of(src)
    _put(tensor, here.exchange(_array(tensor), lambda given: [given[at]] * len(given)))


@_awaitable
def all_gather(
    tensor_list: Sequence[Tensor], tensor: Tensor, group: ProcessGroup | None = None
) -> None:
    """Writes the tensors of all processes, by rank, into those of the list.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> found = [dg.zeros(2)]; dg.distributed.all_gather(found, dg.ones(2)); found
    [tensor([1., 1.])]
    >>> dg.distributed.destroy_process_group()
    """
    here = _the(group)
    if len(tensor_list) != here.size:
        raise ArgumentError(
            f"all_gather: {len(tensor_list)} tensors for the results of {here.size} processes"
        )
    found = here.exchange(_array(tensor), lambda given: [np.concatenate(given)] * len(given))
    for t, part in zip(tensor_list, np.split(found, here.size), strict=True):
        _put(t, part)


@_awaitable
def barrier(group: ProcessGroup | None = None) -> None:
    """Waits until all processes are here.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> dg.distributed.barrier()
    >>> dg.distributed.destroy_process_group()
    """
    _the(group).exchange(np.zeros(1), lambda given: given)


def send(tensor: Tensor, dst: int, group: ProcessGroup | None = None) -> None:
    """Sends a tensor to process `dst`, which calls `recv` for it; may wait until it does."""
    _the(group).send(dst, _array(tensor).tobytes())


def recv(tensor: Tensor, src: int, group: ProcessGroup | None = None) -> int:
    """Writes the next tensor that process `src` sends into this one, of the same type; gives `src`."""
    like = _array(tensor)
    found = np.frombuffer(_the(group).recv(src), np.uint8)
    if found.size != like.nbytes:
        raise StateError(f"recv: process {src} sent {found.size} bytes for {tensor.tensor_type}")
    _put(tensor, found.view(like.dtype))
    return src


# --- objects -------------------------------------------------------------------------------------


def all_gather_object(object_list: list[Any], obj: Any, group: ProcessGroup | None = None) -> None:
    """Puts the objects of all processes, by rank, into the list; they can be pickled.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> found = [None]; dg.distributed.all_gather_object(found, {"loss": 0.5}); found
    [{'loss': 0.5}]
    >>> dg.distributed.destroy_process_group()
    """
    here = _the(group)
    if len(object_list) != here.size:
        raise ArgumentError(f"all_gather_object: a list of {here.size} places takes the objects")
    found = here.swap(pickle.dumps(obj), lambda given: [pickle.dumps(given)] * len(given))
    object_list[:] = map(pickle.loads, pickle.loads(found))


def broadcast_object_list(
    object_list: list[Any], src: int = 0, group: ProcessGroup | None = None
) -> None:
    """Puts the objects in the list of process `src` into those of all; they can be pickled.

    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> given = ["a", 1]; dg.distributed.broadcast_object_list(given); given
    ['a', 1]
    >>> dg.distributed.destroy_process_group()
    """
    here = _the(group)
    at, own = here.place_of(src), pickle.dumps(object_list if here.is_at(src) else None)
    found = pickle.loads(here.swap(own, lambda given: [given[at]] * len(given)))
    if len(found) != len(object_list):
        raise StateError(
            f"broadcast_object_list: {len(found)} objects for {len(object_list)} places"
        )
    object_list[:] = found


# --- processes -----------------------------------------------------------------------------------


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
    "ProcessGroup", "ReduceOp", "Work", "all_gather", "all_gather_object", "all_reduce", "barrier", "broadcast",
    "broadcast_object_list", "destroy_process_group", "get_backend", "get_rank", "get_world_size",
    "init_process_group", "is_available", "is_initialized", "new_group", "recv", "reduce", "send", "spawn",
]  # fmt: skip

"""DataLoader: batches of a dataset, collated into tensors, optionally fetched ahead by threads."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any

from ..core.errors import ArgumentError
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler


def get_worker_info() -> None:
    """PyTorch's question of a dataset which worker process it is in: none, as the workers here are threads.

    They share one dataset, and one iterator of it, so that nothing needs to be divided among them.

    >>> dg.data.get_worker_info() is None
    True
    """


class DataLoader:
    """Iterates over a dataset in batches; arguments are PyTorch's.

    With ``num_workers > 0`` that many threads fetch and collate up to ``prefetch_factor`` batches
    each ahead of the consumer; batches and their order are the same as with none. Arguments that
    only concern worker processes or pinned memory are accepted and have no effect.

    >>> from dualgraph.data import DataLoader, TensorDataset
    >>> [len(x) for x, in DataLoader(TensorDataset(dg.arange(5)), batch_size=2)]
    [2, 2, 1]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
    ) -> None:
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        self.generator = generator
        self.pin_memory, self.pin_memory_device, self.timeout = (
            pin_memory,
            pin_memory_device,
            timeout,
        )
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self.persistent_workers = persistent_workers
        self._iterable = isinstance(dataset, IterableDataset)
        self._check(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        self.batch_size = batch_size
        self.drop_last = drop_last
        if sampler is None and not self._iterable:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler
        batched = batch_sampler is not None or batch_size is not None
        self._whole = collate_fn is None and getattr(dataset, "takes_lists", False)
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)

    def _check(
        self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
    ) -> None:
        if self.num_workers < 0:
            raise ArgumentError(f"num_workers must not be negative, got {self.num_workers}")
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ArgumentError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if sampler is not None and shuffle:
            raise ArgumentError("sampler excludes shuffle: the sampler decides the order")
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError(
                "an IterableDataset decides its own order: shuffle and samplers do not apply"
            )
        if batch_size is None and drop_last:
            raise ArgumentError("drop_last needs a batch_size")
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size <= 0):
            raise ArgumentError(
                f"batch_size must be a positive integer or None, not {batch_size!r}"
            )

    def __len__(self) -> int:
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            return map(self.collate_fn, self._chunks())
        visits = iter(self.batch_sampler if self.batch_sampler is not None else self.sampler)
        if self.num_workers == 0:
            return map(self._fetch, visits)
        return _ahead(
            self._fetch, visits, self.num_workers, self.num_workers * self.prefetch_factor
        )

    def _fetch(self, visit: Any) -> Any:
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[visit])
        if self._whole:
            return list(self.dataset[list(visit)])
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate_fn(many(visit) if many else [self.dataset[i] for i in visit])

    def _chunks(self) -> Iterator[Any]:
        samples = iter(self.dataset)
        if self.batch_size is None:
            yield from samples
            return
        while chunk := list(itertools.islice(samples, self.batch_size)):
            if len(chunk) < self.batch_size and self.drop_last:
                return
            yield chunk


def _ahead(
    fetch: Callable[[Any], Any], visits: Iterator[Any], workers: int, depth: int
) -> Iterator[Any]:
    """``map(fetch, visits)`` in the same order, with up to `depth` results under way in threads."""
    tasks: SimpleQueue[Any] = SimpleQueue()
    pending: deque[SimpleQueue[Any]] = deque()

    def work() -> None:
        while (task := tasks.get()) is not None:
            visit, reply = task
            try:
                reply.put((fetch(visit), None))
            except BaseException as error:  # raised again where the result is awaited
                reply.put((None, error))

    def submit(count: int) -> None:
        for visit in itertools.islice(visits, count):
            pending.append(SimpleQueue())
            tasks.put((visit, pending[-1]))

    for i in range(workers):
        Thread(target=work, name=f"dualgraph-loader-{i}", daemon=True).start()
    try:
        submit(depth)
        while pending:
            out, error = pending.popleft().get()
            if error is not None:
                raise error
            submit(1)
            yield out
    finally:
        for _ in range(workers):
            tasks.put(None)

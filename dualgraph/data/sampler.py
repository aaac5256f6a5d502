"""Samplers: the order in which a loader visits the samples of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

from .. import distributed
from ..core.errors import ArgumentError
from ..eager import Generator, rand, randint, randperm


def permutation(n: int, generator: Any = None) -> list[int]:
    """The numbers 0 to n - 1 in random order, drawn from `generator` (the default one unless given)."""
    return [int(i) for i in randperm(n, generator=generator).tolist()]


class Sampler:
    """Indices in the order of a visit: subclasses define ``__iter__``.

    >>> class Backwards(dg.data.Sampler):
    ...     def __iter__(self):
    ...         return iter([2, 1, 0])
    >>> [x.item() for x in dg.data.DataLoader([5, 6, 7], sampler=Backwards())]
    [7, 6, 5]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ...

    >>> list(dg.data.SequentialSampler([7, 8, 9]))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Indices at random: each once, or `num_samples` drawn with replacement.

    >>> sorted(dg.data.RandomSampler([7, 8, 9]))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        if num_samples is not None and num_samples <= 0:
            raise ArgumentError(f"num_samples must be positive, not {num_samples}")
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            yield from map(int, randint(0, n, (wanted,), generator=self.generator).tolist())
            return
        for start in range(0, wanted, n):
            yield from permutation(n, self.generator)[: wanted - start]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Given indices, each once, at random.

    >>> sorted(dg.data.SubsetRandomSampler([4, 2]))
    [2, 4]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        return (self.indices[i] for i in permutation(len(self.indices), self.generator))

    def __len__(self) -> int:
        return len(self.indices)


class DistributedSampler(Sampler):
    """The part number `rank` of `num_replicas` parts of equal size that a dataset is dealt out in, index by index.

    All parts see the same order, which `set_epoch` changes where it is at random. The first indices come again until
    the parts are equal; with `drop_last` the last ones are left out instead. Numbers that are not given are those of
    `dualgraph.distributed`.

    >>> list(dg.data.DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if distributed.is_initialized():
            num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
            rank = distributed.get_rank() if rank is None else rank
        if num_replicas is None or rank is None or not 0 <= rank < num_replicas:
            raise ArgumentError(
                f"DistributedSampler takes num_replicas and a rank below it, not {num_replicas} and {rank}"
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0

    def set_epoch(self, epoch: int) -> None:
        """Another order, the same in all parts."""
        self.epoch = epoch

    @property
    def num_samples(self) -> int:
        """How many indices a part has."""
        n = len(self.dataset)
        return n // self.num_replicas if self.drop_last else -(-n // self.num_replicas)

    @property
    def total_size(self) -> int:
        """How many indices all parts have together."""
        return self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        order = list(range(n))
        if self.shuffle:
            order = permutation(n, Generator().manual_seed(self.seed + self.epoch))
        return (order[i % n] for i in range(self.rank, self.total_size, self.num_replicas))

    def __len__(self) -> int:
        return self.num_samples


class WeightedRandomSampler(Sampler):
    """`num_samples` indices, index i drawn with a probability proportional to ``weights[i]``.

    >>> list(dg.data.WeightedRandomSampler([0.0, 1.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        self.weights = [float(w) for w in weights]
        if any(w < 0 for w in self.weights) or not sum(self.weights) > 0:
            raise ArgumentError("weights must not be negative and not all be zero")
        if not replacement and num_samples > sum(w > 0 for w in self.weights):
            raise ArgumentError(
                f"cannot draw {num_samples} different samples: too few weights are positive"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        weights = list(self.weights)
        for draw in rand(self.num_samples, dtype="float64", generator=self.generator).tolist():
            chosen = _locate(weights, draw * sum(weights))
            if not self.replacement:
                weights[chosen] = 0.0
            yield chosen

    def __len__(self) -> int:
        return self.num_samples


def _locate(weights: list[float], mark: float) -> int:
    """The index whose share of the total holds the mark."""
    last = 0
    for i, w in enumerate(weights):
        if w > 0:
            last = i
            if mark < w:
                return i
            mark -= w
    return last


class BatchSampler(Sampler):
    """Lists of `batch_size` indices from another sampler; a short last one unless `drop_last`.

    >>> list(dg.data.BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool = False) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ArgumentError(f"batch_size must be a positive integer, not {batch_size!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

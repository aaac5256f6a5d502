"""Datasets: collections of samples, by index or one after the other."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from .sampler import permutation


class Dataset:
    """Samples by index: subclasses define ``__getitem__`` and ``__len__``.

    A dataset whose ``takes_lists`` is true gives, for a list of indices, the batch that collating its
    samples would give: a loader then asks for whole batches. A subclass with a ``__getitem__`` of its
    own has to say so anew.

    >>> class Squares(dg.data.Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, i):
    ...         return i * i
    >>> [batch.tolist() for batch in dg.data.DataLoader(Squares(), batch_size=2)]
    [[0, 1], [4, 9]]
    """

    takes_lists: Any = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__getitem__" in vars(cls) and "takes_lists" not in vars(cls):
            cls.takes_lists = False

    def __class_getitem__(cls, item: Any) -> type:
        return cls  # ``Dataset[Sample]`` in annotations and bases

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")

    def __add__(self, other: Dataset) -> Dataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Samples one after the other: subclasses define ``__iter__``.

    >>> class Countdown(dg.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter([3, 2, 1])
    >>> [batch.tolist() for batch in dg.data.DataLoader(Countdown(), batch_size=2)]
    [[3, 2], [1]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")

    def __add__(self, other: Dataset) -> Dataset:
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Sample `i` is the tuple of the `i`-th entries of tensors of one length.

    >>> from dualgraph.data import TensorDataset
    >>> x, y = TensorDataset(dg.arange(4), dg.arange(4) * 10)[2]
    >>> x.item(), y.item()
    (2, 20)
    """

    takes_lists = True

    def __init__(self, *tensors: Tensor) -> None:
        lengths = {t.shape[0] for t in tensors}
        if len(lengths) != 1:
            listed = ", ".join(str(t.shape) for t in tensors) or "none"
            raise ArgumentError(
                f"TensorDataset needs tensors of one length; their shapes are: {listed}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class StackDataset(Dataset):
    """Samples of several datasets side by side: tuples, or dicts when they are given by name.

    >>> dg.data.StackDataset([1, 2], ["a", "b"])[1]
    (2, 'b')
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError("StackDataset takes datasets either by place or by name")
        self.datasets: Any = args or kwargs
        lengths = {len(d) for d in (args or kwargs.values())}
        if len(lengths) != 1:
            raise ArgumentError(f"StackDataset needs datasets of one length, not {sorted(lengths)}")
        self._length = lengths.pop()

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset):
    """Datasets one after the other.

    >>> len(dg.data.ConcatDataset([[1, 2], [3]]))
    3
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset needs at least one dataset")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        which = bisect.bisect_right(self.cumulative_sizes, at)
        return self.datasets[which][at - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset):
    """Iterable datasets one after the other.

    >>> class Few(dg.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter([1, 2])
    >>> list(dg.data.ChainDataset([Few(), Few()]))
    [1, 2, 1, 2]
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)


class Subset(Dataset):
    """The samples of a dataset at given indices.

    >>> list(dg.data.Subset([10, 20, 30], [2, 0]))
    [30, 10]
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    @property
    def takes_lists(self) -> bool:
        """As the whole dataset."""
        return getattr(self.dataset, "takes_lists", False)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Samples by several indices, asked of the whole dataset at once where that can give them so."""
        chosen = [self.indices[i] for i in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return list(many(chosen)) if many else [self.dataset[i] for i in chosen]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Splits a dataset at random into parts of given lengths, or of given fractions that sum to 1.

    Samples left over by fractions go to the parts in turn, as in PyTorch.

        >>> [len(part) for part in dg.data.random_split(range(10), [7, 3])]
        [7, 3]
    """
    n = len(dataset)
    sizes = _sizes(n, lengths)
    if sum(sizes) != n:
        raise ArgumentError(
            f"lengths {list(lengths)} sum to {sum(sizes)}, the dataset has {n} samples"
        )
    order = permutation(n, generator)
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _sizes(n: int, lengths: Sequence[float]) -> list[int]:
    if not (
        math.isclose(sum(lengths), 1)
        and sum(lengths) <= 1 + 1e-9
        and any(x != int(x) for x in lengths)
    ):
        return [int(x) for x in lengths]
    sizes = [math.floor(n * x) for x in lengths]
    for i in range(n - sum(sizes)):
        sizes[i % len(sizes)] += 1
    return sizes

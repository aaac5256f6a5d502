"""Collating: samples of equal structure put together into one batch of tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from ..core.errors import ShapeError
from ..eager import Tensor, asarray, stack, tensor


def default_convert(sample: Any) -> Any:
    """A sample with its NumPy arrays as tensors; the rest as it is.

    >>> import numpy as np
    >>> dg.data.default_convert([np.ones(2)])[0].dtype
    dualgraph.float64
    """
    if isinstance(sample, (np.ndarray, np.generic)) and sample.dtype.kind in "biufc":
        return asarray(np.asarray(sample))
    if isinstance(sample, Mapping):
        return _like(sample, {key: default_convert(value) for key, value in sample.items()})
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*(default_convert(v) for v in sample))
    if isinstance(sample, (list, tuple)):
        return [default_convert(v) for v in sample]
    return sample


def _like(first: Any, made: dict[Any, Any]) -> Any:
    """A dict as one of the type of another, with whatever else that holds."""
    if type(first) is dict or not isinstance(first, MutableMapping):
        return made
    out = copy.copy(first)
    for key, value in made.items():  # `update` of a Counter adds
        out[key] = value
    return out


def default_collate(batch: Sequence[Any]) -> Any:
    """Stacks samples along a new first axis, inside dicts, lists, tuples and named tuples.

    Tensors and arrays are stacked, Python numbers become a tensor (floats float64, as in PyTorch), strings and
    bytes stay as they are: a list, or a tuple where the samples are tuples.

    >>> from dualgraph.data import default_collate
    >>> default_collate([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    {'a': tensor([1, 2]), 'b': ['x', 'y']}
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stacked(batch)
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype.kind in "biufc":
        return _stacked([asarray(np.asarray(x)) for x in batch])
    if isinstance(first, float):
        return tensor(batch, dtype="float64")
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like(
            first, {key: default_collate([sample[key] for sample in batch]) for key in first}
        )
    if isinstance(first, (list, tuple)):
        return _columns(batch, first)
    raise TypeError(
        f"cannot collate samples of type {type(first).__name__}; they must be tensors, arrays, numbers, "
        "strings, or dicts, lists and tuples of them - or give the loader a collate_fn"
    )


def _stacked(tensors: list[Any]) -> Any:
    shapes = {t.shape for t in tensors}
    if len(shapes) > 1:
        listed = ", ".join(map(str, sorted(shapes)))
        raise ShapeError(f"samples of one batch must have one shape to be stacked, not {listed}")
    return stack(tensors, axis=0)


def _columns(batch: list[Any], first: Any) -> Any:
    if any(len(sample) != len(first) for sample in batch):
        raise ShapeError("samples of one batch must have equally many parts")
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*columns)
    return columns

"""Converting: all parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...core.errors import ShapeError
from ...eager import Tensor, concat, no_grad


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters, one after the other.

    >>> dg.nn.utils.parameters_to_vector(dg.nn.Linear(2, 3).parameters()).shape
    (9,)
    """
    return concat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes the elements of a vector back into the parameters.

    >>> layer = dg.nn.Linear(1, 1)
    >>> dg.nn.utils.vector_to_parameters(dg.asarray([5.0, 7.0]), layer.parameters())
    >>> layer.bias.item()
    7.0
    """
    params = list(parameters)
    total = sum(p._data.size for p in params)
    if vec.shape != (total,):
        raise ShapeError(f"the parameters have {total} elements, the vector has shape {vec.shape}")
    start = 0
    with no_grad():
        for p in params:
            stop = start + p._data.size
            p.copy_(vec[start:stop].reshape(p.shape))
            start = stop

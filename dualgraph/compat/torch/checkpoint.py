"""``torch.utils.checkpoint``: calls whose intermediate values are computed again for the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import dualgraph as dg


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)``, by `dualgraph.checkpoint`; words that choose PyTorch's way of it change nothing.

    >>> import dualgraph.compat.torch as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.utils.checkpoint.checkpoint(torch.exp, x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([2.7183, 2.7183])
    """
    words = (
        "use_reentrant",
        "context_fn",
        "determinism_check",
        "debug",
        "preserve_rng_state",
        "early_stop",
    )
    return dg.checkpoint(function)(*args, **{k: v for k, v in kwargs.items() if k not in words})


def checkpoint_sequential(functions: Iterable[Any], segments: int, input: Any, **_: Any) -> Any:
    """Functions (or layers) one after the other, in so many segments, each a `checkpoint`."""
    steps = list(functions)
    size = max(len(steps) // segments, 1)
    starts = [size * i for i in range(min(segments, len(steps)))]
    for start, end in zip(starts, [*starts[1:], len(steps)], strict=True):
        part = steps[start:end]
        input = checkpoint(lambda x, part=part: reduce(lambda v, f: f(v), part, x), input)
    return input


__all__ = ["checkpoint", "checkpoint_sequential"]

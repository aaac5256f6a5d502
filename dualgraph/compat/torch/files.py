"""``torch.save`` and ``torch.load``: the files of `dualgraph`, and pickles of what these cannot hold."""

from __future__ import annotations

import io
import pickle
from os import PathLike
from pathlib import Path
from typing import IO, Any

import dualgraph as dg

File = str | PathLike[str] | IO[bytes]


def save(obj: Any, f: File, *_: Any, **_ignored: Any) -> None:
    """Writes a file: of tensors and what holds them by `dualgraph.save`, of anything else (a whole module) a pickle.

    >>> import io
    >>> import dualgraph.compat.torch as torch
    >>> file = io.BytesIO()
    >>> torch.save(torch.nn.ReLU(), file)
    >>> torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    ReLU()
    """
    try:
        dg.save(obj, f)
    except TypeError:
        data = pickle.dumps(obj)
        if isinstance(f, str | PathLike):
            Path(f).write_bytes(data)
        else:
            f.write(data)


def load(
    f: File, map_location: Any = None, *_: Any, weights_only: bool = True, **_ignored: Any
) -> Any:
    """Reads what `save` wrote. Pickles run code as they are read, so that they need ``weights_only=False``."""
    data = Path(f).read_bytes() if isinstance(f, str | PathLike) else f.read()
    if data[:1] != pickle.PROTO:
        return dg.load(io.BytesIO(data), map_location=map_location)
    if weights_only:
        problem = "this file holds a pickle, which may run any code as it is read"
        remedy = "load files that you trust with weights_only=False, or save model.state_dict()"
        raise pickle.UnpicklingError(f"load: {problem}\n  remedy: {remedy}")
    return pickle.loads(data)


__all__ = ["load", "save"]

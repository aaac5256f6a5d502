"""Saving: trees of tensors, and programs, as safetensors files, which hold data only and are checked before use.

A flat dict of tensors is a plain safetensors file. The structure of any other tree is JSON text in
the header's ``__metadata__``; its tensors are named by number. Programs: see `dualgraph.artefact`.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import IO, Any

import numpy as np

from .container import Array, read, write
from .core.backend import backend_for
from .core.devices import Device
from .core.errors import ArgumentError, FileFormatError, describe
from .eager import Tensor
from .jit.compile import Compiled
from .jit.program import Program
from .passes.sizes import as_bytes
from .static.graph import Graph

_TREE = "dualgraph.tree"
_PROGRAM = "dualgraph.program"
_OF_PROGRAMS = f"{__package__}.artefact"
_MAX_DEPTH = 100


def _artefact() -> Any:
    """What saves and loads programs, loaded with the first of them."""
    return importlib.import_module(".artefact", __package__)


# --- save --------------------------------------------------------------------------------------


def _opened(path: str | PathLike[str] | IO[bytes]) -> str | IO[bytes]:
    return path if hasattr(path, "write") else os.fspath(path)  # type: ignore[arg-type]


def save(
    obj: Any, path: str | PathLike[str] | IO[bytes], *, vectors: Iterable[Any] | None = None
) -> None:
    """Writes a tree of tensors, numbers, strings, None, dicts, lists and tuples to a safetensors file.

    `path` may be an open binary file, too, such as an ``io.BytesIO``.

    Also writes a compiled function, a `Program`, a `Graph` or what `load` made of one: its graph, the
    tensors it reads from outside, what it assumes, and test vectors. `vectors` are argument tuples to
    record beside the arguments of the capture; see docs/artefacts.md.

    The file appears under its name only when it is complete. Anything else in the tree raises a
    TypeError that names the place; a program that cannot be saved raises CaptureError and says why.

    >>> dg.save({"weight": dg.zeros(2, 3)}, "/tmp/doc.safetensors")
    >>> dg.load("/tmp/doc.safetensors")["weight"].shape
    (2, 3)
    """
    target = _opened(path)
    if isinstance(obj, (Compiled, Program, Graph)) or type(obj).__module__.startswith(_OF_PROGRAMS):
        write(target, *_artefact().pack(obj, vectors))
        return
    if vectors is not None:
        raise ArgumentError(
            describe("save", type(obj).__name__, "only programs have vectors", "leave them out")
        )
    tensors: dict[str, Tensor] = {}
    metadata = {"format": "dualgraph"}
    if _is_flat(obj):
        tensors.update(obj)
    else:
        metadata[_TREE] = json.dumps(
            _Encoder(tensors).encode(obj, "the root", 0), separators=(",", ":")
        )
    arrays = {
        k: Array(backend_for(x.device).to_numpy(x._data), x.dtype) for k, x in tensors.items()
    }
    write(target, arrays, metadata)


def _is_flat(obj: Any) -> bool:
    return (
        isinstance(obj, Mapping)
        and all(isinstance(k, str) and k != "__metadata__" for k in obj)
        and all(isinstance(v, Tensor) for v in obj.values())
    )


class _Encoder:
    """Trees as JSON: plain values stand for themselves, the others are ``[tag, ...]``."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors  # filled on the way
        self.names: dict[int, str] = {}  # a tensor that occurs twice is stored once

    def encode(self, node: Any, where: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"cannot save a tree nested more than {_MAX_DEPTH} deep (at {where})")
        if node is None or isinstance(node, (bool, str)) or type(node) is int:
            return node
        if isinstance(node, float):
            return float(node) if math.isfinite(node) else ["f", repr(float(node))]
        if isinstance(node, complex):
            return ["c", repr(node.real), repr(node.imag)]
        if isinstance(node, (np.bool_, np.integer, np.floating)):
            return self.encode(node.item(), where, depth)
        if isinstance(node, Tensor):
            name = self.names.setdefault(id(node), str(len(self.names)))
            self.tensors[name] = node
            return ["T", name]
        return self.branch(node, where, depth + 1)

    def branch(self, node: Any, where: str, depth: int) -> Any:
        if isinstance(node, (list, tuple)):
            tag = "l" if isinstance(node, list) else "t"
            return [tag, *(self.encode(v, f"{where}[{i}]", depth) for i, v in enumerate(node))]
        if isinstance(node, Mapping):
            pairs = ((_key(k, where), v) for k, v in node.items())
            return [
                "d",
                *(
                    [self.encode(k, where, depth), self.encode(v, f"{where}[{k!r}]", depth)]
                    for k, v in pairs
                ),
            ]
        raise TypeError(
            f"cannot save a {type(node).__name__} (at {where}); files hold tensors, numbers, strings, "
            "None, and dicts, lists and tuples of them"
        )


def _key(key: Any, where: str) -> Any:
    if key is None or isinstance(key, (bool, int, float, str)):
        return key
    raise TypeError(f"cannot save a dict key of type {type(key).__name__} (in {where})")


# --- load --------------------------------------------------------------------------------------


def load(
    path: str | PathLike[str] | IO[bytes], map_location: Any = None, *, weights_only: bool = True,
    limit: int | str | None = None,
) -> Any:  # fmt: skip
    """Reads what `save` wrote, or any safetensors file (a dict of tensors). Nothing in the file is executed.

    A saved program comes back as an `Artefact`: a function that takes the arguments of the original and
    gives its results, compiled for this machine. `limit` bounds the memory that a call of it may need, as
    bytes or a text such as ``"1GB"`` (unless given: the memory of the machine).

    `path` may be an open binary file, too. Tensors come to the CPU, or to the device that `map_location` names;
    files do not say where their tensors were, so that a dict or a function for it changes nothing. Nor does
    `weights_only`: files hold data only.

    Every length, offset, dtype and shape is checked against the file's size before memory is taken.
    Raises FileFormatError for a file that is damaged or of another format.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.dg")
        >>> dg.save({"w": dg.ones(2)}, path)
        >>> dg.load(path)["w"]
        tensor([1., 1.])
    """
    source = _opened(path)
    arrays, metadata = read(source)
    if any(name.startswith(_PROGRAM) for name in metadata):
        limited = None if limit is None else as_bytes(limit)
        return _artefact().unpack(arrays, metadata, str(path), limited)
    tensors = {name: Tensor(x.data, x.dtype) for name, x in arrays.items()}
    if isinstance(map_location, (str, Device)):
        tensors = {name: x.to(device=map_location) for name, x in tensors.items()}
    if _TREE not in metadata:
        return tensors
    try:
        return _decode(json.loads(metadata[_TREE]), tensors, 0)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise FileFormatError(f"{path}: the structure in {_TREE!r} is damaged: {error}") from None


def _decode(node: Any, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    if not isinstance(node, list):
        if isinstance(node, dict):
            raise ValueError("an object where a tagged list is expected")
        return node
    tag, *rest = node
    if tag == "T":
        return tensors[rest[0]]
    if tag == "f":
        return float(rest[0])
    if tag == "c":
        return complex(float(rest[0]), float(rest[1]))
    if tag in ("l", "t"):
        items = [_decode(v, tensors, depth + 1) for v in rest]
        return items if tag == "l" else tuple(items)
    if tag == "d":
        return {_decode(k, tensors, depth + 1): _decode(v, tensors, depth + 1) for k, v in rest}
    raise ValueError(f"unknown tag {tag!r}")

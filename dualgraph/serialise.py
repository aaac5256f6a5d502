"""Saving: trees of tensors as safetensors files, which hold data only and are checked before use.

Format (https://huggingface.co/docs/safetensors): the header's length as a little-endian uint64, a
JSON header ``{name: {"dtype", "shape", "data_offsets"}}``, then the tensors' bytes, little-endian
and row-major, without gaps. A flat dict of tensors is exactly that. The structure of any other tree
is JSON text in the header's ``__metadata__``; its tensors are named by number.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import prod
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from .core import dtypes as dt
from .core.backend import backend_for
from .core.errors import FileFormatError
from .eager import Tensor

_CODES = {
    dt.bool_: "BOOL", dt.uint8: "U8", dt.int8: "I8", dt.uint16: "U16", dt.int16: "I16",
    dt.uint32: "U32", dt.int32: "I32", dt.uint64: "U64", dt.int64: "I64", dt.float16: "F16",
    dt.bfloat16: "BF16", dt.float32: "F32", dt.float64: "F64", dt.complex64: "C64",
    dt.complex128: "C128",
}  # fmt: skip
_DTYPES = {code: dtype for dtype, code in _CODES.items()}
_TREE = "dualgraph.tree"
_MAX_HEADER = 100_000_000  # bytes; the limit of the format's other readers
_MAX_DEPTH = 100
_ALIGN = 8


# --- save --------------------------------------------------------------------------------------


def save(obj: Any, path: str | PathLike[str]) -> None:
    """Writes a tree of tensors, numbers, strings, None, dicts, lists and tuples to a safetensors file.

    The file appears under its name only when it is complete. Anything else in the tree raises a
    TypeError that names the place.

    >>> dg.save({"weight": dg.zeros(2, 3)}, "/tmp/doc.safetensors")
    >>> dg.load("/tmp/doc.safetensors")["weight"].shape
    (2, 3)
    """
    tensors: dict[str, Tensor] = {}
    metadata = {"format": "dualgraph"}
    if _is_flat(obj):
        tensors.update(obj)
    else:
        metadata[_TREE] = json.dumps(
            _Encoder(tensors).encode(obj, "the root", 0), separators=(",", ":")
        )
    _write(os.fspath(path), tensors, metadata)


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


def _write(path: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": metadata}
    arrays, end = [], 0
    # wide elements first, so that every tensor starts at a multiple of its element size
    for name in sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n)):
        x = tensors[name]
        array = _bytes_of(x)
        header[name] = {
            "dtype": _CODES[x.dtype],
            "shape": list(x.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGN)
    with _replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(array.data)


def _bytes_of(x: Tensor) -> np.ndarray[Any, Any]:
    array = np.ascontiguousarray(backend_for(x.device).to_numpy(x._data))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)


@contextmanager
def _replacing(path: str) -> Iterator[Any]:
    """A temporary file beside `path` that takes its place when the block ends well."""
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


# --- load --------------------------------------------------------------------------------------


class _Entry(NamedTuple):
    name: str
    dtype: dt.DType
    shape: tuple[int, ...]
    start: int
    stop: int


def load(path: str | PathLike[str]) -> Any:
    """Reads what `save` wrote, or any safetensors file (a dict of tensors). Nothing in the file is executed.

    Every length, offset, dtype and shape is checked against the file's size before memory is
    taken. Raises FileFormatError for a file that is damaged or of another format.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, data_start = _read_header(file, size, path)
        metadata = _checked_metadata(header.pop("__metadata__", {}), path)
        entries = [_entry(name, record, path) for name, record in header.items()]
        _check_layout(entries, size - data_start, path)
        tensors = {e.name: _read_tensor(file, data_start, e, path) for e in entries}
    if _TREE not in metadata:
        return tensors
    try:
        return _decode(json.loads(metadata[_TREE]), tensors, 0)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise FileFormatError(f"{path}: the structure in {_TREE!r} is damaged: {error}") from None


def _read_header(file: Any, size: int, path: str) -> tuple[dict[str, Any], int]:
    prefix = file.read(8)
    if prefix[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise FileFormatError(
            f"{path}: this is a pickle, which could run code; it is not read. {_REMEDY}"
        )
    if prefix[:4] == b"PK\x03\x04":
        raise FileFormatError(
            f"{path}: this is a zip archive (torch.save or numpy.savez). {_REMEDY}"
        )
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length < 2 or length > min(size - 8, _MAX_HEADER):
        raise FileFormatError(
            f"{path}: not a safetensors file, or cut short: a header of {length} bytes is announced, "
            f"the file has {size} bytes (header at most {_MAX_HEADER})"
        )
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FileFormatError(f"{path}: the header must be an object, not {type(header).__name__}")
    return header, 8 + length


_REMEDY = "Read it with the program that wrote it and save its tensors with dg.save or safetensors"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name occurs twice")
    return out


def _checked_metadata(metadata: Any, path: str) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FileFormatError(f"{path}: __metadata__ must map strings to strings")
    return metadata


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _entry(name: str, record: Any, path: str) -> _Entry:
    def fail(problem: str) -> FileFormatError:
        return FileFormatError(f"{path}: tensor {name!r} {problem}")

    if not isinstance(record, dict) or set(record) != {"dtype", "shape", "data_offsets"}:
        raise fail("needs exactly dtype, shape and data_offsets")
    code, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise fail(f"has dtype {code!r}; known are {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not all(map(_is_count, shape)) or len(shape) > 64:
        raise fail(f"has shape {shape!r}, not a list of at most 64 lengths")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise fail(f"has data_offsets {offsets!r}, not [start, stop]")
    expected = prod(shape) * _DTYPES[code].itemsize
    if offsets[1] - offsets[0] != expected:
        raise fail(
            f"takes {expected} bytes ({code} of shape {shape}), its data_offsets span {offsets[1] - offsets[0]}"
        )
    return _Entry(name, _DTYPES[code], tuple(shape), *offsets)


def _check_layout(entries: list[_Entry], available: int, path: str) -> None:
    """The tensors lie one after the other, without gap or overlap, and fill the file."""
    end = 0
    for e in sorted(entries, key=lambda e: (e.start, e.stop)):
        if e.start != end:
            what = "overlaps the one before" if e.start < end else "leaves a gap before it"
            raise FileFormatError(
                f"{path}: tensor {e.name!r} starts at byte {e.start}, expected {end}: it {what}"
            )
        end = e.stop
    if end != available:
        raise FileFormatError(
            f"{path}: the tensors take {end} bytes, the file holds {available} after its header"
        )


def _read_tensor(file: Any, data_start: int, e: _Entry, path: str) -> Tensor:
    try:
        array = np.empty(e.shape, e.dtype.numpy.newbyteorder("<"))
    except ValueError as error:  # no elements, but lengths or axes beyond NumPy's limits
        raise FileFormatError(
            f"{path}: tensor {e.name!r} of shape {list(e.shape)}: {error}"
        ) from None
    file.seek(data_start + e.start)
    if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
        raise FileFormatError(f"{path}: tensor {e.name!r} is cut short")
    if e.dtype is dt.bool_ and (array.view(np.uint8) > 1).any():
        raise FileFormatError(f"{path}: tensor {e.name!r} holds bools other than 0 and 1")
    return Tensor(array.astype(e.dtype.numpy, copy=False), e.dtype)


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

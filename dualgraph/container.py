"""Container: safetensors files - named arrays and text, which hold data only and are checked before use.

Format (https://huggingface.co/docs/safetensors): the header's length as a little-endian uint64, a
JSON header ``{name: {"dtype", "shape", "data_offsets"}}``, then the arrays' bytes, little-endian
and row-major, without gaps. ``__metadata__`` in the header maps names to text.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np

from .core import dtypes as dt
from .core.errors import FileFormatError

_CODES = {
    dt.bool_: "BOOL", dt.uint8: "U8", dt.int8: "I8", dt.uint16: "U16", dt.int16: "I16",
    dt.uint32: "U32", dt.int32: "I32", dt.uint64: "U64", dt.int64: "I64", dt.float16: "F16",
    dt.bfloat16: "BF16", dt.float32: "F32", dt.float64: "F64", dt.complex64: "C64",
    dt.complex128: "C128",
}  # fmt: skip
_DTYPES = {code: dtype for dtype, code in _CODES.items()}
_MAX_HEADER = 100_000_000  # bytes; the limit of the format's other readers
_ALIGN = 8
_SEAL = "dualgraph.crc32"


class Array(NamedTuple):
    """An array and what its storage means (bfloat16 is kept in ``uint16``)."""

    data: np.ndarray[Any, Any]
    dtype: dt.DType


def write(
    path: str | IO[bytes], arrays: Mapping[str, Array], metadata: Mapping[str, str], sealed: bool = False
) -> None:  # fmt: skip
    """Writes a file, which appears under its name only when it is complete, or into an open one.

    With `sealed` its metadata hold a checksum of all the rest, so that damage is noticed when it is read.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata), **dict.fromkeys(arrays)}  # in order
    parts, end = [], 0
    # wide elements first, so that every array starts at a multiple of its element size
    for name in sorted(arrays, key=lambda n: (-arrays[n].dtype.itemsize, n)):
        x = arrays[name]
        flat = _bytes_of(x.data)
        header[name] = {
            "dtype": _CODES[x.dtype],
            "shape": list(x.data.shape),
            "data_offsets": [end, end + flat.nbytes],
        }
        end += flat.nbytes
        parts.append(flat)
    if sealed:
        header["__metadata__"][_SEAL] = _checksum(header, parts)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGN)
    with _replacing(path) if isinstance(path, str) else nullcontext(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in parts:
            file.write(part.data)


def _checksum(header: dict[str, Any], parts: Iterable[np.ndarray[Any, Any]]) -> str:
    """CRC-32 of the header (but for the checksum itself) in a canonical form, then of the data."""
    metadata = {k: v for k, v in header.get("__metadata__", {}).items() if k != _SEAL}
    text = json.dumps({**header, "__metadata__": metadata}, sort_keys=True)
    crc = zlib.crc32(text.encode("utf-8", "surrogatepass"))
    for part in parts:
        crc = zlib.crc32(part, crc)
    return f"{crc:08x}"


def _bytes_of(x: Any) -> np.ndarray[Any, Any]:
    array = np.ascontiguousarray(x)
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


class _Entry(NamedTuple):
    name: str
    dtype: dt.DType
    shape: tuple[int, ...]
    start: int
    stop: int


def read(source: str | IO[bytes]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata of a file, given by its path, or open (read from where it stands to its end).

    Every length, offset, dtype and shape is checked against the file's size before memory is
    taken. Raises FileFormatError for a file that is damaged or of another format.
    """
    path = source if isinstance(source, str) else getattr(source, "name", "an open file")
    with open(source, "rb") if isinstance(source, str) else io.BytesIO(source.read()) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        header, data_start = _read_header(file, size, path)
        metadata = _checked_metadata(header.get("__metadata__", {}), path)
        records = {k: v for k, v in header.items() if k != "__metadata__"}
        entries = [_entry(name, record, path) for name, record in records.items()]
        _check_layout(entries, size - data_start, path)
        arrays = {e.name: _read_array(file, data_start, e, path) for e in entries}
    if _SEAL in metadata:
        ordered = sorted(entries, key=lambda e: (e.start, e.stop))
        if metadata[_SEAL] != _checksum(header, [_bytes_of(arrays[e.name].data) for e in ordered]):
            raise FileFormatError(f"{path}: the file is damaged: its checksum does not fit")
    return arrays, metadata


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


def _read_array(file: Any, data_start: int, e: _Entry, path: str) -> Array:
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
    return Array(array.astype(e.dtype.numpy, copy=False), e.dtype)

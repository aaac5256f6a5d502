"""Summaries: curves and histograms of a training run, in files that TensorBoard shows.

A file is a row of records (TFRecord: length, checksum, bytes, checksum), each an event in the encoding of protocol
buffers (tensorboard/compat/proto/event.proto and summary.proto): time, step, and a value with its tag.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from .core.errors import ArgumentError
from .eager import Tensor

_serial = itertools.count()


def _table() -> list[int]:
    out = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        out.append(n)
    return out


_CRC = _table()


def checksum(data: bytes) -> int:
    """The masked CRC-32C of a record.

    >>> hex(dg.summaries.checksum(b"123456789"))
    '0xc78ab0e5'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# --- protocol buffers: a field is its number and kind, then the value -----------------------------


def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes((*out, n))


def _double(field: int, x: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", x)


def _float(field: int, x: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", x)


def _integer(field: int, n: int) -> bytes:
    return _varint(field << 3) + _varint(n)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _histogram(values: Any, bins: Any) -> bytes:
    x = np.asarray(values, np.float64).reshape(-1)
    if not x.size or not np.isfinite(x).all():
        raise ArgumentError("add_histogram: needs values, all of them finite")
    counts, edges = np.histogram(x, bins)
    parts = [x.min(), x.max(), x.size, x.sum(), np.square(x).sum()]
    head = b"".join(_double(i, float(v)) for i, v in enumerate(parts, 1))
    limits, buckets = edges[1:].astype("<f8"), counts.astype("<f8")
    return head + _bytes(6, limits.tobytes()) + _bytes(7, buckets.tobytes())


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


class SummaryWriter:
    """Writes a new file of events in `log_dir` (``runs/`` and the time, by default); ``tensorboard --logdir`` shows it.

    Values are numbers, arrays or tensors. Raises ArgumentError for a scalar of several elements, and for histograms of
    no values or of ones that are not finite. Files are complete after `flush`, `close`, or a ``with`` block; in
    between, what was added comes to the file at least every `flush_secs` seconds in which something is added.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with dg.summaries.SummaryWriter(folder) as writer:
    ...         writer.add_scalar("loss", dg.tensor(0.5), 1)
    ...         writer.add_histogram("weights", dg.arange(10.0), 1)
    ...     print(os.listdir(folder)[0].startswith("events.out.tfevents."))
    True
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        filename_suffix: str = "",
        flush_secs: float = 120.0,
        **_: Any,
    ) -> None:
        now, host = time.time(), socket.gethostname()
        if log_dir is None:
            moment = time.strftime("%b%d_%H-%M-%S", time.localtime(now))
            log_dir = os.path.join("runs", f"{moment}_{host}{comment}")
        self.log_dir = os.fspath(log_dir)
        os.makedirs(self.log_dir, exist_ok=True)
        name = (
            f"events.out.tfevents.{int(now)}.{host}.{os.getpid()}.{next(_serial)}{filename_suffix}"
        )
        self._file = open(os.path.join(self.log_dir, name), "xb")  # noqa: SIM115 (closed by `close`)
        weakref.finalize(self, self._file.close)
        self._every, self._flushed = flush_secs, now
        self._write(_double(1, now) + _bytes(3, b"brain.Event:2"))

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        **_: Any,
    ) -> None:
        """A point of the curve `tag`."""
        value = np.asarray(_plain(scalar_value))
        if value.size != 1:
            raise ArgumentError(f"add_scalar: {tag!r} has {value.size} elements, not one")
        self._add(tag, _float(2, float(value.reshape(()))), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Points of several curves, ``main_tag/name``."""
        for name, value in tag_scalar_dict.items():
            self.add_scalar(f"{main_tag}/{name}", value, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = 30,
        walltime: float | None = None,
        **_: Any,
    ) -> None:
        """How values are distributed; `bins` as for ``numpy.histogram``."""
        how = "auto" if bins in ("tensorflow", "auto", "fd") else bins
        self._add(tag, _bytes(5, _histogram(_plain(values), how)), global_step, walltime)

    def flush(self) -> None:
        """Hands what was added to the system."""
        self._file.flush()
        self._flushed = time.time()

    def close(self) -> None:
        """Completes the file; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _add(self, tag: str, value: bytes, step: Any, walltime: float | None) -> None:
        summary = _bytes(1, _bytes(1, tag.encode()) + value)
        at = _integer(2, 0 if step is None else int(step))
        self._write(
            _double(1, time.time() if walltime is None else walltime) + at + _bytes(5, summary)
        )

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        sums = [struct.pack("<I", checksum(part)) for part in (length, event)]
        self._file.write(length + sums[0] + event + sums[1])
        if time.time() - self._flushed > self._every:
            self.flush()


__all__ = ["SummaryWriter", "checksum"]

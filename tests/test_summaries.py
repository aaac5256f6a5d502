"""Files of events: records with their checksums, and the fields that TensorBoard reads."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.summaries import SummaryWriter, checksum


def records(path: Path) -> Iterator[bytes]:
    data, at = path.read_bytes(), 0
    while at < len(data):
        length, first = struct.unpack_from("<QI", data, at)
        body = data[at + 12 : at + 12 + length]
        assert checksum(data[at : at + 8]) == first
        assert checksum(body) == struct.unpack_from("<I", data, at + 12 + length)[0]
        yield body
        at += length + 16


def varint(data: bytes, at: int) -> tuple[int, int]:
    n = shift = 0
    while True:
        n |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return n, at


def fields(data: bytes) -> dict[int, Any]:
    """A message by the numbers of its fields, by the rules of protocol buffers."""
    out, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            out[key >> 3], at = varint(data, at)
            continue
        size, at = varint(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
        raw, at = data[at : at + size], at + size
        out[key >> 3] = {1: "<d", 5: "<f"}.get(key & 7, raw)
        if key & 7 != 2:
            (out[key >> 3],) = struct.unpack(out[key >> 3], raw)
    return out


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(500)
    with SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", dg.tensor([1.5], requires_grad=True), 3, walltime=12.5)
        writer.add_scalars("both", {"a": -2, "b": np.float32(0.25)}, 300)
        writer.add_histogram("weights", dg.tensor(values), -1)
        writer.flush()
    writer.close()
    (path,) = (tmp_path / "run").iterdir()
    head, *events = map(fields, records(path))
    assert head[3] == b"brain.Event:2" and head[1] > 1e9
    tags = [fields(fields(e[5])[1]) for e in events]
    assert [t[1] for t in tags] == [b"loss", b"both/a", b"both/b", b"weights"]
    assert [t[2] for t in tags[:3]] == [1.5, -2.0, 0.25]
    assert [e[2] for e in events] == [3, 300, 300, 2**64 - 1] and events[0][1] == 12.5
    histogram = fields(tags[3][5])
    limits, counts = (np.frombuffer(histogram[i], "<f8") for i in (6, 7))
    assert [histogram[i] for i in (1, 2, 3)] == [values.min(), values.max(), 500.0]
    np.testing.assert_allclose([histogram[4], histogram[5]], [values.sum(), (values**2).sum()])
    assert (
        counts.sum() == 500
        and counts[0] == (values < limits[0]).sum()
        and limits[-1] == values.max()
    )


def test_what_cannot_be_drawn_is_an_error(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(dg.ArgumentError, match="'x' has 2 elements"):
            writer.add_scalar("x", dg.ones(2))
        for wrong in ([], [np.nan]):
            with pytest.raises(dg.ArgumentError, match="finite"):
                writer.add_histogram("x", wrong)


def test_a_training_loop_writes_its_curve_in_both_modes(tmp_path: Path) -> None:
    @dg.compile(wait=True)
    def step(x: Any) -> Any:
        return (x * x).sum()

    with SummaryWriter(tmp_path, flush_secs=-1.0) as writer:
        for i in range(3):
            writer.add_scalar("loss", step(dg.full((2,), float(i))), i)
        (path,) = tmp_path.iterdir()
        found = [fields(fields(fields(r)[5])[1])[2] for r in list(records(path))[1:]]
    assert found == [0.0, 2.0, 8.0]

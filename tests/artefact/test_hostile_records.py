"""Headers and records of strangers: a named error, in bounded time, or a program that says what is wrong."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.artefact.forms import decode, text_of
from dualgraph.container import read, write
from dualgraph.jit.dynamic import Template
from tests.artefact.test_hostile import KEY


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training step with state, also such that calls exchange, numbers, a branch, a view and keywords."""
    path = tmp_path_factory.mktemp("files") / "f.dg"
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 2))
    opt = optim.Adam(net.parameters(), lr=0.1)
    held = {"mean": dg.zeros(())}

    @dg.compile(wait=True)
    def step(x: Any, y: Any, *, k: int = 2) -> Any:
        opt.zero_grad()
        loss = ((net(x) - y["t"]) ** 2).mean() * k
        loss.backward()
        opt.step()
        held["mean"] = held["mean"] * 0.9 + loss.detach() * 0.1
        if loss > 100:
            return loss
        return {"loss": loss, "view": x[0], "number": loss.item(), "same": x}

    for _ in range(5):
        step(*ARGUMENTS, k=2)
    step(dg.ones(4, 3), {"t": dg.ones(4, 2)}, k=2)
    assert isinstance(step.programs[-1], Template)
    dg.save(step, path)
    assert "held['mean']" in dg.load(path).state
    return path


ARGUMENTS = dg.ones(2, 3), {"t": dg.ones(2, 2)}


def load(path: Path) -> Any:
    """What a file gives; None where it is refused by name."""
    began = time.perf_counter()
    try:
        return dg.load(path, limit="64MB")
    except dg.FileFormatError:
        return None
    finally:
        assert time.perf_counter() - began < 20


# --- headers -------------------------------------------------------------------------------------


def framed(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


HEADERS = {
    "nothing": b"",
    "a length alone": bytes(8),
    "a length of all ones": b"\xff" * 8 + b"{}",
    "a length past the end": framed(b"{}", length=1 << 40),
    "deep lists": framed(b"[" * 100_000 + b"]" * 100_000),
    "deep objects": framed(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a name twice": framed(b'{"__metadata__":{},"__metadata__":{"a":"b"}}'),
    "no text": framed(b"\xff" * 100),
    "a list": framed(b"[1,2]"),
    "null": framed(b"null"),
    "a long number": framed(b'{"a": ' + b"9" * 100_000 + b"}"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_headers_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(HEADERS[name])
    assert load(tmp_path / "x") is None


def at(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """The first array with something else in its entry."""

    def change(header: dict[str, Any]) -> None:
        name = next(k for k in header if k != "__metadata__")
        header[name][key] = value

    return change


def metadata(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["__metadata__"].update({key: value})


def overlapping(header: dict[str, Any]) -> None:
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            entry["data_offsets"] = [0, stop - start]


SEALED: dict[str, Callable[[dict[str, Any]], None]] = {
    "offsets past the end": at("data_offsets", [0, 10**18]),
    "offsets before the start": at("data_offsets", [-4, 0]),
    "offsets that are no integers": at("data_offsets", [0.0, 4.0]),
    "three offsets": at("data_offsets", [0, 4, 8]),
    "a huge shape": at("shape", [10**9] * 8),
    "a huge shape of nothing": at("shape", [0, 2**70]),
    "a negative shape": at("shape", [-1, -3]),
    "a shape of text": at("shape", "12"),
    "a shape of truth": at("shape", [True, 12]),
    "a long shape": at("shape", [1] * 100),
    "objects": at("dtype", "O"),
    "a list for a dtype": at("dtype", ["F32"]),
    "arrays over each other": overlapping,
    "a deep record": metadata(KEY, "[" * 100_000),
    "a number for the record": metadata(KEY, 5),
    "half a character": metadata(KEY, "\ud800"),
}


@pytest.mark.parametrize("name", SEALED)
def test_hostile_entries_are_refused_though_the_checksum_fits(
    whole: Path, tmp_path: Path, name: str
) -> None:
    content = whole.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:end]), content[end:]
    SEALED[name](header)
    header["__metadata__"].pop("dualgraph.crc32")
    text = json.dumps(header, sort_keys=True).encode()
    header["__metadata__"]["dualgraph.crc32"] = f"{zlib.crc32(data, zlib.crc32(text)):08x}"
    (tmp_path / "x").write_bytes(framed(json.dumps(header).encode(), data))
    assert load(tmp_path / "x") is None


# --- records -------------------------------------------------------------------------------------

STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, float("nan"), "", "x", "f32[2]", "f32[99999999999]", "%0",
    "graph() { return }", [], {}, [[]], ["leaf", 0], ["leaf", 10**9], "*", ["tuple", ["*"] * 3],
    "slice(None,None,None)", "(1,2,3)", "nan", "array(f32[2], [1.0, 2.0])", {"a": {}}, "\x00", 0.5, "a" * 10_000,
]  # fmt: skip


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all entries of a tree of JSON."""
    items = (
        tree if isinstance(tree, dict) else dict(enumerate(tree if isinstance(tree, list) else ()))
    )
    for key, value in items.items():
        yield (*path, key)
        yield from places(value, (*path, key))


def entry(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def mutant(record: Any, rng: random.Random) -> Any:
    """The record with one or two entries exchanged, left out or given twice."""
    out = copy.deepcopy(record)
    for _ in range(rng.choice([1, 1, 2])):
        known = list(places(out))
        *way, key = path = rng.choice(known)
        holder, kind = entry(out, tuple(way)), rng.random()
        if kind < 0.15:
            del holder[key]
        elif kind < 0.3:
            holder[key] = copy.deepcopy(entry(out, rng.choice(known)))
        elif kind < 0.4 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(entry(out, path)))
        else:
            holder[key] = copy.deepcopy(rng.choice(STRANGE))
    return out


def check_mutants(whole: Path, path: Path, seed: int, count: int) -> tuple[int, int]:
    """How many were loaded, and how many refused; no other error, wherever they are used."""
    rng, loaded, refused = random.Random(seed), 0, 0
    arrays, texts = read(str(whole))
    record = json.loads(texts[KEY])
    for _ in range(count):
        here = dict(arrays)
        if rng.random() < 0.1:
            del here[rng.choice(list(here))]
        write(str(path), here, {**texts, KEY: json.dumps(mutant(record, rng))}, sealed=True)
        back = load(path)
        refused += back is None
        if back is None or isinstance(back, dict):  # without the record it is a file of arrays
            continue
        loaded += 1
        with contextlib.suppress(dg.DualgraphError):
            back.verify()
            back(*ARGUMENTS, k=2)
            assert str(back.graph) and back.assumptions
    return loaded, refused


def test_mutated_records_are_refused_or_run_without_harm(whole: Path, tmp_path: Path) -> None:
    loaded, refused = check_mutants(whole, tmp_path / "x", 0, 40)
    assert loaded > 5 and refused > 5


@pytest.mark.parametrize(
    "form",
    [
        ["dict", [text_of(k) for k in "aab"], ["*", "*"]],
        ["record", "R", ["a", "a", "b"], ["*", "*"]],
    ],
)
def test_a_structure_has_each_name_once(form: Any) -> None:
    with pytest.raises(ValueError, match="has one"):
        decode(form)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_mutated_records(whole: Path, tmp_path: Path, seed: int) -> None:
    check_mutants(whole, tmp_path / "x", seed, 500)

"""Files that are damaged or hostile: a named error before anything is allocated or run, never a crash."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.container import read, write

KEY = "dualgraph.program"
TEXT = "dualgraph.graph.0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small program with state, a view, a slice, a loop and a pooled convolution."""
    path = tmp_path_factory.mktemp("files") / "f.dg"
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.MaxPool2d(2))
    table = dg.randn(20)

    def f(x: Any, i: Any) -> Any:
        y = net(x)
        last, _ = dg.scan(lambda c, v: (c + v, v), y[0, 0, 0], y[0, :, 0])
        return {
            "y": y[:, :, ::2],
            "last": last,
            "t": dg.take(table, i),
            "s": x.sum() * 2,
            "v": x[0],
        }

    compiled = dg.compile(f, wait=True)
    compiled(dg.randn(1, 1, 6, 6), dg.asarray([1, 2]))
    dg.save(compiled, path)
    return path


def changed(whole: Path, change: Any) -> Path:
    """A sealed file beside `whole` whose record and graph text `change` has been at."""
    arrays, metadata = read(str(whole))
    record = json.loads(metadata[KEY])
    text = change(record, metadata[TEXT])
    metadata[KEY] = json.dumps(record)
    metadata[TEXT] = metadata[TEXT] if text is None else text
    path = whole.with_name("changed.dg")
    write(str(path), arrays, metadata, sealed=True)
    return path


def test_the_file_itself_is_sound(whole: Path) -> None:
    assert dg.load(changed(whole, lambda r, t: None)).verify()


def test_every_truncation_is_noticed(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    for end in (*range(300), *range(300, len(content), 41), len(content) - 1):
        (tmp_path / "x").write_bytes(content[:end])
        with pytest.raises(dg.FileFormatError):
            dg.load(tmp_path / "x")


def test_every_flipped_bit_is_noticed_or_means_nothing(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(content), 400):
        damaged = bytearray(content)
        damaged[at] ^= 1 << rng.integers(8)
        (tmp_path / "x").write_bytes(bytes(damaged))
        try:
            back = dg.load(tmp_path / "x")
        except dg.FileFormatError:
            continue
        assert isinstance(back, dict) or back.verify()  # padding, or the mark of a program


def set_at(*path: Any, to: Any) -> Any:
    def change(record: Any, text: str) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = to

    return change


def replaced(pattern: str, by: str) -> Any:
    def change(record: Any, text: str) -> str:
        out = re.sub(pattern, by, text, count=1)
        assert out != text
        return out

    return change


def graph_of(text: str) -> Any:
    return lambda record, _: text


P = ("programs", 0)
FULL = """graph() {
  %0: f32[1000000000,1000000] = full(shape=(1000000000, 1000000), value=0.0, dtype="float32", device="cpu")
  return %0
}"""
BODY = """graph(%0: f32[2]) {
  %1: f32[2] = composite(%0, name="f", body=graph(%0: f32[2]) {
    %1: f32[999999999999,2] = broadcast_to(%0, shape=(999999999999, 2))
    %2: f32[2] = reduce_sum(%1, axes=(0,), keepdims=False)
    return %2
  })
  return %1
}"""
BAD = {
    "version": (set_at("version", to=99), "version 99"),
    "no programs": (set_at("programs", to=[]), "no program"),
    "programs no list": (set_at("programs", to={"a": 1}), "no program"),
    "form": (set_at(*P, "form", to=["eval", ["*"]]), "not a known structure"),
    "form deep": (set_at(*P, "form", to=json.loads('["list",[' * 200 + '"*"' + "]]" * 200)), "deeply"),
    "record name": (set_at(*P, "form", to=["record", "a; b", ["x"], ["*"]]), "identifiers"),
    "few results": (set_at(*P, "results", to=[]), "results are missing"),
    "result kind": (set_at(*P, "results", 0, "kind", to="eval"), "no 'eval'"),
    "result number": (set_at(*P, "results", 0, "key", to=10**9), "there is no"),
    "result hangs": (set_at(*P, "results", 0, "base", to=0), "not there yet"),
    "chain": (set_at(*P, "results", 0, "chain", to=[["while_loop", {}]]), "view ops"),
    "input": (set_at(*P, "inputs", 0, to=["eval", "x"]), "does not come from"),
    "leaf": (set_at(*P, "inputs", 0, to=["leaf", -1]), "there is no leaf"),
    "state": (set_at(*P, "inputs", 0, to=["state", "nowhere"]), "nowhere"),
    "store": (set_at(*P, "stores", to=[[0, 0]]), "what is stored|there is no"),
    "gradients": (set_at(*P, "gradients", to=[[["leaf", 0], 0]]), "gradient"),
    "values": (set_at(*P, "values", to=[["1", "x"]] * 99), "zip|element"),
    "vector": (set_at(*P, "vectors", 0, "inputs", to={}), "lacks inputs"),
    "leaves": (set_at(*P, "leaves", 0, 1, to="f32[9999999999999999,9999999999]"), "f32|memory"),
    "huge full": (graph_of(FULL), "needs .* more than"),
    "huge body": (graph_of(BODY), "needs .* more than"),
    "no op": (replaced("= conv[(]", "= system("), "no op named"),
    "types": (replaced(r"f32\[1,2,5,5\]", "f32[1,2,5,6]"), "declares|gives"),
    "outside": (replaced(r"stops=\(1, 2, 2, 2\)", "stops=(1, 2, 2, 9)"), "does not lie"),
    "variables": (replaced("%0", "%999999999999"), "at most 9 digits"),
    "deep": (graph_of("graph() { %0: f32[] = full(shape=" + "(" * 5000), "nested more than"),
    "deep graphs": (graph_of("graph() { () = f(b=" * 5000), "nested more than|no op"),
    "digits": (graph_of("graph() { %0: f32[] = full(shape=(" + "9" * 6000 + ",)) return %0 }"), "digits"),
    "no text": (graph_of("what"), "line 1"),
    "GPU": (replaced(r"(%0: f32\[1,1,6,6\])", r"\1@cuda:0"), "cuda|f32"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_hostile_programs_raise_a_named_error(whole: Path, name: str) -> None:
    change, words = BAD[name]
    with pytest.raises(dg.FileFormatError, match=words):
        dg.load(changed(whole, change))


def test_a_limit_bounds_what_a_call_may_take(whole: Path) -> None:
    assert dg.load(whole, limit="1MB").verify()
    with pytest.raises(dg.FileFormatError, match="more than the 100 B allowed"):
        dg.load(whole, limit=100)


def mutants(text: str, rng: Any, count: int) -> Iterator[str]:
    """Graph texts with a number, a name or an operand exchanged."""
    pieces = re.split(r"(%\d+|\b\d+(?:\.\d+)?\b|\b[a-z_]{3,}\b)", text)
    words = pieces[1::2]
    kind = lambda w: "%" if w[0] == "%" else "a" if w[0].isalpha() else "0"  # noqa: E731
    pools = {k: [w for w in words if kind(w) == k] for k in "%a0"}
    pools["0"] += ["0", "7", "2147483648", "99999999999999"]
    for _ in range(count):
        out = list(pieces)
        for _ in range(int(rng.integers(1, 3))):
            at = 2 * int(rng.integers(len(words))) + 1
            out[at] = str(rng.choice(pools[kind(out[at])]))
        yield "".join(out)


def test_mutated_graphs_are_refused_or_run_without_harm(whole: Path) -> None:
    rng = np.random.default_rng(1)
    _, metadata = read(str(whole))
    loaded = 0
    for text in mutants(metadata[TEXT], rng, 300):
        try:
            back = dg.load(changed(whole, lambda r, t, text=text: text), limit="16MB")
        except dg.FileFormatError:
            continue
        loaded += 1
        with contextlib.suppress(dg.DualgraphError, ValueError, TypeError, IndexError):
            back.verify()  # other values, or an op that says why it cannot run
    assert loaded

"""Saving and loading: round trips, the safetensors format, and files that are damaged or hostile."""

# ruff: noqa: E501 - a table reads best with one case a line

import contextlib
import io
import json
import os
import pickle
import struct

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn, optim

DTYPES = [
    dg.bool, dg.uint8, dg.int8, dg.uint16, dg.int16, dg.uint32, dg.int32, dg.uint64, dg.int64, dg.float16, dg.bfloat16,
    dg.float32, dg.float64, dg.complex64, dg.complex128,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_every_dtype_round_trips(tmp_path, dtype):
    tensors = {
        "a": dg.arange(6).reshape(2, 3).to(dtype),
        "empty": dg.zeros(0, 3).to(dtype),
        "one": dg.ones(()).to(dtype),
    }
    tensors["turned"] = tensors["a"].T
    dg.save(tensors, tmp_path / "x")
    found = dg.load(tmp_path / "x")
    assert sorted(found) == sorted(tensors)
    for name, x in tensors.items():
        assert (
            found[name].dtype == dtype
            and found[name].shape == x.shape
            and found[name].tolist() == x.tolist()
        )


def test_trees_round_trip(tmp_path):
    shared = dg.ones(2)
    tree = {
        "model": {"w": dg.zeros(2, 2), "b": shared, "again": shared}, 3: [1, 2.5, None, True, "text", (1, (2,))], None: float("inf"),
        "betas": (0.9, 0.999), "empty": {}, "nan": float("nan"), "c": 1 + 2j, "np": np.float32(0.5), 0.5: [[], ()], "T": ["T", "l"],
    }  # fmt: skip
    dg.save(tree, tmp_path / "x")
    found = dg.load(tmp_path / "x")
    assert list(found) == list(tree)
    assert (
        found[3] == tree[3]
        and found["betas"] == tree["betas"]
        and found["empty"] == {}
        and found[0.5] == [[], ()]
    )
    assert (
        found[None] == float("inf")
        and found["nan"] != found["nan"]
        and found["c"] == 1 + 2j
        and found["np"] == 0.5
    )
    assert found["T"] == ["T", "l"]
    assert found["model"]["b"] is found["model"]["again"] and found["model"]["w"].shape == (2, 2)


def test_a_model_and_its_optimiser_round_trip(tmp_path):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = optim.Adam(net.parameters())
    dg.save(
        {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "x"
    )
    found = dg.load(tmp_path / "x")
    net.load_state_dict(found["net"])
    optimizer.load_state_dict(found["optimizer"])
    assert found["epoch"] == 3 and list(found["net"]) == list(net.state_dict())


def test_the_safetensors_package_reads_flat_files_and_writes_what_we_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {
        "a": np.arange(6, dtype="float32").reshape(2, 3),
        "b": np.array([True, False]),
        "c": np.arange(3, dtype="int16"),
    }
    dg.save({k: dg.tensor(v) for k, v in arrays.items()}, tmp_path / "ours")
    found = safetensors.load_file(tmp_path / "ours")
    assert all(np.array_equal(found[k], v) and found[k].dtype == v.dtype for k, v in arrays.items())
    safetensors.save_file(arrays, tmp_path / "theirs", metadata={"by": "them"})
    back = dg.load(tmp_path / "theirs")
    assert all(np.array_equal(back[k].numpy(), v) for k, v in arrays.items())


def test_what_cannot_be_saved_is_named_with_its_place(tmp_path):
    with pytest.raises(TypeError, match=r"cannot save a set \(at the root\['a'\]\[1\]\)"):
        dg.save({"a": [1, {2}]}, tmp_path / "x")
    with pytest.raises(TypeError, match="dict key of type tuple"):
        dg.save({(1, 2): 3}, tmp_path / "x")
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested more than"):
        dg.save(loop, tmp_path / "x")
    assert not os.listdir(tmp_path)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    dg.save({"a": dg.ones(2)}, tmp_path / "x")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        dg.save({"a": dg.zeros(2)}, tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"] and dg.load(tmp_path / "x")["a"].tolist() == [1, 1]


# --- damaged and hostile files -------------------------------------------------------------------


def file_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("executed",)


BAD = {
    "empty": (b"", "not a safetensors file"),
    "short": (b"\x01\x00", "not a safetensors file"),
    "text": (b"hello world, this is text", "not a safetensors file"),
    "pickle": (pickle.dumps({"a": Bomb()}), "this is a pickle"),
    "zip": (b"PK\x03\x04" + bytes(100), "zip archive"),
    "huge header": (file_of({}, length=2**62), "header of 4611686018427387904 bytes"),
    "header past the end": (file_of({}, length=3), "cut short"),
    "no JSON": (file_of(b"{]"), "not JSON"),
    "no text": (file_of(b"\xff\xfe"), "not JSON"),
    "deep JSON": (file_of(b"[" * 200_000), "not JSON"),
    "no object": (file_of([]), "must be an object"),
    "twice": (file_of(b'{"a":1,"a":2}'), "occurs twice"),
    "metadata": (file_of({"__metadata__": {"a": 1}}), "strings to strings"),
    "no entry": (file_of({"a": 3}), "needs exactly"),
    "more in entry": (file_of({"a": {**entry(), "code": "x"}}, bytes(8)), "needs exactly"),
    "dtype": (file_of({"a": entry("object")}, bytes(8)), "dtype 'object'; known are"),
    "negative": (file_of({"a": entry(shape=(-2,))}, bytes(8)), "not a list"),
    "fraction": (file_of({"a": entry(shape=(2.0,))}, bytes(8)), "not a list"),
    "boolean": (file_of({"a": entry(shape=(True,), offsets=(0, 4))}, bytes(4)), "not a list"),
    "many axes": (file_of({"a": entry(shape=(1,) * 65, offsets=(0, 4))}, bytes(4)), "at most 64"),
    "offsets": (file_of({"a": entry(offsets=(8, 0))}, bytes(8)), "span -8"),
    "huge shape": (
        file_of({"a": entry(shape=(2**40, 2**20), offsets=(0, 8))}, bytes(8)),
        "takes 4611686018427387904 bytes",
    ),
    "huge offsets": (
        file_of({"a": entry(shape=(2**40,), offsets=(0, 2**42))}, bytes(8)),
        "the tensors take",
    ),
    "huge empty": (file_of({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}), "shape"),
    "gap": (file_of({"a": entry(offsets=(4, 12))}, bytes(12)), "gap"),
    "overlap": (file_of({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "overlaps"),
    "cut": (file_of({"a": entry()}, bytes(7)), "the file holds 7"),
    "more data": (file_of({"a": entry()}, bytes(9)), "the file holds 9"),
    "bools": (file_of({"a": entry("BOOL", (2,), (0, 2))}, b"\x01\x02"), "bools other than"),
    "tree JSON": (file_of({"__metadata__": {"dualgraph.tree": "{"}}), "structure"),
    "tree tag": (
        file_of({"__metadata__": {"dualgraph.tree": '["eval","1"]'}}),
        "unknown tag 'eval'",
    ),
    "tree name": (file_of({"__metadata__": {"dualgraph.tree": '["T","9"]'}}), "structure"),
    "tree empty": (file_of({"__metadata__": {"dualgraph.tree": "[]"}}), "structure"),
    "tree key": (file_of({"__metadata__": {"dualgraph.tree": '["d",[["l"],1]]'}}), "structure"),
    "tree deep": (
        file_of({"__metadata__": {"dualgraph.tree": '["l",' * 500 + "1" + "]" * 500}}),
        "structure",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_raise_a_named_error_and_run_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, words = BAD[name]
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(dg.FileFormatError, match=words):
        dg.load(tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"]


def test_every_truncation_and_many_damages_are_noticed_or_harmless(tmp_path):
    dg.save({"w": dg.ones(3), "n": [1, (2, "x")]}, tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    for end in range(len(whole)):
        (tmp_path / "y").write_bytes(whole[:end])
        with pytest.raises(dg.FileFormatError):
            dg.load(tmp_path / "y")
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        (tmp_path / "y").write_bytes(bytes(damaged))
        with contextlib.suppress(dg.FileFormatError):
            dg.load(tmp_path / "y")


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        dg.load(tmp_path / "none")


def test_a_state_dict_keeps_its_order(tmp_path):
    state = dg.nn.Sequential(dg.nn.Linear(2, 3), dg.nn.BatchNorm1d(3)).state_dict()
    dg.save(state, tmp_path / "state")
    assert list(dg.load(tmp_path / "state")) == list(state)


def test_open_files_and_pytorchs_words(tmp_path):
    state = nn.Linear(2, 3).state_dict()
    buffer = io.BytesIO()
    dg.save({"model": state, "epoch": 3}, buffer)
    end = buffer.tell()
    buffer.seek(0)
    found = dg.load(buffer, map_location=dg.device("cpu"), weights_only=True)
    assert buffer.tell() == end and found["epoch"] == 3
    assert found["model"]["weight"].tolist() == state["weight"].tolist()
    with open(tmp_path / "x", "wb") as file:
        dg.save(state, file)
    for where in ("cpu", None, {"cuda:0": "cpu"}, lambda storage, place: storage):
        assert dg.load(tmp_path / "x", where)["bias"].tolist() == state["bias"].tolist()
    with pytest.raises(dg.FileFormatError, match=r"open file: .*cut short"):
        dg.load(io.BytesIO(buffer.getvalue()[:20]))
    with pytest.raises(dg.DeviceError, match="is not a device"):
        dg.load(tmp_path / "x", "nowhere")

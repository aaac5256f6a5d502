"""Datasets, samplers, loaders, collation, and IDX files."""

import gzip
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import data


def squares(n):
    return data.TensorDataset(dg.arange(n), dg.arange(n) ** 2)


def test_datasets_index_and_join():
    ds = squares(4)
    assert [v.item() for v in ds[3]] == [3, 9] and len(ds) == 4
    both = ds + data.Subset(ds, [2, 0])
    assert len(both) == 6 and [both[i][0].item() for i in (4, 5, -1)] == [2, 0, 0]
    with pytest.raises(IndexError, match="6 samples"):
        both[6]
    stacked = data.StackDataset(a=[1, 2], b=[3, 4])
    assert stacked[1] == {"a": 2, "b": 4}
    with pytest.raises(dg.ArgumentError, match="one length"):
        data.TensorDataset(dg.zeros(2), dg.zeros(3))


def test_random_split_is_a_partition_decided_by_its_generator():
    parts = [
        data.random_split(range(10), [0.5, 0.3, 0.2], dg.Generator().manual_seed(1))
        for _ in range(2)
    ]
    assert [len(p) for p in parts[0]] == [5, 3, 2]
    assert sorted(x for p in parts[0] for x in p) == list(range(10))
    assert [list(p) for p in parts[0]] == [list(p) for p in parts[1]]
    assert [len(p) for p in data.random_split(range(10), [1 / 3, 1 / 3, 1 / 3])] == [4, 3, 3]
    with pytest.raises(dg.ArgumentError, match="sum to 9"):
        data.random_split(range(10), [5, 4])


def test_samplers():
    assert list(data.SequentialSampler(range(3))) == [0, 1, 2]
    assert sorted(data.RandomSampler(range(5))) == list(range(5))
    drawn = list(data.RandomSampler(range(5), replacement=True, num_samples=50))
    assert len(drawn) == 50 and set(drawn) <= set(range(5))
    assert sorted(data.SubsetRandomSampler([7, 8, 9])) == [7, 8, 9]
    weighted = list(data.WeightedRandomSampler([0, 1, 3], 400))
    assert 0 not in weighted and 0.15 < weighted.count(1) / 400 < 0.35
    assert sorted(data.WeightedRandomSampler([0, 1, 3], 2, replacement=False)) == [1, 2]
    assert list(data.BatchSampler(range(5), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    assert list(data.BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_gives_batches_in_order(workers):
    loader = data.DataLoader(squares(7), batch_size=3, num_workers=workers)
    assert len(loader) == 3
    for _ in range(2):
        batches = list(loader)
        assert [x.tolist() for x, _ in batches] == [[0, 1, 2], [3, 4, 5], [6]]
        assert [y.tolist() for _, y in batches] == [[0, 1, 4], [9, 16, 25], [36]]
    assert len(list(data.DataLoader(squares(7), 3, drop_last=True, num_workers=workers))) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_shuffles_anew_each_epoch_as_its_generator_says(workers):
    def epochs():
        loader = data.DataLoader(
            squares(20),
            5,
            shuffle=True,
            num_workers=workers,
            generator=dg.Generator().manual_seed(4),
        )
        return [[i for x, _ in loader for i in x.tolist()] for _ in range(2)]

    first, again = epochs(), epochs()
    assert first == again and first[0] != first[1] and sorted(first[0]) == list(range(20))


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_parts_of_a_dataset(shuffle, drop_last):
    def parts(n, epoch):
        made = [
            data.DistributedSampler(range(n), 3, r, shuffle, seed=5, drop_last=drop_last)
            for r in range(3)
        ]
        for p in made:
            p.set_epoch(epoch)
        assert (
            {len(p) for p in made}
            == {len(list(p)) for p in made}
            == {n // 3 if drop_last else -(-n // 3)}
        )
        return [list(p) for p in made]

    for n in (1, 2, 6, 7, 8):
        dealt = [i for row in zip(*parts(n, 0), strict=True) for i in row]
        kept = n - n % 3 if drop_last else n
        assert len(set(dealt[:kept])) == kept and set(dealt) <= set(range(n))
        assert dealt[kept:] == [dealt[i % n] for i in range(kept, len(dealt))]
        assert shuffle or dealt[:kept] == list(range(kept))
    assert parts(30, 0) == parts(30, 0) and (parts(30, 0) != parts(30, 1)) is shuffle
    with pytest.raises(dg.ArgumentError, match="rank"):
        data.DistributedSampler(range(3), 2, 2)
    with pytest.raises(dg.ArgumentError, match="num_replicas"):
        data.DistributedSampler(range(3))


def test_whole_batches_are_what_collating_gives():
    ds = squares(6)
    slow = data.DataLoader([ds[i] for i in range(6)], batch_size=4)
    for fast, plain in zip(data.DataLoader(ds, batch_size=4), slow, strict=True):
        assert [t.tolist() for t in fast] == [t.tolist() for t in plain]
    subset = data.Subset(ds, [5, 1])
    assert [x.tolist() for x, _ in data.DataLoader(subset, batch_size=2)] == [[5, 1]]


def test_a_dataset_that_gives_several_samples_at_once_is_asked_for_them():
    class Many(data.Dataset):
        def __getitems__(self, indices):
            return [10 * i for i in indices]

    assert [x.tolist() for x in data.DataLoader(data.Subset(Many(), [3, 1, 2]), 2)] == [
        [30, 10],
        [20],
    ]


def test_a_subclass_with_samples_of_its_own_is_asked_for_each():
    class Doubled(data.TensorDataset):
        def __getitem__(self, index):
            assert isinstance(index, int)
            return tuple(2 * x for x in super().__getitem__(index))

    ds = Doubled(dg.arange(4))
    assert [x.tolist() for (x,) in data.DataLoader(ds, batch_size=2)] == [[0, 2], [4, 6]]
    assert [x.tolist() for (x,) in data.DataLoader(data.Subset(ds, [3, 1]), batch_size=2)] == [
        [6, 2]
    ]


def test_loader_without_batches_and_over_iterables():
    assert list(data.DataLoader(range(3), batch_size=None)) == [0, 1, 2]

    class Stream(data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [b.tolist() for b in data.DataLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert list(Stream() + Stream()) == [*range(5), *range(5)]
    assert [b.tolist() for b in data.DataLoader(Stream(), batch_size=2, drop_last=True)] == [
        [0, 1],
        [2, 3],
    ]
    with pytest.raises(dg.ArgumentError, match="its own order"):
        data.DataLoader(Stream(), shuffle=True)


def test_errors_in_workers_reach_the_consumer():
    class Broken(data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            raise RuntimeError(f"sample {index}")

    for workers in (0, 2):
        with pytest.raises(RuntimeError, match="sample 0"):
            list(data.DataLoader(Broken(), num_workers=workers))


def test_a_loader_can_be_left_early():
    for _ in data.DataLoader(squares(100), num_workers=2):
        break


def test_contradictory_arguments_are_refused():
    ds = squares(3)
    for how in (
        {"sampler": [0], "shuffle": True}, {"batch_sampler": [[0]], "batch_size": 2}, {"batch_size": 0},
        {"batch_size": None, "drop_last": True}, {"num_workers": -1},
    ):  # fmt: skip
        with pytest.raises(dg.ArgumentError):
            data.DataLoader(ds, **how)


class Pair(NamedTuple):
    x: object
    y: object


def test_collation_keeps_structure():
    batch = [
        (np.float32(1), {"a": 1.5, "s": "x"}, Pair(dg.zeros(2), True)),
        (np.float32(2), {"a": 2.5, "s": "y"}, Pair(dg.ones(2), False)),
    ]
    number, table, pair = data.default_collate(batch)
    assert number.dtype == dg.float32 and number.tolist() == [1, 2]
    assert table["a"].dtype == dg.float64 and table["s"] == ["x", "y"]
    assert data.default_collate([("x", b"1"), ("y", b"2")]) == [("x", "y"), (b"1", b"2")]
    counted = data.default_collate([Counter(a=1), Counter(a=2)])
    assert type(counted) is Counter and counted["a"].tolist() == [1, 2]
    assert isinstance(pair, Pair) and pair.x.shape == (2, 2) and pair.y.dtype == dg.bool
    with pytest.raises(dg.ShapeError, match=r"\(2,\), \(3,\)"):
        data.default_collate([dg.zeros(2), dg.zeros(3)])
    with pytest.raises(TypeError, match="collate_fn"):
        data.default_collate([object()])


# --- IDX ---------------------------------------------------------------------------------------


def idx_bytes(array, code):
    header = bytes([0, 0, code, array.ndim]) + b"".join(d.to_bytes(4, "big") for d in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    "dtype,code",
    [("uint8", 8), ("int8", 9), ("int16", 11), ("int32", 12), ("float32", 13), ("float64", 14)],
)
def test_idx_files_are_read_plain_and_gzipped(tmp_path, dtype, code):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for name, content in (
        ("a", idx_bytes(array, code)),
        ("a.gz", gzip.compress(idx_bytes(array, code))),
    ):
        (tmp_path / name).write_bytes(content)
        found = data.read_idx(tmp_path / name)
        assert found.dtype == array.dtype and np.array_equal(found, array)


@pytest.mark.parametrize(
    "content,words",
    [
        (b"", "expected a magic number.*found an empty file"),
        (b"\x89PNG....", "found 89 50 4e 47"),
        (bytes([0, 0, 8, 3, 0, 0]), "header of 16 bytes for 3 axes, found 6"),
        (
            bytes([0, 0, 8, 1, 0, 0, 0, 5, 1, 2]),
            r"expected 13 bytes for uint8 of shape \(5,\), found 10",
        ),
        (bytes([0, 0, 8, 1, 255, 255, 255, 255, 1, 2]), "expected 4294967303 bytes"),
        (gzip.compress(bytes(100), mtime=0)[:-9], "gzip data is damaged or cut short"),
    ],
)
def test_damaged_idx_files_say_what_was_expected_and_found(tmp_path, content, words):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(dg.FileFormatError, match=words):
        data.read_idx(tmp_path / "bad")


def write_fashion(folder, images=6, labels=6):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        pictures = idx_bytes(rng.integers(0, 256, (images, 28, 28)).astype("uint8"), 8)
        classes = idx_bytes((np.arange(labels) % 10).astype("uint8"), 8)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pictures))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(classes)


@pytest.mark.parametrize("inside", ["", "FashionMNIST/raw"])
def test_fashion_mnist_is_found_and_read(tmp_path, inside):
    write_fashion(tmp_path / inside)
    ds = data.FashionMNIST(tmp_path, train=False)
    image, label = ds[3]
    assert (
        image.shape == (1, 28, 28)
        and image.dtype == dg.float32
        and 0 <= image.min().item() <= image.max().item() <= 1
    )
    assert label == 3 and ds.data.shape == (6, 28, 28) and ds.targets.tolist() == [0, 1, 2, 3, 4, 5]
    x, y = next(iter(data.DataLoader(ds, batch_size=4)))
    assert x.shape == (4, 1, 28, 28) and y.tolist() == [0, 1, 2, 3]
    one_by_one = data.default_collate([ds[i] for i in range(4)])
    assert np.array_equal(x.numpy(), one_by_one[0].numpy()) and y.tolist() == one_by_one[1].tolist()
    assert data.FashionMNIST(tmp_path, transform=lambda x: x.shape, target_transform=str)[1] == (
        (28, 28),
        "1",
    )


def test_missing_or_unequal_files_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"train-images-idx3-ubyte.gz.*expected there: train-images-idx3-ubyte.gz, train-labels",
    ):
        data.FashionMNIST(tmp_path)
    write_fashion(tmp_path, labels=5)
    with pytest.raises(dg.FileFormatError, match="found 5 labels for 6 images"):
        data.FashionMNIST(tmp_path)

"""IDX files: the format of MNIST and Fashion-MNIST, plain or gzipped, read with every size checked.

Format (http://yann.lecun.com/exdb/mnist): two zero bytes, a dtype code, the number of axes, each
length as a big-endian uint32, then the elements, big-endian, in row-major order.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import FileFormatError
from ..eager import Tensor, asarray
from .dataset import Dataset

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(path: str | PathLike[str]) -> np.ndarray[Any, Any]:
    """The array in an IDX file, in native byte order.

    Raises FileNotFoundError, or FileFormatError saying what was expected and what was found.

    >>> from pathlib import Path
    >>> _ = Path("/tmp/doc.idx").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]))
    >>> dg.data.read_idx("/tmp/doc.idx").tolist()
    [5, 6, 7]
    """
    path = Path(path)
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        codes = ", ".join(f"{c:#04x}" for c in _DTYPES)
        raise FileFormatError(
            f"{path}: not an IDX file: expected a magic number of two zero bytes and a dtype code "
            f"({codes}), found {content[:4].hex(' ') or 'an empty file'}"
        )
    dtype, ndim = np.dtype(_DTYPES[content[2]]), content[3]
    header = 4 + 4 * ndim
    if len(content) < header:
        raise FileFormatError(
            f"{path}: expected a header of {header} bytes for {ndim} axes, found {len(content)}"
        )
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim))
    expected = header + prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise FileFormatError(
            f"{path}: expected {expected} bytes for {dtype.newbyteorder('=').name} of shape {shape}, "
            f"found {len(content)}"
        )
    array = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(_GZIP):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path}: the gzip data is damaged or cut short: {error}") from None


class MNIST(Dataset):
    """Handwritten digits from the four IDX files in `root`: samples are (image, label).

    An image is a float32 tensor of shape (1, 28, 28) in [0, 1] unless `transform` makes something
    else of the uint8 (28, 28) tensor; a label is an int. ``data`` and ``targets`` hold everything.
    Files are looked for in `root` and in ``root/<class name>/raw``, with and without ``.gz``.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        self.root = Path(root)
        self.train = train
        self.transform = transform
        self.target_transform = target_transform
        prefix = "train" if train else "t10k"
        images = self._read(f"{prefix}-images-idx3-ubyte", 3)
        labels = self._read(f"{prefix}-labels-idx1-ubyte", 1)
        if len(images) != len(labels):
            raise FileFormatError(
                f"{self.root}: expected one label an image, found {len(labels)} labels for {len(images)} images"
            )
        self.data = asarray(images)
        self.targets = asarray(labels.astype(np.int64))
        self._labels = labels.tolist()

    def _read(self, name: str, ndim: int) -> np.ndarray[Any, Any]:
        path = self._find(name)
        array = read_idx(path)
        if array.ndim != ndim or array.dtype != np.uint8:
            raise FileFormatError(
                f"{path}: expected uint8 elements on {ndim} axes, found {array.dtype} on {array.ndim}"
            )
        return array

    def _find(self, name: str) -> Path:
        folders = (self.root, self.root / type(self).__name__ / "raw")
        for folder in folders:
            for path in (folder / f"{name}.gz", folder / name):
                if path.is_file():
                    return path
        wanted = ", ".join(
            f"{p}-{part}-ubyte.gz"
            for p in ("train", "t10k")
            for part in ("images-idx3", "labels-idx1")
        )
        raise FileNotFoundError(
            f"{type(self).__name__}: no file {name}.gz or {name} in {folders[0]} or {folders[1]}; "
            f"expected there: {wanted}"
        )

    @property
    def takes_lists(self) -> bool:
        """Without transforms whole batches are scaled at once."""
        return self.transform is None and self.target_transform is None

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        image = self.data[index]
        if self.takes_lists and isinstance(index, list):
            return _scaled(image).reshape(-1, 1, *image.shape[1:]), self.targets[index]
        image = (
            _scaled(image).reshape(1, *image.shape)
            if self.transform is None
            else self.transform(image)
        )
        label = self._labels[index]
        return image, label if self.target_transform is None else self.target_transform(label)

    def __len__(self) -> int:
        return len(self._labels)


def _scaled(image: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1]."""
    return image.to(dtype="float32") / 255.0


class FashionMNIST(MNIST):
    """Pictures of clothes in ten classes, in the files and shapes of `MNIST` (Xiao et al., 2017)."""

    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip

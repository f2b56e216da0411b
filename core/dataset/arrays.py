"""Sets in files that hold many images each: MNIST's four IDX files, tables of pixels (CSV), packed arrays (.npz).

Labels are the integers in the files. Nothing is decoded that announces more pixels than `most`.
"""

import gzip
import math
import re
import zipfile
import zlib
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from core.dataset.images import LARGEST_SIDE, DataError

MOST_PIXELS = 1 << 32  # of a split
IDX_NAMES = {"train": "train", "test": "t10k"}
IDX_KINDS = ("images-idx3", "labels-idx1")
LABELS = ("label", "labels", "class", "target", "digit", "y")  # what the column of labels of a table is called
# What the arrays of a split are called in an .npz: Keras' names, those of MedMNIST
NAMES = {"train": (("x_train", "y_train"), ("train_images", "train_labels"))}
NAMES["test"] = (("x_test", "y_test"), ("test_images", "test_labels"))

_LONGEST_LINE = 1 << 22  # bytes of the first line of a table
_LARGEST_LABEL = 10**9


class Pool(NamedTuple):
    """The images of a split: (N, H, W) uint8, and their labels: (N,) int64."""

    images: np.ndarray
    labels: np.ndarray


class Table(NamedTuple):
    """How a CSV of pixels is laid out."""

    label: int | None  # the column of labels; None if there is none
    columns: int
    header: bool


def idx_file(path: Path, split: str, kind: str) -> Path | None:
    """The IDX file under one of the names in use, or None."""
    name = f"{IDX_NAMES[split]}-{kind}-ubyte"
    candidates = (path / f"{stem}{end}" for end in ("", ".gz") for stem in (name, name.replace("-idx", ".idx")))
    return next((file for file in candidates if file.is_file()), None)


def read_idx(path: Path, split: str, most: int = MOST_PIXELS) -> Pool:
    """A split of MNIST's four files in the folder `path`, plain or packed. Raises DataError."""
    images, labels = _one_idx(path, split, IDX_KINDS[0], 3, most), _one_idx(path, split, IDX_KINDS[1], 1, most)
    if len(images) != len(labels) or not images.size or max(images.shape[1:]) > LARGEST_SIDE:
        raise DataError(
            f"{path}: {len(images)} {split} images of {images.shape[2]}x{images.shape[1]} pixels with "
            f"{len(labels)} labels cannot be used; download these files anew"
        )
    return Pool(images, labels.astype(np.int64))


def _one_idx(path: Path, split: str, kind: str, dimensions: int, most: int) -> np.ndarray:
    """An IDX file of bytes: two zeros, type 8, the number of dimensions, each as big-endian uint32, then the data."""
    file = idx_file(path, split, kind)
    if file is None:
        raise DataError(f"{path / f'{IDX_NAMES[split]}-{kind}-ubyte'}: missing; MNIST's four files belong together")
    start = 4 + 4 * dimensions
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            head = stream.read(start)
            if head[:4] != bytes([0, 0, 8, dimensions]) or len(head) < start:
                raise DataError(f"{file}: does not begin like an IDX file of {dimensions} dimensions; download it anew")
            shape = [int(size) for size in np.frombuffer(head, ">u4", dimensions, offset=4)]
            if math.prod(shape) > most:
                raise DataError(f"{file}: announces {math.prod(shape):,} pixels; at most {most:,} are read")
            content = stream.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: cannot be read ({error}); download it anew") from error
    if len(content) != math.prod(shape):
        found = f"more than {len(content) - 1:,}" if len(content) > math.prod(shape) else f"{len(content):,}"
        raise DataError(f"{file}: {found} bytes where {math.prod(shape):,} are announced; download it anew")
    return np.frombuffer(content, np.uint8).reshape(shape)


def table(file: Path) -> Table | None:
    """How a CSV of pixels is laid out, from its first line; None if it is no such CSV."""
    try:
        with file.open("rb") as stream:
            line = stream.readline(_LONGEST_LINE)
    except OSError:
        return None
    cells = [cell.strip().strip('"').lower() for cell in line.decode("utf-8-sig", "replace").split(",")]
    if not _side(len(cells)) and not _side(len(cells) - 1):
        return None
    labelled = None if _side(len(cells)) else 0
    if all(cell.isdecimal() for cell in cells):
        return Table(labelled, len(cells), False)
    names = [place for place in (0, len(cells) - 1) if cells[place] in LABELS]
    if labelled is not None and names:
        return Table(names[0], len(cells), True)
    numbered = all(re.search("[0-9]$", cell) for cell in cells)
    return Table(None, len(cells), True) if labelled is None and numbered else None


def _side(pixels: int) -> int:
    """The side of a square image of that many pixels, at least four; 0 if there is none."""
    side = math.isqrt(max(pixels, 0))
    return side if side * side == pixels and 2 <= side <= LARGEST_SIDE else 0


def read_table(file: Path, most: int = MOST_PIXELS) -> Pool:
    """The images and labels in a CSV with a square image a row. Raises DataError."""
    found = table(file)
    try:
        if file.stat().st_size > 8 * most:
            raise DataError(f"{file}: too large; at most {most:,} pixels are read")
        with file.open("rb") as stream:
            lines = [line for line in islice(stream, 2) if line.strip()]
        if len(lines) <= found.header:  # NumPy would only warn
            raise DataError(f"{file}: no row below the first line; add a label and its pixels for each image")
        values = np.loadtxt(
            file, np.int32, delimiter=",", comments=None, skiprows=int(found.header), ndmin=2, encoding="utf-8-sig"
        )
    except DataError:
        raise
    except (OSError, ValueError) as error:
        reason = re.sub(r"(?s);.*", "", str(error)).strip()
        raise DataError(f"{file}: {reason}; write a label and whole numbers from 0 to 255 in each row") from error
    if values.shape[1] != found.columns:
        raise DataError(f"{file}: {values.shape[1]} values in a row under {found.columns} columns; save the table anew")
    pixels = np.delete(values, found.label, axis=1)
    wrong = np.flatnonzero(((pixels < 0) | (pixels > 255)).any(axis=1))
    if len(wrong):
        raise DataError(f"{file}, row {wrong[0] + 1}: a pixel that is not from 0 to 255; write grey values")
    side = _side(found.columns - 1)
    return Pool(pixels.astype(np.uint8).reshape(-1, side, side), values[:, found.label].astype(np.int64))


def read_packed(file: Path, most: int = MOST_PIXELS) -> dict[str, Pool]:
    """The two splits in an .npz under Keras' or MedMNIST's names. Raises DataError."""
    try:
        with np.load(file, allow_pickle=False) as packed:
            pools = {}
            for split, names in NAMES.items():
                images, labels = next((each for each in names if {*each} <= {*packed.files}), (None, None))
                if images is None:
                    wanted, have = " and ".join(names[0]), ", ".join(packed.files)[:200] or "nothing"
                    raise DataError(f"{file}: holds {have}, but not {wanted}; save the arrays under these names")
                _refuse_large(file, packed.zip, images, most)
                _refuse_large(file, packed.zip, labels, most)
                pools[split] = Pool(_grey(packed[images], f"{file}: {images}"), _whole(packed[labels], file, labels))
    except (OSError, EOFError, ValueError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: not an .npz file that can be read ({error}); save it anew") from error
    for split, pool in pools.items():
        if len(pool.images) != len(pool.labels) or not len(pool.labels):
            raise DataError(f"{file}: {len(pool.images)} {split} images with {len(pool.labels)} labels; save them anew")
    return pools


def _refuse_large(file: Path, packed: zipfile.ZipFile, name: str, most: int) -> None:
    """Raises DataError if an array announces more values than `most`, before any of them is made."""
    with packed.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        reading = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = reading(stream)
    if kind.hasobject:
        raise DataError(f"{file}: {name} holds Python objects, which are not read; save numbers")
    if math.prod(shape) * max(kind.itemsize, 1) > 8 * most:
        raise DataError(f"{file}: {name} announces {math.prod(shape):,} numbers; at most {most:,} are read")


def _grey(images: np.ndarray, where: str) -> np.ndarray:
    """Images as (N, H, W) uint8, from (N, H, W), (N, H, W, 1) or, in colour, (N, H, W, 3)."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.ndim != 3 + colour or not images.size or max(images.shape[1:3]) > LARGEST_SIDE:
        shape = "x".join(map(str, images.shape))
        raise DataError(f"{where} is {shape}; save images x height x width, at most {LARGEST_SIDE} pixels a side")
    if images.dtype.kind not in "biu" or images.min() < 0 or images.max() > 255:
        raise DataError(f"{where} holds {images.dtype} up to {images.max():g}; save whole numbers from 0 to 255")
    images = images.astype(np.uint8) * np.uint8(255 if images.dtype.kind == "b" else 1)
    return np.stack([np.asarray(Image.fromarray(each).convert("L")) for each in images]) if colour else images


def _whole(labels: np.ndarray, file: Path, name: str) -> np.ndarray:
    """Labels as (N,) int64, from (N,) or (N, 1)."""
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (labels.size and np.abs(labels).max() >= _LARGEST_LABEL):
        raise DataError(f"{file}: {name} holds no whole numbers, one an image; save the labels as integers")
    return labels.astype(np.int64)

"""Small data sets on disk, made by hand, and what is said about a bad one."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.dataset.loader import DataError

RNG = np.random.default_rng(7)


def write_png(path: Path, pixels: np.ndarray, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def write_set(folder: Path, classes: dict[str, int], train=3, test=2, shape=(6, 5)) -> Path:
    """A set with random images; ids are train_a_0, train_a_1, …"""
    for split, count in (("train", train), ("test", test)):
        rows = []
        for name, number in classes.items():
            for index in range(count):
                rows.append((f"{split}_{name}_{index}", name, number))
                write_png(folder / split / name / f"{rows[-1][0]}.png", RNG.integers(0, 256, shape, np.uint8))
        write_csv(folder / f"{split}.csv", rows)
    return folder


def write_csv(path: Path, rows, header=("id", "name", "class")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder: Path, dot=False, packed=False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Four IDX files with classes 2, 5 and 7, of which the rarest has 4 training and 2 test images."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = {}
    for split, prefix, counts in (("train", "train", (4, 9, 6)), ("test", "t10k", (5, 2, 3))):
        labels = RNG.permutation(np.repeat([2, 5, 7], counts)).astype(np.uint8)
        pool[split] = RNG.integers(0, 256, (len(labels), 4, 3), np.uint8), labels
        for array, kind in zip(pool[split], ("images-idx3", "labels-idx1"), strict=True):
            name = f"{prefix}-{kind}-ubyte"
            name = name.replace("-idx", ".idx") if dot else name
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return pool

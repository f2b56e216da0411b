"""The images of a set, read as core/dataset/layout.py has found them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.dataset import arrays, layout, rows
from core.dataset.images import DataError, Reading, read_all
from core.dataset.layout import SPLITS, Layout
from core.dataset.rows import Row
from core.dataset.sets import DataSet, Split, assemble, counts, split_of

FILES = ("listed", "folders", "flat")  # kinds of layouts with a file an image


def of(folder: Path, found: Layout, progress: Reading, most_pixels: int) -> DataSet:
    """The set in `folder`, known by this path. Raises DataError.

    Files with many images each are refused if they announce more than `most_pixels`.
    """
    return _of_files(folder, found, progress) if found.kind in FILES else _of_arrays(folder, found, most_pixels)


def _of_files(folder: Path, found: Layout, progress: Reading) -> DataSet:
    """A set with a file an image."""
    if found.kind == "listed":
        parts, lists = _listed(found), [found.place / name for name in layout.LISTS]
    else:
        parts, lists = _in_folders(found), [found.train, found.test or found.train]
    numbers = rows.class_numbers(parts["train"] + parts["test"])
    for split, place in zip(SPLITS, lists, strict=True):
        _refuse_lacking(place, set(numbers), parts[split])
    labels = {name: label for label, name in enumerate(numbers)}
    images = read_all([row.file for split in SPLITS for row in parts[split]], progress)
    count = len(parts["train"])
    train = _of_rows(images[:count], [labels[row.name] for row in parts["train"]], parts["train"])
    test = _of_rows(images[count:], [labels[row.name] for row in parts["test"]], parts["test"])
    unused = layout.in_words(_left_out(found, parts), found)
    description = f"folder {found.place} ({counts(train, test)}{_drawn(found)}){unused}"
    return assemble(folder, numbers, train, test, "folder", description)


def _listed(found: Layout) -> dict[str, list[Row]]:
    """The images of a set with the lab's CSVs."""
    lists = {split: found.place / f"{split}.csv" for split in SPLITS}
    missing = [path for path in lists.values() if not path.exists()]
    if missing:
        raise DataError(f"{missing[0]}: missing beside the other CSV; add it, or remove the other one as well")
    folders = {"train": found.train, "test": found.test}
    parts = {split: rows.of_csv(lists[split], folders[split]) for split in SPLITS}
    for folder in folders.values():
        for name, files in layout.class_folders(folder).items():
            if not files:
                raise DataError(f"{folder / name}: a class without images; add some or remove the folder")
    return parts


def _in_folders(found: Layout) -> dict[str, list[Row]]:
    """The images of a set whose folders are its classes."""
    if found.kind == "flat":
        classes = layout.class_folders(found.train)
        if empty := [name for name, files in classes.items() if not files]:
            raise DataError(f"{found.train / empty[0]}: a class without images; add some or remove the folder")
        every = rows.of_folders(classes, rows.numbered(classes))
        layout.refuse_misplaced(_left_out(found, {"train": every, "test": []}))
        drawn = rows.drawn([row.id for row in every], [row.name for row in every], found)
        test = {row.id for row, chosen in zip(every, drawn, strict=True) if chosen}
        return {"train": [row for row in every if row.id not in test], "test": [row for row in every if row.id in test]}
    classes = {"train": layout.class_folders(found.train), "test": layout.class_folders(found.test)}
    numbers = rows.numbered(name for folders in classes.values() for name in folders)
    if not numbers:
        raise DataError(f"{found.train}: no class folder; put the images into a folder for each class")
    parts = {split: rows.of_folders(classes[split], numbers) for split in SPLITS}
    layout.refuse_misplaced(_left_out(found, parts))
    for split, place in zip(SPLITS, (found.train, found.test), strict=True):
        _refuse_lacking(place, set(numbers), parts[split])
    return parts


def _refuse_lacking(place: Path, names: set[str], found: list[Row]) -> None:
    if lacking := names - {row.name for row in found}:
        raise DataError(f"{place}: no image of class {min(lacking)!r}; every class needs some in train and test")


def _drawn(found: Layout) -> str:
    """How the test images were drawn, for the description; empty if they are given."""
    if found.test is not None:
        return ""
    return f": {rows.SHARE:.0%} of each class drawn for testing, with seed {rows.SEED}"


def _of_arrays(folder: Path, found: Layout, most: int) -> DataSet:
    """A set in files with many images each."""
    files = dict(zip(SPLITS, (found.train, found.test or found.train), strict=True))
    if found.kind == "idx":
        pools = {split: arrays.read_idx(found.place, split, most) for split in SPLITS}
    elif found.kind == "packed":
        pools = arrays.read_packed(found.train, most)
    else:
        pools = {split: arrays.read_table(files[split], most) for split in SPLITS if split == "train" or found.test}
    ids = {split: [f"{split}_{row}" for row in range(len(pool.labels))] for split, pool in pools.items()}
    if len(pools) == 1:
        pool, names = pools["train"], [f"image_{row}" for row in range(len(pools["train"].labels))]
        chosen = np.array(rows.drawn(names, pool.labels.tolist(), found))
        pools = {"train": _some(pool, ~chosen), "test": _some(pool, chosen)}
        ids = {split: [names[row] for row in np.flatnonzero(chosen == (split == "test"))] for split in SPLITS}
    train, test = pools["train"], pools["test"]
    numbers = np.unique(np.concatenate([train.labels, test.labels]))
    for split in SPLITS:
        if len(lacking := np.setdiff1d(numbers, pools[split].labels)):
            raise DataError(
                f"{files[split]}: no {split} image of class {lacking[0]}; every class needs some in train and test"
            )
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(f"{folder}: training and test images differ in size; make all images the same size")
    parts = [
        split_of(
            pools[split].images,
            np.searchsorted(numbers, pools[split].labels),
            ids[split],
            [files[split]] * len(ids[split]),
        )
        for split in SPLITS
    ]
    what = "IDX files" if found.kind == "idx" else " and ".join(dict.fromkeys(file.name for file in files.values()))
    description = f"{what} in {found.place} ({counts(*parts)}{_drawn(found)}){layout.in_words([], found)}"
    return assemble(folder, {str(number): number for number in numbers.tolist()}, *parts, "folder", description)


def _some(pool: arrays.Pool, which: np.ndarray) -> arrays.Pool:
    return arrays.Pool(pool.images[which], pool.labels[which])


def _left_out(found: Layout, parts: dict[str, list[Row]]) -> list[Path]:
    used = [row.file for split in SPLITS for row in parts[split]]
    return layout.left_out([found.train, found.test] if found.test else [found.train], used)


def _of_rows(images: np.ndarray, labels: Sequence[int], named: Sequence[Row]) -> Split:
    return split_of(images, np.asarray(labels, np.int64), (row.id for row in named), (row.file for row in named))

"""The data set, loaded: a folder -> images as one uint8 array, labels, ids.

A set is a folder: `train/<class>/<id>.png` (or another format: core/dataset/images.py) and `train.csv` (columns
id,name,class), the same for `test`, and a `source.json` if the lab prepared it (core/dataset/sources.py). The CSVs are
the order and the truth; without them the folders are the classes (core/dataset/layout.py).
"""

import csv
import dataclasses
import glob
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core import places
from core.dataset import cache, layout
from core.dataset.images import DataError, Reading, read_all

SPLITS = ("train", "test")
COLUMNS = ("id", "name", "class")
SOURCES = ("mnist", "digits", "folder")
PIECES = ("train", "test", "train.csv", "test.csv", "source.json")
PREPARING = ".preparing"  # folder inside the set: not complete yet
PREPARED = ".prepared"  # folder inside the set: pieces on their way to their places; while it exists, some are missing
CACHED_SETS = 2  # in memory
_TICK = 0.02  # seconds: no file system in use has a coarser clock for changes that follow one another (Linux: 10 ms)


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test images of a set: entry i of each field belongs to image i."""

    images: np.ndarray  # (N, H, W) uint8, read-only
    labels: np.ndarray  # (N,) int64, read-only: position in DataSet.classes
    ids: tuple[str, ...]
    files: tuple[Path, ...]  # the file of each image


@dataclass(frozen=True, eq=False)
class DataSet:
    """A loaded set. `fingerprint` is the same for two sets exactly if classes, ids, labels and pixels are."""

    folder: Path
    classes: tuple[str, ...]  # names, in the order of class_numbers
    class_numbers: tuple[int, ...]  # ascending; as in the CSV, so not always 0, 1, 2, …
    train: Split
    test: Split
    source: str  # one of SOURCES
    description: str  # a sentence for the interface
    fingerprint: str  # SHA-256, hexadecimal


class NoSet(DataError):
    """There is no data set in a folder; `found` says what is there instead."""

    def __init__(self, folder: Path, found: str, remedy: str):
        super().__init__(f"{folder}: {found}; {remedy}")
        self.found = found


class Row(NamedTuple):
    """One image before it is read; `where` is what an error about it names."""

    id: str
    name: str
    number: int
    file: Path
    where: str


_cache: dict[Path, tuple[tuple, DataSet]] = {}  # the least recently used set first
_cache_lock = threading.Lock()


def absolute(folder: str | Path) -> Path:
    """The folder's full path, by which it is known in messages, in the cache and in runs."""
    return Path(folder).expanduser().resolve()


def holds(folder: Path) -> str:
    """Something that lies in a folder, by name, so that no set is prepared there; empty if nothing does.

    What the lab and the systems leave behind does not count, nor the README.md of the lab's own folder.
    """
    if folder.exists() and not folder.is_dir():
        return folder.name
    passed = {PREPARING, ".lock"} | ({"README.md"} if folder == absolute(places.own_data_folder()) else set())
    names = os.listdir(folder) if folder.exists() else []
    return min((name for name in names if name not in passed and not layout.LITTER.fullmatch(name)), default="")


def exists(folder: str | Path) -> bool:
    """Whether images or CSVs of a set are there; `load` says whether they can be used."""
    folder = absolute(folder)
    return not (folder / PREPARED).exists() and any((folder / piece).exists() for piece in PIECES[:4])


def load(folder: str | Path, progress: Reading = lambda done, total: None) -> DataSet:
    """The set in `folder`, from memory or core/dataset/cache.py if none of its files has changed since the last read.

    `progress` is called with the number of images read and of all images, now and then while PNG files are read.
    Raises DataError if there is no set or anything in it cannot be used.
    """
    folder = absolute(folder)
    if not exists(folder):
        raise NoSet(folder, *_why_none(folder))
    with _cache_lock:
        signature = _signature(folder)
        cached_signature, data = _cache.pop(folder, (None, None))
        if signature != cached_signature:
            # A file that was written this moment could change again without a trace in its time
            if time.time_ns() - max(max(times) for _, _, *times in signature) < _TICK * 1e9:
                time.sleep(_TICK)
                signature = _signature(folder)
            # Taken before the images are read: a file that changes meanwhile is seen by the next call.
            data = _kept(folder, signature)
            if data is None:
                data = read(folder, progress)
                _keep(data, signature)
        _cache[folder] = signature, data
        while len(_cache) > CACHED_SETS:
            del _cache[next(iter(_cache))]
    return data


def _why_none(folder: Path) -> tuple[str, str]:
    """What is in a folder instead of a set, and what to do."""
    if (folder / PREPARED).exists():
        return "the data set is unfinished", f"run `python -m core data --data {folder}` to finish it"
    if not folder.exists():
        return "no such folder", "check the path"
    if not folder.is_dir():
        return "a file, not a folder", "name the folder that holds train/ and test/"
    if found := holds(folder):
        return (
            f"holds {found}, but no train/ and test/ with a folder for each class",
            "name a folder that has them",
        )
    return "an empty folder", "put train/CLASS/ID.png and test/CLASS/ID.png there"


def load_images(folder: str | Path, classes: Sequence[str]) -> Split:
    """The images in the class folders of `folder`, for a run that knows `classes`; not every class need be there.

    Labels are positions in `classes`; a folder of images without class folders, or one image file, has none: (0,).
    Raises DataError for a class folder that is none of them, a file that is not an image, and if there is no image.
    """
    folder = absolute(folder)
    if folder.is_file():
        return _unlabelled([folder])
    found = layout.class_folders(folder)
    if not any(found.values()) and (images := layout.images_in(folder)):
        return _unlabelled(images)
    if unknown := [name for name in found if name not in classes]:
        raise DataError(f"{folder / unknown[0]}: the run knows no class {unknown[0]!r}; it knows {', '.join(classes)}")
    rows = _folder_rows(found, {name: label for label, name in enumerate(classes)})
    layout.refuse_misplaced(layout.left_out(folder, [""], [row.file for row in rows]))
    if not rows:
        raise DataError(f"{folder}: no image there; put images into folders named {', '.join(classes)}")
    return _split_of(read_all([row.file for row in rows]), [row.number for row in rows], rows)


def _unlabelled(files: Sequence[Path]) -> Split:
    """Images of unknown classes, called by their file names."""
    return _split(read_all(files), np.empty(0, np.int64), (layout.composed(file.name) for file in files), files)


def assemble(
    folder: Path, numbers: dict[str, int], train: Split, test: Split, source: str, description: str
) -> DataSet:
    """A set with its fingerprint; `numbers` holds the integer of each class by its name, ascending."""
    classes, class_numbers = tuple(numbers), tuple(numbers.values())
    digest = hashlib.sha256(json.dumps([classes, class_numbers]).encode())
    for split in (train, test):
        digest.update(json.dumps([split.ids, split.labels.tolist(), split.images.shape]).encode())
        digest.update(np.ascontiguousarray(split.images).reshape(-1))
    return DataSet(folder, classes, class_numbers, train, test, source, description, digest.hexdigest())


def counts(train: Split, test: Split) -> str:
    """How many images there are, in words."""
    return f"{len(train.ids):,} training and {len(test.ids):,} test images"


def _signature(folder: Path) -> tuple:
    """(path, size, its two times of change) of each file and class folder; takes about 10 ms for 3,000 images."""
    paths = list(PIECES)
    for split in SPLITS:
        for pattern in (f"{split}/*", f"{split}/*/*"):
            paths += sorted(glob.glob(pattern, root_dir=folder, include_hidden=True))
    return tuple((path, *_status(os.path.join(folder, path))) for path in paths)


def _status(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:  # no such file, or a link that leads nowhere; if the set needs it, reading it says so
        return -1, -1, -1
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns  # programs can set the first time back


def _kept(folder: Path, signature: tuple) -> DataSet | None:
    """The set as core/dataset/cache.py keeps it: with this signature, and with the fingerprint that it had; or None."""
    try:
        facts, arrays = cache.find(folder, signature)
        parts = []
        for split in SPLITS:
            images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
            ids, files = facts[split]["ids"], facts[split]["files"]
            if (images.dtype, labels.dtype) != (np.uint8, np.int64) or len(files) != len(ids):
                return None
            parts.append(_split(images, labels, ids, map(Path, files)))
        numbers = dict(zip(facts["classes"], facts["class_numbers"], strict=True))
        data = assemble(folder, numbers, *parts, facts["source"], facts["description"])
    except (TypeError, KeyError, ValueError, AttributeError):  # not there, or not as _keep writes it
        return None
    return data if data.fingerprint == facts["fingerprint"] else None


def _keep(data: DataSet, signature: tuple):
    names = ("classes", "class_numbers", "source", "description", "fingerprint")
    facts, arrays = {name: getattr(data, name) for name in names}, {}
    for split, part in zip(SPLITS, (data.train, data.test), strict=True):
        facts[split] = {"ids": part.ids, "files": [str(file) for file in part.files]}
        arrays |= {f"{split}_images": part.images, f"{split}_labels": part.labels}
    cache.keep(data.folder, signature, facts, arrays)


def read(folder: Path, progress: Reading = lambda done, total: None) -> DataSet:
    """The set in `folder`, read anew from its files and kept nowhere. `progress` and DataError as in `load`."""
    lists = [folder / f"{split}.csv" for split in SPLITS]
    missing = [path for path in lists if not path.exists()]
    if len(missing) == 1:
        raise DataError(f"{missing[0]}: missing beside the other CSV; add it, or remove the other one as well")
    if missing:
        found = {split: layout.class_folders(folder / split) for split in SPLITS}
        names = {name for folders in found.values() for name in folders}
        if not names:
            raise DataError(f"{folder / 'train'}: no class folder; put the images into a folder for each class")
        rows = {split: _folder_rows(found[split], _numbered(names)) for split in SPLITS}
        layout.refuse_misplaced(_left_out(folder, rows))
        lists = [folder / split for split in SPLITS]
    else:
        rows = {split: _csv_rows(folder, split) for split in SPLITS}
        names = {row.name for split in SPLITS for row in rows[split]}
        for split in SPLITS:
            for name, files in layout.class_folders(folder / split).items():
                if not files:
                    raise DataError(f"{folder / split / name}: a class without images; add some or remove the folder")
    numbers = _class_numbers(rows["train"] + rows["test"])
    for split, place in zip(SPLITS, lists, strict=True):
        if lacking := names - {row.name for row in rows[split]}:
            raise DataError(f"{place}: no image of class {min(lacking)!r}; every class needs some in train and test")
    labels = {name: label for label, name in enumerate(numbers)}
    images = read_all([row.file for split in SPLITS for row in rows[split]], progress)
    count = len(rows["train"])
    train = _split_of(images[:count], [labels[row.name] for row in rows["train"]], rows["train"])
    test = _split_of(images[count:], [labels[row.name] for row in rows["test"]], rows["test"])
    unused = layout.in_words(_left_out(folder, rows), folder)
    data = assemble(folder, numbers, train, test, "folder", f"folder {folder} ({counts(train, test)}){unused}")
    if not (folder / "source.json").exists():
        return data
    source, description, fingerprint = _read_source(folder / "source.json")
    if fingerprint != data.fingerprint:
        description += "; changed since it was prepared"
    return dataclasses.replace(data, source=source, description=description + unused)


def _left_out(folder: Path, rows: dict[str, list[Row]]) -> list[Path]:
    return layout.left_out(folder, SPLITS, [row.file for split in SPLITS for row in rows[split]])


def _csv_rows(folder: Path, split: str) -> list[Row]:
    path = folder / f"{split}.csv"
    finder = layout.Finder(folder / split)
    rows = []
    try:
        # utf-8-sig, because spreadsheets put a byte order mark in front
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if sorted(header) != sorted(COLUMNS):
                found = f"its first line is {','.join(header)[:80]!r}" if header else "it is empty"
                raise DataError(f"{path}: {found}; the columns have to be id,name,class")
            for values in reader:
                if not any(value.strip() for value in values):  # spreadsheets write ",," for a row that was emptied
                    continue
                where = f"{path}, line {reader.line_num}"
                if len(values) != len(header):
                    raise DataError(f"{where}: {len(values)} values for 3 columns; write one id,name,class in a line")
                image_id, name, number = (values[header.index(column)] for column in COLUMNS)
                if not re.fullmatch("-?[0-9]{1,9}", number):
                    raise DataError(f"{where}: the class {number[:80]!r} is not a whole number; write e.g. 3")
                place = finder.find(name, image_id, where)
                rows.append(Row(layout.composed(image_id), layout.composed(name), int(number), place, where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); save it as UTF-8 text with commas") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error
    if not rows:
        raise DataError(f"{path}: no row below the first line; add a line id,name,class for each image")
    _check_names(rows)
    return rows


def _numbered(names: set[str]) -> dict[str, int]:
    """An integer for each class folder, ascending: its name if all of them are numbers, else its alphabetical place."""
    if all(re.fullmatch("[0-9]{1,9}", name) for name in names):
        return {name: int(name) for name in sorted(names, key=int)}
    return {name: number for number, name in enumerate(sorted(names))}


def _folder_rows(found: dict[str, list[Path]], numbers: dict[str, int]) -> list[Row]:
    """The images in class folders: class after class, in each by file name."""
    files = [file for name in numbers for file in found.get(name, ())]
    ids = [layout.composed(file.stem) for file in files]
    if len(set(ids)) < len(ids):  # a/1.png beside b/1.png
        ids = [layout.composed(f"{file.parent.name}_{file.stem}") for file in files]
    names = [layout.composed(file.parent.name) for file in files]
    rows = [Row(*each, str(each[-1])) for each in zip(ids, names, map(numbers.get, names), files, strict=True)]
    _check_names(rows)
    return rows


def _check_names(rows: list[Row]):
    """Ids and class names become file names here and in the runs, so that none may lead out of its folder."""
    first: dict[str, Row] = {}
    for row in rows:
        for kind, text in (("id", row.id), ("name", row.name)):
            if text in ("", ".") or ".." in text or "/" in text or "\\" in text or not text.isprintable():
                raise DataError(
                    f"{row.where}: the {kind} {text[:80]!r} cannot be a file name; it may not be empty or contain "
                    "a slash, a backslash, '..' or a control character"
                )
        if (other := first.setdefault(row.id, row)) is not row:
            raise DataError(f"{row.where}: the id {row.id!r} is taken by {other.where}; give each image its own")


def _class_numbers(rows: list[Row]) -> dict[str, int]:
    """The integer of each class by its name, ascending; one to one."""
    by_name: dict[str, Row] = {}
    by_number: dict[int, Row] = {}
    for row in rows:
        for other in (by_name.setdefault(row.name, row), by_number.setdefault(row.number, row)):
            if (other.name, other.number) != (row.name, row.number):
                raise DataError(
                    f"{row.where}: name {row.name!r} with class {row.number}, but {other.where} has name "
                    f"{other.name!r} with class {other.number}; each name needs one class of its own"
                )
    return {by_number[number].name: number for number in sorted(by_number)}


def _split_of(images: np.ndarray, labels: Sequence[int], rows: Sequence[Row]) -> Split:
    return _split(images, np.asarray(labels, np.int64), (row.id for row in rows), (row.file for row in rows))


def _split(images: np.ndarray, labels: np.ndarray, ids: Iterable[str], files: Iterable[Path]) -> Split:
    images.flags.writeable = labels.flags.writeable = False  # shared by every run and page through the cache
    return Split(images, labels, tuple(ids), tuple(files))


def _read_source(path: Path) -> tuple[str, str, str]:
    """(source, description, fingerprint) of a source.json."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        source, description, fingerprint = (facts[key] for key in ("source", "description", "fingerprint"))
        if source not in SOURCES or not isinstance(description, str):
            raise ValueError(f"source {source!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); remove it, and the set counts as a folder of yours") from error
    return source, description, fingerprint

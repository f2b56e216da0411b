"""The data set: where its images come from, how they are prepared once, and how they are loaded.

A set is a folder: `train/<class>/<id>.png` and `train.csv` (columns id,name,class), the same for `test`, and a
`source.json` if the lab prepared it. The CSVs are the order and the truth; without them the folders are the classes.
"""

import csv
import dataclasses
import glob
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np
from PIL import Image

SPLITS = ("train", "test")
COLUMNS = ("id", "name", "class")
SOURCES = ("mnist", "digits", "folder")
PIECES = ("train", "test", "train.csv", "test.csv", "source.json")  # source.json last: it is moved into place last
PREPARING = ".preparing"  # folder inside the set; as long as it exists, the set is not complete
LARGEST_SIDE = 512  # pixels
MODES = ("1", "L", "P", "LA", "RGB", "RGBA")  # Pillow's names; 16-bit and float images would lose their scale in "L"
SEED = 0  # of the subset that is drawn from MNIST or from scikit-learn's digits
MNIST_PER_CLASS = {"train": 200, "test": 100}
DIGITS_PER_CLASS = {"train": 116, "test": 58}  # together 174, what the rarest digit of load_digits has
DIGITS_SIDE = 28  # pixels: MNIST's size, so that runs on both cost the same
IDX_NAMES = {"train": "train", "test": "t10k"}
DOWNLOAD_SECONDS = 120
LOCK_SECONDS = 300  # longer than the slowest preparation that another process may be busy with
CACHED_SETS = 2

# Runs in its own process: only so can a name look-up or a stalled connection be ended from outside.
DOWNLOAD = """
import socket, sys
socket.setdefaulttimeout(5)
try:
    from torchvision.datasets import MNIST
    MNIST(sys.argv[1], download=True)
except Exception as error:
    print(error or type(error).__name__)
    sys.exit(1)
"""


class DataError(ValueError):
    """A data set that cannot be used; the one-line message names the file and says what to do."""


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test images of a set: entry i of each field belongs to image i."""

    images: np.ndarray  # (N, H, W) uint8, read-only
    labels: np.ndarray  # (N,) int64, read-only: position in DataSet.classes
    ids: tuple[str, ...]
    files: tuple[Path, ...]  # the PNG of each image


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


class Row(NamedTuple):
    """One image before it is read; `where` is what an error about it names."""

    id: str
    name: str
    number: int
    file: Path
    where: str


_cache: dict[Path, tuple[tuple, DataSet]] = {}  # the least recently used set first
_cache_lock = threading.Lock()


def exists(folder: str | Path) -> bool:
    """Whether a set is there whose preparation, if it is one of ours, was finished. Reads no image."""
    folder = _absolute(folder)
    pieces = _pieces(folder)
    complete = {"train", "test"} <= pieces and ("train.csv" in pieces) == ("test.csv" in pieces)
    return complete and not (folder / PREPARING).exists()


def load(folder: str | Path) -> DataSet:
    """The set in `folder`, from memory if none of its files has changed since it was read last.

    Raises DataError if there is no set or anything in it cannot be used.
    """
    folder = _absolute(folder)
    _check_pieces(folder)
    with _cache_lock:
        # Taken before the images are read: a file that changes meanwhile is seen by the next call.
        signature = _signature(folder)
        cached_signature, data = _cache.pop(folder, (None, None))
        if signature != cached_signature:
            data = _read(folder)
        _cache[folder] = signature, data
        while len(_cache) > CACHED_SETS:
            del _cache[next(iter(_cache))]
    return data


def load_images(folder: str | Path, classes: Sequence[str]) -> Split:
    """The images in the class folders of `folder`, for a run that knows `classes`; not every class need be there.

    Labels are positions in `classes`. Raises DataError for a folder that is none of them, a file that is not an
    image, and if there is no image at all.
    """
    folder = _absolute(folder)
    found = _class_folders(folder)
    if unknown := [name for name in found if name not in classes]:
        raise DataError(f"{folder / unknown[0]}: the run knows no class {unknown[0]!r}; it knows {', '.join(classes)}")
    files = [file for name in classes for file in found.get(name, ())]
    if not files:
        raise DataError(f"{folder}: no image there; put PNG images into folders named {', '.join(classes)}")
    rows = _file_rows(files, {name: label for label, name in enumerate(classes)})
    return _split(_decode(files), [row.number for row in rows], rows)


def prepare(
    folder: str | Path, source: str | Path = "auto", progress: Callable[[str], None] = lambda line: None
) -> DataSet:
    """The set in `folder`, made from `source` if there is none yet.

    `source` is "mnist" (downloaded), "digits" (inside scikit-learn), "auto" (the first of these that works), or the
    path of a folder with a set or with MNIST's four IDX files. `progress` is called with lines for a human reader.
    Raises DataError if the source cannot be had, if `folder` cannot be written, or if it holds another set already.
    """
    folder = _absolute(folder)
    if _holds_set(folder):
        return _load_if_from(folder, source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            if not _holds_set(folder):  # another process may have made it while this one waited
                _write(*_make(folder, source, progress), progress)
    except filelock.Timeout:
        raise DataError(f"{folder}: another process has been preparing this set for minutes; try again later") from None
    except OSError as error:
        raise DataError(
            f"{folder}: the data set cannot be written ({error.strerror or error}); check the permissions and the "
            "free space, or name another folder with --data"
        ) from error
    return _load_if_from(folder, "auto")


# Loading


def _absolute(folder: str | Path) -> Path:
    return Path(folder).expanduser().resolve()


def _pieces(folder: Path) -> set[str]:
    return {piece for piece in PIECES if (folder / piece).exists()}


def _holds_set(folder: Path) -> bool:
    """Whether pieces of a set are there that are not the leftovers of an interrupted preparation."""
    # In this order: PREPARING is made before the first piece and removed after the last.
    return bool(_pieces(folder) - {"source.json"}) and not (folder / PREPARING).exists()


def _check_pieces(folder: Path):
    advice = f"run `python -m core data --data {folder}` (or `make run`) to prepare one"
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder, so no data set; {advice}")
    pieces = _pieces(folder)
    if (folder / PREPARING).exists():
        raise DataError(
            f"{folder}: the data set is unfinished, its preparation is under way or broke off; {advice} anew"
        )
    if not pieces - {"source.json"}:
        raise DataError(f"{folder}: there is no data set in this folder; {advice}")
    for missing, present in (("train.csv", "test.csv"), ("test.csv", "train.csv")):
        if missing not in pieces and present in pieces:
            raise DataError(f"{folder / missing}: missing beside {present}; add it, or remove {present} as well")


def _signature(folder: Path) -> tuple:
    """(path, size, time of the last change) of each file of the set; takes about 10 ms for 3,000 images."""
    paths = list(PIECES)
    for split in SPLITS:
        paths += glob.glob(f"{split}/*/*", root_dir=folder, include_hidden=True)
    return tuple((path, *_status(os.path.join(folder, path))) for path in paths)


def _status(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:  # no such file, or a link that leads nowhere; if the set needs it, reading it says so
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _read(folder: Path) -> DataSet:
    if (folder / "train.csv").exists():
        rows = {split: _csv_rows(folder, split) for split in SPLITS}
        places = {split: folder / f"{split}.csv" for split in SPLITS}
    else:
        rows = _folder_rows(folder)
        places = {split: folder / split for split in SPLITS}
    numbers = _class_numbers(rows, places)
    labels = {name: label for label, name in enumerate(numbers)}
    images = _decode([row.file for split in SPLITS for row in rows[split]])
    count = len(rows["train"])
    train = _split(images[:count], [labels[row.name] for row in rows["train"]], rows["train"])
    test = _split(images[count:], [labels[row.name] for row in rows["test"]], rows["test"])
    data = _data_set(folder, numbers, train, test, "folder", f"folder {folder} ({_counts(train, test)})")
    if not (folder / "source.json").exists():
        return data
    source, description, fingerprint = _read_source(folder / "source.json")
    if fingerprint != data.fingerprint:
        description += "; changed since it was prepared"
    return dataclasses.replace(data, source=source, description=description)


def _csv_rows(folder: Path, split: str) -> list[Row]:
    path = folder / f"{split}.csv"
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
                where = f"{path}, line {reader.line_num}"
                if not values:
                    continue
                if len(values) != len(header):
                    raise DataError(f"{where}: {len(values)} values for 3 columns; write one id,name,class in a line")
                image_id, name, number = (values[header.index(column)] for column in COLUMNS)
                if not re.fullmatch("-?[0-9]{1,9}", number):
                    raise DataError(f"{where}: the class {number[:80]!r} is not a whole number; write e.g. 3")
                rows.append(Row(image_id, name, int(number), folder / split / name / f"{image_id}.png", where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); save it as UTF-8 text with commas") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error
    if not rows:
        raise DataError(f"{path}: no row below the first line; add a line id,name,class for each image")
    _check_names(rows)
    return rows


def _folder_rows(folder: Path) -> dict[str, list[Row]]:
    """The rows of both splits of a set without CSVs: the class folders in order, in each the files by name."""
    found = {split: _class_folders(folder / split) for split in SPLITS}
    for split in SPLITS:
        for name, files in found[split].items():
            if not files:
                raise DataError(f"{folder / split / name}: no .png image in this class folder; add some or remove it")
    names = sorted(set().union(*found.values()))
    if not names:
        raise DataError(f"{folder / 'train'}: no class folder; put the images into a folder for each class")
    if all(re.fullmatch("[0-9]{1,9}", name) for name in names):
        numbers = dict(sorted(((name, int(name)) for name in names), key=lambda item: item[1]))
    else:
        numbers = {name: number for number, name in enumerate(names)}
    return {
        split: _file_rows([file for name in numbers for file in found[split].get(name, ())], numbers)
        for split in SPLITS
    }


def _class_folders(folder: Path) -> dict[str, list[Path]]:
    """The .png files in each sub-folder, sorted by name. Hidden files and folders are left out."""
    try:
        return {
            path.name: sorted(file for file in path.iterdir() if file.suffix == ".png" and file.name[0] != ".")
            for path in sorted(folder.iterdir())
            if path.is_dir() and path.name[0] != "."
        }
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read ({error.strerror}); it has to hold a folder for each class"
        ) from error


def _file_rows(files: list[Path], numbers: dict[str, int]) -> list[Row]:
    ids = [file.stem for file in files]
    if len(set(ids)) < len(ids):  # a/1.png beside b/1.png
        ids = [f"{file.parent.name}_{file.stem}" for file in files]
    rows = [
        Row(image_id, file.parent.name, numbers[file.parent.name], file, str(file))
        for image_id, file in zip(ids, files, strict=True)
    ]
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


def _class_numbers(rows: dict[str, list[Row]], places: dict[str, Path]) -> dict[str, int]:
    """The integer of each class by its name, ascending; one to one, and every class in both splits."""
    by_name: dict[str, Row] = {}
    by_number: dict[int, Row] = {}
    for row in rows["train"] + rows["test"]:
        for other in (by_name.setdefault(row.name, row), by_number.setdefault(row.number, row)):
            if (other.name, other.number) != (row.name, row.number):
                raise DataError(
                    f"{row.where}: name {row.name!r} with class {row.number}, but {other.where} has name "
                    f"{other.name!r} with class {other.number}; each name needs one class of its own"
                )
    for split in SPLITS:
        names = {row.name for row in rows[split]}
        if missing := [name for name in by_name if name not in names]:
            raise DataError(
                f"{places[split]}: no image of class {missing[0]!r}; every class needs at least one training and one "
                "test image"
            )
    return {by_number[number].name: number for number in sorted(by_number)}


def _decode(files: list[Path]) -> np.ndarray:
    """The grey images of `files`, all of the size of the first: (N, H, W) uint8."""
    first = _read_image(files[0])
    images = np.empty((len(files), *first.shape), np.uint8)

    def fill(position: int):
        image = _read_image(files[position])
        if image.shape != first.shape:
            raise DataError(
                f"{files[position]}: {image.shape[1]}x{image.shape[0]} pixels, but {files[0]} has "
                f"{first.shape[1]}x{first.shape[0]}; make all images the same size"
            )
        images[position] = image

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(len(files))))  # the list raises the first error in the order of the files
    return images


def _read_image(file: Path) -> np.ndarray:
    """One image in grey: (H, W) uint8."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if max(image.size) > LARGEST_SIDE:
                raise DataError(
                    f"{file}: {image.width}x{image.height} pixels; at most {LARGEST_SIDE} a side, make it smaller"
                )
            if image.mode not in MODES:
                raise DataError(f"{file}: Pillow's mode {image.mode} is not supported; save it with 8 bits a channel")
            image.load()
            image.info.pop("transparency", None)  # convert() would warn about some; "L" has no transparency anyway
            return np.asarray(image.convert("L"))
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{file}: no such file; add the image or remove its row from the CSV") from error
    except Exception as error:  # damaged files raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        reason = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"
        raise DataError(f"{file}: not a PNG image that can be read{reason}; replace it or remove it") from error


def _split(images: np.ndarray, labels: Sequence[int], rows: Sequence[Row]) -> Split:
    labels = np.asarray(labels, np.int64)
    images.flags.writeable = labels.flags.writeable = False  # shared by every run and page through the cache
    return Split(images, labels, tuple(row.id for row in rows), tuple(row.file for row in rows))


def _data_set(folder: Path, numbers: dict[str, int], train: Split, test: Split, source: str, description: str):
    classes, class_numbers = tuple(numbers), tuple(numbers.values())
    digest = hashlib.sha256(json.dumps([classes, class_numbers]).encode())
    for split in (train, test):
        digest.update(json.dumps([split.ids, split.labels.tolist(), split.images.shape]).encode())
        digest.update(split.images.tobytes())
    return DataSet(folder, classes, class_numbers, train, test, source, description, digest.hexdigest())


def _counts(train: Split, test: Split) -> str:
    return f"{len(train.ids):,} training and {len(test.ids):,} test images"


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


# Preparation


def _load_if_from(folder: Path, source: str | Path) -> DataSet:
    """The set that is there, or DataError if `source` asks for another one."""
    data = load(folder)
    if source in ("mnist", "digits"):
        same = data.source == source
    else:
        same = source == "auto" or _absolute(source) == folder
        same = same or _from_path(folder, source)[0].fingerprint == data.fingerprint
    if not same:
        raise DataError(
            f"{folder}: holds a data set already ({data.description}), not what the source {source} gives; name "
            "another folder with --data, or remove this one"
        )
    return data


def _make(folder: Path, source: str | Path, progress: Callable[[str], None]) -> tuple[DataSet, dict]:
    """The set of `source` as it shall be written to `folder`, and how it was chosen."""
    if source == "digits":
        return _from_digits(folder)
    if source not in ("auto", "mnist"):
        return _from_path(folder, source)
    progress("Downloading MNIST …")
    try:
        return _from_download(folder)
    except DataError as error:
        if source == "mnist":
            raise
        progress(str(error))
        progress("Taking the handwritten digits inside scikit-learn instead.")
        return _from_digits(folder)


def _from_download(folder: Path) -> tuple[DataSet, dict]:
    with tempfile.TemporaryDirectory(prefix="tripletlab-") as temporary:
        command = [sys.executable, "-c", DOWNLOAD, temporary]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DOWNLOAD_SECONDS)
            lines = done.stdout.decode(errors="replace").split("\n")  # torchvision's last line is the reason
            failure = done.returncode and next((line for line in reversed(lines) if line.strip()), "it broke off")
        except subprocess.TimeoutExpired:
            failure = f"not finished after {DOWNLOAD_SECONDS} seconds"
        if failure:
            reason = re.sub(r"^<urlopen error (?:\[.*?\] )?(.*)>$", r"\1", failure.strip())[:200]
            raise DataError(
                f"MNIST could not be downloaded ({reason}); check the network, or name a folder with MNIST's four "
                "files as the source, or take the source digits"
            )
        return _from_idx(folder, Path(temporary) / "MNIST" / "raw", "MNIST")


def _from_path(folder: Path, source: str | Path) -> tuple[DataSet, dict]:
    path = _absolute(source)
    if any(_idx_file(path, split, kind) for split in SPLITS for kind in ("images-idx3", "labels-idx1")):
        return _from_idx(folder, path, f"MNIST files in {path}")
    if not _pieces(path) - {"source.json"}:
        raise DataError(
            f"{path}: not a source; name a folder with train/ and test/ or with MNIST's four IDX files, or mnist, "
            "digits or auto"
        )
    data = load(path)
    draft = dataclasses.replace(data, folder=folder, source="folder", description=f"copy of {data.description}")
    return draft, {"copied_from": str(path)}


def _from_idx(folder: Path, path: Path, title: str) -> tuple[DataSet, dict]:
    """A balanced subset of the four files: at most MNIST_PER_CLASS, and the same number of each class."""
    pool = {}
    for split in SPLITS:
        images, labels = _read_idx(path, split, "images-idx3", 3), _read_idx(path, split, "labels-idx1", 1)
        if (
            len(images) != len(labels)
            or not len(images)
            or not 0 < min(images.shape[1:]) <= max(images.shape[1:]) <= LARGEST_SIDE
        ):
            raise DataError(
                f"{path}: {len(images)} {split} images of {images.shape[2]}x{images.shape[1]} pixels with "
                f"{len(labels)} labels cannot be used; download these files anew"
            )
        pool[split] = images, labels
    numbers = {str(number): number for number in np.unique(pool["train"][1]).tolist()}
    if pool["train"][0].shape[1:] != pool["test"][0].shape[1:] or {*numbers.values()} != {*pool["test"][1].tolist()}:
        raise DataError(f"{path}: training and test files differ in image size or classes; take both from one set")
    chosen = {"seed": SEED}
    drawn = []
    for position, (split, (images, labels)) in enumerate(pool.items()):
        members = _shuffled_members(labels, np.random.default_rng([SEED, position]))
        each = chosen[f"{split}_per_class"] = min(MNIST_PER_CLASS[split], *map(len, members))
        drawn.append(_drawn(split, "mnist", images, [part[:each] for part in members]))
    description = f"{title}, a balanced subset of {_counts(*drawn)}"
    return _data_set(folder, numbers, *drawn, "mnist", description), chosen


def _from_digits(folder: Path) -> tuple[DataSet, dict]:
    from sklearn.datasets import load_digits  # takes a second, and only the preparation needs it

    digits = load_digits()
    small = np.round(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), 0..16 before
    size = (DIGITS_SIDE, DIGITS_SIDE)
    images = np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in small])
    members = _shuffled_members(digits.target, np.random.default_rng(SEED))
    start, end = DIGITS_PER_CLASS["train"], sum(DIGITS_PER_CLASS.values())
    train = _drawn("train", "digits", images, [part[:start] for part in members])
    test = _drawn("test", "digits", images, [part[start:end] for part in members])
    description = f"scikit-learn's handwritten digits, enlarged from 8x8 to 28x28 pixels ({_counts(train, test)})"
    numbers = {str(digit): digit for digit in range(10)}
    chosen = {"seed": SEED} | {f"{split}_per_class": count for split, count in DIGITS_PER_CLASS.items()}
    return _data_set(folder, numbers, train, test, "digits", description), chosen


def _shuffled_members(labels: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """For each class, ascending, the positions of its images in random order."""
    return [generator.permutation(np.flatnonzero(labels == number)) for number in np.unique(labels)]


def _drawn(split: str, prefix: str, images: np.ndarray, members: list[np.ndarray]) -> Split:
    """The split of the images at `members`, one array of positions for each class; ids carry the position."""
    positions = np.concatenate([np.sort(part) for part in members])
    labels = np.repeat(np.arange(len(members)), [len(part) for part in members])
    return Split(images[positions], labels, tuple(f"{prefix}_{split}_{position}" for position in positions), ())


def _idx_file(path: Path, split: str, kind: str) -> Path | None:
    """The IDX file under one of the names in use, or None."""
    name = f"{IDX_NAMES[split]}-{kind}-ubyte"
    candidates = (path / f"{stem}{end}" for end in ("", ".gz") for stem in (name, name.replace("-idx", ".idx")))
    return next((file for file in candidates if file.is_file()), None)


def _read_idx(path: Path, split: str, kind: str, dimensions: int) -> np.ndarray:
    """An IDX file of bytes: two zeros, type 8, the number of dimensions, each as big-endian uint32, then the data."""
    file = _idx_file(path, split, kind)
    if file is None:
        raise DataError(f"{path / f'{IDX_NAMES[split]}-{kind}-ubyte'}: missing; MNIST's four files belong together")
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: cannot be read ({error}); download it anew") from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise DataError(f"{file}: does not begin like an IDX file of {dimensions} dimensions; download it anew")
    shape = [int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4)]
    if len(content) != (expected := start + math.prod(shape)):
        raise DataError(f"{file}: {len(content):,} bytes where {expected:,} are announced; download it anew")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _write(data: DataSet, chosen: dict, progress: Callable[[str], None]):
    """Write `data` into its folder: complete, or not at all."""
    progress(f"Writing {_counts(data.train, data.test)} to {data.folder} …")
    building = data.folder / PREPARING
    building.mkdir(exist_ok=True)
    _remove_leftovers(data.folder)
    try:
        for split, part in (("train", data.train), ("test", data.test)):
            for name in data.classes:
                (building / split / name).mkdir(parents=True)
            lines = [COLUMNS]
            for image, label, image_id in zip(part.images, part.labels, part.ids, strict=True):
                Image.fromarray(image).save(building / split / data.classes[label] / f"{image_id}.png")
                lines.append((image_id, data.classes[label], data.class_numbers[label]))
            with (building / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(lines)
        facts = {"source": data.source, "description": data.description, "chosen": chosen}
        text = json.dumps(facts | {"fingerprint": data.fingerprint}, indent=2, ensure_ascii=False)
        (building / "source.json").write_text(text + "\n", encoding="utf-8")
        for piece in PIECES:
            os.replace(building / piece, data.folder / piece)
    except BaseException:  # Ctrl-C as well
        _remove_leftovers(data.folder)
        building.rmdir()
        raise
    building.rmdir()


def _remove_leftovers(folder: Path):
    """Remove what an earlier or failed preparation left, but keep PREPARING, which marks it as such."""
    for path in [*(folder / piece for piece in PIECES), *(folder / PREPARING).iterdir()]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

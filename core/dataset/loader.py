"""The data set, loaded: a folder -> images as one uint8 array, labels, ids.

A set of the lab's own is a folder: `train/<class>/<id>.png` and `train.csv` (columns id,name,class), the same for
`test`, and a `source.json` (core/dataset/sources.py). Sets as others have them are read as well: what a folder holds
is found by core/dataset/layout.py, which images it has by core/dataset/rows.py and core/dataset/arrays.py.
"""

import dataclasses
import glob
import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core import places
from core.dataset import arrays, cache, contents, layout, rows, survey
from core.dataset.images import DataError, Reading, read_all
from core.dataset.layout import SPLITS, Layout
from core.dataset.sets import SOURCES, DataSet, Split, assemble, split_of

PIECES = ("train", "test", "train.csv", "test.csv", "source.json")
PREPARING = ".preparing"  # folder inside the set: not complete yet
PREPARED = ".prepared"  # folder inside the set: pieces on their way to their places; while it exists, some are missing
CACHED_SETS = 2  # in memory
_READ = "them, or class folders, MNIST's four files, a table label,pixel0,… or an .npz with x_train, y_train, …"
_TICK = 0.02  # seconds: no file system in use has a coarser clock for changes that follow one another (Linux: 10 ms)


class NoSet(DataError):
    """There is no data set in a folder; `found` says what is there instead."""

    def __init__(self, folder: Path, found: str, remedy: str):
        super().__init__(f"{folder}: {found}; {remedy}")
        self.found = found


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
    """Whether there is a set, or a part of one; `load` says whether it can be used."""
    folder = absolute(folder)
    try:
        return folder.is_dir() and not (folder / PREPARED).exists() and layout.find(folder) is not None
    except DataError:
        return True


def load(folder: str | Path, progress: Reading = lambda done, total: None) -> DataSet:
    """The set in `folder`, from memory or core/dataset/cache.py if none of its files has changed since the last read.

    `progress` is called with the number of images read and of all images, now and then while PNG files are read.
    Raises DataError if there is no set or anything in it cannot be used.
    """
    folder = absolute(folder)
    found = _found(folder)
    with _cache_lock:
        signature = _signature(found)
        cached_signature, data = _cache.pop(folder, (None, None))
        if signature != cached_signature:
            # A file that was written this moment could change again without a trace in its time
            if time.time_ns() - max(max(times) for _, _, *times in signature) < _TICK * 1e9:
                time.sleep(_TICK)
                signature = _signature(found)
            # Taken before the images are read: a file that changes meanwhile is seen by the next call.
            data = _kept(folder, signature)
            if data is None:
                data = read(folder, progress)
                _keep(data, signature)
        _cache[folder] = signature, data
        while len(_cache) > CACHED_SETS:
            del _cache[next(iter(_cache))]
    return data


def _found(folder: Path) -> Layout:
    """What a folder holds. Raises DataError if that is no set."""
    found = None
    if folder.is_dir() and not (folder / PREPARED).exists():
        found = layout.find(folder)
    if found is None:
        raise NoSet(folder, *_why_none(folder))
    return found


def _why_none(folder: Path) -> tuple[str, str]:
    """What is in a folder instead of a set, and what to do."""
    if (folder / PREPARED).exists():
        return "the data set is unfinished", f"run `python -m core data --data {folder}` to finish it"
    if not folder.exists():
        return "no such folder", "check the path"
    if folder.name.lower().endswith(".zip"):
        return "a zip file, not a folder", f"take it in: python -m core import {folder} --data NEW_FOLDER"
    if not folder.is_dir():
        packed = folder.name.lower().endswith((".gz", ".tar", ".tgz", ".rar", ".7z", ".xz", ".bz2"))
        return "a file, not a folder", "unpack it, and name the folder" if packed else "name the folder that holds it"
    if found := holds(folder):
        return f"holds {found}, but no train/ and test/ with a folder for each class", f"name a folder that has {_READ}"
    return "an empty folder", "put train/CLASS/ID.png and test/CLASS/ID.png there"


def load_images(folder: str | Path, classes: Sequence[str]) -> Split:
    """The images in the class folders of `folder`, for a run that knows `classes`; not every class need be there.

    Labels are positions in `classes`; a folder of images without class folders, or one image file, has none: (0,).
    Raises DataError for a class folder that is none of them, a file that is not an image, and if there is no image.
    """
    folder = absolute(folder)
    if folder.is_file() and not layout.is_image(folder.name):
        raise DataError(f"{folder}: not an image; name an image file or a folder of images, unpacked")
    if folder.is_file():
        return _unlabelled([folder])
    found = layout.class_folders(folder)
    if test := layout.test_folder(folder, [name for name in found if name not in classes]):
        raise DataError(f"{folder}: a whole data set; name its test images, {test}")
    if not any(found.values()) and (images := layout.images_in(folder)):
        return _unlabelled(images)
    if unknown := [name for name in found if name not in classes]:
        raise DataError(f"{folder / unknown[0]}: the run knows no class {unknown[0]!r}; it knows {', '.join(classes)}")
    asked = rows.of_folders(found, {name: label for label, name in enumerate(classes)})
    layout.refuse_misplaced(layout.left_out([folder], [row.file for row in asked]))
    if not asked:
        raise DataError(f"{folder}: no image there; put images into folders named {', '.join(classes)}")
    return split_of(
        read_all([row.file for row in asked]),
        np.array([row.number for row in asked], np.int64),
        (row.id for row in asked),
        (row.file for row in asked),
    )


def _unlabelled(files: Sequence[Path]) -> Split:
    """Images of unknown classes, called by their file names."""
    return split_of(read_all(files), np.empty(0, np.int64), (layout.composed(file.name) for file in files), files)


def _signature(found: Layout) -> tuple:
    """(path, size, its two times of change) of each file and class folder; takes about 10 ms for 3,000 images."""
    paths = [str(found.place / piece) for piece in ("source.json", *layout.LISTS)]
    for place in sorted({found.train, found.test or found.train, found.place if found.kind == "idx" else found.train}):
        paths.append(str(place))
        for pattern in ("*", "*/*") if place.is_dir() else ():
            paths += sorted(glob.glob(str(Path(glob.escape(str(place)), pattern)), include_hidden=True))
    return ((repr(found), 0, 0, 0), *((path, *_status(path)) for path in paths))


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
            parts.append(split_of(images, labels, ids, map(Path, files)))
        numbers = dict(zip(facts["classes"], facts["class_numbers"], strict=True))
        data = assemble(folder, numbers, *parts, facts["source"], facts["description"])
        data = dataclasses.replace(data, notes=tuple(map(str, facts["notes"])))
    except (TypeError, KeyError, ValueError, AttributeError):  # not there, or not as _keep writes it
        return None
    return data if data.fingerprint == facts["fingerprint"] else None


def _keep(data: DataSet, signature: tuple):
    names = ("classes", "class_numbers", "source", "description", "fingerprint", "notes")
    facts, arrays = {name: getattr(data, name) for name in names}, {}
    for split, part in zip(SPLITS, (data.train, data.test), strict=True):
        facts[split] = {"ids": part.ids, "files": [str(file) for file in part.files]}
        arrays |= {f"{split}_images": part.images, f"{split}_labels": part.labels}
    cache.keep(data.folder, signature, facts, arrays)


def read(folder: Path, progress: Reading = lambda done, total: None, most_pixels: int = arrays.MOST_PIXELS) -> DataSet:
    """The set in `folder`, read anew from its files and kept nowhere. `progress` and DataError as in `load`.

    Files with many images each are refused if they announce more than `most_pixels`.
    """
    found = _found(folder)
    data = contents.of(folder, found, progress, most_pixels)
    if (found.place / "source.json").exists() and found.kind in contents.FILES:
        source, description, fingerprint = _read_source(found.place / "source.json")
        if fingerprint != data.fingerprint:
            description += "; changed since it was prepared"
        unused = data.description.partition(")")[2]
        data = dataclasses.replace(data, source=source, description=description + unused)
    return dataclasses.replace(data, notes=survey.notes(data))


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

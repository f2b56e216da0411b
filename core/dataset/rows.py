"""Which images a set has, one row each: from the lab's CSVs, or from class folders; and which are drawn for testing."""

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from core.dataset.images import DataError
from core.dataset.layout import Layout, class_folders, composed

COLUMNS = ("id", "name", "class")
SEED = 0  # of the test images that are drawn where a set has no splits
SHARE = 0.2  # of each class, at least one image


class Row(NamedTuple):
    """One image before it is read; `where` is what an error about it names."""

    id: str
    name: str
    number: int
    file: Path
    where: str


class Finder:
    """Finds the images that the rows of a CSV mean, below one folder; each class folder is listed once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.exact: set[Path] = set()
        self.places: dict[tuple[str, str], list[Path]] = {}
        if folder.is_dir():
            for name, files in class_folders(folder).items():
                self.exact.update(files)
                for file in files:
                    for wanted in {composed(file.stem), composed(file.name), composed(file.stem + file.suffix.lower())}:
                        self.places.setdefault((name, wanted), []).append(file)

    def find(self, name: str, image_id: str, where: str) -> Path:
        """The image of class `name` with this id, which may hold the file's ending; ID.png if there is none.

        Raises DataError, with `where`, if several files fit.
        """
        expected = self.folder / name / f"{image_id}.png"
        if expected in self.exact:
            return expected
        found = self.places.get((composed(name), composed(image_id)))
        if found is None:
            stem, ending = os.path.splitext(image_id)
            found = self.places.get((composed(name), composed(stem + ending.lower())), [expected])
        if len(found) > 1:
            names = " and ".join(str(file) for file in found[:2])
            raise DataError(f"{where}: the id {image_id!r} fits {names}; write the ending into the id, or remove one")
        return found[0]


def of_csv(path: Path, folder: Path) -> list[Row]:
    """The rows of a CSV with COLUMNS, whose images lie in the class folders of `folder`. Raises DataError."""
    finder = Finder(folder)
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
                rows.append(Row(composed(image_id), composed(name), int(number), place, where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}); save it as UTF-8 text with commas") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error
    if not rows:
        raise DataError(f"{path}: no row below the first line; add a line id,name,class for each image")
    _check_names(rows)
    return rows


def of_folders(found: dict[str, list[Path]], numbers: dict[str, int]) -> list[Row]:
    """The images in class folders: class after class, in each by file name. Raises DataError."""
    files = [file for name in numbers for file in found.get(name, ())]
    ids = [composed(file.stem) for file in files]
    if len(set(ids)) < len(ids):  # a/1.png beside b/1.png
        ids = [composed(f"{file.parent.name}_{file.stem}") for file in files]
    names = [composed(file.parent.name) for file in files]
    rows = [Row(*each, str(each[-1])) for each in zip(ids, names, map(numbers.get, names), files, strict=True)]
    _check_names(rows)
    return rows


def numbered(names: Iterable[str]) -> dict[str, int]:
    """An integer for each class folder, ascending: its name if all of them are numbers, else its alphabetical place."""
    names = set(names)
    if all(re.fullmatch("[0-9]{1,9}", name) for name in names):
        return {name: int(name) for name in sorted(names, key=int)}
    return {name: number for number, name in enumerate(sorted(names))}


def class_numbers(rows: list[Row]) -> dict[str, int]:
    """The integer of each class by its name, ascending; one to one. Raises DataError."""
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


def drawn(ids: Sequence[str], classes: Sequence, found: Layout) -> list[bool]:
    """Which images are for testing: SHARE of each class. The draw depends on SEED, class and id only, so that an image
    that is added moves hardly any other one.

    Raises DataError for a class with a single image.
    """
    members: dict = {}
    for row, name in enumerate(classes):
        members.setdefault(name, []).append(row)
    chosen = [False] * len(ids)
    for name, rows in members.items():
        if len(rows) < 2:
            raise DataError(
                f"{found.train}: class {name} has a single image, and without a test/ beside train/ one is needed for "
                "each; add images or remove the class"
            )
        rows.sort(key=lambda row: hashlib.sha256(f"{SEED}/{name}/{ids[row]}".encode()).digest())
        for row in rows[: max(1, round(SHARE * len(rows)))]:
            chosen[row] = True
    return chosen


def _check_names(rows: list[Row]) -> None:
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

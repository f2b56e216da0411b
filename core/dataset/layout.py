"""Where the images of a set lie: class folders, the file that a row of a CSV means, and what nobody asks for."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.dataset.images import SUFFIXES, DataError

LITTER = re.compile(r"(?i)\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|__MACOSX")  # what systems leave behind


def composed(name: str) -> str:
    """A name as Unicode composes it (NFC): macOS writes an umlaut as two characters, other systems as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image does, in any case."""
    return name.lower().endswith(SUFFIXES)


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """The images in each sub-folder, sorted by name. Hidden files and folders are left out, and litter."""
    found: dict[str, list[Path]] = {}
    try:
        for place in sorted(_shown(folder, folders=True)):
            found.setdefault(composed(place), []).extend(
                folder / place / name for name in sorted(_shown(folder / place, folders=False)) if is_image(name)
            )
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); it needs a folder for each class") from error
    return found


def images_in(folder: Path) -> list[Path]:
    """The images straight in a folder, sorted by name."""
    return [folder / name for name in sorted(_shown(folder, folders=False)) if is_image(name)]


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


def left_out(folder: Path, splits: Iterable[str], used: Iterable[Path]) -> list[Path]:
    """The files below the splits of `folder` that are neither used nor hidden nor litter, sorted."""
    used = {os.fspath(file) for file in used}
    others = []
    for split in splits:
        for place, folders, files in os.walk(folder / split):
            folders[:] = [name for name in folders if not _passed(name)]
            others += [each for name in files if not _passed(name) and (each := os.path.join(place, name)) not in used]
    return [Path(each) for each in sorted(others)]


def refuse_misplaced(others: Sequence[Path]) -> None:
    """Raises DataError if images are among the files that are not used, with their count and the first of them."""
    if images := [file for file in others if is_image(file.name)]:
        count = "1 image lies" if len(images) == 1 else f"{len(images):,} images lie"
        raise DataError(f"{images[0]}: {count} outside of the class folders, this first; move each into CLASS/ itself")


def in_words(others: Sequence[Path], folder: Path) -> str:
    """What is left out, for the description of a set; empty if nothing is."""
    if not others:
        return ""
    count = "1 file" if len(others) == 1 else f"{len(others):,} files"
    return f"; {count} not used: {others[0].relative_to(folder)}{', …' if len(others) > 1 else ''}"


def _shown(folder: Path, folders: bool) -> list[str]:
    """The names of the folders in a folder, or of what else is in it."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not _passed(entry.name) and entry.is_dir() == folders]


def _passed(name: str) -> bool:
    return name[0] == "." or bool(LITTER.fullmatch(name))

"""What a folder holds, read as its owner means it: folder -> Layout, which says where each split lies and as what.

Nothing is opened here but the first line of tables; core/dataset/rows.py and core/dataset/arrays.py read the rest.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.dataset import arrays
from core.dataset.images import SUFFIXES, DataError

SPLITS = ("train", "test")
LISTS = ("train.csv", "test.csv")  # of the lab's own layout: the order and the truth
LITTER = re.compile(r"(?i)\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|__MACOSX")  # what systems leave behind
DEEPEST = 3  # folders around a set

_ROLES = {"train": "train|training|trn", "test": "test|testing|tst", "validation": "val|valid|validation|dev"}
_SPLIT = re.compile(
    rf"(?i)(?:(?P<before>.+)[_\-. ])?(?:{'|'.join(f'(?P<{role}>{names})' for role, names in _ROLES.items())})"
    r"(?:[_\-. ]?(?:set|split|data|images?|imgs?))*"
)


@dataclass(frozen=True)
class Layout:
    """Where the splits of a set lie. Those of kind flat, and a table alone, are drawn from what `train` names."""

    kind: str  # listed (by CSVs), folders, flat (class folders only), idx, table or packed (.npz)
    place: Path  # the folder named by the user, or the one inside that holds the set
    train: Path  # a folder of class folders, or a file
    test: Path | None  # None where the test images are drawn
    unused: tuple[str, ...] = ()  # names of what lies beside the splits and could be meant as images


def find(folder: Path, around: int = 0) -> Layout | None:
    """The set in a folder, or in the only folder inside; None if there is nothing of one.

    Raises DataError where it is clear what is meant, and something is missing or there twice.
    """
    folders, files = listed(folder)
    if found := _in_splits(folder, folders, files) or _in_arrays(folder, files):
        return found
    of_images = [name for name in folders if images_in(folder / name)]
    loose = any(map(is_image, files))
    if len(of_images) > 1 and not loose:
        if not around:
            _refuse_half(folder)
        return Layout("flat", folder, folder, None)
    if of_images and not loose:
        raise DataError(
            f"{folder / of_images[0]}: the only folder of images there; a set needs at least two classes, with a "
            "folder each"
        )
    if len(folders) == 1 and not loose and around < DEEPEST:
        return find(folder / folders[0], around + 1)
    return None


def _in_splits(folder: Path, folders: list[str], files: list[str]) -> Layout | None:
    """A set whose splits are folders, with or without the lab's CSVs."""
    lists = [name for name in files if name in LISTS and arrays.table(folder / name) is None]
    lists += [name for name in folders if name in LISTS]  # reading it says what is wrong
    splits = _splits(folder, folders)
    if lists:
        train, test = (folder / splits.get(split, split) for split in SPLITS)
    elif splits.keys() >= {*SPLITS}:
        train, test = (_inner(folder / splits[split]) for split in SPLITS)
    elif splits:
        (there,) = splits
        (missing,) = {*SPLITS} - {there}
        raise DataError(
            f"{folder}: holds {splits[there]}/, but no {missing}/ with a folder for each class; add it, or give "
            f"{folder / splits[there]} alone, of which a share is then drawn for testing"
        )
    else:
        return None
    unused = tuple(f"{name}/" for name in folders if name not in splits.values())
    return Layout("listed" if lists else "folders", folder, train, test, unused)


def _splits(folder: Path, folders: list[str]) -> dict[str, str]:
    """The names of the folders with training and with test images, under their common names; only one of both if the
    other is missing. A folder of validation images stands for the test images where there are none.

    Raises DataError if two folders mean the same.
    """
    groups = _by_role(name for name in folders if _is_split(folder / name))
    for named in groups:
        if named.keys() >= {*SPLITS}:
            return {split: _one_of(folder, split, named[split]) for split in SPLITS}
    for named in groups:
        for split in SPLITS:
            there = [name for name in named.get(split, ()) if role_of(name)[1] == split]  # validation alone says little
            if holding := [name for name in there if listed(folder / name)[0]]:
                return {split: _one_of(folder, split, holding)}
    return {}


def test_folder(folder: Path, names: list[str]) -> Path | None:
    """Where the test images lie if these sub-folders of a folder are the splits of a set."""
    splits = _splits(folder, names)
    return folder / splits["test"] if splits.keys() >= {*SPLITS} else None


def _by_role(names: Iterable[str]) -> list[dict[str, list[str]]]:
    """The names of training and of test images, by what stands before them: those with nothing before them first."""
    groups: dict[str, dict[str, list[str]]] = {}
    for name in names:
        if role := role_of(name):
            groups.setdefault(role[0], {}).setdefault(role[1], []).append(name)
    for named in groups.values():
        validation = named.pop("validation", None)
        if validation and "test" not in named:
            named["test"] = validation
    return [named for _, named in sorted(groups.items())]


def _is_split(folder: Path) -> bool:
    """Whether a folder with the name of a split can be one: it holds class folders, and no set of its own."""
    if not role_of(folder.name):
        return False
    inside = listed(folder)[0]
    if any(named.keys() >= {*SPLITS} for named in _by_role(inside)):
        return False
    return bool(inside) or folder.name in SPLITS


def _one_of(folder: Path, split: str, names: list[str]) -> str:
    """The only one of these names, or the lab's own. Raises DataError if there are several."""
    if split in names:
        return split
    if len(names) > 1:
        raise DataError(f"{folder}: {names[0]} and {names[1]} could both be the {split} images; move one elsewhere")
    return names[0]


def role_of(name: str) -> tuple[str, str] | None:
    """What stands before it, and train, test or validation, for a common name of a split: mnist_Training -> mnist."""
    found = _SPLIT.fullmatch(name)
    return found and ((found["before"] or "").lower(), next(role for role in _ROLES if found[role]))


def _inner(folder: Path) -> Path:
    """The folder itself, or the only one inside where that holds the class folders, as in seg_train/seg_train."""
    folders, files = listed(folder)
    if len(folders) == 1 and not any(map(is_image, files)) and not images_in(inner := folder / folders[0]):
        return inner if listed(inner)[0] else folder
    return folder


def _refuse_half(folder: Path) -> None:
    """Raises DataError if class folders are one of the two splits of a set around them."""
    try:
        splits = _splits(folder.parent, listed(folder.parent)[0]) if role_of(folder.name) else {}
    except DataError:
        return
    if splits.keys() >= {*SPLITS} and folder.name in splits.values():
        raise DataError(f"{folder}: one half of a set; name {folder.parent}, which holds both")


def _in_arrays(folder: Path, files: list[str]) -> Layout | None:
    """A set in files that hold many images each: MNIST's four, tables of pixels, or an .npz."""
    if any(arrays.idx_file(folder, split, kind) for split in SPLITS for kind in arrays.IDX_KINDS):
        return Layout("idx", folder, folder, folder)
    tables = {name: found for name in files if name.lower().endswith(".csv") and (found := arrays.table(folder / name))}
    if labelled := [name for name, found in tables.items() if found.label is not None]:
        return _in_tables(folder, labelled, [name for name in files if name.lower().endswith(".csv")])
    if packed := [name for name in files if name.lower().endswith(".npz")]:
        if len(packed) > 1:
            raise DataError(f"{folder}: {packed[0]} and {packed[1]} could both be the set; move one elsewhere")
        return Layout("packed", folder, folder / packed[0], folder / packed[0])
    return None


def _in_tables(folder: Path, labelled: list[str], files: list[str]) -> Layout:
    """One table of training and one of test images, or one from which the test images are drawn."""
    named = {Path(name).stem: name for name in labelled}
    groups = _by_role(named)
    roles = next((each for each in groups if each.keys() >= {*SPLITS}), groups[0] if groups else {})
    test = named[_one_of(folder, "test", roles["test"])] if "test" in roles else None
    train = roles.get("train") or [stem for stem, name in named.items() if name != test]
    if not train:
        raise DataError(f"{folder / test}: no table of training images beside it; add a train.csv")
    train = named[_one_of(folder, "train", train)]
    unused = tuple(name for name in files if name not in (train, test))
    return Layout("table", folder, folder / train, folder / test if test else None, unused)


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in a folder, sorted; hidden ones and litter are left out."""
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not passed(entry.name):
                    (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); it needs a folder for each class") from error
    return sorted(folders), sorted(files)


def passed(name: str) -> bool:
    """Whether a name is hidden, or litter."""
    return name[0] == "." or bool(LITTER.fullmatch(name))


def composed(name: str) -> str:
    """A name as Unicode composes it (NFC): macOS writes an umlaut as two characters, other systems as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image does, in any case."""
    return name.lower().endswith(SUFFIXES)


def images_in(folder: Path) -> list[Path]:
    """The images straight in a folder, sorted by name."""
    return [folder / name for name in listed(folder)[1] if is_image(name)]


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """The images in each sub-folder, sorted by name."""
    found: dict[str, list[Path]] = {}
    for place in listed(folder)[0]:
        found.setdefault(composed(place), []).extend(images_in(folder / place))
    return found


def left_out(folders: Iterable[Path], used: Iterable[Path]) -> list[Path]:
    """The files below `folders` that are neither used nor hidden nor litter, sorted."""
    used = {os.fspath(file) for file in used}
    others = []
    for folder in folders:
        for place, inside, files in os.walk(folder):
            inside[:] = [name for name in inside if not passed(name)]
            others += [each for name in files if not passed(name) and (each := os.path.join(place, name)) not in used]
    return [Path(each) for each in sorted(others)]


def refuse_misplaced(others: Sequence[Path]) -> None:
    """Raises DataError if images are among the files that are not used, with their count and the first of them."""
    if images := [file for file in others if is_image(file.name)]:
        count = "1 image lies" if len(images) == 1 else f"{len(images):,} images lie"
        raise DataError(f"{images[0]}: {count} outside of the class folders, this first; move each into CLASS/ itself")


def in_words(others: Sequence[Path], found: Layout) -> str:
    """What is left out, for the description of a set; empty if nothing is."""
    beside = f"; not used: {', '.join(found.unused)}" if found.unused else ""
    if not others:
        return beside
    count = "1 file" if len(others) == 1 else f"{len(others):,} files"
    return f"{beside}; {count} not used: {others[0].relative_to(found.place)}{', …' if len(others) > 1 else ''}"

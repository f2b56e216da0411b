"""Data sets brought in as zip files: taken as hostile, checked, and taken in whole or not at all."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from core import places
from core.dataset import arrays, layout, loader
from core.dataset.images import FORMATS, SUFFIXES
from core.dataset.layout import is_image
from core.dataset.loader import DataSet
from core.exchange.archives import MEGABYTE, UploadError, members, opened, shown, unpack
from core.runs.files import replacing

SET_PIXELS = 100_000_000  # of all images of a set: their bytes in memory
PIXEL_TABLE_BYTES = 120 * MEGABYTE  # of a CSV in a data set; Kaggle's 42,000 digits take 77
OWNER = ".owner"  # in a data set's folder: the name of the student who brought it in
_PACK = "pack train/CLASS/ID.png, test/CLASS/ID.png"
_OF_SET = re.compile(rf"(?i).+({'|'.join(map(re.escape, SUFFIXES))}|\.csv|\.npz|-ubyte(\.gz)?)")
_ABOUT = re.compile(r"(?i)[^/]*\.(txt|md|rst)|(readme|licen[cs]e|copying)[^/]*")  # at the top of a set: not used


def data_sets() -> list[Path]:
    """The folders of the data sets that were brought in through the page, by name."""
    folder = places.uploads_folder()
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir()) if folder.is_dir() else []


def owner_of(folder: Path) -> str:
    """The student who brought in a data set; empty for the teacher."""
    with suppress(OSError, ValueError):
        return shown((folder / OWNER).read_text(encoding="utf-8"), 60)
    return ""


def sets_of(owner: str) -> list[Path]:
    """The data sets that a student has brought in."""
    return [folder for folder in data_sets() if owner_of(folder) == owner]


def give(folder: Path, owner: str) -> None:
    """Says whose data set it is."""
    if owner:
        with replacing(folder / OWNER) as file:
            file.write(owner.encode())


def new_folder(file_name: str) -> Path:
    """Where a data set from a file of this name goes: a folder that is not there yet, with a name of the lab's own."""
    stem = re.sub("[^a-z0-9]+", "-", file_name.lower().removesuffix(".zip")).strip("-")[:30] or "images"
    return places.uploads_folder() / f"{stem}-{secrets.token_hex(2)}"


def read_data_set(archive: Path | BinaryIO, folder: Path) -> DataSet:
    """Takes the images in a zip file into `folder`, empty or not there; laid out as core/dataset/layout.py reads them.

    Texts about the set are passed over. Raises UploadError, with nothing left behind, for anything that is not such a
    set, or if `folder` holds something or cannot be written.
    """
    folder = loader.absolute(folder)
    with opened(archive, folder.parent) as (found, incoming):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UploadError(f"{folder}: not empty; name a folder that is not there yet")
        files = {name: entry for name, entry in members(found, PIXEL_TABLE_BYTES).items() if not _ABOUT.fullmatch(name)}
        for name in files:
            if not _OF_SET.fullmatch(name):
                remedy = "unpack it first" if name.lower().endswith(".zip") else _PACK
                raise UploadError(f"{shown(name)}: not part of a data set; {remedy}")
        if not files:
            raise UploadError(f"no image inside; {_PACK}")
        unpack(found, files, incoming)
        images = [name for name in files if is_image(name)]
        _refuse_large(incoming, images, [name for name in files if name.lower().endswith(".csv")])
        try:
            loader.read(incoming, most_pixels=SET_PIXELS)  # names what is wrong, images that cannot be opened included
            _refuse_strangers(layout.find(incoming))
        except loader.NoSet as error:
            raise UploadError(f"no data set inside: it {error.found}; {_PACK}") from error
        if folder.exists():
            folder.rmdir()  # empty; Windows renames onto nothing
        os.rename(incoming, folder)
    return loader.load(folder)


def _refuse_large(folder: Path, images: list[str], tables: list[str]) -> None:
    """Raises UploadError for more pixels or lines than a set can have; nothing is decoded."""
    for name in tables:
        content = (folder / name).read_bytes()
        lines = content.count(b"\n") + content.count(b"\r")
        if lines > 2 * len(images) + 10 and not arrays.table(folder / name):  # Windows ends lines with both
            raise UploadError(f"{name}: far more lines than images; write one id,name,class for each image")
    pixels = 0
    for name in images:
        with suppress(Exception), Image.open(folder / name, formats=FORMATS) as image:
            pixels += image.width * image.height
    if pixels > SET_PIXELS:
        raise UploadError(f"more than {SET_PIXELS:,} pixels in all images; take fewer or smaller ones")


def _refuse_strangers(found: layout.Layout) -> None:
    """Raises UploadError for a folder beside the splits that is no split itself."""
    for name in found.unused:
        if name.endswith("/") and not layout.role_of(name.removesuffix("/")):
            raise UploadError(f"{shown(name)}: not part of a data set; {_PACK}")

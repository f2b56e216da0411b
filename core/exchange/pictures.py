"""The misclassified test images as PNG files: three names an error, as the lab sheet asks for, and a table."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from core.dataset.loader import DataSet
from core.exchange.tables import safe_csv
from core.runs.files import StoreError

_NO_FILE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # in a file name of Windows
_LETTERS, _GAP = 14, 12  # pixels of a contact sheet: the size of its letters, the space between pictures
_LONGEST = 60  # characters: with 4 bytes each still a file name
_EXPORTED = re.compile(r"img\d+_(origin|near_tgt|near_pdc)_\(.*\)\.png")


def export(mistakes: pd.DataFrame, data: DataSet, folder: Path) -> int:
    """Writes three PNG files a mistake, unchanged in size, and `mistakes.csv` into `folder`; returns how many.

    `img<N>_origin_(<true>).png` is the test image, `img<N>_near_tgt_(<true>).png` its nearest training image of the
    true class and `img<N>_near_pdc_(<predicted>).png` the one of the predicted class; N counts the rows from 1.
    Pictures of an earlier export into the same folder are removed first. Raises StoreError if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if _EXPORTED.fullmatch(old.name):
                old.unlink()
        for name, pixels in _pictures(mistakes, data):
            Image.fromarray(pixels).save(folder / name)
        (folder / "mistakes.csv").write_bytes(safe_csv(mistakes))
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{folder} cannot be written ({reason}); free some space or name another folder") from error
    return 3 * len(mistakes)


def file_name(text: str) -> str:
    """A class as part of a file name that every system can hold."""
    return _NO_FILE.sub("_", text)[:_LONGEST]


def _pictures(mistakes: pd.DataFrame, data: DataSet) -> Iterator[tuple[str, np.ndarray]]:
    """File names and pixels (H, W) of an export."""
    name_of = data.name_of
    for number, row in enumerate(mistakes.itertuples(), start=1):
        true, predicted = file_name(name_of[row.true]), file_name(name_of[row.predicted])
        yield f"img{number}_origin_({true}).png", data.test.images[row.test_index]
        yield f"img{number}_near_tgt_({true}).png", data.train.images[row.nearest_true_index]
        yield f"img{number}_near_pdc_({predicted}).png", data.train.images[row.nearest_predicted_index]


def packed(mistakes: pd.DataFrame, data: DataSet) -> bytes:
    """A zip file of `files`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files(mistakes, data).items():
            archive.writestr(name, content)
    return stream.getvalue()


def files(mistakes: pd.DataFrame, data: DataSet) -> dict[str, bytes]:
    """By name what `export` writes, and a contact sheet."""
    found = {name: png(pixels) for name, pixels in _pictures(mistakes, data)}
    found["mistakes.csv"] = safe_csv(mistakes)
    if len(mistakes):
        found["contact_sheet.png"] = contact_sheet(mistakes, data)
    return found


def contact_sheet(mistakes: pd.DataFrame, data: DataSet, scale: int = 3, columns: int = 6) -> bytes:
    """A PNG of all mistakes in their order, `columns` a row: the image, nearest of the true, of the predicted class.

    Under each stands its number in the export, the two classes and the id.
    """
    columns, font = min(columns, len(mistakes)), ImageFont.load_default(_LETTERS)
    height, width = (scale * side for side in data.test.images.shape[1:])
    wide, high = 3 * width, height + 2 * _LETTERS
    rows = -(-len(mistakes) // columns)
    sheet = Image.new("L", (columns * (wide + _GAP) - _GAP, rows * (high + _GAP) - _GAP), 255)
    for place, row in enumerate(mistakes.itertuples()):
        parts = [data.test.images[row.test_index], *(data.train.images[each] for each in _neighbours(row))]
        triple = np.concatenate(parts, axis=1).repeat(scale, axis=0).repeat(scale, axis=1)
        tile = Image.new("L", (wide, high), 255)  # what is too long for it is cut
        tile.paste(Image.fromarray(triple), (0, 0))
        ImageDraw.Draw(tile).text((0, height + 2), _caption(place + 1, row, data), fill=0, font=font)
        sheet.paste(tile, (place % columns * (wide + _GAP), place // columns * (high + _GAP)))
    return _png(sheet)


def _caption(number: int, row, data: DataSet) -> str:
    """A class by its number, as in the table, where its name has letters that Pillow's own font lacks."""
    names = {label: data.name_of[label] for label in (row.true, row.predicted)}
    true, said = (names[each] if names[each].isascii() else f"class {each}" for each in (row.true, row.predicted))
    return f"{number}. {true} > {said}  {row.id if row.id.isascii() else ''}"


def _neighbours(row) -> tuple[int, int]:
    return row.nearest_true_index, row.nearest_predicted_index


def png(pixels: np.ndarray) -> bytes:
    """An 8-bit grey image (H, W) as the bytes of a PNG file."""
    return _png(Image.fromarray(pixels))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()

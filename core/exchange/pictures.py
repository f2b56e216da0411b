"""The misclassified test images as PNG files: three names an error, as the lab sheet asks for, and a table."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from core.dataset.loader import DataSet
from core.exchange.tables import safe_csv
from core.runs.files import StoreError

_NO_FILE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # in a file name of Windows
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
    """A PNG of all mistakes in their order, `columns` a row: the image, nearest of the true, of the predicted class."""
    triples = [
        np.concatenate([data.test.images[r.test_index], *(data.train.images[each] for each in _neighbours(r))], axis=1)
        for r in mistakes.itertuples()
    ]
    height, width = triples[0].shape
    gap = 4
    sheet = np.full((-(-len(triples) // columns) * (height + gap), columns * (width + gap)), 128, np.uint8)
    for place, triple in enumerate(triples):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = triple
    return png(sheet.repeat(scale, axis=0).repeat(scale, axis=1))


def _neighbours(row) -> tuple[int, int]:
    return row.nearest_true_index, row.nearest_predicted_index


def png(pixels: np.ndarray) -> bytes:
    """An 8-bit grey image (H, W) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()

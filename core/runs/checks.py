"""What a run's files may hold: everything is taken for damaged until it has been checked.

A file may be cut off, written by a newer version, or made by hand. The functions raise OSError or ValueError with a
reason that names entry or line; core/runs/store.py adds the file.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from core.settings.setting import ConfigError

LONGEST_NAME = 60  # characters
_JOINER = re.compile("(?<=[^\\s\u200c\u200d])[\u200c\u200d](?=[^\\s\u200c\u200d])")  # within emoji, in Persian
_BLANK = re.compile("[\u115f\u1160\u3164\uffa0\u2800]")  # letters by Unicode that are drawn as nothing
_LARGEST_JSON = 1_000_000  # bytes


def content_of(file: Path) -> bytes:
    """The bytes of a JSON file. Raises OSError or ValueError."""
    if not file.is_file():  # a pipe or a device would be waited for
        raise ValueError("it is missing" if not os.path.lexists(file) else "it is not a file")
    with open(file, "rb") as stream:
        content = stream.read(_LARGEST_JSON + 1)
    check(len(content) <= _LARGEST_JSON, "it is far too long")
    return content


def read_json(file: Path):
    """What a JSON file of a run holds. Raises OSError or ValueError."""

    def refuse(text: str):
        raise ValueError(f"{text} is not a number")

    return json.loads(content_of(file).decode("utf-8"), parse_constant=refuse)


def check(right: bool, reason: str) -> None:
    """Raises ValueError with the reason unless it is right."""
    if not right:
        raise ValueError(reason)


def is_text(value) -> bool:
    """Whether it can be shown and be part of a path: no NUL, no half of a character."""
    return isinstance(value, str) and "\0" not in value and not re.search("[\ud800-\udfff]", value)


def checked_name(name: str) -> str:
    """A name without spaces around it. Raises ConfigError if it cannot be one."""
    name = name.strip()
    visible = _JOINER.sub("", name)
    if not 1 <= len(name) <= LONGEST_NAME or not visible.isprintable() or _BLANK.search(name):
        raise ConfigError(f"a run's name has 1 to {LONGEST_NAME} characters, all of them visible: not {name[:80]!r}")
    return name


def checked_numbers(
    lines: str, columns: tuple[str, ...], may_lack: tuple[str, ...] = (), text: tuple[str, ...] = (), before: int = 0
) -> pd.DataFrame:
    """The whole lines of a CSV as a table of numbers, but for the columns in `text`; empty if there are none.

    It has to have `columns`, without a gap, and `may_lack`, with gaps; others may be there. `before`: how many lines
    of the file stand between the names and the first of these numbers.
    """
    table = _table(lines, text)
    if table.empty:
        return table
    for name in dict.fromkeys([*columns, *may_lack, *table.columns.drop(list(text), errors="ignore")]):
        gaps = name not in columns
        right = lambda number, gaps=gaps: np.isfinite(number) | (gaps & np.isnan(number))  # noqa: E731
        _check_column(table, name, right, before)
    return table


def checked_mistakes(file: Path, train: int, test: int, class_numbers: list[int]) -> pd.DataFrame:
    """The table of core/analysis/mistakes.py for so many training and test images; empty if there is none."""
    ids = ("id", "nearest_true_id", "nearest_predicted_id")
    table = _table(whole_lines(file), text=ids)
    if table.empty:
        return table
    for name, limit in {"test_index": test, "nearest_true_index": train, "nearest_predicted_index": train}.items():
        _check_column(table, name, lambda index, limit=limit: (index >= 0) & (index < limit) & (index % 1 == 0))
    for name in ("true", "predicted"):
        _check_column(table, name, lambda number: np.isin(number, class_numbers))
    for name in ("score", "nearest_true_distance", "nearest_predicted_distance"):
        _check_column(table, name, np.isfinite)
    for name in ids:
        check(name in table and table[name].notna().all(), f"the column {name} is missing or has gaps")
    return table


def _check_column(table: pd.DataFrame, name: str, right: Callable[[np.ndarray], np.ndarray], before: int = 0) -> None:
    """Raises ValueError with the line of the first value that is no number or not `right`."""
    check(name in table, f"it has no column {name}")
    given = table[name]
    numbers = pd.to_numeric(given, errors="coerce").to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        bad = ~right(numbers) | (np.isnan(numbers) & given.notna().to_numpy())
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"line {row + 2 + before}, {name}: {str(given.iloc[row])[:40]!r} makes no sense")


def whole_lines(file: Path) -> str:
    """A CSV as far as it is complete (a line may be half written just now); empty if there is none.

    Raises OSError, or ValueError for what is no file or no text.
    """
    if not os.path.lexists(file):
        return ""
    check(file.is_file(), "it is not a file")
    return file.read_text(encoding="utf-8").rpartition("\n")[0]


def _table(lines: str, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """Whole lines of a CSV. The columns in `text` stay as they are written. Raises ValueError with the line."""
    if not lines:
        return pd.DataFrame()
    try:
        rows = csv.reader(io.StringIO(lines, newline=""), strict=True)
        width = len(next(rows))
        for row in rows:  # pandas would shift what is too long and fill up what is too short
            check(len(row) == width, f"line {rows.line_num} has {len(row)} values instead of {width}")
        keep = dict.fromkeys(text, str)  # an id such as 0012 or NA stays text
        return pd.read_csv(io.StringIO(lines), dtype=keep, na_values=[""], keep_default_na=False)
    except (OverflowError, csv.Error) as error:
        raise ValueError(str(error)) from error

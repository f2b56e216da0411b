"""Tables that grow while many look at them: each line is read once, for all who look."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from core.runs.checks import check, checked_numbers

_KEPT = 32  # tables
_END = 200  # bytes before the place where the last reading ended: other ones there are another table

_lock = threading.Lock()
_known: "OrderedDict[Path, _Read]" = OrderedDict()  # by file, the one asked for last at the end


@dataclass(frozen=True)
class _Read:
    """What has been read of a file."""

    identity: tuple[int, int]  # a file that is replaced gets another one
    seen: tuple[int, int, int]  # its size in bytes, and when it was changed
    size: int  # bytes of whole lines
    names: bytes  # the first line
    end: bytes  # the last bytes
    table: pd.DataFrame


def read(
    file: Path, columns: tuple[str, ...], may_lack: tuple[str, ...] = (), text: tuple[str, ...] = ()
) -> pd.DataFrame:
    """The table in a file that is only added to or replaced, see `checked_numbers`; of a known one only what is new.

    Nobody may change the table. Raises OSError, or ValueError with the line that is wrong.
    """
    if not os.path.lexists(file):
        return pd.DataFrame()
    check(file.is_file(), "it is not a file")
    with _lock:
        before = _known.pop(file, None)
        found = _read(file, before, columns, may_lack, text)
        _known[file] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return found.table.copy(deep=False)


def _read(file: Path, before: _Read | None, columns, may_lack, text) -> _Read:
    with open(file, "rb") as stream:
        about = os.fstat(stream.fileno())
        identity = about.st_dev, about.st_ino
        seen = about.st_size, about.st_mtime_ns, about.st_ctime_ns
        edited = before and before.seen != seen and before.seen[0] == seen[0]  # changed without having grown
        if before and (edited or not _goes_on(stream, before, identity)):
            before = None
        stream.seek(before.size if before else 0)
        new = stream.read()
    new = new[: new.rfind(b"\n") + 1]
    if before and not new:
        return replace(before, seen=seen)
    names = before.names if before else new[: new.find(b"\n") + 1]
    lines = (names + new if before else new).decode("utf-8").removesuffix("\n")
    lines_before = len(before.table) if before else 0
    table = checked_numbers(lines, columns, may_lack, text, lines_before)
    if before and len(before.table):
        table = pd.concat([before.table, table], ignore_index=True)
    end = ((before.end if before else b"") + new)[-_END:]
    return _Read(identity, seen, (before.size if before else 0) + len(new), names, end, table)


def _goes_on(stream, before: _Read, identity: tuple[int, int]) -> bool:
    """Whether a file still begins with what has been read of it."""
    if identity != before.identity or not before.names:
        return False
    if stream.read(len(before.names)) != before.names:
        return False
    stream.seek(before.size - len(before.end))
    return stream.read(len(before.end)) == before.end

"""Foreign zip files: judged by their table of contents before anything is unpacked, then unpacked into a hidden folder.

Nothing in one is run, no name in one becomes a path unchecked, and nothing is left behind when it is refused.
"""

import os
import re
import shutil
import stat
import tempfile
import threading
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from core.dataset.images import DataError
from core.dataset.layout import role_of
from core.runs.files import StoreError
from core.settings.setting import ConfigError

MEGABYTE = 2**20
PACKED_BYTES = 250 * MEGABYTE  # of a zip file; app/.streamlit/config.toml lets as much through. A FaceNet run has 140
UNPACKED_BYTES = 500 * MEGABYTE  # of all its members together
SPARE_BYTES = 500 * MEGABYTE  # that have to stay free on the disk
MEMBERS = 40_000  # of a zip file
DIRECTORY_BYTES = 8 * MEGABYTE  # of its table of contents, which zipfile holds in memory
TABLE_BYTES = 16 * MEGABYTE  # of a CSV
RATIO = 200  # unpacked to packed bytes of a member above MEGABYTE; a table of numbers reaches 20
NAME_LENGTH = 60  # characters of an id or a class: with 4 bytes each still a file name
LEFTOVER_SECONDS = 3600  # after which the hidden folder of an import that was killed is removed

_LITTER = re.compile(r"(^|/)(__MACOSX/|\.|(Thumbs\.db|desktop\.ini|source\.json|README\.md)$)")
_FORBIDDEN = frozenset("<>&\"'\\/:*?|`[]{}$~^")  # in HTML, in Markdown, or in the file names of some system
_DEVICE = re.compile("con|prn|aux|nul|conin\\$|conout\\$|(com|lpt)[0-9¹²³]", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"[^\w .,;:+()='/%-]")
_one_at_a_time = threading.Lock()  # a class that uploads together waits, instead of filling the memory


class UploadError(RuntimeError):
    """A zip file that is refused; the one-line message says what is wrong where, and what to do."""


class _ShortReads:
    """A file that gives no more than DIRECTORY_BYTES at once: the archive itself says how much zipfile asks for."""

    def __init__(self, file: BinaryIO):
        self._file, self.seek, self.tell, self.seekable = file, file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:  # without a size only the last 64 KB are read
        if size > DIRECTORY_BYTES:
            raise UploadError("its table of contents is too large; a zip file of this lab has a few thousand members")
        return self._file.read(size)


def zip_of(stream: BinaryIO) -> zipfile.ZipFile:
    """A zip file whose table of contents fits into memory."""
    return zipfile.ZipFile(_ShortReads(stream))


@contextmanager
def opened(archive: Path | BinaryIO, parent: Path) -> Iterator[tuple[zipfile.ZipFile, Path]]:
    """A zip file, and a new folder on the disk of `parent` for what is not checked yet; hidden, and gone at the end.

    Whatever a hostile file provokes becomes an UploadError in one line.
    """
    try:
        file = nullcontext(archive) if hasattr(archive, "read") else open(archive, "rb")  # noqa: SIM115
    except OSError as error:
        raise UploadError(f"{archive} cannot be opened ({error.strerror}); check its name") from error
    folder = None
    try:
        with file as stream, _one_at_a_time:
            if (size := stream.seek(0, os.SEEK_END)) > PACKED_BYTES:
                raise UploadError(f"{megabytes(size)} are too large; at most {megabytes(PACKED_BYTES)} are taken")
            parent.mkdir(parents=True, exist_ok=True)
            for old in parent.glob(".import-*"):
                if time.time() - old.stat().st_mtime > LEFTOVER_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
            hidden = tempfile.TemporaryDirectory(prefix=".import-", dir=parent, ignore_cleanup_errors=True)
            with hidden as name, zip_of(stream) as found:
                folder = Path(name) / "incoming"
                folder.mkdir()
                yield found, folder
    except UploadError:
        raise
    except (ConfigError, DataError, StoreError) as error:  # the lab's own readers; they quote what they found
        said = (
            str(error).replace(f"{folder}{os.sep}", "").replace(f"{folder}: ", "").replace(str(folder), "the zip file")
        )
        raise UploadError(shown(said, 300)) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UploadError(f"{parent} cannot be written ({reason}); check the free space and the permissions") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UploadError("not a zip file, or a damaged one; choose the .zip that was exported or packed") from error
    except Exception as error:  # damaged files raise anything in zipfile, torch, NumPy and pandas
        raise UploadError(f"the file cannot be read ({type(error).__name__}); export or pack it anew") from error


def members(archive: zipfile.ZipFile, table_bytes: int = TABLE_BYTES) -> dict[str, zipfile.ZipInfo]:
    """The files in an archive by name, without the one folder around them, if all its table of contents can be borne.

    Folders and what systems add on their own are left out. Old Windows programs write a backslash between folders.
    """
    entries = archive.infolist()
    if len(entries) > MEMBERS:
        raise UploadError(f"{len(entries):,} members are too many; at most {MEMBERS:,} are taken")
    if (total := sum(entry.file_size for entry in entries)) > UNPACKED_BYTES:
        raise UploadError(f"{megabytes(total)} unpacked are too large; at most {megabytes(UNPACKED_BYTES)} are taken")
    names, files = set(), {}
    for entry in entries:
        name = entry.orig_filename.replace("\\", "/")  # .filename ends at the first NUL
        if reason := _why_refused(entry, name, table_bytes):
            raise UploadError(f"{shown(name)}: {reason}")
        if (same := unicodedata.normalize("NFC", name).casefold()) in names:
            raise UploadError(f"{shown(name)}: a second file of this name; remove one")
        names.add(same)
        if not name.endswith("/") and not _LITTER.search(name):
            files[name] = entry
    tops = {name.split("/")[0] for name in files}
    around = f"{tops.pop()}/" if len(tops) == 1 and not any(map(role_of, tops)) else ""
    return {name.removeprefix(around): entry for name, entry in files.items()}


def _why_refused(entry: zipfile.ZipInfo, name: str, table_bytes: int) -> str:
    parts = name.removesuffix("/").split("/")
    if name[:1] == "/" or ".." in name or re.match("[A-Za-z]:", name):
        return "a name that leads out of its folder; pack the files anew"
    if len(parts) > 5:
        return "too many folders inside each other; pack train/ and test/, or an exported run"
    for part in parts:
        if reason := why_no_name(part.removesuffix(".png")):
            return f"{reason}; rename it"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device; pack the files themselves"
    if entry.flag_bits & 0x41:
        return "encrypted; pack the files without a password"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by an unusual method; pack the files as an ordinary zip"
    if entry.file_size > max(MEGABYTE, RATIO * entry.compress_size):
        return f"unpacks to more than {RATIO} times its size, like a zip bomb"
    if name.lower().endswith(".csv") and entry.file_size > table_bytes:
        return "too large for a table; pack train/ and test/, or an exported run"
    return ""


def why_no_name(text: str) -> str:
    """Why a text cannot be an id, a class or a file name here; empty if it can."""
    if not text or text != text.strip(" ") or text.endswith("."):
        return "a name that is empty, or has a space or a dot at its end"
    if len(text) > NAME_LENGTH:
        return f"a name of more than {NAME_LENGTH} characters"
    if _DEVICE.fullmatch(text.partition(".")[0].strip()):
        return "a name that means a device on Windows"
    if not text.isprintable():
        return "a control character in a name"
    if _FORBIDDEN & set(text):
        return "a quote, a bracket, a star or another character with a meaning of its own in a name"
    return ""


def unpack(archive: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo], folder: Path) -> None:
    """Writes members under their names. zipfile counts: no more than announced, and the checksum has to be right."""
    if shutil.disk_usage(folder).free < SPARE_BYTES + sum(entry.file_size for entry in files.values()):
        raise UploadError("there is too little free space on the disk of the lab; remove old runs first")
    for name, entry in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, open(folder / name, "xb") as file:
            shutil.copyfileobj(source, file)
            if file.tell() != entry.file_size:
                raise UploadError(f"{shown(name)}: cut off; export or pack the files anew")


def shown(text: str, most: int = 80) -> str:
    """A foreign text as it can stand in a message, on a terminal or in Markdown."""
    return _NOT_SHOWN.sub("?", text[:most]) + "…" * (len(text) > most)


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / MEGABYTE:,.0f} MB"

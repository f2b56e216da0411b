"""Zip files, good and bad, and the one line that is said of a bad one."""

import io
import json
import os
import stat
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.exchange import packed_runs, packed_sets
from core.exchange.archives import UploadError


def zipped(files: dict[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of duplicates
        for name, content in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, content)
    return stream


def refused(call, archive, target: Path) -> str:
    """The reason; one line that can stand on a page, and nothing is left where the upload would have gone."""
    before = sorted(target.rglob("*")) if target.exists() else []
    if isinstance(archive, io.BytesIO):
        archive.seek(0)
    with pytest.raises(UploadError) as caught:
        call(archive, target)
    reason = str(caught.value)
    assert reason.isprintable()
    assert not set(reason) & set("<>&\\[]")
    assert len(reason) < 500
    assert (sorted(target.rglob("*")) if target.exists() else []) == before
    if target.parent.exists():
        assert not list(target.parent.glob(".import-*"))
    return reason


def refused_run(archive, runs: Path) -> str:
    return refused(packed_runs.read_run, archive, runs)


def refused_set(archive, runs: Path) -> str:
    target = runs.parent / "set"
    reason = refused(packed_sets.read_data_set, archive, target)
    assert not target.exists()
    return reason


def png(side: int = 6, value: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(stream, "png")
    return stream.getvalue()


def image_set(**more: bytes) -> dict[str, bytes]:
    """Two classes with two training images and a test image each."""
    files = {f"train/{name}/{name}{number}.png": png(value=number) for name in "ab" for number in (1, 2)}
    return files | {f"test/{name}/{name}9.png": png(value=9) for name in "ab"} | more


def changed(members: dict, name: str, content: bytes | None) -> io.BytesIO:
    """The run with one file replaced, or without it."""
    return zipped({key: value for key, value in (members | {name: content}).items() if value is not None})


def facts_with(members: dict, path: str, value) -> io.BytesIO:
    """The run with one entry of run.json replaced; `path` is e.g. "result.epochs"."""
    facts = json.loads(members["run.json"])
    *parents, last = path.split(".")
    inner = facts
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return changed(members, "run.json", json.dumps(facts).encode())


def resaved(members: dict, name: str, change) -> io.BytesIO:
    state = torch.load(io.BytesIO(members[name]), weights_only=True)
    change(state)
    stream = io.BytesIO()
    torch.save(state, stream)
    return changed(members, name, stream.getvalue())


def rewritten(members: dict, name: str, old: str, new: str) -> io.BytesIO:
    text = members[name].decode()
    assert old in text
    return changed(members, name, text.replace(old, new, 1).encode())


def first(state) -> str:
    return next(iter(state["training"]["network"]))


def weights(state):
    return state["training"]["network"]


def row(state) -> dict:
    return state["progress"]["history"][0]


def arrays_of(members: dict, **changes) -> io.BytesIO:
    with np.load(io.BytesIO(members["embeddings/epoch_0002.npz"])) as arrays:
        found = dict(arrays) | changes
    stream = io.BytesIO()
    np.savez(stream, **{name: value for name, value in found.items() if value is not None})
    return changed(members, "embeddings/epoch_0002.npz", stream.getvalue())


def huge_png(width: int, height: int) -> bytes:
    """A PNG that announces this size and holds next to nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in (header, pixels)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# Hostile ones


def with_mode(name: str, mode: int, target: bytes) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.create_system, entry.external_attr = 3, mode << 16
        archive.writestr(entry, target)
    return stream


def flagged(flag: int) -> io.BytesIO:
    """A member whose table of contents says it is encrypted."""
    content = bytearray(zipped({"train/a/x.png": png()}).getvalue())
    at = content.index(b"PK\1\2") + 8
    content[at : at + 2] = struct.pack("<H", flag)
    return io.BytesIO(bytes(content))


def overlapping() -> io.BytesIO:
    """Twenty entries of the table of contents share one packed member of a gigabyte of zeros in all."""
    with zipfile.ZipFile(stream := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/a/x00.png", bytes(200_000))
        entry = archive.infolist()[0]
        for number in range(1, 20):
            twin = zipfile.ZipInfo(f"train/a/x{number:02}.png")
            for name in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "external_attr"):
                setattr(twin, name, getattr(entry, name))
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    return stream


def many(count: int) -> io.BytesIO:
    """A table of contents with `count` entries, written by hand."""
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
        + f"{number:06}".encode()
        for number in range(count)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count % 65536, count % 65536, len(entries), 0, 0)
    return io.BytesIO(entries + end)


def lying(size: int) -> io.BytesIO:
    """A member of 100,000 zeros that announces another size, in both places."""
    content = zipped({"train/a/x.png": bytes(100_000)}).getvalue()
    real = struct.pack("<L", 100_000)
    assert content.count(real) == 2
    return io.BytesIO(content.replace(real, struct.pack("<L", size)))


def renamed(name: bytes) -> io.BytesIO:
    """An archive with a name that zipfile would not write as it is."""
    content = zipped({"x" * len(name): b"1"}, zipfile.ZIP_STORED).getvalue()
    return io.BytesIO(content.replace(b"x" * len(name), name))


ZIPS = {
    "not a zip": (lambda: io.BytesIO(b"\x80\x04\x95 a pickle"), "not a zip file"),
    "empty file": (lambda: io.BytesIO(b""), "not a zip file"),
    "cut off": (lambda: io.BytesIO(zipped(image_set()).getvalue()[:-40]), "not a zip file"),
    "parent": (lambda: zipped({"../evil.png": b"1"}), "leads out of its folder"),
    "parent inside": (lambda: zipped({"train/../../evil.png": b"1"}), "leads out of its folder"),
    "absolute": (lambda: renamed(b"/etc/passwd"), "leads out of its folder"),
    "backslash": (lambda: renamed(b"train\\..\\x.png"), "leads out of its folder"),
    "network share": (lambda: renamed(b"\\\\server\\x.png"), "leads out of its folder"),
    "drive": (lambda: zipped({"C:/x.png": b"1"}), "leads out of its folder"),
    "nul": (lambda: renamed(b"train/a\0/x.png"), "a control character"),
    "control": (lambda: zipped({"train/a/\x1b[31mx.png": b"1"}), "a control character"),
    "line break": (lambda: zipped({"train/a\n/x.png": b"1"}), "a control character"),
    "right to left": (lambda: zipped({"train/a/\u202egnp.png": b"1"}), "a control character"),
    "html": (lambda: zipped({"train/<img src=x onerror=alert(1)>/x.png": b"1"}), "a quote, a bracket, a star"),
    "markdown": (lambda: zipped({"train/![a](b)/x.png": b"1"}), "a quote, a bracket, a star"),
    "html id": (lambda: zipped({"train/a/<b>.png": b"1"}), "a quote, a bracket, a star"),
    "long": (lambda: zipped({f"train/a/{'x' * 61}.png": b"1"}), "more than 60 characters"),
    "deep": (lambda: zipped({"a/b/c/d/e/f.png": b"1"}), "too many folders"),
    "dot": (lambda: zipped({"train/./x.png": b"1"}), "a dot at its end"),
    "empty part": (lambda: zipped({"train//x.png": b"1"}), "a name that is empty"),
    "link": (lambda: with_mode("train/a/x.png", stat.S_IFLNK | 0o777, b"/etc/passwd"), "a link or a device"),
    "device": (lambda: with_mode("train/a/x.png", stat.S_IFCHR | 0o666, b""), "a link or a device"),
    "pipe": (lambda: with_mode("train/a/x.png", stat.S_IFIFO | 0o666, b""), "a link or a device"),
    "twice": (lambda: zipped([("train/a/x.png", b"1"), ("train/a/x.png", b"2")]), "a second file of this name"),
    "twice but for case": (lambda: zipped({"train/a/x.png": b"1", "train/A/x.png": b"2"}), "a second file"),
    "twice but for accents": (lambda: zipped({"train/é/x.png": b"1", "train/e\u0301/x.png": b"2"}), "a second file"),
    "encrypted": (lambda: flagged(1), "encrypted"),
    "lzma": (lambda: zipped({"train/a/x.png": b"1"}, zipfile.ZIP_LZMA), "an unusual method"),
    "bomb": (lambda: zipped({"train/a/x.png": bytes(50 * 2**20)}), "like a zip bomb"),
    "overlapping": (overlapping, "a damaged one"),
    "100,000 members": (lambda: many(100_000), "100,000 members are too many"),
    "a million members": (lambda: many(1_000_000), "table of contents is too large"),
    "announces less": (lambda: lying(1000), "a damaged one"),
    "announces more": (lambda: lying(900_000), "cut off|damaged"),
    "announces four gigabytes": (lambda: lying(2**32 - 2), "unpacked are too large"),
    "nothing but a folder": (lambda: zipped({"train/a/": b"1" * 100}), "no image inside|run.json: missing"),
    "a huge table": (
        lambda: zipped({"train.csv": os.urandom(17 * 2**20)}, zipfile.ZIP_STORED),
        "too large for a table|far more lines than images",
    ),
}

"""Runs and data sets in zip files: what comes back, and what is refused, with nothing run and nothing left behind."""

import io
import json
import os
import pickle
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from core import experiment
from core.__main__ import main
from core.dataset import loader
from core.evaluation import evaluate_run
from core.exchange import measuring, report, uploads
from core.exchange.uploads import UploadError
from core.runs import store, writing
from core.runs.files import StoreError
from tests.core.folders import write_set
from tests.core.zips import ZIPS, image_set, many, png, refused_run, refused_set, zipped

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def run(digits, tiny, tmp_path_factory):
    """A finished run of two epochs."""
    with writing.create(tiny, digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


@pytest.fixture(autouse=True)
def lab(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(digits.folder))
    monkeypatch.setenv("TRIPLETLAB_UPLOADS", str(tmp_path / "uploads"))


@pytest.fixture(scope="module")
def members(run) -> dict[str, bytes]:
    """What an exported run holds, by the name below its folder."""
    stream = io.BytesIO()
    uploads.export_run(run, stream)
    with zipfile.ZipFile(stream) as archive:
        return {name.removeprefix(f"{run.id}/"): archive.read(name) for name in archive.namelist()}


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


# A whole run goes out and comes in


def test_round_trip(run, members, runs, digits):
    stream = io.BytesIO()
    uploads.export_run(run, stream)
    run_id = uploads.read_run(stream, runs)
    assert [path.name for path in runs.iterdir()] == [run_id]
    new = store.find(runs, run_id)
    for name in ("status", "config", "data", "machine", "created", "steps_per_epoch", "seconds", "result", "error"):
        assert getattr(new, name) == getattr(run, name), name
    assert "imported" in run_id
    for name, content in members.items():
        if name.endswith(".npz"):
            assert (new.folder / name).read_bytes() == content, name
    for name in ("history.csv", "predictions.csv", "mistakes.csv"):  # made anew
        assert name not in members
        assert (new.folder / name).read_bytes() == (run.folder / name).read_bytes(), name
    pd.testing.assert_frame_equal(store.steps(new), store.steps(run))
    for name in ("last.pt", "best.pt"):
        before, after = (torch.load(each.folder / name, weights_only=True) for each in (run, new))
        assert after.pop("run", run_id) == run_id
        before.pop("run", None)
        same(before, after)
    kept = {path.name for path in run.folder.rglob("*")} - {"run.lock", "latest_step.npz", "label.json"}
    assert {path.name for path in new.folder.rglob("*")} - {"run.lock", "label.json"} == kept  # a colour of its own
    assert evaluate_run(new, None, None, None) == evaluate_run(run, None, None, None)
    assert store.data_of(new).fingerprint == digits.fingerprint


def same(before, after):
    if isinstance(before, torch.Tensor):
        assert before.dtype == after.dtype
        assert torch.equal(before, after)
    elif isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            same(before[key], after[key])
    elif isinstance(before, list):
        for left, right in zip(before, after, strict=True):
            same(left, right)
    else:
        assert before == after


def test_an_unpacked_and_repacked_run_is_taken_too(members, runs):
    mac = {"__MACOSX/run/._run.json": b"finder", "run/.DS_Store": b"finder", "run/run.lock": b""}
    uploads.read_run(zipped(mac | {f"run/{name}": content for name, content in members.items()}), runs)
    uploads.read_run(zipped({name: members[name] for name in members if name != "best.pt"}), runs)
    assert len(store.list_runs(runs)) == 2


def test_a_run_on_images_that_the_lab_does_not_have(run, digits, members, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(write_set(tmp_path / "other", {"a": 0, "b": 1})))
    new = store.find(runs, uploads.read_run(zipped(members), runs))
    assert new.data.folder == str(tmp_path / "other")
    assert "so says the imported run" in new.data.description
    assert new.result == run.result
    assert (new.folder / "history.csv").read_bytes() == (run.folder / "history.csv").read_bytes()
    assert not (new.folder / "mistakes.csv").exists()
    with pytest.raises(StoreError, match="trained on other images"):
        store.data_of(new)
    command = ["mistakes", new.id, "--runs", str(runs), "--out", str(tmp_path / "pictures"), "--json"]
    assert main(command) == 1
    assert "trained on other images" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "other")
    shutil.copytree(digits.folder, tmp_path / "other")
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["count"] == run.result.mistakes > 0


def test_the_run_finds_its_images_among_those_brought_in(members, runs, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(write_set(tmp_path / "other", {"a": 0, "b": 1})))
    new = store.find(runs, uploads.read_run(zipped(members), runs, [tmp_path / "nowhere", digits.folder]))
    assert store.data_of(new).fingerprint == digits.fingerprint


@pytest.mark.parametrize(
    ("status", "shown"),
    [("running", "interrupted"), ("queued", "interrupted"), ("failed", "failed"), ("paused", "paused")],
)
def test_no_status_is_taken_over_that_promises_more(members, runs, status, shown):
    new = store.find(runs, uploads.read_run(facts_with(members, "status", status), runs))
    assert (new.status, new.active) == (shown, False)


def test_texts_of_a_run_are_cleaned(members, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(tmp_path / "none"))
    facts = json.loads(members["run.json"])
    evil = "![x](http://evil/x.png)<script>alert(1)</script>\x1b[31m\n"
    facts["data"] |= {"description": evil, "folder": "/etc", "source": evil, "fingerprint": evil, evil: evil}
    facts["data"]["classes"][0] = evil
    facts |= {"error": evil, "created": "2099-01-01T00:00:00", "run": "../../evil", "notes": [evil], evil: evil}
    facts["machine"] |= {"processor": evil, evil: 1, "torch": evil}
    archive = changed(members, "run.json", json.dumps(facts).encode())
    new = store.find(runs, uploads.read_run(archive, runs))
    text = (new.folder / "run.json").read_text()
    assert not set("<>\x1b!") & set(text)
    assert "?evil" not in text
    assert "x?(http" in text
    assert "/etc" not in text
    assert "evil" not in new.id
    assert new.created.tzinfo is None
    assert new.created.year < 2099


def test_the_name_of_a_run_comes_with_it(members, runs):
    for content, shown in (
        (json.dumps({"name": "Ada's best", "archived": True}), "Ada's best"),
        ('{"name": "", "archived": false}', ""),
        *(
            (damaged, "")
            for damaged in ("{", "[]", '{"name": 7}', "[" * 10**5, '{"name": "\\u001b", "archived": true}')
        ),
        (json.dumps({"name": "x" * 10**5, "archived": False}), ""),
    ):
        new = store.find(runs, uploads.read_run(changed(members, "label.json", content.encode()), runs))
        assert (new.name, new.archived, new.notes) == (shown, False, (measuring.CURVES_UNCHECKED.format(2),))


def test_a_run_goes_on_where_it_was_brought_in(members, runs, digits):
    run = store.find(runs, uploads.read_run(zipped(members), runs))
    with writing.reopen(run, digits, add_epochs=1) as writer:
        *_, end = experiment.run(writer, digits)
    assert (end.status, end.epochs) == ("done", 3)
    assert len(store.history(store.find(runs, run.id))) == 3


def test_leftovers_of_a_killed_import_go_with_the_next(members, runs):
    old, young = runs / ".import-00000000", runs / ".import-11111111"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    uploads.read_run(zipped(members), runs)
    assert not old.exists()
    assert young.exists()


def test_what_cannot_be_exported(run, digits, tiny, runs):
    with writing.create(tiny, digits, runs) as writer:
        with pytest.raises(UploadError, match="not finished"):
            uploads.export_run(store.read(writer.folder), io.BytesIO())
        writer.update(status="stopped")
    with pytest.raises(UploadError, match="no result"):
        uploads.export_run(store.read(writer.folder), io.BytesIO())


def test_a_file_of_a_run_that_lies_about_its_size(members, runs):
    content = zipped(members).getvalue()
    real = struct.pack("<L", len(members["run.json"]))
    for size in (7, len(members["run.json"]) + 1000):
        lie = io.BytesIO(content.replace(real, struct.pack("<L", size)))
        assert any(part in refused_run(lie, runs) for part in ("a damaged one", "cut off"))


def test_a_full_disk_and_a_folder_that_cannot_be_written(members, runs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused_run(zipped(members), tmp_path / "file" / "runs")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads.os, "rename", full)
    assert "No space left" in refused_run(zipped(members), runs)


# A data set


@pytest.mark.parametrize("top", ["", "my digits/"])
@pytest.mark.parametrize("tables", [True, False])
def test_a_good_set(digits, tmp_path, top, tables):
    files = {
        f"{top}{path.relative_to(digits.folder).as_posix()}": path.read_bytes()
        for path in digits.folder.rglob("*")
        if path.is_file() and (tables or path.suffix == ".png")
    }
    extra = {f"{top}source.json": b"{", "__MACOSX/._train": b"x", f"{top}train/.DS_Store": b"x", f"{top}train/": b""}
    target = tmp_path / "uploads" / "new"
    found = uploads.read_data_set(zipped(files | extra), target)
    assert found.folder == target
    assert (found.fingerprint == digits.fingerprint) is tables  # without CSVs the classes are numbered anew
    assert sorted(path.name for path in target.iterdir()) == sorted(
        ["train", "test"] + ["train.csv", "test.csv"] * tables
    )
    assert uploads.data_sets() == [target]


def test_an_empty_folder_is_taken_and_a_full_one_is_not(tmp_path):
    target = tmp_path / "set"
    target.mkdir()
    uploads.read_data_set(zipped(image_set()), target)
    with pytest.raises(UploadError, match="not empty"):
        uploads.read_data_set(zipped(image_set()), target)
    assert loader.load(target).classes == ("a", "b")


def huge_png(width: int, height: int) -> bytes:
    """A PNG that announces this size and holds next to nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in (header, pixels)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


SETS = {
    "huge picture": (
        {"train/a/x.png": huge_png(60_000, 60_000)},
        "not an image that can be read (Image size (3600000000 pixels) exceeds limit",
    ),
    "wide picture": ({"train/a/x.png": huge_png(2**31 - 1, 1)}, "(2147483647 pixels) exceeds limit"),
    "no picture": ({"train/a/x.png": b"MZ\x90\0 a program"}, "not an image that can be read"),
    "zip in a zip": ({"train/a/x.png": zipped({"a": b"1"}).getvalue()}, "not an image"),
    "jpeg": ({"train/a/x.png": b"\xff\xd8\xff\xe0 JFIF" + bytes(40)}, "not an image"),
    "half a picture": ({"train/a/x.png": png()[:-30]}, "not an image that can be read"),
    "other size": ({"train/a/x.png": png(7)}, "make all images the same size"),
    "program": ({"train/a/run.exe": b"1"}, "not part of a data set"),
    "page": ({"train/a/index.html": b"1"}, "not part of a data set"),
    "svg": ({"train/a/x.svg": b"1"}, "not part of a data set"),
    "inner zip": ({"train/a/x.zip": b"1"}, "not part of a data set"),
    "third split": ({"secret/a/x.png": png()}, "not part of a data set"),
    "only training": (
        {"test/a/a9.png": None, "test/b/b9.png": None},
        "holds train/, but no test/ with a folder for each class",
    ),
    "one csv": ({"train.csv": b"id,name,class\na1,a,0\n"}, "missing beside the other CSV"),
    "long csv": ({"train.csv": b"a,b,1\n" * 100_000, "test.csv": b""}, "far more lines than images"),
    "csv of line ends": ({"train.csv": b"\r" * 100_000, "test.csv": b""}, "far more lines than images"),
    "large picture": ({"train/a/x.png": huge_png(600, 600)}, "600x600 pixels; at most 512"),
}
SETS |= {
    f"csv with {kind}": (
        {"train.csv": f"id,name,class\n{line}\n".encode(), "test.csv": b"id,name,class\na9,a,0\n"},
        reason,
    )
    for kind, line, reason in [
        ("another place", "../../../../etc/passwd,a,0", "cannot be a file name"),
        ("another class", "a1,../b,0", "cannot be a file name"),
        ("html", "<script>alert(1)</script>,a,0", "cannot be a file name"),
        ("more html", "<b>,a,0", "no such file"),
        ("control", "\x1b[2J,a,0", "cannot be a file name"),
        ("a huge number", f"a1,a,{'9' * 500}", "not a whole number"),
    ]
}


@pytest.mark.parametrize("case", SETS)
def test_bad_set(case, runs):
    files, reason = SETS[case]
    archive = zipped({name: content for name, content in image_set(**files).items() if content is not None})
    found = refused_set(archive, runs)
    assert any(part in found for part in reason.split("|")), found


def in_another_layout(layout: str) -> dict[str, bytes]:
    """The images of image_set as others pack them."""
    files = image_set()
    if layout == "backslashes":
        return {name.replace("/", "\\"): content for name, content in files.items()}
    if layout == "flat":
        return {name.partition("/")[2]: content for name, content in files.items()}
    if layout == "around":
        return {f"archive/my set/{name}": content for name, content in files.items()}
    if layout == "with texts":
        return files | {"LICENSE": b"free", "labels.txt": b"a b", "ReadMe.rst": b"x"}
    train, test = layout.split()
    renamed = {name.replace("train/", f"{train}/"): content for name, content in files.items()}
    return {name.replace("test/", f"{test}/"): content for name, content in renamed.items()}


@pytest.mark.parametrize(
    "packed", ["around", "backslashes", "flat", "training testing", "Train Test", "train val", "with texts"]
)
def test_sets_as_others_pack_them(packed, tmp_path):
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        for name, content in in_another_layout(packed).items():
            entry = zipfile.ZipInfo()
            entry.filename = entry.orig_filename = name
            archive.writestr(entry, content)
    found = uploads.read_data_set(stream, tmp_path / "set")
    assert found.classes == ("a", "b")
    assert sorted(len(part.ids) for part in (found.train, found.test)) == [2, 4]
    assert ("drawn for testing, with seed 0" in found.description) == (packed == "flat")


def other_format(ending: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((6, 6), 90, np.uint8)).save(stream, ending)
    return stream.getvalue()


@pytest.mark.parametrize("ending", ["BMP", "gif", "jpeg", "TIFF", "webp"])
def test_sets_in_other_formats(ending, tmp_path):
    files = {name.replace(".png", f".{ending}"): other_format(ending) for name in image_set()}
    assert len(uploads.read_data_set(zipped(files), tmp_path / "set").train.ids) == 4


def packed_arrays(**change) -> bytes:
    images, labels = np.zeros((6, 4, 4), np.uint8), np.array([0, 1] * 3)
    images[:, 1, 1] = range(6)
    content = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels} | change
    np.savez(stream := io.BytesIO(), **content)
    return stream.getvalue()


def test_files_with_many_images(tmp_path, runs):
    found = uploads.read_data_set(zipped({"keras/mnist.npz": packed_arrays()}), tmp_path / "npz")
    assert (found.classes, len(found.train.ids)) == (("0", "1"), 6)
    table = "label," + ",".join(f"pixel{each}" for each in range(16)) + "\n"
    table += "".join(f"{row % 2}," + ",".join(["7"] * 16) + "\n" for row in range(50))
    found = uploads.read_data_set(zipped({"train.csv": table.encode()}), tmp_path / "csv")
    assert (len(found.train.ids), len(found.test.ids)) == (40, 10)
    reason = refused_set(zipped({"x.npz": packed_arrays(x_train=np.array([{}] * 6, dtype=object))}), runs)
    assert "Python objects" in reason


def test_a_bomb_in_packed_arrays(runs, monkeypatch):
    monkeypatch.setattr(uploads, "SET_PIXELS", 11)
    assert "announces" in refused_set(zipped({"x.npz": packed_arrays()}), runs)


def test_a_zip_file_without_a_set_says_what_to_pack(runs):
    assert refused_set(zipped({"a.png": png(), "b.png": png()}), runs).startswith(
        "no data set inside: it holds a.png, but no train/ and test/ with a folder for each class; pack train/CLASS/ID"
    )
    assert refused_set(zipped({"set.zip": b"PK"}), runs) == "set.zip: not part of a data set; unpack it first"


def test_all_pixels_together(runs, monkeypatch):
    monkeypatch.setattr(uploads, "SET_PIXELS", 6 * 36 - 1)
    assert "pixels in all images" in refused_set(zipped(image_set()), runs)


def test_a_compressed_text_in_a_picture(tmp_path):
    """Pillow bounds it; the picture itself is small and whole."""
    text = b"zTXtbomb\0\0" + zlib.compress(bytes(200 * 2**20))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    picture = png()
    bomb = picture[:33] + chunk + picture[33:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    archive = zipped(image_set(**{"train/a/x.png": bomb}))
    reason = refused_set(archive, tmp_path / "runs")
    assert "not an image that can be read" in reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024  # kB; the bomb itself is made here


@pytest.mark.parametrize(
    "name", ["../../evil.zip", "C:\\x\\Größe 7.zip", "", ".zip", "<b>.zip", "a" * 300, "con\0.zip"]
)
def test_folders_for_sets_stay_where_they_belong(name, tmp_path):
    folder = uploads.new_folder(name)
    assert folder.parent == tmp_path / "uploads"
    assert len(folder.name) < 40
    assert folder.name.replace("-", "").isalnum()


# The files of a run


def test_every_needed_file_and_no_other(run, members, runs):
    for name in ("run.json", "last.pt"):
        assert f"{name}: missing" in refused_run(changed(members, name, None), runs)
    assert "epoch_0002.npz cannot be read" in refused_run(changed(members, "embeddings/epoch_0002.npz", None), runs)
    assert "run.json: missing" in refused_run(zipped({"last.pt": members["last.pt"], "x": b""}), runs)
    others = (
        "run.py",
        "notes.txt",
        "embeddings/epoch_2.npz",
        "embeddings/epoch_9999.npz",
        "other/last.pt",
        "last.pt/x",
    )
    made = ("history.csv", "predictions.csv", "mistakes.csv", "projection.npz", "between.pt", "stop.request", "new/x")
    archive = zipped(members | dict.fromkeys((*others, *made), b"<script>"))
    new = store.find(runs, uploads.read_run(archive, runs))
    kept = {path.name for path in run.folder.rglob("*")} - {"latest_step.npz", "label.json"} | {"run.lock"}
    assert {path.name for path in new.folder.rglob("*")} == kept
    assert not any(b"<script>" in path.read_bytes() for path in new.folder.rglob("*.*") if path.is_file())


def test_what_a_run_can_do_without(members, runs):
    few = {name: members[name] for name in ("run.json", "last.pt", "embeddings/epoch_0002.npz")}
    new = store.find(runs, uploads.read_run(zipped(few), runs))
    assert store.steps(new).empty
    assert len(store.history(new)) == 2
    assert len(store.mistakes(new)) == new.result.mistakes


FACTS = {
    "format": [999, 0, 1, -1, "1", None, 1.5, True],
    "status": [None, 3, [], "<b>"],
    "created": ["yesterday", "9026-01-01T00:00:00", 5, None, "2026-13-13", "2999-01-01T00:00:00+09:00"],
    "config": [None, [], {"unknown": 1}, "x"],
    "config.epochs": [10**400, -1, 0, 1, 1.5, "2", None, [], float("nan"), float("inf"), True],
    "config.width": [10**9, {}, 4.5, 16],
    "config.blocks": [[1] * 100, [10**9, 1], "ab", [[1]], {}],
    "config.preset": ["../../x", "<b>", 7, [], None, "x" * 10**5],
    "data": [None, []],
    "data.classes": [["a"], [1, 2, 3, 4], [], None],
    "data.class_numbers": [[0, 1, 7], [0, 1, 7, "9"], [0, 1, 7, 10**30], [0, 1, 7, None], None],
    "data.fingerprint": [None, 7],
    "data.source": [None],
    "data.description": [None, 7],
    "data.train": [-1, 10**12, None, 49, 0],
    "data.test": [0, "24", 23],
    "machine": [None, [], {}, {"precision": "float8"}],
    "machine.threads": [0, 10**9],
    "steps_per_epoch": [0, 2, 4, -3, None, 10**9, 1e999],
    "seconds": ["long", 1e300, -1, float("nan"), float("inf"), 10**400],
    "result": [None, []],
    "error": [None, []],
    "diverged": ["no", 1],
    "notes": ["text", None, [7]],
}


@pytest.mark.parametrize("path", FACTS)
def test_run_json_with_impossible_entries(path, members, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(tmp_path / "none"))  # a set that is known has the last word
    for value in FACTS[path]:
        assert refused_run(facts_with(members, path, value), runs), value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"7",
        b"[" * 100_000,
        b'{"format": ' + b"9" * 10_000 + b"}",
        b"{}",
        b"NaN",
    ],
)
def test_run_json_that_is_none(content, members, runs):
    assert "run.json" in refused_run(changed(members, "run.json", content), runs)


def test_what_is_known_is_not_believed(run, members, runs):
    """The data set says what it is, the history how the run ended, and the clock what time it is."""
    facts = json.loads(members["run.json"])
    data_lies = facts["data"] | {"classes": list("abcd"), "class_numbers": [3, 2, 0, 1], "source": "<b>", "train": 9}
    facts |= {"data": data_lies, "result": facts["result"] | {"test_accuracy": 1.0, "mistakes": 0, "epochs": 1}}
    facts |= {"created": "1971-10-14T00:00:00", "status": "done"}
    new = store.find(runs, uploads.read_run(changed(members, "run.json", json.dumps(facts).encode()), runs))
    assert (new.data, new.result, new.created.year) == (run.data, run.result, 2000)
    archive = changed(members, "run.json", json.dumps(facts | {"status": "stopped", "result": {}}).encode())
    assert store.find(runs, uploads.read_run(archive, runs)).result == run.result


def test_settings_that_do_not_fit_the_images(members, runs):
    assert "neighbours: the set has 48" in refused_run(facts_with(members, "config.neighbours", 200), runs)


def test_a_newer_version_is_named(members, runs):
    assert "newer version of the lab" in refused_run(facts_with(members, "format", store.FORMAT + 1), runs)


class Evil:
    """A pickle that would make a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def pt_with(data_pkl: bytes, **more: bytes) -> bytes:
    """A file like torch.save's with a list of tensors of our own."""
    files = {"archive/data.pkl": data_pkl, "archive/version": b"3\n", "archive/byteorder": b"little"}
    return zipped(
        files | {f"archive/data/{name}": content for name, content in more.items()}, zipfile.ZIP_STORED
    ).getvalue()


@pytest.mark.parametrize("name", ["last.pt", "best.pt"])
def test_code_in_a_checkpoint_is_not_run(name, members, runs, tmp_path):
    evil = tmp_path / "executed"
    saved = io.BytesIO()
    torch.save({"epoch": 2, "steps": 3, "network": {}, "optimiser": Evil(evil)}, saved)
    legacy = io.BytesIO()
    torch.save({"epoch": Evil(evil)}, legacy, _use_new_zipfile_serialization=False)
    for content in (saved.getvalue(), pt_with(pickle.dumps(Evil(evil), 4)), pt_with(pickle.dumps(Evil(evil), 0))):
        reason = refused_run(changed(members, name, content), runs)
        assert f"{name}: holds code" in reason
        assert "it was not run" in reason
    for content in (legacy.getvalue(), pickle.dumps(Evil(evil)), b"", b"x"):
        assert f"{name}: not one of this lab" in refused_run(changed(members, name, content), runs)
    assert not evil.exists()


def test_a_bytearray_of_any_size_is_not_made(members, runs):
    """torch.load(weights_only=True) would."""
    content = pt_with(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85R.")
    assert "holds code (builtins.bytearray)" in refused_run(changed(members, "last.pt", content), runs)


def tensor_pickle(count: int, shape: tuple, stride: tuple, offset: int = 0) -> bytes:
    """The pickle of a float tensor that says its storage has `count` numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", count) if value is marker else None

    class Rebuilt:
        def __reduce__(self):
            from collections import OrderedDict

            return torch._utils._rebuild_tensor_v2, (marker, offset, shape, stride, False, OrderedDict())

    marker = object()
    stream = io.BytesIO()
    Pickler(stream, 2).dump({"epoch": 2, "steps": 3, "network": {"w": Rebuilt()}, "optimiser": {}})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("count", "shape", "stride", "offset"),
    [
        (10**12, (10**12,), (1,), 0),  # a storage larger than the file
        (4, (10**9,), (1,), 0),  # a tensor larger than its storage
        (4, (10**9,), (0,), 0),  # the same number a thousand million times
        (10**12, (4,), (1,), 10**11),  # numbers from somewhere else in the memory
        (4, (4,), (-1,), 0),
        (-4, (4,), (1,), 0),
    ],
)
def test_tensors_that_lie_about_their_size(count, shape, stride, offset, members, runs):
    content = pt_with(tensor_pickle(count, shape, stride, offset), **{"0": bytes(16)})
    assert "last.pt" in refused_run(changed(members, "last.pt", content), runs)


def resaved(members: dict, name: str, change) -> io.BytesIO:
    state = torch.load(io.BytesIO(members[name]), weights_only=True)
    change(state)
    stream = io.BytesIO()
    torch.save(state, stream)
    return changed(members, name, stream.getvalue())


def first(state) -> str:
    return next(iter(state["training"]["network"]))


def weights(state):
    return state["training"]["network"]


def row(state) -> dict:
    return state["progress"]["history"][0]


CHECKPOINTS = {
    "nan": (lambda state: weights(state)[first(state)].fill_(torch.nan), "not a finite number"),
    "infinite": (lambda state: weights(state)[first(state)].fill_(torch.inf), "not a finite number"),
    "nan unused": (lambda state: state.update(more=torch.tensor(torch.nan)), "not a finite number"),
    "shape": (lambda state: weights(state).update({first(state): torch.zeros(3)}), "another network"),
    "no tensor": (lambda state: weights(state).update({first(state): 1.0}), "not one of this lab"),
    "one more": (lambda state: weights(state).update(more=torch.zeros(1)), "another network"),
    "one less": (lambda state: weights(state).pop(first(state)), "another network"),
    "no network": (lambda state: state["training"].pop("network"), "not one of this lab (KeyError)"),
    "list": (lambda state: state["training"].update(network=[1]), "not one of this lab"),
    "no optimiser": (lambda state: state["training"].pop("optimiser"), "not one of this lab (KeyError)"),
    "no training": (lambda state: state.pop("training"), "not one of this lab (KeyError)"),
    "no progress": (lambda state: state.pop("progress"), "not one of this lab (KeyError)"),
    "more progress": (lambda state: state["progress"].update(evil=1), "not one of this lab (TypeError)"),
    "further": (lambda state: state["training"].update(epoch=2), "from another step"),
    "within": (lambda state: state["training"].update(step=1), "from another step"),
    "other accuracy": (lambda state: state["progress"]["history"][1].update(test_accuracy=1.0), "its predictions"),
    "no accuracy": (lambda state: state["progress"]["history"][1].update(test_accuracy=None), "cannot be read"),
    "impossible accuracy": (lambda state: row(state).update(test_accuracy=7.0), "cannot be in a history"),
    "impossible seconds": (lambda state: row(state).update(seconds=1e300), "cannot be in a history"),
    "impossible loss": (lambda state: row(state).update(train_loss=1e30), "cannot be in a history"),
    "negative accuracy": (lambda state: row(state).update(train_accuracy=-0.5), "cannot be in a history"),
    "impossible share": (lambda state: row(state).update(easy=1.5), "cannot be in a history"),
    "impossible distance": (lambda state: row(state).update(positive_distance=21), "cannot be in a history"),
    "negative loss": (lambda state: row(state).update(test_loss=-1), "cannot be in a history"),
    "history": (lambda state: state["progress"].update(history=7), "not one of this lab"),
    "no history": (lambda state: state["progress"].update(history=[]), "without the epochs"),
    "an epoch twice": (lambda state: state["progress"]["history"][1].update(epoch=1), "without the epochs"),
    "a column less": (lambda state: [each.pop("train_loss") for each in state["progress"]["history"]], "no column"),
    "name in history": (lambda state: row(state).update({"<b>": 1}), "cannot be in a history"),
    "text in history": (lambda state: row(state).update(train_loss="=1"), "cannot be in a history"),
    "alarm of no kind": (lambda state: row(state).update(alarm_kind="<b>"), "of no kind"),
    "list in history": (lambda state: row(state).update(train_loss=[1]), "cannot be in a history"),
    "name in pending": (
        lambda state: state["progress"]["steps"].update(pending={"<b>": 1}, pending_counts={"<b>": 1}),
        "cannot be in a history",
    ),
    "pending without counts": (lambda state: state["progress"]["steps"].update(pending={"a": 1}), "do not fit"),
    "name in sums": (
        lambda state: [state["training"][f"diagnostic_{each}"].update({"=1": 1}) for each in ("sums", "counts")],
        "cannot be in a history",
    ),
    "sums without counts": (lambda state: state["training"]["diagnostic_sums"].update({"a": 1}), "do not fit"),
    "no steps": (lambda state: state["progress"].update(steps={}), "not one of this lab (KeyError)"),
    "half an epoch": (lambda state: state["progress"]["history"][1].update(steps=2), "not as far"),
    "optimiser": (lambda state: state["training"].update(optimiser=[1]), "not one of this lab"),
    "groups": (
        lambda state: state["training"]["optimiser"].update(param_groups=[{"params": [0, 10**9]}]),
        "an optimiser that does not fit",
    ),
    "momentum": (
        lambda state: state["training"]["optimiser"]["state"][0].update(momentum_buffer=torch.zeros(2, 2)),
        "does not fit",
    ),
    "momentum nan": (
        lambda state: state["training"]["optimiser"]["state"][0]["momentum_buffer"].fill_(torch.nan),
        "not a finite number",
    ),
    "not finite": (
        lambda state: state["training"]["optimiser"]["param_groups"][0].update(lr=float("nan")),
        "something else",
    ),
    "sparse": (lambda state: state.update(more=torch.eye(2).to_sparse()), "holds code"),
    "a set": (lambda state: state.update(more={1}), "holds code"),
    "deep": (lambda state: state.update(more=nested(50)), "too deep"),
    "laughs": (lambda state: state.update(more=laughs(9)), "too many values"),
    "expanded": (lambda state: state.update(more=torch.zeros(1).expand(10**10)), "tensors of more than"),
}


def nested(depth: int) -> list:
    value = []
    for _ in range(depth):
        value = [value]
    return value


def laughs(depth: int) -> list:
    value = ["ha"] * 10
    for _ in range(depth - 1):
        value = [value] * 10
    return value


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_checkpoint_that_does_not_fit(case, members, runs):
    change, reason = CHECKPOINTS[case]
    assert reason in refused_run(resaved(members, "last.pt", change), runs)


# Numbers that the weights do not give


def forged(members: dict, digits, **changes) -> io.BytesIO:
    """All test images called what they are labelled, and a history to match."""

    def perfect(state):
        state["progress"]["history"][-1]["test_accuracy"] = 1.0

    archive = arrays_of(members, predicted=digits.test.labels, **changes)
    with zipfile.ZipFile(archive) as found:
        names = {name: found.read(name) for name in found.namelist()}
    return resaved(names, "last.pt", perfect)


def test_a_forged_accuracy_is_refused(members, run, runs, digits):
    assert run.result.test_accuracy < 0.95
    said = f"these weights classify {100 * run.result.test_accuracy:.1f} % of the test images correctly, not 100.0 %"
    assert f"last.pt: {said}, as the run says of epoch 2" in refused_run(forged(members, digits), runs)


def test_embeddings_that_do_not_come_from_the_weights_are_refused(members, runs):
    with np.load(io.BytesIO(members["embeddings/epoch_0002.npz"])) as arrays:
        turned = -arrays["train"]
    assert "other predictions or embeddings" in refused_run(arrays_of(members, train=turned), runs)


def test_other_weights_are_refused(members, runs):
    def other(state):
        for each in weights(state).values():
            if each.is_floating_point():
                each.copy_(torch.randn(each.shape).abs())

    assert "these weights classify" in refused_run(resaved(members, "last.pt", other), runs)


def test_a_forged_best_epoch_is_refused(members, runs):
    def better(state):
        row(state)["test_accuracy"] = 1.0

    assert "best.pt: not of the epoch" in refused_run(resaved(members, "last.pt", better), runs)

    def earlier(state):
        state["epoch"] = 1

    both = zipfile.ZipFile(resaved(members, "last.pt", better))
    names = {name: both.read(name) for name in both.namelist()}
    assert "best.pt: these weights classify" in refused_run(resaved(names, "best.pt", earlier), runs)


@pytest.mark.parametrize("epoch", ["1", 0, -1, 10**30, 3, True])
def test_best_weights_of_an_impossible_epoch_are_refused(members, runs, epoch):
    assert "epoch" in refused_run(resaved(members, "best.pt", lambda state: state.update(epoch=epoch)), runs)


@pytest.mark.parametrize(("column", "value"), [("loss", 1e300), ("loss", -1), ("seconds", 1e30), ("spread", 11)])
def test_steps_that_cannot_be_are_refused(members, runs, column, value):
    table = pd.read_csv(io.BytesIO(members["steps.csv"]))
    table[column] = value
    archive = changed(members, "steps.csv", table.to_csv(index=False).encode())
    assert f"steps.csv: a {column} that cannot be" in refused_run(archive, runs)


def test_where_the_images_are_not_known_the_run_is_marked_until_it_was_measured(
    members, runs, digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(write_set(tmp_path / "other", {"a": 0, "b": 1})))
    run = store.find(runs, uploads.read_run(forged(members, digits), runs))
    assert run.unchecked
    assert run.title.endswith(" (imported, unchecked)")
    assert main(["runs", "--runs", str(runs)]) == 0
    assert "100.00%" in (line := capsys.readouterr().out)
    assert "(imported, unchecked)" in line
    page = report.page([run], [digits])
    assert page.count("(imported, unchecked)") == 2  # the title and the heading
    with writing.reopen(run, digits, add_epochs=1) as writer:
        list(experiment.run(writer, digits))
    assert not store.read(run.folder).unchecked


def test_the_best_weights_are_checked_too(members, runs):
    def other(state):
        state["network"].popitem()

    assert "best.pt: weights of another network" in refused_run(resaved(members, "best.pt", other), runs)


def test_weights_are_taken_in_the_precision_of_the_network(run, members, runs):
    def widened(state):
        for held in (state["network"], weights(state)):
            held[first(state)] = held[first(state)].double()
        state["network"] = {"<b>": torch.zeros(3)}  # not read: the training holds them

    new = store.find(runs, uploads.read_run(resaved(members, "last.pt", widened), runs))
    same(store.load_checkpoint(run)["network"], store.load_checkpoint(new)["network"])


def test_a_run_stopped_within_an_epoch(digits, tiny, runs, tmp_path):
    seen = []
    with writing.create(tiny, digits, tmp_path / "old") as writer:
        for event in experiment.run(writer, digits, lambda: "stop" if len(seen) > 4 else None):
            seen.append(event)  # three steps, an epoch, a step
    run, stream = store.read(writer.folder), io.BytesIO()
    uploads.export_run(run, stream)
    new = store.find(runs, uploads.read_run(stream, runs))
    assert (new.status, new.result) == ("stopped", run.result)
    assert new.result.steps < new.steps_per_epoch
    pairs = []
    for each in (run, new):
        with writing.reopen(each, digits) as writer:
            *_, end = experiment.run(writer, digits)
        assert (end.status, end.epochs) == ("done", 2)
        pairs.append((store.load_checkpoint(each)["training"], store.steps(each).drop(columns="seconds")))
    same(pairs[0][0], pairs[1][0])
    pd.testing.assert_frame_equal(pairs[0][1], pairs[1][1])


def test_a_run_that_stopped_early_is_done(digits, tiny, runs, tmp_path):
    config = tiny.changed(validation_share=0.25, patience=1, epochs=9, learning_rate=0.0001, weight_average=0.9)
    with writing.create(config, digits, tmp_path / "old") as writer:
        *_, end = experiment.run(writer, digits)
    assert (end.status, end.epochs < 9) == ("done", True)
    stream = io.BytesIO()
    uploads.export_run(store.read(writer.folder), stream)
    new = store.find(runs, uploads.read_run(stream, runs))
    assert (new.status, new.result) == ("done", store.read(writer.folder).result)
    before, after = (store.load_checkpoint(run) for run in (store.read(writer.folder), new))
    same(before["training"], after["training"])
    same(before["network"], after["network"])


def test_no_random_number_is_drawn_while_a_run_is_taken_in(members, runs):
    """Another thread may be about to draw initial weights."""
    before = torch.get_rng_state()
    uploads.read_run(zipped(members), runs)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "embeddings/epoch_0002.npz"])
def test_a_huge_table_of_contents_inside(name, members, runs):
    reason = refused_run(changed(members, name, many(300_000).getvalue()), runs)
    assert f"{Path(name).name}: its table of contents is too large" in reason


def test_a_deflated_checkpoint_is_refused(members, runs):
    with zipfile.ZipFile(io.BytesIO(members["last.pt"])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert "not packed as the lab packs" in refused_run(changed(members, "last.pt", zipped(files).getvalue()), runs)


def arrays_of(members: dict, **changes) -> io.BytesIO:
    with np.load(io.BytesIO(members["embeddings/epoch_0002.npz"])) as arrays:
        found = dict(arrays) | changes
    stream = io.BytesIO()
    np.savez(stream, **{name: value for name, value in found.items() if value is not None})
    return changed(members, "embeddings/epoch_0002.npz", stream.getvalue())


def spoilt(members: dict, name: str, value) -> io.BytesIO:
    with np.load(io.BytesIO(members["embeddings/epoch_0002.npz"])) as arrays:
        array = arrays[name].copy()
    array.flat[0] = value
    return arrays_of(members, **{name: array})


def test_embeddings_that_cannot_be(members, runs, tmp_path):
    evil = tmp_path / "executed"
    objects = np.array([Evil(evil)], dtype=object)
    deflated = io.BytesIO()
    np.savez_compressed(deflated, train=np.zeros((48, 8), np.float16))
    cases = [
        (arrays_of(members, train=objects), "Object arrays cannot be loaded"),
        (arrays_of(members, scores=None), "scores"),
        (arrays_of(members, test=np.zeros((24, 9), np.float16)), "not those of the training images"),
        (arrays_of(members, train=np.ones((48, 9)), test=np.ones((24, 9))), "cannot have made"),
        (arrays_of(members, train=np.full((48, 8), "x")), "cannot be read"),
        (spoilt(members, "train", np.nan), "infinite numbers"),
        (spoilt(members, "scores", np.inf), "infinite numbers"),
        (spoilt(members, "train", 60), "cannot have made"),
        (spoilt(members, "predicted", 4), "predicts a class that is none"),
        (spoilt(members, "predicted", -1), "predicts a class that is none"),
        (
            changed(members, "embeddings/epoch_0001.npz", pickle.dumps(Evil(evil))),
            "epoch_0001.npz: not one of this lab",
        ),
        (changed(members, "embeddings/epoch_0001.npz", b""), "epoch_0001.npz: not one of this lab"),
        (changed(members, "embeddings/epoch_0001.npz", deflated.getvalue()), "not packed as the lab packs"),
    ]
    for archive, reason in cases:
        assert reason in refused_run(archive, runs)
    new = store.find(runs, uploads.read_run(arrays_of(members, more=objects), runs))
    with np.load(new.folder / "embeddings" / "epoch_0002.npz") as arrays:
        assert sorted(arrays) == ["predicted", "scores", "test", "train"]
    assert not evil.exists()


def test_an_array_that_announces_a_terabyte(members, runs):
    header = b"{'descr': '<f2', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    huge = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(io.BytesIO(members["embeddings/epoch_0002.npz"])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    content = zipped(files | {"train.npy": huge}, zipfile.ZIP_STORED).getvalue()
    assert "epoch_0002.npz cannot be read" in refused_run(changed(members, "embeddings/epoch_0002.npz", content), runs)


def rewritten(members: dict, name: str, old: str, new: str) -> io.BytesIO:
    text = members[name].decode()
    assert old in text
    return changed(members, name, text.replace(old, new, 1).encode())


STEPS = {
    "not a number": (b"epoch,step,seconds,loss\n1,1,1,NaN\n", "makes no sense"),
    "infinite": (b"epoch,step,seconds,loss\n1,1,1e999,1\n", "makes no sense"),
    "a formula": (b"epoch,step,seconds,loss\n1,1,1,=cmd\n", "makes no sense"),
    "html": (b"epoch,step,seconds,loss\n1,1,1,<img>\n", "makes no sense"),
    "a line too long": (b"epoch,step,seconds,loss\n1,1,1,1,7\n", "has 5 values instead of 4"),
    "a column less": (b"epoch,step,seconds\n1,1,1\n", "no column loss"),
    "no names": (b"," * 1000 + b"\n1\n", "cannot be read"),
    "html for a name": (b"epoch,step,seconds,loss,<b>\n1,1,1,1,1\n", "outside the epochs"),
    "epochs below": (b"epoch,step,seconds,loss\n0,1,1,1\n", "outside the epochs"),
    "epochs above": (b"epoch,step,seconds,loss\n3,1,1,1\n", "outside the epochs"),
    "steps below": (b"epoch,step,seconds,loss\n1,-99,1,1\n", "outside the epochs"),
    "steps above": (b"epoch,step,seconds,loss\n1,4,1,1\n", "outside the epochs"),
    "other bytes": (b"\xff\xfe\n", "cannot be read"),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_curve_that_cannot_be(case, members, runs):
    content, reason = STEPS[case]
    assert reason in refused_run(changed(members, "steps.csv", content), runs)


def test_no_exception_but_a_refusal_for_damaged_bytes(members, runs):
    """A bit turned or a stretch cut out anywhere, in the zip file and in each member."""
    draw = np.random.default_rng(5)

    def damaged(content: bytes) -> bytes:
        at = int(draw.integers(len(content)))
        if draw.random() < 0.3:
            return content[:at] + content[at + int(draw.integers(1, 100)) :]
        return content[:at] + bytes([content[at] ^ (1 << int(draw.integers(8)))]) + content[at + 1 :]

    whole = zipped(members, zipfile.ZIP_STORED).getvalue()
    tries = [io.BytesIO(damaged(whole)) for _ in range(60)]
    for name in members:
        tries += [changed(members, name, damaged(members[name])) for _ in range(4)]
    taken, reasons = 0, []
    for archive in tries:
        try:
            uploads.read_run(archive, runs)
            taken += 1
        except UploadError as error:
            reasons.append(str(error))
    assert all(map(str.isprintable, reasons))
    assert len(list(runs.iterdir())) == taken
    assert all(run.config and run.result for run in store.list_runs(runs))


# The command line


def test_export_and_import_on_the_command_line(run, digits, tmp_path, runs, capsys):
    out = tmp_path / "run.zip"
    assert main(["export", run.id, "--runs", str(run.folder.parent), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": run.id, "kind": "run", "file": str(out)}
    assert main(["import", str(out), "--runs", str(runs), "--json"]) == 0
    new = json.loads(capsys.readouterr().out)["run"]
    assert store.find(runs, new).result == run.result

    images = tmp_path / "images.zip"
    images.write_bytes(zipped(image_set()).getvalue())
    assert main(["import", str(images), "--data", str(tmp_path / "new"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts.pop("notes")[-1].startswith("Of 2 test images 2 are blank")
    assert facts == {
        "source": "folder",
        "fingerprint": loader.load(tmp_path / "new").fingerprint,
        "classes": 2,
        "train": 4,
        "test": 2,
    }
    for arguments in (
        ["import", str(images), "--runs", str(runs)],
        ["import", str(out), "--data", str(tmp_path / "other")],
        ["import", str(images), "--data", str(tmp_path / "new")],
        ["import", str(tmp_path / "none.zip")],
        ["export", "nowhere", "--runs", str(runs)],
        ["export", new, "--runs", str(runs), "--out", str(tmp_path / "no" / "folder.zip")],
    ):
        assert main(arguments) == 1
        text = capsys.readouterr()
        assert (text.out, text.err.count("\n"), text.err[:7]) == ("", 1, "error: ")
    assert not (tmp_path / "other").exists()
    assert main(["import"]) == 2


def test_checks_stay_small(members, tmp_path):
    """A process of its own refuses a bomb of each kind and grows by less than 100 MB."""
    bombs = [ZIPS[case][0]() for case in ("bomb", "overlapping", "100,000 members", "a million members")]
    bombs.append(zipped(image_set(**{"train/a/x.png": huge_png(30_000, 30_000)})))
    for number, bomb in enumerate(bombs):
        (tmp_path / f"{number}.zip").write_bytes(bomb.getvalue())
    code = f"""
import resource
from pathlib import Path
from types import SimpleNamespace
from core.exchange import measuring, report, uploads
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range({len(bombs)}):
    try:
        uploads.read_data_set(Path({str(tmp_path)!r}) / f"{{number}}.zip", Path({str(tmp_path)!r}) / "set")
    except uploads.UploadError:
        continue
    raise SystemExit(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 1024  # kB

"""Preparation that breaks off at any moment, twice at once, or over a folder that holds something."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image

from core import places
from core.dataset import loader, sources
from tests.core.folders import error_of, write_png, write_set

ROOT = Path(__file__).parents[3]
COMPLETE = ["source.json", "test", "test.csv", "train", "train.csv"]


def pieces_below(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != ".lock")


def test_preparation_that_broke_off_while_writing_is_repeated(small, tmp_path):
    target = tmp_path / "set"
    write_png(target / ".preparing" / "train" / "old" / "half.png", np.zeros((2, 2), np.uint8))
    assert "an empty folder" in error_of(loader.load, target)
    assert sources.prepare(target, small).fingerprint == loader.load(small).fingerprint
    assert pieces_below(target) == COMPLETE
    assert not (target / "train" / "old").exists()


@pytest.mark.parametrize("moved", range(6))
def test_preparation_killed_while_moving_is_finished(small, tmp_path, moved):
    """Killed by a signal, so that no handler of ours can tidy up, after each of the five moves."""
    target = tmp_path / "set"
    code = f"""
import os, signal
from core.dataset import sources
replace, left = os.replace, [{moved}]
def replace_or_die(source, target):
    if str(target).startswith({str(target)!r}) and not str(target).endswith(".prepared"):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
    replace(source, target)
os.replace = replace_or_die
sources.prepare({str(target)!r}, {str(small)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    if moved < 5:
        assert done.returncode == -9
        assert not loader.exists(target)
        assert "the data set is unfinished" in error_of(loader.load, target)
        assert pieces_below(target) != COMPLETE
    assert sources.prepare(target).fingerprint == loader.load(small).fingerprint
    assert pieces_below(target) == COMPLETE


def test_images_of_the_user_beside_a_broken_preparation_are_theirs(small):
    (small / ".preparing" / "train").mkdir(parents=True)
    before = loader.load(small).fingerprint
    assert sources.prepare(small).fingerprint == before
    with pytest.raises(loader.DataError, match="holds a data set already"):
        sources.prepare(small, "digits")
    assert loader.load(small).fingerprint == before


@pytest.mark.parametrize("name", ["train/mine/1.png", "test/mine/1.png", "train.csv", "test.csv"])
def test_images_of_the_user_in_the_way_of_a_finished_preparation_stay(small, tmp_path, name):
    target = write_set(tmp_path / "set" / ".prepared", {"c": 0}).parent
    (target / ".prepared" / "source.json").write_text(
        json.dumps({"source": "digits", "description": "", "fingerprint": ""})
    )
    mine = target / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_bytes(b"mine")
    message = error_of(sources.prepare, target, small)
    assert message.startswith(f"{target / name.split('/')[0]}: in the way")
    assert f"remove it, or remove {target / '.prepared'}" in message
    assert mine.read_bytes() == b"mine"
    if mine.parent == target:
        mine.unlink()
    else:
        shutil.rmtree(mine.parent.parent)
    assert sources.prepare(target).classes == ("c",)  # as the message says
    assert pieces_below(target) == COMPLETE


def test_images_that_arrive_during_the_preparation_stay(small, tmp_path):
    target = tmp_path / "set"

    def progress(line):
        write_png(target / "train" / "mine" / "1.png", np.full((2, 2), 7, np.uint8))

    assert "in the way" in error_of(sources.prepare, target, small, progress)
    assert (target / "train" / "mine" / "1.png").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_while_writing_leaves_nothing(small, tmp_path, monkeypatch, error):
    save, calls = Image.Image.save, []

    def save_four(*arguments, **options):
        calls.append(1)
        if len(calls) > 4:
            raise error
        save(*arguments, **options)

    target = tmp_path / "set"
    loader.load(small)
    monkeypatch.setattr(Image.Image, "save", save_four)
    if isinstance(error, OSError):
        expected = f"{target}: the data set cannot be written (No space left on device)"
        assert error_of(sources.prepare, target, small).startswith(expected)
    else:
        with pytest.raises(KeyboardInterrupt):
            sources.prepare(target, small)
    assert pieces_below(target) == []
    assert not loader.exists(target)


def test_folder_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").touch()
    assert "file: a file, not a folder" in error_of(sources.prepare, tmp_path / "file", small)
    target = tmp_path / "file" / "below"
    message = error_of(sources.prepare, target, small)
    assert message.startswith(f"{target}: the data set cannot be written")
    assert "--data" in message


FOREIGN = ["cats/1.png", "mnist.npz", "notes.txt", "train-images-idx3-ubyte", "0/a/b/c.png", ".hidden"]


@pytest.mark.parametrize("source", [None, "auto", "digits", "mnist"])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_that_holds_anything_is_never_written_into(tmp_path, name, source):
    target = tmp_path / "mine"
    (target / name).parent.mkdir(parents=True)
    (target / name).write_bytes(b"mine")
    error_of(sources.prepare, target, source)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [target / name]


def test_without_a_source_nothing_is_made_in_a_folder_of_the_user(tmp_path):
    assert error_of(sources.prepare, tmp_path / "sett").startswith(f"{tmp_path / 'sett'}: no such folder; ")
    assert "an empty folder; " in error_of(sources.prepare, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_own_folder_is_filled_beside_its_page(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "own_data_folder", lambda: tmp_path)
    monkeypatch.setattr(sources, "DOWNLOAD", "print('no network'); exit(1)")
    (tmp_path / "README.md").write_text("stays")
    assert sources.prepare(tmp_path).source == "digits"
    assert pieces_below(tmp_path) == ["README.md", *COMPLETE]


def test_two_preparations_at_once(small, tmp_path):
    target = tmp_path / "set"
    lines, fingerprints = [], []

    def prepare():
        fingerprints.append(sources.prepare(target, small, lines.append).fingerprint)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 1
    assert fingerprints == [loader.load(small).fingerprint] * 4


def test_lock_that_stays_taken(small, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LOCK_SECONDS", 0.1)
    target = tmp_path / "set"
    target.mkdir()
    with filelock.FileLock(target / ".lock"):
        caught = []
        thread = threading.Thread(target=lambda: caught.append(error_of(sources.prepare, target, small)))
        thread.start()
        thread.join()
    assert "another process" in caught[0]

"""Preparation: every source, a download that fails or hangs, and crashes at any moment."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image

from core import places
from core.dataset import loader, sources
from tests.core.folders import error_of, idx, read_csv, write_idx, write_png, write_set

ROOT = Path(__file__).parents[3]
COMPLETE = ["source.json", "test", "test.csv", "train", "train.csv"]


def pieces_below(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != ".lock")


@pytest.fixture
def small(tmp_path) -> Path:
    return write_set(tmp_path / "small", {"a": 0, "b": 1})


@pytest.fixture(scope="module")
def scikit_digits(tmp_path_factory) -> loader.DataSet:
    return sources.prepare(tmp_path_factory.mktemp("digits"), "digits")


def check_idx_set(loaded: loader.DataSet, pool):
    assert (loaded.classes, loaded.class_numbers) == (("2", "5", "7"), (2, 5, 7))
    assert loaded.source == "mnist"
    for split, part, each in (("train", loaded.train, 4), ("test", loaded.test, 2)):
        assert part.labels.tolist() == sorted([0, 1, 2] * each)
        images, labels = pool[split]
        for image, label, image_id in zip(part.images, part.labels, part.ids, strict=True):
            position = int(image_id.removeprefix(f"mnist_{split}_"))
            np.testing.assert_array_equal(image, images[position])
            assert labels[position] == loaded.class_numbers[label]
    facts = json.loads((loaded.folder / "source.json").read_text())
    assert facts["chosen"] == {"seed": sources.SEED, "train_per_class": 4, "test_per_class": 2}
    assert facts["fingerprint"] == loaded.fingerprint


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, dot, packed):
    pool = write_idx(tmp_path / "idx", dot, packed)
    loaded = sources.prepare(tmp_path / "set", tmp_path / "idx")
    check_idx_set(loaded, pool)
    assert sources.prepare(tmp_path / "again", str(tmp_path / "idx")).fingerprint == loaded.fingerprint


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        ("t10k-images-idx3-ubyte", Path.unlink, "missing"),
        ("t10k-images-idx3-ubyte", cut, "bytes where"),
        ("train-images-idx3-ubyte", lambda path: path.write_bytes(b"\0\0\x08\x03\0"), "does not begin like"),
        ("train-labels-idx1-ubyte", lambda path: path.write_bytes(b"<html>not found"), "does not begin like"),
    ],
)
def test_damaged_idx_file(tmp_path, name, damage, expected):
    write_idx(tmp_path / "idx")
    damage(tmp_path / "idx" / name)
    message = error_of(sources.prepare, tmp_path / "set", tmp_path / "idx")
    assert message.startswith(f"{tmp_path / 'idx' / name}: ")
    assert expected in message
    assert not loader.exists(tmp_path / "set")


def test_damaged_packed_idx_file(tmp_path):
    write_idx(tmp_path, packed=True)
    for content in (b"hello", (tmp_path / "train-images-idx3-ubyte.gz").read_bytes()[:-9]):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
        message = error_of(sources.prepare, tmp_path / "set", tmp_path)
        assert message.startswith(f"{tmp_path / 'train-images-idx3-ubyte.gz'}: cannot be read")


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("train-labels-idx1-ubyte", np.zeros(3, np.uint8), "with 3 labels"),
        ("train-images-idx3-ubyte", np.zeros((19, 4, 0), np.uint8), "of 0x4 pixels"),
        ("train-images-idx3-ubyte", np.zeros((19, 1, 513), np.uint8), "of 513x1 pixels"),
        ("train-images-idx3-ubyte", np.zeros((19, 4, 4), np.uint8), "differ in image size"),
        ("t10k-labels-idx1-ubyte", np.full(10, 2, np.uint8), "differ in image size or classes"),
    ],
)
def test_idx_files_that_do_not_fit_together(tmp_path, name, array, expected):
    write_idx(tmp_path / "idx")
    (tmp_path / "idx" / name).write_bytes(idx(array))
    message = error_of(sources.prepare, tmp_path / "set", tmp_path / "idx")
    assert message.startswith(str(tmp_path / "idx"))
    assert expected in message


def test_digits(scikit_digits):
    assert scikit_digits.source == "digits"
    assert scikit_digits.classes == tuple("0123456789")
    assert scikit_digits.train.images.shape == (1160, 28, 28)
    assert np.bincount(scikit_digits.train.labels).tolist() == [116] * 10
    assert np.bincount(scikit_digits.test.labels).tolist() == [58] * 10
    train, test = (
        {image_id.rpartition("_")[2] for image_id in part.ids} for part in (scikit_digits.train, scikit_digits.test)
    )
    assert len(train) == 1160
    assert not train & test
    assert scikit_digits.train.ids[0].startswith("digits_train_")
    assert scikit_digits.train.images.max() > 250
    assert scikit_digits.train.files[0] == scikit_digits.folder / "train" / "0" / f"{scikit_digits.train.ids[0]}.png"
    assert sorted(os.listdir(scikit_digits.folder)) == [
        ".lock",
        "source.json",
        "test",
        "test.csv",
        "train",
        "train.csv",
    ]
    assert "digits" in scikit_digits.description
    # written down so that no change of the drawing goes unnoticed: it would end the comparison with older runs
    assert scikit_digits.fingerprint.startswith("c7896dc751977353")


def test_a_set_that_is_there_is_loaded(scikit_digits, tmp_path):
    for source in ("auto", "digits", scikit_digits.folder):
        assert sources.prepare(scikit_digits.folder, source) is scikit_digits
    assert loader.exists(scikit_digits.folder)
    write_set(tmp_path, {"a": 0})
    for source in ("mnist", tmp_path):
        message = error_of(sources.prepare, scikit_digits.folder, source)
        assert message.startswith(f"{scikit_digits.folder}: holds a data set already")
        assert "--data" in message
    assert "holds a data set already" in error_of(sources.prepare, tmp_path, "digits")


def test_copy_of_a_folder(small, tmp_path):
    for name in ("train.csv", "test.csv"):
        (small / name).unlink()
    target = tmp_path / "copy"
    target.mkdir()
    lines = []
    copy = sources.prepare(target, small, lines.append)
    assert copy.fingerprint == loader.load(small).fingerprint
    assert copy.train.files[0] == target / "train" / "a" / "train_a_0.png"
    assert read_csv(target / "test.csv") == [
        [f"test_{name}_{index}", name, number] for name, number in (("a", "0"), ("b", "1")) for index in range(2)
    ]
    assert copy.source == "folder"
    assert str(small) in copy.description
    assert lines == [f"Writing 6 training and 4 test images to {target} …"]
    assert sources.prepare(target, small) is copy
    write_png(target / "train" / "a" / "train_a_0.png", np.zeros((6, 5), np.uint8))
    assert loader.load(target).description.endswith("changed since it was prepared")


def test_path_that_is_no_source(tmp_path):
    for path in (tmp_path, tmp_path / "minst"):
        message = error_of(sources.prepare, tmp_path / "set", path)
        assert message.startswith(f"{path}: not a source")
    assert not loader.exists(tmp_path / "set")


def test_download(tmp_path, monkeypatch):
    pool = write_idx(tmp_path / "server")
    script = f"import sys, shutil; shutil.copytree({str(tmp_path / 'server')!r}, sys.argv[1] + '/MNIST/raw')"
    monkeypatch.setattr(sources, "DOWNLOAD", script)
    lines = []
    check_idx_set(sources.prepare(tmp_path / "set", "auto", lines.append), pool)
    assert len(lines) == 2
    assert sources.prepare(tmp_path / "set", "mnist").description.startswith("MNIST, a balanced subset of 12 training")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('Tried x, got:\\n<urlopen error [Errno -2] Name not known>\\n'); exit(1)", "(Name not known)"),
        ("print('ready'); raise SystemError", "(it broke off)"),
        # a name look-up that hangs, and a transfer that stops after its beginning
        ("import time; print('ready', flush=True); time.sleep(60)", "(nothing arrived for 0.5 seconds)"),
        (
            "import sys, time; print('ready', flush=True); open(sys.argv[1] + '/part', 'w').write('x' * 99); "
            "time.sleep(60)",
            "(nothing arrived for 0.5 seconds)",
        ),
        # slow imports are no silence, a trickle is none either; both end at the overall limit
        ("import time; time.sleep(60)", "(not finished after 2 seconds)"),
        (
            "import sys, time; print('ready', flush=True); file = open(sys.argv[1] + '/part', 'w')\n"
            "while True: file.write('x'); file.flush(); time.sleep(0.05)",
            "(not finished after 2 seconds)",
        ),
    ],
    ids=["refused", "broken", "silent", "stalled", "importing", "trickle"],
)
def test_download_that_fails(tmp_path, monkeypatch, script, reason, capfd):
    children = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            children.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(sources, "DOWNLOAD", script)
    monkeypatch.setattr(sources, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(sources, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 2 if "finished" in reason else 60)
    started = time.monotonic()
    message = error_of(sources.prepare, tmp_path, "mnist")
    assert time.monotonic() - started < 20
    assert message.startswith(f"MNIST could not be downloaded {reason}; ")
    assert os.listdir(tmp_path) == [".lock"]
    assert capfd.readouterr() == ("", "")
    assert [child.returncode is not None for child in children] == [True]  # ended and waited for


def test_interrupt_during_the_download_ends_its_process(tmp_path, monkeypatch):
    children = []

    class Popen(subprocess.Popen):
        def wait(self, timeout=None):
            children.append(self)
            if timeout == sources.POLL_SECONDS:
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(sources, "DOWNLOAD", "import time; time.sleep(60)")
    with pytest.raises(KeyboardInterrupt):
        sources.prepare(tmp_path, "mnist")
    assert children[0].returncode is not None
    assert os.listdir(tmp_path) == [".lock"]


def test_script_of_the_download_names_its_error(tmp_path):
    """With a module in place of torchvision, because a test must not need the network, nor use it."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    (tmp_path / "torchvision" / "datasets.py").write_text(
        textwrap.dedent("""
            import socket
            def MNIST(folder, download):
                raise RuntimeError(f"{folder} {download} {socket.getdefaulttimeout()}")
        """)
    )
    command = [sys.executable, "-c", sources.DOWNLOAD, "somewhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "ready\nsomewhere True 5.0\n", "")


def test_auto_takes_digits_if_the_download_fails(tmp_path, monkeypatch, scikit_digits):
    monkeypatch.setattr(sources, "DOWNLOAD", "print('no network'); exit(1)")
    lines = []
    assert sources.prepare(tmp_path, "auto", lines.append).fingerprint == scikit_digits.fingerprint
    assert lines[0] == "Downloading MNIST …"
    assert lines[1].startswith("MNIST could not be downloaded (no network)")
    assert "scikit-learn" in lines[2]
    assert len(lines) == 4


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

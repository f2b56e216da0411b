"""Where a set may come from: IDX files, folders, a download that fails or hangs, scikit-learn's digits."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from core.dataset import loader, sources
from tests.core.folders import error_of, idx, read_csv, write_idx, write_png, write_set


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

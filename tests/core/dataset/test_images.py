"""Pixels read in this process and on all cores: the same, and the same reason for what cannot be read."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.dataset import images, loader
from tests.core.folders import RNG, error_of, write_png


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Nine images of different pixels."""
    found = [tmp_path / f"{number} ä.png" for number in range(9)]
    for file in found:
        write_png(file, RNG.integers(0, 256, (6, 5), np.uint8))
    return found


@pytest.fixture(params=[1, 4], ids=["one process", "four more"])
def cores(request, monkeypatch) -> int:
    """As if there were many files and so many cores."""
    monkeypatch.setattr(images, "MANY", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: request.param)
    return request.param


def test_pixels_and_progress(files, cores):
    calls = []
    read = images.read_all(files, lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(read, np.stack([np.asarray(Image.open(file)) for file in files]))
    assert calls == sorted(calls)
    assert calls[-1] == (9, 9)


def test_few_images_start_no_process(files, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert len(images.read_all(files)) == 9


def test_relative_names(files, cores, monkeypatch):
    monkeypatch.chdir(files[0].parent)
    assert images.read_all([Path(file.name) for file in files]).shape == (9, 6, 5)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_text("hello"), "not a PNG image"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: write_png(path, np.zeros((5, 6), np.uint8)), "6x5 pixels, but"),
    ],
)
def test_the_first_bad_file_is_named(files, cores, damage, expected):
    for number in (3, 4, 8):
        damage(files[number])
    message = error_of(images.read_all, files)
    assert message.startswith(str(files[3]))
    assert expected in message


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false", "/bin/true"])
def test_processes_that_fail_are_done_without(files, cores, monkeypatch, program):
    monkeypatch.setattr("sys.executable", program)
    expected = np.stack([np.asarray(Image.open(file)) for file in files])
    np.testing.assert_array_equal(images.read_all(files), expected)


def test_a_stop_from_the_caller_ends_the_processes(files, cores, monkeypatch):
    started = []
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(begin(*a, **k)) or started[-1])

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        images.read_all(files, stop)
    assert len(started) == (0 if cores == 1 else cores)
    assert all(process.returncode is not None for process in started)


def test_a_set_on_all_cores(files, tmp_path, cores):
    for split in loader.SPLITS:
        for number, file in enumerate(files):
            write_png(tmp_path / "set" / split / f"{number % 3}" / file.name, np.full((3, 3), number, np.uint8))
    loaded = loader.read(tmp_path / "set")
    assert loaded.train.images[:, 0, 0].tolist() == loaded.test.images[:, 0, 0].tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]

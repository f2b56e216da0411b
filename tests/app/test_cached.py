"""What is kept in memory for all sessions."""

import shutil
import time

import pytest
from PIL import Image

from app import cached
from core.dataset.loader import DataError


@pytest.fixture(autouse=True)
def forgotten():
    cached.data_set.clear()
    yield
    cached.data_set.clear()


def test_a_set_is_one_object_for_all_and_a_change_of_its_files_is_seen_soon(digits, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(digits.folder, folder)
    first = cached.data_set(folder)
    assert cached.data_set(folder) is first
    image = next((folder / "train").rglob("*.png"))
    Image.new("L", (28, 28), 200).save(image)
    end = time.monotonic() + 30
    while cached.data_set(folder).fingerprint == first.fingerprint:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_set_that_cannot_be_read_is_looked_at_anew_each_time(digits, tmp_path):
    with pytest.raises(DataError):
        cached.data_set(tmp_path / "set")
    shutil.copytree(digits.folder, tmp_path / "set")
    assert cached.data_set(tmp_path / "set").fingerprint == digits.fingerprint

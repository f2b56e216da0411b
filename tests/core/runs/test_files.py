"""Files are replaced whole or not at all, whatever happens in between."""

import os

import pytest

from core.runs.files import StoreError, replacing


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_failed_writing_leaves_the_old_file(tmp_path, error):
    file = tmp_path / "run.json"
    file.write_text("old")
    expected = StoreError if isinstance(error, OSError) else type(error)

    def write():
        with replacing(file) as stream:
            stream.write(b"half of the n")
            stream.flush()
            raise error

    with pytest.raises(expected) as caught:
        write()
    if expected is StoreError:
        assert str(caught.value).startswith(f"{file} cannot be written (No space left on device)")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.json"]


def test_the_new_file_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    """So that after a power cut there is the old or the new file, never an empty one."""
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("rename"), replace(*paths)))
    with replacing(tmp_path / "file") as stream:
        stream.write(b"new")
    assert calls[:2] == ["sync", "rename"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_replacing_below_a_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"), replacing(tmp_path / "file" / "run.json"):
        pass

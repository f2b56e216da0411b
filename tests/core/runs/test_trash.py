"""Deleted runs: kept, brought back, and gone for good in time."""

import os
import time

import pytest

from core.runs import store, trash, writing
from core.runs.files import StoreError


@pytest.fixture
def three(tiny, digits, tmp_path):
    """The names of three runs in the trash, thrown away 15, 2 and 1 days ago; and the folder of runs."""
    names = []
    for days in (15, 2, 1):
        writer = writing.create(tiny, digits, tmp_path)
        writer.close()
        store.throw_away(writer.folder)
        names.append(writer.id)
        os.utime(tmp_path / ".trash" / writer.id / ".thrown", (time.time() - days * 86400,) * 2)
    return names, tmp_path


def names(runs) -> list[str]:
    return [one.name for one in trash.thrown(runs)]


def test_a_run_is_brought_back_whole(tiny, digits, tmp_path):
    writing.create(tiny, digits, tmp_path, "mine", owner="Anna").close()
    (run,) = store.list_runs(tmp_path)
    before = {file.name: file.read_bytes() for file in run.folder.iterdir()}
    store.throw_away(run.folder)
    assert store.list_runs(tmp_path) == []
    (thrown,) = trash.thrown(tmp_path)
    assert (thrown.name, thrown.days_left) == (run.id, trash.DAYS)
    trash.bring_back(thrown)
    assert store.list_runs(tmp_path) == [run]
    assert {file.name: file.read_bytes() for file in run.folder.iterdir()} == before
    assert names(tmp_path) == []


def test_a_run_in_training_is_not_thrown_away(tiny, digits, tmp_path):
    writer = writing.create(tiny, digits, tmp_path)
    with pytest.raises(StoreError, match="another process"):
        store.throw_away(writer.folder)
    writer.close()
    assert len(store.list_runs(tmp_path)) == 1
    assert not (writer.folder / ".thrown").exists()


def test_a_damaged_run_goes_there_as_well_and_from_there_for_good(tmp_path):
    folder = tmp_path / "20260101-000000-broken-0000"
    folder.mkdir()
    (folder / "run.json").write_text("{")
    store.throw_away(folder)
    (one,) = trash.thrown(tmp_path)
    assert one.name == folder.name
    trash.empty(one)
    assert not list((tmp_path / ".trash").iterdir())


def test_after_two_weeks_it_is_gone(three):
    made, runs = three
    trash.tidy(runs)
    assert names(runs) == [made[2], made[1]]


def test_a_short_disk_takes_the_oldest_and_no_more_than_it_needs(three, monkeypatch):
    made, runs = three
    left = iter([trash.LEAST_FREE - 1, trash.LEAST_FREE])  # the first of the three is too old anyway
    monkeypatch.setattr(trash, "free", lambda folder: next(left))
    trash.tidy(runs)
    assert names(runs) == [made[2]]


def test_nothing_is_written_over(three):
    _, runs = three
    one = trash.thrown(runs)[0]
    (runs / one.name).mkdir()
    with pytest.raises(StoreError, match=f"another {one.name} now"):
        trash.bring_back(one)
    assert one.name in names(runs)


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path):
    assert trash.free(tmp_path / "a" / "b") == pytest.approx(trash.free(tmp_path), rel=0.1)

"""A run's folder as it is read: a status that is true, tables, arrays and weights, its name, requests to its writer."""

import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core.dataset.loader import DataError
from core.runs import numbering, store, writing
from core.runs.files import StoreError
from tests.core.conftest import some_embedded, step

ROOT = Path(__file__).parents[3]


# Runs and their status


def test_newest_first(tiny, digits, runs):
    writers = [writing.create(tiny, digits, runs) for _ in range(3)]
    for made, created in zip(writers, (datetime(2026, 1, 2), datetime(2026, 1, 3), datetime(2026, 1, 1)), strict=True):
        made.update(created=created, number=0)  # as runs had none before
    order = [writers[1].id, writers[0].id, writers[2].id]
    assert [run.id for run in store.list_runs(runs)] == order
    assert store.find(runs, "latest").id == order[0]
    for made in writers:
        made.close()


@pytest.mark.parametrize("name", ["../secret", "..", ".", "", "a/b", "/etc", "a\\b", "nowhere", "-x", "x" * 81])
def test_ids_that_are_none(runs, tmp_path, writer, name):
    for folder in (tmp_path / "secret", runs / "a" / "b", runs / "-x"):
        folder.mkdir(parents=True)
        shutil.copy(writer.folder / "run.json", folder)
    with pytest.raises(StoreError, match="there is no run"):
        store.find(runs, name)


def test_a_clock_that_was_set_back_does_not_change_which_run_is_the_latest(tiny, digits, runs, monkeypatch):
    def begun(moment: str) -> str:
        class Clock(writing.datetime):
            @classmethod
            def now(cls, zone=None):
                return cls.fromisoformat(moment)

        monkeypatch.setattr(writing, "datetime", Clock)
        writer = writing.create(tiny, digits, runs)
        writer.close()
        return writer.id

    ids = [begun(moment) for moment in ("2026-11-27T10:00", "2026-11-26T09:00", "2026-11-26T09:00")]
    assert [run.id for run in store.list_runs(runs)] == ids[::-1]
    assert store.find(runs, "latest").id == ids[-1]
    assert [store.find(runs, each).number for each in ids] == [1, 2, 3]
    for number, after in ((-5, 4), ("x", 4), (10**30, 4), (None, 4), (7, 8)):
        file = runs / ids[0] / "run.json"
        facts = json.loads(file.read_text()) | {"number": number}
        file.write_text(json.dumps(facts))
        assert numbering.next_number(runs) == after


def test_no_runs(runs):
    assert store.list_runs(runs) == []
    with pytest.raises(StoreError, match="there are no runs"):
        store.find(runs, "latest")


def test_readers_do_not_take_each_other_for_the_writer(writer):
    """Thirty pages of one server that look at an interrupted run at the same moment."""
    writer.close()
    seen, barrier = [], threading.Barrier(8)

    def look():
        barrier.wait()
        seen.extend(store.read(writer.folder).status for _ in range(40))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["interrupted"] * 320


def test_a_run_that_ends_while_it_is_read_is_not_interrupted(writer, monkeypatch):
    writer.update(status="running")
    is_locked = store.is_locked

    def end_before_the_look(folder):
        writer.update(status="stopped")
        writer.close()
        return is_locked(folder)

    monkeypatch.setattr(store, "is_locked", end_before_the_look)
    assert store.read(writer.folder).status == "stopped"


# Tables


def test_reading_while_writing(writer):
    damage, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            run = store.read(writer.folder)
            steps, history = store.steps(run), store.history(run)
            if run.status == "damaged" or steps.isna().any(axis=None) or len(history) < run.steps_per_epoch:
                damage.append((run, steps, history))

    thread = threading.Thread(target=look)
    thread.start()
    for epoch in range(1, 31):
        for number in (1, 2, 3):
            writer.steps.add(step(number, epoch=epoch, loss=epoch + 0.123456789), 0)
        names = dict.fromkeys(("steps", "learning_rate", "train_loss", "train_accuracy", "test_accuracy", "seconds"), 1)
        rows = {"epoch": range(1, epoch + 1), "test_loss": None} | names
        writer.save_table("history.csv", pd.DataFrame(rows))
        writer.update(steps_per_epoch=epoch)  # stands for the epochs, which are written last
    stop.set()
    thread.join()
    assert damage == []


def test_nothing_saved_yet(writer):
    run = store.read(writer.folder)
    for table in (store.history, store.steps, store.mistakes):
        assert table(run).empty
    with pytest.raises(StoreError, match=r"epoch_0001\.npz cannot be read"):
        store.embedded(run, 1)
    with pytest.raises(StoreError, match="no weights yet"):
        store.load_checkpoint(run)


# Arrays and weights


def test_embeddings(writer):
    saved = {epoch: some_embedded(epoch) for epoch in (1, 2, 10)}
    for epoch, embedded in saved.items():
        writer.save_embedded(epoch, embedded)
    run = store.read(writer.folder)
    for epoch, embedded in saved.items():
        found = store.embedded(run, epoch)
        assert found.train.dtype == found.test.dtype == np.float32
        np.testing.assert_array_equal(found.train, embedded.train.astype(np.float16))
        np.testing.assert_array_equal(found.test, embedded.test.astype(np.float16))
        np.testing.assert_array_equal(found.predicted, embedded.predicted)
        np.testing.assert_array_equal(found.scores, embedded.scores)


def test_checkpoint(writer):
    state = {
        "epoch": 2,
        "network": {"weight": torch.arange(6.0).view(2, 3)},
        "optimiser": {"state": {}, "groups": [0.9]},
    }
    writer.save_checkpoint("last.pt", state)
    found = store.load_checkpoint(store.read(writer.folder))
    assert torch.equal(found["network"].pop("weight"), state["network"].pop("weight"))
    assert found == state


# Other images, and other things than a run


def test_other_things_in_the_folder_of_runs(writer, runs):
    (runs / "README.md").write_text("not a run")
    (runs / "empty").mkdir()
    (runs / "odd" / "run.json").mkdir(parents=True)
    assert {run.id: run.status for run in store.list_runs(runs)} == {writer.id: "queued", "odd": "damaged"}


def test_other_images_than_the_run_was_trained_on(writer, digits, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(digits.folder, copy)
    writer.update(data=store.read(writer.folder).data.changed(folder=str(copy)))
    run = store.read(writer.folder)
    assert store.data_of(run).fingerprint == digits.fingerprint
    image = next((copy / "train").glob("*/*.png"))
    shutil.copy(next((copy / "test").glob("*/*.png")), image)
    with pytest.raises(StoreError, match="was trained on other images") as caught:
        store.data_of(run)
    assert digits.fingerprint[:12] in str(caught.value)
    shutil.rmtree(copy)
    with pytest.raises(DataError, match="no such folder"):
        store.data_of(run)


def test_pages_can_import_the_module_without_torch():
    code = "import sys, core.runs.store; print({'torch', 'sklearn', 'streamlit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "set()\n"


def test_a_link_is_named(writer, runs, tmp_path):
    (runs / "linked").symlink_to(writer.folder)
    outside = tmp_path / "outside"
    shutil.copytree(writer.folder, outside)
    (runs / "outwards").symlink_to(outside)
    found = {run.id: run for run in store.list_runs(runs)}
    for name in ("linked", "outwards"):
        assert found[name].status == "damaged"
        assert "is a link" in found[name].error
        with pytest.raises(StoreError, match="is a link; remove it by hand"):
            store.delete(runs / name)
    assert outside.exists()
    assert found[writer.id].status == "queued"


# Labels, requests, leftovers


def test_label_needs_no_lock_and_its_damage_costs_only_the_name(writer):
    run = store.read(writer.folder)
    store.rename(run, "mine")
    store.archive(store.read(writer.folder))
    run = store.read(writer.folder)
    assert (run.title, run.archived, run.status) == ("mine", True, "queued")
    for content in ("", "[]", '{"name": 3, "archived": false}', '{"name": "a\\nb", "archived": true}', "\ud800"):
        (writer.folder / "label.json").write_bytes(content.encode(errors="surrogatepass"))
        run = store.read(writer.folder)
        assert (run.name, run.archived, run.status) == ("", False, "queued")
        assert "label.json cannot be read" in run.notes[0]
    store.rename(run, "again")
    assert store.read(writer.folder).notes == ()


def test_requests_are_for_whoever_trains_now(writer):
    run = store.read(writer.folder)
    assert writer.requested() is None
    store.request(run, "pause")
    assert (writer.requested(), store.read(writer.folder).status) == ("pause", "pausing")
    store.request(run, "stop")
    assert (writer.requested(), store.read(writer.folder).status) == ("stop", "stopping")
    writer.close()
    assert store.read(writer.folder).status == "interrupted"
    store.request(run, "stop")  # too late: nobody is there
    with writing.RunWriter(writer.folder) as again:
        assert again.requested() is None


def test_readers_do_not_disturb_the_writer(writer):
    """Others look at the run without a break while it is closed and taken up again."""
    stop, seen = threading.Event(), set()

    def look():
        while not stop.is_set():
            seen.add(store.read(writer.folder).status)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    writer.close()
    for _ in range(20):
        writing.RunWriter(writer.folder).close()
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= {"queued", "interrupted"}


def test_deleted_while_others_look(tiny, digits, runs):
    stop, seen = threading.Event(), []

    def look():
        while not stop.is_set():
            seen.extend(run for run in store.list_runs(runs) if run.status == "damaged")

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(20):
        made = writing.create(tiny, digits, runs)
        made.close()
        store.delete(made.folder)
    stop.set()
    thread.join()
    assert seen == []
    assert os.listdir(runs) == []


def test_runs_of_a_lesson_have_different_colours_and_keep_them(tiny, digits, runs):
    made = []
    for _ in range(12):
        with writing.create(tiny, digits, runs) as writer:
            made.append(writer.id)
    colours = [store.find(runs, name).colour for name in made]
    for first in range(3):
        assert len(set(colours[first : first + 9])) == 9, colours
    run = store.find(runs, made[3])
    store.rename(run, "another name")
    store.archive(run)
    store.delete(runs / made[0])
    assert store.find(runs, run.id).colour == run.colour
    (run.folder / "label.json").unlink()  # of an older version: that of its id
    assert store.find(runs, run.id).colour == store.find(runs, run.id).colour in range(10)

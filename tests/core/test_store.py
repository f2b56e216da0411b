"""A run's folder: complete or not there, one writer, and a status that is true after every kind of crash."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core import store
from core.config import ConfigError
from core.data import DataError
from core.events import StepDone
from core.files import StoreError
from core.store import Embedded

ROOT = Path(__file__).parents[2]
FACTS = {
    "format", "run", "status", "created", "config", "data", "machine", "steps_per_epoch", "seconds", "result", "error",
    "diverged", "notes",
}  # fmt: skip


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def writer(tiny, digits, runs):
    made = store.create(tiny, digits, runs)
    yield made
    made.close()


def step(number: int, steps: int = 3, epoch: int = 1, loss: float = 1.5) -> StepDone:
    return StepDone(epoch=epoch, step=number, steps=steps, loss=loss, diagnostics={"share": loss / 3})


def in_another_process(code: str) -> subprocess.Popen:
    """Python that has imported core.store; the caller ends it."""
    command = [sys.executable, "-c", f"from pathlib import Path\nfrom core import data, store\n{code}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# A new run


def test_new_run(writer, tiny, digits, runs):
    assert sorted(os.listdir(writer.folder)) == ["run.json", "run.lock"]
    assert json.loads((writer.folder / "run.json").read_text()).keys() == FACTS
    run = store.read(writer.folder)
    assert (run.id, run.status, run.config, run.active) == (writer.id, "queued", tiny, True)
    assert run.data == {
        "folder": str(digits.folder),
        "source": "folder",
        "description": digits.description,
        "fingerprint": digits.fingerprint,
        "classes": list(digits.classes),
        "class_numbers": list(digits.class_numbers),
        "train": 48,
        "test": 24,
    }
    assert store.list_runs(runs) == [run]
    assert store.find(runs, writer.id) == store.find(runs, "latest") == run


def test_settings_that_the_data_cannot_serve_make_no_folder(tiny, digits, runs):
    with pytest.raises(ConfigError, match="48 training images"):
        store.create(dataclasses.replace(tiny, neighbours=48), digits, runs)
    assert not runs.exists()


def test_newest_first(tiny, digits, runs):
    writers = [store.create(tiny, digits, runs) for _ in range(3)]
    for made, created in zip(
        writers, ("2026-01-02T00:00:00", "2026-01-03T00:00:00", "2026-01-01T00:00:00"), strict=True
    ):
        made.update(created=created)
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


def test_no_runs(runs):
    assert store.list_runs(runs) == []
    with pytest.raises(StoreError, match="there are no runs"):
        store.find(runs, "latest")


@pytest.mark.parametrize("below", ["", "deeper"])
def test_folder_that_cannot_be_written(tiny, digits, tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made"):
        store.create(tiny, digits, tmp_path / "file" / below)


# One writer


def test_a_second_writer_is_refused(writer):
    with pytest.raises(StoreError, match="is in the hands of another process"):
        store.RunWriter(writer.folder)
    other = in_another_process(f"store.RunWriter(Path({str(writer.folder)!r}))")
    assert f"run {writer.id} is in the hands of another process" in other.communicate(timeout=60)[1]
    assert other.returncode == 1
    writer.close()
    store.RunWriter(writer.folder).close()


def test_killed_process(tiny, digits, runs):
    code = f"""
from core.config import RunConfig
writer = store.create(RunConfig(neighbours=3), data.load({str(digits.folder)!r}), Path({str(runs)!r}))
writer.update(status="running")
print(writer.id, flush=True)
import time; time.sleep(120)
"""
    process = in_another_process(code)
    try:
        folder = runs / process.stdout.readline().strip()
        assert store.read(folder).status == "running"
        with pytest.raises(StoreError):
            store.RunWriter(folder)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    run = store.read(folder)
    assert (run.status, run.active, run.error) == ("interrupted", False, "")


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
        writer.update(status="done")
        writer.close()
        return is_locked(folder)

    monkeypatch.setattr(store, "is_locked", end_before_the_look)
    assert store.read(writer.folder).status == "done"


def test_failure_is_kept_with_its_reason(writer):
    writer.update(status="running")
    with pytest.raises(ValueError), writer:
        raise ValueError("the batch is too large")
    run = store.read(writer.folder)
    assert (run.status, run.error) == ("failed", "the batch is too large")
    store.RunWriter(writer.folder).close()  # released


def test_failure_without_words_has_a_name(writer):
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError
    assert store.read(writer.folder).error == "ZeroDivisionError"


def test_second_interrupt_reads_as_interrupted(writer):
    writer.update(status="running")
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert store.read(writer.folder).status == "interrupted"


# Tables


def test_every_step_of_a_short_epoch_has_a_row(writer):
    for number in (1, 2, 3):
        writer.add_step(step(number, loss=number), seconds=number / 2)
    table = store.steps(store.read(writer.folder))
    assert table.columns.tolist() == ["epoch", "step", "seconds", "loss", "share"]
    assert table.step.tolist() == [1, 2, 3]
    assert table.loss.tolist() == [1, 2, 3]
    assert table.seconds.tolist() == [0.5, 1.0, 1.5]


def test_rows_of_a_long_epoch_are_means_of_several_steps(writer):
    for number in range(1, 251):  # every third, and the last
        writer.add_step(step(number, 250, loss=number), seconds=0)
    table = store.steps(store.read(writer.folder))
    assert len(table) <= store.ROWS_AN_EPOCH
    assert table.step.tolist() == [*range(3, 250, 3), 250]
    assert table.loss.tolist() == [*np.arange(2.0, 249.0, 3), 250.0]
    assert table.share.to_numpy() == pytest.approx(table.loss / 3)


def test_what_no_step_can_tell_is_a_gap(writer):
    for number, share in enumerate((None, 2.0, None, 4.0, None, 5.0, None, None, None), start=1):
        writer.add_step(StepDone(epoch=1, step=number, steps=300, loss=1.5, diagnostics={"share": share}), seconds=0)
        if number == 5:  # within a row
            state = writer.steps_state()
            writer.close()
            writer = store.RunWriter(writer.folder)
            writer.restore_steps(state)
    writer.close()
    table = store.steps(store.read(writer.folder))  # a row for three steps
    assert table.loss.tolist() == [1.5, 1.5, 1.5]
    assert table.share.tolist() == pytest.approx([2.0, 4.5, float("nan")], nan_ok=True)


def test_steps_go_on_where_they_were(writer, digits):
    """What was written after the checkpoint is cut off; a row that had begun is finished."""
    whole = store.create(store.read(writer.folder).config, digits, writer.folder.parent / "other")
    for number in range(1, 251):
        whole.add_step(step(number, 250, loss=1 / number), seconds=number)
    for number in range(1, 109):  # the last row is that of step 108, but the state that of step 107
        if number == 108:
            state = writer.steps_state()
        writer.add_step(step(number, 250, loss=1 / number), seconds=number)
    writer.close()
    with open(writer.folder / "steps.csv", "a") as file:
        file.write("1,111,9.0,0.")  # a kill within a line
    with store.RunWriter(writer.folder) as again:
        again.restore_steps(state)
        assert len(store.steps(store.read(writer.folder))) == 35
        for number in range(108, 251):
            again.add_step(step(number, 250, loss=1 / number), seconds=number)
    whole.close()
    assert (writer.folder / "steps.csv").read_bytes() == (whole.folder / "steps.csv").read_bytes()


def test_steps_that_are_lost_leave_a_gap(writer, digits):
    for number in (1, 2, 3):
        writer.add_step(step(number), 0)
    state = writer.steps_state()
    for content in (b"", b"epoch,step\r\n", None):
        file = writer.folder / "steps.csv"
        file.unlink() if content is None else file.write_bytes(content)
        with store.create(store.read(writer.folder).config, digits, writer.folder.parent) as again:
            again.restore_steps(state)
            again.add_step(step(1, epoch=2), 0)
            assert store.steps(store.read(again.folder)).epoch.tolist() == [2]


def test_half_a_line_is_not_read(writer):
    for number in (1, 2, 3):
        writer.add_step(step(number, loss=123.456), 0)
    run = store.read(writer.folder)
    whole, file = store.steps(run), writer.folder / "steps.csv"
    text = file.read_bytes()
    for length in range(len(text) + 1):  # a reader may come after any byte
        file.write_bytes(text[:length])
        lines = text[:length].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
        table = store.steps(run)
        assert len(table) == max(0, lines - 1)
        if len(table):
            pd.testing.assert_frame_equal(table, whole.iloc[: lines - 1])


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
            writer.add_step(step(number, epoch=epoch, loss=epoch + 0.123456789), 0)
        names = dict.fromkeys(("steps", "learning_rate", "train_loss", "train_accuracy", "test_accuracy", "seconds"), 1)
        rows = {"epoch": range(1, epoch + 1), "test_loss": None} | names
        writer.save_table("history.csv", pd.DataFrame(rows))
        writer.update(steps_per_epoch=epoch)  # stands for the epochs, which are written last
    stop.set()
    thread.join()
    assert damage == []


def test_ids_stay_text(writer):
    ids = ["0012", "NA", "1e5", "null"]
    numbers = {"true": [7] * 4, "predicted": [1] * 4, "score": [0.5] * 4, "test_index": [0] * 4}
    neighbours = {"nearest_true_id": ids[::-1], "nearest_predicted_id": ids}
    for kind in ("true", "predicted"):
        neighbours |= {f"nearest_{kind}_index": [1] * 4, f"nearest_{kind}_distance": [0.25] * 4}
    writer.save_table("mistakes.csv", pd.DataFrame({"id": ids} | numbers | neighbours))
    run = store.read(writer.folder)
    assert store.mistakes(run).id.tolist() == ids
    assert store.mistakes(run).nearest_true_id.tolist() == ids[::-1]
    assert store.mistakes(run).nearest_predicted_id.tolist() == ids


def test_nothing_saved_yet(writer):
    run = store.read(writer.folder)
    for table in (store.history, store.steps, store.mistakes):
        assert table(run).empty
    assert store.projection(run, 1) is None
    with pytest.raises(StoreError, match=r"epoch_0001\.npz cannot be read"):
        store.embedded(run, 1)
    with pytest.raises(StoreError, match="no weights yet"):
        store.load_checkpoint(run)


# Arrays and weights


def some_embedded(seed: int) -> Embedded:
    draw = np.random.default_rng(seed)
    train, test = (draw.normal(size=(count, 8)).astype(np.float32) for count in (48, 24))
    return Embedded(train, test, draw.integers(0, 4, 24), draw.random(24, np.float32))


def test_embeddings_and_projection(writer):
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
    frame = np.ones((7, 2), np.float32)
    store.save_projection(run, 10, frame)
    np.testing.assert_array_equal(store.projection(run, 10), frame)
    assert store.projection(run, 2) is None


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


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Evil.folder),)


def test_checkpoint_runs_no_code(writer, tmp_path):
    Evil.folder = tmp_path / "evil"
    torch.save({"network": Evil()}, writer.folder / "last.pt")
    with pytest.raises(StoreError, match=r"last\.pt is damaged"):
        store.load_checkpoint(store.read(writer.folder))
    assert not Evil.folder.exists()


def damages(content: bytes) -> list[bytes]:
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    return [b"", b"hello", content[: middle // 4], content[:middle], content[:-1], flipped]


def test_damaged_arrays_and_weights_are_named(writer):
    writer.save_embedded(1, some_embedded(0))
    writer.save_checkpoint("last.pt", {"network": torch.ones(400)})
    run = store.read(writer.folder)
    store.save_projection(run, 1, np.ones((70, 2)))
    embeddings, weights = writer.folder / "embeddings" / "epoch_0001.npz", writer.folder / "last.pt"
    for content in damages(embeddings.read_bytes()):
        embeddings.write_bytes(content)
        with pytest.raises(StoreError, match=r"epoch_0001\.npz cannot be read"):
            store.embedded(run, 1)
    for content in damages(weights.read_bytes())[:5]:  # torch does not check every byte
        weights.write_bytes(content)
        with pytest.raises(StoreError, match=r"last\.pt is damaged") as caught:
            store.load_checkpoint(run)
        assert "\n" not in str(caught.value)
    projection = writer.folder / "projection.npz"
    for content in damages(projection.read_bytes()):
        projection.write_bytes(content)
        assert store.projection(run, 1) is None  # drawn again, not an error


def test_damaged_tables_are_named(writer):
    for name, table in (("history", store.history), ("mistakes", store.mistakes)):
        file = writer.folder / f"{name}.csv"
        for content in (b"\xff\xfe\x00a,b\n1\n", b'id,b\n"1,2\n3,4\n', b"id,b\n1,2,3\n1,2,3,4\n"):
            file.write_bytes(content)
            with pytest.raises(StoreError, match=rf"{name}\.csv cannot be read"):
                table(store.read(writer.folder))


# Damaged runs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "Expecting value"),
        (lambda text: text[: len(text) // 2], "line "),
        (lambda text: "[]", "it holds no JSON object"),
        (lambda text: "null", "it holds no JSON object"),
        (lambda text: "{}", "it has no entry 'format'"),
        (lambda text: text.replace('"format": 2', '"format": 3'), "written by a newer version of the lab (format 3)"),
        (lambda text: text.replace('"margin"', '"marginal"'), "unknown setting marginal: written by a newer version"),
        (lambda text: text.replace('"epochs": 2', '"epochs": 0'), "epochs: 0 is out of bounds"),
        (lambda text: text.replace('"status"', '"state"'), "it has no entry 'status'"),
        (lambda text: text.replace('"created": "2', '"created": "x2'), "Invalid isoformat"),
        (lambda text: "\ud800", "can't decode byte"),
    ],
)
def test_damaged_run(writer, tiny, digits, runs, change, reason):
    with store.create(tiny, digits, runs) as other:
        file = writer.folder / "run.json"
        changed = change(file.read_text())
        assert changed != file.read_text()
        file.write_bytes(changed.encode(errors="surrogatepass"))
        run = store.read(writer.folder)
        assert (run.status, run.config, run.active) == ("damaged", None, False)
        assert run.error.startswith(str(file))
        assert reason in run.error
        assert {each.id: each.status for each in store.list_runs(runs)} == {writer.id: "damaged", other.id: "queued"}
        assert store.find(runs, "latest").id == other.id
        with pytest.raises(StoreError, match="cannot be read"):
            store.find(runs, writer.id)


def test_other_things_in_the_folder_of_runs(writer, runs):
    (runs / "README.md").write_text("not a run")
    (runs / "empty").mkdir()
    (runs / "odd" / "run.json").mkdir(parents=True)
    assert {run.id: run.status for run in store.list_runs(runs)} == {writer.id: "queued", "odd": "damaged"}


def test_other_images_than_the_run_was_trained_on(writer, digits, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(digits.folder, copy)
    writer.update(data=store.read(writer.folder).data | {"folder": str(copy)})
    run = store.read(writer.folder)
    assert store.data_of(run).fingerprint == digits.fingerprint
    image = next((copy / "train").glob("*/*.png"))
    shutil.copy(next((copy / "test").glob("*/*.png")), image)
    with pytest.raises(StoreError, match="was trained on other images") as caught:
        store.data_of(run)
    assert digits.fingerprint[:12] in str(caught.value)
    shutil.rmtree(copy)
    with pytest.raises(DataError, match="not there"):
        store.data_of(run)


# Writing that fails


def test_failed_rename_leaves_the_old_file(writer, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    before = (writer.folder / "run.json").read_bytes()
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match=r"run\.json cannot be written \(Read-only file system\)"):
        writer.update(status="done")
    assert (writer.folder / "run.json").read_bytes() == before
    assert sorted(os.listdir(writer.folder)) == ["run.json", "run.lock"]


def test_steps_that_cannot_be_written(writer):
    (writer.folder / "steps.csv").mkdir()
    with pytest.raises(StoreError, match=r"steps\.csv cannot be written"):
        writer.add_step(step(1), 0)


def test_pages_can_import_the_module_without_torch():
    code = "import sys, core.store; print({'torch', 'sklearn', 'streamlit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "set()\n"


def test_a_writer_of_an_existing_run_keeps_what_its_run_json_says(tiny, digits, tmp_path):
    store.create(tiny, digits, tmp_path).close()
    (run,) = store.list_runs(tmp_path)
    with pytest.raises(RuntimeError), store.RunWriter(run.folder):
        raise RuntimeError("out of memory")
    again = store.read(run.folder)
    assert (again.status, again.error, again.config) == ("failed", "out of memory", tiny)


# Foreign things in the place of a run


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_is_not_waited_for(writer):
    for name in ("run.json", "label.json", "history.csv", "last.pt"):
        (writer.folder / name).unlink(missing_ok=True)
        os.mkfifo(writer.folder / name)
    run = store.read(writer.folder)
    assert (run.status, "it is not a file" in run.error) == ("damaged", True)
    for table in (store.history, store.load_checkpoint):
        with pytest.raises(StoreError, match="it is not a file"):
            table(run)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,x,0.5,0.5", "line 3, seconds: 'x' makes no sense"),
        ("1,2,3.0,0.5", "line 3 has 4 values instead of 5"),
        ("1,2,3.0,0.5,0.5,7", "line 3 has 6 values instead of 5"),
        ("1,2,3.0,inf,0.5", "line 3, loss: 'inf' makes no sense"),
        (",2,3.0,0.5,0.5", "line 3, epoch: 'nan' makes no sense"),
    ],
)
def test_a_bad_line_is_named(writer, line, reason):
    for number in (1, 2, 3):
        writer.add_step(step(number), 0)
    file = writer.folder / "steps.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(StoreError) as caught:
        store.steps(store.read(writer.folder))
    assert str(caught.value) == f"{file} cannot be read: {reason}"


def test_mistakes_that_point_nowhere(writer):
    numbers = {"true": [7], "predicted": [1], "score": [0.5], "test_index": [0]}
    ids = {name: ["a"] for name in ("id", "nearest_true_id", "nearest_predicted_id")}
    for kind in ("true", "predicted"):
        numbers |= {f"nearest_{kind}_index": [1], f"nearest_{kind}_distance": [0.25]}
    run = store.read(writer.folder)
    for change in (
        {"test_index": [24]},
        {"nearest_true_index": [-1]},
        {"true": [8]},
        {"score": ["much"]},
        {"id": [None]},
    ):
        writer.save_table("mistakes.csv", pd.DataFrame(numbers | ids | change))
        with pytest.raises(StoreError, match=next(iter(change))):
            store.mistakes(run)
    writer.save_table("mistakes.csv", pd.DataFrame(numbers | ids))
    assert len(store.mistakes(run)) == 1


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
    assert writer.wish() is None
    store.request(run, "pause")
    assert (writer.wish(), store.read(writer.folder).status) == ("pause", "pausing")
    store.request(run, "stop")
    assert (writer.wish(), store.read(writer.folder).status) == ("stop", "stopping")
    writer.close()
    assert store.read(writer.folder).status == "interrupted"
    store.request(run, "stop")  # too late: nobody is there
    with store.RunWriter(writer.folder) as again:
        assert again.wish() is None


def test_an_announcement_after_the_end_is_too_late(writer):
    writer.announce("pausing")
    assert store.read(writer.folder).status == "pausing"
    writer.update(status="done")
    writer.announce("stopping")
    assert store.read(writer.folder).status == "done"
    writer.close()
    writer.announce("stopping")
    assert store.read(writer.folder).status == "done"


def test_halves_of_a_killed_writer_are_removed(writer):
    writer.save_embedded(1, some_embedded(0))
    writer.close()
    for name in (".last.pt.0a1b.tmp", "embeddings/.epoch_0001.npz.0a1b.tmp"):
        (writer.folder / name).write_text("half")
    store.RunWriter(writer.folder).close()
    assert not list(writer.folder.rglob(".*.tmp"))
    assert (writer.folder / "embeddings" / "epoch_0001.npz").exists()


def test_no_preset_leads_out_of_the_folder(tiny, digits, runs):
    with store.create(dataclasses.replace(tiny, preset="../../x"), digits, runs) as made:
        assert made.folder.parent == runs
        assert store.list_runs(runs)[0].id == made.id


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
        store.RunWriter(writer.folder).close()
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
        made = store.create(tiny, digits, runs)
        made.close()
        store.delete(made.folder)
    stop.set()
    thread.join()
    assert seen == []
    assert os.listdir(runs) == []

"""A run's folder as it is written: complete or not there, one writer, and what every kind of crash leaves."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from core.runs import store, writing
from core.runs.files import StoreError
from core.settings.setting import ConfigError
from tests.core.conftest import some_embedded
from tests.processes import Child

FACTS = {
    "format", "run", "status", "created", "config", "data", "machine", "steps_per_epoch", "seconds", "result", "error",
    "diverged", "notes", "number", "starts", "unchecked", "owner",
}  # fmt: skip


@contextmanager
def in_another_process(code: str) -> Iterator[Child]:
    """The process is killed in the end, if it has not ended."""
    imports = "from pathlib import Path\nfrom core.dataset import loader\nfrom core.runs import store, writing\n"
    process = Child("tests.snippet", imports + code)
    try:
        yield process
    finally:
        process.kill()


# A new run


def test_new_run(writer, tiny, digits, runs):
    assert sorted(os.listdir(writer.folder)) == ["label.json", "run.json", "run.lock"]
    assert json.loads((writer.folder / "run.json").read_text()).keys() == FACTS
    run = store.read(writer.folder)
    assert (run.id, run.status, run.config, run.active) == (writer.id, "queued", tiny, True)
    assert run.data.model_dump() == {
        "folder": str(digits.folder),
        "source": "folder",
        "description": digits.description,
        "fingerprint": digits.fingerprint,
        "classes": digits.classes,
        "class_numbers": digits.class_numbers,
        "train": 48,
        "test": 24,
        "notes": (),
    }
    assert store.list_runs(runs) == [run]
    assert store.find(runs, writer.id) == store.find(runs, "latest") == run


def test_settings_that_the_data_cannot_serve_make_no_folder(tiny, digits, runs):
    with pytest.raises(ConfigError, match="48 training images"):
        writing.create(tiny.changed(neighbours=48), digits, runs)
    assert not runs.exists()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_folder_that_cannot_be_written(tiny, digits, tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made"):
        writing.create(tiny, digits, tmp_path / "file" / below)


def test_no_preset_leads_out_of_the_folder(tiny, digits, runs):
    with writing.create(tiny.changed(preset="../../x"), digits, runs) as made:
        assert made.folder.parent == runs
        assert store.list_runs(runs)[0].id == made.id


# One writer


def test_a_second_writer_is_refused(writer):
    with pytest.raises(StoreError, match="is in the hands of another process"):
        writing.RunWriter(writer.folder)
    with in_another_process(f"writing.RunWriter(Path({str(writer.folder)!r}))") as other:
        assert f"run {writer.id} is in the hands of another process" in other.communicate(timeout=60)[1]
        assert other.returncode == 1
    writer.close()
    writing.RunWriter(writer.folder).close()


def test_killed_process(tiny, digits, runs):
    code = f"""
from core.settings.config import RunConfig
writer = writing.create(RunConfig(neighbours=3), loader.load({str(digits.folder)!r}), Path({str(runs)!r}))
writer.update(status="running")
print(writer.id, flush=True)
import time; time.sleep(120)
"""
    with in_another_process(code) as process:
        while not process.said().endswith("\n"):
            assert process.poll() is None
            time.sleep(0.02)
        folder = runs / process.said().strip()
        assert store.read(folder).status == "running"
        with pytest.raises(StoreError):
            writing.RunWriter(folder)
    run = store.read(folder)
    assert (run.status, run.active, run.error) == ("interrupted", False, "")


def test_failure_is_kept_with_its_reason(writer):
    writer.update(status="running")
    with pytest.raises(ValueError), writer:
        raise ValueError("the batch is too large")
    run = store.read(writer.folder)
    assert (run.status, run.error) == ("failed", "the batch is too large")
    writing.RunWriter(writer.folder).close()  # released


def test_failure_without_words_has_a_name(writer):
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError
    assert store.read(writer.folder).error == "ZeroDivisionError"


def test_second_interrupt_reads_as_interrupted(writer):
    writer.update(status="running")
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert store.read(writer.folder).status == "interrupted"


def test_an_announcement_after_the_end_is_too_late(writer):
    writer.announce("pausing")
    assert store.read(writer.folder).status == "pausing"
    writer.update(status="stopped")
    writer.announce("stopping")
    assert store.read(writer.folder).status == "stopped"
    writer.close()
    writer.announce("stopping")
    assert store.read(writer.folder).status == "stopped"


def test_halves_of_a_killed_writer_are_removed(writer):
    writer.save_embedded(1, some_embedded(0))
    writer.close()
    for name in (".last.pt.0a1b.tmp", "embeddings/.epoch_0001.npz.0a1b.tmp"):
        (writer.folder / name).write_text("half")
    writing.RunWriter(writer.folder).close()
    assert not list(writer.folder.rglob(".*.tmp"))
    assert (writer.folder / "embeddings" / "epoch_0001.npz").exists()


def test_a_writer_of_an_existing_run_keeps_what_its_run_json_says(tiny, digits, tmp_path):
    writing.create(tiny, digits, tmp_path).close()
    (run,) = store.list_runs(tmp_path)
    with pytest.raises(RuntimeError), writing.RunWriter(run.folder):
        raise RuntimeError("out of memory")
    again = store.read(run.folder)
    assert (again.status, again.error, again.config) == ("failed", "out of memory", tiny)


# Writing that fails


def test_failed_rename_leaves_the_old_file(writer, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    before = (writer.folder / "run.json").read_bytes()
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match=r"run\.json cannot be written \(Read-only file system\)"):
        writer.update(status="stopped")
    assert (writer.folder / "run.json").read_bytes() == before
    assert sorted(os.listdir(writer.folder)) == ["label.json", "run.json", "run.lock"]

"""Files of a run that are damaged, half written, foreign or not what they say: named, and taken for no result."""

import os

import pandas as pd
import pytest
import torch

from core.runs import store, writing
from core.runs.files import StoreError
from tests.core.conftest import damages, some_embedded, step


def test_half_a_line_is_not_read(writer):
    for number in (1, 2, 3):
        writer.steps.add(step(number, loss=123.456), 0)
    run = store.read(writer.folder)
    whole, file = store.steps(run), writer.folder / "steps.csv"
    text = file.read_bytes()
    for length in range(len(text) + 1):  # a reader may come after any byte
        file.write_bytes(text[:length])
        lines = text[:length].count(b"\n")
        table = store.steps(run)
        assert len(table) == max(0, lines - 1)
        if len(table):
            pd.testing.assert_frame_equal(table, whole.iloc[: lines - 1])


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


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Evil.folder),)


def test_checkpoint_runs_no_code(writer, tmp_path):
    Evil.folder = tmp_path / "evil"
    torch.save({"network": Evil()}, writer.folder / "last.pt")
    with pytest.raises(StoreError, match=r"last\.pt is damaged"):
        store.load_checkpoint(store.read(writer.folder))
    assert not Evil.folder.exists()


def test_damaged_arrays_and_weights_are_named(writer):
    writer.save_embedded(1, some_embedded(0))
    writer.save_checkpoint("last.pt", {"network": torch.ones(400)})
    run = store.read(writer.folder)
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


def test_damaged_tables_are_named(writer):
    for name, table in (("history", store.history), ("mistakes", store.mistakes)):
        file = writer.folder / f"{name}.csv"
        for content in (b"\xff\xfe\x00a,b\n1\n", b'id,b\n"1,2\n3,4\n', b"id,b\n1,2,3\n1,2,3,4\n"):
            file.write_bytes(content)
            with pytest.raises(StoreError, match=rf"{name}\.csv cannot be read"):
                table(store.read(writer.folder))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "Invalid JSON: EOF"),
        (lambda text: text[: len(text) // 2], "line "),
        (lambda text: "[]", "Input should be an object"),
        (lambda text: "null", "Input should be an object"),
        (lambda text: "{}", "format: Field required"),
        (lambda text: text.replace('"format": 2', '"format": 3'), "written by a newer version of the lab (format 3)"),
        (lambda text: text.replace('"margin"', '"marginal"'), "unknown setting marginal: written by a newer version"),
        (lambda text: text.replace('"epochs": 2', '"epochs": 0'), "epochs: 0 is out of bounds"),
        (lambda text: text.replace('"status"', '"state"'), "status: Field required"),
        (lambda text: text.replace('"created": "2', '"created": "x2'), "created: Input should be a valid datetime"),
        (lambda text: text.replace('"created": "2', '"created": "9'), "is no year in which a run began"),
        (lambda text: text.replace('"status": "queued"', '"status": "done"'), "it is done without a result"),
        (lambda text: text.replace('"seconds": null', '"seconds": 1e300'), "seconds: Input should be less than"),
        (lambda text: text.replace('"machine": {}', '"machine": {"threads": 1000000000}'), "machine."),
        (lambda text: "\ud800", "Invalid JSON"),
    ],
)
def test_damaged_run(writer, tiny, digits, runs, change, reason):
    with writing.create(tiny, digits, runs) as other:
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
        writer.steps.add(step(number), 0)
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

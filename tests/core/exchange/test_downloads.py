"""Files that are taken of a run, each read back by what it is made for."""

import io
import json
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from core import experiment
from core.__main__ import main
from core.exchange import downloads, onnx
from core.exchange.packages import PackageMissing
from core.networks.build import prepare
from core.runs import store, writing
from core.runs.files import StoreError
from core.settings.config import RunConfig


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    """It names classes and learns distances, so its network has both heads."""
    config = tiny.changed(objective="cross_entropy_triplet", images_per_class=3)
    with writing.create(config, digits, tmp_path_factory.mktemp("runs")) as writer:
        list(experiment.run(writer, digits))
    return store.read(writer.folder)


def test_the_network_as_onnx_answers_as_the_run_did(run, digits):
    import onnxruntime  # takes seconds, of each process that collects the tests

    session = onnxruntime.InferenceSession(downloads.content(run, "onnx"), providers=["CPUExecutionProvider"])
    for images in (digits.test.images, digits.test.images[:1]):  # any number of them
        prepared = prepare(torch.tensor(images), run.config.channels, run.config.image_size)
        embeddings, logits = session.run(["embeddings", "logits"], {"images": prepared.numpy()})
        with torch.no_grad():
            expected = onnx.network_of(run)(prepared)
        np.testing.assert_allclose(embeddings, expected.embeddings, atol=1e-4)
        np.testing.assert_allclose(logits, expected.logits, atol=1e-4)
        stored = store.embedded(run, 2)
        np.testing.assert_allclose(embeddings, stored.test[: len(images)], atol=0.02)  # kept as float16
        assert (logits.argmax(axis=1) == stored.predicted[: len(images)]).all()


def test_event_files_hold_the_tables(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # as above

    with zipfile.ZipFile(io.BytesIO(downloads.content(run, "tensorboard"))) as archive:
        archive.extractall(tmp_path)
    read = EventAccumulator(str(tmp_path / run.id)).Reload()
    history, steps = store.history(run), store.steps(run)
    tags = read.Tags()["scalars"]
    assert {"epoch/train_loss", "epoch/test_accuracy", "step/loss", "step/active_fraction"} <= set(tags)
    assert not [tag for tag in tags if tag.split("/")[1] in ("epoch", "step", "seconds", "alarm")]
    for name in ("train_loss", "test_accuracy"):
        points = read.Scalars(f"epoch/{name}")
        assert [point.step for point in points] == [1, 2]
        assert [point.value for point in points] == pytest.approx(history[name].tolist())
        times = [point.wall_time - run.created.timestamp() for point in points]
        assert times == pytest.approx(history["seconds"].tolist(), abs=1e-3)
    points = read.Scalars("step/loss")
    assert [point.step for point in points] == list(range(1, 1 + len(steps)))
    assert [point.value for point in points] == pytest.approx(steps["loss"].tolist())


def test_history_settings_and_checkpoint(run):
    table = pd.read_csv(io.BytesIO(downloads.content(run, "history")))
    assert table["test_accuracy"].tolist() == store.history(run)["test_accuracy"].tolist()
    assert RunConfig(**json.loads(downloads.content(run, "settings"))) == run.config
    state = torch.load(io.BytesIO(downloads.content(run, "checkpoint")), weights_only=True)
    assert state["network"].keys() == onnx.network_of(run).state_dict().keys()


@pytest.mark.parametrize("kind", downloads.DOWNLOADS)
def test_each_from_the_command_line(run, kind, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = ["--runs", str(run.folder.parent)]
    assert main(["export", run.id, "--as", kind, "--json", *runs]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    file = tmp_path / downloads.file_name(run, kind)
    assert said == {"run": run.id, "kind": kind, "file": file.name}
    assert file.stat().st_size > 50


@pytest.mark.parametrize(("kind", "package"), [("onnx", "onnxscript"), ("tensorboard", "tensorboard")])
def test_without_the_package_one_line_says_how_to_get_it(run, kind, package, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PackageMissing, match=f"needs the package {package}"):
        downloads.content(run, kind)
    assert main(["export", run.id, "--as", kind, "--runs", str(run.folder.parent)]) == 1
    assert "requirements-export.txt" in capsys.readouterr().err


def test_before_the_first_epoch_each_says_why(tiny, digits, tmp_path):
    with writing.create(tiny, digits, tmp_path) as writer:
        writer.update(status="stopped")
    waiting = store.read(writer.folder)
    for kind in ("run", "checkpoint", "onnx"):
        with pytest.raises((StoreError, ValueError, RuntimeError), match=waiting.id):
            downloads.content(waiting, kind)

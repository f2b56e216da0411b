"""The lab report holds what the run did and what the student wrote, and needs nothing from a network."""

import io
import re
import zipfile

import numpy as np
import pytest

from core import experiment, replay
from core.__main__ import main
from core.analysis import confusion
from core.exchange import pictures, report
from core.runs import map_file, notes, store, writing
from core.runs.notes import Note


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    with writing.create(tiny, digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


def test_every_mistake_with_its_note(run, digits):
    wrong = store.mistakes(run)
    notes.save(run, wrong.id[0], Note("<b>thin", ("blurred",)))
    notes.save_answer(run, report.QUESTIONS[0], "4 and 9 & more")
    text = report.page([run, run], [digits, digits])
    for row in wrong.itertuples():
        assert row.id in text
        for kind, number in (("true", row.true), ("predicted", row.predicted)):
            distance = getattr(row, f"nearest_{kind}_distance")
            neighbour = f"nearest {digits.classes[digits.class_numbers.index(number)]}: {distance:.2f}"
            assert f"<b>{neighbour}</b><br>{getattr(row, f'nearest_{kind}_id')}" in text
    assert "&lt;b&gt;thin" in text
    assert "4 and 9 &amp; more" in text
    assert text.count('src="data:image/png;base64,') == 2 * 3 * len(wrong)
    assert not re.search(r"(src|href)=\"(?!data:)|https?:|url\(|<script", text)


def test_receipt_curves_map_and_settings(run, digits):
    text = report.page([run], [digits])
    assert replay.receipt(run) in text
    assert text.count("<polyline") == 4  # accuracy and loss of training and test images
    assert len(re.findall(r"M\d+ \d+h0", text)) == 48 + 24  # a dot an image
    assert text.count("<circle cx") == run.result.mistakes
    assert "PCA" in text
    assert "Embedding size: 8" in text
    assert "Triplet mining compared" not in text
    map_file.keep(run, 2, np.random.default_rng(0).normal(size=(72, 2)))
    assert "UMAP" in report.page([run], [digits])


def test_how_good_each_class_is_stands_beside_the_matrix(run, digits):
    text = report.page([run], [digits])
    predicted = store.embedded(run, 2).predicted
    counts = confusion.matrix(digits.test.labels, predicted, len(digits.classes))
    for label, name in enumerate(digits.classes):
        right, called = counts[label, label], counts[:, label].sum()
        assert f"<td>{name}</td>" in text.replace(' class="text"', "")
        precision = f"{100 * right / called:.1f} %" if called else "–"
        recall = f"{100 * right / counts[label].sum():.1f} %"
        assert f"<td>{name}</td><td>{precision}</td><td>{recall}</td>" in text.replace(' class="text"', "")


def test_a_run_without_mistakes_says_so(run, digits, monkeypatch):
    monkeypatch.setattr(report.mistakes, "find", lambda *_: store.mistakes(run)[:0])
    assert re.search(r"Misclassified test images \(0\)</h3>.*<p>None.</p>", report.page([run], [digits]))


def test_the_analysis_is_drafted_until_it_is_written(run, digits):
    assert report.first_draft(run, digits) in report.page([run], [digits]).replace("&#x27;", "'")
    notes.save_answer(run, report.ANALYSIS, "All of them are thin.")
    text = report.page([run], [digits])
    assert "All of them are thin." in text
    assert report.first_draft(run, digits) not in text


def test_strategies_and_mistakes_of_several_runs(run, tiny, digits):
    other = tiny.changed(sampling="balanced", selection="batch_hard", images_per_class=4, batch_size=16)
    with writing.create(other, digits, run.folder.parent) as writer:
        for _ in experiment.run(writer, digits):
            pass
    second = store.read(writer.folder)
    text = report.page([run, second], [digits, digits])
    assert text.count("<section>") == 2  # a run begins a page
    assert re.search(r'<div class="together"><h3>Confusion matrix</h3>.*?<table class="matrix"', text)  # not cut
    assert "Triplet mining compared" in text
    assert '<td class="text">Batch-hard</td>' in text
    wrong = [set(store.mistakes(each)["id"]) for each in (run, second)]
    assert f"Misclassified by all: {len(wrong[0] & wrong[1])}; {len(wrong[0] - wrong[1])} by" in text


@pytest.mark.parametrize("kind", ["html", "zip"])
def test_command(run, digits, tmp_path, kind):
    file = tmp_path / f"report.{kind}"
    assert main(["report", run.id, "--runs", str(run.folder.parent), "--out", str(file)]) == 0
    if kind == "html":
        assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
        return
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        names = set(archive.namelist())
        csv = archive.read(f"{run.id}/mistakes.csv").decode()
    tables = {f"{run.id}/{name}.csv" for name in ("history", "steps", "predictions", "mistakes")}
    assert {"report.html", f"{run.id}/settings.json", f"{run.id}/contact_sheet.png"} | tables <= names
    assert {f"{run.id}/{name}" for name in pictures.files(store.mistakes(run), digits)} <= names
    assert store.mistakes(run).id[0] in csv


def test_another_kind_of_file_is_refused(run, tmp_path, capsys):
    assert main(["report", run.id, "--runs", str(run.folder.parent), "--out", str(tmp_path / "a.pdf")]) == 2
    assert ".html or a .zip" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report", "export"])
def test_a_folder_that_is_not_there_is_named_before_any_work(command, run, tmp_path, capsys):
    file = tmp_path / "nowhere/a.zip"
    assert main([command, run.id, "--runs", str(run.folder.parent), "--out", str(file)]) == 1
    assert f"there is no folder {file.parent}; make it" in capsys.readouterr().err

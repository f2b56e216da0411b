"""The lab report holds what the run did and what the student wrote, and needs nothing from a network."""

import io
import re
import zipfile

import pytest

from core import experiment
from core.__main__ import main
from core.exchange import pictures, report
from core.runs import notes, store, writing
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
        assert f"{row.nearest_true_id}, {row.nearest_true_distance:.2f}" in text
        assert f"{row.nearest_predicted_id}, {row.nearest_predicted_distance:.2f}" in text
    assert "&lt;b&gt;thin" in text
    assert "4 and 9 &amp; more" in text
    assert text.count('src="data:image/png;base64,') == 2 * 3 * len(wrong)
    assert not re.search(r"(src|href)=\"(?!data:)|https?:|url\(|<script", text)


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
    assert {"report.html", f"{run.id}/settings.json", f"{run.id}/history.csv"} <= names
    assert {f"{run.id}/{name}" for name in pictures.files(store.mistakes(run), digits)} <= names
    assert store.mistakes(run).id[0] in csv


def test_another_kind_of_file_is_refused(run, tmp_path, capsys):
    assert main(["report", run.id, "--runs", str(run.folder.parent), "--out", str(tmp_path / "a.pdf")]) == 2
    assert ".html or a .zip" in capsys.readouterr().err

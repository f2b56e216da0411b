"""The Mistakes page without a browser: every order and filter, its parts, notes and what is kept."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.parts import biographies, gallery
from app.parts.messages import percent
from core import experiment
from core.analysis import biography, confusion, disputes, explain
from core.exchange import report
from core.runs import explaining, notes, store, suspicion, writing
from tests.app.conftest import ROOT
from tests.app.pages import go, open_page, texts


def test_mistakes_counts_lists_and_filters(lab_with_runs, trained):
    app = open_page("mistakes")
    table = store.mistakes(trained)
    assert f"{len(table)} of 24 test images misclassified" in texts(app)
    assert shown_ids(app) == table["id"].tolist()
    next(box for box in app.selectbox if box.label == "Show").select("classified correctly").run()
    assert len(shown_ids(app)) == 24 - len(table)
    next(box for box in app.selectbox if box.label == "Show").select("all").run()
    assert len(shown_ids(app)) == 24
    assert not app.exception
    next(box for box in app.text_input if box.label == "Id contains").input("nobody").run()
    assert "No image of this kind" in texts(app)


def shown_ids(app) -> list[str]:
    """Of the images in the gallery, in their order: those of its table, which is open from then on."""
    if not app.session_state["mistakes_table"]:
        app.session_state["mistakes_table"] = True
        app.run()
    return next((each.value for each in app.dataframe if "id" in each.value), {"id": pd.Series()})["id"].tolist()


def test_the_matrix_of_many_classes_is_bounded(lab_with_runs, trained, digits, monkeypatch):
    assert "classes with the most mistakes" not in texts(open_page("mistakes"))
    assert "classes with the most mistakes" not in report.page([trained], [digits])
    of_all = confusion.most_confused
    monkeypatch.setattr(confusion, "most_confused", lambda counts: of_all(counts, 2))
    assert "The 2 of 4 classes with the most mistakes" in texts(open_page("mistakes"))
    drawn = report.page([trained], [digits])
    assert "The 2 of 4 classes with the most mistakes" in drawn
    assert drawn.count('<td class="same">') == 2


def test_mistakes_in_every_order_and_filter(lab_with_runs, trained, digits):
    app = open_page("mistakes")
    table, run = store.mistakes(trained), store.find(lab_with_runs, trained.id)
    forgotten = dict(zip(digits.test.ids, explaining.biographies(run, digits).forgotten.tolist(), strict=True))
    margin = table["nearest_predicted_distance"] - table["nearest_true_distance"]
    by = {
        "id": sorted(table["id"]),  # all have four digits
        "surest": table["id"][table["score"].sort_values(ascending=False, kind="stable").index].tolist(),
        "unsure": table["id"][table["score"].sort_values(kind="stable").index].tolist(),
        "margin": table["id"][margin.sort_values(kind="stable").index].tolist(),
        "forgotten": sorted(table["id"], key=lambda name: (-forgotten[name], table["id"].tolist().index(name))),
    }
    for order, expected in by.items():
        next(box for box in app.selectbox if box.label == "Sort by").select(order).run()
        assert shown_ids(app) == expected, order
    row, last = table.iloc[0], by["forgotten"]
    true, called = digits.class_numbers.index(row["true"]), digits.class_numbers.index(row["predicted"])
    app.selectbox(key="mistakes_true").select(true).run()
    of_class = set(table["id"][table["true"] == row["true"]])
    assert shown_ids(app) == [name for name in last if name in of_class]
    app.selectbox(key="mistakes_called").select(called).run()
    pair = set(table["id"][(table["true"] == row["true"]) & (table["predicted"] == row["predicted"])])
    assert shown_ids(app) == [name for name in last if name in pair]
    next(button for button in app.button if button.label == "Clear").click().run()
    assert set(shown_ids(app)) == set(table["id"])
    notes.save(run, row["id"], notes.Note("", ("blurred",)))
    app.run()
    app.selectbox(key="mistakes_tag").select("blurred").run()
    assert shown_ids(app) == [row["id"]]
    assert not app.exception


def test_no_mistakes_is_said(lab_with_runs, trained, digits):
    run = store.find(lab_with_runs, trained.id)
    file = store.embeddings_file(run, run.result.epochs)
    with np.load(file) as arrays:
        kept = dict(arrays)
    np.savez(file, **kept | {"predicted": digits.test.labels})
    app = open_page("mistakes")
    assert "No mistakes" in texts(app)
    assert "0 of 24 test images misclassified" in texts(app)
    next(box for box in app.selectbox if box.label == "Show").select("classified correctly").run()
    assert len(shown_ids(app)) == 24


@pytest.mark.parametrize("view", ["biographies", "runs", "labels", "report", "nonsense"])
def test_every_part_of_mistakes_has_an_address(lab_with_runs, trained, digits, view):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    app.query_params["run"], app.query_params["view"] = trained.id, view
    go(app.run(), "mistakes")
    assert not app.exception
    said = {
        "biographies": "forgetting event",
        "runs": "No other run has a result",
        "labels": "train one with a validation share",
        "report": "A draft from the figures",
        "nonsense": "test images misclassified",
    }
    assert said[view] in texts(app)


def test_biographies_count_each_class(lab_with_runs, trained, digits):
    for training in (False, True):
        told = explaining.biographies(trained, digits, training=training)
        table = biographies.counts(told, digits)
        for kind in biography.KINDS:
            of_kind = [label for label, each in zip(told.true, told.kinds, strict=True) if each == kind]
            assert table.loc[kind, "all"] == len(of_kind)
            assert [table.loc[kind, name] for name in digits.classes] == [of_kind.count(label) for label in range(4)]


def test_the_kinds_are_defined_where_they_are_counted(lab_with_runs, trained):
    """Not in a column, which a projector or many classes would cut off."""
    written = texts(open_page("mistakes", run=trained.id, view="biographies"))
    for kind, meaning in biography.KINDS.items():
        assert f"**{kind}**: {meaning}" in written


def test_precision_recall_and_f1_beside_the_matrix():
    counts = np.array([[3, 1, 0], [1, 4, 0], [0, 1, 0]])
    shown = dict(gallery.shares(counts, np.array([0, 2])))
    assert shown == {"precision": ["75.0", "–"], "recall": ["75.0", "0.0"], "F1": ["75.0", "0.0"]}


def test_the_table_names_classes_neighbours_and_distances(lab_with_runs, trained, digits):
    app = open_page("mistakes")
    shown_ids(app)
    table, found = next(each.value for each in app.dataframe if "id" in each.value), store.mistakes(trained)
    names = digits.name_of
    assert table["true"].tolist() == [names[number] for number in found["true"]]
    assert table["predicted"].tolist() == [names[number] for number in found["predicted"]]
    assert table["nearest of the predicted class"].tolist() == found["nearest_predicted_id"].tolist()
    assert table["d(true)"].tolist() == found["nearest_true_distance"].round(2).tolist()


def test_an_image_classified_correctly_stands_beside_its_rival(lab_with_runs, trained, digits):
    """Its nearest training image of the predicted class is that of the true class: shown once, beside another class."""
    row = int(np.flatnonzero(store.embedded(trained, 2).predicted == digits.test.labels)[0])
    found = explaining.why(trained, digits, row)
    written = texts(at_image(trained, digits.test.ids[row]))
    other, far = found.nearest_other
    name = digits.classes[digits.train.labels[other]]
    assert f"nearest {name} · {far:.2f}" in written
    assert digits.train.ids[other] in written
    assert written.count(f'alt="nearest {digits.classes[found.true]} ') == 1
    assert "d(other)" in written


def test_disputed_test_images_are_listed_with_their_votes(lab_with_runs, trained, digits, monkeypatch):
    pixels = hashlib.sha256(digits.test.images[0].tobytes()).hexdigest()
    dispute = disputes.Dispute(digits.classes[digits.test.labels[0]], "5 of 5 people say 6", pixels)
    monkeypatch.setitem(disputes.DISPUTED, digits.test.ids[0], dispute)
    labelled, without = disputes.accuracies(store.embedded(trained, 2).predicted, digits)
    written = texts(open_page("mistakes", run=trained.id, view="labels"))
    assert "**1 of 24 test images** have a label that people dispute" in written
    assert f"as labelled: {percent(labelled)}; without them: {percent(without)}." in written
    assert "⚠ disputed: 5 of 5 people say 6" in texts(at_image(trained, digits.test.ids[0]))


def test_an_answer_is_kept_and_a_draft_is_not(lab_with_runs, trained):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    app.query_params["run"], app.query_params["view"] = trained.id, "report"
    go(app.run(), "mistakes")
    run = store.find(lab_with_runs, trained.id)
    draft = app.text_area[0].value
    assert "of 24 test images are misclassified" in draft
    assert notes.read(run).answers == {}
    app.text_area[0].input("They are thin.").run()
    app.text_area[1].input("7 and 9").run()
    assert notes.read(run).answers == {report.ANALYSIS: "They are thin.", report.QUESTIONS[0]: "7 and 9"}
    next(button for button in app.button if button.label == "Draft anew").click().run()
    assert app.text_area[0].value == draft
    assert not notes.read(run).answers[report.ANALYSIS]
    assert not app.exception


def test_mistakes_by_another_rule(lab_with_runs, trained, digits):
    app = open_page("mistakes")
    next(box for box in app.selectbox if box.label == "Rule").select("nearest_mean").run()
    labels, _ = explain.predict_all(store.embedded(trained, 2), digits.train.labels, "nearest_mean", 1)
    assert f"{(labels != digits.test.labels).sum()} of 24 test images" in texts(app)


def at_image(trained, name: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    app.query_params["run"], app.query_params["image"] = trained.id, name
    return go(app.run(), "mistakes")


def test_why_of_one_image_with_a_note(lab_with_runs, trained, digits):
    row = store.mistakes(trained).iloc[0]
    app = at_image(trained, row["id"])
    found = explaining.why(trained, digits, int(row["test_index"]))
    assert explain.sentence(found, digits.classes) in texts(app)
    assert f"nearest {digits.classes[found.predicted]} · {found.nearest_predicted[1]:.2f}" in texts(app)
    app.text_area[0].input("broken <b>").run()
    assert not app.exception
    assert notes.read(store.find(lab_with_runs, trained.id)).images[row["id"]] == notes.Note("broken <b>")
    app.slider(key="why_k").set_value(7).run()
    assert "of 7 votes" in texts(app)


def test_an_unknown_image_in_the_address_is_named(lab_with_runs, trained):
    app = at_image(trained, "../../x")
    assert not app.exception
    assert "There is no test image" in texts(app)


def test_mistakes_exports_three_pictures_each(lab_with_runs, trained, tmp_path):
    app = open_page("mistakes")
    next(button for button in app.button if button.label == "Export as PNG").click().run()
    assert not app.exception
    pictures = list((tmp_path / "pics" / trained.id).glob("img*.png"))
    assert len(pictures) == 3 * len(store.mistakes(trained)) > 0


def test_doubted_images_are_left_out_of_the_next_run_by_choice(lab, tiny, digits):
    wrong = digits.train.labels.copy()
    config = tiny.changed(validation_share=0.5)
    with writing.create(config, digits, lab) as writer:
        for _ in experiment.run(writer, digits):
            pass
    run, draw = store.read(writer.folder), np.random.default_rng(0)
    held = suspicion.out_of_sample(run, digits)[0]
    wrong[held[0]] = (wrong[held[0]] + 1) % 4  # one held image lies among those of another class
    file = store.embeddings_file(run, 2)
    with np.load(file) as arrays:
        kept = dict(arrays)
    train = 10 * np.eye(8)[wrong] + 0.1 * draw.normal(size=(48, 8))
    np.savez(file, **kept | {"train": train.astype(kept["train"].dtype)})
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    app.query_params["run"], app.query_params["view"] = run.id, "labels"
    go(app.run(), "mistakes")
    assert app.session_state["form"].texts["exclude"] == ""  # nothing is removed silently
    next(button for button in app.button if button.label == "Leave this one out of the next run").click().run()
    doubted = digits.train.ids[held[0]]
    assert app.session_state["form"].config()[0].exclude == (doubted,)
    assert app.query_params["exclude"] in (doubted, [doubted])
    assert "The next run leaves out **1 training image**" in texts(app)
    next(button for button in app.button if button.label == "Take them back").click().run()
    assert app.session_state["form"].config()[0].exclude == ()
    assert not app.exception

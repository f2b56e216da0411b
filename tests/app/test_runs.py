"""Runs without a browser: the table, what is done with ticked runs, the comparison, races, receipts."""

import json
import shutil

import pytest

from app import actions
from app.drawing import comparison as drawing
from app.parts import racing
from app.parts.messages import percent
from core import race, replay
from core.runs import store, writing
from core.runs.comparison import compare_runs
from core.runs.files import StoreError
from core.runs.queue import queue
from tests.app.pages import open_page, texts
from tests.app.test_control import click, only_run, train
from tests.core.test_race import SMALL

RUNS = "runs"


def tick(app, *rows: int):
    """Ticks rows of the table of runs."""
    key = app.dataframe[0].proto.id.rsplit("-", 1)[-1]
    app.session_state[key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    app.run()
    assert not app.exception
    return app


def press(app, label: str):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def test_a_run_is_renamed_archived_taken_back_and_deleted(lab_with_runs, trained):
    app = open_page(RUNS)
    row = list(app.dataframe[0].value["Id"]).index(trained.id)
    tick(app, row)
    app.text_input(key=f"name_{trained.id}").set_value("  Ours  ")  # and without a pause:
    click(app, "rename")
    assert "Ours" in set(app.dataframe[0].value["Run"])
    press(app, "Archive")
    assert trained.id not in set(app.dataframe[0].value["Id"])
    app.toggle(key="show_archived").set_value(True).run()
    row = list(app.dataframe[0].value["Id"]).index(trained.id)
    press(tick(app, row), "Take back")
    assert not store.find(lab_with_runs, trained.id).archived
    row = list(app.dataframe[0].value["Id"]).index(trained.id)
    press(tick(app, row), "Delete …")
    assert "They can be brought back for 14 days" in texts(app)
    click(app, "keep")
    assert (lab_with_runs / trained.id).exists()
    press(app, "Delete …")
    click(app, "delete_now")
    assert not (lab_with_runs / trained.id).exists()
    assert trained.id not in set(app.dataframe[0].value["Id"])
    click(app, f"back_{trained.id}")
    assert trained.id in set(app.dataframe[0].value["Id"])


def test_several_runs_are_deleted_at_once_a_damaged_one_among_them(lab_with_runs):
    app = open_page(RUNS)
    press(tick(app, *range(len(app.dataframe[0].value))), "Delete …")
    click(app, "delete_now")
    assert store.list_runs(lab_with_runs) == []
    assert len([button for button in app.button if button.label == "Bring back"]) == 4
    click(app, "empty_trash")
    assert not [button for button in app.button if button.label == "Bring back"]
    assert not list((lab_with_runs / ".trash").iterdir())


def test_a_run_in_training_is_not_deleted(lab, tiny, digits):
    with writing.create(tiny, digits, lab):
        app = tick(open_page(RUNS), 0)
        assert next(button for button in app.button if button.label == "Delete …").disabled
        state_before = only_run(lab)
        with pytest.raises(StoreError, match="in the hands of another process"):
            actions.delete([state_before])


@pytest.fixture
def two(lab, tiny, digits) -> list[store.Run]:
    """Two runs that differ in their seed, the newest first."""
    for seed in (0, 1):
        train(tiny.changed(seed=seed), digits, lab)
    return store.list_runs(lab)


def test_the_table_says_of_each_run_what_its_files_say(lab_with_runs, trained):
    table = open_page(RUNS).dataframe[0].value
    assert sorted(table["Status"]) == ["damaged", "done", "failed", "interrupted"]
    row = table[table["Id"] == trained.id].iloc[0]
    history = store.history(trained)
    best = history["test_accuracy"].max()
    first = history["epoch"][history["test_accuracy"].idxmax()]
    assert row["Test accuracy"] == 100 * trained.result.test_accuracy
    assert row["Best on test"] == f"{100 * best:.1f} % ({first})"
    assert (row["Epochs"], row["Seed"], row["Mistakes"]) == ("2 of 2", 0, len(store.mistakes(trained)))
    assert row["Time"] == trained.seconds


def test_search_and_status_leave_what_matches(lab_with_runs, trained):
    app = open_page(RUNS)
    app.multiselect(key="runs_status").set_value(["done"]).run()
    assert list(app.dataframe[0].value["Id"]) == [trained.id]
    app.multiselect(key="runs_status").set_value([])
    app.text_input(key="runs_search").set_value(trained.id[-6:].upper()).run()
    assert list(app.dataframe[0].value["Id"]) == [trained.id]
    app.text_input(key="runs_search").set_value("nothing like it").run()
    assert "No run matches" in texts(app)


def test_the_newest_is_followed_whatever_is_ticked(two, lab, tiny, digits):
    app = open_page(RUNS)
    assert "Tick a run" in texts(app)
    app.toggle(key="follow_newest").set_value(True).run()
    assert f"{percent(two[0].result.test_accuracy)} of 24 test images" in texts(app)
    newest = store.find(lab, train(tiny.changed(seed=2), digits, lab))
    app.run()
    assert f"{percent(newest.result.test_accuracy)} of 24 test images" in texts(app)


def test_two_ticked_runs_are_compared(two, digits):
    app = tick(open_page(RUNS), 0, 1)
    found = compare_runs(two, digits)
    (pair,) = found.pairs.values()
    written = texts(app)
    assert "A classifies" in written or "B classifies" in written or "A and B classify" in written
    table = next(each.value for each in app.dataframe if "to A" in each.value)
    assert list(table["Wrong"]) == [run.result.mistakes for run in two]
    assert list(table["Test"]) == [percent(run.result.test_accuracy) for run in two]
    assert app.query_params["runs"] == ",".join(run.id for run in two)
    assert written.count('<figure class="lab-matrix">') == 2
    differs = app.dataframe[-1].value
    assert list(differs.index) == ["Seed"]
    (pills,) = app.get("button_group")[-1:]
    assert f"only A right ({len(pair.only_a_right)})" in str(pills.proto)


def test_a_race_is_begun_and_shown_to_its_end(lab, digits, monkeypatch):
    app = open_page(RUNS)
    click(app, "race")
    assert "Each looks at as many images an epoch" in texts(app)
    vary = {"selection": ["all", "batch_hard"]}
    monkeypatch.setattr("app.reading.data_set", lambda: digits)
    name = actions.begin_race("facenet-semi-hard", vary, 1, **SMALL)
    assert queue().join(120)
    app.query_params["race"] = name
    app.run()
    assert not app.exception
    written = texts(app)
    assert "All valid ones" in written
    assert "Batch-hard" in written
    (held,) = race.all_races(lab)
    rows = race.standing(held, race.runs_of(held, lab))
    assert f"All reached {percent(rows[0]['to_common'])}" in written
    table = app.dataframe[-1].value
    assert sorted(table["Id"]) == sorted(held.runs)
    assert list(table["Test accuracy"]) == sorted((100 * row["test_accuracy"] for row in rows), reverse=True)
    click(app, "race_compare")
    assert set(app.query_params["runs"].split(",")) == set(held.runs)
    app.query_params["race"] = "race-20260101-000000-0000"
    app.run()
    assert "There is no race" in texts(app)


def test_a_receipt_rebuilds_the_form_and_is_replayed(lab_with_runs, trained):
    app = open_page(RUNS)
    tick(app, list(app.dataframe[0].value["Id"]).index(trained.id))
    assert replay.receipt(trained) in texts(app)
    click(app, "replay")
    assert queue().join(120)
    app.run()
    assert "Bit for bit the same: 2 epochs" in texts(app)


def test_a_changed_run_is_caught_on_the_page(lab, trained, tmp_path):
    lab.mkdir()
    folder = shutil.copytree(trained.folder, lab / "20261127-000000-changed-0000")
    facts = json.loads((folder / "run.json").read_text())
    facts["config"]["seed"] = 5
    (folder / "run.json").write_text(json.dumps(facts))
    app = tick(open_page(RUNS), 0)
    click(app, "replay")
    assert queue().join(120)
    app.run()
    assert "Epoch 1 is the first that differs" in texts(app)


def test_colours_are_those_of_the_run_everywhere(two):
    colours = [drawing.run_colour(run) for run in two]
    assert len(set(colours)) == 2
    app = open_page("train", two[0].id)
    assert colours[0] in texts(app)
    assert colours[1] not in texts(app)


def test_lanes_that_needed_as_few_images_are_both_named():
    shared = {"to_common": 0.8, "images_to": 4000}
    rows = [{"run": "a", "seconds_to": 24.2} | shared, {"run": "b", "seconds_to": 23.8} | shared]
    rows.append({"run": "c", "seconds_to": 30.0} | shared | {"images_to": 8000})
    told = racing.first_there(rows, {"a": "All valid", "b": "Semi-hard", "c": "Batch-hard"})
    assert "80.0 %" in told
    assert "**All valid** and **Semi-hard** with the fewest images, 4,000" in told
    assert "**Semi-hard** in the least time, 24 s" in told
    assert "Batch-hard" not in told

"""What the Train page says of a run: its progress and its results, each with its epoch."""

import dataclasses

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.views import train
from core.learning.states import Status
from core.runs import latest_step, store
from core.runs.store import Run
from core.settings.presets import PRESETS, from_preset
from tests.app.conftest import ROOT
from tests.app.pages import PAGES, go, open_page, texts


@pytest.fixture
def running(tmp_path) -> Run:
    return Run("a-run", tmp_path, Status.RUNNING, from_preset("quick", epochs=4), steps_per_epoch=10)


def rows(*steps: tuple[int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(steps, columns=["epoch", "step", "seconds"])


def test_loading_ends_when_the_network_stands(running):
    assert train.progress(running, rows()) == (0.0, "The first steps …")
    loading = dataclasses.replace(running, steps_per_epoch=0)
    assert train.progress(loading, rows())[1].startswith("Loading PyTorch")


def test_the_time_to_go_is_told_from_the_second_row_on_and_runs_down_between_rows(running):
    assert "to go" not in train.progress(running, rows((1, 1, 5.0)))[1]
    two = rows((1, 1, 5.0), (1, 2, 6.0))
    assert "7 s elapsed · about 37 s to go" in train.progress(running, two, 1.0)[1]
    assert "16 s elapsed · about 28 s to go" in train.progress(running, two, 10.0)[1]
    assert "to go" not in train.progress(running, two, 1000.0)[1]  # nobody knows: nothing is said


def test_an_evaluation_shows_how_far_it_is(running):
    running.folder.joinpath("testing").write_text("1200 of 3000")
    assert "Epoch 1/4 · testing 1,200 of 3,000 images · " in train.progress(running, rows((1, 10, 9.0)))[1]
    stopping = dataclasses.replace(running, status=Status.STOPPING)
    assert "testing 1,200 of 3,000 images …" in train.progress(stopping, rows((1, 4, 9.0)))[1]


def test_a_run_that_kills_its_process_says_so(lab_with_runs):
    run = next(run for run in store.list_runs(lab_with_runs) if run.status == "interrupted")
    file = run.folder / "run.json"
    file.write_text(file.read_text().replace('"starts": 0', '"starts": 2'))
    shown = texts(open_page(PAGES[1], run.id))
    assert "is not resumed by itself: its process died 2 times in a row" in shown
    assert "Resume goes on at epoch 1, step 1." in shown


def test_start_refuses_what_does_not_fit_into_memory_and_says_what_to_lower(lab):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    app.query_params |= {"width": "128", "blocks": "64,64,64,64,64,64", "neighbours": "3"}
    go(app.run(), PAGES[1])
    next(button for button in app.button if button.label == "Start").click().run()
    (said,) = [error.value for error in app.error]
    assert "GB of memory, and" in said
    assert "lower “Blocks in each stage”, “Width” or “" in said
    assert store.list_runs(lab) == []


def table(*accuracies: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": range(1, len(accuracies) + 1),
            "steps": 10,
            "test_accuracy": accuracies,
            "train_accuracy": 0.991,
            "train_loss": 0.08,
            "test_loss": 0.07,
        }
    )


def test_each_number_says_its_epoch_and_the_best_one_its_own(running):
    figures = {name: (value, of) for name, value, of in train.figures(running, table(0.97, 0.985, 0.984))}
    assert figures["Test accuracy"] == ("98.4 %", "epoch 3 · best on test 98.5 % at 2")
    assert figures["Train accuracy"] == ("99.1 %", "epoch 3 · best 99.1 % at 1")
    assert figures["Train loss"] == ("0.080", "mean of epoch 3 · best 0.080 at 1")
    assert {value for _, value, _ in train.figures(running, table())} == {"–"}


def test_the_numbers_of_an_unfinished_epoch_say_how_many_steps(running):
    history = table(0.9, 0.91)
    history.loc[1, "steps"] = 4
    assert train.figures(running, history)[1][2] == "4 of 10 steps of epoch 2 · best 99.1 % at 1"


def test_a_runs_own_settings_are_shown_apart_from_the_form(lab_with_runs, trained):
    app = open_page(PAGES[1], trained.id)
    app.text_input(key="set_epochs").set_value("77").run()
    shown = texts(app)
    assert "Next run" in shown
    assert f"Run: {trained.title}" in shown
    assert f"<dt>Epochs</dt><dd>{trained.config.epochs}</dd>" in shown


def test_a_finished_run_without_its_latest_step_is_not_said_to_wait_for_one(lab_with_runs, trained):
    (lab_with_runs / trained.id / latest_step.NAME).unlink()
    shown = texts(open_page(PAGES[1], trained.id))
    assert "Microscope: this run keeps no step to look at." in shown
    assert "before the first step" not in shown


def test_a_data_set_in_the_address_that_is_not_there_is_named(lab):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    app.query_params["data"] = "nosuch"
    app.run()
    said = "There is no data set “nosuch” in this lab: the lab's own data set is in use."
    assert said in texts(app)
    assert said in texts(go(app, PAGES[1]))  # until it has been read
    next(button for button in app.button if button.label == "Understood").click().run()
    assert said not in texts(app)


def test_a_field_holds_what_is_asked_for_even_if_what_sets_it_gets_lost(lab):
    """Streamlit drops what a drawing sends to set a field where the drawing gives way to the next one."""
    app = open_page("train", preset="collapse", margin="0.5")
    assert app.text_input(key="set_margin").proto.default == "0.5"
    picker = app.selectbox(key="form_preset").proto
    assert picker.options[picker.default] == PRESETS["collapse"].title
    app.text_input(key="set_margin").set_value("0.7").run()
    assert app.text_input(key="set_margin").proto.default == "0.7"

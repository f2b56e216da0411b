"""What the buttons of Train do to runs, without a browser."""

import threading
from contextlib import contextmanager

import pytest

from app import session
from core import experiment
from core.learning.events import StepDone
from core.runs import store, writing
from core.runs.queue import queue
from tests.app.pages import PAGES, open_page, texts

HOME, TRAIN = PAGES[:2]
CONTROLS = ("pause", "stop", "resume", "continue", "again")


@contextmanager
def another_run():
    """Keeps the queue busy: what is started meanwhile waits."""
    free = threading.Event()
    queue().submit("another", lambda control: iter(free.wait, True))
    try:
        yield
    finally:
        free.set()


def train(config, digits, runs, ended_by: str = "", after: int = 0) -> str:
    """The id of a run that has ended, by itself or after so many steps."""
    steps = []
    with writing.create(config, digits, runs) as writer:
        for event in experiment.run(writer, digits, lambda: ended_by if len(steps) >= after else None):
            if isinstance(event, StepDone):
                steps.append(event)
    return writer.id


def controls(app) -> list[str]:
    return [button.key for button in app.button if button.key in CONTROLS]


def click(app, key: str):
    app.button(key=key).click().run()
    assert not app.exception
    return app


def only_run(runs) -> store.Run:
    (run,) = store.list_runs(runs)
    return run


def test_the_buttons_fit_the_state(lab_with_runs):
    said = {}
    for run in store.list_runs(lab_with_runs):
        if run.config:
            app = open_page(TRAIN, run.id)
            said[run.status] = controls(app), texts(app)
    assert said["done"][0] == ["continue", "again"]
    assert said["failed"][0] == said["interrupted"][0] == ["resume", "again"]
    words = "The process that trained it ended; nothing saved is lost. Resume goes on at epoch 1, step 1."
    assert words in said["interrupted"][1]


def test_a_diverged_run_cannot_be_resumed_but_changed(lab, tiny, digits):
    with writing.create(tiny, digits, lab) as writer:
        writer.update(status="failed", diverged=True, error="the weights ran away")
    assert controls(open_page(TRAIN, writer.id)) == ["again"]


def test_a_waiting_run_is_paused_and_resumed(lab, tiny, digits):
    with another_run():
        app = open_page(TRAIN)
        app.text_input(key="set_epochs").set_value("1").run()
        app.text_input(key="set_blocks").set_value("1, 1")
        app.text_input(key="set_width").set_value("8").run()
        next(button for button in app.button if button.label == "Start").click().run()
        assert "queued, 1 before it" in texts(app)
        assert controls(app) == ["pause", "stop"]
        click(app, "pause")
        assert only_run(lab).status == "paused"
        assert "Paused. Resume goes on at epoch 1, step 1." in texts(app)
        click(app, "resume")
        assert only_run(lab).status == "queued"
    assert queue().join(60)
    assert only_run(lab).status == "done"
    assert controls(app.run()) == ["continue", "again"]


def test_a_pause_within_an_epoch_says_where_it_goes_on(lab, tiny, digits):
    run_id = train(tiny, digits, lab, "pause", after=2)
    app = open_page(TRAIN, run_id)
    assert "Paused. Resume goes on at epoch 1, step 3." in texts(app)


def test_a_finished_run_goes_on_for_more_epochs_and_its_alike_begins_anew(lab, tiny, digits):
    run_id = train(tiny.changed(epochs=1), digits, lab)
    app = open_page(TRAIN, run_id)
    assert app.button(key="continue").label == "Continue by 5 epochs"
    app.text_input(key="more_epochs").set_value("1")  # typed, and the button pressed at once
    click(app, "continue")
    assert queue().join(60)
    assert (only_run(lab).status, only_run(lab).result.epochs) == ("done", 2)
    click(app.run(), "again")
    assert queue().join(60)
    newest = store.list_runs(lab)[0]
    assert newest.id != run_id
    assert app.query_params["run"] in (newest.id, [newest.id])
    assert newest.config == store.find(lab, run_id).config


def test_the_settings_of_a_run_fill_the_form(lab, tiny, digits):
    chosen = {"sampling": "chosen_triplets", "positive_classes": (7,), "negative_classes": (1, 9)}
    changed = tiny.changed(preset="facenet-semi-hard", **chosen)
    app = open_page(TRAIN, train(changed, digits, lab))
    assert app.selectbox(key="form_preset").value == "quick"
    click(app, "use")
    assert app.selectbox(key="form_preset").value == "facenet-semi-hard"
    assert app.text_input(key="set_negative_classes").value == "1, 9"
    with another_run():
        next(button for button in app.button if button.label == "Start").click().run()
        assert store.list_runs(lab)[0].config == changed
        click(app, "stop")


@pytest.mark.parametrize(("seconds", "expected"), [(60.0, 1), (0.0, 2)])
def test_a_double_click_on_start_begins_one_run(lab, monkeypatch, seconds, expected):
    monkeypatch.setattr(session, "_DOUBLE_CLICK", seconds)
    with another_run():
        app = open_page(TRAIN)
        for _ in range(2):
            next(button for button in app.button if button.label == "Start").click().run()
        runs = store.list_runs(lab)
        assert len(runs) == expected
        assert app.query_params["run"] in (runs[0].id, [runs[0].id])
        for run in runs:
            queue().stop(run.id)


def test_what_cannot_be_done_is_said_in_place(lab, tiny, digits):
    run_id = train(tiny.changed(epochs=1), digits, lab)
    app = open_page(TRAIN, run_id)
    with writing.RunWriter(lab / run_id):  # as a command line beside the dashboard does
        click(app, "continue")
        assert "in the hands of another process" in app.error[0].value
        assert controls(app) == ["continue", "again"]


def test_a_run_of_another_process_hears_pause_and_stop(lab, tiny, digits):
    with writing.create(tiny, digits, lab) as writer:
        writer.update(status="running")
        app = open_page(TRAIN, writer.id)
        assert "Trained by another process" in texts(app)
        click(app, "pause")
        assert writer.requested() == "pause"
        assert app.button(key="pause").disabled
        click(app, "stop")
        assert writer.requested() == "stop"
        assert app.button(key="stop").disabled
        writer.update(status="stopped")


def test_names_and_notes_are_shown_as_they_are(lab, tiny, digits):
    run_id = train(tiny, digits, lab)
    name = "![x](https://example.org/x.png) **b** :red[c] $d$ <i>"
    store.rename(store.find(lab, run_id), name)
    shown = next(each.value for each in open_page(TRAIN, run_id).subheader if each.value.startswith("Run: "))
    shown = shown.removeprefix("Run: ")
    assert shown.replace("\\", "").replace("\u2060", "") == name
    assert all(shown[place - 1] == "\\" for place, letter in enumerate(shown) if letter in "![]*:$<")

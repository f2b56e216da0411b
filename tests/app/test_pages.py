"""Each page without a browser: empty, with runs of every kind, with bad input. Nothing trains for long."""

import io
import json
import runpy
import shutil
import threading
import time
import zipfile
from pathlib import Path

import pytest
from streamlit.runtime.scriptrunner import RerunData, RerunException
from streamlit.testing.v1 import AppTest

from app import session
from app.parts.messages import percent
from core import experiment, places
from core.dataset import loader
from core.exchange import packed_runs
from core.learning.events import StepDone
from core.runs import store, writing
from core.runs.queue import queue
from core.settings.config import GROUPS, applies, settings
from core.settings.in_words import tidy
from core.settings.presets import PRESETS, from_preset
from tests.app.conftest import ROOT
from tests.app.pages import PAGES, go, open_page, texts
from tests.core.folders import write_set

HINTS = {"home": "What to do first", "train": "press **Start**"}
HINTS |= dict.fromkeys(("runs", "embedding", "try", "mistakes"), "Train one first")


@pytest.mark.parametrize(("page", "hint"), HINTS.items())
def test_every_page_without_runs_says_what_to_do(lab, page, hint):
    assert hint in texts(open_page(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_without_anything_explains_itself(tmp_path, monkeypatch, page):
    for each in ("DATA", "RUNS", "PICS", "UPLOADS"):
        monkeypatch.setenv(f"TRIPLETLAB_{each}", str(tmp_path / each))
    open_page(page)  # without a traceback


@pytest.mark.parametrize("page", PAGES)
def test_every_page_with_runs_of_every_kind(lab_with_runs, page):
    assert not open_page(page).error


def test_a_process_that_helps_the_lab_draws_nothing():
    """What multiprocessing does in one that was begun while a page was being drawn."""
    runpy.run_path(str(ROOT / "app" / "main.py"), run_name="__mp_main__")


def test_without_a_data_set_home_offers_to_prepare_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(tmp_path / "runs"))
    app = open_page(PAGES[0])
    assert str(tmp_path / "none") in texts(app)
    assert "Prepare the data set" in [button.label for button in app.button]
    app = open_page(PAGES[1])
    next(button for button in app.button if button.label == "Start").click().run()
    assert str(tmp_path / "none") in texts(app)


def test_home_names_the_data_set_and_the_latest_runs(lab_with_runs, digits, trained):
    app = open_page(PAGES[0])
    assert digits.description in texts(app)
    assert not app.dataframe  # the one list of runs is on Runs
    assert f"{percent(trained.result.test_accuracy)} of 24 test images, after epoch 2" in texts(app)
    assert "20260101-000000-broken-0000 is damaged" in texts(app)


def test_what_misleads_in_the_images_is_said_on_home_and_with_the_run(lab, digits, tiny, tmp_path, monkeypatch):
    folder = shutil.copytree(digits.folder, tmp_path / "copied")
    shutil.copy(digits.train.files[0], folder / digits.test.files[0].relative_to(digits.folder))
    monkeypatch.setenv("TRIPLETLAB_DATA", str(folder))
    note = f"1 of 24 test images is an exact copy of training images (first: {digits.test.ids[0]}, of "
    app = open_page(PAGES[0])
    assert note in texts(app)
    writing.create(tiny, loader.load(folder), places.runs_folder()).close()
    monkeypatch.setenv("TRIPLETLAB_DATA", str(digits.folder))
    assert note not in texts(open_page(PAGES[0]))
    app = open_page(PAGES[1])
    assert "About the images of this run:" in texts(app)
    assert note in texts(app)


# Presets with which each field is shown and, if some preset hides it, hidden
FORMS = ("quick", "collapse", "resnext32", "facenet-chosen-classes", "densenet52", "facenet-best", "overfit")


def fields_of(presets) -> set[tuple[str, bool]]:
    """The fields of forms, shown or not."""
    return {(field.name, bool(applies(field, dict(from_preset(name))))) for field in settings() for name in presets}


def test_the_form_shows_each_setting_with_its_help_and_bounds(lab):
    assert fields_of(FORMS) == fields_of(PRESETS)
    app = open_page(PAGES[1])
    often = {widget.key for widget in [*app.selectbox, *app.text_input]}
    assert "set_epochs" in often
    assert "set_seed" not in often  # not drawn before its fold is opened
    for preset in FORMS:
        for group in GROUPS:
            app.session_state[f"fold_{group}"] = True
        app.selectbox(key="form_preset").select(preset).run()
        config = from_preset(preset)
        widgets = {widget.key: widget for widget in [*app.selectbox, *app.text_input] if widget.key}
        for field in settings():
            wanted = applies(field, dict(config))
            assert (f"set_{field.name}" in widgets) == wanted, field.name
            if wanted:
                widget, value = widgets[f"set_{field.name}"], getattr(config, field.name)
                assert widget.value == (value if field.choices else tidy(value))
                assert field.help in widget.help
                if field.type in (int, float) and not field.choices:
                    assert f"From {field.low:,g} to {field.high:,g}" in widget.help


def test_what_is_typed_stays_though_the_browser_asks_again_meanwhile(lab, monkeypatch):
    """A click that leaves a field follows what was typed: Streamlit breaks off the callback of the field for it."""
    app, known, asked = open_page("train"), session.form, []

    def broken_off():
        if not asked:
            asked.append(True)
            raise RerunException(RerunData())
        return known()

    monkeypatch.setattr(session, "form", broken_off)
    app.text_input(key="set_epochs").set_value("3").run()
    assert asked
    assert app.session_state["form"].texts["epochs"] == "3"


def test_a_new_architecture_brings_its_blocks(lab):
    app = open_page(PAGES[1])
    app.selectbox(key="set_architecture").select("resnext").run()
    assert app.text_input(key="set_blocks").value == "3, 3, 3"
    assert not app.error


def test_settings_that_clash_are_named_and_cannot_be_started(lab):
    app = open_page(PAGES[1])
    app.text_input(key="set_blocks").set_value("2, two").run()
    assert "Blocks in each stage: " in texts(app)
    assert next(button for button in app.button if button.label == "Start").disabled


def test_the_form_keeps_its_values_over_a_page_change(lab):
    app = open_page(PAGES[1])
    app.text_input(key="set_epochs").set_value("7").run()
    go(app, "mistakes")
    go(app, PAGES[1])
    assert app.text_input(key="set_epochs").value == "7"


def test_a_run_started_in_the_page_ends_with_what_was_asked(lab):
    app = open_page(PAGES[1], preset="facenet", threads="1", embedding_size="8")
    asked = {"triplets": 16, "batch_size": 8, "epochs": 1, "width": 8}
    app.text_input(key="set_blocks").set_value("1, 1")
    for name, value in asked.items():
        app.text_input(key=f"set_{name}").set_value(str(value))
    app.run()
    next(button for button in app.button if button.label == "Start").click().run()
    assert not app.exception
    assert queue().join(60)
    app.run()
    (run,) = store.list_runs(lab)
    assert run.status == "done", run.error
    assert {name: getattr(run.config, name) for name in asked} == asked
    assert run.config.blocks == (1, 1)
    assert app.query_params["run"] == run.id
    assert percent(run.result.test_accuracy) in texts(app)


def test_a_waiting_run_is_stopped_at_once_and_one_that_stopped_early_says_how_far_it_came(lab, tiny, digits):
    free = threading.Event()
    queue().submit("before it", lambda stop: iter(free.wait, True))
    try:
        app = open_page(PAGES[1])
        next(button for button in app.button if button.label == "Start").click().run()
        assert "1 before it" in "".join(markdown.value for markdown in app.markdown)
        assert app.session_state["last_act"]["until"] < time.monotonic() + 4  # drawn to its end: another click counts
        app.button(key="stop").click().run()
        (run,) = store.list_runs(lab)
        assert run.status == "stopped"
    finally:
        free.set()
    steps = []
    with writing.create(tiny, digits, lab) as writer:
        for event in experiment.run(writer, digits, lambda: "stop" if len(steps) == 2 else None):
            if isinstance(event, StepDone):
                steps.append(event)
    app = open_page("mistakes")
    next(box for box in app.selectbox if box.label == "Run").select(writer.id).run()
    assert "after 2 of 3 steps of epoch 1" in texts(app)


def test_anchors_without_a_triplet_are_told(lab, tiny, digits):
    config = tiny.changed(selection="semi_hard", sampling="shuffled", batch_size=12, margin=0.2, epochs=1)
    with writing.create(config, digits, lab) as writer:
        *_, done, _ = experiment.run(writer, digits)
    assert done.diagnostics["anchors_left_out"] > 0
    told = f"{done.diagnostics['anchors_left_out']:.1f} anchors of a batch had no triplet."
    assert told in texts(open_page(PAGES[1], writer.id))


def test_a_failed_run_shows_its_reason(lab_with_runs):
    failed = next(run for run in store.list_runs(lab_with_runs) if run.status == "failed")
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    app.query_params["run"] = failed.id
    app.run()
    go(app, PAGES[1])
    next(box for box in app.selectbox if box.label == "Run").select(failed.id).run()
    assert "the loss is not finite" in texts(app)


@pytest.mark.parametrize(("kind", "word"), [("collapsed", "collapsed"), ("", "alarm")])  # older runs have no kind
def test_an_alarm_is_shown(lab_with_runs, trained, kind, word):
    file = lab_with_runs / trained.id / "run.json"
    facts = json.loads(file.read_text())
    facts["result"] |= {"alarm": "collapsed: all images lie at one point", "alarm_kind": kind}
    file.write_text(json.dumps(facts))
    assert f"{word}]" in texts(open_page(PAGES[0]))  # a badge among the latest runs
    listed = open_page("runs").dataframe[0].value.set_index("Id")
    assert listed.loc[trained.id, "Alarm"] == word
    app = open_page(PAGES[1], trained.id)
    assert len(app.warning) == 1
    assert "After epoch 2: collapsed: all images lie at one point" in texts(app)


def test_a_run_that_ends_with_a_damaged_table_is_drawn_as_it_is(lab_with_runs, tiny, digits):
    with writing.create(tiny, digits, lab_with_runs) as writer:
        writer.update(status="running")
        (writer.folder / "steps.csv").write_text("epoch,step,seconds,loss\n1,1,soon,small\n")
        app = open_page(PAGES[1], writer.id)
        assert "steps.csv cannot be read" in app.error[0].value
        assert {"Pause", "Stop"} <= {button.label for button in app.button}
    app.run()
    assert "Resume" in {button.label for button in app.button}


def test_a_run_on_other_images_is_named_not_drawn(lab_with_runs, trained, tmp_path):
    facts = json.loads((trained.folder / "run.json").read_text())
    copy = lab_with_runs / "20991231-000000-foreign-0000"
    copy.mkdir()
    facts |= {"created": "2099-12-31T00:00:00", "data": facts["data"] | {"fingerprint": "0" * 64}}
    (copy / "run.json").write_text(json.dumps(facts))
    for page in ("embedding", "mistakes"):
        app = open_page(page)
        app.selectbox[0].select(copy.name).run()
        assert "trained on other images" in texts(app)
        assert not app.exception


def zip_of(run) -> bytes:
    stream = io.BytesIO()
    packed_runs.export_run(run, stream)
    return stream.getvalue()


def bring_in(app: AppTest, key: str, label: str, name: str, content: bytes) -> AppTest:
    app.file_uploader(key=key).upload(name, content, "application/zip")
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def test_an_exported_run_is_brought_in_and_chosen(lab, trained):
    app = bring_in(open_page(PAGES[0]), "run_file", "Bring in the run", "../../x.zip", zip_of(trained))
    (run,) = store.list_runs(lab)
    assert f"{run.id} is on the Runs page" in texts(app)
    assert app.query_params["run"] == run.id
    assert percent(trained.result.test_accuracy) in texts(app)
    app.run()
    assert "is on the Runs page" not in texts(app)
    assert len(store.list_runs(lab)) == 1  # not again with every refresh
    go(app, "mistakes")
    assert f"{len(store.mistakes(trained))} of" in texts(app)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\x80\x04.", "not a zip file"), (None, "Choose a zip file first"), (b"run", "holds code")]
)
def test_a_bad_run_is_refused_in_one_line(lab, trained, content, reason):
    app = open_page(PAGES[0])
    if content is None:
        next(button for button in app.button if button.label == "Bring in the run").click().run()
    else:
        if content == b"run":
            stream = io.BytesIO()
            with zipfile.ZipFile(io.BytesIO(zip_of(trained))) as old, zipfile.ZipFile(stream, "w") as new:
                for name in old.namelist():
                    code = b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00exittR."
                    packed = io.BytesIO()
                    with zipfile.ZipFile(packed, "w") as archive:
                        archive.writestr("archive/data.pkl", code)
                    new.writestr(name, packed.getvalue() if name.endswith("last.pt") else old.read(name))
            content = stream.getvalue()
        bring_in(app, "run_file", "Bring in the run", "run.zip", content)
    assert reason in texts(app)
    assert len(app.error) + len(app.warning) == 1
    assert not lab.exists() or not list(lab.iterdir())


def test_a_data_set_is_brought_in_used_and_left_again(lab, tmp_path):
    write_set(tmp_path / "made", {"cat": 0, "dog": 1}, train=4, test=2)
    file = shutil.make_archive(str(tmp_path / "Cats & Dogs"), "zip", tmp_path / "made")
    app = open_page(PAGES[0])
    bring_in(app, "data_file", "Bring in the data set", "Cats & Dogs.zip", Path(file).read_bytes())
    (folder,) = (tmp_path / "uploads").iterdir()
    assert folder.name.startswith("cats-dogs-")
    assert f"The images are in {folder}" in texts(app)
    assert "2 classes" in texts(app)
    assert app.query_params["data"] == folder.name
    go(app, PAGES[1])
    assert folder.name in texts(app)
    for name, value in {"width": 8, "epochs": 1}.items():
        app.text_input(key=f"set_{name}").set_value(str(value))
    app.run()
    next(button for button in app.button if button.label == "Start").click().run()
    assert queue().join(60)
    (run,) = store.list_runs(lab)
    assert (run.status, run.data.folder, run.error) == ("done", str(folder), "")
    other = open_page(PAGES[0])
    assert "data" not in other.query_params  # another browser goes on with the lab's own
    assert "4 classes" in texts(other)
    go(app, PAGES[0])
    app.selectbox(key="data_set").select("").run()
    assert "4 classes" in texts(app)
    assert "data" not in app.query_params


def test_a_bad_data_set_is_refused_in_one_line(lab, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("train/<img src=x onerror=alert(1)>/x.png", b"")
    app = bring_in(open_page(PAGES[0]), "data_file", "Bring in the data set", "x.zip", stream.getvalue())
    assert "with a meaning of its own in a name" in texts(app)
    assert "<" not in "".join(error.value for error in app.error)
    assert not list((tmp_path / "uploads").iterdir())

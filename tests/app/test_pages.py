"""Each page without a browser: empty, with runs of every kind, with bad input. Nothing trains for long."""

import json
import threading

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import experiment, store
from core.config import PRESETS, from_preset, settings
from core.runs import queue
from tests.app.conftest import ROOT

PAGES = ["views/home.py", "views/train.py", "views/embedding.py", "views/mistakes.py"]


@pytest.fixture(autouse=True)
def clean_caches():
    st.cache_data.clear()
    yield
    assert queue().join(60), "a test left a run behind"


def open_page(page: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60).run()
    if page != PAGES[0]:
        app.switch_page(page).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.success, app.title, app.subheader)
    html = [element.proto.body for element in app.get("html")]
    return "\n".join([element.value for kind in kinds for element in kind] + html)


@pytest.mark.parametrize(
    ("page", "hint"),
    list(zip(PAGES, ("What to do first", "press **Start**", "Train one first", "Train one first"), strict=True)),
)
def test_every_page_without_runs_says_what_to_do(lab, page, hint):
    assert hint in texts(open_page(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_with_runs_of_every_kind(lab_with_runs, page):
    assert not open_page(page).error


def test_without_a_data_set_home_offers_to_prepare_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(tmp_path / "runs"))
    app = open_page(PAGES[0])
    assert str(tmp_path / "none") in app.error[0].value
    assert [button.label for button in app.button] == ["Prepare the data set"]
    app = open_page(PAGES[1])
    next(button for button in app.button if button.label == "Start").click().run()
    assert str(tmp_path / "none") in app.error[0].value


def test_home_names_the_data_set_and_lists_the_runs(lab_with_runs, digits, trained):
    app = open_page(PAGES[0])
    assert digits.description in texts(app)
    table = app.dataframe[0].value
    assert sorted(table["Status"]) == ["done", "failed", "interrupted"]
    row = table[table["Id"] == trained.id].iloc[0]
    assert row["Test accuracy"] == trained.result["test_accuracy"]
    assert row["Mistakes"] == len(store.mistakes(trained))
    assert "20260101-000000-broken-0000 is damaged" in app.warning[0].value


def test_the_form_shows_each_setting_with_its_help_and_bounds(lab):
    app = open_page(PAGES[1])
    for preset in PRESETS:
        app.selectbox(key="form_preset").select(preset).run()
        config = from_preset(preset)
        widgets = {widget.key: widget for widget in [*app.number_input, *app.selectbox, *app.text_input] if widget.key}
        for field in settings():
            wanted = all(getattr(config, name) == value for name, value in field.metadata["only_with"].items())
            assert (f"set_{field.name}" in widgets) == wanted, field.name
            if wanted:
                widget, value = widgets[f"set_{field.name}"], getattr(config, field.name)
                assert widget.value == (", ".join(map(str, value)) if field.name == "blocks" else value)
                assert field.metadata["help"] in widget.help
                if hasattr(widget, "min"):
                    assert (widget.min, widget.max) == (field.metadata["low"], field.metadata["high"])


def test_a_new_architecture_brings_its_blocks(lab):
    app = open_page(PAGES[1])
    app.selectbox(key="set_architecture").select("resnext").run()
    assert app.text_input(key="set_blocks").value == "3, 3, 3"
    assert not app.error


def test_settings_that_clash_are_named_and_cannot_be_started(lab):
    app = open_page(PAGES[1])
    app.text_input(key="set_blocks").set_value("2, two").run()
    assert "blocks" in app.error[0].value
    assert next(button for button in app.button if button.label == "Start").disabled


def test_the_form_keeps_its_values_over_a_page_change(lab):
    app = open_page(PAGES[1])
    app.number_input(key="set_epochs").set_value(7).run()
    app.switch_page(PAGES[3]).run()
    app.switch_page(PAGES[1]).run()
    assert app.number_input(key="set_epochs").value == 7


def test_a_run_started_in_the_page_ends_with_what_was_asked(lab):
    app = open_page(PAGES[1])
    app.selectbox(key="form_preset").select("facenet").run()
    asked = {"triplets": 16, "batch_size": 8, "epochs": 1, "width": 4, "embedding_size": 8, "threads": 1}
    app.text_input(key="set_blocks").set_value("1, 1")
    for name, value in asked.items():
        app.number_input(key=f"set_{name}").set_value(value)
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
    assert f"{run.result['test_accuracy']:.2%}" in [metric.value for metric in app.metric]


def test_a_waiting_run_is_stopped_at_once_and_one_that_stopped_early_says_how_far_it_came(lab, tiny, digits):
    free = threading.Event()
    queue().submit("before it", lambda stop: iter(free.wait, True))
    try:
        app = open_page(PAGES[1])
        next(button for button in app.button if button.label == "Start").click().run()
        assert "1 before it" in "".join(markdown.value for markdown in app.markdown)
        app.button(key="stop").click().run()
        (run,) = store.list_runs(lab)
        assert run.status == "stopped"
    finally:
        free.set()
    stops = iter([False, False, True, True])
    with store.create(tiny, digits, lab) as writer:
        for _ in experiment.run(writer, digits, lambda: next(stops)):
            pass
    app = open_page(PAGES[3])
    app.selectbox(key="run_on_mistakes").select(writer.id).run()
    assert "after 2 of 3 steps of epoch 1" in texts(app)


def test_a_failed_run_shows_its_reason(lab_with_runs):
    failed = next(run for run in store.list_runs(lab_with_runs) if run.status == "failed")
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    app.query_params["run"] = failed.id
    app.run().switch_page(PAGES[1]).run()
    app.selectbox(key="run_on_train").select(failed.id).run()
    assert "the loss is not finite" in app.error[0].value


def test_mistakes_shows_every_wrong_image_with_its_neighbours(lab_with_runs, trained):
    app = open_page(PAGES[3])
    table = store.mistakes(trained)
    assert f"{len(table)} of" in texts(app)
    shown = texts(app)
    for row in table.head(12).itertuples():
        for fact in (row.id, row.nearest_true_id, row.nearest_predicted_id, f"{row.nearest_true_distance:.3f}"):
            assert fact.replace("_", "_<wbr>") in shown
    true = table["true"].iloc[0]
    next(box for box in app.selectbox if box.label == "True class").select(true).run()
    assert texts(app).count('class="lab-card"') == min(12, (table["true"] == true).sum())


def test_mistakes_exports_three_pictures_each(lab_with_runs, trained, tmp_path):
    app = open_page(PAGES[3])
    next(button for button in app.button if button.label == "Export as PNG").click().run()
    assert not app.exception
    pictures = list((tmp_path / "pics" / trained.id).glob("img*.png"))
    assert len(pictures) == 3 * len(store.mistakes(trained)) > 0


def test_a_run_on_other_images_is_named_not_drawn(lab_with_runs, trained, tmp_path):
    facts = json.loads((trained.folder / "run.json").read_text())
    copy = lab_with_runs / "20991231-000000-foreign-0000"
    copy.mkdir()
    facts |= {"created": "2099-12-31T00:00:00", "data": facts["data"] | {"fingerprint": "0" * 64}}
    (copy / "run.json").write_text(json.dumps(facts))
    for page in PAGES[2:]:
        app = open_page(page)
        app.selectbox[0].select(copy.name).run()
        assert "trained on other images" in app.error[0].value
        assert not app.exception

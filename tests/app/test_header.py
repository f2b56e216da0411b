"""A run's name and headline."""

from streamlit.testing.v1 import AppTest

from app.parts import header
from core.runs import store, writing


def test_runs_with_the_same_settings_are_numbered_in_their_order(tiny, digits, tmp_path):
    for config in (tiny, tiny, tiny.changed(epochs=7), tiny):
        writing.create(config, digits, tmp_path).close()
    runs = store.list_runs(tmp_path)
    first, second, _, third = sorted(runs, key=lambda run: (run.created, run.id))
    names = header.names(runs)
    assert len(set(names.values())) == 4
    title = first.title
    assert [names[run.id] for run in (first, second, third)] == [title, f"{title} 2", f"{title} 3"]
    store.rename(second, "Ours")
    names = header.names(store.list_runs(tmp_path))
    assert names[second.id] == "Ours"


def test_a_headline_says_of_which_images_and_after_which_epoch(trained):
    words = header.headline(trained)
    assert words.endswith("% of 24 test images, after epoch 2")


def test_what_a_slow_browser_says_of_the_picker_before_is_no_choice():
    def page():
        from app import session
        from app.parts import header

        if not session.recall("chosen_run"):
            session.choose_run("begun just now")
            header.pick("looked at before", "looked at before")
        else:
            header.pick("begun just now", "another")

    app = AppTest.from_function(page).run()
    assert app.session_state["chosen_run"] == "begun just now"
    assert app.run().session_state["chosen_run"] == "another"
    assert not app.exception

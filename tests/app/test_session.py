"""What one browser session remembers, and the address."""

import time

from streamlit.testing.v1 import AppTest


def _page():
    from app import session

    session.settle_run()
    if not session.recall("begun"):
        session.choose_run("old")
        session.choose_run("new")
        session.remember("begun", True)


def _asks_for(app: AppTest, run: str) -> str:
    """The run that is looked at once the browser has asked for this one."""
    app.query_params["run"] = run
    app.run()
    assert not app.exception
    found = app.query_params["run"]
    return found[0] if isinstance(found, list) else found


def test_an_address_from_before_the_last_choice_is_no_choice():
    """A part that draws itself had asked before the browser heard that another run is looked at."""
    app = AppTest.from_function(_page).run()
    assert _asks_for(app, "old") == "new"
    assert _asks_for(app, "old") == "new"
    assert _asks_for(app, "new") == "new"
    assert _asks_for(app, "old") == "new"
    assert _asks_for(app, "new") == "new"  # for the second time: it has heard
    assert _asks_for(app, "old") == "old"


def test_the_run_before_is_a_choice_again_after_a_while():
    app = AppTest.from_function(_page).run()
    app.session_state["left_run"] = "old", time.monotonic() - 31, False
    assert _asks_for(app, "old") == "old"

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


def test_an_address_from_before_the_last_choice_is_no_choice_for_a_while():
    """A part that draws itself had asked before the browser heard that another run is looked at."""
    app = AppTest.from_function(_page).run()
    assert app.query_params["run"] == "new"
    app.query_params["run"] = "old"
    app.run()
    assert app.query_params["run"] == "new"
    app.session_state["left_run"] = "old", time.monotonic() - 6
    app.query_params["run"] = "old"
    app.run()
    assert app.query_params["run"] == "old"
    assert not app.exception

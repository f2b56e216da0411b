"""What a browser session remembers: callbacks that Streamlit breaks off, and double clicks."""

import pytest
from streamlit.runtime.scriptrunner import RerunData, RerunException

from app import session


def broken_off_once(function):
    """The function; the first call is broken off, as it is when the browser has asked for another drawing."""
    calls = []

    def called(*args):
        calls.append(args)
        if len(calls) == 1:
            raise RerunException(RerunData(query_string="asked"))
        return function(*args)

    return called


def test_a_callback_that_is_broken_off_begins_anew_and_the_request_is_passed_on():
    done = []
    with pytest.raises(RerunException) as passed_on:
        session.whole(broken_off_once(done.append))("typed")
    assert done == ["typed"]
    assert passed_on.value.rerun_data.query_string == "asked"
    session.whole(done.append)("again")
    assert done == ["typed", "again"]


def test_a_callback_that_asks_for_a_drawing_itself_ends():
    done = []

    def opens(name):
        done.append(name)
        raise RerunException(RerunData())

    with pytest.raises(RerunException):
        session.whole(opens)("image")
    assert set(done) == {"image"}


def test_what_a_button_does_is_done_once_though_its_callback_begins_anew(monkeypatch):
    done = []
    monkeypatch.setattr(session.st, "session_state", {})
    monkeypatch.setattr(session, "choose_run", broken_off_once(lambda run_id: done.append(("chosen", run_id))))
    press = session.whole(session.once)
    with pytest.raises(RerunException):
        press(("pause",), lambda: done.append("paused") or "run 1")
    assert done == ["paused", ("chosen", "run 1")]


def test_no_press_of_a_key_is_lost_or_counted_twice(monkeypatch):
    """Keys that follow faster than they are answered ask for a drawing while one before them is still heard."""
    monkeypatch.setattr(session.st, "session_state", {})
    steps = []
    hear = session.whole(lambda total, take: session.take_presses("walk", 1, total, take))
    for total in (1, 3, 3, 0):  # at the second one two presses came at once; the third one is nothing new
        with pytest.raises(RerunException):
            hear(total, broken_off_once(steps.append))
    assert steps == [1, 2, 0, -3]
    session.take_presses("walk", 2, 1, steps.append)  # another page load counts from nothing
    assert steps[-1] == 1


def test_a_second_click_does_nothing_until_the_page_has_been_drawn_to_its_end(monkeypatch):
    """The browser sends both clicks of a double click, and a busy server hears the second one seconds later."""
    monkeypatch.setattr(session.st, "session_state", {})
    monkeypatch.setattr(session, "choose_run", lambda run_id: None)
    now, done = [100.0], []
    monkeypatch.setattr(session.time, "monotonic", lambda: now[0])
    press = lambda what="start": session.once((what,), lambda: done.append(what))  # noqa: E731
    press()
    now[0] += 8
    press()
    assert done == ["start"]
    press("pause")  # another button
    assert done == ["start", "pause"]
    session.drawn()
    now[0] += 2.5
    session.drawn()  # again, as the run goes on
    press("pause")
    assert done == ["start", "pause"]
    now[0] += 0.6
    press("pause")
    assert done == ["start", "pause", "pause"]
    now[0] += 11  # that drawing never came to its end
    press("pause")
    assert done == ["start", "pause", "pause", "pause"]

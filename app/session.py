"""What one browser session remembers, and the address: the only door to both."""

import secrets
import time
from collections.abc import Callable
from functools import wraps

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException

from app.exercise import OWN, Form, from_address
from core.runs.store import Run

# A browser that is busy with what the first click did sends the second one late
_DOUBLE_CLICK = 3.0  # seconds in which it can follow, once what the first one did is drawn
_LONGEST_DRAWING = 10.0


def whole(callback: Callable[..., None]) -> Callable[..., None]:
    """The callback of a widget, carried out to its end; every callback that is given to Streamlit is one.

    Streamlit breaks a callback off where it looks into the session while the browser has already asked for the next
    drawing, as a click does that leaves a text field, and never calls it again: what was typed would be gone. The
    callback therefore begins anew, so it must not do twice what counts, and the browser's request is passed on.
    """

    @wraps(callback)
    def carried_out(*args) -> None:
        request = None
        for _ in range(2):  # the second one is not broken off; a callback that asks for a drawing itself ends here too
            try:
                callback(*args)
                break
            except RerunException as asked:
                request = asked
        if request:
            raise request

    return carried_out


def recall(name: str):
    """A choice in this browser session, or None; also what the widget with this key holds."""
    return st.session_state.get(name)


def remember(name: str, value) -> None:
    """Keeps a choice, or sets what the widget with this key shows, before it is drawn."""
    st.session_state[name] = value


def browser() -> str:
    """A name for this browser session."""
    return st.session_state.setdefault("browser", secrets.token_hex(8))


def open_dialog(name: str) -> None:
    """Opens a dialog that stays when the page is drawn anew, as it is whenever a run changes; until `close_dialog`."""
    remember("dialog", name)


def close_dialog() -> None:
    """No dialog is open."""
    remember("dialog", None)


def is_open(name: str) -> bool:
    """Whether this dialog is to be drawn."""
    return recall("dialog") == name


def clamp(key: str, highest: int) -> None:
    """Keeps the number of a widget that is about to be drawn from 1 to `highest`."""
    st.session_state[key] = min(max(st.session_state.get(key, 1), 1), highest)


def chosen_data(names) -> str:
    """The one of these data sets for new runs: from the address, else the one chosen last, else the lab's own ("")."""
    for wanted in (st.query_params.get("data"), st.session_state.get("chosen_data")):
        if wanted in names:
            return wanted
    return ""


def data_in_address() -> str:
    """The data set that the address asks for, whether or not there is one."""
    return st.query_params.get("data", "")


def choose_data(name: str) -> None:
    """Takes a data set for new runs of this browser session and puts it into the address."""
    st.session_state["chosen_data"] = name
    if name:
        st.query_params["data"] = name
    elif "data" in st.query_params:
        del st.query_params["data"]


def chosen_run(runs: list[Run]) -> Run | None:
    """The run that the pages look at: from the address, else the one looked at last, else the newest with a result."""
    by_id = {run.id: run for run in runs}
    for wanted in (st.query_params.get("run"), st.session_state.get("chosen_run")):
        if wanted in by_id:
            return by_id[wanted]
    with_result = [run for run in runs if run.active or run.result]
    return (with_result or runs or [None])[0]


def passed_over(runs: list[Run]) -> bool:
    """Whether the run in the address, or the one looked at last, is not among `runs`."""
    wanted = st.query_params.get("run") or st.session_state.get("chosen_run")
    return wanted is not None and wanted not in {run.id for run in runs}


def choose_run(run_id: str | None) -> None:
    """Remembers the run for all pages and puts it into the address."""
    if run_id is None:
        return
    st.session_state["chosen_run"] = run_id
    if st.query_params.get("run") != run_id:
        st.query_params["run"] = run_id


def chosen_runs() -> list[str]:
    """The ids of the runs to compare, as the address names them."""
    return [each for each in st.query_params.get("runs", "").split(",") if each]


def choose_runs(ids: list[str]) -> None:
    """Puts the runs to compare into the address."""
    if ids:
        st.query_params["runs"] = ",".join(ids)
    elif "runs" in st.query_params:
        del st.query_params["runs"]


def in_address(name: str) -> str | None:
    """What the address says under a name, e.g. image."""
    return st.query_params.get(name)


def into_address(name: str, value: str | None) -> None:
    """Puts a value into the address, or takes the name out of it."""
    if value is None:
        if name in st.query_params:
            del st.query_params[name]
    elif st.query_params.get(name) != value:
        st.query_params[name] = value


def answered(key: str, name: str):
    """What the component with this key has just answered under a name, within its callback."""
    return st.session_state[key].get(name)


def take_presses(key: str, since: int, total: int, take: Callable[[int], None]) -> None:
    """Tells `take` how many of the presses that clickable.arrow_keys hears of are new: to the right, negative to the
    left. They are old when it has come to its end: if it is broken off, it is told again (see `whole`).
    """
    heard = st.session_state.setdefault(f"pressed_{key}", {})  # looked into once: from here on only `take` breaks off
    take(total - heard.get(since, 0))
    heard.clear()
    heard[since] = total


def chosen_image() -> str | None:
    """The image that the pages look at: from the address, else the one looked at last."""
    return in_address("image") or recall("chosen_image")


def choose_image(name: str | None) -> None:
    """Takes an image as the one looked at on every page, and puts it into the address; None lets it go."""
    remember("chosen_image", name)
    into_address("image", name)


def projected() -> bool:
    """Whether the page is for a projector: large type, and nothing but the pictures."""
    return st.query_params.get("projector") == "1"


def once(what: tuple, action: Callable[[], str | None]) -> None:
    """Calls `action` unless this is the second click of a double click, which says `what` again: it comes before the
    page has been drawn to its end after the first one, or shortly after that.

    The run whose id `action` returns is then the one that the pages look at.
    """
    last = st.session_state.setdefault("last_act", {"what": None, "until": 0.0})
    if what != last["what"] or time.monotonic() > last["until"]:
        chosen = action()
        # Counted from the end: clicks wait for one another. Not put into the session, where it could be broken off
        last.update(what=what, chosen=chosen, until=time.monotonic() + _LONGEST_DRAWING)
    choose_run(last["chosen"])


def drawn() -> None:
    """Called when a page, or a part by itself, has been drawn to its end: what was done before can now be seen."""
    if last := st.session_state.get("last_act"):
        last["until"] = min(last["until"], time.monotonic() + _DOUBLE_CLICK)


def form() -> Form:
    """What the form of this browser session holds. Not the state of its widgets, which Streamlit forgets."""
    return st.session_state["form"]


def keep_form() -> None:
    """Called for every page: the form of a new session comes from the address, and stays in it on every page."""
    if "form" not in st.session_state:
        given = st.query_params.to_dict()
        st.session_state["form"], complaints = from_address({name: given[name] for name in OWN if name in given})
        if complaints:
            notice("In the address: " + "; ".join(complaints) + ". This is ignored.")
    now = st.query_params.to_dict()
    wanted = {name: value for name, value in now.items() if name not in OWN} | form().address()
    if wanted != now:
        st.query_params.from_dict(wanted)


def show(key: str, value) -> None:
    """Makes a widget that is about to be drawn show this; what it shows already is not sent again.

    Give it to the widget as its default as well: what this sends is lost where the drawing gives way to the next one.
    """
    if st.session_state.get(key) != value or key not in st.session_state:
        st.session_state[key] = value


def notice(text: str) -> None:
    """Keeps a sentence for the top of the page until somebody has read it."""
    st.session_state["notices"] = [*dict.fromkeys([*notices(), text])]


def notices() -> list[str]:
    """The sentences that nobody has read yet."""
    return st.session_state.get("notices", [])


def clear_notices() -> None:
    """All of them have been read."""
    st.session_state.pop("notices", None)

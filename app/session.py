"""What one browser session remembers, and the address: the only door to both."""

import time
from collections.abc import Callable

import streamlit as st

from core.runs.store import Run
from core.settings.config import RunConfig, settings, written
from core.settings.presets import PRESETS, from_preset

_DOUBLE_CLICK = 1.0  # seconds in which the second click can follow


def recall(name: str):
    """A choice in this browser session, or None; also what the widget with this key holds."""
    return st.session_state.get(name)


def remember(name: str, value) -> None:
    """Keeps a choice, or sets what the widget with this key shows, before it is drawn."""
    st.session_state[name] = value


def clamp(key: str, highest: int) -> None:
    """Keeps the number of a widget that is about to be drawn from 1 to `highest`."""
    st.session_state[key] = min(max(st.session_state.get(key, 1), 1), highest)


def chosen_data(names) -> str:
    """The one of these data sets for new runs: from the address, else the one chosen last, else the lab's own ("")."""
    for wanted in (st.query_params.get("data"), st.session_state.get("chosen_data")):
        if wanted in names:
            return wanted
    return ""


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


def once(what: tuple, action: Callable[[], str | None]) -> None:
    """Calls `action` unless this is the second click of a double click, which says `what` again.

    The run whose id `action` returns is then the one that the pages look at.
    """
    last, chosen, ended = st.session_state.get("last_act", (None, None, 0.0))
    if what != last or time.monotonic() > ended + _DOUBLE_CLICK:
        chosen = action()
        # Counted from the end: clicks wait for one another
        st.session_state["last_act"] = what, chosen, time.monotonic()
    choose_run(chosen)


def setting_key(name: str) -> str:
    """The key of a setting's widget."""
    return f"set_{name}"


def fill_form(config: RunConfig) -> None:
    """Sets every widget of the form to the value that a configuration has."""
    # A run that was brought in may name any preset; without values of its own the default is the neutral one
    st.session_state["form_preset"] = config.preset if config.preset in PRESETS else "facenet"
    for field in settings():
        value = getattr(config, field.name)
        st.session_state[setting_key(field.name)] = written(value) if isinstance(value, tuple) else value


def keep_form() -> None:
    """Fills the form at the first visit and, called on every page, keeps its values while it is not shown."""
    if "form_preset" not in st.session_state:
        fill_form(from_preset(next(iter(PRESETS))))
    for key in ("form_preset", *(setting_key(field.name) for field in settings())):
        st.session_state[key] = st.session_state[key]  # Streamlit forgets the widgets of other pages otherwise


def setting_value(name: str):
    """What the form holds for a setting now."""
    return st.session_state[setting_key(name)]


def set_blocks(blocks: tuple[int, ...]) -> None:
    """Sets the form's blocks, e.g. to those that a newly chosen architecture is known for."""
    st.session_state[setting_key("blocks")] = written(blocks)

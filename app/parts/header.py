"""A run on the pages: its name, status, and the picker over runs."""

import streamlit as st

from app import reading, session
from app.parts.messages import plain
from core.runs.store import Run

BADGES = {"done": "green", "running": "blue", "pausing": "blue", "stopping": "blue", "failed": "red", "damaged": "red"}
BADGES |= {"stopped": "orange", "paused": "orange", "interrupted": "orange"}


def run_name(run: Run) -> str:
    """A run in one line: what, when, how good."""
    if run.config is None:
        return f"{run.title} (damaged)"
    when = run.created.strftime("%d %b %H:%M")
    accuracy = run.result.get("test_accuracy")
    outcome = run.status if accuracy is None else f"{accuracy:.1%} test"
    # The end of the id keeps apart what was started in the same minute: Streamlit knows an option by its label
    return f"{run.title} · {when} · {'in progress' if run.active else outcome} · {run.id[-4:]}"


def pick_run(runs: list[Run], key: str) -> Run | None:
    """A picker over runs; the choice holds on every page and stands in the address."""
    if not runs:
        return None
    chosen = session.chosen_run(runs)
    by_id = {run.id: run for run in runs if not run.archived or run is chosen}
    if session.passed_over(runs):
        st.warning("The run you were looking at is gone or has nothing to show here: this is another one.")
    # A key for each choice: what a slow browser still says of the last one must not undo it. And one for each status:
    # a browser keeps the label that it was given first, and would say "in progress" of a run that is done
    key = f"{key}_{chosen.id}_{chosen.status}"
    st.selectbox(
        "Run",
        list(by_id),
        index=list(by_id).index(chosen.id),
        format_func=lambda run_id: run_name(by_id[run_id]),
        key=key,
        on_change=lambda: session.choose_run(_named(list(by_id), session.recall(key))),
    )
    session.choose_run(chosen.id)
    if chosen.data:
        st.caption(f"Trained and tested on {plain(chosen.data['description'])}")
    return chosen


def _named(ids: list[str], answer: str) -> str | None:
    """The run that an option of the picker means: its id, or a label that is out of date by now."""
    return next((run_id for run_id in ids if answer == run_id or answer.endswith(f" {run_id[-4:]}")), None)


def after(run: Run) -> str:
    """When a run's result was measured, e.g. "after epoch 2" or "after 40 of 125 steps of epoch 2"."""
    epoch, steps = run.result["epochs"], run.result["steps"]
    return f"after {f'{steps} of {run.steps_per_epoch} steps of ' * (steps < run.steps_per_epoch)}epoch {epoch}"


def status_badge(run: Run) -> None:
    """The run's status as a coloured word."""
    words = reading.status(run)
    st.badge(words, color=BADGES.get(words, "grey"))


def damaged(runs: list[Run]) -> None:
    """Names the runs that cannot be read."""
    for run in runs:
        if run.status == "damaged":
            st.warning(f"Run {plain(run.id)} is damaged: {plain(run.error)}")

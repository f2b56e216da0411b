"""A run on the pages: its name, its status, and the line at the top of every page that shows one."""

from collections.abc import Callable

import streamlit as st

from app import reading, session
from app.drawing.comparison import run_colour
from app.parts.messages import percent, plain
from core.runs.store import Run

BADGES = {"done": "green", "running": "blue", "pausing": "blue", "stopping": "blue", "failed": "red", "damaged": "red"}
BADGES |= {"stopped": "orange", "paused": "orange", "interrupted": "orange"}

NAMED_DAMAGED = 3


def names(runs: list[Run]) -> dict[str, str]:
    """What each run is called, by its id: the name that a user gave, else its settings in words; runs that would be
    called the same are numbered in the order of their beginning, from the second on.
    """
    found, used = {}, {}
    for run in sorted(runs, key=lambda run: (run.created, run.id)):
        used[run.title] = number = used.get(run.title, 0) + 1
        found[run.id] = run.title if run.name or number == 1 else f"{run.title} {number}"
    return found


def run_name(run: Run, name: str = "") -> str:
    """A run in one line: what, when, how good."""
    name = name or run.title
    if run.config is None:
        return f"{name} (damaged)"
    when = run.created.strftime("%d %b %H:%M")
    accuracy = run.result and run.result.test_accuracy
    outcome = run.status if accuracy is None else f"{percent(accuracy)} test"
    # The end of the id keeps apart what was started in the same minute: Streamlit knows an option by its label
    return f"{name} · {when} · {'in progress' if run.active else outcome} · {run.id[-4:]}"


def pick_run(runs: list[Run], key: str, buttons: Callable[[Run], None] | None = None) -> Run | None:
    """The header: the chosen run's colour, name, status, what `buttons` draws (else its result), a picker over runs,
    and its alarm; the choice holds on every page and stands in the address.
    """
    chosen = session.chosen_run(runs)
    if chosen is None:
        return None
    with st.container(gap="small"):  # one, however much it says, so that what comes below keeps its place
        if session.passed_over(runs):
            st.warning("The run you were looking at is gone or has nothing to show here: this is another one.")
        _line(chosen, runs, key, buttons)
        if alarm := chosen.result and chosen.result.alarm:
            st.warning(f"After epoch {chosen.result.epochs}: {plain(alarm)}", icon="⚠️")
        if chosen.data:
            about_images(chosen.data.notes, "About the images of this run:")
    session.choose_run(chosen.id)
    return chosen


def alarm_of(run: Run) -> str:
    """What is wrong with a run in a word, or nothing."""
    result = run.result
    return (result.alarm_kind or "alarm") if result and result.alarm else ""  # older runs kept the sentence alone


def about_images(notes: tuple[str, ...], of: str = "") -> None:
    """What is wrong with a set, a line each in one box; nothing for most."""
    if notes:
        st.warning("  \n".join([of] * bool(of) + [plain(note) for note in notes]), icon=":material/photo_library:")


def _line(chosen: Run, runs: list[Run], key: str, buttons: Callable[[Run], None] | None) -> None:
    called = names(reading.all_runs())
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="header"):
        st.html(f'<span class="lab-dot" style="background:{run_colour(chosen)}"></span>', width="content")
        name = f"Run: {plain(called.get(chosen.id, chosen.title))}"
        st.subheader(name, width="stretch" if buttons else "content", anchor=False)
        status_badge(chosen)
        if buttons:
            buttons(chosen)
        else:
            st.caption(headline(chosen), width="stretch", help=_data(chosen))
        with st.container(width=170 if buttons else 260, key="run_picker"):
            _picker(chosen, runs, called, key)
        projected = session.projected()
        words = "Back to the form" if projected else "For a projector: large type, thick lines, no form"
        st.button(
            "",
            icon=":material/fullscreen:",
            key="projector",
            type="tertiary",
            on_click=session.whole(_switch),
            help=words,
        )


def _switch() -> None:
    session.into_address("projector", None if session.projected() else "1")


def _picker(chosen: Run, runs: list[Run], called: dict[str, str], key: str) -> None:
    by_id = {run.id: run for run in runs if not run.archived or run is chosen}
    # A key for each choice: what a slow browser still says of the last one must not undo it. And one for each status:
    # a browser keeps the label that it was given first, and would say "in progress" of a run that is done
    key = f"{key}_{chosen.id}_{chosen.status}"
    st.selectbox(
        "Run",
        list(by_id),
        index=list(by_id).index(chosen.id),
        format_func=lambda run_id: run_name(by_id[run_id], called.get(run_id, "")),
        key=key,
        label_visibility="collapsed",
        on_change=session.whole(lambda: pick(chosen.id, _named(list(by_id), session.recall(key)))),
    )


def pick(shown: str, run_id: str | None) -> None:
    """Takes the run that was picked while `shown` was looked at. Once another one is, a slow browser may still say
    what that picker holds: this is no choice.
    """
    if session.recall("chosen_run") == shown:
        session.choose_run(run_id)


def _named(ids: list[str], answer: str) -> str | None:
    """The run that an option of the picker means: its id, or a label that is out of date by now."""
    return next((run_id for run_id in ids if answer == run_id or answer.endswith(f" {run_id[-4:]}")), None)


def headline(run: Run) -> str:
    """The run's result in a sentence, e.g. "98.6 % of 1,000 test images, after epoch 9"."""
    accuracy = run.result and run.result.test_accuracy
    if accuracy is None:
        return "no result yet" if run.active else "no result"
    images = run.data and run.data.test
    of = f"of {images:,} test images" if isinstance(images, int) else "of the test images"
    return f"{percent(accuracy)} {of}, {after(run)}"


def _data(run: Run) -> str | None:
    return f"Trained and tested on {plain(run.data.description)}" if run.data else None


def after(run: Run) -> str:
    """When a run's result was measured, e.g. "after epoch 2" or "after 40 of 125 steps of epoch 2"."""
    epoch, steps = run.result.epochs, run.result.steps
    return f"after {f'{steps} of {run.steps_per_epoch} steps of ' * (steps < run.steps_per_epoch)}epoch {epoch}"


def status_badge(run: Run) -> None:
    """The run's status as a coloured word."""
    words = reading.status(run)
    st.badge(words, color=BADGES.get(words, "grey"))


def damaged(runs: list[Run]) -> None:
    """Names the runs that cannot be read; of many the first ones, and how many there are."""
    found = [run for run in runs if run.status == "damaged"]
    for run in found[:NAMED_DAMAGED]:
        st.warning(f"Run {plain(run.id)} is damaged: {plain(run.error)}")
    more = len(found) - NAMED_DAMAGED
    if more > 0:
        st.warning(f"{more:,} more {'run is' if more == 1 else 'runs are'} damaged; the Runs page lists them.")

"""A race on the page: how one is begun, its lanes as they go, and how it ended."""

from functools import partial

import pandas as pd
import streamlit as st

from app import actions, crowd, downloads, exercise, reading, session
from app.components.plotly_chart import live_chart
from app.drawing import comparison, standalone
from app.drawing import race as drawing
from app.parts import header, messages
from core import race
from core.exchange.tables import safe_csv
from core.runs import store
from core.runs.files import StoreError
from core.runs.store import Run
from core.settings import in_words
from core.settings.choices import OBJECTIVES, SELECTIONS
from core.settings.config import settings
from core.settings.presets import PRESETS, from_preset
from core.settings.setting import ConfigError

_DIALOG = "race"
_PACE = 2.0  # seconds between two drawings of a race that goes on
_FIRST = ("all", "semi_hard", "batch_hard")
_PRESET = "facenet-semi-hard"
_HIGHEST = {setting.name: setting.high for setting in settings() if setting.name in ("epochs", "seed")}


def start_button() -> None:
    """The button that asks for a race."""
    help = "The same network, seeds and budget with several ways of mining triplets."
    st.button("Race …", key=_DIALOG, help=help, on_click=session.whole(session.open_dialog), args=(_DIALOG,))
    if session.is_open(_DIALOG):
        _ask()


@st.dialog("A race between ways of mining triplets", on_dismiss=session.whole(session.close_dialog))
def _ask() -> None:
    """What shall be raced, and Start."""
    presets = [name for name in PRESETS if OBJECTIVES[from_preset(name).objective].triplets]
    preset = st.selectbox(
        "Preset",
        presets,
        index=presets.index(_PRESET),
        format_func=lambda name: PRESETS[name].title,
        help="The network, the optimiser and the batches that all lanes share.",
    )
    mined = st.multiselect(
        "Triplet mining", list(SELECTIONS), default=_FIRST, format_func=lambda name: SELECTIONS[name].title
    )
    left, middle, right = st.columns(3)
    with left:
        epochs = _number("Epochs", 1, _HIGHEST["epochs"], from_preset(preset).epochs, key=f"race_epochs_{preset}")
    with middle:
        seed = _number("First seed", 0, _HIGHEST["seed"], 0)
    with right:
        seeds = _number("Seeds", 1, race.MOST_LANES, 1, help="Runs with so many seeds of each.")
    whole = None not in (epochs, seed, seeds)
    st.caption(
        f"{len(mined) * (seeds or 0)} runs take turns of one epoch. Each looks at as many images an epoch; where "
        "triplets are drawn, their number is made to fit."
    )
    if st.button("Start the race", type="primary", key="race_start", disabled=not (mined and whole)):
        try:
            begun = actions.begin_race(preset, {"selection": mined}, seeds, epochs=epochs, seed=seed)
        except (ConfigError, StoreError, OSError, RuntimeError, ValueError) as error:
            st.error(messages.worded(error))
            return
        session.into_address("race", begun)
        session.close_dialog()
        st.rerun()


def _number(label: str, lowest: int, highest: int, before: int, **options) -> int | None:
    """A field for a whole number; None, with what is right under it, for anything else."""
    number = exercise.whole_number(st.text_input(label, str(before), max_chars=12, **options), lowest, highest)
    if number is None:
        st.caption(f":red[{label}: {lowest} to {highest:,}]")
    return number


def earlier() -> None:
    """The races that there are."""
    races = reading.races()
    if not races:
        return
    with st.popover(f"Races ({len(races)})", key="races"):
        for each in races[:20]:
            label = f"{each.title} · {len(each.runs)} lanes · {each.created:%d %b %H:%M}"
            st.button(
                messages.plain(label),
                on_click=session.whole(session.into_address),
                args=("race", each.race),
                key=f"open_{each.race}",
                type="tertiary",
            )


def shown() -> bool:
    """Draws the race that the address names; says whether there is one."""
    name = session.in_address("race")
    if not name:
        return False
    held = next((each for each in reading.races() if each.race == name), None)
    if held is None:
        session.notice(f"There is no race {name[:60]} in this lab.")
        session.into_address("race", None)
        st.rerun()
    with messages.errors_explained():
        _line(held)
        runs = reading.runs_of(held)
        going = any(run.active for run in runs)
        with st.container(key="live", gap="small"):
            crowd.fragment(live, run_every=_PACE if going else None)(held, going)
        if not going:
            ended(held, runs)
    return True


def _line(held: race.Race) -> None:
    """The header: title, status, and what can be done."""
    runs = reading.runs_of(held)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="header"):
        st.subheader(f"Race: {messages.plain(held.title)}", width="content", anchor=False)
        status = status_of(runs)
        st.badge(status, color=header.BADGES.get(status, "grey"))
        images = runs[0].data.description if runs and runs[0].data else ""
        st.caption(f"{len(held.runs)} runs in turns of one epoch", width="stretch", help=messages.plain(images) or None)
        _buttons(held, runs)
        back = partial(session.into_address, "race", None)
        st.button("All runs", on_click=session.whole(back), key="race_back", help="Back to the table.")
    messages.refused(held.race)


def _buttons(held: race.Race, runs: list[Run]) -> None:
    active = [run for run in runs if run.active]

    def button(label: str, name: str, action, help: str) -> None:
        st.button(
            label, key=name, on_click=session.whole(actions.act), args=(held.race, (name, held.race), action), help=help
        )

    if active:
        button("Pause", "race_pause", partial(actions.pause_all, active), "Saves every run and ends; it can go on.")
        button("Stop", "race_stop", partial(actions.stop_all, active), "Ends every run and keeps what it has learnt.")
    elif any(run.status != "done" and not run.diverged for run in runs):
        resume = partial(actions.resume_race, held)
        button("Go on", "race_resume", resume, "Goes on as if there had been no interruption.")


def status_of(runs: list[Run]) -> str:
    """What a race is doing, in a word: that of its runs."""
    if any(run.active for run in runs):
        return "running"
    found = {str(run.status) for run in runs}
    return next((word for word in ("interrupted", "paused", "stopped", "failed") if word in found), "done")


@messages.errors_explained()
def live(held: race.Race, going: bool) -> None:
    """Lanes and curves; drawn anew while the race goes on."""
    runs = reading.runs_of(held)
    if any(run.active for run in runs) != going:
        st.rerun()
    lanes = [lane_of(held, run) for run in runs]
    st.html(drawing.lanes(lanes))
    left, right = st.columns(2)
    for column, name, title in ((left, "images_seen", "images seen"), (right, "seconds", "seconds of the run's own")):
        with column:
            figure = drawing.curves(lanes, name, title)
            live_chart(figure, key=f"race_{name}_{held.race}", height=330, alt=f"test accuracy against {title}")


def lane_of(held: race.Race, run: Run) -> drawing.Lane:
    """One run as it is drawn."""
    table = race.history(run)
    epochs = float(table["epoch"].iloc[-1]) if len(table) else 0.0
    share = table["images_seen"].iloc[-1] / max(_images(run), 1) if len(table) else 0.0
    if run.status == "running":
        share = max(share, _within(run))
    told = f"epoch {epochs:.0f} of {run.config.epochs}"
    if len(table):
        told += f" · {table['images_seen'].iloc[-1]:,.0f} images · {messages.duration(table['seconds'].iloc[-1])}"
    accuracy = messages.percent(table["test_accuracy"].iloc[-1]) if len(table) else "–"
    return drawing.Lane(lane_name(held, run), comparison.run_colour(run), share, told, accuracy, _word(run), table)


def _images(run: Run) -> int:
    """How many images it will have looked at in the end."""
    return race.images_an_epoch(run) * run.config.epochs


def _within(run: Run) -> float:
    """The share that is done, by the steps that were taken since the last epoch."""
    try:
        steps = store.steps(run)
    except StoreError:
        return 0.0
    if steps.empty:
        return 0.0
    last = steps.iloc[-1]
    return float((last["epoch"] - 1 + last["step"] / max(run.steps_per_epoch, 1)) / run.config.epochs)


def _word(run: Run) -> str:
    """The run's status as a spectator needs it."""
    return {"queued": "waits its turn", "running": "its turn"}.get(run.status, reading.status(run))


def lane_name(held: race.Race, run: Run) -> str:
    """What a lane is called: what it differs in."""
    parts = []
    for name in held.vary:
        told = in_words.shown(name, getattr(run.config, name))
        parts.append(told if in_words.FIELDS[name].choices else f"{in_words.label(name)} {told}")
    if len({each.config.seed for each in reading.runs_of(held)}) > 1 and "seed" not in held.vary:
        parts.append(f"seed {run.config.seed}")
    return ", ".join(parts)


def ended(held: race.Race, runs: list[Run]) -> None:
    """The table at the end, who was first, and what can be taken along."""
    rows = race.standing(held, runs)
    table = pd.DataFrame(rows)
    names = {run.id: lane_name(held, run) for run in runs}
    if rows[0]["to_common"] is not None:
        st.markdown(first_there(rows, names))
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads.button("Table (CSV)", lambda: safe_csv(table), f"{held.race}.csv", "text/csv", key="race_csv")
        lanes = [lane_of(held, run) for run in runs]
        downloads.button(
            "Charts (HTML)",
            lambda: standalone.page(
                f"Race: {held.title}",
                [drawing.curves(lanes, "images_seen", "images seen"), drawing.curves(lanes, "seconds", "seconds")],
            ),
            f"{held.race}.html",
            "text/html",
        )
        if 2 <= len(runs) <= 8:
            st.button(
                "Compare these runs",
                on_click=session.whole(_compare),
                args=([run.id for run in runs],),
                key="race_compare",
            )
    _table(rows, runs, names)


def first_there(rows: list[dict], names: dict[str, str]) -> str:
    """Which lanes reached the common accuracy with the fewest images, and which in the least time, as a sentence."""

    def least(column: str) -> tuple[float, str]:
        value = min(row[column] for row in rows)
        first = [f"**{messages.plain(names[row['run']])}**" for row in rows if row[column] == value]
        return value, " and ".join(first)

    (images, sparing), (seconds, quick) = least("images_to"), least("seconds_to")
    return (
        f"All reached {messages.percent(rows[0]['to_common'])} on the test images: {sparing} with the fewest images, "
        f"{images:,}; {quick} in the least time, {messages.duration(seconds)}."
    )


def _compare(ids: list[str]) -> None:
    session.into_address("race", None)
    session.choose_runs(ids)


def _table(rows: list[dict], runs: list[Run], names: dict[str, str]) -> None:
    ordered = sorted(rows, key=lambda row: -(row["test_accuracy"] or 0))
    by_id = {run.id: run for run in runs}
    common = rows[0]["to_common"]
    to = "the common accuracy" if common is None else messages.percent(common)
    shown = pd.DataFrame(
        {
            "": ["●"] * len(ordered),
            "Lane": [names[row["run"]] for row in ordered],
            "Status": [row["status"] for row in ordered],
            "Test accuracy": [None if row["test_accuracy"] is None else 100 * row["test_accuracy"] for row in ordered],
            "Best on test": [
                None if row["best_test_accuracy"] is None else 100 * row["best_test_accuracy"] for row in ordered
            ],
            "Epochs": [f"{row['epochs']} of {row['of_epochs']}" for row in ordered],
            "Images seen": [row["images_seen"] for row in ordered],
            "Time": [row["seconds"] for row in ordered],
            f"Images to {to}": [row["images_to"] for row in ordered],
            f"Time to {to}": [row["seconds_to"] for row in ordered],
            "Id": [row["run"] for row in ordered],
        }
    )
    colours = [comparison.run_colour(by_id[row["run"]]) for row in ordered]
    number = st.column_config.NumberColumn
    st.dataframe(
        shown.style.apply(lambda _: [f"color: {colour}" for colour in colours], subset=[""]),
        hide_index=True,
        width="stretch",
        placeholder="–",
        column_config={
            "": st.column_config.TextColumn(width=28),
            "Test accuracy": number(format="%.1f %%", help="After the last epoch."),
            "Best on test": number(format="%.1f %%", help="Chosen by looking at the test images."),
            "Images seen": number(format="localized"),
            "Time": number(format="%.0f s", help="The run's own training and evaluation."),
            f"Images to {to}": number(format="localized", help="At the end of the first epoch with this accuracy."),
            f"Time to {to}": number(format="%.0f s"),
        },
    )

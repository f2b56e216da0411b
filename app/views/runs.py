"""Runs: all of them in a table, two to eight of them side by side, and races."""

import pandas as pd
import streamlit as st

from app import crowd, reading, session
from app.drawing.comparison import run_colour
from app.parts import comparison, header, messages, racing, receipt, run_bar, trash
from core.runs.store import Run
from core.settings.presets import PRESETS

WAITING = 3.0  # seconds between two looks at whether the runs have changed


def page() -> None:
    """A race where the address names one; else the table, what can be done with the ticked runs, and the comparison."""
    if racing.shown():
        return
    every = reading.all_runs()
    if not every:
        st.title("Runs")
        messages.no_runs_yet()
        with st.container(horizontal=True):
            racing.start_button()
        trash.box()
        return
    with messages.errors_explained():
        listed = filtered(every)
        ticked = table(listed)
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run_bar"):
            run_bar.buttons(ticked)
            racing.start_button()
            racing.earlier()
        messages.refused("runs")
        session.choose_runs([run.id for run in ticked])
        if len(ticked) == 1 and ticked[0].config:
            session.choose_run(ticked[0].id)
        if following() and (newest := newest_of(listed)) and newest.id not in {run.id for run in ticked}:
            ticked = [newest, *ticked]
        comparison.page_part(ticked)
        if len(ticked) == 1 and ticked[0].config:
            receipt.card(ticked[0])
    trash.box()
    run_bar.to_delete(every)
    crowd.fragment(look_out, run_every=WAITING)(reading.glance(every, others=True), every)


def following() -> bool:
    """Whether the newest run is shown whatever is ticked."""
    return bool(session.recall("follow_newest"))


def newest_of(runs: list[Run]) -> Run | None:
    """The run that was begun last."""
    return next((run for run in runs if run.config), None)


def look_out(seen: tuple, runs: list[Run]) -> None:
    """Draws nothing; draws the page anew when something has happened to a run."""
    if reading.glance(runs, others=True) != seen:
        st.rerun()


def filtered(every: list[Run]) -> list[Run]:
    """The runs that the search, the statuses and the switches above the table leave."""
    with st.container(horizontal=True, vertical_alignment="center", key="run_filter"):
        with st.container(width=280):
            text = st.text_input(
                "Search", placeholder="Search: name, preset, id", key="runs_search", label_visibility="collapsed"
            )
        statuses = sorted({run.status for run in every})
        with st.container(width=280):
            wanted = st.multiselect(
                "Status", statuses, placeholder="Any status", key="runs_status", label_visibility="collapsed"
            )
        st.toggle(
            "Follow the newest", key="follow_newest", help="Shows the curves of the newest run, whatever is ticked."
        )
        if away := sum(run.archived for run in every):
            st.toggle(f"Show archived ({away})", key="show_archived")
    if not (away and session.recall("show_archived")):
        every = [run for run in every if not run.archived]
    if wanted:
        every = [run for run in every if run.status in wanted]
    header.damaged(every)
    text = text.strip().lower()
    called = header.names(reading.all_runs())
    return [run for run in every if text in f"{called[run.id]} {preset_of(run)} {run.id}".lower()]


def preset_of(run: Run) -> str:
    """The title of a run's preset."""
    if not run.config:
        return ""
    return PRESETS[run.config.preset].title if run.config.preset in PRESETS else run.config.preset


def rows_of(runs: list[Run]) -> pd.DataFrame:
    """The runs as they are listed, one a row; what is not known is empty."""
    results = [run.result for run in runs]
    configs = [run.config for run in runs]
    best = [reading.best_epoch(run) for run in runs]
    called = header.names(reading.all_runs())
    alarms = [header.alarm_of(run) or None for run in runs]
    return pd.DataFrame(
        {
            "": ["●"] * len(runs),
            "Run": [called.get(run.id, run.title) for run in runs],
            **({"Owner": [run.owner or "teacher" for run in runs]} if any(run.owner for run in runs) else {}),
            "Status": [reading.status(run) for run in runs],
            **({"Alarm": alarms} if any(alarms) else {}),  # before the accuracy, which may look high all the same
            "Preset": [preset_of(run) or None for run in runs],
            "Test accuracy": pd.array([each and each.test_accuracy for each in results], dtype="Float64") * 100,
            "Best on test": [f"{100 * found[0]:.1f} % ({found[1]})" if found else None for found in best],
            "Epochs": [run_bar.epochs_of(run) for run in runs],
            "Time": pd.array([run.seconds for run in runs], dtype="Float64"),
            "Begun": pd.Series([run.created if run.config else None for run in runs], dtype="datetime64[ns]"),
            "Seed": pd.array([config.seed if config else None for config in configs], dtype="Int64"),
            "Images": [run.data and run.data.source for run in runs],
            "Mistakes": pd.array([each and each.mistakes for each in results], dtype="Int64"),
            "Id": [run.id for run in runs],
        }
    )


def table(runs: list[Run]) -> list[Run]:
    """Draws the table; returns the runs that are ticked."""
    if not runs:
        st.info("No run matches. Clear the search or the statuses.")
        return []
    styled = rows_of(runs).style.apply(lambda _: [f"color: {run_colour(run)}" for run in runs], subset=[""])
    asked = session.chosen_runs()
    selection = st.dataframe(
        styled,
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(runs), 250),
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [row for row, run in enumerate(runs) if run.id in asked]}},
        # A tick belongs to a row: with other rows it must not move on to another run
        key=f"all_runs_{hash(tuple(run.id for run in runs)) % 2**32}",
        column_config=columns(),
    )
    return [runs[row] for row in selection.selection.rows if row < len(runs)]


def columns() -> dict:
    """How the columns are drawn, and what they mean. A click on a head sorts by it."""
    column = st.column_config
    return {
        "": column.TextColumn(width=28, help="The run's colour, in this table, the curves and every header."),
        "Run": column.TextColumn(width=210),
        "Status": column.TextColumn(width=85),
        "Preset": column.TextColumn(width=130),
        "Test accuracy": column.NumberColumn(
            format="%.1f %%", width=100, help="Share of the test images classified correctly after the last epoch."
        ),
        "Best on test": column.TextColumn(
            width=95,
            help="The best epoch on the test images, and which one it was. Chosen by looking at the test images, "
            "so it says less than the last epoch's accuracy.",
        ),
        "Epochs": column.TextColumn(width=70),
        "Time": column.NumberColumn(format="%.0f s", width=60, help="Training and evaluation."),
        "Begun": column.DatetimeColumn(format="D MMM HH:mm", width=105),
        "Seed": column.NumberColumn(width=50),
        "Images": column.TextColumn(width=75, help="The source of the data set: mnist, digits or a folder."),
        "Mistakes": column.NumberColumn(width=75, help="Misclassified test images after the last epoch."),
        "Alarm": column.TextColumn(help="What has gone wrong; open the run on Train for the remedy."),
    }

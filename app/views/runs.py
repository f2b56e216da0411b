"""Runs: all of them in a table, and two to eight of them side by side."""

import pandas as pd
import streamlit as st

from app import cached, reading, session
from app.components.plotly_chart import live_chart
from app.drawing import comparison as drawing
from app.parts import cards, header, messages
from app.views import home
from core.analysis import compare
from core.runs import store
from core.runs.comparison import MOST_RUNS, Comparison, images_an_epoch
from core.runs.store import Run
from core.settings.config import settings

_SHOWN = 60  # images of a group at once


def page() -> None:
    """The table, what can be done with the ticked runs, and their comparison."""
    every = reading.all_runs()
    if not every:
        st.title("Runs")
        messages.no_runs_yet()
        return
    with messages.errors_explained():
        ticked = table(filtered(every))
        if ticked:
            home.buttons(ticked)
        session.choose_runs([run.id for run in ticked])
        compare_ticked(ticked)
    if named := [run for run in every if run.id in (session.recall("to_delete") or ())]:
        home.confirm_deletion(named)
    st.fragment(home.look_out, run_every=home.WAITING)(reading.glance(every, others=True), every)


def filtered(every: list[Run]) -> list[Run]:
    """The runs that the search, the statuses and the switch above the table leave."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=320):
            text = st.text_input("Search", placeholder="name, preset or id", key="runs_search")
        statuses = sorted({run.status for run in every})
        with st.container(width=320):
            wanted = st.multiselect("Status", statuses, placeholder="any", key="runs_status")
        if away := sum(run.archived for run in every):
            st.toggle(f"Show archived ({away})", key="show_archived")
    if not (away and session.recall("show_archived")):
        every = [run for run in every if not run.archived]
    if wanted:
        every = [run for run in every if run.status in wanted]
    header.damaged(every)
    text = text.strip().lower()
    return [run for run in every if text in f"{run.title} {run.config and run.config.preset} {run.id}".lower()]


def rows_of(runs: list[Run]) -> pd.DataFrame:
    """The runs as they are listed, one a row; what is not known is empty."""
    results = [run.result for run in runs]
    configs = [run.config for run in runs]
    best = [reading.best_epoch(run) for run in runs]
    return pd.DataFrame(
        {
            "": ["●"] * len(runs),
            "Run": [run.title for run in runs],
            "Status": [reading.status(run) for run in runs],
            "Test accuracy": pd.array([each and each.test_accuracy for each in results], dtype="Float64") * 100,
            "Best on test": [f"{100 * found[0]:.1f} % ({found[1]})" if found else None for found in best],
            "Epochs": [
                f"{each.epochs if each else 0} of {config.epochs}" if config else None
                for each, config in zip(results, configs, strict=True)
            ],
            "Time": pd.array([run.seconds for run in runs], dtype="Float64"),
            "Seed": pd.array([config.seed if config else None for config in configs], dtype="Int64"),
            "Begun": pd.Series([run.created if run.config else None for run in runs], dtype="datetime64[ns]"),
            "Images": [run.data and run.data.source for run in runs],
            "Alarm": [(each and each.alarm_kind) or None for each in results],
            "Id": [run.id for run in runs],
        }
    )


def table(runs: list[Run]) -> list[Run]:
    """Draws the table; returns the runs that are ticked."""
    if not runs:
        st.info("No run matches. Clear the search or the statuses.")
        return []
    colours = drawing.run_colours(runs)
    styled = rows_of(runs).style.apply(lambda _: [f"color: {colours[run.id]}" for run in runs], subset=[""])
    asked = session.chosen_runs()
    selection = st.dataframe(
        styled,
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(runs), 300),
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [row for row, run in enumerate(runs) if run.id in asked]}},
        # A tick belongs to a row: with other rows it must not move on to another run
        key=f"all_runs_{hash(tuple(run.id for run in runs)) % 2**32}",
        column_config={
            "": st.column_config.TextColumn(width=30, help="The run's colour."),
            "Test accuracy": st.column_config.NumberColumn(
                format="%.1f %%", help="Share of the test images classified correctly after the last epoch."
            ),
            "Best on test": st.column_config.TextColumn(
                help="The best epoch on the test images, and which one it was. Chosen by looking at the test images, "
                "so it says less than the last epoch's accuracy."
            ),
            "Time": st.column_config.NumberColumn(format="%.0f s", help="Training and evaluation."),
            "Begun": st.column_config.DatetimeColumn(format="D MMM HH:mm"),
            "Images": st.column_config.TextColumn(help="The source of the data set."),
            "Alarm": st.column_config.TextColumn(help="What has gone wrong; open the run on Train for the remedy."),
        },
    )
    return [runs[row] for row in selection.selection.rows if row < len(runs)]


def compare_ticked(ticked: list[Run]) -> None:
    """The comparison of the ticked runs, or what to tick."""
    with_result = [run for run in ticked if run.result]
    if len(with_result) < 2:
        st.caption(f"Tick two to {MOST_RUNS} runs with a result to compare them.")
        return
    if len(with_result) > MOST_RUNS:
        st.info(f"{len(with_result)} runs are ticked; a comparison takes at most {MOST_RUNS}.")
        return
    if skipped := [run for run in ticked if not run.result]:
        st.caption(f"Without a result yet: {', '.join(messages.plain(run.title) for run in skipped)}.")
    found = cached.comparison(with_result, reading.images_of(with_result[0]))
    names = distinct_titles(found.runs)
    st.subheader("Comparison", anchor=False)
    curves(found, names)
    verdict, differing = st.columns([1.2, 1], gap="large")
    with verdict:
        sentences(found, names)
    with differing:
        differences(found, names)
    groups(found, names)


def distinct_titles(runs) -> dict[str, str]:
    """What to call each run, by id; those with the same title get the end of their id."""
    titles = [run.title for run in runs]
    return {run.id: run.title + f" · {run.id[-4:]}" * (titles.count(run.title) > 1) for run in runs}


def curves(found: Comparison, names: dict[str, str]) -> None:
    """Accuracy of all runs in one chart, against epochs, images seen or seconds."""
    with st.container(horizontal=True, vertical_alignment="center"):
        axis = st.segmented_control(
            "Against",
            drawing.X_AXES,
            format_func=drawing.X_AXES.get,
            default="epoch",
            required=True,
            key="compare_axis",
        )
        logarithmic = st.toggle("Logarithmic", key="compare_log")
    colours = drawing.run_colours(found.runs)
    lines = {}
    for run in found.runs:
        history = store.history(run)
        x = drawing.positions(history, axis, images_an_epoch(run), run.steps_per_epoch)
        accuracies = [history[name].to_numpy(float) for name in ("train_accuracy", "test_accuracy")]
        lines[run.id] = (names[run.id], colours[run.id], x, *accuracies)
    figure = drawing.accuracy_curves(list(lines.values()), axis, logarithmic)
    for group in compare.same_but_for_seed({run.id: run.config.plain() for run in found.runs}):
        if len(group) > 1:
            _, colour, x, _, _ = lines[group[0]]
            mean, deviation = drawing.mean_and_deviation([lines[each][4] for each in group])
            drawing.add_band(figure, f"{len(group)} seeds", colour, x[: len(mean)], mean, deviation)
    live_chart(figure, key="compared", height=360, alt="accuracy of the compared runs")


def sentences(found: Comparison, names: dict[str, str]) -> None:
    """Accuracies and the differences in words."""
    for run, row in zip(found.runs, found.right, strict=True):
        st.markdown(
            f"**{messages.plain(names[run.id])}**: {row.mean():.1%} of {len(row):,} test images, {header.after(run)}"
        )
    for (a, b), pair in found.pairs.items():
        st.markdown(messages.plain(compare.in_words(names[a], names[b], pair, found.right.shape[1])))
    st.caption(
        "McNemar's exact test on the images that one of the two classifies correctly and the other does not. With "
        "several pairs some p below 0.05 are to be expected by chance."
    )


def differences(found: Comparison, names: dict[str, str]) -> None:
    """The settings in which the runs differ."""
    labels = {field.name: field.label for field in settings()}
    if not found.differing_settings:
        st.caption("All settings are the same.")
        return
    rows = {labels.get(name, name): row for name, row in found.differing_settings.items()}
    shown = pd.DataFrame(rows).T.rename(columns=names).map(str)
    st.markdown("**They differ in**")
    st.dataframe(shown, width="stretch")


def groups(found: Comparison, names: dict[str, str]) -> None:
    """The images on which the runs disagree, in groups that a click opens."""
    alone = zip(found.runs, compare.alone_right(found.right), strict=True)
    kinds = [(f"only {names[run.id]} right", rows) for run, rows in alone]
    kinds.append(("all wrong", compare.all_wrong(found.right)))
    labels = {f"{messages.plain(kind)} ({len(rows)})": rows for kind, rows in kinds}
    st.markdown("**Images on which they disagree**")
    chosen = st.pills("Group", list(labels), key="compare_group", label_visibility="collapsed")
    if chosen is None:
        st.caption("Click a group to see its images.")
        return
    rows = labels[chosen]
    if not len(rows):
        st.caption("No image is in this group.")
        return
    images, said = found.images, [cached.embedded(run).predicted for run in found.runs]
    cards.small_tiles(
        [
            (
                images.test.images[row],
                f"labelled {images.classes[images.test.labels[row]]}",
                images.test.ids[row],
                *(f"{names[run.id]}: {images.classes[each[row]]}" for run, each in zip(found.runs, said, strict=True)),
            )
            for row in rows[:_SHOWN]
        ]
    )
    if len(rows) > _SHOWN:
        st.caption(f"The first {_SHOWN} of {len(rows)} images.")

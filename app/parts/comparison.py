"""Two to eight runs side by side: curves, final metrics, settings that differ, images on which they disagree."""

import re
from collections.abc import Sequence
from functools import partial
from string import ascii_uppercase

import numpy as np
import pandas as pd
import streamlit as st

from app import cached, downloads, navigation, reading, session
from app.components import clickable
from app.components.plotly_chart import live_chart
from app.drawing import comparison as drawing
from app.drawing import standalone
from app.drawing.pictures import png_uri
from app.parts import header, messages
from core.analysis import compare
from core.runs import store
from core.runs.comparison import MOST_RUNS, Comparison, images_an_epoch
from core.runs.store import Run
from core.settings import in_words
from core.settings.presets import PRESETS

_SHOWN = 60  # images of a group at once
_NAMED = 3  # runs whose names the legend has room for; more are called by their letters
_SENTENCES = 3  # pairs that are told at once


def page_part(ticked: list[Run]) -> None:
    """The curves of the ticked runs and, of two or more with a result, their comparison."""
    with_result = [run for run in ticked if run.result]
    if not with_result:
        st.caption(f"Tick a run to see its curves, and two to {MOST_RUNS} to compare them.")
        return
    if len(with_result) > MOST_RUNS:
        st.info(f"{len(with_result)} runs are ticked; a comparison takes at most {MOST_RUNS}.")
        return
    called = header.names(reading.all_runs())
    letters = {run.id: f"{ascii_uppercase[place]} {called[run.id]}" for place, run in enumerate(with_result)}
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        curves(with_result, letters)
    with right:
        if skipped := [run for run in ticked if not run.result]:
            st.caption(f"Without a result yet: {', '.join(messages.plain(run.title) for run in skipped)}.")
        if len(with_result) == 1:
            one(with_result[0])
            return
        found = cached.comparison(with_result, reading.images_of(with_result[0]))
        verdict(found, letters)
        differences(found)
    groups(found, letters)
    matrices(found, letters)


def one(run: Run) -> None:
    """What is there to see of a single run, elsewhere."""
    st.markdown(f"**{messages.plain(header.headline(run))}**")
    for page, label in (("train", "Its training"), ("embedding", "Its embedding"), ("mistakes", "Its mistakes")):
        navigation.link(page, f"→ {label}", run=run.id)
    st.caption("Tick another run to compare them.")


def curves(runs: Sequence[Run], letters: dict[str, str]) -> None:
    """Accuracy of all runs in one chart, against epochs, images seen or seconds."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        axis = st.segmented_control(
            "Against",
            drawing.X_AXES,
            format_func=drawing.X_AXES.get,
            default="epoch",
            required=True,
            key="compare_axis",
            label_visibility="collapsed",
        )
        logarithmic = st.toggle("Logarithmic", key="compare_log")
        place = st.container(width="content")
    names = letters if len(runs) <= _NAMED else {run_id: name[0] for run_id, name in letters.items()}  # as in the table
    with place:
        downloads.button(
            "Chart (HTML)",
            lambda: standalone.page("Test accuracy", [_figure(runs, letters, axis, logarithmic, beside=True)]),
            "comparison.html",
            "text/html",
            type="tertiary",
            help="This chart as a page that needs no network: zoom, hide curves, point at them.",
        )
    figure = _figure(runs, names, axis, logarithmic)
    live_chart(figure, key="compared", height=360, alt="accuracy of the chosen runs")


def _figure(runs: Sequence[Run], letters: dict[str, str], axis: str, logarithmic: bool, beside: bool = False):
    lines = {}
    for run in runs:
        history = store.history(run)
        x = drawing.positions(history, axis, images_an_epoch(run), run.steps_per_epoch)
        accuracies = [history[name].to_numpy(float) for name in ("train_accuracy", "test_accuracy")]
        lines[run.id] = drawing.Line(letters[run.id], drawing.run_colour(run), x, *accuracies)
    figure = drawing.accuracy_curves(list(lines.values()), axis, logarithmic, beside)
    for group in compare.same_but_for_seed({run.id: run.config.plain() for run in runs}):
        if len(group) > 1:
            name = f"{len(group)} seeds ({', '.join(letters[each][0] for each in group)})"
            drawing.add_band(figure, name, [lines[each] for each in group])
    return figure


def verdict(found: Comparison, letters: dict[str, str]) -> None:
    """The final metrics, each beside its difference to the first run, and what chance has to say."""
    count = len(found.images.test.ids)
    right = found.right.sum(axis=1)
    best = [reading.best_epoch(run) for run in found.runs]
    table = pd.DataFrame(
        {
            "Run": [letters[run.id] for run in found.runs],
            "Test": [messages.percent(number / count) for number in right],
            "to A": ["", *(f"{100 * (number - right[0]) / count:+.1f}".replace("-", "−") for number in right[1:])],
            "Wrong": count - right,
            "Train": [messages.percent(run.result.train_accuracy) for run in found.runs],
            "Best (epoch)": [f"{100 * each[0]:.1f} ({each[1]})" if each else "–" for each in best],
            "Time": pd.array([run.seconds for run in found.runs], dtype="Float64"),
        }
    )
    styled = table.style.apply(lambda _: [f"color: {drawing.run_colour(run)}" for run in found.runs], subset=["Run"])
    st.dataframe(
        styled,
        hide_index=True,
        width="stretch",
        placeholder="–",
        column_config={
            "Run": st.column_config.TextColumn(width=120),
            "Test": st.column_config.TextColumn(help=f"Of {count:,} test images, after each run's last epoch."),
            "to A": st.column_config.TextColumn(help="The difference to run A in points of percent."),
            "Wrong": st.column_config.NumberColumn(help="Misclassified test images."),
            "Best (epoch)": st.column_config.TextColumn(help="Best on the test images, chosen by looking at them."),
            "Time": st.column_config.NumberColumn(format="%.0f s", help="Training and evaluation."),
        },
    )
    names = {run.id: letters[run.id][0] for run in found.runs}
    told = [
        (abs(pair.difference), compare.in_words(names[a], names[b], pair, count))
        for (a, b), pair in found.pairs.items()
    ]
    for _, sentence in told[:_SENTENCES]:
        st.markdown(re.sub(" ([=<]) ", "\u00a0\\1\u00a0", sentence))  # p and its value stay in one line
    if len(told) > _SENTENCES:
        with st.expander(f"All {len(told)} pairs"):
            for _, sentence in sorted(told, reverse=True):
                st.caption(sentence)
    st.caption("Chance: McNemar's exact test on the images that only one of two classifies correctly.")


def differences(found: Comparison) -> None:
    """Only the settings that differ."""
    if not found.differing_settings:
        st.caption("All settings are the same.")
        return
    st.markdown("**They differ in**")
    letters = {run.id: ascii_uppercase[place] for place, run in enumerate(found.runs)}
    rows = {
        in_words.label(name): {letters[run.id]: _shown(name, getattr(run.config, name)) for run in found.runs}
        for name in found.differing_settings
    }
    st.dataframe(pd.DataFrame(rows).T, width="stretch", height=min(38 + 35 * len(rows), 215))


def _shown(name: str, value) -> str:
    if name in in_words.FIELDS:
        return in_words.shown(name, value)
    return PRESETS[value].title if value in PRESETS else str(value)


def kinds_of(found: Comparison) -> dict[str, tuple[str, np.ndarray]]:
    """The groups of test images on which the runs disagree, and those that all get wrong, by their names in the
    address: what to call them, and rows.
    """
    alone = zip(ascii_uppercase, compare.alone_right(found.right), strict=False)
    kinds = {f"only-{letter.lower()}": (f"only {letter} right", rows) for letter, rows in alone}
    return kinds | {"all-wrong": ("all wrong", compare.all_wrong(found.right))}


def groups(found: Comparison, letters: dict[str, str]) -> None:
    """The images on which the runs disagree, in groups that a click opens; an image opens what a run made of it."""
    kinds = kinds_of(found)
    st.markdown("**Images on which they disagree**")
    wanted = session.in_address("group")
    key = f"compare_group_{len(found.runs)}"
    chosen = st.pills(
        "Group",
        list(kinds),
        format_func=lambda kind: f"{kinds[kind][0]} ({len(kinds[kind][1])})",
        default=wanted if wanted in kinds else None,
        key=key,
        label_visibility="collapsed",
    )
    session.into_address("group", chosen)
    if chosen is None:
        st.caption("Click a group to see its images.")
        return
    rows = kinds[chosen][1]
    if not len(rows):
        st.caption("No image is in this group.")
        return
    clickable.tiles([_tile(found, row) for row in rows[:_SHOWN]], "disagreed", partial(_open, found, rows), 118)
    if len(rows) > _SHOWN:
        st.caption(f"The first {_SHOWN} of {len(rows)} images.")


def _open(found: Comparison, rows: np.ndarray, place: int) -> None:
    image = found.images.test.ids[rows[place]]
    st.switch_page(navigation.page("mistakes"), query_params={"run": found.runs[0].id, "image": image})


def _tile(found: Comparison, row: int) -> dict:
    images = found.images
    said = [
        f"{letter} {images.classes[cached.embedded(run).predicted[row]]}"
        for letter, run in zip(ascii_uppercase, found.runs, strict=False)
    ]
    true = images.classes[images.test.labels[row]]
    name = images.test.ids[row]
    return clickable.tile(png_uri(images.test.images[row]), f"labelled {true}", " · ".join(said), f"Why? {name}")


def matrices(found: Comparison, letters: dict[str, str]) -> None:
    """The confusion matrices side by side."""
    labels, classes = found.images.test.labels, found.images.classes
    tables = []
    for run in found.runs:
        counts = np.zeros((len(classes), len(classes)), int)
        np.add.at(counts, (labels, cached.embedded(run).predicted), 1)
        tables.append(drawing.matrix(letters[run.id], drawing.run_colour(run), counts, classes))
    st.markdown("**Confusion matrices** (rows: true class, columns: predicted; red: wrong)")
    st.html(f'<div class="lab-matrices">{"".join(tables)}</div>')

"""What several pages show: images without blur, a run's headline, the run picker. Text is escaped here."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from app.pictures import png_uri, tile
from core.dataset.loader import DataError, DataSet
from core.exchange.uploads import UploadError
from core.runs.files import StoreError
from core.runs.store import Run
from core.settings.config import settings

BADGES = {"done": "green", "running": "blue", "pausing": "blue", "stopping": "blue", "failed": "red", "damaged": "red"}
BADGES |= {"stopped": "orange", "paused": "orange", "interrupted": "orange"}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>$:~|#&!])")  # what makes pictures, links, colours, formulas and headings


def plain(text: str) -> str:
    """Text that Markdown shows as it is: names and reasons may come from another computer."""
    return " ".join(_MARKDOWN.sub(r"\\\1", text).split())


def mistake_grid(mistakes: pd.DataFrame, images: DataSet) -> None:
    """Cards of wrong test images, each beside its nearest training image of the true and of the predicted class.

    A card's number is that of the exported pictures: the row of store.mistakes, from 1.
    """
    name_of = dict(zip(images.class_numbers, images.classes, strict=True))
    cards = []
    for row in mistakes.itertuples():
        true, predicted = name_of[row.true], name_of[row.predicted]
        tiles = (
            tile(images.test.images[row.test_index], "test image", row.id, f"score of {predicted}: {row.score:.0%}")
            + tile(
                images.train.images[row.nearest_true_index],
                f"nearest {true}",
                row.nearest_true_id,
                f"distance {row.nearest_true_distance:.3f}",
            )
            + tile(
                images.train.images[row.nearest_predicted_index],
                f"nearest {predicted}",
                row.nearest_predicted_id,
                f"distance {row.nearest_predicted_distance:.3f}",
            )
        )
        heading = html.escape(f"Mistake {row.Index + 1}: {true} taken for {predicted}")
        cards.append(f'<div class="lab-card"><h4>{heading}</h4><div class="lab-row">{tiles}</div></div>')
    st.html(f'<div class="lab-grid">{"".join(cards)}</div>')


def tiles(*parts: str) -> None:
    """Shows tiles side by side."""
    st.html(f'<div class="lab-row">{"".join(parts)}</div>')


def strip(images: list[np.ndarray], names: list[str]) -> None:
    """A row of small images."""
    tags = [
        f'<img src="{png_uri(pixels)}" alt="{html.escape(name)}">' for pixels, name in zip(images, names, strict=True)
    ]
    st.html(f'<div class="lab-strip">{"".join(tags)}</div>')


def duration(seconds: float) -> str:
    """A duration for people, e.g. "42 s" or "2 min 42 s"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02} s"


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
    chosen = state.chosen_run(runs)
    by_id = {run.id: run for run in runs if not run.archived or run is chosen}
    if state.passed_over(runs):
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
        on_change=lambda: state.choose_run(_named(list(by_id), state.recall(key))),
    )
    state.choose_run(chosen.id)
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
    words = state.status(run)
    st.badge(words, color=BADGES.get(words, "grey"))


@contextmanager
def errors_explained() -> Iterator[None]:
    """Shows the message of a damaged run, a refused file or an unwritable folder instead of its traceback."""
    try:
        yield
    except (DataError, StoreError, UploadError, OSError) as error:
        st.error(plain(str(error)))


def no_runs_yet() -> None:
    """What a page shows before there is anything to look at."""
    st.info("There is no finished run to look at yet. Train one first: the preset “Quick look” takes about a minute.")
    st.page_link("views/train.py", label="→ Go to Train")


def worded(reason: str) -> str:
    """A reason that begins with the name of a setting, with the setting's label instead."""
    name, colon, rest = reason.partition(": ")
    labels = {field.name: field.metadata["label"] for field in settings()}
    return plain(labels.get(name, name) + colon + rest)


def refused(place: str) -> None:
    """Why the last button pressed at this place could not do what it says."""
    if reason := state.refused(place):
        st.error(worded(reason))


def damaged(runs: list[Run]) -> None:
    """Names the runs that cannot be read."""
    for run in runs:
        if run.status == "damaged":
            st.warning(f"Run {plain(run.id)} is damaged: {plain(run.error)}")

"""The charts of a run in training, each drawn into the one before it, so that zoom and hidden curves stay."""

import pandas as pd
import streamlit as st

from app import cached, reading, session
from app.components.plotly_chart import live_chart
from app.parts import microscope
from core.runs.store import Run

SMOOTHINGS = {0: "No smoothing", 5: "Mean of 5", 20: "Mean of 20", 50: "Mean of 50"}
_NORMAL, _PROJECTED = 1.0, 1.5  # size of type


def smoothing() -> None:
    """Asks over how many rows of steps the loss is drawn as a mean as well; the raw line stays."""
    help = "Adds the mean of the last rows of steps to the loss; the line of single steps stays."
    options = {"format_func": SMOOTHINGS.get, "label_visibility": "collapsed", "help": help}
    st.selectbox("Smoothing", SMOOTHINGS, key="smoothing", **options)


def made(run: Run, history: pd.DataFrame, steps: pd.DataFrame, done: float) -> tuple[dict, tuple]:
    """What `draw` draws: the charts by name, and the microscope."""
    smoothed = session.recall("smoothing") or 0
    return cached.live_charts(run, reading.moment(run), smoothed, history, steps, done), microscope.drawn(run)


def draw(run: Run, history: pd.DataFrame, found: dict, looked_at: tuple) -> None:
    """Loss and accuracy; triplets and distances where there are any; the learning rate and the microscope."""
    for row in (("loss", "accuracy"), ("triplets", "distances")):
        for column, name in zip(st.columns(2) if row[0] in found else (), row, strict=False):
            with column:
                _chart(run, name, *found[name])
    if "triplets" in found:
        _words(history)
    left, right = st.columns([1, 2])
    with left:
        _chart(run, "rate", *found["rate"])
    with right:
        show, what = looked_at
        show(what)


def _chart(run: Run, name: str, figure: str, alt: str) -> None:
    projected = session.projected()
    height = 330 if projected else 215  # two rows fit a projector of 1280x720
    live_chart(figure, key=f"{name}_{run.id}", height=height, alt=alt, scale=_PROJECTED if projected else _NORMAL)


def _words(history: pd.DataFrame) -> None:
    left, right = st.columns(2)
    left.caption(
        "Easy: right by the margin. Semi-hard: right, but not by the margin. Hard: wrong. All valid: every triplet "
        "that a batch can form. Mined: those learnt from. Active: those that still change the network."
        + left_out(history)
    )
    right.caption(
        "From anchors to positives, d(a, p), and to negatives, d(a, n): mean, and in colour the middle 80 %; from "
        "0 to 20. The spread is the embeddings' distance from their centre, from 0 to 10."
    )


def left_out(history: pd.DataFrame) -> str:
    """A sentence on anchors without a triplet, where there are some."""
    if history.empty or "anchors_left_out" not in history or history["anchors_left_out"].iloc[-1] < 0.05:
        return ""
    last = history.iloc[-1]
    return f" In epoch {last['epoch']:.0f} {last['anchors_left_out']:.1f} anchors of a batch had no triplet."

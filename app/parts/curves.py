"""What is seen of a run in training: words, charts and microscope, as one board whose zoom and hidden curves stay."""

import pandas as pd
import streamlit as st

from app import cached, reading, session
from app.components.board import Part, board
from app.parts import microscope
from core.runs.store import Run

SMOOTHINGS = {0: "No smoothing", 5: "Mean of 5", 20: "Mean of 20", 50: "Mean of 50"}
# Height of charts where two rows of them fit a window of 720 pixels, where one row does, and size of type
_ON_A_DESK, _PROJECTED = (215, 300, 1.0), (330, 330, 1.5)
_KINDS = (
    "Easy: right by the margin. Semi-hard: right, but not by the margin. Hard: wrong. All valid: every triplet that a "
    "batch can form. Mined: those learnt from. Active: those that still change the network."
)
_DISTANCES = (
    "From anchors to positives, d(a, p), and to negatives, d(a, n): mean, and in colour the middle 80 %; from 0 to 20. "
    "The spread is the embeddings' distance from their centre, from 0 to 10."
)


def smoothing() -> None:
    """Asks over how many rows of steps the loss is drawn as a mean as well; the raw line stays."""
    help = "Adds the mean of the last rows of steps to the loss; the line of single steps stays."
    options = {"format_func": SMOOTHINGS.get, "label_visibility": "collapsed", "help": help}
    st.selectbox("Smoothing", SMOOTHINGS, key="smoothing", **options)


def draw(run: Run, history: pd.DataFrame, steps: pd.DataFrame, done: float, words: list[Part]) -> None:
    """The `words`, loss and accuracy; triplets and distances where there are any; the learning rate and the microscope.

    `done` is the share of the training that is over.
    """
    charts = cached.live_charts(run, reading.moment(run), session.recall("smoothing") or 0, history, steps, done)
    low, high, scale = _PROJECTED if session.projected() else _ON_A_DESK

    def chart(name: str, width: int = 3, height: int = low) -> Part:
        figure, alt = charts[name]
        return Part(name, width, figure=figure, alt=alt, height=height)

    first = low if "triplets" in charts else high
    parts = [*words, chart("loss", height=first), chart("accuracy", height=first)]
    if "triplets" in charts:
        parts += [chart("triplets"), chart("distances")]
        parts += [_caption("kinds", _KINDS + left_out(history)), _caption("about_distances", _DISTANCES)]
    parts += [chart("rate", 2), Part("microscope", 4, microscope.drawn(run))]
    board(parts, f"curves_{run.id}", scale)


def _caption(name: str, text: str) -> Part:
    return Part(name, 3, f'<small class="lab-caption">{text}</small>')


def left_out(history: pd.DataFrame) -> str:
    """A sentence on anchors without a triplet, where there are some."""
    if history.empty or "anchors_left_out" not in history or history["anchors_left_out"].iloc[-1] < 0.05:
        return ""
    last = history.iloc[-1]
    return f" In epoch {last['epoch']:.0f} {last['anchors_left_out']:.1f} anchors of a batch had no triplet."

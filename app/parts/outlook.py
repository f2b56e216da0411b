"""Beside the form: what a training of these settings will be like."""

import html

import streamlit as st

from app import crowd, reading
from app.parts.messages import duration
from core.dataset.loader import DataError
from core.measuring import Answer, measuring
from core.settings.config import RunConfig

_SOON, _LATER = 1.0, 5.0  # seconds until it is looked at again: while something is found out, while a run trains


def show(config: RunConfig | None) -> None:
    """Draws what is known, and looks again while something is not."""
    if config is None:
        st.caption("–")
        return
    answer, busy = _ask(config)
    pace = None if answer.seconds or answer.trouble else _LATER if busy and answer.outlook else _SOON
    crowd.fragment(_live, run_every=pace)(config, pace)


def _live(config: RunConfig, pace: float | None) -> None:
    answer, busy = _ask(config)
    lines = "".join(f"<span>{line}</span>" for line in said(answer, busy))
    st.html(f'<div class="lab-outlook" role="status">{lines}</div>')
    if pace and (answer.seconds or answer.trouble):
        st.rerun()  # nothing is awaited any more


def _ask(config: RunConfig) -> tuple[Answer, bool]:
    """What is known, and whether a run trains now."""
    busy = any(run.active for run in reading.all_runs())
    try:
        return measuring().ask(config, reading.data_set(), measure=not busy), busy
    except DataError as error:
        return Answer(trouble=str(error)), busy


def said(answer: Answer, busy: bool) -> list[str]:
    """The lines of it."""
    facts = answer.outlook
    if facts is None:
        return [html.escape(answer.trouble)] if answer.trouble else ["Counting the layers …"]
    layers = f"{facts.convolutions} convolutions + {facts.fully_connected} fully connected"
    size = f"{short(facts.parameters)} parameters · {short(facts.multiply_adds)} multiply-adds an image"
    shown = f"{facts.triplets:,} triplets" if facts.triplets else f"{facts.images:,} images"
    epoch = f"{shown} an epoch in {facts.steps:,} steps"
    if answer.seconds:
        time = f"about {duration(answer.seconds) if answer.seconds >= 1 else '1 s'} an epoch here"
    elif answer.trouble:
        time = html.escape(answer.trouble)
    else:
        time = "time not measured while a run trains" if busy else "measuring an epoch’s time …"
    return [layers, size, epoch, f"<b>{time}</b>" if answer.seconds else time]


def short(number: int) -> str:
    """A large number in three digits, e.g. "176 k" or "11.2 M"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)

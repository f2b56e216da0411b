"""Beside the form: what a training of these settings will be like."""

import html

import streamlit as st

from app import crowd, reading
from app.parts.messages import duration
from core.dataset.loader import DataError
from core.measuring import Answer, measuring
from core.settings.config import RunConfig

_PACE = 1.0  # seconds until it is looked at again, while something is found out


def show(config: RunConfig | None) -> bool:
    """Draws what is known, and looks again while something is found out. Whether the rest waits until no run trains:
    then the page is to be drawn anew, as looking again and again would cost that run time.
    """
    if config is None:
        st.caption("–")
        return False
    answer, busy = _ask(config)
    pace = None if _is_told(answer, busy) else _PACE
    crowd.fragment(_live, run_every=pace)(config, pace)
    return pace is None and not (answer.seconds or answer.trouble)


def _live(config: RunConfig, pace: float | None) -> None:
    answer, busy = _ask(config)
    lines = "".join(f"<span>{line}</span>" for line in said(answer, busy))
    st.html(f'<div class="lab-outlook" role="status">{lines}</div>')
    if pace and _is_told(answer, busy):
        st.rerun()  # to look no more


def _is_told(answer: Answer, busy: bool) -> bool:
    """Whether nothing more will be found out for now: the time of an epoch is not measured while a run trains."""
    return bool(answer.seconds or answer.trouble or (busy and answer.outlook))


def _ask(config: RunConfig) -> tuple[Answer, bool]:
    """What is known, and whether a run trains now."""
    busy = reading.busy()
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

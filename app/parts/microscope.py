"""The microscope: some triplets or images of a run's latest step, and what the step changed."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from app import cached, reading
from app.parts import messages
from core.dataset.loader import DataError
from core.runs.files import StoreError
from core.runs.store import Run


def drawn(run: Run) -> tuple[Callable[[str], object], str]:
    """What draws it and what it is to draw; where something is missing, a line that says so."""
    try:
        html = cached.microscope(run, reading.moment(run), partial(reading.images_of, run))
    except (StoreError, DataError) as error:
        return st.caption, messages.plain(f"Microscope: {error}")
    none = "nothing to look at before the first step" if run.active else "this run keeps no step to look at"
    return (st.html, html) if html else (st.caption, f"Microscope: {none}.")
